//! A replication group on this node: its Raft, its catalog and state machine, its local snapshots.
//!
//! The state machine is openraft's transient form: it lives in memory, and after a restart openraft installs
//! the last local snapshot and replays the log from there. So applying never waits for a disk.
//!
//! INVARIANT: what a node applies was committed; what it answers was applied.

mod archived;
mod catalog;
mod format_level;
mod groups;
mod handle;
mod leadership;
mod machine;
mod member;
mod membership;
mod read_index;
#[cfg(test)]
mod read_model;
mod replay;
pub(crate) mod rules;
mod snapshot_file;
mod snapshots;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use catalog::{Catalog, Database, PartsHash, State};
pub(crate) use groups::Groups;
pub(crate) use handle::{Group, NotProposed, Outcome, Start};
pub(crate) use machine::Machine;
pub(crate) use replay::{Replay, found};
pub(crate) use snapshots::Options;

/// Why a group cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log.
    #[error(transparent)]
    Log(#[from] crate::log::Error),
    /// A local snapshot could not be written or read.
    #[error("{what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: std::path::PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A local snapshot is not what was written.
    #[error(
        "the local snapshot {path} is corrupt: {detail}; restore this member from another one or from object storage"
    )]
    CorruptSnapshot {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The group writes what this release cannot read.
    #[error(
        "the group is at format level {level}, and this release reads up to {reads}: start a newer release"
    )]
    FormatLevel {
        /// What it is at.
        level: u32,
        /// What this release reads.
        reads: u32,
    },
    /// Raft stopped, or cannot start.
    #[error("Raft stopped: {0}")]
    Stopped(String),
    /// This node does not lead the group: certainly not applied.
    #[error("this node does not lead the group")]
    NotLeader,
    /// The members could not be changed now.
    #[error("the group's members were not changed: {0}")]
    Membership(String),
    /// Nobody knows whether it was or will be applied.
    #[error("the outcome is not known")]
    Unknown,
    /// The state machine refused it: certainly without effect.
    #[error(transparent)]
    Refused(#[from] crate::raft::Refused),
}

impl Error {
    /// The disk is full. What was tried left nothing behind and can be tried again.
    fn is_for_lack_of_room(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match self {
            Error::Io { source, .. } => matches!(source.kind(), StorageFull | QuotaExceeded),
            _ => false,
        }
    }
}
