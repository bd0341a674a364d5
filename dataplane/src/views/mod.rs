//! The database `_orion`: what this node knows of itself, as tables to select from.
//!
//! Real virtual tables on connections that may not write, under the same limits as any other SQL. The
//! database is always there and cannot be created or dropped: its name is none that a database can have.
//! Only in `_orion`, because it shows every database's name: a token for one database must not see them.
//!
//! Columns: surface, section 5. What one node does not know (cloud, region, zone, failover) is NULL.

mod databases;
mod raft;
mod statements;
mod storage;
#[cfg(test)]
mod tests;

use crate::clock::now_ms;
use crate::node::Node;
use crate::vfs::Table;
use rusqlite::types::Value;
use std::sync::{Arc, Weak};

/// Makes `_orion` of this node. `url` is where its clients reach it.
pub fn install(node: &Arc<Node>, url: &str) {
    let url = url.to_owned();
    let tables = vec![
        table(node, "raft_metrics", raft::COLUMNS, raft::rows),
        table(node, "storage_pressure", storage::COLUMNS, storage::rows),
        table(node, "database_catalog", databases::CATALOG, databases::catalog),
        table(
            node,
            "database_placement",
            databases::PLACEMENT,
            databases::placement,
        ),
        table(node, "query_stats", statements::QUERIES, statements::queries),
        table(node, "idempotency_metrics", statements::KEYS, statements::keys),
        table(node, "placement_nodes", raft::NODES, move |node| {
            raft::nodes(node, &url)
        }),
    ];
    node.databases.set_views(&node.home.group, tables.into());
}

fn table(
    node: &Arc<Node>,
    name: &'static str,
    columns: &'static str,
    rows: impl Fn(&Node) -> Vec<Vec<Value>> + Send + Sync + 'static,
) -> Table {
    // Weak: the node holds the database that holds the table.
    let node: Weak<Node> = Arc::downgrade(node);
    Table {
        name,
        columns,
        rows: Arc::new(move || node.upgrade().map_or_else(Vec::new, |node| rows(&node))),
    }
}

fn integer(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

fn maybe(value: Option<u64>) -> Value {
    value.map_or(Value::Null, integer)
}

fn text(value: impl ToString) -> Value {
    Value::Text(value.to_string())
}
