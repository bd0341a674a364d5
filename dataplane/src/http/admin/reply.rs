//! Bodies, queries and errors of the admin routes: always JSON, always with a code, whatever was wrong.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri, header};
use orion_api::error::ErrorBody;
use orion_api::{Code, Kind};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why an admin request was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Error {
    /// For programs; the status is made from its kind.
    pub code: Code,
    /// For people.
    pub message: String,
}

impl Error {
    /// With this code and text.
    pub fn new(code: Code, message: impl Into<String>) -> Error {
        Error {
            code,
            message: message.into(),
        }
    }

    /// A request that cannot be understood.
    pub(super) fn invalid(reason: impl ToString) -> Error {
        Error::new(Code::InvalidRequest, reason.to_string())
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = Json(ErrorBody::new(self.code, self.message));
        (status_of(self.code), body).into_response()
    }
}

fn status_of(code: Code) -> StatusCode {
    if code == Code::MethodNotAllowed {
        return StatusCode::METHOD_NOT_ALLOWED;
    }
    match code.kind() {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Timeout => StatusCode::REQUEST_TIMEOUT,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Quota => StatusCode::TOO_MANY_REQUESTS,
        Kind::Retry | Kind::NotLeader | Kind::Fenced | Kind::Overloaded | Kind::Unavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Kind::CommitUnknown | Kind::Corrupt | Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A body as JSON. Not axum's: that answers a value that cannot be serialized as plain text.
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
            Err(error) => {
                Error::new(Code::Internal, format!("the answer is no JSON: {error}")).into_response()
            }
        }
    }
}

/// The JSON body, whatever its content type says: people use curl.
pub(super) fn body<T: DeserializeOwned>(bytes: Result<Bytes, BytesRejection>) -> Result<T, Error> {
    let bytes = bytes.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Error::new(Code::RequestTooLarge, rejection.body_text()),
        _ => Error::invalid(rejection.body_text()),
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::invalid(format!("the body is not as it must be: {error}")))
}

/// The query's parameters; unknown ones are refused.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Error> {
    match axum::extract::Query::try_from_uri(uri) {
        Ok(axum::extract::Query(parameters)) => Ok(parameters),
        Err(rejection) => Err(Error::invalid(rejection.body_text())),
    }
}

pub(super) async fn no_such_path(uri: Uri) -> Error {
    let message = format!(
        "the admin API has no {:?}; see {}/openapi.json",
        uri.path(),
        orion_api::admin::ROOT
    );
    Error::new(Code::NotFound, message)
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Error {
    Error::new(
        Code::MethodNotAllowed,
        format!("{method} is not possible on {:?}", uri.path()),
    )
}
