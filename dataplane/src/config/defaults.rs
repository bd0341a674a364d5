//! Defaults of the process, with their reasons. Those of parts are taken from the parts.

use std::path::PathBuf;

use super::{Http, Limits, Log, LogFormat, Materialize, Transactions};
use crate::hrana::StreamLimits;
use crate::http::connections;
use crate::{database, node, store};

/// Below the working directory: `orion server` alone must work without rights elsewhere.
pub(super) const DATA_DIR: &str = "orion-data";
/// Loopback: a server without tokens must not be reachable from other machines by accident.
pub(super) const LISTEN: &str = "127.0.0.1:8091";
/// A first `orion cli` or curl needs a database that is there.
pub(super) const DATABASE: &str = "default";
/// The embedded default has one group.
pub(super) const GROUP: &str = "default";
/// A log that shows starts, stops and what a person must look at.
pub(super) const LOG_FILTER: &str = "info,openraft=error,slatedb=warn";

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
        streams: StreamLimits::default().connected_per_database,
    }
}

pub(super) fn http() -> Http {
    let connections = connections::Limits::default();
    Http {
        // As many as the process has descriptors for, up to the part's default.
        connections_max: None,
        streams_total: StreamLimits::default().connected_per_node,
        // Eight of the largest.
        body_bytes_total: 256 << 20,
        reply_bytes_total: 256 << 20,
        idle: connections.idle,
        head: connections.head,
        pace: connections.reply,
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

/// A node's own defaults; its paths and store are not looked at.
pub(super) fn node() -> node::Options {
    let group = GROUP.parse().expect("the default group's name is one");
    let store = store::Config::new(url::Url::parse("memory:///").expect("a URL"));
    node::Options::new(PathBuf::new(), group, store)
}

pub(super) fn materialize() -> Materialize {
    let options = node();
    Materialize {
        flush_bytes: options.flush_bytes,
        age: options.flush_age,
        snapshot_log_bytes: options.snapshot_log_bytes,
        database_overlay_bytes: options.database.overlay_bytes,
        node_overlay_bytes: options.overlay_node_bytes,
        dropped_retention: options.drop_retention,
    }
}

pub(super) fn log() -> Log {
    Log {
        filter: LOG_FILTER.into(),
        format: LogFormat::default(),
    }
}
