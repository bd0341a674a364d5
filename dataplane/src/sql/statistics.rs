//! What statements cost, by their text, and errors by their code: for views and metrics.
//!
//! A *shape* is a statement's text as its client sent it, known only by a hash: neither the text nor a value
//! of it is kept. Texts with parameters are few; those that are made anew each time, with values in them, are
//! counted together once there are too many.
//!
//! Counting takes a hash of the text and a lock that few share: well below a microsecond.
//! LIMIT: [`SHAPES_MAX`] shapes a node, about 200 bytes each.

use super::Error;
use orion_api::DatabaseId;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// Shapes that are counted apart.
pub const SHAPES_MAX: usize = 8192;

const SHARDS: usize = 16;

/// Times up to 2^n µs, for n below this; longer ones are in the last.
const BUCKETS: usize = 26;

/// What one shape of statements came to on one database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// How often it ran, errors included.
    pub calls: u64,
    /// How often it failed.
    pub errors: u64,
    /// Rows that it returned.
    pub rows: u64,
    /// Time of all calls.
    pub total: Duration,
    /// Time of the longest one.
    pub longest: Duration,
    times: [u32; BUCKETS],
}

impl Cost {
    fn add(&mut self, took: Duration, rows: u64, is_error: bool) {
        self.calls += 1;
        self.errors += u64::from(is_error);
        self.rows += rows;
        self.total += took;
        self.longest = self.longest.max(took);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        let times = &mut self.times[bucket.min(BUCKETS - 1)];
        *times = times.saturating_add(1);
    }

    /// The time that so many of a thousand calls did not exceed, rounded up to a power of two of µs.
    pub fn quantile(&self, per_mille: u64) -> Duration {
        let all: u64 = self.times.iter().map(|many| u64::from(*many)).sum();
        let mut left = (all * per_mille).div_ceil(1000);
        for (bucket, many) in self.times.iter().enumerate() {
            if left <= u64::from(*many) {
                return Duration::from_micros(1 << bucket).min(self.longest);
            }
            left -= u64::from(*many);
        }
        self.longest
    }
}

/// A shape of statements of one database. `fingerprint` 0: all those that came when there were too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shape {
    /// Whose statements; the nil id for those that are counted together.
    pub database: DatabaseId,
    /// XXH3-64 of the text without white space around it.
    pub fingerprint: u64,
}

/// Of a node.
#[derive(Debug, Default)]
pub struct Statistics {
    shards: [Mutex<HashMap<Shape, Cost>>; SHARDS],
    errors: Mutex<BTreeMap<&'static str, u64>>,
}

/// Counts what runs on the connections of one database.
#[derive(Clone, Debug)]
pub struct Observer {
    statistics: Arc<Statistics>,
    database: DatabaseId,
}

impl Observer {
    /// Of `database`.
    pub fn new(statistics: Arc<Statistics>, database: DatabaseId) -> Observer {
        Observer { statistics, database }
    }

    /// A statement or a script ended.
    pub(super) fn ended(&self, sql: &str, took: Duration, outcome: Result<u64, &Error>) {
        let fingerprint = xxh3_64(sql.trim().as_bytes()).max(1);
        let shape = Shape {
            database: self.database,
            fingerprint,
        };
        let shard = &self.statistics.shards[fingerprint as usize % SHARDS];
        {
            let shapes = &mut *shard.lock();
            let known = shapes.len() < SHAPES_MAX / SHARDS || shapes.contains_key(&shape);
            let others = Shape {
                database: DatabaseId::from_bytes([0; 16]),
                fingerprint: 0,
            };
            let cost = shapes.entry(if known { shape } else { others }).or_default();
            cost.add(took, *outcome.as_ref().unwrap_or(&0), outcome.is_err());
        }
        if let Err(error) = outcome {
            self.refused(error);
        }
    }

    /// A statement was not understood.
    pub(super) fn refused(&self, error: &Error) {
        let mut errors = self.statistics.errors.lock();
        *errors.entry(error.code().name()).or_default() += 1;
    }
}

impl Statistics {
    /// All shapes, those with the same shape of several shards together.
    pub fn shapes(&self) -> BTreeMap<Shape, Cost> {
        let mut all: BTreeMap<Shape, Cost> = BTreeMap::new();
        for shard in &self.shards {
            for (shape, cost) in &*shard.lock() {
                let sum = all.entry(*shape).or_default();
                sum.calls += cost.calls;
                sum.errors += cost.errors;
                sum.rows += cost.rows;
                sum.total += cost.total;
                sum.longest = sum.longest.max(cost.longest);
                for (sum, many) in sum.times.iter_mut().zip(cost.times) {
                    *sum = sum.saturating_add(many);
                }
            }
        }
        all
    }

    /// Errors by code: SQLite's primary codes and a few of ours.
    pub fn errors(&self) -> BTreeMap<&'static str, u64> {
        self.errors.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_power_of_two() {
        let mut cost = Cost::default();
        for micros in 1..=1000 {
            cost.add(Duration::from_micros(micros), 1, micros % 10 == 0);
        }
        assert_eq!((cost.calls, cost.errors, cost.rows), (1000, 100, 1000));
        for (per_mille, least) in [(500, 500), (990, 990), (1000, 1000)] {
            let micros = cost.quantile(per_mille).as_micros();
            assert!((least..=2 * least).contains(&micros), "{per_mille}: {micros} µs");
        }
        assert_eq!(cost.longest, Duration::from_micros(1000));
        assert_eq!(Cost::default().quantile(500), Duration::ZERO);
    }

    #[test]
    fn shapes_are_bounded_and_nothing_is_lost() {
        let statistics = Arc::new(Statistics::default());
        let observer = Observer::new(Arc::clone(&statistics), DatabaseId::random());
        let many = SHAPES_MAX as u64 * 2;
        for number in 0..many {
            observer.ended(&format!("SELECT {number}"), Duration::ZERO, Ok(1));
        }
        let shapes = statistics.shapes();
        assert!(shapes.len() <= SHAPES_MAX + 1, "{}", shapes.len());
        assert_eq!(shapes.values().map(|cost| cost.calls).sum::<u64>(), many);
        let (others, cost) = shapes.iter().next().expect("the nil database is the first");
        assert!(others.fingerprint == 0 && cost.calls > 0);
    }
}
