//! The smaller sections of a group's spec. Every one of them may be left out.

use crate::reference::LocalRef;
use crate::schema::{self, Rule, rule};
use crate::{Duration, Quantity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a group begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bootstrap {
    /// Whether the object store must be empty, or holds a group that lost all its disks.
    #[serde(default)]
    pub policy: BootstrapPolicy,
    /// The group to recover, where the object store holds several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    pub group_id: Option<String>,
}

/// What the object store is to hold before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BootstrapPolicy {
    /// No group.
    #[default]
    New,
    /// A group whose disks are lost.
    Recover,
}

/// From where Databases may refer to a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllowedNamespaces {
    /// Which namespaces.
    #[serde(default)]
    pub from: From,
    /// With `from: Selector`: labels that a namespace must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    pub match_labels: BTreeMap<String, String>,
}

/// Which namespaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum From {
    /// The group's own.
    #[default]
    Same,
    /// Those with certain labels.
    Selector,
    /// All.
    All,
}

const TLS_RULES: [Rule; 1] = [rule(
    "(self.issuer == 'CertManager') == has(self.issuerRef) && (self.issuer == 'Secret') == has(self.secret)",
    "tls: CertManager needs issuerRef, Secret needs secret, and only those",
)];

/// Encryption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = TLS_RULES))]
pub struct Tls {
    /// Between the nodes, both sides with certificates.
    #[serde(default = "required")]
    pub peers: TlsPolicy,
    /// Towards clients.
    #[serde(default = "disabled")]
    pub clients: TlsPolicy,
    /// Who makes certificates.
    #[serde(default)]
    pub issuer: Issuer,
    /// With `issuer: CertManager`: which of its issuers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerRef>,
    /// With `issuer: Secret`: a Secret with `ca.crt`, `tls.crt` and `tls.key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<LocalRef>,
}

impl Default for Tls {
    fn default() -> Tls {
        Tls {
            peers: required(),
            clients: disabled(),
            issuer: Issuer::default(),
            issuer_ref: None,
            secret: None,
        }
    }
}

fn required() -> TlsPolicy {
    TlsPolicy::Required
}

fn disabled() -> TlsPolicy {
    TlsPolicy::Disabled
}

/// Whether connections are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsPolicy {
    /// Always.
    Required,
    /// Never.
    Disabled,
}

/// Who makes certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Issuer {
    /// The operator, with an authority of the group's own.
    #[default]
    Operator,
    /// cert-manager.
    CertManager,
    /// A person.
    Secret,
}

/// An issuer of cert-manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IssuerRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its kind.
    #[serde(default)]
    pub kind: IssuerKind,
}

/// Kinds of issuers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IssuerKind {
    /// Of the group's namespace.
    #[default]
    Issuer,
    /// Of all namespaces.
    ClusterIssuer,
}

/// Who may do what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// Whether requests need a token.
    #[serde(default)]
    pub mode: AuthMode,
    /// Secrets with `token.pub`: further keys whose tokens are believed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub trusted_keys: Vec<LocalRef>,
    /// How long tokens of the operator live; absent for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_lifetime: Option<Duration>,
    /// How long an old key is believed beside its successor.
    #[serde(default = "day")]
    pub rotation_overlap: Duration,
}

impl Default for Auth {
    fn default() -> Auth {
        Auth {
            mode: AuthMode::default(),
            trusted_keys: Vec::new(),
            token_lifetime: None,
            rotation_overlap: day(),
        }
    }
}

fn day() -> Duration {
    "24h".into()
}

/// Whether requests need a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AuthMode {
    /// They do.
    #[default]
    Token,
    /// Whoever reaches the address may do everything.
    None,
}

/// What happens when a whole group is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failover {
    /// Promote standbys without a person. Costs writes while the object store is away.
    #[serde(default)]
    pub automatic: bool,
    /// How long the group must be gone before.
    #[serde(default = "promote_after")]
    pub promote_after: Duration,
    /// How far a standby may lag to be promoted.
    #[serde(default = "staleness")]
    pub max_staleness: Duration,
    /// Groups that may take over, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub standby_groups: Vec<StandbyGroup>,
}

impl Default for Failover {
    fn default() -> Failover {
        Failover {
            automatic: false,
            promote_after: promote_after(),
            max_staleness: staleness(),
            standby_groups: Vec::new(),
        }
    }
}

fn promote_after() -> Duration {
    "30s".into()
}

fn staleness() -> Duration {
    "10s".into()
}

/// A group that may take over.
pub type StandbyGroup = crate::reference::GroupRef;

/// What a group takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupLimits {
    /// Most databases.
    #[serde(default = "databases")]
    #[schemars(range(min = 1, max = 100000))]
    pub databases: u32,
    /// Size of a database that names no limit of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_size: Option<Quantity>,
    /// Most moves at a time; drains use 32 where this is less.
    #[serde(default = "moves")]
    #[schemars(range(min = 1, max = 64))]
    pub concurrent_moves: u32,
}

impl Default for GroupLimits {
    fn default() -> GroupLimits {
        GroupLimits {
            databases: databases(),
            database_size: None,
            concurrent_moves: moves(),
        }
    }
}

fn databases() -> u32 {
    10_000
}

fn moves() -> u32 {
    4
}

/// The log's archive in the object store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    /// What may be lost if all disks are.
    #[serde(default = "archive_interval")]
    pub archive_interval: Duration,
    /// How far back any point can be restored.
    #[serde(default = "archive_retention")]
    pub archive_retention: Duration,
}

impl Default for Log {
    fn default() -> Log {
        Log {
            archive_interval: archive_interval(),
            archive_retention: archive_retention(),
        }
    }
}

fn archive_interval() -> Duration {
    "1s".into()
}

fn archive_retention() -> Duration {
    "168h".into()
}

/// Pages that are committed and not yet in the object store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Overlay {
    /// Most of one database; then its writes wait.
    #[serde(default = "of_a_database")]
    pub database_bytes: Quantity,
    /// Most of one node.
    #[serde(default = "of_a_node")]
    pub node_bytes: Quantity,
}

impl Default for Overlay {
    fn default() -> Overlay {
        Overlay {
            database_bytes: of_a_database(),
            node_bytes: of_a_node(),
        }
    }
}

fn of_a_database() -> Quantity {
    "64Mi".into()
}

fn of_a_node() -> Quantity {
    "512Mi".into()
}

/// How new versions come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Update {
    /// Whether pods are restarted when the spec wants it, or when a person says so.
    #[serde(default)]
    pub strategy: Automation,
    /// Whether new formats are written once every member knows them. There is no way back after that.
    #[serde(default)]
    pub finalize: Automation,
}

/// Who begins it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Automation {
    /// The operator.
    #[default]
    Automatic,
    /// A person.
    Manual,
}

/// What is common to the Services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Services {
    /// Of the Services for clients.
    #[serde(default, rename = "type")]
    pub type_: ServiceType,
    /// Of the Services for clients.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::annotations")]
    pub annotations: BTreeMap<String, String>,
}

/// From where Services are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// From inside.
    #[default]
    ClusterIP,
    /// From outside too.
    LoadBalancer,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_in_code_are_those_of_an_empty_object() {
        fn same<T: Default + PartialEq + std::fmt::Debug + for<'de> Deserialize<'de>>() {
            assert_eq!(
                serde_json::from_str::<T>("{}").expect("all may be left out"),
                T::default()
            );
        }
        same::<Bootstrap>();
        same::<AllowedNamespaces>();
        same::<Tls>();
        same::<Auth>();
        same::<Failover>();
        same::<GroupLimits>();
        same::<Log>();
        same::<Overlay>();
        same::<Update>();
        same::<Services>();
        same::<crate::group::Pod>();
    }
}
