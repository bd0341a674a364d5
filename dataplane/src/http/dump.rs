//! `GET /dump`: a database as SQL text.
//!
//! All of it comes from one read transaction and is held in memory until it is sent, so it is limited;
//! past the limit the answer is an error, never half a dump.

use super::path::InPath;
use super::state::Http;
use super::status::HttpError;
use crate::hrana::{Databases, Dump, Target};
use axum::extract::{Request, State};
use axum::response::Response;
use std::sync::Arc;

pub(super) async fn run<D: Databases>(
    State(http): State<Arc<Http<D>>>,
    InPath(path): InPath,
    request: Request,
) -> Result<Response, HttpError> {
    let (parts, _) = request.into_parts();
    let admitted = http.admit(&parts, path.as_deref()).await?;
    let finished = admitted
        .database
        .run(Dump::new(http.service.replies()), &admitted.asked.options)
        .await?;
    let (text, share) = finished
        .work
        .into_text()
        .map_err(|(code, message)| HttpError::new(code, message))?;
    Ok(super::pipeline::reply_of(
        text,
        share,
        "text/plain; charset=utf-8",
    ))
}
