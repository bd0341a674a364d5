//! Metrics as JSON: the few numbers that people and the operator ask for, of one node. Everything is in
//! `/metrics` for Prometheus.

use crate::{GroupName, LogIndex};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Answer of `GET /metrics` below the admin root.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Metrics {
    /// One for each group with a member here.
    pub raft: Vec<RaftMetrics>,
    /// What lies on this node.
    pub storage: StorageMetrics,
    /// What was asked of the object store.
    pub blob: BlobMetrics,
    /// Moves and the like.
    pub placement: PlacementMetrics,
    /// Idempotency keys.
    pub idempotency: IdempotencyMetrics,
}

/// A group's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RaftMetrics {
    /// Which group.
    #[schema(value_type = String)]
    pub group: GroupName,
    /// Raft's term.
    pub term: u64,
    /// Whether this node leads it.
    pub is_leader: bool,
    /// Newest entry applied here.
    #[schema(value_type = u64)]
    pub applied_index: LogIndex,
    /// Entries that are committed and not applied here.
    pub apply_lag: u64,
    /// Entries proposed here since the start.
    pub entries_total: u64,
    /// Transactions in them.
    pub transactions_total: u64,
}

/// What lies on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorageMetrics {
    /// In the catalog, without tombstones.
    pub databases: u64,
    /// With something in memory.
    pub open_databases: u64,
    /// Pages that are committed and not yet materialized.
    pub overlay_pages: u64,
    /// Their bytes.
    pub overlay_bytes: u64,
    /// Age of the oldest commit that is not materialized.
    pub unmaterialized_age_ms: u64,
    /// Pages in memory.
    pub page_cache_bytes: u64,
    /// The log on disk.
    pub log_bytes: u64,
}

/// What was asked of the object store since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlobMetrics {
    /// Requests by kind.
    pub requests_total: BTreeMap<String, u64>,
    /// Errors by kind of request.
    pub errors_total: BTreeMap<String, u64>,
    /// Bytes that were fetched.
    pub read_bytes_total: u64,
    /// Bytes that were stored.
    pub written_bytes_total: u64,
}

/// Operations of placement by phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlacementMetrics {
    /// How many are in each phase.
    pub operations: BTreeMap<String, u64>,
}

/// Idempotency keys of this node's databases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IdempotencyMetrics {
    /// Keys that are kept.
    pub records: u64,
    /// Replies that came from a record, since the start.
    pub reused_total: u64,
    /// Keys that came again with another request, since the start.
    pub conflicts_total: u64,
}
