//! What the databases of the node count, for metrics. Labels are bounded: never a database's name.

use crate::sql::Statistics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Label of errors.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CodeLabel {
    /// The error's code.
    pub code: &'static str,
}

/// Counted by all databases together.
#[derive(Debug)]
pub struct Counters {
    /// Units that ran on a writer.
    pub units: AtomicU64,
    /// Units that ran on a reader.
    pub reads: AtomicU64,
    /// Units that were undone on a writer, because their client left or they took too long.
    pub given_up: AtomicU64,
    /// Seconds from the proposal of an entry to its outcome.
    pub commit_seconds: Histogram,
    /// Requests merged into an entry.
    pub entry_requests: Histogram,
    /// What statements cost, and errors of statements by code.
    pub statements: Arc<Statistics>,
    /// Requests that replayed a reply under their idempotency key.
    pub keys_reused: AtomicU64,
    /// Requests whose idempotency key was used for another request.
    pub keys_conflicts: AtomicU64,
    /// Requests that ended with an error of the database layer.
    pub errors: Family<CodeLabel, Counter>,
    /// Connections that only read, busy or idle.
    pub readers: Arc<AtomicUsize>,
}

/// Counts what it is kept with, until that is dropped.
#[derive(Debug)]
pub(super) struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub(super) fn new(count: &Arc<AtomicUsize>) -> Counted {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Counters {
    fn default() -> Counters {
        Counters {
            units: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            // 50 µs to 26 s.
            commit_seconds: Histogram::new(exponential_buckets(0.000_05, 2.0, 20)),
            entry_requests: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            statements: Arc::default(),
            keys_reused: AtomicU64::new(0),
            keys_conflicts: AtomicU64::new(0),
            errors: Family::default(),
            readers: Arc::default(),
        }
    }
}
