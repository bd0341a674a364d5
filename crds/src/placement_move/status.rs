//! What the operator says of a move.

use crate::Condition;
use crate::reference::GroupRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far a move is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlacementMoveStatus {
    /// In one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The `metadata.generation` that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Why, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub message: Option<String>,
    /// In detail: Accepted, Fenced, Complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Name of the database in its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub database: Option<String>,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    pub database_id: Option<String>,
    /// The group that it leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<GroupRef>,
    /// Ownership counter before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_epoch: Option<i64>,
    /// The last version before the fence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fenced_version: Option<i64>,
    /// Versions that a promotion lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_versions: Option<i64>,
    /// How long requests were held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub pause: Option<String>,
    /// Bytes that were copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub copied: Option<String>,
    /// Objects that were there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects_reused: Option<i64>,
    /// How often a step was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i64>,
    /// The `spec.repair.id` that was carried out last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    pub handled_repair: Option<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub started_at: Option<String>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub finished_at: Option<String>,
    /// Its steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub history: Vec<Step>,
}

/// A move in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Something must be there first.
    Pending,
    /// Checked and written down.
    Planned,
    /// The target is warmed; the source still serves.
    Preparing,
    /// The source takes no more writes.
    Fenced,
    /// The remainder is copied.
    Cloning,
    /// The target checks it.
    CatchingUp,
    /// The owner changes.
    Switching,
    /// The target serves.
    Completed,
    /// Given up; the source serves.
    Cancelled,
    /// A person must look.
    Failed,
}

/// One step of a move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// What began.
    #[schemars(length(max = 16))]
    pub phase: String,
    /// When.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// Why, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub message: Option<String>,
}
