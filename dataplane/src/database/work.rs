//! Work: a unit of statements that the database layer runs without knowing what it is.
//!
//! The seam to the transports. A unit is one pipeline, or the requests of one pipeline on a stream. It runs
//! on SQL threads and never waits: where it cannot go on it returns, and is called again elsewhere.

use super::Error;
use crate::sql::Connection;
use bytes::Bytes;
use orion_api::{DatabaseId, Epoch, Version};
use std::time::Duration;

/// A unit of statements, resumable between two of them.
pub trait Work: Send + 'static {
    /// Shows all SQL texts of the unit, so that the database can remember which texts write.
    fn statements(&self, visit: &mut dyn FnMut(&str));

    /// Goes on from where it stopped.
    fn resume(&mut self, connection: &mut Connection) -> Progress;

    /// Forgets all results and starts from the first statement. Only called if nothing was committed.
    fn restart(&mut self);

    /// What to keep under an idempotency key: the reply, as it is to be given again. Asked for once, after
    /// [`Progress::Done`].
    fn record(&self) -> Option<Bytes> {
        None
    }
}

/// Why [`Work::resume`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All of it ran.
    Done,
    /// The statement at hand writes and this connection has no turn; nothing of that statement was done.
    NeedsTurn,
    /// The statement at hand is not brief enough for the thread that it runs on; nothing of it was done.
    NeedsPatience,
    /// What comes next must not run on a shared connection; nothing of it was done, and no transaction is
    /// open. `Database::run` answers with the unit as it is; it goes on on a stream, where it stopped.
    NeedsOwnConnection,
}

/// A unit that came back.
#[derive(Debug)]
pub struct Finished<W> {
    /// The unit, with its results (none of this run's, if `idempotency` holds a stored reply).
    pub work: W,
    /// The newest state that it saw or made; visible by now.
    pub seen: Position,
    /// Bound on the age of what was read, by this node's clock. Zero under the strong policies.
    pub staleness: Duration,
    /// What became of the key, if one was given.
    pub idempotency: Option<Recorded>,
}

/// A point in a database's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The database.
    pub database: DatabaseId,
    /// Its ownership counter.
    pub epoch: Epoch,
    /// Entries applied.
    pub version: Version,
}

/// What became of an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Nothing was committed: the key is free.
    Nothing,
    /// It ran now and is kept.
    Stored,
    /// It ran now and is kept, without its reply, which was too large.
    StoredWithoutReply,
    /// It had run before: this was the reply.
    Replayed(Bytes),
    /// It had run before, and its reply was too large to be kept.
    ReplayedWithoutReply,
}

/// Result of running a unit.
pub type WorkResult<W> = Result<Finished<W>, Error>;
