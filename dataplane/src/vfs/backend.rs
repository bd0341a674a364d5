//! What a connection of the VFS reads from and commits to: the seam between SQLite and the page store.

use crate::page::{Extent, Image, PageNo, PageSize};
use std::sync::Arc;

/// One immutable version of a database, pinned by a read transaction for as long as it holds it.
pub trait View: Send + Sync {
    /// Page count and page size at this version.
    fn extent(&self) -> Extent;

    /// The image of a page with `no` ≤ `extent().page_count`. May wait for the object store; is called on a
    /// SQL thread only.
    fn page(&self, no: PageNo) -> Result<Image, ReadError>;
}

/// Where one connection's transactions begin and end. Each connection has a backend of its own.
pub trait Backend: Send + Sync {
    /// The version that a transaction which begins now reads (called when SQLite takes its SHARED lock).
    fn begin(&self) -> Result<Arc<dyn View>, ReadError>;

    /// SQLite wants to write on top of `view` (RESERVED lock).
    fn reserve(&self, view: &Arc<dyn View>) -> Result<(), Refusal>;

    /// Takes what the transaction changed and answers with the version that it made. Called between
    /// `reserve` and `release`, at most once.
    fn commit(&self, batch: Batch) -> Result<Arc<dyn View>, Refusal>;

    /// The RESERVED lock is given back, committed or not.
    fn release(&self);
}

/// All pages that one SQLite transaction changed, as `COMMIT_ATOMIC_WRITE` hands them over.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Pages in the database after the transaction; from page 1, offset 28.
    pub page_count: u32,
    /// Bytes of each page.
    pub page_size: PageSize,
    /// Changed pages, each number once, none above `page_count`.
    pub pages: Vec<(PageNo, Image)>,
}

/// Why a write may not go on. Only codes after which SQLite rolls back cleanly: an IOERR would make it
/// write past the batch, a plain BUSY would leave an explicit COMMIT open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The view is not the newest version any more: `SQLITE_BUSY_SNAPSHOT`.
    Stale,
    /// This connection does not hold the writer's turn: `SQLITE_BUSY_SNAPSHOT` for SQLite, and the
    /// connection notes it (`Connection::wants_turn`), because the caller can get the turn and run again.
    NoTurn,
    /// The database may not grow further: `SQLITE_FULL`.
    Full,
    /// Writes are off here: `SQLITE_READONLY`.
    ReadOnly,
    /// The transaction is too large: `SQLITE_FULL`, noted as too large.
    TooLarge,
}

/// Why a page could not be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// Its checksum does not match, here and wherever it could be healed from.
    #[error("page {page} is corrupt: {detail}")]
    Corrupt {
        /// The page.
        page: PageNo,
        /// Where it was read from.
        detail: String,
    },
    /// The object store did not answer in time or refused.
    #[error("page {page} cannot be read now: {detail}")]
    Unavailable {
        /// The page.
        page: PageNo,
        /// What the store said.
        detail: String,
    },
    /// It is not in memory, and the view was asked not to wait for the object store.
    #[error("page {page} is not in memory")]
    WouldWait {
        /// The page.
        page: PageNo,
    },
    /// The database is no longer served by this node.
    #[error("the database is not served here any more")]
    Gone,
}
