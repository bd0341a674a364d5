//! ReplicationGroup: nodes that agree by Raft, and the databases they hold.

mod members;
mod settings;
mod status;
mod store;

pub use members::{AntiAffinity, Location, MemberSet, OnScaleDown, Pod, Resources, Role, Storage};
pub use settings::{
    AllowedNamespaces, Auth, AuthMode, Automation, Bootstrap, BootstrapPolicy, Failover, From, GroupLimits,
    Issuer, IssuerKind, IssuerRef, Log, Overlay, ServiceType, Services, StandbyGroup, Tls, TlsPolicy, Update,
};
pub use status::{
    Databases, Lag, Leader, Member, MemberState, Phase, ReplicationGroupStatus, reason, type_ as condition,
};
pub use store::{ObjectStore, WorkloadIdentity};

use crate::reference::LocalRef;
use crate::schema::{Rule, rule};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rules over the whole object.
pub(crate) const ROOT_RULES: [Rule; 2] = [
    rule(
        "self.metadata.name.size() <= 30 && !self.metadata.name.matches('-(rw|ro|peers)$')",
        "name: at most 30 characters, not ending in -rw, -ro or -peers (names of Pods and Services are made from it)",
    ),
    rule(
        "!has(oldSelf.status) || !has(oldSelf.status.groupId) || self.spec.bootstrap == oldSelf.spec.bootstrap",
        "bootstrap: cannot change once the group exists; make a new group",
    ),
];

const RULES: [Rule; 5] = [
    rule(
        "[1,3,5,7].exists(n, n == self.memberSets.map(m, m.role == 'Voter' ? m.replicas : 0).sum())",
        "memberSets: replicas of all Voter sets together must be 1, 3, 5 or 7",
    ),
    rule(
        "self.mode == 'Manual' || (has(self.home) && self.memberSets.all(m, has(m.location) && has(m.location.region)))",
        "mode: needs home.region and a location.region in every member set; without regions use Manual",
    ),
    rule(
        "!(self.mode in ['SingleRegion','RegionalPrimary','ReadGlobalWriteHome']) || !has(self.home) || self.memberSets.all(m, m.role != 'Voter' || (has(m.location) && has(m.location.region) && m.location.region == self.home.region))",
        "mode: with this mode every Voter set must have location.region equal to home.region",
    ),
    rule(
        "self.mode != 'DualCloudQuorum' || !self.memberSets.all(m, has(m.location) && has(m.location.cloud)) || self.memberSets.all(m, m.role != 'Voter' || 2 * self.memberSets.map(o, o.role == 'Voter' && o.location.cloud == m.location.cloud ? o.replicas : 0).sum() < self.memberSets.map(o, o.role == 'Voter' ? o.replicas : 0).sum())",
        "mode DualCloudQuorum: no cloud may hold half of the voters, so a third cloud needs at least a small Voter set",
    ),
    rule(
        "self.mode != 'DualCloudQuorum' || self.memberSets.all(m, has(m.location) && has(m.location.cloud))",
        "mode DualCloudQuorum: needs location.cloud in every member set",
    ),
];

/// What a group is to be.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "orion-db.dev",
    version = "v1alpha1",
    kind = "ReplicationGroup",
    plural = "replicationgroups",
    shortname = "rg",
    category = "orion",
    namespaced,
    status = "ReplicationGroupStatus",
    derive = "PartialEq",
    doc = "Nodes that agree by Raft, and the SQLite databases they hold.",
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.ready"}"#,
    printcolumn = r#"{"name":"Leader","type":"string","jsonPath":".status.leader.pod"}"#,
    printcolumn = r#"{"name":"DBs","type":"integer","jsonPath":".status.databases.total"}"#,
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".status.version"}"#,
    printcolumn = r#"{"name":"Why","type":"string","jsonPath":".status.message"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = RULES))]
pub struct ReplicationGroupSpec {
    /// Where voters and readers may be. All but Manual need regions.
    #[serde(default)]
    pub mode: Mode,
    /// Where writes belong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<Home>,
    /// Image of the nodes; absent for the one that the operator brings, chosen once and then kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub image: Option<String>,
    /// When the image is pulled.
    #[serde(default)]
    pub image_pull_policy: PullPolicy,
    /// Secrets of the registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub image_pull_secrets: Vec<LocalRef>,
    /// Sets of alike members.
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub member_sets: Vec<MemberSet>,
    /// The lasting home of all data.
    pub object_store: ObjectStore,
    /// How the group begins.
    #[serde(default)]
    pub bootstrap: Bootstrap,
    /// From where Databases may refer to this group.
    #[serde(default)]
    pub allowed_namespaces: AllowedNamespaces,
    /// Encryption between nodes, and towards clients.
    #[serde(default)]
    pub tls: Tls,
    /// Who may do what.
    #[serde(default)]
    pub auth: Auth,
    /// What happens when the whole group is gone.
    #[serde(default)]
    pub failover: Failover,
    /// Whether new databases may come here.
    #[serde(default = "yes")]
    pub schedulable: bool,
    /// Move all databases to the standby groups.
    #[serde(default)]
    pub drain: bool,
    /// No pods; volumes and objects stay.
    #[serde(default)]
    pub hibernated: bool,
    /// What the group takes.
    #[serde(default)]
    pub limits: GroupLimits,
    /// The log's archive in the object store.
    #[serde(default)]
    pub log: Log,
    /// Pages that are committed and not yet in the object store.
    #[serde(default)]
    pub overlay: Overlay,
    /// How new versions come.
    #[serde(default)]
    pub update: Update,
    /// What is common to the Services.
    #[serde(default)]
    pub services: Services,
    /// Whether evictions are held to the quorum.
    #[serde(default = "yes")]
    pub pod_disruption_budget: bool,
    /// Whether only nodes of the group and the operator reach the peers' port.
    #[serde(default = "yes")]
    pub network_policy: bool,
    /// Whether Prometheus' operator is told to collect metrics.
    #[serde(default)]
    pub service_monitor: bool,
    /// What happens to the data with the object: Retain leaves all in the object store.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

fn yes() -> bool {
    true
}

/// Where voters and readers may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// As the member sets say.
    #[default]
    Manual,
    /// Voters in one region.
    SingleRegion,
    /// Voters in the home region, readers elsewhere.
    RegionalPrimary,
    /// No cloud holds half of the voters.
    DualCloudQuorum,
    /// Databases move toward the region that writes.
    FollowTheTenant,
    /// Voters at home, a reader in every region.
    ReadGlobalWriteHome,
}

/// Where writes belong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Home {
    /// Name of the cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub cloud: Option<String>,
    /// Name of the region.
    #[schemars(length(max = 63))]
    pub region: String,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    /// Where it is not there.
    #[default]
    IfNotPresent,
    /// At each start.
    Always,
    /// It must be there.
    Never,
}

/// What happens to data when its object is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It stays in the object store.
    #[default]
    Retain,
    /// It is dropped, and purged after its retention.
    Delete,
}
