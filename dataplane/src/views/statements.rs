//! `query_stats` and `idempotency_metrics`: what statements cost, and which keys are kept.

use super::{integer, text};
use crate::clock::now_ms;
use crate::node::Node;
use rusqlite::types::Value;
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

pub(super) const QUERIES: &str = "database_id TEXT, database_name TEXT, fingerprint TEXT, calls INTEGER, \
    errors INTEGER, rows INTEGER, total_ms REAL, mean_ms REAL, max_ms REAL, p50_ms REAL, p99_ms REAL";

pub(super) const KEYS: &str = "database_id TEXT, database_name TEXT, live_keys INTEGER, over_keys INTEGER, \
    keys_max INTEGER, node_reused_total INTEGER, node_conflicts_total INTEGER";

/// A row for each shape of statements. Statements beyond the bound of shapes are one row without database
/// and fingerprint.
pub(super) fn queries(node: &Node) -> Vec<Vec<Value>> {
    let infos = node.list(true).into_iter();
    let names: HashMap<_, _> = infos.map(|info| (info.id, info.name)).collect();
    let shapes = node.databases.counters().statements.shapes();
    let rows = shapes.into_iter().map(|(shape, cost)| {
        let (database, fingerprint) = match shape.fingerprint {
            0 => (Value::Null, Value::Null),
            fingerprint => (text(shape.database), text(format_args!("{fingerprint:016x}"))),
        };
        let mean = cost.total.div_f64(cost.calls.max(1) as f64);
        vec![
            database,
            names.get(&shape.database).map_or(Value::Null, text),
            fingerprint,
            integer(cost.calls),
            integer(cost.errors),
            integer(cost.rows),
            milliseconds(cost.total),
            milliseconds(mean),
            milliseconds(cost.longest),
            milliseconds(cost.quantile(500)),
            milliseconds(cost.quantile(990)),
        ]
    });
    rows.collect()
}

/// A row for each database that is served.
pub(super) fn keys(node: &Node) -> Vec<Vec<Value>> {
    let (now, counters) = (now_ms(), node.databases.counters());
    let served = node.list(false).into_iter();
    let rows = served.filter_map(|info| {
        let database = node.groups.get(&info.group)?.catalog.get(info.id)?;
        let snapshot = database.published.load();
        Some(vec![
            text(info.id),
            text(&info.name),
            integer(snapshot.expiries.live(now)),
            integer(snapshot.expiries.over(now)),
            integer(node.options().database.keys_max),
            integer(counters.keys_reused.load(Relaxed)),
            integer(counters.keys_conflicts.load(Relaxed)),
        ])
    });
    rows.collect()
}

fn milliseconds(time: Duration) -> Value {
    Value::Real(time.as_secs_f64() * 1000.0)
}
