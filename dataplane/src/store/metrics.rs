//! Counts of what was asked of an object store, as plain atomics that a collector reads when it likes.

use super::Kind;
use super::health::Health;
use object_store::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A write of a whole object, or of a part of a large one.
    Put,
    /// A read of an object or of ranges of it.
    Get,
    /// Only the object's size and tag.
    Head,
    /// Names below a prefix.
    List,
    /// One object deleted.
    Delete,
    /// A copy within the store.
    Copy,
}

/// Which part of Orion the object belongs to, told by its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Area {
    /// SlateDB's manifests, their garbage boundaries and compaction states.
    Manifest,
    /// SlateDB's write-ahead log. Always zero: Orion's bases have none.
    Wal,
    /// SlateDB's sorted tables: the pages.
    Compacted,
    /// Owner chains.
    Owner,
    /// Name chains.
    Names,
    /// The log archive.
    Archive,
    /// Everything else.
    Other,
}

impl Operation {
    /// All operations, in the order of their discriminants.
    pub const ALL: [Operation; 6] = [
        Operation::Put,
        Operation::Get,
        Operation::Head,
        Operation::List,
        Operation::Delete,
        Operation::Copy,
    ];

    /// The label in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Put => "put",
            Operation::Get => "get",
            Operation::Head => "head",
            Operation::List => "list",
            Operation::Delete => "delete",
            Operation::Copy => "copy",
        }
    }
}

impl Area {
    /// All areas, in the order of their discriminants.
    pub const ALL: [Area; 7] = [
        Area::Manifest,
        Area::Wal,
        Area::Compacted,
        Area::Owner,
        Area::Names,
        Area::Archive,
        Area::Other,
    ];

    /// The area of an object. Looks at whole path segments from the root, and for `db/<id>/…` at the third and
    /// fourth, so that a database's name can never be taken for an area.
    pub fn of(path: &Path) -> Area {
        let mut parts = path.as_ref().split('/');
        match parts.next() {
            Some("names") => Area::Names,
            Some("archive") => Area::Archive,
            Some("db") => match (parts.nth(1), parts.next()) {
                (Some("owner"), _) => Area::Owner,
                (_, Some("manifest" | "compactions" | "gc")) => Area::Manifest,
                (_, Some("wal")) => Area::Wal,
                (_, Some("compacted")) => Area::Compacted,
                _ => Area::Other,
            },
            _ => Area::Other,
        }
    }

    /// The label in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Area::Manifest => "manifest",
            Area::Wal => "wal",
            Area::Compacted => "compacted",
            Area::Owner => "owner",
            Area::Names => "names",
            Area::Archive => "archive",
            Area::Other => "other",
        }
    }
}

/// What was counted for one operation in one area.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Requests begun.
    pub requests: u64,
    /// Requests that failed; an object that was not there or existed already is not a failure.
    pub errors: u64,
    /// Bytes of content sent or received.
    pub bytes: u64,
    /// Time that answered requests took, in all.
    pub time: Duration,
}

#[derive(Debug, Default)]
struct Cell {
    requests: AtomicU64,
    errors: AtomicU64,
    bytes: AtomicU64,
    nanoseconds: AtomicU64,
    /// Answered requests by how long they took, one count for each bound of [`Metrics::LATENCY_BOUNDS`] and
    /// one for the rest.
    latencies: [AtomicU64; Metrics::LATENCY_BOUNDS.len() + 1],
}

/// Counts by operation and area.
#[derive(Debug, Default)]
pub struct Metrics {
    cells: [[Cell; Area::ALL.len()]; Operation::ALL.len()],
    pub(super) health: Health,
}

impl Metrics {
    /// Upper bounds of the latency histogram's buckets.
    pub const LATENCY_BOUNDS: [Duration; 10] = [
        Duration::from_micros(500),
        Duration::from_millis(1),
        Duration::from_millis(3),
        Duration::from_millis(10),
        Duration::from_millis(30),
        Duration::from_millis(100),
        Duration::from_millis(300),
        Duration::from_secs(1),
        Duration::from_secs(3),
        Duration::from_secs(10),
    ];

    /// What was counted for `operation` in `area`.
    pub fn count(&self, operation: Operation, area: Area) -> Count {
        let cell = self.cell(operation, area);
        Count {
            requests: cell.requests.load(Relaxed),
            errors: cell.errors.load(Relaxed),
            bytes: cell.bytes.load(Relaxed),
            time: Duration::from_nanos(cell.nanoseconds.load(Relaxed)),
        }
    }

    /// Answered requests in each latency bucket (not cumulative), the last being above all bounds.
    pub fn latencies(&self, operation: Operation, area: Area) -> [u64; Self::LATENCY_BOUNDS.len() + 1] {
        let cell = self.cell(operation, area);
        std::array::from_fn(|bucket| cell.latencies[bucket].load(Relaxed))
    }

    /// What is wrong with the store, as far as its answers show it.
    pub fn trouble(&self) -> Option<Kind> {
        self.health.trouble(Instant::now())
    }

    /// Requests of all kinds in all areas.
    pub fn requests(&self) -> u64 {
        let cells = self.cells.iter().flatten();
        cells.map(|cell| cell.requests.load(Relaxed)).sum()
    }

    pub(super) fn begin(&self, operation: Operation, area: Area) {
        self.cell(operation, area).requests.fetch_add(1, Relaxed);
    }

    pub(super) fn answered(&self, operation: Operation, area: Area, took: Duration) {
        let cell = self.cell(operation, area);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        cell.nanoseconds.fetch_add(nanoseconds, Relaxed);
        let bucket = Self::LATENCY_BOUNDS.partition_point(|bound| *bound < took);
        cell.latencies[bucket].fetch_add(1, Relaxed);
    }

    pub(super) fn failed(&self, operation: Operation, area: Area) {
        self.cell(operation, area).errors.fetch_add(1, Relaxed);
    }

    pub(super) fn moved(&self, operation: Operation, area: Area, bytes: u64) {
        self.cell(operation, area).bytes.fetch_add(bytes, Relaxed);
    }

    fn cell(&self, operation: Operation, area: Area) -> &Cell {
        &self.cells[operation as usize][area as usize]
    }
}
