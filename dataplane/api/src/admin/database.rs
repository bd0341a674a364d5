//! Databases: the object, its limits, and what creating and listing take.

use crate::{DatabaseId, DatabaseName, Epoch, GroupName, NodeId, Version};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Longest idempotency key, here and in the header of SQL requests.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 512;

/// A database as the node knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Database {
    /// Never changes, never used again.
    #[schema(value_type = String, format = "uuid", example = "67e55044-10b1-426f-9247-bb680e5fe0c8")]
    pub id: DatabaseId,
    /// May be given to another database once this one is dropped.
    #[schema(value_type = String, example = "appdb")]
    pub name: DatabaseName,
    /// What can be done with it.
    pub state: DatabaseState,
    /// The group that owns it.
    #[schema(value_type = String, example = "default")]
    pub group: GroupName,
    /// Ownership counter: one more each time another group becomes the owner.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// Entries applied in this epoch's line.
    #[schema(value_type = u64)]
    pub version: Version,
    /// Size as SQLite sees it: pages times page size.
    pub size_bytes: u64,
    /// Unix time in milliseconds.
    pub created_at_ms: u64,
    /// When it was dropped; its data is purged after the retention that begins then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at_ms: Option<u64>,
    /// The limits in force.
    #[serde(default)]
    pub limits: Limits,
    /// URL that clients of libSQL take as it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "http://127.0.0.1:8091/appdb/")]
    pub endpoint: Option<String>,
}

/// A database's pages on one node, in one number. Members that are at the same epoch and version have the same one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatabaseChecksum {
    /// Whose pages.
    #[schema(value_type = String, format = "uuid", example = "67e55044-10b1-426f-9247-bb680e5fe0c8")]
    pub id: DatabaseId,
    /// The node whose copy was read.
    #[schema(value_type = String, example = "00000000000000a1")]
    pub node: NodeId,
    /// The version counts in this epoch.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// The version whose pages these are.
    #[schema(value_type = u64)]
    pub version: Version,
    /// Pages in the database.
    pub page_count: u32,
    /// 16 hexadecimal digits over all pages, each of which passed its own checksum.
    #[schema(example = "2d06800538d394c2")]
    pub checksum: String,
    /// 32 hexadecimal digits over the history: where they differ at the same epoch and version, histories forked.
    #[schema(example = "00000000000000000000000000000000")]
    pub chain: String,
}

/// What can be done with a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DatabaseState {
    /// Its name and owner are written down; it does not serve yet.
    Creating,
    /// Serves reads and writes.
    Active,
    /// Serves reads; writes are refused.
    Fenced,
    /// Owned by another group now.
    Released,
    /// Dropped: a tombstone until its objects are purged.
    Dropped,
    /// Data of it failed a check: not served.
    Corrupt,
}

impl DatabaseState {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            DatabaseState::Creating => "creating",
            DatabaseState::Active => "active",
            DatabaseState::Fenced => "fenced",
            DatabaseState::Released => "released",
            DatabaseState::Dropped => "dropped",
            DatabaseState::Corrupt => "corrupt",
        }
    }
}

/// Limits of one database. What is absent is the node's default when creating; in a [`Database`] all that the
/// node enforces are present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[serde(expecting = "limits, an object of numbers")]
pub struct Limits {
    /// Pages times page size; writes beyond it are refused with `ORION_QUOTA`.
    #[serde(
        default,
        deserialize_with = "crate::number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub size_bytes: Option<u64>,
    /// Changed pages of one transaction.
    #[serde(
        default,
        deserialize_with = "crate::number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub transaction_bytes: Option<u64>,
    /// Time of one request's statements.
    #[serde(
        default,
        deserialize_with = "crate::number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub statement_time_ms: Option<u64>,
    /// Result of one request.
    #[serde(
        default,
        deserialize_with = "crate::number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub result_bytes: Option<u64>,
    /// Open streams.
    #[serde(
        default,
        deserialize_with = "crate::number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub streams: Option<u64>,
}

/// A wish to change limits. Absent: as it was. `null`: the node's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[serde(expecting = "limits, an object of numbers")]
pub struct LimitsChange {
    /// Pages times page size.
    #[serde(
        default,
        deserialize_with = "crate::number::wished",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<u64>)]
    pub size_bytes: Option<Option<u64>>,
    /// Changed pages of one transaction.
    #[serde(
        default,
        deserialize_with = "crate::number::wished",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<u64>)]
    pub transaction_bytes: Option<Option<u64>>,
    /// Time of one request's statements.
    #[serde(
        default,
        deserialize_with = "crate::number::wished",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<u64>)]
    pub statement_time_ms: Option<Option<u64>>,
    /// Result of one request.
    #[serde(
        default,
        deserialize_with = "crate::number::wished",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<u64>)]
    pub result_bytes: Option<Option<u64>>,
    /// Open streams.
    #[serde(
        default,
        deserialize_with = "crate::number::wished",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<u64>)]
    pub streams: Option<Option<u64>>,
}

impl LimitsChange {
    /// The limits after the change of `before`.
    pub fn of(&self, before: &Limits) -> Limits {
        Limits {
            size_bytes: self.size_bytes.unwrap_or(before.size_bytes),
            transaction_bytes: self.transaction_bytes.unwrap_or(before.transaction_bytes),
            statement_time_ms: self.statement_time_ms.unwrap_or(before.statement_time_ms),
            result_bytes: self.result_bytes.unwrap_or(before.result_bytes),
            streams: self.streams.unwrap_or(before.streams),
        }
    }
}

/// Body of `PATCH /databases/{name}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[serde(expecting = "an object with limits")]
pub struct ChangeDatabase {
    /// In force at once, on connections that are open too.
    #[serde(default)]
    pub limits: LimitsChange,
}

/// Body of `POST /databases`. Creating what exists with the same wishes answers with it as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[serde(expecting = "an object with a name")]
pub struct CreateDatabase {
    /// 1 to 128 of `a-z`, `0-9`, `-`, `_` and `.`, beginning with a letter or digit.
    #[schema(value_type = String, example = "appdb")]
    pub name: DatabaseName,
    /// Makes a retry safe also after the database was dropped: the same key never creates twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 512)]
    pub idempotency_key: Option<String>,
    /// Limits that differ from the defaults.
    #[serde(default)]
    pub limits: Limits,
    /// The group to own it; absent for the node's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub group: Option<GroupName>,
}

impl CreateDatabase {
    /// With this name and all defaults.
    pub fn named(name: DatabaseName) -> CreateDatabase {
        CreateDatabase {
            name,
            idempotency_key: None,
            limits: Limits::default(),
            group: None,
        }
    }
}

/// Query of `GET /databases`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListDatabases {
    /// Also those that are dropped and not yet purged.
    #[serde(default)]
    pub include_deleted: bool,
    /// Only names after this one: the `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most so many; the server may give fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Answer of `GET /databases`, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DatabaseList {
    /// One page.
    pub databases: Vec<Database>,
    /// The `after` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_with_unknown_fields_or_bad_names_are_refused() {
        let parse = |text| serde_json::from_str::<CreateDatabase>(text);
        assert_eq!(parse(r#"{"name":"a"}"#).expect("valid").name.as_str(), "a");
        assert!(parse(r#"{"name":"A b"}"#).is_err());
        assert!(parse(r#"{"name":"a","limts":{}}"#).is_err());
        assert!(parse(r#"{"name":"a","limits":{"size":1}}"#).is_err());
    }

    #[test]
    fn a_change_of_limits_tells_absent_from_null() {
        let parse = |text| serde_json::from_str::<ChangeDatabase>(text);
        let text = r#"{"limits":{"size_bytes":null,"streams":7}}"#;
        let change = parse(text).expect("valid");
        assert_eq!(serde_json::to_string(&change).expect("serializable"), text);
        let before = Limits {
            size_bytes: Some(1),
            result_bytes: Some(2),
            ..Limits::default()
        };
        let after = Limits {
            size_bytes: None,
            streams: Some(7),
            ..before
        };
        assert_eq!(change.limits.of(&before), after);
        assert_eq!(parse("{}").expect("valid").limits.of(&before), before);
        assert!(parse(r#"{"limits":{"size":1}}"#).is_err());
        assert!(parse(r#"{"name":"b"}"#).is_err());
    }

    #[test]
    fn a_database_goes_both_ways() {
        let text = r#"{"id":"67e55044-10b1-426f-9247-bb680e5fe0c8","name":"appdb","state":"active","group":"default","epoch":1,"version":7,"size_bytes":8192,"created_at_ms":5,"limits":{"streams":128},"endpoint":"http://h/appdb/"}"#;
        let database: Database = serde_json::from_str(text).expect("valid");
        assert_eq!(database.state.as_str(), "active");
        assert_eq!(serde_json::to_string(&database).expect("serializable"), text);
    }
}
