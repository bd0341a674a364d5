//! `raft_metrics` and `placement_nodes`: the groups as this node sees them.

use super::{integer, maybe, now_ms, text};
use crate::group::Group;
use crate::node::Node;
use openraft::ServerState;
use orion_api::NodeId;
use rusqlite::types::Value;
use serde_json::{Map, json};
use std::collections::BTreeMap;

pub(super) const COLUMNS: &str = "node_id TEXT, observed_at_ms INTEGER, observed_age_ms INTEGER, \
    stale INTEGER, state TEXT, current_term INTEGER, current_leader TEXT, last_log_index INTEGER, \
    committed_index INTEGER, applied_index INTEGER, snapshot_index INTEGER, purged_index INTEGER, \
    ready_for_linearizable_reads INTEGER, voters_json TEXT, learners_json TEXT, replication_json TEXT, \
    group_id TEXT";

pub(super) const NODES: &str = "node_id TEXT, cloud TEXT, region TEXT, zone TEXT, raft_addr TEXT, \
    libsql_http_addr TEXT";

/// A row for each group, the node's home first.
pub(super) fn rows(node: &Node) -> Vec<Vec<Value>> {
    let groups = node.groups.all();
    groups.iter().map(|group| of_group(node, group)).collect()
}

fn of_group(node: &Node, group: &Group) -> Vec<Value> {
    let metrics = group.metrics();
    let index = |id: Option<crate::raft::LogId>| maybe(id.map(|id| id.index));
    let members = metrics.membership_config.membership();
    let ids = |ids: Vec<u64>| {
        let ids: Vec<String> = ids.into_iter().map(|id| NodeId(id).to_string()).collect();
        text(json!(ids))
    };
    let replication: Map<_, _> = metrics
        .replication
        .iter()
        .flatten()
        .map(|(id, at)| (NodeId(*id).to_string(), json!(at.as_ref().map(|id| id.index))))
        .collect();
    vec![
        text(node.id()),
        integer(now_ms()),
        // Taken from Raft for this very scan.
        integer(0),
        integer(0),
        text(state(metrics.state)),
        integer(metrics.current_term),
        metrics.current_leader.map_or(Value::Null, |id| text(NodeId(id))),
        maybe(metrics.last_log_index),
        index(metrics.local_committed),
        index(metrics.last_applied),
        index(metrics.snapshot),
        index(metrics.purged),
        integer(node.is_ready().into()),
        ids(members.voter_ids().collect()),
        ids(members.learner_ids().collect()),
        text(json!(replication)),
        text(&group.name),
    ]
}

pub(super) fn nodes(node: &Node, url: &str) -> Vec<Vec<Value>> {
    let mut members = BTreeMap::new();
    for group in node.groups.all().iter() {
        let metrics = group.metrics();
        let of_group = metrics.membership_config.membership().nodes();
        members.extend(of_group.map(|(id, member)| (*id, member.clone())));
    }
    let rows = members.into_iter().map(|(id, member)| {
        let is_this = NodeId(id) == node.id();
        vec![
            text(NodeId(id)),
            Value::Null,
            Value::Null,
            Value::Null,
            if member.address.is_empty() {
                Value::Null
            } else {
                text(&member.address)
            },
            if is_this { text(url) } else { Value::Null },
        ]
    });
    rows.collect()
}

fn state(state: ServerState) -> &'static str {
    match state {
        ServerState::Leader => "leader",
        ServerState::Candidate => "candidate",
        ServerState::Learner => "learner",
        ServerState::Shutdown => "stopped",
        ServerState::Follower => "follower",
    }
}
