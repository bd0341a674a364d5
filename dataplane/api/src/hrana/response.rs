//! What a client gets: results of statements, batches and descriptions, and errors.

use super::Envelope;
use crate::Value;
use crate::error::Code;
use serde::de::{Error as _, Unexpected, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Body of the reply to a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PipelineReply {
    /// For the next request on this stream; `null` once it is closed.
    pub baton: Option<String>,
    /// Where the stream lives, if not everywhere.
    pub base_url: Option<String>,
    /// One for each request.
    pub results: Vec<Outcome>,
    /// What Orion adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orion: Option<Envelope>,
}

/// What came of one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It worked (a batch also where steps of it failed).
    Ok(Response),
    /// It did not.
    Error(Error),
}

/// Reply to one request; always of the request's type.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// The stream is closed.
    Close,
    /// The statement's result.
    Execute(StatementResult),
    /// The batch's results.
    Batch(BatchResult),
    /// The script ran.
    Sequence,
    /// What the statement is.
    Describe(DescribeResult),
    /// The text is stored.
    StoreSql,
    /// The text is forgotten.
    CloseSql,
    /// Whether no transaction is open.
    GetAutocommit {
        /// `false` between BEGIN and COMMIT.
        is_autocommit: bool,
    },
}

/// Result of one statement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatementResult {
    /// The columns of its rows.
    pub cols: Vec<Column>,
    /// The rows; none if they were not wanted.
    pub rows: Vec<Vec<Value>>,
    /// Rows that an INSERT, UPDATE or DELETE changed.
    #[serde(default)]
    pub affected_row_count: u64,
    /// Rowid of the last insert on this connection.
    #[serde(default, with = "integer_text")]
    pub last_insert_rowid: Option<i64>,
    /// Always `null`: session tokens say what a position of a log could not.
    #[serde(default, with = "integer_text")]
    pub replication_index: Option<i64>,
    /// Rows that SQLite looked at.
    #[serde(default)]
    pub rows_read: u64,
    /// Rows that it wrote.
    #[serde(default)]
    pub rows_written: u64,
    /// Time that it took in SQLite.
    #[serde(default)]
    pub query_duration_ms: f64,
}

/// A column of a result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: Option<String>,
    /// The declared type, if it is a table's column.
    #[serde(default)]
    pub decltype: Option<String>,
}

/// Results of a batch: of each step a result, an error, or neither if it was skipped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BatchResult {
    /// By step.
    pub step_results: Vec<Option<StatementResult>>,
    /// By step.
    pub step_errors: Vec<Option<Error>>,
    /// Always `null`.
    #[serde(default, with = "integer_text")]
    pub replication_index: Option<i64>,
}

/// What a statement is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeResult {
    /// Its parameters, from number 1.
    pub params: Vec<Parameter>,
    /// The columns of its rows; the name is always known here.
    pub cols: Vec<Column>,
    /// EXPLAIN or EXPLAIN QUERY PLAN.
    pub is_explain: bool,
    /// It does not write.
    pub is_readonly: bool,
}

/// A parameter of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// With its sign; none for `?`.
    pub name: Option<String>,
}

/// An error of a statement or request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Error {
    /// For people.
    pub message: String,
    /// For programs: see [`Code`].
    #[serde(default, deserialize_with = "text_or_empty")]
    pub code: String,
    /// SQLite's extended code, where it says more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_code: Option<String>,
}

impl Error {
    /// An error with this code. Of an extended code of SQLite, `code` is the primary one.
    pub fn new(code: Code, message: impl Into<String>) -> Error {
        let (code, extended) = match code {
            Code::Sqlite(sqlite) if sqlite.is_extended() => (Code::Sqlite(sqlite.primary()), Some(sqlite)),
            other => (other, None),
        };
        Error {
            message: message.into(),
            code: code.as_str().to_owned(),
            extended_code: extended.map(|code| code.name().to_owned()),
        }
    }

    /// The most exact code that it names, if this version knows it.
    pub fn known_code(&self) -> Option<Code> {
        let extended = self.extended_code.as_deref().and_then(Code::from_name);
        extended.or_else(|| Code::from_name(&self.code))
    }
}

fn text_or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Outcome::Ok(response) => {
                map.serialize_entry("type", "ok")?;
                map.serialize_entry("response", response)?;
            }
            Outcome::Error(error) => {
                map.serialize_entry("type", "error")?;
                map.serialize_entry("error", error)?;
            }
        }
        map.end()
    }
}

impl Serialize for Response {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Response::Close => map.serialize_entry("type", "close")?,
            Response::Execute(result) => {
                map.serialize_entry("type", "execute")?;
                map.serialize_entry("result", result)?;
            }
            Response::Batch(result) => {
                map.serialize_entry("type", "batch")?;
                map.serialize_entry("result", result)?;
            }
            Response::Sequence => map.serialize_entry("type", "sequence")?,
            Response::Describe(result) => {
                map.serialize_entry("type", "describe")?;
                map.serialize_entry("result", result)?;
            }
            Response::StoreSql => map.serialize_entry("type", "store_sql")?,
            Response::CloseSql => map.serialize_entry("type", "close_sql")?,
            Response::GetAutocommit { is_autocommit } => {
                map.serialize_entry("type", "get_autocommit")?;
                map.serialize_entry("is_autocommit", is_autocommit)?;
            }
        }
        map.end()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum OutcomeType {
    Ok,
    Error,
}

#[derive(Deserialize)]
struct FlatOutcome {
    r#type: OutcomeType,
    #[serde(default)]
    response: Option<Response>,
    #[serde(default)]
    error: Option<Error>,
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Outcome, D::Error> {
        let flat = FlatOutcome::deserialize(deserializer)?;
        let missing = D::Error::missing_field;
        Ok(match flat.r#type {
            OutcomeType::Ok => Outcome::Ok(flat.response.ok_or_else(|| missing("response"))?),
            OutcomeType::Error => Outcome::Error(flat.error.ok_or_else(|| missing("error"))?),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ResponseType {
    Close,
    Execute,
    Batch,
    Sequence,
    Describe,
    StoreSql,
    CloseSql,
    GetAutocommit,
}

#[derive(Deserialize)]
struct FlatResponse {
    r#type: ResponseType,
    #[serde(default)]
    result: Option<FlatResult>,
    #[serde(default)]
    is_autocommit: Option<bool>,
}

/// The fields of all three results at once: which one it is stands outside of it, maybe behind it.
#[derive(Deserialize)]
struct FlatResult {
    cols: Option<Vec<Column>>,
    rows: Option<Vec<Vec<Value>>>,
    #[serde(default)]
    affected_row_count: u64,
    #[serde(default, with = "integer_text")]
    last_insert_rowid: Option<i64>,
    #[serde(default, with = "integer_text")]
    replication_index: Option<i64>,
    #[serde(default)]
    rows_read: u64,
    #[serde(default)]
    rows_written: u64,
    #[serde(default)]
    query_duration_ms: f64,
    step_results: Option<Vec<Option<StatementResult>>>,
    step_errors: Option<Vec<Option<Error>>>,
    params: Option<Vec<Parameter>>,
    is_explain: Option<bool>,
    is_readonly: Option<bool>,
}

impl FlatResult {
    fn statement<E: serde::de::Error>(self) -> Result<StatementResult, E> {
        Ok(StatementResult {
            cols: self.cols.ok_or_else(|| E::missing_field("cols"))?,
            rows: self.rows.ok_or_else(|| E::missing_field("rows"))?,
            affected_row_count: self.affected_row_count,
            last_insert_rowid: self.last_insert_rowid,
            replication_index: self.replication_index,
            rows_read: self.rows_read,
            rows_written: self.rows_written,
            query_duration_ms: self.query_duration_ms,
        })
    }

    fn batch<E: serde::de::Error>(self) -> Result<BatchResult, E> {
        Ok(BatchResult {
            step_results: self
                .step_results
                .ok_or_else(|| E::missing_field("step_results"))?,
            step_errors: self.step_errors.ok_or_else(|| E::missing_field("step_errors"))?,
            replication_index: self.replication_index,
        })
    }

    fn description<E: serde::de::Error>(self) -> Result<DescribeResult, E> {
        Ok(DescribeResult {
            params: self.params.ok_or_else(|| E::missing_field("params"))?,
            cols: self.cols.ok_or_else(|| E::missing_field("cols"))?,
            is_explain: self.is_explain.unwrap_or_default(),
            is_readonly: self.is_readonly.unwrap_or_default(),
        })
    }
}

impl<'de> Deserialize<'de> for Response {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Response, D::Error> {
        let flat = FlatResponse::deserialize(deserializer)?;
        let result = flat.result.ok_or_else(|| D::Error::missing_field("result"));
        Ok(match flat.r#type {
            ResponseType::Close => Response::Close,
            ResponseType::Execute => Response::Execute(result?.statement()?),
            ResponseType::Batch => Response::Batch(result?.batch()?),
            ResponseType::Sequence => Response::Sequence,
            ResponseType::Describe => Response::Describe(result?.description()?),
            ResponseType::StoreSql => Response::StoreSql,
            ResponseType::CloseSql => Response::CloseSql,
            ResponseType::GetAutocommit => Response::GetAutocommit {
                is_autocommit: flat
                    .is_autocommit
                    .ok_or_else(|| D::Error::missing_field("is_autocommit"))?,
            },
        })
    }
}

/// An integer as a decimal string, or `null`; numbers are taken too.
pub(super) mod integer_text {
    use super::*;

    pub fn serialize<S: Serializer>(number: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
        match number {
            Some(number) => serializer.serialize_str(itoa::Buffer::new().format(*number)),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
        struct IntegerVisitor;

        impl Visitor<'_> for IntegerVisitor {
            type Value = Option<i64>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer as a decimal string, or null")
            }

            fn visit_unit<E>(self) -> Result<Option<i64>, E> {
                Ok(None)
            }

            fn visit_i64<E>(self, number: i64) -> Result<Option<i64>, E> {
                Ok(Some(number))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Option<i64>, E> {
                i64::try_from(number)
                    .map(Some)
                    .map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Option<i64>, E> {
                text.parse()
                    .map(Some)
                    .map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(IntegerVisitor)
    }
}
