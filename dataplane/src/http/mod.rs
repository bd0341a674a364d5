//! The HTTP transport: routes of libSQL's clients, of people with curl, and of probes.
//!
//! Life of a request: token → database (`resolve`) → what the token allows there → headers (`headers`) →
//! body, within its limits → `hrana::Service` → one buffer of JSON. No middleware, and pipelines do not go through the router
//! (`front`): at 60,000 requests a second each layer would be seen.
//!
//! The admin API (`admin`) and the metrics are routers of their own; [`router`] takes them. A route of this file also
//! exists under `/{database}`, where the table of the surface says so. Some clients join `base_url` and
//! path with two slashes: those are routes too.

pub mod admin;
mod body;
pub mod connections;
mod cursor;
mod dump;
mod elsewhere;
mod front;
mod headers;
mod health;
mod legacy;
mod pace;
mod path;
mod pipeline;
mod resolve;
mod state;
mod status;
#[cfg(test)]
mod tests;

pub(crate) use elsewhere::{Leader, Leaders};
pub(crate) use front::Front;
pub use health::Readiness;
pub use pace::Pace;
pub use state::{Http, HttpSettings};
pub use status::{HttpError, status};

use crate::hrana::Databases;
use axum::Router;
use axum::routing::{any, get, post};
use orion_api::Code;
use std::sync::Arc;

/// Everything that is served. `others` are routes beside these: `admin::router`, behind
/// [`Http::guard_admin`], and the metrics.
pub fn router<D: Databases>(http: Arc<Http<D>>, others: Router) -> Router {
    Router::new()
        .route("/", post(legacy::batch::<D>))
        .route("/{database}", post(legacy::batch::<D>))
        .route("/v1", get(health::alive))
        .route("/v2", get(health::alive))
        .route("/v3", get(health::alive))
        // Named, so that it is not taken for a database: clients that ask get a 404 and use JSON.
        .route("/v3-protobuf", any(no_such_path))
        .route("/{database}/v1", get(health::alive))
        .route("/{database}/v2", get(health::alive))
        .route("/{database}/v3", get(health::alive))
        .route("/v2/pipeline", post(pipeline::run::<D>))
        .route("/v3/pipeline", post(pipeline::run::<D>))
        .route("/{database}/v2/pipeline", post(pipeline::run::<D>))
        .route("/{database}/v3/pipeline", post(pipeline::run::<D>))
        .route("/{database}//v2/pipeline", post(pipeline::run::<D>))
        .route("/{database}//v3/pipeline", post(pipeline::run::<D>))
        .route("/v3/cursor", post(cursor::run::<D>))
        .route("/{database}/v3/cursor", post(cursor::run::<D>))
        .route("/{database}//v3/cursor", post(cursor::run::<D>))
        .route("/dump", get(dump::run::<D>))
        .route("/{database}/dump", get(dump::run::<D>))
        .route("/health", get(health::alive))
        .route("/livez", get(health::alive))
        .route("/readyz", get(health::ready::<D>))
        .route("/version", get(health::version::<D>))
        .with_state(http)
        .merge(others)
        .fallback(no_such_path)
        .method_not_allowed_fallback(async || {
            HttpError::new(Code::MethodNotAllowed, "this path does not take this method")
        })
}

async fn no_such_path() -> HttpError {
    HttpError::new(Code::NotFound, "there is no such path")
}
