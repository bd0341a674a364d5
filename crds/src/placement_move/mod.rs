//! PlacementMove: one move of a database to another group, or the promotion of a standby. The durable record lies in
//! the object store; the status shows it.

mod status;

pub use status::{Phase, PlacementMoveStatus, Step};

use crate::reference::{DatabaseRef, GroupRef};
use crate::schema::{Rule, rule};
use crate::{Duration, Quantity};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const RULES: [Rule; 4] = [
    rule(
        "has(self.databaseRef) != has(self.unmanaged)",
        "set exactly one of databaseRef and unmanaged",
    ),
    rule(
        "has(self.databaseRef) == has(oldSelf.databaseRef) && (!has(self.databaseRef) || self.databaseRef == oldSelf.databaseRef) && has(self.unmanaged) == has(oldSelf.unmanaged) && (!has(self.unmanaged) || self.unmanaged == oldSelf.unmanaged) && self.target == oldSelf.target && self.type == oldSelf.type && self.force == oldSelf.force",
        "a move cannot be changed into another; make a new PlacementMove",
    ),
    rule(
        "self.cancel || !oldSelf.cancel",
        "cancel: cannot be taken back; make a new PlacementMove",
    ),
    rule(
        "self.type == 'Promote' || (!self.force && !has(self.maxStaleness))",
        "force and maxStaleness: only with type Promote",
    ),
];

/// Which database goes where.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "orion-db.dev",
    version = "v1alpha1",
    kind = "PlacementMove",
    plural = "placementmoves",
    shortname = "pm",
    category = "orion",
    namespaced,
    status = "PlacementMoveStatus",
    derive = "PartialEq",
    doc = "One move of a database to another ReplicationGroup, or the promotion of a standby.",
    printcolumn = r#"{"name":"Database","type":"string","jsonPath":".status.database"}"#,
    printcolumn = r#"{"name":"From","type":"string","jsonPath":".status.source.name"}"#,
    printcolumn = r#"{"name":"To","type":"string","jsonPath":".spec.target.name"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Pause","type":"string","jsonPath":".status.pause"}"#,
    printcolumn = r#"{"name":"Copied","type":"string","jsonPath":".status.copied"}"#,
    printcolumn = r#"{"name":"Why","type":"string","jsonPath":".status.message"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = RULES))]
pub struct PlacementMoveSpec {
    /// The Database object, of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_ref: Option<DatabaseRef>,
    /// A database without an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmanaged: Option<Unmanaged>,
    /// Move what serves, or promote a standby of what is gone.
    #[serde(default, rename = "type")]
    pub type_: Type,
    /// The group to own it.
    pub target: GroupRef,
    /// How long requests are held while the database changes hands.
    #[serde(default = "drain")]
    pub drain_timeout: Duration,
    /// After which the move is given up.
    #[serde(default = "hour")]
    pub timeout: Duration,
    /// Most bytes a second that are copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Quantity>,
    /// With Promote: how far the standby may lag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_staleness: Option<Duration>,
    /// With Promote: also without the checks.
    #[serde(default)]
    pub force: bool,
    /// Give it up, as long as it can be.
    #[serde(default)]
    pub cancel: bool,
    /// Resume at a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<Repair>,
    /// How long this object stays once the move is over.
    #[serde(default = "week")]
    pub ttl_after_finished: Duration,
}

fn drain() -> Duration {
    "5s".into()
}

fn hour() -> Duration {
    "1h".into()
}

fn week() -> Duration {
    "168h".into()
}

/// A database without an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unmanaged {
    /// The group that holds it, of this namespace.
    #[schemars(length(min = 1, max = 30))]
    pub group: String,
    /// Its id.
    #[schemars(length(min = 1, max = 36))]
    pub database_id: String,
}

/// What kind of move it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Type {
    /// Nothing is lost; the source takes part.
    #[default]
    Move,
    /// The source is gone; what its standby lacks is lost.
    Promote,
}

/// Resume at a step, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Repair {
    /// Another one repairs again.
    #[schemars(length(min = 1, max = 36))]
    pub id: String,
    /// Where to resume.
    pub phase: RepairPhase,
}

/// Steps at which a move can resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RepairPhase {
    /// From the beginning.
    Planned,
    /// With the fence.
    Fenced,
    /// With the copy.
    Cloning,
    /// With the check.
    CatchingUp,
    /// With the change of hands.
    Switching,
}
