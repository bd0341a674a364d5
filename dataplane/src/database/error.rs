//! Why the database layer did not run a unit, or cannot say what became of it. Errors of single
//! statements are not here: they are results of the unit.

use orion_api::{Code, Kind};

/// An error with a code for clients and a kind for callers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Names it.
    pub code: Code,
    /// Explains it.
    pub message: String,
}

impl Error {
    /// An error with this code and text.
    pub fn new(code: Code, message: impl Into<String>) -> Error {
        Error {
            code,
            message: message.into(),
        }
    }

    /// What the caller can do.
    pub fn kind(&self) -> Kind {
        self.code.kind()
    }
}

impl Error {
    /// What the SQL layer said where no statement can be blamed: opening a connection, for instance.
    pub(super) fn sql(error: &crate::sql::Error) -> Error {
        Error::new(Code::Internal, error.to_string())
    }
}
