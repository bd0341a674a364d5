//! Materialization: bringing committed pages into the object store, their lasting home. The leader's job.
//!
//! # Order (design 5; SlateDB's writer epoch says who opened last, not who leads)
//! 1. Open the base as its writer, which fences every other one.
//! 2. A barrier: a quorum confirms, after the open, that this node leads.
//! 3. V := the version that is applied now.
//! 4. Write every page that changed since the last `Materialized`, exactly as of V; delete the keys of pages
//!    that are gone; the header last.
//! 5. Flush, and checkpoint `e<epoch>-v<V>`.
//! 6. Propose `Materialized`, which the state machine refuses unless it is of the epoch and newer.
//!
//! INVARIANT: nobody reads the head of a base, only checkpoints that a `Materialized` entry names. So what a
//! stale leader wrote between its barrier and its flush is never read: its writer was fenced by the open of
//! the next leader, or its checkpoint is never named.
//! CRASH: at any step the next materialization begins again at 1; a checkpoint that nobody named is deleted
//! by a later one.

mod job;
#[cfg(test)]
mod model;
mod scheduler;

#[cfg(test)]
pub(crate) use job::materialize;
pub(crate) use job::store;
pub(crate) use scheduler::{Options, Scheduler};

/// Why a materialization did not get to its end. Nothing is lost by it; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The base.
    #[error("the base failed")]
    Base(#[from] crate::base::Error),
    /// The group.
    #[error("the group did not go along")]
    Group(#[from] crate::group::Error),
    /// A page that is to be written cannot be read.
    #[error("a page cannot be read")]
    Read(#[from] crate::vfs::ReadError),
    /// The thread that resolved the pages is gone.
    #[error("the node is stopping")]
    Stopped,
}
