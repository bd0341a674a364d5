//! How a connection is opened: its role and its limits. All defaults of the SQL layer stand here.

use super::Observer;
use crate::vfs::{Quota, TempSpace};
use std::sync::Arc;
use std::time::Duration;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Only reads: a write answers `SQLITE_READONLY`.
    Reader,
    /// The shared writer of a database.
    Writer,
    /// A stream's own: reads, and writes when it has its turn.
    Stream,
    /// The service's own work.
    Internal,
}

/// How a connection is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it is for.
    pub role: Role,
    /// What it may use.
    pub limits: Limits,
    /// Where its temporary files go. The quota's parents are those of the database and the node.
    pub temp: TempSpace,
    /// Who counts what runs on it.
    pub observer: Option<Observer>,
}

impl Options {
    /// Default limits, temporary files in the system's directory with a quota of its own.
    pub fn new(role: Role) -> Options {
        let limits = Limits::default();
        let temp = TempSpace {
            directory: std::env::temp_dir(),
            quota: Quota::new(limits.temp_bytes, None),
        };
        Options {
            role,
            limits,
            temp,
            observer: None,
        }
    }
}

/// What one connection may use; every one of them ends in a typed error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long one statement may run if its budget says nothing shorter.
    pub statement_time: Duration,
    /// Bytes of values in one result.
    pub result_bytes: u64,
    /// Bytes of changed pages in one transaction.
    pub transaction_bytes: u64,
    /// Bytes of heap that SQLite may hold for this connection.
    pub heap_bytes: u64,
    /// Bytes of pages kept by the connection between statements.
    pub cache_bytes: u64,
    /// Bytes of temporary files, if `Options::new` makes the quota.
    pub temp_bytes: u64,
    /// Bytes of one SQL text.
    pub sql_bytes: u32,
    /// Bytes of one value and of one row.
    pub value_bytes: u32,
    /// Columns of a table, index or result.
    pub columns: u32,
    /// Depth of an expression.
    pub expression_depth: u32,
    /// Terms of a compound SELECT.
    pub compound_terms: u32,
    /// Instructions of one prepared statement.
    pub vdbe_operations: u32,
    /// Parameters of a statement.
    pub variables: u32,
    /// Arguments of a function.
    pub arguments: u32,
    /// Depth of triggers that fire triggers.
    pub trigger_depth: u32,
    /// Bytes of a LIKE or GLOB pattern.
    pub like_pattern_bytes: u32,
    /// Prepared statements kept.
    pub cached_statements: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            // Long enough for a CREATE INDEX on a small database, short enough that a thread comes back.
            statement_time: Duration::from_secs(30),
            // What a client can be expected to take in one JSON reply.
            result_bytes: 32 * MIB,
            // Design 3: the largest transaction the log takes.
            transaction_bytes: 256 * MIB,
            // Changed pages, their originals in the memory journal, and room for values.
            heap_bytes: 768 * MIB,
            // What stock SQLite keeps. The node's page cache is below.
            cache_bytes: 2 * MIB,
            // A sort or a VACUUM of a database that fits the transaction limit.
            temp_bytes: 1024 * MIB,
            sql_bytes: MIB as u32,
            value_bytes: (32 * MIB) as u32,
            // SQLite's defaults, which ORMs know.
            columns: 2000,
            expression_depth: 1000,
            compound_terms: 500,
            variables: 32_766,
            // Each path of `json_extract` costs up to 0.1 s in the largest value, all of them one call. Two for a column
            // in `json_object`; SQLite has 1,000, and had 127 for twenty years.
            arguments: 256,
            // A tenth of SQLite's, a MiB of SQL does not need more.
            vdbe_operations: 25_000_000,
            // Each level is a frame of a few KiB on the heap.
            trigger_depth: 100,
            // A pattern costs its length times the text's, in one call that nothing ends: with a value of the largest
            // size 10 s for LIKE and 25 s for GLOB. SQLite's 50,000 would be an hour.
            like_pattern_bytes: 256,
            cached_statements: 128,
        }
    }
}

impl Options {
    /// A quota for temporary files below `parent`, as large as the limits say.
    pub fn with_temp_parent(mut self, parent: &Arc<Quota>) -> Options {
        self.temp.quota = Quota::new(self.limits.temp_bytes, Some(Arc::clone(parent)));
        self
    }
}
