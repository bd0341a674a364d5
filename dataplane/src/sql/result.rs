//! What a statement answers.

use super::Value;
use std::time::Duration;

/// One column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, or the expression.
    pub name: String,
    /// The type that its table declares, if it is a table's column.
    pub decltype: Option<String>,
}

/// The whole result of one statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatementResult {
    /// Columns, also if there are no rows.
    pub cols: Vec<Column>,
    /// Rows, empty if they were not wanted.
    pub rows: Vec<Vec<Value>>,
    /// Rows that INSERT, UPDATE or DELETE changed itself, not by triggers.
    pub affected_row_count: u64,
    /// Of the last row that this statement inserted.
    pub last_insert_rowid: Option<i64>,
    /// Rows that full scans stepped over, and rows returned.
    pub rows_read: u64,
    /// Rows written, by triggers and foreign keys too.
    pub rows_written: u64,
    /// How long it ran.
    pub duration: Duration,
}

/// One parameter of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// With its prefix (`:a`, `@a`, `$a`, `?1`); `None` for `?`.
    pub name: Option<String>,
}

/// What a statement is, without running it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Parameters in the order of their numbers.
    pub params: Vec<Parameter>,
    /// Columns of its result.
    pub cols: Vec<Column>,
    /// EXPLAIN or EXPLAIN QUERY PLAN.
    pub is_explain: bool,
    /// It changes nothing in the database.
    pub is_readonly: bool,
}
