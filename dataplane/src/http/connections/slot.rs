//! What a connection shows of itself, and the order to end it.
//!
//! Written by the connection's task alone, read by the table; relaxed, because whoever reads too old a value looks
//! again soon, and the task itself decides.

use futures::task::AtomicWaker;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::Waker;

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing of the next request has come.
    Idle,
    /// A request's head arrives.
    Head,
    /// A handler has it.
    Request,
    /// The reply is being written.
    Reply,
}

const PHASES: [Phase; 4] = [Phase::Idle, Phase::Head, Phase::Request, Phase::Reply];

/// A phase of one connection, as it never comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stay(u64);

impl Stay {
    pub(super) fn phase(self) -> Phase {
        PHASES[(self.0 & 3) as usize]
    }

    /// Whether the connection has had a request.
    pub(super) fn has_served(self) -> bool {
        self.0 >> 2 >= 2
    }
}

/// No stay: the phase's number would have to change for centuries.
const NONE: u64 = u64::MAX;

/// A connection's state.
#[derive(Debug)]
pub(super) struct Slot {
    /// The phase in the two lowest bits, above them how often it changed.
    stay: AtomicU64,
    /// Bytes that the socket took in this phase.
    written: AtomicU64,
    /// All of the reply was handed to hyper.
    reply_is_over: AtomicBool,
    /// The stay that is to end.
    ends: AtomicU64,
    /// The server stops: after this request there is no other.
    is_last: AtomicBool,
    waker: AtomicWaker,
}

impl Slot {
    pub(super) fn new() -> Slot {
        Slot {
            stay: AtomicU64::new(Phase::Idle as u64),
            written: AtomicU64::new(0),
            reply_is_over: AtomicBool::new(false),
            ends: AtomicU64::new(NONE),
            is_last: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    pub(super) fn stay(&self) -> Stay {
        Stay(self.stay.load(Relaxed))
    }

    pub(super) fn phase(&self) -> Phase {
        self.stay().phase()
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// The task's: another phase begins.
    pub(super) fn enter(&self, phase: Phase) {
        let changes = self.stay.load(Relaxed) >> 2;
        self.written.store(0, Relaxed);
        self.reply_is_over.store(false, Relaxed);
        self.stay.store((changes + 1) << 2 | phase as u64, Relaxed);
    }

    /// The task's: bytes came.
    pub(super) fn read(&self, bytes: usize) {
        if bytes > 0 && self.phase() == Phase::Idle {
            self.enter(Phase::Head);
        }
    }

    /// The task's: the socket took bytes.
    pub(super) fn wrote(&self, bytes: usize) {
        self.written.store(self.written() + bytes as u64, Relaxed);
    }

    /// The task's: hyper has all of the reply.
    pub(super) fn end_reply(&self) {
        self.reply_is_over.store(true, Relaxed);
    }

    /// The task's: nothing waits to be written.
    pub(super) fn flushed(&self) {
        if self.phase() == Phase::Reply && self.reply_is_over.load(Relaxed) {
            self.enter(Phase::Idle);
        }
    }

    /// Anybody's: the connection is to end, if this is still what it does.
    pub(super) fn end(&self, stay: Stay) {
        self.ends.store(stay.0, Relaxed);
        self.waker.wake();
    }

    /// Anybody's: no further request.
    pub(super) fn stop(&self) {
        self.is_last.store(true, Relaxed);
        self.waker.wake();
    }

    /// The task's, before it looks at the orders: who gives one from now on wakes it.
    pub(super) fn listen(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// The task's: the phase that is to end.
    pub(super) fn ended(&self) -> Option<Phase> {
        let stay = self.stay();
        (self.ends.load(Relaxed) == stay.0).then(|| stay.phase())
    }

    /// The task's: whether there is to be no further request.
    pub(super) fn is_last(&self) -> bool {
        self.is_last.load(Relaxed)
    }
}
