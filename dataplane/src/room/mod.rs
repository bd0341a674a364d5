//! Room: bytes of memory that many requests share. Bodies that arrive have one, replies that are not yet read
//! another.
//!
//! A [`Share`] is what one request has of a [`Room`]. It takes bytes as they come, not the most that there could be,
//! and gives all of them back when it is dropped, on whatever way out. The first [`GRAIN`] bytes of each are free:
//! they are bounded by the number of requests, and a small request waits for nobody.
//!
//! Who finds no room waits in line, first come, first served. Many that hold a part and wait for the rest would wait
//! for each other for ever; so a part of the room, the *reserve*, is for one share alone, the *elder*: the first in
//! line when the common part is full. It gets all that it asks for until it is dropped; then the next in line is the
//! elder.
//!
//! INVARIANT: shares that are not the elder's hold at most `limit - reserve` together, and the elder takes at most
//! `reserve` after it became it, if no request is larger than the reserve. So the elder never waits, and as long as
//! elders end, everybody's turn comes. Test: `halves_that_wait_for_each_other_all_get_their_turn`.
//!
//! Bytes that are there already and must be counted ([`Share::cover`]) may pass the limit; then nobody gets more until
//! they are gone.

mod share;
#[cfg(test)]
mod tests;

use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::oneshot;

pub use share::Share;

/// Bytes that each share has for nothing, and the least that is taken at a time.
pub const GRAIN: u64 = 16 << 10;

/// There is no room, and none came in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room within the time")]
pub struct Full;

/// Bytes that requests share.
#[derive(Debug)]
pub struct Room {
    limit: u64,
    reserve: u64,
    wait: Duration,
    state: Mutex<State>,
    waited: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    used: u64,
    /// What each share holds.
    held: HashMap<u64, u64>,
    line: VecDeque<Waiter>,
    elder: Option<u64>,
    next: u64,
}

#[derive(Debug)]
struct Waiter {
    share: u64,
    bytes: u64,
    /// Wakes it. What it got is in `held` by then.
    granted: oneshot::Sender<()>,
}

enum Asked {
    Granted,
    Waits(oneshot::Receiver<()>),
}

impl Room {
    /// Room for `limit` bytes, of which `reserve` are the elder's; nobody waits for longer than `wait` at a time.
    pub fn new(limit: u64, reserve: u64, wait: Duration) -> Arc<Room> {
        Arc::new(Room {
            limit,
            wait,
            reserve: reserve.min(limit),
            state: Mutex::default(),
            waited: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    /// Without a limit, for those who count nothing.
    pub fn unlimited() -> Arc<Room> {
        Room::new(u64::MAX, 0, Duration::ZERO)
    }

    /// Bytes that can be had at all.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes taken, the free ones not counted.
    pub fn used(&self) -> u64 {
        self.state.lock().used
    }

    /// Times that somebody waited, and times that somebody got nothing.
    pub fn counts(&self) -> (u64, u64) {
        (self.waited.load(Relaxed), self.refused.load(Relaxed))
    }

    /// Requests in line.
    pub fn line(&self) -> usize {
        self.state.lock().line.len()
    }

    fn number(&self) -> u64 {
        let mut state = self.state.lock();
        state.next += 1;
        state.next
    }

    fn try_take(&self, share: u64, bytes: u64) -> bool {
        let mut state = self.state.lock();
        let granted = state.can_have(self, share, bytes);
        if granted {
            state.grant(share, bytes);
        } else {
            self.refused.fetch_add(1, Relaxed);
        }
        granted
    }

    fn take(&self, share: u64, bytes: u64) -> Asked {
        let mut state = self.state.lock();
        if state.can_have(self, share, bytes) {
            state.grant(share, bytes);
            return Asked::Granted;
        }
        let (granted, waits) = oneshot::channel();
        state.line.push_back(Waiter {
            share,
            bytes,
            granted,
        });
        state.serve(self);
        self.waited.fetch_add(1, Relaxed);
        Asked::Waits(waits)
    }

    /// Leaves the line; false if its turn had come.
    fn withdraw(&self, share: u64) -> bool {
        let mut state = self.state.lock();
        let before = state.line.len();
        state.line.retain(|waiter| waiter.share != share);
        let was_in_line = state.line.len() < before;
        if was_in_line {
            self.refused.fetch_add(1, Relaxed);
            state.serve(self);
        }
        was_in_line
    }

    /// The share holds so much from now on, whatever the limit.
    fn set(&self, share: u64, bytes: u64) {
        let mut state = self.state.lock();
        let before = state.held.insert(share, bytes).unwrap_or(0);
        state.used = state.used - before + bytes;
        state.serve(self);
    }

    fn give_back(&self, share: u64) {
        let mut state = self.state.lock();
        state.used -= state.held.remove(&share).unwrap_or(0);
        state.line.retain(|waiter| waiter.share != share);
        if state.elder == Some(share) {
            state.elder = None;
        }
        state.serve(self);
    }
}

impl State {
    fn can_have(&self, room: &Room, share: u64, bytes: u64) -> bool {
        let wanted = self.used.saturating_add(bytes);
        match self.elder == Some(share) {
            true => wanted <= room.limit,
            false => self.line.is_empty() && wanted <= room.limit - room.reserve,
        }
    }

    fn grant(&mut self, share: u64, bytes: u64) {
        self.used += bytes;
        *self.held.entry(share).or_default() += bytes;
    }

    /// Gives those in line what they can have now, in their order.
    fn serve(&mut self, room: &Room) {
        while let Some(first) = self.line.front() {
            let (share, wanted) = (first.share, self.used.saturating_add(first.bytes));
            let is_tight = wanted > room.limit - room.reserve;
            if is_tight && (*self.elder.get_or_insert(share) != share || wanted > room.limit) {
                return;
            }
            let Some(first) = self.line.pop_front() else {
                return;
            };
            self.grant(first.share, first.bytes);
            // Whoever does not hear it any more gives it back when its share is dropped.
            let _ = first.granted.send(());
        }
    }
}
