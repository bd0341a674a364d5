//! What units did the last time: guesses that save running them at the wrong place first.
//!
//! Only ever guesses. A unit that is taken for a read and writes is refused by the reader and goes to the
//! writer; one that is taken for a write runs there as well; one that is taken for brief and is not goes on
//! on an SQL thread.

use super::Work;
use orion_api::DatabaseId;
use quick_cache::sync::Cache;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// LIMIT: units remembered on this node.
const UNITS_MAX: usize = 65_536;

/// Runs on an SQL thread after one that was not brief, before the next try to run it where its request is. A
/// machine that was busy makes any unit look long.
const TRIES_AFTER: u8 = 64;

/// Which units write, by texts, and which take long, by database and texts.
#[derive(Debug)]
pub(super) struct Hints {
    writes: Cache<u64, ()>,
    /// Runs that are still expected to be long.
    long: Cache<u64, Arc<AtomicU8>>,
}

/// Names a unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    /// The same texts write in one database as in another: a service has many with one schema.
    texts: u64,
    /// How long they take depends on the data.
    of_database: u64,
}

impl Hints {
    pub(super) fn new() -> Hints {
        Hints {
            writes: Cache::new(UNITS_MAX),
            long: Cache::new(UNITS_MAX),
        }
    }

    /// Names the unit by its database and texts.
    pub(super) fn unit(&self, database: DatabaseId, work: &impl Work) -> Unit {
        let mut texts = 0;
        work.statements(&mut |sql| texts = xxh3_64_with_seed(sql.as_bytes(), texts));
        Unit {
            texts,
            of_database: xxh3_64_with_seed(database.as_bytes(), texts),
        }
    }

    pub(super) fn writes(&self, unit: Unit) -> bool {
        self.writes.get(&unit.texts).is_some()
    }

    pub(super) fn note_write(&self, unit: Unit) {
        self.writes.insert(unit.texts, ());
    }

    /// Whether the unit is worth a try where its request is.
    pub(super) fn is_brief(&self, unit: Unit) -> bool {
        let count_down = |left: u8| left.checked_sub(1);
        self.long.get(&unit.of_database).is_none_or(|long| {
            let counted = long.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count_down);
            counted.is_err()
        })
    }

    pub(super) fn note_long(&self, unit: Unit) {
        let runs = Arc::new(AtomicU8::new(TRIES_AFTER));
        self.long.insert(unit.of_database, runs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_unit_is_tried_again_after_a_while() {
        let hints = Hints::new();
        let (unit, other) = (named(1), named(2));
        assert!(hints.is_brief(unit));
        hints.note_long(unit);
        for _ in 0..TRIES_AFTER {
            assert!(!hints.is_brief(unit));
            assert!(hints.is_brief(other), "it is of another database");
        }
        assert!(hints.is_brief(unit));
        assert!(!hints.writes(unit));
        hints.note_write(unit);
        assert!(hints.writes(other), "the text is the same");
    }

    fn named(of_database: u64) -> Unit {
        Unit {
            texts: 1,
            of_database,
        }
    }
}
