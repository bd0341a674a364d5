//! Database: one SQLite database in a group, with a Secret and a Service of its own.

mod source;
mod status;

pub use source::{BranchOf, Restore, Source, SqlDump};
pub use status::{DatabaseStatus, Phase, StandbyState, StandbyStatus, reason, type_ as condition};

use crate::group::DeletionPolicy;
use crate::reference::GroupRef;
use crate::schema::{Rule, rule};
use crate::{Duration, Quantity};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rules over the whole object.
pub(crate) const ROOT_RULES: [Rule; 1] = [rule(
    "self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    "name: must be a DNS label, because its Service has this name",
)];

const RULES: [Rule; 2] = [
    rule(
        "has(self.name) == has(oldSelf.name) && (!has(self.name) || self.name == oldSelf.name)",
        "name: cannot change",
    ),
    rule(
        "has(self.source) == has(oldSelf.source) && (!has(self.source) || self.source == oldSelf.source)",
        "source: is read once, at creation; cannot change",
    ),
];

/// What a database is to be.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "orion-db.dev",
    version = "v1alpha1",
    kind = "Database",
    shortname = "db",
    category = "orion",
    namespaced,
    status = "DatabaseStatus",
    derive = "PartialEq",
    doc = "One SQLite database in a ReplicationGroup, with a Secret and a Service of its own.",
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Group","type":"string","jsonPath":".status.group.name"}"#,
    printcolumn = r#"{"name":"Endpoint","type":"string","jsonPath":".status.endpoint"}"#,
    printcolumn = r#"{"name":"Size","type":"string","jsonPath":".status.size"}"#,
    printcolumn = r#"{"name":"Why","type":"string","jsonPath":".status.message"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = RULES))]
pub struct DatabaseSpec {
    /// The group to hold it. Another group: the database moves there.
    pub group_ref: GroupRef,
    /// Whether a database that a failover or drain moved away is moved back.
    #[serde(default)]
    pub placement: Placement,
    /// Its name in the group; absent for this object's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = r"^[a-z0-9]([-_.a-z0-9]*[a-z0-9])?$"))]
    pub name: Option<String>,
    /// Id of a database that was made through the API, to be managed by this object from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    pub adopt: Option<String>,
    /// What happens to the data with this object.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// How long a dropped database can be restored.
    #[serde(default = "week")]
    pub tombstone_retention: Duration,
    /// How fresh reads are that do not say it themselves.
    #[serde(default)]
    pub read_policy: ReadPolicy,
    /// Limits that differ from the group's.
    #[serde(default)]
    pub limits: Limits,
    /// Warm copies in other groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub standbys: Vec<Standby>,
    /// What differs from the group's failover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<Failover>,
    /// What it holds at first; absent for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Names of the Secret and the Service.
    #[serde(default)]
    pub connection: Connection,
    /// Further tokens, each in a Secret of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub tokens: Vec<Token>,
}

fn week() -> Duration {
    "168h".into()
}

/// Whether a database that was moved away is moved back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Placement {
    /// It stays.
    #[default]
    Sticky,
    /// It goes back.
    Enforce,
}

/// How fresh reads are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReadPolicy {
    /// Everything that was acknowledged before.
    #[default]
    Strong,
    /// Strong, never by a lease.
    RevocationSafe,
    /// At least what the session saw.
    Session,
    /// At most so old.
    BoundedStaleness,
    /// Whatever is there.
    Local,
}

/// Limits of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Bytes as SQLite sees them; writes beyond are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Quantity>,
    /// Open streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub connections: Option<u32>,
    /// Longest statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement_timeout: Option<Duration>,
}

/// A warm copy in another group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Standby {
    /// The other group.
    pub group_ref: GroupRef,
    /// Whether it gets a Service for reads.
    #[serde(default)]
    pub read_service: bool,
}

/// What differs from the group's failover.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failover {
    /// Promote a standby without a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automatic: Option<bool>,
    /// How far a standby may lag to be promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_staleness: Option<Duration>,
}

/// Names of the Secret and the Service that an application uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// The Secret's name; absent for <name>-db.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub secret_name: Option<String>,
    /// The Service's name; absent for <name>.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub service_name: Option<String>,
    /// Whether there is a Service.
    #[serde(default)]
    pub service: DatabaseService,
}

/// Whether a database has a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DatabaseService {
    /// An alias of its group's.
    #[default]
    ExternalName,
    /// None.
    None,
}

/// A further token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// Its name in this list.
    #[schemars(length(min = 1, max = 32))]
    pub name: String,
    /// What it allows.
    #[serde(default)]
    pub access: Access,
    /// The Secret that holds it.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
}

/// What a token allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Access {
    /// To read.
    #[default]
    ReadOnly,
    /// To read and write.
    ReadWrite,
}
