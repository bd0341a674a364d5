//! What can go wrong between a client and a server, and what the caller can do about it.

use http::StatusCode;

use crate::error::ErrorBody;
use crate::{Code, Kind, hrana};

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a call gave no answer, or one that is an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL cannot be used.
    #[error("the URL {url:?} cannot be used: {reason}")]
    Url {
        /// As it was given.
        url: String,
        /// Why not.
        reason: String,
    },
    /// Nobody answers there; nothing was sent.
    #[error("cannot connect to {server}")]
    Connect {
        /// `http://host:port`.
        server: String,
        /// What the system said.
        source: Source,
    },
    /// The connection was lost after the request was sent: it may have been done.
    #[error("no reply from {server}")]
    Lost {
        /// `http://host:port`.
        server: String,
        /// What happened.
        source: Source,
    },
    /// The server answered that it did not do it.
    #[error("{message}{}", shown(.code, .status))]
    Refused {
        /// HTTP's status.
        status: StatusCode,
        /// The machine-readable code, if there was one.
        code: Option<String>,
        /// For people.
        message: String,
    },
    /// A statement, or another request of a pipeline, failed.
    #[error(transparent)]
    Statement(#[from] hrana::Error),
    /// The reply is not what this protocol says.
    #[error("the server does not speak this protocol: {0}")]
    Protocol(String),
}

fn shown(code: &Option<String>, status: &StatusCode) -> String {
    match code {
        Some(code) => format!(" ({code})"),
        None => format!(" (HTTP {})", status.as_u16()),
    }
}

impl Error {
    pub(super) fn connect(server: &str, source: impl Into<Source>) -> Error {
        Error::Connect {
            server: server.to_owned(),
            source: source.into(),
        }
    }

    pub(super) fn lost(server: &str, source: impl Into<Source>) -> Error {
        Error::Lost {
            server: server.to_owned(),
            source: source.into(),
        }
    }

    pub(super) fn from_reply(status: StatusCode, body: &[u8]) -> Error {
        match serde_json::from_slice::<ErrorBody>(body) {
            Ok(body) => Error::Refused {
                status,
                code: (!body.code.is_empty()).then_some(body.code),
                message: body.error,
            },
            Err(_) => Error::Refused {
                status,
                code: None,
                message: status
                    .canonical_reason()
                    .unwrap_or("the server refuses")
                    .to_owned(),
            },
        }
    }

    /// The machine-readable code, if the server gave one that this release knows.
    pub fn code(&self) -> Option<Code> {
        match self {
            Error::Refused { code, .. } => code.as_deref().and_then(Code::from_name),
            Error::Statement(error) => error.known_code(),
            _ => None,
        }
    }

    /// The server's certificate was not believed, or TLS failed in another way.
    pub fn is_of_tls(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = match self {
            Error::Connect { source, .. } | Error::Lost { source, .. } => Some(source.as_ref()),
            _ => None,
        };
        while let Some(error) = cause {
            if error.is::<rustls::Error>() {
                return true;
            }
            let inner = error
                .downcast_ref::<std::io::Error>()
                .and_then(std::io::Error::get_ref);
            cause = match inner {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        false
    }

    /// What the caller can do.
    pub fn kind(&self) -> Kind {
        if let Some(code) = self.code() {
            return code.kind();
        }
        match self {
            Error::Url { .. } => Kind::Invalid,
            Error::Connect { .. } => Kind::Unavailable,
            Error::Lost { .. } => Kind::CommitUnknown,
            Error::Refused { status, .. } => kind_of(*status),
            Error::Statement(_) | Error::Protocol(_) => Kind::Internal,
        }
    }
}

/// For replies without a code of ours: from a proxy, or another server.
fn kind_of(status: StatusCode) -> Kind {
    match status {
        StatusCode::UNAUTHORIZED => Kind::Unauthenticated,
        StatusCode::FORBIDDEN => Kind::Forbidden,
        StatusCode::NOT_FOUND => Kind::NotFound,
        StatusCode::CONFLICT => Kind::Conflict,
        StatusCode::PAYLOAD_TOO_LARGE => Kind::TooLarge,
        StatusCode::TOO_MANY_REQUESTS => Kind::Overloaded,
        StatusCode::SERVICE_UNAVAILABLE => Kind::Unavailable,
        status if status.is_server_error() => Kind::CommitUnknown,
        _ => Kind::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_with_a_code_keeps_it_and_one_without_names_the_status() {
        let coded = br#"{"error":"there is no database x","code":"DATABASE_NOT_FOUND"}"#;
        let error = Error::from_reply(StatusCode::NOT_FOUND, coded);
        assert_eq!(error.to_string(), "there is no database x (DATABASE_NOT_FOUND)");
        assert_eq!(error.kind(), Kind::NotFound);
        let error = Error::from_reply(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!(error.to_string(), "Bad Gateway (HTTP 502)");
        assert_eq!(error.kind(), Kind::CommitUnknown);
    }
}
