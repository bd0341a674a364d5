//! What a client sends: pipelines of requests, statements, batches and their conditions.

use crate::Value;
use crate::number;
use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Body of `POST /v2/pipeline` and `/v3/pipeline`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(expecting = "an object with a list of requests")]
pub struct PipelineRequest {
    /// The stream to go on with; none or `null` for a new one. The Go client sends an empty one for none.
    #[serde(default)]
    pub baton: Option<String>,
    /// Run in order, all of them, even if some fail.
    pub requests: Vec<Request>,
}

/// One request on a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Close the stream.
    Close,
    /// Run one statement.
    Execute(Statement),
    /// Run statements, each if its condition holds.
    Batch(Batch),
    /// Run a script, without rows.
    Sequence {
        /// The script; exactly one of this and `sql_id`.
        sql: Option<String>,
        /// Names a stored text.
        sql_id: Option<i32>,
    },
    /// Prepare a statement and say what it is.
    Describe {
        /// The statement; exactly one of this and `sql_id`.
        sql: Option<String>,
        /// Names a stored text.
        sql_id: Option<i32>,
    },
    /// Keep a text for later requests of this stream.
    StoreSql {
        /// The name that the client gives it.
        sql_id: i32,
        /// The text.
        sql: String,
    },
    /// Forget a stored text.
    CloseSql {
        /// Its name.
        sql_id: i32,
    },
    /// Is a transaction open?
    GetAutocommit,
}

/// One statement with its arguments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(expecting = "a statement, an object with sql or sql_id")]
pub struct Statement {
    /// The text; exactly one of this and `sql_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// Names a stored text.
    #[serde(
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub sql_id: Option<i32>,
    /// Arguments by position.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub args: Vec<Value>,
    /// Arguments by name.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub named_args: Vec<NamedArg>,
    /// Whether rows are to be sent; they are unless it says `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub want_rows: Option<bool>,
}

impl Statement {
    /// A statement without arguments.
    pub fn new(sql: impl Into<String>) -> Statement {
        Statement {
            sql: Some(sql.into()),
            ..Statement::default()
        }
    }

    /// The same with arguments by position.
    pub fn with_args(self, args: Vec<Value>) -> Statement {
        Statement { args, ..self }
    }
}

/// An argument by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(expecting = "an argument, an object with name and value")]
pub struct NamedArg {
    /// With or without its sign (`:`, `@`, `$`).
    pub name: String,
    /// The value.
    pub value: Value,
}

/// Statements with conditions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(expecting = "a batch, an object with a list of steps")]
pub struct Batch {
    /// Run in order.
    pub steps: Vec<Step>,
}

/// A statement of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(expecting = "a step, an object with stmt")]
pub struct Step {
    /// The step is skipped unless this holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// What to run.
    pub stmt: Statement,
}

/// When a step runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// The step (by index) ran and succeeded.
    Ok(u32),
    /// The step did not succeed: it failed, or was skipped.
    Error(u32),
    /// The opposite.
    Not(Box<Condition>),
    /// All of them.
    And(Vec<Condition>),
    /// Any of them.
    Or(Vec<Condition>),
    /// No transaction is open.
    IsAutocommit,
}

fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RequestType {
    Close,
    Execute,
    Batch,
    Sequence,
    Describe,
    StoreSql,
    CloseSql,
    GetAutocommit,
}

/// The fields of all requests at once.
#[derive(Deserialize)]
#[serde(expecting = "a request, an object with a type")]
struct FlatRequest {
    r#type: RequestType,
    #[serde(default)]
    stmt: Option<Statement>,
    #[serde(default)]
    batch: Option<Batch>,
    #[serde(default)]
    sql: Option<String>,
    #[serde(default, deserialize_with = "number::optional")]
    sql_id: Option<i32>,
}

impl<'de> Deserialize<'de> for Request {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Request, D::Error> {
        let flat = FlatRequest::deserialize(deserializer)?;
        let missing = D::Error::missing_field;
        Ok(match flat.r#type {
            RequestType::Close => Request::Close,
            RequestType::Execute => Request::Execute(flat.stmt.ok_or_else(|| missing("stmt"))?),
            RequestType::Batch => Request::Batch(flat.batch.ok_or_else(|| missing("batch"))?),
            RequestType::Sequence => Request::Sequence {
                sql: flat.sql,
                sql_id: flat.sql_id,
            },
            RequestType::Describe => Request::Describe {
                sql: flat.sql,
                sql_id: flat.sql_id,
            },
            RequestType::StoreSql => Request::StoreSql {
                sql_id: flat.sql_id.ok_or_else(|| missing("sql_id"))?,
                sql: flat.sql.ok_or_else(|| missing("sql"))?,
            },
            RequestType::CloseSql => Request::CloseSql {
                sql_id: flat.sql_id.ok_or_else(|| missing("sql_id"))?,
            },
            RequestType::GetAutocommit => Request::GetAutocommit,
        })
    }
}

impl Serialize for Request {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Request::Close => map.serialize_entry("type", "close")?,
            Request::Execute(stmt) => {
                map.serialize_entry("type", "execute")?;
                map.serialize_entry("stmt", stmt)?;
            }
            Request::Batch(batch) => {
                map.serialize_entry("type", "batch")?;
                map.serialize_entry("batch", batch)?;
            }
            Request::Sequence { sql, sql_id } | Request::Describe { sql, sql_id } => {
                let sequence = matches!(self, Request::Sequence { .. });
                map.serialize_entry("type", if sequence { "sequence" } else { "describe" })?;
                if let Some(sql) = sql {
                    map.serialize_entry("sql", sql)?;
                }
                if let Some(sql_id) = sql_id {
                    map.serialize_entry("sql_id", sql_id)?;
                }
            }
            Request::StoreSql { sql_id, sql } => {
                map.serialize_entry("type", "store_sql")?;
                map.serialize_entry("sql_id", sql_id)?;
                map.serialize_entry("sql", sql)?;
            }
            Request::CloseSql { sql_id } => {
                map.serialize_entry("type", "close_sql")?;
                map.serialize_entry("sql_id", sql_id)?;
            }
            Request::GetAutocommit => map.serialize_entry("type", "get_autocommit")?,
        }
        map.end()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ConditionType {
    Ok,
    Error,
    Not,
    And,
    Or,
    IsAutocommit,
}

#[derive(Deserialize)]
#[serde(expecting = "a condition, an object with a type")]
struct FlatCondition {
    r#type: ConditionType,
    #[serde(default, deserialize_with = "number::optional")]
    step: Option<u32>,
    #[serde(default)]
    cond: Option<Box<Condition>>,
    #[serde(default)]
    conds: Option<Vec<Condition>>,
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Condition, D::Error> {
        let flat = FlatCondition::deserialize(deserializer)?;
        let missing = D::Error::missing_field;
        Ok(match flat.r#type {
            ConditionType::Ok => Condition::Ok(flat.step.ok_or_else(|| missing("step"))?),
            ConditionType::Error => Condition::Error(flat.step.ok_or_else(|| missing("step"))?),
            ConditionType::Not => Condition::Not(flat.cond.ok_or_else(|| missing("cond"))?),
            ConditionType::And => Condition::And(flat.conds.ok_or_else(|| missing("conds"))?),
            ConditionType::Or => Condition::Or(flat.conds.ok_or_else(|| missing("conds"))?),
            ConditionType::IsAutocommit => Condition::IsAutocommit,
        })
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Condition::Ok(step) => {
                map.serialize_entry("type", "ok")?;
                map.serialize_entry("step", step)?;
            }
            Condition::Error(step) => {
                map.serialize_entry("type", "error")?;
                map.serialize_entry("step", step)?;
            }
            Condition::Not(cond) => {
                map.serialize_entry("type", "not")?;
                map.serialize_entry("cond", cond)?;
            }
            Condition::And(conds) => {
                map.serialize_entry("type", "and")?;
                map.serialize_entry("conds", conds)?;
            }
            Condition::Or(conds) => {
                map.serialize_entry("type", "or")?;
                map.serialize_entry("conds", conds)?;
            }
            Condition::IsAutocommit => map.serialize_entry("type", "is_autocommit")?,
        }
        map.end()
    }
}
