//! What units did the last time: guesses that save running them at the wrong place first.
//!
//! Only ever guesses. A unit that is taken for a read and writes is refused by the reader and goes to the
//! writer; one that is taken for a write runs there as well; one that is taken for brief and is not goes on
//! on an SQL thread.

use super::Work;
use orion_api::DatabaseId;
use quick_cache::sync::Cache;
use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use xxhash_rust::xxh3::Xxh3;

/// LIMIT: units remembered on this node.
const UNITS_MAX: usize = 65_536;

/// Runs on an SQL thread after one that was not brief, before the next try to run it where its request is. A
/// machine that was busy makes any unit look long.
const TRIES_AFTER: u8 = 64;

/// Units that write or take long, by database and texts.
#[derive(Debug)]
pub(super) struct Hints(Cache<u64, Arc<Habits>>);

/// Of one unit.
#[derive(Debug, Default)]
struct Habits {
    writes: AtomicBool,
    /// Runs that are still expected to be long.
    long: AtomicU8,
}

impl Hints {
    pub(super) fn new() -> Hints {
        Hints(Cache::new(UNITS_MAX))
    }

    /// Names the unit by its database and texts.
    pub(super) fn unit(&self, database: DatabaseId, work: &impl Work) -> u64 {
        let mut hash = Xxh3::new();
        hash.write(database.as_bytes());
        work.statements(&mut |sql| {
            hash.write(sql.as_bytes());
            hash.write_u8(0);
        });
        hash.finish()
    }

    pub(super) fn writes(&self, unit: u64) -> bool {
        self.0
            .get(&unit)
            .is_some_and(|habits| habits.writes.load(Ordering::Relaxed))
    }

    pub(super) fn note_write(&self, unit: u64) {
        self.habits(unit).writes.store(true, Ordering::Relaxed);
    }

    /// Whether the unit is worth a try where its request is.
    pub(super) fn is_brief(&self, unit: u64) -> bool {
        let count_down = |left: u8| left.checked_sub(1);
        self.0.get(&unit).is_none_or(|habits| {
            let counted = habits
                .long
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, count_down);
            counted.is_err()
        })
    }

    pub(super) fn note_long(&self, unit: u64) {
        self.habits(unit).long.store(TRIES_AFTER, Ordering::Relaxed);
    }

    fn habits(&self, unit: u64) -> Arc<Habits> {
        if let Some(habits) = self.0.get(&unit) {
            return habits;
        }
        let habits = Arc::default();
        self.0.insert(unit, Arc::clone(&habits));
        habits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_unit_is_tried_again_after_a_while() {
        let hints = Hints::new();
        assert!(hints.is_brief(1));
        hints.note_long(1);
        for _ in 0..TRIES_AFTER {
            assert!(!hints.is_brief(1));
            assert!(hints.is_brief(2));
        }
        assert!(hints.is_brief(1));
        assert!(!hints.writes(1));
    }
}
