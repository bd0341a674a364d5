//! The Raft logs of all groups of a node, in one sequence of preallocated segment files.
//!
//! # Words
//! A *record* is one thing that a group writes: an entry, its meta data, a truncation. A *frame* is what one
//! flush writes: the records that were queued, from all groups. A *segment* is a file of frames. The *tail*
//! is the newest entries in memory.
//!
//! # Format
//! ```text
//! segment  <sequence as 16 hex digits>.seg, zero-filled to its full length when it is made
//!   header   "ORIONLOG" · format u32 · 0 u32 · sequence u64 · salt u64 · XXH3-64 of the 32 bytes before
//!   frame*   8-byte aligned: magic u32 · length u32 · number u64 · XXH3-64(salt, number, payload) · payload
//!   zeros, or old frames with another salt (segments are used again)
//! payload  record*: kind u8 · group u32 · index u64 · length u32 · bytes      (all little-endian)
//! ```
//! Frame numbers are consecutive over segments. The first frame of a segment repeats the meta data (name,
//! vote, committed, purged) of all groups, so older segments are never needed for it.
//!
//! # Flow
//! `append` returns at once. One flusher thread takes what is queued, writes it as one frame, calls fdatasync
//! once, and completes the callbacks. Order is kept: a vote is never overtaken by an append. A second thread
//! keeps one spare segment ready, so that a flush never allocates: overwriting a preallocated block costs
//! half of what growing a file does (DESIGN.md has the measurement, and why this is not Fjall).
//!
//! INVARIANT: a callback says "durable" only after fdatasync of its frame and of all before it returned.
//! INVARIANT: an invalid frame with a valid one behind it is corruption, and the log does not open: only the
//! last frame can have been torn by a crash, because the next is written after its fdatasync. While idle the
//! flusher seals the log with an empty frame, so that damage to the last real one shows too.
//! INVARIANT: the purge position is stored, never searched.
//! CRASH: before fdatasync returns, the frame is there as a whole or not at all; nobody was told.
//! INVARIANT: a frame is never larger than its segment: what is queued is cut into frames between entries, and an entry
//! that is larger than a segment gets one of its own size. Tested by `entries_of_any_size_fit_into_their_segments`.
//! LIMIT: a tail holds at most `tail_bytes_max` of what is on disk already. Disk: what is not purged, plus
//! one segment in use and one spare. Where a whole spare does not fit on the disk there are smaller ones, down to 4 MiB.
//! When none can be made (disk full), [`Disk::is_writable`] turns
//! false while a reserve for what is in flight is still left, and true again when there is room. What is in
//! flight beyond the reserve waits in the flusher for room: nothing of its frame is on the disk, so nobody
//! needs to doubt what is. A full disk never poisons the log; a failed fdatasync always does.

mod disk;
mod flusher;
mod frame;
mod group_log;
mod recovery;
mod segment;
mod spare;
mod stored;
mod tail;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use disk::{Disk, Options};
pub(crate) use group_log::GroupLog;
pub(crate) use stored::{
    LogIdMessage, VoteMessage, decode as decode_entry, encode as encode_entry, log_id, membership_from_bytes,
    membership_to_bytes,
};

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system failed.
    #[error("{what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Another process holds the directory.
    #[error("{0} is in use by another process: every data directory belongs to one server")]
    Locked(PathBuf),
    /// A segment is not what was written: a flipped bit, a missing file.
    #[error(
        "the log is corrupt in {path} at byte {offset}: {detail}; restore this member from another one or from object storage"
    )]
    CorruptSegment {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        detail: String,
    },
    /// An entry is not what was written.
    #[error("the log of group {group} is corrupt at index {index}: {detail}")]
    CorruptEntry {
        /// Number of the group on this node.
        group: u32,
        /// Index of the entry.
        index: u64,
        /// What is wrong with it.
        detail: String,
    },
    /// A release wrote this that is newer than the one that reads it.
    #[error("{path} has log format {format}, which this release does not know")]
    UnknownFormat {
        /// The segment.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// The disk is full. Nothing was written that anybody relies on.
    #[error("the disk is full: {0}")]
    Full(PathBuf),
    /// Positions in a segment are numbers of 32 bits, and a frame needs some room.
    #[error("log segments of {0} bytes: they must have at least 4 KiB and at most 1 GiB")]
    SegmentBytes(u64),
    /// A write failed before: nothing more is accepted until the node is started again.
    #[error("the log is closed after a failed write")]
    Poisoned,
}

impl Error {
    fn io(what: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }

    /// The same for what may be tried again when it fails for lack of room: never an fsync.
    fn io_or_full(what: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error {
        move |source| match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Error::Full(path.to_owned())
            }
            _ => Error::io(what, path)(source),
        }
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> std::io::Error {
        std::io::Error::other(error)
    }
}
