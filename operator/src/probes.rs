//! `/livez`, `/readyz` and `/metrics`.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use std::sync::{Arc, Mutex, PoisonError};

/// Whether the program can do its work, or take it over. A replica that stands by is ready too.
#[derive(Clone)]
pub struct Readiness {
    trouble: Arc<Mutex<Option<String>>>,
}

impl Default for Readiness {
    fn default() -> Readiness {
        let trouble = "it has not looked at the installed kinds yet";
        Readiness {
            trouble: Arc::new(Mutex::new(Some(trouble.to_owned()))),
        }
    }
}

impl Readiness {
    /// Sets what is in the way; None: it is ready.
    pub fn set(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    fn answer(&self) -> (StatusCode, String) {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match &*trouble {
            None => (StatusCode::OK, "ready\n".into()),
            Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        }
    }
}

/// The routes.
pub fn router(readiness: Readiness, registry: Registry) -> Router {
    let registry = Arc::new(registry);
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(move || async move { readiness.answer() }))
        .route(
            "/metrics",
            get(move || async move {
                let mut text = String::new();
                match encode(&mut text, &registry) {
                    Ok(()) => {
                        let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                        ([(header::CONTENT_TYPE, format)], text).into_response()
                    }
                    Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
                }
            }),
        )
}
