//! Error codes and kinds: what every boundary of Orion says when something does not work.
//!
//! A [`Code`] is the name that clients see and programs compare; a [`Kind`] tells the caller what to do
//! about it. Transports make their status codes from the kind, never from text.

mod sqlite;

use serde::{Deserialize, Serialize};
use std::fmt;

pub use sqlite::SqliteCode;

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is wrong and will be wrong again.
    Invalid,
    /// No token, or one that does not verify.
    Unauthenticated,
    /// Known who asks, but not allowed.
    Forbidden,
    /// What was asked for is not there.
    NotFound,
    /// It contradicts the present state: another key's request, a constraint, a name that is taken.
    Conflict,
    /// Nothing was done; the same request may work at once.
    Retry,
    /// Nothing was done; another node leads.
    NotLeader,
    /// Nothing was done; the database is being handed over or has another owner.
    Fenced,
    /// Time was up.
    Timeout,
    /// The request or its result is larger than allowed.
    TooLarge,
    /// A limit of the tenant is reached.
    Quota,
    /// The node has more to do than it can; later.
    Overloaded,
    /// A part that is needed does not answer.
    Unavailable,
    /// Whether it was done is not known. Only an idempotency key makes a retry safe.
    CommitUnknown,
    /// Data failed its checksum and was not served.
    Corrupt,
    /// A fault of ours.
    Internal,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $kind:ident;)*) => {
        /// The machine-readable name of an error.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            /// A result code of SQLite, primary or extended.
            Sqlite(SqliteCode),
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// The name as it goes over the wire.
            pub fn as_str(self) -> &'static str {
                match self {
                    Code::Sqlite(code) => code.name(),
                    $(Code::$variant => $name,)*
                }
            }

            /// The code with this name.
            pub fn from_name(name: &str) -> Option<Code> {
                match name {
                    $($name => Some(Code::$variant),)*
                    _ => SqliteCode::from_name(name).map(Code::Sqlite),
                }
            }

            /// What the caller can do.
            pub fn kind(self) -> Kind {
                match self {
                    Code::Sqlite(code) => code.kind(),
                    $(Code::$variant => Kind::$kind,)*
                }
            }

            /// Every code that is not SQLite's.
            pub const OWN: &'static [Code] = &[$(Code::$variant,)*];
        }
    };
}

codes! {
    /// SQLite's parser refused the text.
    SqlParseError = "SQL_PARSE_ERROR", Invalid;
    /// The text holds no statement.
    SqlNoStatement = "SQL_NO_STATEMENT", Invalid;
    /// The text holds several statements where one is allowed.
    SqlManyStatements = "SQL_MANY_STATEMENTS", Invalid;
    /// An argument is missing, not expected or not representable.
    ArgsInvalid = "ARGS_INVALID", Invalid;
    /// One parameter was given by position and by name.
    ArgsBothPositionalAndNamed = "ARGS_BOTH_POSITIONAL_AND_NAMED", Invalid;
    /// The transaction was open for too long and was rolled back.
    TransactionTimeout = "TRANSACTION_TIMEOUT", Timeout;
    /// Too many transactions wait for this database.
    TransactionBusy = "TRANSACTION_BUSY", Retry;
    /// An operator has blocked reads or writes of this database.
    Blocked = "BLOCKED", Forbidden;
    /// The result is larger than the limit.
    ResponseTooLarge = "RESPONSE_TOO_LARGE", TooLarge;
    /// The request does not follow the protocol: not JSON, a wrong type, a bad or stale baton.
    HranaProtoError = "HRANA_PROTO_ERROR", Invalid;
    /// The stream is closed, after a time-out or by the client.
    StreamExpired = "STREAM_EXPIRED", Invalid;
    /// No token where one is needed.
    AuthMissing = "AUTH_MISSING", Unauthenticated;
    /// A token that does not verify, or is over.
    AuthInvalid = "AUTH_INVALID", Unauthenticated;
    /// A good token without the right that this needs.
    AuthForbidden = "AUTH_FORBIDDEN", Forbidden;
    /// No database has this name.
    DatabaseNotFound = "DATABASE_NOT_FOUND", NotFound;
    /// The request names no database, and none is the default.
    NamespaceNotFound = "NAMESPACE_NOT_FOUND", NotFound;
    /// A database of this name exists.
    DatabaseExists = "DATABASE_EXISTS", Conflict;
    /// There is no such path or object.
    NotFound = "NOT_FOUND", NotFound;
    /// The path exists, but not for this method.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", Invalid;
    /// A header, parameter or field has a value that cannot be used.
    InvalidRequest = "INVALID_REQUEST", Invalid;
    /// The body is larger than the limit.
    RequestTooLarge = "REQUEST_TOO_LARGE", TooLarge;
    /// The body did not arrive in time.
    RequestTimeout = "REQUEST_TIMEOUT", Timeout;
    /// The key was used for another request.
    IdempotencyConflict = "ORION_IDEMPOTENCY_CONFLICT", Conflict;
    /// The group's members cannot be changed so, or not now; nothing was done.
    MembershipConflict = "ORION_MEMBERSHIP_CONFLICT", Conflict;
    /// Whether the write was committed is not known.
    CommitUnknown = "ORION_COMMIT_UNKNOWN", CommitUnknown;
    /// The database is being moved or has another owner; nothing was done.
    Fenced = "ORION_FENCED", Fenced;
    /// Another node leads the group; nothing was done.
    NotLeader = "ORION_NOT_LEADER", NotLeader;
    /// This copy cannot prove to be as new as was asked for.
    StaleRead = "ORION_STALE_READ", Unavailable;
    /// A limit of this database is reached.
    Quota = "ORION_QUOTA", Quota;
    /// The node has too much to do.
    Overloaded = "ORION_OVERLOADED", Overloaded;
    /// A part that this needs does not answer.
    Unavailable = "ORION_UNAVAILABLE", Unavailable;
    /// Data failed its checksum; it is not served.
    Corrupt = "ORION_CORRUPT", Corrupt;
    /// A fault of the server.
    Internal = "ORION_INTERNAL", Internal;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<SqliteCode> for Code {
    fn from(code: SqliteCode) -> Code {
        Code::Sqlite(code)
    }
}

/// Body of an HTTP reply that is an error. `message` repeats `error`: Hrana's clients show the one,
/// sqld's and people's scripts read the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorBody {
    /// What is wrong, for people.
    pub error: String,
    /// The same.
    #[serde(default)]
    pub message: String,
    /// [`Code::as_str`].
    #[serde(default)]
    pub code: String,
}

impl ErrorBody {
    /// A body with this code and text.
    pub fn new(code: Code, message: impl Into<String>) -> ErrorBody {
        let message = message.into();
        ErrorBody {
            error: message.clone(),
            message,
            code: code.as_str().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_by_its_name() {
        for code in Code::OWN {
            assert_eq!(Code::from_name(code.as_str()), Some(*code));
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = Code::OWN.iter().map(|code| code.as_str()).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
