//! Probes and the version.

use super::state::Http;
use super::status::HttpError;
use crate::hrana::Databases;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use orion_api::Code;
use serde::Serialize;
use std::sync::Arc;

/// Answers whether this node can serve, and if not why. Asked with each probe, so it must not wait.
pub type Readiness = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

#[derive(Serialize)]
pub(super) struct VersionReply {
    name: &'static str,
    version: &'static str,
    node: String,
}

pub(super) async fn alive() -> StatusCode {
    StatusCode::OK
}

pub(super) async fn ready<D: Databases>(State(http): State<Arc<Http<D>>>) -> Result<StatusCode, HttpError> {
    match (http.readiness)() {
        Ok(()) => Ok(StatusCode::OK),
        Err(reason) => Err(HttpError::new(Code::Unavailable, reason)),
    }
}

pub(super) async fn version<D: Databases>(State(http): State<Arc<Http<D>>>) -> Json<VersionReply> {
    Json(VersionReply {
        name: "orion",
        version: env!("CARGO_PKG_VERSION"),
        node: http.settings.node.clone(),
    })
}
