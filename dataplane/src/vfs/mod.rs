//! The SQLite VFS: SQLite reads pages of one pinned version and hands over exactly the pages that a
//! transaction changed.
//!
//! A connection is opened through [`open`] with a [`Link`], which names its [`Backend`] and its limits. The
//! way of the link to the file: a token in a registry, taken out when SQLite opens the file, so that no SQL
//! text can name another connection's database.
//!
//! Life of a write:
//! 1. `xLock(SHARED)` asks the backend for a [`View`] and pins it; every read is from that view.
//! 2. `xLock(RESERVED)` is `Backend::reserve`; refused with BUSY_SNAPSHOT, READONLY or FULL.
//! 3. The pager keeps changed pages in memory (`cache_spill=OFF`) and their originals too
//!    (`journal_mode=MEMORY`). At commit it finds `SQLITE_IOCAP_BATCH_ATOMIC` and an in-memory journal:
//!    `BEGIN_ATOMIC_WRITE`, one `xWrite` per changed page, `COMMIT_ATOMIC_WRITE`.
//! 4. `COMMIT_ATOMIC_WRITE` is `Backend::commit` with one [`Batch`]; the view that comes back is read from
//!    then on, until the lock is given back.
//!
//! INVARIANT: nothing changes a database but a batch. A write outside of one is refused, journals and WAL
//! files cannot be opened, and the pragmas that would lead there are refused (`pragma`).
//! INVARIANT: a refused batch answers with a code after which SQLite rolls back (FULL, BUSY_SNAPSHOT,
//! READONLY, ABORT), never with an IOERR (SQLite would write past the batch), never with plain BUSY (an
//! explicit COMMIT would stay open).
//! INVARIANT: no panic crosses into SQLite: it becomes an error and the connection is poisoned.
//!
//! Modules: `main_file`, `temp_file`, `pragma`, `quota` and `link` are safe code that decides; `ffi`,
//! `allocator`,
//! `control`, `counters`, `function`, `heap` and `table` speak C, and are the only unsafe code of the product.

mod allocator;
mod backend;
mod control;
mod counters;
mod ffi;
mod function;
mod heap;
mod link;
mod main_file;
#[cfg(test)]
pub(crate) mod memory;
mod pragma;
mod quota;
mod registry;
mod table;
mod temp_file;
#[cfg(test)]
mod tests;

pub use backend::{Backend, Batch, ReadError, Refusal, View};
pub use control::{memory_used, reset_cache, watch};
pub use counters::Counters;
pub use function::{Answer, Argument, Buffer, Call, Failure, Function, IsOver, Reads, add_function};
pub use link::{Fault, Link, Settings};
pub use quota::{Quota, TempSpace};
pub use registry::open;
pub use table::{Rows, Table, add_table};

/// Starts SQLite with the VFS and the heap limit. Before anything else uses SQLite in this process; [`open`] does
/// it too. False if SQLite had already started, so that the heap of a connection is not limited.
pub fn start() -> rusqlite::Result<bool> {
    ffi::register()
}
