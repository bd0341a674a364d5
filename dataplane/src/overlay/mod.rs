//! Versions of a database that are committed but not yet in the object store, and how a page of a version
//! is found.
//!
//! A [`Snapshot`] is one immutable version. Applying a commit makes the next one, which shares everything
//! that did not change with the one before; readers that hold an old one keep exactly that. Nothing here
//! locks, and nothing waits, but for [`Pages::page`], which may read the object store and is called on SQL
//! threads.
//!
//! # How a page is found
//! 1. A page above the version's page count does not exist.
//! 2. The snapshot has a [`Slot`] for the page if it changed since the database was loaded: an image, a
//!    difference, or the note that the page as of that version is in the base.
//! 3. Without a slot: above `base_limit` (the fewest pages that any version since the checkpoint had) it is
//!    zeros, because what the base holds there was cut off; else the base as of the checkpoint has it.
//!
//! Images are cached for the node under (database, epoch, page, version that wrote it). That key names
//! exactly one content for ever, so nothing in the cache is ever invalid.
//!
//! INVARIANT: applying a commit never reads the base and never waits for the object store: differences are
//! kept as they came, and resolved at a read or at materialization.
//! INVARIANT: an image is handed out only if its checksum is the one that was logged with it.

mod cache;
mod expiries;
mod pages;
mod slot;
mod snapshot;
mod sum;
#[cfg(test)]
mod tests;

pub(crate) use cache::PageCache;
pub(crate) use expiries::Expiries;
pub(crate) use pages::{Pages, Patience, SnapshotView};
pub(crate) use slot::{Content, Prior, Slot};
pub(crate) use snapshot::{CHAIN_MAX, Snapshot, StoredRecord};
pub(crate) use sum::{SumError, sum};
