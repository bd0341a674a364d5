//! What a committed entry may do to a database: functions of both and of nothing else, so that every member decides the
//! same. The state machine steps them, and so does the model of two nodes that both think they lead
//! (`materialize/model.rs`).

use crate::overlay::Snapshot;
use crate::raft::Refused;
use orion_api::{Epoch, Version};

/// Where a database stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Who writes it.
    pub(crate) epoch: Epoch,
    /// The newest version.
    pub(crate) version: Version,
    /// The version that is in the base; 0 for none.
    pub(crate) materialized: Version,
}

impl Position {
    /// That of an applied version.
    pub(super) fn of(snapshot: &Snapshot) -> Position {
        let checkpoint = snapshot.checkpoint.as_ref();
        Position {
            epoch: snapshot.epoch,
            version: snapshot.version,
            materialized: checkpoint.map_or(Version(0), |checkpoint| checkpoint.version),
        }
    }
}

/// INVARIANT: a commit is applied only in the database's epoch and on top of the version that it was made on: what a writer
/// made that did not know of a later version is lost as a whole, never mixed in.
pub(crate) fn commit(at: &Position, epoch: Epoch, base: Version) -> Result<(), Refused> {
    if epoch != at.epoch {
        return Err(Refused::Epoch);
    }
    if base != at.version {
        return Err(Refused::Version);
    }
    Ok(())
}

/// INVARIANT: a checkpoint is named only in the database's epoch, and only if it is newer than the one before: what was
/// let go of because a newer one had it is nowhere else.
pub(crate) fn materialized(at: &Position, epoch: Epoch, version: Version) -> Result<(), Refused> {
    if epoch != at.epoch {
        return Err(Refused::Epoch);
    }
    if version <= at.materialized || version > at.version {
        return Err(Refused::Version);
    }
    Ok(())
}
