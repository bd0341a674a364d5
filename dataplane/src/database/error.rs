//! Why the database layer did not run a unit, or cannot say what became of it. Errors of single
//! statements are not here: they are results of the unit.

use crate::group::Group;
pub use crate::peer::Elsewhere;
use crate::vfs::ReadError;
use orion_api::{Code, Kind};

/// An error with a code for clients and a kind for callers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Names it.
    pub code: Code,
    /// Explains it.
    pub message: String,
    /// Nothing was done here, and another node may do it.
    pub elsewhere: Option<Elsewhere>,
}

impl Error {
    /// An error with this code and text.
    pub fn new(code: Code, message: impl Into<String>) -> Error {
        Error {
            code,
            message: message.into(),
            elsewhere: None,
        }
    }

    /// Only the group's leader can do it, and nothing was done here.
    pub(super) fn not_leader(group: &Group, message: impl Into<String>) -> Error {
        Error {
            elsewhere: Some(Elsewhere::Leader(group.name.clone())),
            ..Error::new(Code::NotLeader, message)
        }
    }

    /// What a stream did before cannot be done again by another node.
    pub(super) fn of_stream(self) -> Error {
        Error {
            elsewhere: None,
            ..self
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
        use crate::sql::Kind;
        let code = match error.kind() {
            Kind::Corrupt => Code::Corrupt,
            Kind::Unavailable | Kind::Gone => Code::Unavailable,
            _ => Code::Internal,
        };
        Error::new(code, error.to_string())
    }

    /// A page or record could not be read outside of SQLite.
    pub(super) fn read(error: &ReadError) -> Error {
        let code = match error {
            ReadError::Corrupt { .. } => Code::Corrupt,
            ReadError::Unavailable { .. } | ReadError::WouldWait { .. } | ReadError::Gone => {
                Code::Unavailable
            }
        };
        Error::new(code, error.to_string())
    }
}
