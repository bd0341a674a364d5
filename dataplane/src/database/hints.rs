//! Which units wrote the last time: a guess that saves running them on a reader first.
//!
//! Only ever a guess. A unit that is taken for a read and writes is refused by the reader and goes to the
//! writer; one that is taken for a write runs there as well.

use super::Work;
use orion_api::DatabaseId;
use quick_cache::sync::Cache;
use std::hash::Hasher;
use xxhash_rust::xxh3::Xxh3;

/// LIMIT: units remembered on this node.
const UNITS_MAX: usize = 65_536;

/// Units that write, by database and texts.
#[derive(Debug)]
pub(super) struct Hints(Cache<u64, ()>);

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
        self.0.get(&unit).is_some()
    }

    pub(super) fn note_write(&self, unit: u64) {
        self.0.insert(unit, ());
    }
}
