//! Errors as HTTP replies: the one place where a kind becomes a status.
//!
//! Errors of statements are not here: they are inside a 200.

use crate::database::{self, Elsewhere};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use orion_api::error::ErrorBody;
use orion_api::{Code, Kind};

/// The code of an error, for whoever does not read bodies: other nodes, proxies.
pub(crate) const CODE: HeaderName = HeaderName::from_static("x-orion-code");

/// The status of a kind of error.
pub fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Timeout => StatusCode::REQUEST_TIMEOUT,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Quota => StatusCode::TOO_MANY_REQUESTS,
        Kind::Retry | Kind::NotLeader | Kind::Fenced | Kind::Overloaded | Kind::Unavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        // Never 503: proxies and clients repeat those by themselves, and this may have been done.
        Kind::CommitUnknown | Kind::Corrupt | Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A reply that is an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HttpError {
    /// Names it, and gives the status.
    pub code: Code,
    /// Explains it.
    pub message: String,
    /// Nothing was done here, and another node may do it.
    pub elsewhere: Option<Elsewhere>,
}

impl HttpError {
    /// An error with this code and text.
    pub fn new(code: Code, message: impl Into<String>) -> HttpError {
        HttpError {
            code,
            message: message.into(),
            elsewhere: None,
        }
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        match self.code {
            Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            code => status(code.kind()),
        }
    }
}

impl From<database::Error> for HttpError {
    fn from(error: database::Error) -> HttpError {
        HttpError {
            code: error.code,
            message: error.message,
            elsewhere: error.elsewhere,
        }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = ErrorBody::new(self.code, self.message);
        let mut response = (status, axum::Json(body)).into_response();
        if let Some(elsewhere) = self.elsewhere {
            response.extensions_mut().insert(elsewhere);
        }
        let headers = response.headers_mut();
        headers.insert(CODE, HeaderValue::from_static(self.code.as_str()));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        ) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_status_that_clients_expect() {
        for (code, expected) in [
            (Code::HranaProtoError, 400),
            (Code::StreamExpired, 400),
            (Code::AuthMissing, 401),
            (Code::AuthInvalid, 401),
            (Code::AuthForbidden, 403),
            (Code::Blocked, 403),
            (Code::DatabaseNotFound, 404),
            (Code::NamespaceNotFound, 404),
            (Code::MethodNotAllowed, 405),
            (Code::TransactionTimeout, 408),
            (Code::RequestTimeout, 408),
            (Code::IdempotencyConflict, 409),
            (Code::RequestTooLarge, 413),
            (Code::Quota, 429),
            (Code::CommitUnknown, 500),
            (Code::Corrupt, 500),
            (Code::Internal, 500),
            (Code::NotLeader, 503),
            (Code::Fenced, 503),
            (Code::Overloaded, 503),
            (Code::StaleRead, 503),
            (Code::Unavailable, 503),
        ] {
            let status = HttpError::new(code, "").status();
            assert_eq!(status.as_u16(), expected, "{code}");
        }
    }

    #[test]
    fn an_unknown_commit_never_invites_a_retry() {
        let response = HttpError::new(Code::CommitUnknown, "").into_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!response.headers().contains_key(header::RETRY_AFTER));
    }
}
