//! A unit of work with the way back to its client, without its type.

use super::interrupt::Running;
use super::{Error, Finished, Position, Progress, Recorded, Work, WorkResult};
use crate::sql::Connection;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

const QUEUED: u8 = 0;
const RUNNING: u8 = 1;
const GIVEN_UP: u8 = 2;
const KEPT: u8 = 3;

/// Whether a queued request was begun, or given up before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Started {
    /// It runs now.
    Running,
    /// Its client was told that nothing was done.
    Abandoned,
}

/// What giving up came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GivenUp {
    /// It was not begun and never will be.
    NotBegun,
    /// It ran; it is being ended, and nothing of it stays.
    Undone,
    /// What it did stays, whatever its client does.
    TooLate,
}

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It waits for its turn.
    Queued,
    /// It has the turn.
    Running,
    /// It ran; its answer waits for its entry. Or it was given up.
    Over,
}

/// Decides once between "what it did stays" and "nothing was done".
///
/// INVARIANT: a request is given up only while it is in no entry: the driver proposes between requests, and
/// undoes what was given up before it does (`what_runs_for_a_client_that_left_is_ended_and_undone`).
#[derive(Clone, Default)]
pub(super) struct Ticket(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: AtomicU8,
    was_long: AtomicBool,
    running: Running,
}

impl Ticket {
    fn turn(&self, from: u8, to: u8) -> bool {
        self.0
            .state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    fn start(&self) -> Started {
        match self.turn(QUEUED, RUNNING) {
            true => Started::Running,
            false => Started::Abandoned,
        }
    }

    /// Where it is.
    pub(super) fn phase(&self) -> Phase {
        match self.0.state.load(Ordering::Acquire) {
            QUEUED => Phase::Queued,
            RUNNING => Phase::Running,
            _ => Phase::Over,
        }
    }

    /// It was tried where its request is, and was not brief.
    pub(super) fn was_long(&self) -> bool {
        self.0.was_long.load(Ordering::Relaxed)
    }

    /// Nobody waits any more.
    pub(super) fn give_up(&self) -> GivenUp {
        if self.turn(QUEUED, GIVEN_UP) {
            return GivenUp::NotBegun;
        }
        if self.turn(RUNNING, GIVEN_UP) {
            self.0.running.interrupt();
            return GivenUp::Undone;
        }
        GivenUp::TooLate
    }
}

/// Kept by the one who waits; dropped, it gives up.
pub(super) struct Wait(pub(super) Ticket);

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// What the queue needs of a request.
pub(super) trait Erased: Send {
    /// To be called before anything of it runs.
    fn start(&self) -> Started;
    /// See [`Work::resume`].
    fn resume(&mut self, connection: &mut Connection) -> Progress;
    /// To be called when all of it ran. False if it was given up: then what it did must be undone.
    fn keep(&self) -> bool;
    /// It was not brief: what it did was undone, and it waits to be begun again, with more time.
    fn begin_anew(&mut self);
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
        let Request { work, ticket, .. } = self;
        let is_awaited = || ticket.phase() == Phase::Running;
        let progress = ticket
            .0
            .running
            .run(connection, is_awaited, |connection| work.resume(connection));
        progress.unwrap_or(Progress::Done)
    }

    fn keep(&self) -> bool {
        self.ticket.turn(RUNNING, KEPT)
    }

    fn begin_anew(&mut self) {
        self.ticket.0.was_long.store(true, Ordering::Relaxed);
        self.work.restart();
        // If it was given up meanwhile, it stays so.
        self.ticket.turn(RUNNING, QUEUED);
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
