//! Bodies and queries of the admin routes: always JSON, always with a code, whatever was wrong.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, Uri, header};
use orion_api::Code;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::BODY_BYTES_MAX;
use crate::http::body::Reading;
use crate::http::{HttpError, Pace};
use crate::room::Room;

/// A request that cannot be understood.
pub(super) fn invalid(reason: impl ToString) -> HttpError {
    HttpError::new(Code::InvalidRequest, reason.to_string())
}

/// A body as JSON. Not axum's: that answers a value that cannot be serialized as plain text.
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
            Err(error) => {
                HttpError::new(Code::Internal, format!("the answer is no JSON: {error}")).into_response()
            }
        }
    }
}

/// The JSON body, whatever its content type says: people use curl.
pub(super) async fn body<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, HttpError> {
    // The number of connections bounds such bodies well enough.
    let room = Room::unlimited();
    let reading = Reading {
        bytes_max: BODY_BYTES_MAX,
        pace: Pace::default(),
        room: &room,
    };
    let (bytes, _share) = reading.read(headers, body).await?;
    serde_json::from_slice(&bytes).map_err(|error| invalid(format!("the body is not as it must be: {error}")))
}

/// The query's parameters; unknown ones are refused.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, HttpError> {
    match axum::extract::Query::try_from_uri(uri) {
        Ok(axum::extract::Query(parameters)) => Ok(parameters),
        Err(rejection) => Err(invalid(rejection.body_text())),
    }
}

pub(super) async fn no_such_path(uri: Uri) -> HttpError {
    let message = format!(
        "the admin API has no {:?}; see {}/openapi.json",
        uri.path(),
        orion_api::admin::ROOT
    );
    HttpError::new(Code::NotFound, message)
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> HttpError {
    HttpError::new(
        Code::MethodNotAllowed,
        format!("{method} is not possible on {:?}", uri.path()),
    )
}
