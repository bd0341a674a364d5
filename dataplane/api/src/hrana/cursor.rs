//! `/v3/cursor`: a batch whose results come as lines of JSON: one [`CursorReply`], then entries.

use super::response::integer_text;
use super::{Batch, Column, Envelope, Error};
use crate::Value;
use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Body of `POST /v3/cursor`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(expecting = "an object with a batch")]
pub struct CursorRequest {
    /// The stream to go on with.
    #[serde(default)]
    pub baton: Option<String>,
    /// What to run.
    pub batch: Batch,
}

/// First line of the reply.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CursorReply {
    /// For the next request on this stream.
    pub baton: Option<String>,
    /// Where the stream lives.
    pub base_url: Option<String>,
    /// What Orion adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orion: Option<Envelope>,
}

/// A further line of the reply.
#[derive(Clone, Debug, PartialEq)]
pub enum CursorEntry {
    /// A step has begun to give rows.
    StepBegin {
        /// Its index.
        step: u32,
        /// The columns of its rows.
        cols: Vec<Column>,
    },
    /// A row of the step that has begun.
    Row(Vec<Value>),
    /// The step is over.
    StepEnd {
        /// Rows that it changed.
        affected_row_count: u64,
        /// Rowid of the last insert: on the wire a string, as in the results of pipelines and in Hrana's
        /// specification. sqld sends a number; no client in use reads that (the Rust one looks for another
        /// name), and JavaScript's could not hold all of them.
        last_insert_rowid: Option<i64>,
    },
    /// The step failed.
    StepError {
        /// Its index.
        step: u32,
        /// Why.
        error: Error,
    },
    /// The batch as a whole failed; the last line.
    Error(Error),
    /// The last line of a batch that ran, for clients that keep replicas.
    ReplicationIndex(Option<u64>),
}

impl Serialize for CursorEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            CursorEntry::StepBegin { step, cols } => {
                map.serialize_entry("type", "step_begin")?;
                map.serialize_entry("step", step)?;
                map.serialize_entry("cols", cols)?;
            }
            CursorEntry::Row(row) => {
                map.serialize_entry("type", "row")?;
                map.serialize_entry("row", row)?;
            }
            CursorEntry::StepEnd {
                affected_row_count,
                last_insert_rowid,
            } => {
                map.serialize_entry("type", "step_end")?;
                map.serialize_entry("affected_row_count", affected_row_count)?;
                map.serialize_entry("last_insert_rowid", &IntegerText(last_insert_rowid))?;
            }
            CursorEntry::StepError { step, error } => {
                map.serialize_entry("type", "step_error")?;
                map.serialize_entry("step", step)?;
                map.serialize_entry("error", error)?;
            }
            CursorEntry::Error(error) => {
                map.serialize_entry("type", "error")?;
                map.serialize_entry("error", error)?;
            }
            CursorEntry::ReplicationIndex(index) => {
                map.serialize_entry("type", "replication_index")?;
                map.serialize_entry("replication_index", index)?;
            }
        }
        map.end()
    }
}

struct IntegerText<'a>(&'a Option<i64>);

impl Serialize for IntegerText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        integer_text::serialize(self.0, serializer)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum EntryType {
    StepBegin,
    Row,
    StepEnd,
    StepError,
    Error,
    ReplicationIndex,
}

#[derive(Deserialize)]
struct FlatEntry {
    r#type: EntryType,
    step: Option<u32>,
    cols: Option<Vec<Column>>,
    row: Option<Vec<Value>>,
    #[serde(default)]
    affected_row_count: u64,
    #[serde(default, with = "integer_text")]
    last_insert_rowid: Option<i64>,
    error: Option<Error>,
    replication_index: Option<u64>,
}

impl<'de> Deserialize<'de> for CursorEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CursorEntry, D::Error> {
        let flat = FlatEntry::deserialize(deserializer)?;
        let missing = D::Error::missing_field;
        let step = flat.step.ok_or_else(|| missing("step"));
        let error = flat.error.ok_or_else(|| missing("error"));
        Ok(match flat.r#type {
            EntryType::StepBegin => CursorEntry::StepBegin {
                step: step?,
                cols: flat.cols.ok_or_else(|| missing("cols"))?,
            },
            EntryType::Row => CursorEntry::Row(flat.row.ok_or_else(|| missing("row"))?),
            EntryType::StepEnd => CursorEntry::StepEnd {
                affected_row_count: flat.affected_row_count,
                last_insert_rowid: flat.last_insert_rowid,
            },
            EntryType::StepError => CursorEntry::StepError {
                step: step?,
                error: error?,
            },
            EntryType::Error => CursorEntry::Error(error?),
            EntryType::ReplicationIndex => CursorEntry::ReplicationIndex(flat.replication_index),
        })
    }
}
