//! The base: a database's materialized pages, in a SlateDB of its own per epoch, in the object store.
//!
//! What it is not: it decides nothing. When to materialize, at which version, whether this node may, and which
//! checkpoints are still needed, is for the group and its state machine. Nobody but them calls it.
//!
//! ## Layout
//! ```text
//! db/<database id>/<epoch>/manifest/<n>.manifest      which tables there are; named checkpoints; sealed
//! db/<database id>/<epoch>/compacted/<ulid>.sst       tables: pages, records, header
//! db/<database id>/<epoch>/compactions/<n>.compactions  state of compactions; sealed
//! db/<database id>/<epoch>/gc/…                       how far manifests were deleted
//! db/<database id>/owner/<epoch>                      see [`crate::owner`]
//! ```
//! `<epoch>` has 20 digits. There is no `wal/`: see [`no_wal`]. Keys and values: [`format`].
//!
//! ## Rules
//! - INVARIANT: nobody reads the head. A [`Checkpoint`] is made once, by [`Writer::checkpoint`], and what is read
//!   at it never changes, whatever is written, compacted or collected later, until it is deleted.
//! - INVARIANT: what is handed out passed its checksum over database, page number and bytes, and the manifest by
//!   which it was found passed its own. Anything else is [`Error::Corrupt`].
//! - One writer at a time: opening fences. A fenced writer finds out at its next [`Writer::checkpoint`].
//! - Nothing runs by itself: no polling, no compaction, no collection, no task for a reader. An idle database
//!   costs no request; a closed one costs nothing.
//!
//! ## Crashes
//! CRASH: before a checkpoint's manifest is written, its tables are garbage that a later collection removes. After it,
//! but before the log knows of it, the checkpoint is an orphan: [`Bases::checkpoints`] lists all there are, and
//! whoever knows which are wanted deletes the others.

mod bases;
mod checkpoint;
mod clone;
mod compaction;
mod error;
mod format;
mod garbage;
mod no_wal;
mod purge;
mod reader;
mod sealed;
mod writer;

pub use bases::{Bases, Options};
pub use checkpoint::Checkpoint;
pub use error::{Error, Kind};
pub use format::{Header, StoredPage};
pub use writer::Writer;

#[cfg(test)]
mod tests;
