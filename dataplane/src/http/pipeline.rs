//! `POST /v2/pipeline` and `/v3/pipeline`.

use super::body::Arrival;
use super::path::InPath;
use super::state::{Http, json, parse};
use super::status::HttpError;
use crate::hrana::{Databases, Outcomes, idempotency_key};
use crate::room::Share;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, header};
use orion_api::hrana::{Envelope, Outcome, PipelineRequest};
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// What a reply has at least: a small select fits without growing.
const REPLY_BYTES: usize = 1024;

/// [`PipelineReply`](orion_api::hrana::PipelineReply), without copies.
#[derive(Serialize)]
struct Reply<'a> {
    baton: Option<&'a str>,
    base_url: Option<String>,
    results: Results<'a>,
    orion: Envelope,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Results<'a> {
    Fresh(&'a [Outcome]),
    Stored(&'a RawValue),
}

/// The name in the path of a pipeline's request, or none in a path without. What is escaped or written otherwise is left to
/// the router, and comes to [`run`].
pub(super) fn path_of<'a>(method: &Method, path: &'a str) -> Option<Option<&'a str>> {
    let before = ["/v2/pipeline", "/v3/pipeline"]
        .iter()
        .find_map(|end| path.strip_suffix(end))
        .filter(|_| method == Method::POST)?;
    if before.is_empty() {
        return Some(None);
    }
    let name = before.strip_prefix('/')?;
    let is_plain = !name.is_empty() && !name.bytes().any(|byte| matches!(byte, b'/' | b'%'));
    is_plain.then_some(Some(name))
}

pub(super) async fn run<D: Databases>(
    State(http): State<Arc<Http<D>>>,
    InPath(path): InPath,
    request: Request,
) -> Result<Response, HttpError> {
    let (parts, body) = request.into_parts();
    answer(&http, path.as_deref(), &parts, &mut Arrival::here(body)).await
}

pub(super) async fn answer<D: Databases>(
    http: &Http<D>,
    path: Option<&str>,
    parts: &Parts,
    body: &mut Arrival,
) -> Result<Response, HttpError> {
    let (mut admitted, request) = http
        .receive::<PipelineRequest>(path, parts, body, "a pipeline")
        .await?;
    if let Some(key) = admitted.asked.idempotency_key.take() {
        admitted.asked.options.idempotency = Some(idempotency_key(key, &request)?);
    }
    let answer = http
        .service
        .pipeline(&admitted.database, request, &admitted.asked.options)
        .await?;
    let reply = Reply {
        baton: answer.baton.as_deref(),
        base_url: http.base_url(&answer, &admitted.name),
        results: match &answer.outcomes {
            Outcomes::Fresh(outcomes) => Results::Fresh(outcomes),
            Outcomes::Stored(reply) => Results::Stored(parse(reply, "a stored reply")?),
        },
        orion: http.envelope(&answer, &admitted),
    };
    let mut buffer = Vec::with_capacity(REPLY_BYTES);
    json(&mut buffer, &reply)?;
    Ok(reply_of(buffer, answer.share, "application/json"))
}

/// A body that has a share of the room for replies, until hyper has written all of it.
struct Held {
    bytes: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A 200 with this body.
///
/// LIMIT: the text is counted once it is there; of a result's values it is as long as they are, or up to six times
/// as long where they are control characters.
pub(super) fn reply_of(buffer: Vec<u8>, mut share: Share, content_type: &'static str) -> Response {
    share.cover(buffer.len() as u64);
    let body = match share.is_free() {
        true => Body::from(buffer),
        false => Body::from(Bytes::from_owner(Held {
            bytes: buffer,
            _share: share,
        })),
    };
    let mut response = Response::new(body);
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_plain_path_of_a_pipeline_is_the_routers() {
        let post = Method::POST;
        for end in ["/v2/pipeline", "/v3/pipeline"] {
            assert_eq!(path_of(&post, end), Some(None));
            let path = format!("/app{end}");
            assert_eq!(path_of(&post, &path), Some(Some("app")));
            assert_eq!(path_of(&Method::GET, &path), None);
            for other in ["/app/", "//", "/a/b", "/a%2Fb", "/%61pp"] {
                let path = format!("{other}{end}");
                assert_eq!(path_of(&post, &path), None, "{path}");
            }
        }
        for path in [
            "",
            "/",
            "/v4/pipeline",
            "/v2/pipeline/",
            "/app/v2",
            "app/v2/pipeline",
        ] {
            assert_eq!(path_of(&post, path), None, "{path}");
        }
    }
}
