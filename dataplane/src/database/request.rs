//! A unit of work with the way back to its client, without its type.

use super::{Error, Finished, Position, Progress, Recorded, Work, WorkResult};
use crate::sql::Connection;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

const QUEUED: u8 = 0;
const RUNNING: u8 = 1;
const ABANDONED: u8 = 2;

/// Whether a queued request was begun, or given up before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Started {
    /// It runs now.
    Running,
    /// Its client was told that nothing was done.
    Abandoned,
}

/// Decides once between "it runs" and "nothing was done".
#[derive(Clone, Debug, Default)]
pub(super) struct Ticket(Arc<AtomicU8>);

impl Ticket {
    fn start(&self) -> Started {
        match self
            .0
            .compare_exchange(QUEUED, RUNNING, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) | Err(RUNNING) => Started::Running,
            Err(_) => Started::Abandoned,
        }
    }

    /// Gives up. False if it runs or ran already.
    pub(super) fn abandon(&self) -> bool {
        self.0
            .compare_exchange(QUEUED, ABANDONED, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

/// What the queue needs of a request.
pub(super) trait Erased: Send {
    /// To be called before anything of it runs.
    fn start(&self) -> Started;
    /// See [`Work::resume`].
    fn resume(&mut self, connection: &mut Connection) -> Progress;
    /// See [`Work::record`].
    fn record(&self) -> Option<Bytes>;
    /// The end: where its effects are visible, or why it failed.
    fn reply(self: Box<Self>, result: Result<Position, Error>, recorded: Option<Recorded>);
}

/// A unit and where its result goes.
pub(super) struct Request<W: Work> {
    pub(super) work: W,
    pub(super) ticket: Ticket,
    pub(super) reply: oneshot::Sender<WorkResult<W>>,
}

impl<W: Work> Erased for Request<W> {
    fn start(&self) -> Started {
        self.ticket.start()
    }

    fn resume(&mut self, connection: &mut Connection) -> Progress {
        self.work.resume(connection)
    }

    fn record(&self) -> Option<Bytes> {
        self.work.record()
    }

    fn reply(self: Box<Self>, result: Result<Position, Error>, recorded: Option<Recorded>) {
        let Request { work, reply, .. } = *self;
        let finished = result.map(|seen| Finished {
            work,
            seen,
            staleness: Duration::ZERO,
            idempotency: recorded,
        });
        // Whoever does not wait any more was told what it needs to know by its deadline.
        drop(reply.send(finished));
    }
}
