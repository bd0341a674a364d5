//! What is sent to peers, counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// Since the start of the process.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Bytes of messages with entries.
    pub(crate) entries: AtomicU64,
    /// Bytes of local snapshots.
    pub(crate) snapshots: AtomicU64,
}

/// Counts `many` more.
pub(super) fn add(counter: &AtomicU64, many: usize) {
    counter.fetch_add(many as u64, Ordering::Relaxed);
}
