//! What the operator says of a group. Fields that nobody knows are absent, never null.

use super::Role;
use crate::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a group is now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationGroupStatus {
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
    /// In detail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Written once, when the group has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    pub group_id: Option<String>,
    /// Members that are ready, of those that are wished: `3/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub ready: Option<String>,
    /// Who leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<Leader>,
    /// Number of the next member: none is ever used twice, so that one address is one disk for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_member: Option<u32>,
    /// All members, and those that come or go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["pod"]))]
    pub members: Vec<Member>,
    /// What it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub databases: Option<Databases>,
    /// The image in use where the spec names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub image: Option<String>,
    /// The version that all members run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version: Option<String>,
    /// The format that is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format_version: Option<u32>,
    /// How the operator renders this group's pods; a newer way waits for a change that restarts them anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_revision: Option<u32>,
    /// When the first certificate expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub certificate_expires: Option<String>,
}

/// A group in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Something must be there first.
    Pending,
    /// The first members find each other.
    Bootstrapping,
    /// It is read back from the object store.
    Recovering,
    /// As wished.
    Ready,
    /// Members come or go.
    Scaling,
    /// Pods are restarted, one at a time.
    Updating,
    /// It serves, with fewer members than wished.
    Degraded,
    /// Databases leave.
    Draining,
    /// No pods, by wish.
    Hibernated,
    /// It goes.
    Deleting,
    /// It does not serve.
    Failed,
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Leader {
    /// Its pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub pod: Option<String>,
    /// Its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub node_id: Option<String>,
    /// Raft's term.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<i64>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Its pod.
    #[schemars(length(max = 253))]
    pub pod: String,
    /// Its set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 12))]
    pub set: Option<String>,
    /// Its node, which belongs to its disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub node_id: Option<String>,
    /// What it is in Raft now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Zone of its machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub zone: Option<String>,
    /// What becomes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<MemberState>,
    /// Whether it has what is committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<Lag>,
    /// What it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version: Option<String>,
}

/// What becomes of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum MemberState {
    /// It is not in the group yet.
    Joining,
    /// It gets what it lacks.
    CatchingUp,
    /// It serves.
    Ready,
    /// Nobody reaches it.
    Unreachable,
    /// It is taken out.
    Leaving,
    /// Its disk is gone.
    Lost,
    /// A person holds it stopped.
    Fenced,
}

/// Whether a member has what is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Lag {
    /// It has.
    None,
    /// It has not.
    Behind,
    /// Nobody knows.
    Unknown,
}

/// What a group holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Databases {
    /// All that are not dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
    /// Those without a Database object: made through the API, never deleted by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmanaged: Option<u32>,
    /// The first hundred of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(max = 253)))]
    pub unmanaged_sample: Vec<String>,
}

/// Types of a group's conditions.
pub mod type_ {
    /// It serves as wished.
    pub const READY: &str = "Ready";
    /// Something is under way.
    pub const PROGRESSING: &str = "Progressing";
    /// The group has begun, once and for ever.
    pub const BOOTSTRAPPED: &str = "Bootstrapped";
    /// A quorum of the voters is ready.
    pub const QUORUM_HEALTHY: &str = "QuorumHealthy";
    /// Nodes reach the object store.
    pub const OBJECT_STORE_REACHABLE: &str = "ObjectStoreReachable";
    /// The Secrets that the spec names are there and hold what they must.
    pub const CREDENTIALS_VALID: &str = "CredentialsValid";
    /// Certificates are there and good.
    pub const CERTIFICATES_VALID: &str = "CertificatesValid";
    /// Members are where the spec wants them.
    pub const PLACEMENT_SATISFIED: &str = "PlacementSatisfied";
    /// Disks are nearly full.
    pub const DISK_PRESSURE: &str = "DiskPressure";
    /// All members run the version, and its formats are written.
    pub const UPDATE_FINALIZED: &str = "UpdateFinalized";
    /// The group cannot be deleted yet.
    pub const DELETION_BLOCKED: &str = "DeletionBlocked";
}

/// Reasons of a group's conditions. Each has a chapter in docs/runbook.md, and a test says so.
pub mod reason {
    /// Nothing is to be done.
    pub const AS_WISHED: &str = "AsWished";
    /// An object of this name belongs to somebody else.
    pub const NAME_TAKEN: &str = "NameTaken";
    /// A Secret that the spec names is not there.
    pub const SECRET_MISSING: &str = "SecretMissing";
    /// A Secret lacks a key, or holds what cannot be read.
    pub const SECRET_INVALID: &str = "SecretInvalid";
    /// The first members are not all there.
    pub const WAITING_FOR_MEMBERS: &str = "WaitingForMembers";
    /// Voters are missing for a majority.
    pub const QUORUM_LOST: &str = "QuorumLost";
    /// Fewer members are ready than wished.
    pub const MEMBERS_NOT_READY: &str = "MembersNotReady";
    /// Members come or go.
    pub const SCALING: &str = "Scaling";
    /// Pods are restarted.
    pub const ROLLING: &str = "Rolling";
    /// A restarted pod does not become ready: no other one is touched.
    pub const ROLL_HALTED: &str = "RollHalted";
    /// All members read a newer format than is written: until then the older release can be started again.
    pub const FORMAT_PENDING: &str = "FormatPending";
    /// A person paused the reconciliation.
    pub const PAUSED: &str = "Paused";
    /// No pods, by wish.
    pub const HIBERNATED: &str = "Hibernated";
    /// Database objects refer to the group.
    pub const DATABASES_REFER: &str = "DatabasesRefer";
    /// Databases are in the group that nobody dropped.
    pub const DATABASES_REMAIN: &str = "DatabasesRemain";
    /// The group is being deleted.
    pub const DELETING: &str = "Deleting";
    /// Nodes could not be asked.
    pub const UNKNOWN: &str = "Unknown";
    /// The spec asks for what this version cannot do.
    pub const NOT_SUPPORTED: &str = "NotSupported";
    /// The object store does not answer the nodes.
    pub const OBJECT_STORE_UNAVAILABLE: &str = "ObjectStoreUnavailable";
    /// The object store refuses the credentials.
    pub const OBJECT_STORE_DENIED: &str = "ObjectStoreDenied";
    /// Another group of this name has begun in the object store.
    pub const GROUP_EXISTS: &str = "GroupExistsInObjectStore";
    /// An image cannot be had.
    pub const IMAGE_UNAVAILABLE: &str = "ImageUnavailable";
    /// No machine has room for a pod, or none is where it may run.
    pub const UNSCHEDULABLE: &str = "Unschedulable";
    /// A node ends again and again.
    pub const CRASHING: &str = "Crashing";
    /// A disk has no room for the log.
    pub const DISK_FULL: &str = "DiskFull";
    /// A certificate is not good any more.
    pub const CERTIFICATE_EXPIRED: &str = "CertificateExpired";
    /// The API server refused an object that the spec asks for.
    pub const REFUSED: &str = "Refused";
}
