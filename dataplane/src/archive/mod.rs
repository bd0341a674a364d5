//! The log archive: a group's committed entries in the object store, about a second after they were committed, and the
//! recovery of a group from it.
//!
//! ```text
//! archive/<group>/<incarnation>/<first index>          entries, see [`object`]
//! archive/<group>/<incarnation>/snapshots/…            catalog and overlays at an index, see [`snapshots`]
//! ```
//! Numbers have 20 digits, so that lists are in order.
//!
//! # Words
//! The *chain* of an incarnation is its objects in order. Each begins where the one before ended: its name is the index
//! after the last one of that. A *gap* is where one does not. A *seal* is an object that ends the chain for good, written
//! by whoever recovers the group. A *snapshot* is the state machine at an index: the local snapshot of a leader. What can
//! be recovered is the newest snapshot and the chain behind it, or, as long as there is none, the chain from index 0.
//!
//! # Writing ([`Archiver`], on the leader)
//! 1. Where to go on: behind the newest object, which is listed once in a leader's life (the log says from where to look).
//! 2. Once an interval: if anything was applied since, it becomes an object, put if absent.
//! 3. From time to time a snapshot, and what is older than the retention and behind a snapshot goes.
//! 4. If the log does not have the next entry any more (the store was away for longer than the log is kept for it), a
//!    snapshot is put first, and the chain goes on behind that: from then on nothing is missing any more.
//!
//! INVARIANT: only committed entries get here, and those are the same on every member: whoever writes an object, a leader,
//! or one that does not know yet that it leads no more, writes the truth. Writers can differ only in where an object
//! ends; put-if-absent lets one win, and the other reads what won and goes on behind it. So a chain has no overlap, and
//! never two contents for an index. Tested by `writers_that_both_think_they_lead_make_one_chain`.
//! INVARIANT: nobody waits for the archive: it reads the log beside everybody, and what it lags is kept in the log, up to a
//! limit.
//! CRASH: an object is there as a whole or not at all; the next leader finds out.

mod chain;
mod object;
mod recover;
mod replayed;
mod retention;
mod snapshots;
mod writer;

use crate::owner::{Owner, Recovered};
use crate::store::Store;
#[cfg(test)]
pub(crate) use chain::Chain;
#[cfg(test)]
pub(crate) use object::{Life, Object, encode, encode_seal};
use object_store::path::Path;
use orion_api::{DatabaseId, DatabaseName, GroupName, Version};

pub(crate) use recover::Recovery;
pub(crate) use replayed::{End, Replayed};
pub use writer::Options;
pub(crate) use writer::{Archiver, Counters};

/// Why the archive cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object store.
    #[error("the object store did not go along")]
    Store(#[from] crate::store::Error),
    /// The group.
    #[error("the group did not go along")]
    Group(#[from] crate::group::Error),
    /// The log.
    #[error("the log cannot be read")]
    Log(#[from] crate::log::Error),
    /// A local file.
    #[error("could not {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// An object is not what was written.
    #[error("{path} is damaged: {detail}")]
    Damaged {
        /// Which.
        path: Path,
        /// What is wrong.
        detail: String,
    },
    /// An object of a format that this release does not know.
    #[error("{path} has archive format {format}, which this release does not know")]
    Format {
        /// Which.
        path: Path,
        /// The number found.
        format: u32,
    },
    /// The archive has another history than this member.
    #[error("{path} has another entry at index {index} than this member applied: the histories forked")]
    Forked {
        /// Which object.
        path: Path,
        /// Where.
        index: u64,
    },
    /// Somebody recovered the group: this incarnation is over.
    #[error("the group was recovered: this incarnation of it is over")]
    Sealed,
    /// The chains of owners and groups.
    #[error("the owner chains did not go along")]
    Owner(#[from] crate::owner::Error),
    /// A base.
    #[error("a base failed")]
    Base(#[from] crate::base::Error),
    /// Writing what the archive holds into a base.
    #[error("a database was not materialized")]
    Materialize(#[from] crate::materialize::Error),
    /// There never was such a group.
    #[error("no group {0} was ever begun in this object store")]
    NeverBegun(GroupName),
    /// A group without an archive.
    #[error("nothing of the group {0} is archived: there is nothing to begin from")]
    NothingArchived(GroupName),
    /// Databases have lost their pages.
    #[error(
        "the object store does not have the pages any more that {} from: {}. Bring their objects back (older versions, a copy of the bucket), or give these databases up: --drop-lost <name> for each",
        match .0.len() { 1 => "a database begins", _ => "databases begin" },
        .0.iter().map(Lost::to_string).collect::<Vec<_>>().join(", ")
    )]
    BasesLost(Vec<Lost>),
    /// A database belongs to somebody else by now.
    #[error("database {} is owned by group {}, incarnation {}, epoch {}", .0.database, .0.group, .0.incarnation.0, .0.epoch)]
    Elsewhere(Box<Owner>),
    /// A task ended.
    #[error("the node is stopping")]
    Stopped,
}

/// A database whose base has no checkpoint of the version that the archive goes on from, nor a newer one, or cannot be read there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Which.
    pub database: DatabaseId,
    /// Its name.
    pub name: DatabaseName,
    /// The version.
    pub version: Version,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Lost {
            database,
            name,
            version,
        } = self;
        write!(f, "{name} (id {database}, version {version})")
    }
}

impl Error {
    fn damaged(path: &Path, detail: &str) -> Error {
        Error::Damaged {
            path: path.clone(),
            detail: detail.to_owned(),
        }
    }

    fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::Io { what, source }
    }
}

/// Writes the seed of a recovered incarnation to `file`.
pub(crate) async fn fetch_seed(
    store: &Store,
    recovered: &Recovered,
    file: &std::path::Path,
) -> Result<(), Error> {
    let folder = Path::from(recovered.seed.as_str());
    let stored = snapshots::Stored::at(folder.clone()).filter(|stored| stored.index == recovered.index);
    let stored = stored.ok_or_else(|| Error::damaged(&folder, "it is no snapshot's folder"))?;
    snapshots::download(store, &stored, file).await.map(drop)
}
