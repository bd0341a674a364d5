//! What can go wrong with a base, as kinds that say what the caller must do.

use super::Checkpoint;
use crate::causes;
use crate::store::{self, Corruption};
use orion_api::{DatabaseId, Epoch};
use slatedb::{CloseReason, ErrorKind};
use std::time::Duration;

/// What the caller must do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Another writer was opened later. Drop this one and begin again from the barrier.
    Fenced,
    /// Stored content is damaged or missing. Never served; heal from another member or the archive.
    Corrupt,
    /// The checkpoint or the whole base is gone. Use a newer checkpoint.
    NotFound,
    /// The object store does not answer in time. The outcome of a write is unknown: drop the writer, then retry.
    Unavailable,
    /// The object store refuses us. A person must look.
    Denied,
    /// The caller's mistake, or a format of a later release.
    Invalid,
}

/// A base could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another writer was opened later.
    #[error("the base of {database}, epoch {epoch}, was opened by another writer")]
    Fenced {
        /// Whose base.
        database: DatabaseId,
        /// Its epoch.
        epoch: Epoch,
    },
    /// Stored content is not what was written.
    #[error("the base of {database}, epoch {epoch}, is damaged: {what}")]
    Corrupt {
        /// Whose base.
        database: DatabaseId,
        /// Its epoch.
        epoch: Epoch,
        /// The page, object or area.
        what: String,
        /// What noticed it, if not this module.
        #[source]
        source: Option<Box<slatedb::Error>>,
    },
    /// The checkpoint does not exist (any more).
    #[error("checkpoint {} of {}, epoch {}, version {}, is gone", .0.id, .0.database, .0.epoch, .0.version)]
    CheckpointGone(Checkpoint),
    /// A format version that this release does not know.
    #[error("the base of {database} has {what} of format {format}, which this release does not know")]
    Format {
        /// Whose base.
        database: DatabaseId,
        /// Page, header.
        what: &'static str,
        /// The number found.
        format: u32,
    },
    /// The object store failed.
    #[error("object store")]
    Store(#[from] store::Error),
    /// SlateDB failed otherwise.
    #[error("SlateDB")]
    SlateDb(#[source] Box<slatedb::Error>),
    /// An operation did not end in time. Its outcome is unknown.
    #[error("{what} took longer than {after:?}")]
    TimedOut {
        /// The operation.
        what: &'static str,
        /// The limit.
        after: Duration,
    },
    /// The writer failed before, and what it would write now could not be relied on.
    #[error("the writer failed before; open a new one")]
    Spent,
}

impl Error {
    /// What the caller must do.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Fenced { .. } => Kind::Fenced,
            Error::Corrupt { .. } => Kind::Corrupt,
            Error::CheckpointGone(_) => Kind::NotFound,
            Error::Format { .. } => Kind::Invalid,
            Error::Store(error) => of_store(error.kind()),
            Error::SlateDb(error) => of_slatedb(error),
            Error::TimedOut { .. } | Error::Spent => Kind::Unavailable,
        }
    }

    /// Sorts an error of SlateDB by its kind and by the types of its sources, never by its text.
    pub(super) fn of(database: DatabaseId, epoch: Epoch, error: slatedb::Error) -> Error {
        let what = match Corruption::find(&error) {
            Some(damage) => damage.to_string(),
            None => "a table or manifest does not pass SlateDB's checks".to_owned(),
        };
        match of_slatedb(&error) {
            Kind::Fenced => Error::Fenced { database, epoch },
            Kind::Corrupt => Error::Corrupt {
                database,
                epoch,
                what,
                source: Some(Box::new(error)),
            },
            _ => Error::SlateDb(Box::new(error)),
        }
    }
}

fn of_store(kind: store::Kind) -> Kind {
    match kind {
        store::Kind::NotFound => Kind::NotFound,
        store::Kind::Corrupt => Kind::Corrupt,
        store::Kind::Denied => Kind::Denied,
        store::Kind::Unsupported => Kind::Invalid,
        store::Kind::Conflict | store::Kind::Unavailable => Kind::Unavailable,
    }
}

fn of_slatedb(error: &slatedb::Error) -> Kind {
    if Corruption::find(error).is_some() {
        return Kind::Corrupt;
    }
    match error.kind() {
        ErrorKind::Closed(CloseReason::Fenced) => Kind::Fenced,
        ErrorKind::Data => Kind::Corrupt,
        ErrorKind::Invalid => Kind::Invalid,
        _ => match object_store_cause(error) {
            Some(cause) => of_store(store::Kind::of(cause)),
            None => Kind::Unavailable,
        },
    }
}

/// SlateDB keeps the object store's error behind an `Arc` somewhere among the sources.
fn object_store_cause(error: &slatedb::Error) -> Option<&object_store::Error> {
    causes::of(error).find_map(|error| {
        let shared = error.downcast_ref::<std::sync::Arc<object_store::Error>>();
        shared
            .map(|shared| shared.as_ref())
            .or_else(|| error.downcast_ref())
    })
}
