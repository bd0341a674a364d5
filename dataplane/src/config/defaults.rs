//! Defaults of the process, with their reasons. Those of parts are taken from the parts.

use std::path::PathBuf;
use std::time::Duration;

use super::{Limits, Log, LogFormat, Materialize, Transactions};
use crate::database;

/// Below the working directory: `orion server` alone must work without rights elsewhere.
pub(super) const DATA_DIR: &str = "orion-data";
/// Loopback: a server without tokens must not be reachable from other machines by accident.
pub(super) const LISTEN: &str = "127.0.0.1:8091";
/// A first `orion cli` or curl needs a database that is there.
pub(super) const DATABASE: &str = "default";
/// The embedded default has one group.
pub(super) const GROUP: &str = "default";
/// Holds the hot pages of some hundred small databases; what is not used is not taken.
pub(super) const PAGE_CACHE_BYTES: u64 = 128 << 20;
/// Four databases at their own limit: past that, what is due first is the largest.
pub(super) const NODE_OVERLAY_BYTES: u64 = 256 << 20;
/// Flushes cost requests: rare enough to be cheap, often enough that a restart replays little.
pub(super) const MATERIALIZE_AGE: Duration = Duration::from_secs(300);
/// Long enough to notice that the wrong database was dropped.
pub(super) const DROPPED_RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);
/// A log that shows starts, stops and what a person must look at.
pub(super) const LOG_FILTER: &str = "info";

fn database() -> database::Options {
    database::Options::new(PathBuf::new())
}

pub(super) fn limits() -> Limits {
    let options = database();
    Limits {
        size_bytes: options.database_bytes,
        transaction_bytes: options.sql.transaction_bytes,
        statement_time: options.sql.statement_time,
        result_bytes: options.sql.result_bytes,
        streams: options.streams_max,
    }
}

pub(super) fn transactions() -> Transactions {
    let options = database();
    Transactions {
        idle: options.transaction_idle,
        total: options.transaction_total,
        commit_deadline: options.commit_deadline,
    }
}

pub(super) fn materialize() -> Materialize {
    Materialize {
        database_overlay_bytes: database().overlay_bytes,
        node_overlay_bytes: NODE_OVERLAY_BYTES,
        age: MATERIALIZE_AGE,
        dropped_retention: DROPPED_RETENTION,
    }
}

pub(super) fn log() -> Log {
    Log {
        filter: LOG_FILTER.into(),
        format: LogFormat::default(),
    }
}
