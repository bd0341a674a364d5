//! What a database holds at first.

use crate::reference::KeyRef;
use crate::schema::{Rule, rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const RULES: [Rule; 1] = [rule(
    "[has(self.sqlDump), has(self.branchOf), has(self.restore)].filter(x, x).size() == 1",
    "source: set exactly one of sqlDump, branchOf and restore; leave source out for an empty database",
)];

const DUMP_RULES: [Rule; 1] = [rule(
    "[has(self.url), has(self.secret), has(self.configMap)].filter(x, x).size() == 1",
    "sqlDump: set exactly one of url, secret and configMap",
)];

/// What a database holds at first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = RULES))]
pub struct Source {
    /// The result of a script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql_dump: Option<SqlDump>,
    /// What another database holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_of: Option<BranchOf>,
    /// What a database held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<Restore>,
}

/// A script of SQL, run once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = DUMP_RULES))]
pub struct SqlDump {
    /// Where it lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = r"^(https|s3|gs|az)://"))]
    pub url: Option<String>,
    /// In a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<KeyRef>,
    /// In a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<KeyRef>,
    /// Its checksum, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub sha256: Option<String>,
}

/// A point in another database's history; absent for now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BranchOf {
    /// Name of the Database object.
    #[schemars(length(min = 1, max = 63))]
    pub database: String,
    /// As of this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// As of this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub time: Option<String>,
}

/// A point in a database's history, which may be dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restore {
    /// Its id.
    #[schemars(length(min = 1, max = 36))]
    pub database_id: String,
    /// As of this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub time: Option<String>,
}
