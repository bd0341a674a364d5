//! Who owns a database, and which database a name means: chains of objects that are written once.
//!
//! ```text
//! db/<database id>/owner/<epoch>    the owner since that epoch; the highest is the owner
//! names/<name>/<n>                  the database that the name means, or nobody; the highest counts
//! groups/<group>/begun/<n>          the node that began the n-th incarnation of a group; see [`Founding`] for the others there
//! ```
//! Numbers have 20 digits, so that lists are in order, begin with 1 and have no gaps. Nothing is ever changed; only the
//! purge of a dropped database removes its owner chain as a whole.
//!
//! INVARIANT: an epoch is born only here. Each object is written by put-if-absent, so of any number of
//! claimants of one epoch exactly one wins, on every object store and whatever replies get lost, and all learn the same winner.
//!
//! What it is not: it does not know whether a claimant ought to claim. That is decided before (fence, barrier, lease),
//! and the log entries that follow carry the epoch that was read here.
//!
//! Format: JSON, because these few objects are what a person looks at when ownership is in doubt, and they are written
//! once per move: `{"format":1,"content":{…},"checksum":"…"}`. The checksum is the XXH3-64 of path and content's text.
//!
//! ## Creating a database
//! Its name and its first epoch are two objects, and both are put at once ([`Chains::create`]). The name decides. If it is
//! taken, the epoch of the fresh random id is an orphan: no name and no log leads to it, and a purge of that id removes
//! it. If only the name arrived (a crash), resolving it finds no owner: the same create, retried, completes it, and
//! releasing the name undoes it.

mod chains;
mod groups;
#[cfg(test)]
mod model;
mod names;
mod owners;
mod record;
mod sequence;

use crate::store;
use object_store::path::Path;
use orion_api::{DatabaseId, Epoch};

pub use chains::{Chains, Created};
pub use groups::{Founded, Founding, Life, Plan, Recovered, Taking};
pub use names::{NameClaim, NameRelease};
pub use owners::{Cause, Claim, Incarnation, Owner};

/// A chain could not be read or extended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object store failed. After a claim the outcome is unknown: repeat it with the same operation.
    #[error("object store")]
    Store(#[from] store::Error),
    /// An entry is not what was written.
    #[error("{path} is damaged")]
    Damaged {
        /// The entry.
        path: Path,
    },
    /// An entry of a format that this release does not know.
    #[error("{path} has format {format}, which this release does not know")]
    Format {
        /// The entry.
        path: Path,
        /// The number found.
        format: u32,
    },
    /// An epoch was claimed whose predecessor does not exist.
    #[error("epoch {epoch} of {database} cannot be claimed: there is no epoch before it")]
    Gap {
        /// Whose chain.
        database: DatabaseId,
        /// The epoch that was to be claimed.
        epoch: Epoch,
    },
    /// Others kept extending the chain of a name while we tried to.
    #[error("the chain {path} changes too fast")]
    Contended {
        /// The chain.
        path: Path,
    },
}

impl Error {
    /// What the caller can do.
    pub fn kind(&self) -> store::Kind {
        match self {
            Error::Store(error) => error.kind(),
            Error::Damaged { .. } => store::Kind::Corrupt,
            Error::Format { .. } => store::Kind::Unsupported,
            Error::Gap { .. } => store::Kind::NotFound,
            Error::Contended { .. } => store::Kind::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests;
