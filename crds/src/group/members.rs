//! Sets of members: how many nodes, where, and with what.

use crate::Quantity;
use crate::schema::{self, Rule, rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

const RULES: [Rule; 1] = [rule(
    "self.role == oldSelf.role",
    "role: cannot change; add a set with the new role, then remove this one",
)];

const STORAGE_RULES: [Rule; 2] = [
    rule(
        "quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0",
        "storage.size: may only grow",
    ),
    rule(
        "has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
        "storageClassName: cannot change; add a set with the new class, then remove this one",
    ),
];

/// Members that are alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = RULES))]
pub struct MemberSet {
    /// Part of the pods' names.
    #[schemars(length(max = 12), regex(pattern = r"^[a-z][a-z0-9]*$"))]
    pub name: String,
    /// What they are there for.
    #[serde(default)]
    pub role: Role,
    /// How many.
    #[schemars(range(min = 0, max = 15))]
    pub replicas: u32,
    /// Where they are to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Their disks.
    pub storage: Storage,
    /// Processor and memory of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Whether two members may share a machine.
    #[serde(default)]
    pub anti_affinity: AntiAffinity,
    /// What differs in their pods.
    #[serde(default)]
    pub pod: Pod,
}

/// What a member is there for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Role {
    /// Counts for the quorum.
    #[default]
    Voter,
    /// Gets the log.
    Learner,
    /// A learner that serves reads.
    ReadReplica,
}

/// Where members are to run, by the well-known labels of machines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Location {
    /// Label `orion-db.dev/cloud`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub cloud: Option<String>,
    /// Label `topology.kubernetes.io/region`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub region: Option<String>,
    /// Label `topology.kubernetes.io/zone`: one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub zones: Vec<String>,
}

/// A member's disk: log, overlay and caches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = STORAGE_RULES))]
pub struct Storage {
    /// May grow later.
    pub size: Quantity,
    /// Absent for the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub storage_class_name: Option<String>,
    /// What becomes of the disk of a member that was removed.
    #[serde(default)]
    pub on_scale_down: OnScaleDown,
}

/// What becomes of the disk of a member that was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnScaleDown {
    /// It stays until a person deletes it.
    #[default]
    Retain,
    /// The operator deletes it once the removal is committed.
    Delete,
}

/// Processor and memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    /// What is set aside.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::quantities")]
    pub requests: BTreeMap<String, Quantity>,
    /// What is never passed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::quantities")]
    pub limits: BTreeMap<String, Quantity>,
}

/// Whether two members of a group may share a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AntiAffinity {
    /// If there is no other.
    #[default]
    Preferred,
    /// Never.
    Required,
}

/// What differs in the pods of a set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// Further labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    pub labels: BTreeMap<String, String>,
    /// Further annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::annotations")]
    pub annotations: BTreeMap<String, String>,
    /// Labels that the machine must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    pub node_selector: BTreeMap<String, String>,
    /// As in a pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::any_objects")]
    pub tolerations: Vec<Value>,
    /// As in a pod; the group's own rules are added to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object")]
    pub affinity: Option<Value>,
    /// As in a pod, instead of the group's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::any_objects")]
    pub topology_spread_constraints: Vec<Value>,
    /// As in a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub priority_class_name: Option<String>,
    /// As in a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub runtime_class_name: Option<String>,
    /// As in a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub scheduler_name: Option<String>,
    /// How long a node may take to hand over and to stop.
    #[serde(default = "grace")]
    #[schemars(range(min = 10, max = 3600))]
    pub termination_grace_period_seconds: u32,
}

fn grace() -> u32 {
    60
}

impl Default for Pod {
    fn default() -> Pod {
        Pod {
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            affinity: None,
            topology_spread_constraints: Vec::new(),
            priority_class_name: None,
            runtime_class_name: None,
            scheduler_name: None,
            termination_grace_period_seconds: grace(),
        }
    }
}
