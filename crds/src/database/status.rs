//! What the operator says of a database. Fields that nobody knows are absent, never null.

use crate::Condition;
use crate::reference::GroupRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a database is now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseStatus {
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
    /// Never changes, never used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    pub database_id: Option<String>,
    /// Its name in the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub database_name: Option<String>,
    /// The group that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupRef>,
    /// The `spec.groupRef` that was carried out last: only another one makes a move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handled_group_ref: Option<GroupRef>,
    /// Ownership counter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// URL that clients take as it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub endpoint: Option<String>,
    /// Rounded, at most once a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub size: Option<String>,
    /// The key that signed the tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub token_key_id: Option<String>,
    /// Its copies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub standbys: Vec<StandbyStatus>,
}

/// A database in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Something must be there first.
    Pending,
    /// It is made.
    Creating,
    /// It is filled.
    Importing,
    /// It serves.
    Ready,
    /// It goes to another group.
    Moving,
    /// It serves, with less than was wished.
    Degraded,
    /// It does not serve.
    Unavailable,
    /// It goes.
    Deleting,
    /// A person must look.
    Failed,
}

/// A copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StandbyStatus {
    /// Its group, `namespace/name`.
    #[schemars(length(max = 94))]
    pub group: String,
    /// Whether it could take over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StandbyState>,
    /// How old it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind_seconds: Option<i64>,
}

/// Whether a copy could take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum StandbyState {
    /// It is made.
    Seeding,
    /// It could.
    Fresh,
    /// It is too old.
    Stale,
    /// It is of no use.
    Failed,
}

/// Types of a database's conditions.
pub mod type_ {
    /// It serves as wished.
    pub const READY: &str = "Ready";
    /// Its group is there and lets it in.
    pub const GROUP_ACCEPTED: &str = "GroupAccepted";
    /// Its name in the group is its own.
    pub const NAME_ACCEPTED: &str = "NameAccepted";
    /// Its Secret is there.
    pub const SECRET_READY: &str = "SecretReady";
    /// Its Service is there.
    pub const SERVICE_READY: &str = "ServiceReady";
    /// It holds what `source` says.
    pub const SOURCE_LOADED: &str = "SourceLoaded";
    /// It is in the group that the spec names.
    pub const PLACEMENT_MATCHES_SPEC: &str = "PlacementMatchesSpec";
    /// Its copies could take over.
    pub const STANDBYS_FRESH: &str = "StandbysFresh";
}

/// Reasons of a database's conditions. Each has a chapter in docs/runbook.md, and a test says so.
pub mod reason {
    /// Nothing is to be done.
    pub const AS_WISHED: &str = "AsWished";
    /// There is no such group.
    pub const GROUP_MISSING: &str = "GroupMissing";
    /// The group does not let this namespace in.
    pub const NAMESPACE_REFUSED: &str = "NamespaceRefused";
    /// The group takes no new databases.
    pub const GROUP_CLOSED: &str = "GroupClosed";
    /// The group does not serve.
    pub const GROUP_NOT_READY: &str = "GroupNotReady";
    /// Another database, or another object, has this name.
    pub const NAME_TAKEN: &str = "NameTaken";
    /// No database has the id in `adopt`, or it is not to be had from here.
    pub const ADOPTION_REFUSED: &str = "AdoptionRefused";
    /// The group refused the wish.
    pub const REFUSED: &str = "Refused";
    /// The spec asks for what this version cannot do.
    pub const NOT_SUPPORTED: &str = "NotSupported";
    /// It is in another group than the spec names.
    pub const MOVED: &str = "Moved";
    /// It is being deleted.
    pub const DELETING: &str = "Deleting";
}
