//! `database_catalog` and `database_placement`: the node's databases and who serves them.

use super::{integer, maybe, text};
use crate::node::{Hosted, Node};
use orion_api::NodeId;
use rusqlite::types::Value;

pub(super) const CATALOG: &str = "database_id TEXT, name TEXT, state TEXT, \"group\" TEXT, epoch INTEGER, \
    created_at_ms INTEGER, updated_at_ms INTEGER, deleted_at_ms INTEGER, purged_at_ms INTEGER, error TEXT, \
    size_bytes INTEGER";

pub(super) const PLACEMENT: &str = "database_id TEXT, database_name TEXT, group_id TEXT, group_state TEXT, \
    placement_mode TEXT, member_node_id TEXT, member_role TEXT, cloud TEXT, region TEXT, zone TEXT, \
    failover_automatic INTEGER, failover_promote_after_ms INTEGER";

pub(super) fn catalog(node: &Node) -> Vec<Vec<Value>> {
    let rows = node.list(true).into_iter().map(|info| {
        let state = match (info.dropped_at_ms, info.purged_at_ms) {
            (_, Some(_)) => "purged",
            (Some(_), None) => "dropped",
            (None, None) => "active",
        };
        let updated = info.purged_at_ms.or(info.dropped_at_ms);
        vec![
            text(info.id),
            text(&info.name),
            text(state),
            text(&info.group),
            integer(info.epoch.0),
            integer(info.created_at_ms),
            integer(updated.unwrap_or(info.created_at_ms)),
            maybe(info.dropped_at_ms),
            maybe(info.purged_at_ms),
            Value::Null,
            integer(info.size_bytes),
        ]
    });
    rows.collect()
}

/// A row for each database and member of its group.
pub(super) fn placement(node: &Node) -> Vec<Vec<Value>> {
    let hosted = node.hosted();
    hosted.iter().flat_map(|hosted| of_group(hosted)).collect()
}

fn of_group(hosted: &Hosted) -> Vec<Vec<Value>> {
    let group = &hosted.group;
    let metrics = group.metrics();
    let members = metrics.membership_config.membership();
    let voters: Vec<u64> = members.voter_ids().collect();
    let state = if group.serves() { "active" } else { "unavailable" };
    let rows = hosted.list(false).into_iter().flat_map(|info| {
        let voters = &voters;
        members.nodes().map(move |(id, _)| {
            let role = if voters.contains(id) { "voter" } else { "learner" };
            let mut row = vec![
                text(info.id),
                text(&info.name),
                text(&group.name),
                text(state),
                text("manual"),
                text(NodeId(*id)),
                text(role),
            ];
            // Cloud, region, zone and failover are nobody's setting on one node.
            row.resize(12, Value::Null);
            row
        })
    });
    rows.collect()
}
