//! Time and result bytes that the statements of one request share.
//!
//! The bytes have two limits: the request's own, and the room that the node has for replies, taken as rows come.
//! Nothing waits here: a statement that waited would hold its thread and its snapshot.

use crate::room::Share;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What is left for the statements of one request.
#[derive(Debug)]
pub struct Budget {
    deadline: Instant,
    result_bytes_left: u64,
    share: Option<Share>,
    found_no_room: bool,
}

impl Budget {
    /// A budget that ends at `deadline`.
    pub fn new(deadline: Instant, result_bytes: u64) -> Budget {
        Budget {
            deadline,
            result_bytes_left: result_bytes,
            share: None,
            found_no_room: false,
        }
    }

    /// As much again, for somebody who counts what the statements give by himself.
    pub fn again(&self) -> Budget {
        Budget::new(self.deadline, self.result_bytes_left)
    }

    /// The same, with its bytes taken from this share too.
    pub fn out_of(self, share: Share) -> Budget {
        Budget {
            share: Some(share),
            ..self
        }
    }

    /// What holds the bytes of the results, to be kept as long as they are.
    pub fn into_share(self) -> Option<Share> {
        self.share
    }

    /// Whether a statement ended since the last call because the node had no room for its result.
    pub fn take_found_no_room(&mut self) -> bool {
        std::mem::take(&mut self.found_no_room)
    }

    /// A budget that ends after `time`.
    pub fn lasting(time: Duration, result_bytes: u64) -> Budget {
        Budget::new(Instant::now() + time, result_bytes)
    }

    /// When it ends.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Bytes of results that may still come.
    pub fn result_bytes_left(&self) -> u64 {
        self.result_bytes_left
    }

    /// Counts `bytes` of a result; false if they are too many.
    pub(super) fn take(&mut self, bytes: u64) -> bool {
        let Some(left) = self.result_bytes_left.checked_sub(bytes) else {
            return false;
        };
        if let Some(share) = &mut self.share
            && !share.try_take(bytes)
        {
            self.found_no_room = true;
            return false;
        }
        self.result_bytes_left = left;
        true
    }
}

/// Why the running statement was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its time was over.
    Deadline,
    /// It is not brief, where only brief statements may run.
    NotBrief,
    /// It keeps too many pages.
    Pages,
}

/// Shared by a connection and its progress handler.
#[derive(Debug, Default)]
pub(super) struct Watch {
    state: Mutex<WatchState>,
    brief_until: Mutex<Option<Instant>>,
    cancelled: AtomicBool,
}

#[derive(Debug, Default)]
struct WatchState {
    deadline: Option<Instant>,
    ended: Option<Ended>,
}

impl Watch {
    pub(super) fn new() -> Arc<Watch> {
        Arc::default()
    }

    /// Until this is taken back, statements end here at the latest.
    pub(super) fn set_brief(&self, until: Option<Instant>) {
        *self.brief_until.lock() = until;
    }

    /// Only what is brief may run now.
    pub(super) fn is_brief(&self) -> bool {
        self.brief_until.lock().is_some()
    }

    /// Nothing more may begin where only what is brief may run.
    pub(super) fn is_brief_over(&self) -> bool {
        self.brief_until
            .lock()
            .is_some_and(|until| Instant::now() >= until)
    }

    /// From any thread: what runs ends, and nothing begins until this is taken back.
    pub(super) fn set_cancelled(&self, is_cancelled: bool) {
        self.cancelled.store(is_cancelled, Ordering::Release);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// A statement begins that must end at `deadline`.
    pub(super) fn arm(&self, deadline: Instant) {
        *self.state.lock() = WatchState {
            deadline: Some(deadline),
            ended: None,
        };
    }

    /// The statement is over; nothing interrupts what the service itself does.
    pub(super) fn disarm(&self) -> Option<Ended> {
        std::mem::take(&mut *self.state.lock()).ended
    }

    /// Asked by functions that may take long; true ends the statement.
    pub(super) fn is_over(&self) -> bool {
        self.ends(0, u64::MAX)
    }

    /// Called by SQLite now and then; true ends the statement.
    pub(super) fn ends(&self, cached_bytes: u64, most_bytes: u64) -> bool {
        let mut state = self.state.lock();
        let Some(deadline) = state.deadline else {
            return false;
        };
        if self.is_cancelled() {
            return true;
        }
        if cached_bytes > most_bytes {
            state.ended = Some(Ended::Pages);
        } else {
            let now = Instant::now();
            state.ended = match () {
                () if now >= deadline => Some(Ended::Deadline),
                () if self.is_brief_over() => Some(Ended::NotBrief),
                () => None,
            };
        }
        state.ended.is_some()
    }
}
