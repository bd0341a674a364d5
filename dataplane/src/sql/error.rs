//! Why a statement failed: a code for clients, a message for people, and a kind that tells the caller what
//! to do.

use super::budget::Ended;
use super::catalog;
use crate::vfs::{Fault, ReadError, Refusal};
use rusqlite::ffi;
use std::ffi::c_int;

/// A code as clients see it (surface, section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// SQLite's, by its primary code.
    Sqlite(i32),
    /// The text is not SQL, or not of this database.
    SqlParseError,
    /// The text holds no statement.
    SqlNoStatement,
    /// The text holds more than one statement.
    SqlManyStatements,
    /// The arguments do not fit the parameters.
    ArgsInvalid,
    /// Positional and named arguments at once.
    ArgsBothPositionalAndNamed,
    /// The result is larger than the budget.
    ResponseTooLarge,
}

impl Code {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Code::Sqlite(code) => catalog::primary(code),
            Code::SqlParseError => "SQL_PARSE_ERROR",
            Code::SqlNoStatement => "SQL_NO_STATEMENT",
            Code::SqlManyStatements => "SQL_MANY_STATEMENTS",
            Code::ArgsInvalid => "ARGS_INVALID",
            Code::ArgsBothPositionalAndNamed => "ARGS_BOTH_POSITIONAL_AND_NAMED",
            Code::ResponseTooLarge => "RESPONSE_TOO_LARGE",
        }
    }
}

/// What the caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The statement or its arguments are wrong.
    Invalid,
    /// The data forbids it.
    Constraint,
    /// The policy forbids it.
    Denied,
    /// Someone cancelled it.
    Interrupted,
    /// Its time was over.
    Deadline,
    /// A limit of result, value, transaction, heap or temporary files.
    TooLarge,
    /// The database may not grow.
    Full,
    /// The snapshot is not the newest: the transaction can only be run again.
    Conflict,
    /// It would go on if the connection had its turn to write.
    NeedsTurn,
    /// Writes are off here.
    ReadOnly,
    /// The data is damaged.
    Corrupt,
    /// The data cannot be had at the moment.
    Unavailable,
    /// The database is not served here any more.
    Gone,
    /// A fault of ours.
    Internal,
}

/// Why a statement failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    code: Code,
    extended: Option<i32>,
    message: String,
    offset: Option<u32>,
    kind: Kind,
}

/// What else is known when SQLite answers with a code.
#[derive(Debug, Default)]
pub(super) struct Circumstances {
    pub(super) fault: Option<Fault>,
    pub(super) ended: Option<Ended>,
    pub(super) denied: Option<String>,
}

impl Error {
    pub(super) fn new(code: Code, kind: Kind, message: impl Into<String>) -> Error {
        Error {
            code,
            extended: None,
            message: message.into(),
            offset: None,
            kind,
        }
    }

    pub(super) fn arguments(message: impl Into<String>) -> Error {
        Error::new(Code::ArgsInvalid, Kind::Invalid, message)
    }

    /// The statement did not begin, because what it belongs to was cancelled.
    pub(super) fn interrupted() -> Error {
        let code = ffi::SQLITE_INTERRUPT;
        Error {
            extended: Some(code),
            ..Error::new(Code::Sqlite(code), Kind::Interrupted, "interrupted")
        }
    }

    /// SQLite did not understand the text: its syntax, or a name in it that means nothing here. SQLite has one
    /// code for both, and so have clients, whether SQLite knows a place in the text or not.
    pub(super) fn while_preparing(self) -> Error {
        let is_of_the_text = self.kind == Kind::Invalid && self.extended == Some(ffi::SQLITE_ERROR);
        match is_of_the_text {
            true => Error {
                code: Code::SqlParseError,
                ..self
            },
            false => self,
        }
    }

    /// The code for clients.
    pub fn code(&self) -> Code {
        self.code
    }

    /// SQLite's extended code, if SQLite said so.
    pub fn extended(&self) -> Option<i32> {
        self.extended
    }

    /// The extended code's name, for example `SQLITE_CONSTRAINT_UNIQUE`.
    pub fn extended_name(&self) -> Option<&'static str> {
        self.extended.map(catalog::extended)
    }

    /// What happened, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Byte in the SQL text at which SQLite found it.
    pub fn offset(&self) -> Option<u32> {
        self.offset
    }

    /// What the caller can do.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// From rusqlite's error and what the connection knows about its reason.
    pub(super) fn from_sqlite(error: rusqlite::Error, around: Circumstances) -> Error {
        match error {
            rusqlite::Error::MultipleStatement => {
                Error::new(Code::SqlManyStatements, Kind::Invalid, "more than one statement")
            }
            rusqlite::Error::SqlInputError {
                error, msg, offset, ..
            } => Error {
                code: Code::SqlParseError,
                extended: Some(error.extended_code),
                message: msg,
                offset: u32::try_from(offset).ok(),
                kind: Kind::Invalid,
            },
            rusqlite::Error::SqliteFailure(error, message) => {
                let message = message.unwrap_or_else(|| catalog::extended(error.extended_code).to_owned());
                Error::from_code(error.extended_code, message, around)
            }
            other => Error::new(
                Code::Sqlite(ffi::SQLITE_MISUSE),
                Kind::Internal,
                other.to_string(),
            ),
        }
    }

    /// A page could not be read, whatever SQLite made of it.
    pub(super) fn from_fault(fault: &Fault) -> Error {
        let (kind, message) = of_fault(fault);
        let code = if kind == Kind::Corrupt {
            ffi::SQLITE_CORRUPT
        } else {
            ffi::SQLITE_IOERR_READ
        };
        let message = message.unwrap_or_default();
        Error {
            extended: Some(code),
            ..Error::new(Code::Sqlite(code & 0xff), kind, message)
        }
    }

    fn from_code(extended: c_int, message: String, around: Circumstances) -> Error {
        let (mut kind, reason) = match (extended & 0xff, around.denied, around.fault) {
            (ffi::SQLITE_AUTH, Some(reason), _) => (Kind::Denied, Some(reason)),
            (_, _, Some(fault)) if is_a_consequence(extended) => of_fault(&fault),
            _ => (of_primary(extended), None),
        };
        let reason = match (extended & 0xff, around.ended) {
            (ffi::SQLITE_INTERRUPT, Some(Ended::Deadline)) => {
                kind = Kind::Deadline;
                Some("the statement took longer than its time limit".to_owned())
            }
            (ffi::SQLITE_INTERRUPT, Some(Ended::Pages)) => {
                return Error {
                    extended: Some(ffi::SQLITE_FULL),
                    ..Error::new(Code::Sqlite(ffi::SQLITE_FULL), Kind::TooLarge, TOO_LARGE)
                };
            }
            _ => reason,
        };
        let corrupt = kind == Kind::Corrupt && extended & 0xff == ffi::SQLITE_IOERR;
        let code = if corrupt { ffi::SQLITE_CORRUPT } else { extended };
        Error {
            code: Code::Sqlite(code & 0xff),
            extended: Some(code),
            message: reason.unwrap_or(message),
            offset: None,
            kind,
        }
    }
}

const TOO_LARGE: &str = "the transaction changes more than its limit of pages; use smaller transactions, and incremental_vacuum instead of VACUUM";

/// Codes with which the file answers; any other has its own reason.
fn is_a_consequence(extended: c_int) -> bool {
    matches!(
        extended & 0xff,
        ffi::SQLITE_IOERR
            | ffi::SQLITE_FULL
            | ffi::SQLITE_BUSY
            | ffi::SQLITE_READONLY
            | ffi::SQLITE_ABORT
            | ffi::SQLITE_CANTOPEN
            | ffi::SQLITE_CORRUPT
            | ffi::SQLITE_ERROR
            | ffi::SQLITE_NOMEM
    )
}

fn of_fault(fault: &Fault) -> (Kind, Option<String>) {
    let with = |kind: Kind, text: &str| (kind, Some(text.to_owned()));
    match fault {
        Fault::Read(error @ ReadError::Corrupt { .. }) => (Kind::Corrupt, Some(error.to_string())),
        Fault::Read(error @ ReadError::Unavailable { .. }) => (Kind::Unavailable, Some(error.to_string())),
        Fault::Read(error @ ReadError::WouldWait { .. }) => (Kind::Unavailable, Some(error.to_string())),
        Fault::Read(error @ ReadError::Gone) => (Kind::Gone, Some(error.to_string())),
        Fault::Refused(Refusal::Stale) => with(
            Kind::Conflict,
            "the database has changed since this transaction began to read; run it again",
        ),
        Fault::Refused(Refusal::NoTurn) => with(Kind::NeedsTurn, "another connection is writing"),
        Fault::Refused(Refusal::Full) => with(Kind::Full, "the database may not grow further"),
        Fault::Refused(Refusal::TooLarge) => with(Kind::TooLarge, TOO_LARGE),
        Fault::Refused(Refusal::ReadOnly) => with(Kind::ReadOnly, "this connection may not write"),
        Fault::HeapFull => with(Kind::TooLarge, "the statement needs more memory than its limit"),
        Fault::TempFull => with(Kind::TooLarge, "temporary files would exceed their limit"),
        Fault::TempDisk(error) => (
            Kind::Unavailable,
            Some(format!("a temporary file failed: {error}")),
        ),
        Fault::Protocol(what) => (Kind::Internal, Some(format!("refused {what}"))),
        Fault::Panicked => with(Kind::Internal, "the connection failed and must be closed"),
    }
}

fn of_primary(extended: c_int) -> Kind {
    match extended & 0xff {
        ffi::SQLITE_CONSTRAINT => Kind::Constraint,
        ffi::SQLITE_AUTH | ffi::SQLITE_PERM => Kind::Denied,
        ffi::SQLITE_INTERRUPT => Kind::Interrupted,
        ffi::SQLITE_TOOBIG | ffi::SQLITE_NOMEM => Kind::TooLarge,
        ffi::SQLITE_FULL => Kind::Full,
        ffi::SQLITE_BUSY => Kind::Conflict,
        ffi::SQLITE_READONLY => Kind::ReadOnly,
        ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB => Kind::Corrupt,
        ffi::SQLITE_IOERR | ffi::SQLITE_CANTOPEN => Kind::Unavailable,
        ffi::SQLITE_INTERNAL | ffi::SQLITE_MISUSE | ffi::SQLITE_PROTOCOL => Kind::Internal,
        _ => Kind::Invalid,
    }
}
