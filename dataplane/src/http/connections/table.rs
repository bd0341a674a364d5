//! All connections of the server, and since when each does what it does.
//!
//! Times are those at which the table looked ([`Connections::look`]): a connection is never taken for older than it
//! is, and for younger by at most the time between two looks.

use super::limits::Limits;
use super::served::End;
use super::slot::{Phase, Slot, Stay};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A new connection that said nothing yet may be about to: it makes no room for others.
const NEW: Duration = Duration::from_secs(1);

/// The server's connections.
#[derive(Debug)]
pub struct Connections {
    pub(super) limits: Limits,
    table: Mutex<Table>,
    counters: Counters,
}

/// What happened to connections since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Taken.
    pub accepted: AtomicU64,
    /// Told that there is no place.
    pub refused: AtomicU64,
    /// Closed because they were idle, for too long or while others needed a place.
    pub idle: AtomicU64,
    /// Closed because their client sent or read too slowly.
    pub slow: AtomicU64,
    /// The system gave no connection: no descriptors, no memory.
    pub failed: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    seen: HashMap<u64, Seen>,
    stops: bool,
}

/// A connection, and when the table first saw it so.
#[derive(Debug)]
struct Seen {
    slot: Arc<Slot>,
    stay: Stay,
    since: Instant,
    written: u64,
    written_at: Instant,
}

impl Seen {
    fn new(slot: Arc<Slot>, now: Instant) -> Seen {
        Seen {
            stay: slot.stay(),
            since: now,
            written: 0,
            written_at: now,
            slot,
        }
    }

    fn look(&mut self, now: Instant) {
        let (stay, written) = (self.slot.stay(), self.slot.written());
        if stay != self.stay {
            (self.stay, self.since) = (stay, now);
            (self.written, self.written_at) = (written, now);
        } else if written != self.written {
            (self.written, self.written_at) = (written, now);
        }
    }

    fn is_overdue(&self, limits: &Limits, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.since);
        match self.stay.phase() {
            Phase::Idle => elapsed > limits.idle,
            Phase::Head => elapsed > limits.head,
            Phase::Request => false,
            Phase::Reply => {
                let quiet = now.saturating_duration_since(self.written_at);
                limits.reply.is_too_slow(self.written, elapsed, quiet)
            }
        }
    }

    fn can_leave(&self, now: Instant) -> bool {
        let is_new = !self.stay.has_served() && now.saturating_duration_since(self.since) < NEW;
        self.stay.phase() == Phase::Idle && !is_new && self.slot.ended().is_none()
    }

    /// Who makes room first: the least. Connections that had no request yet are nobody's pool.
    fn rank(&self) -> (bool, Instant) {
        (self.stay.has_served(), self.since)
    }
}

/// A place in the table; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    number: u64,
    pub(super) slot: Arc<Slot>,
}

impl Place {
    /// The connection ended so.
    pub(super) fn leave(self, end: End) {
        let counters = &self.connections.counters;
        match end {
            End::Closed => {}
            End::Idle => count(&counters.idle),
            End::Slow => count(&counters.slow),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.table.lock().seen.remove(&self.number);
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Connections {
    /// None yet.
    pub fn new(limits: Limits) -> Arc<Connections> {
        Arc::new(Connections {
            limits,
            table: Mutex::default(),
            counters: Counters::default(),
        })
    }

    /// Connections now.
    pub fn count(&self) -> usize {
        self.table.lock().seen.len()
    }

    /// Connections that are not idle.
    pub fn busy(&self) -> usize {
        let table = self.table.lock();
        let is_busy = |seen: &&Seen| seen.slot.phase() != Phase::Idle;
        table.seen.values().filter(is_busy).count()
    }

    /// Since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A place, if need be that of an idle connection; none if all are busy.
    pub(super) fn enter(self: &Arc<Self>, now: Instant) -> Option<Place> {
        let mut table = self.table.lock();
        let many = table.seen.len();
        if many >= self.limits.most
            && (many >= self.limits.most + self.limits.leaving() || !table.make_room(now))
        {
            return None;
        }
        let slot = Arc::new(Slot::new());
        if table.stops {
            slot.stop();
        }
        let number = table.next;
        table.next += 1;
        table.seen.insert(number, Seen::new(Arc::clone(&slot), now));
        Some(Place {
            connections: Arc::clone(self),
            number,
            slot,
        })
    }

    /// Lets an idle connection go, so that its descriptor is free.
    pub(super) fn make_room(&self, now: Instant) {
        self.table.lock().make_room(now);
    }

    /// Ends what lasts too long. To be called several times within the shortest limit.
    pub(super) fn look(&self, now: Instant) {
        for seen in self.table.lock().seen.values_mut() {
            seen.look(now);
            if seen.is_overdue(&self.limits, now) {
                seen.slot.end(seen.stay);
            }
        }
    }

    /// How often to look.
    pub(super) fn pause(&self) -> Duration {
        let limits = &self.limits;
        let shortest = limits.idle.min(limits.head).min(limits.reply.stall);
        (shortest / 8).clamp(Duration::from_millis(5), Duration::from_secs(1))
    }

    /// No further requests; those that run are answered.
    pub(super) fn stop(&self) {
        let mut table = self.table.lock();
        table.stops = true;
        table.seen.values().for_each(|seen| seen.slot.stop());
    }
}

impl Table {
    fn make_room(&mut self, now: Instant) -> bool {
        let idle = self.seen.values_mut().filter_map(|seen| {
            seen.look(now);
            seen.can_leave(now).then_some(seen)
        });
        match idle.min_by_key(|seen| seen.rank()) {
            Some(seen) => {
                seen.slot.end(seen.stay);
                true
            }
            None => false,
        }
    }
}
