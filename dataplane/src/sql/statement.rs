//! Statements of a connection: from text to a prepared statement, its steps and its values.
//!
//! Prepared statements are kept by rusqlite's cache, by their text; what the policy saw of each is kept beside
//! it, because SQLite asks the authorizer only when it prepares.

use super::budget::{Budget, Ended};
use super::connection::{BEGIN_READ_ONLY, Connection, is_begin_read_only};
use super::error::Circumstances;
use super::policy::{Facts, Instead};
use super::result::{Column, StatementResult};
use super::{Code, Error, Kind, Value};
use bytes::Bytes;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::ValueRef;
use rusqlite::{Batch, CachedStatement, Row, Statement, StatementStatus};
use std::ops::{Deref, DerefMut};
use std::time::Instant;

/// What a value costs in a result besides its bytes.
const VALUE_OVERHEAD: u64 = 16;

/// Why a statement is prepared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    Running,
    Looking,
}

/// A statement and what was seen when it was prepared. It goes back to the cache, unless it is a PRAGMA.
pub(super) struct Prepared<'c> {
    /// `None` only while it is dropped.
    statement: Option<CachedStatement<'c>>,
    pub(super) facts: Facts,
}

impl<'c> Deref for Prepared<'c> {
    type Target = Statement<'c>;

    fn deref(&self) -> &Statement<'c> {
        self.statement.as_ref().expect("taken only when dropped")
    }
}

impl<'c> DerefMut for Prepared<'c> {
    fn deref_mut(&mut self) -> &mut Statement<'c> {
        self.statement.as_mut().expect("taken only when dropped")
    }
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        if let Some(statement) = self.statement.take().filter(|_| self.facts.is_pragma) {
            statement.discard();
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RowsWanted {
    Yes,
    No,
}

/// Why stepping ended early.
enum Stepped {
    TooLarge,
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Stepped {
    fn from(error: rusqlite::Error) -> Stepped {
        Stepped::Failed(error)
    }
}

impl Connection {
    pub(super) fn prepare(&self, sql: &str, purpose: For) -> Result<Prepared<'_>, Error> {
        let text = match is_begin_read_only(sql) {
            true => BEGIN_READ_ONLY,
            false => sql.trim(),
        };
        self.admit_text(text)?;
        match purpose {
            For::Running => self.policy.begin_prepare(),
            For::Looking => self.policy.begin_look(),
        }
        let prepared = self.inner.prepare_cached(text);
        let seen = self.policy.end_prepare();
        if purpose == For::Running {
            // Also if it failed: a pragma may have acted before what follows it was refused.
            self.mark(seen.unwrap_or_default());
        }
        let statement = prepared.map_err(|error| self.prepare_failed(text, error))?;
        let facts = match seen {
            Some(facts) => self.remember(text, facts),
            None => match self.facts.borrow().get(text) {
                Some(facts) => *facts,
                None if statement.expanded_sql().is_none() => {
                    return Err(Error::new(
                        Code::SqlNoStatement,
                        Kind::Invalid,
                        "the text holds no statement",
                    ));
                }
                None => Facts::default(),
            },
        };
        if purpose == For::Running {
            self.mark(facts);
        }
        let statement = match facts.instead {
            Some(instead) if statement.is_explain() == 0 => {
                statement.discard();
                self.prepare_instead(instead)?
            }
            _ => statement,
        };
        Ok(Prepared {
            statement: Some(statement),
            facts,
        })
    }

    fn prepare_instead(&self, instead: Instead) -> Result<CachedStatement<'_>, Error> {
        let text = match instead {
            Instead::Asking(name) => format!("PRAGMA {name}"),
            Instead::BusyTimeout => format!("SELECT {} AS timeout", self.link.busy_timeout_ms()),
        };
        self.policy.begin_internal();
        let prepared = self.inner.prepare_cached(&text);
        self.policy.end_prepare();
        prepared.map_err(|error| self.failed(error))
    }

    pub(super) fn mark(&self, facts: Facts) {
        if facts.touches_connection {
            self.marked.set(true);
        }
    }

    pub(super) fn arm(&self, budget: &Budget) {
        let own = Instant::now() + self.options.limits.statement_time;
        self.watch.arm(budget.deadline().min(own));
    }

    /// A statement of rusqlite's cache is not prepared again, so what was seen then is kept beside it.
    fn remember(&self, text: &str, facts: Facts) -> Facts {
        let mut known = self.facts.borrow_mut();
        if known.len() >= self.options.limits.cached_statements.saturating_mul(4) {
            known.clear();
            // INVARIANT: facts are known of every cached statement.
            self.inner.flush_prepared_statement_cache();
        }
        known.insert(text.into(), facts);
        facts
    }

    /// rusqlite prepares what follows the first statement too; if that is what fails, there are several.
    fn prepare_failed(&self, text: &str, error: rusqlite::Error) -> Error {
        let error = self.failed(error).while_preparing();
        if error.code() == Code::SqlManyStatements {
            return error;
        }
        self.policy.begin_look();
        let mut batch = Batch::new(&self.inner, text);
        let several = matches!(batch.next(), Ok(Some(_))) && !matches!(batch.next(), Ok(None));
        self.policy.end_prepare();
        if several {
            return Error::new(Code::SqlManyStatements, Kind::Invalid, "more than one statement");
        }
        error
    }

    pub(super) fn run_prepared(
        &self,
        statement: &mut Statement<'_>,
        facts: Facts,
        wanted: RowsWanted,
        budget: &mut Budget,
    ) -> Result<StatementResult, Error> {
        if facts.touches_connection {
            self.marked.set(true);
        }
        if self.watch.is_cancelled() {
            return Err(Error::interrupted());
        }
        if self.watch.is_brief_over() || (facts.may_hold && self.watch.is_brief()) {
            self.link.set_wants_patience();
            return Err(Error::interrupted());
        }
        let began = Instant::now();
        self.watch
            .arm(budget.deadline().min(began + self.options.limits.statement_time));
        let changes_before = self.inner.total_changes();
        let stepped = self.step(statement, wanted, budget);
        if self
            .policy
            .end_prepare()
            .is_some_and(|seen| seen.touches_connection)
        {
            self.marked.set(true);
        }
        let (rows, returned) = match stepped {
            Ok(rows) => rows,
            Err(Stepped::TooLarge) => {
                return Err(Error::new(
                    Code::ResponseTooLarge,
                    Kind::TooLarge,
                    "the result is larger than the limit",
                ));
            }
            Err(Stepped::Failed(error)) => return Err(self.failed(error)),
        };
        let written = self.inner.total_changes() - changes_before;
        let scanned = u64::try_from(statement.reset_status(StatementStatus::FullscanStep)).unwrap_or(0);
        Ok(StatementResult {
            cols: match facts.without_columns {
                true => Vec::new(),
                false => columns(statement),
            },
            rows,
            affected_row_count: if written > 0 { self.inner.changes() } else { 0 },
            last_insert_rowid: (facts.inserts && written > 0).then(|| self.inner.last_insert_rowid()),
            rows_read: scanned.saturating_add(returned),
            rows_written: written,
            duration: began.elapsed(),
        })
    }

    fn step(
        &self,
        statement: &mut Statement<'_>,
        wanted: RowsWanted,
        budget: &mut Budget,
    ) -> Result<(Vec<Vec<Value>>, u64), Stepped> {
        let writes = !statement.readonly();
        let mut rows = statement.raw_query();
        let mut kept = Vec::new();
        let mut returned = 0;
        while let Some(row) = rows.next()? {
            returned += 1;
            if wanted == RowsWanted::No {
                continue;
            }
            let Some(values) = values(row, budget)? else {
                if writes {
                    // Only stopping here would commit what RETURNING reported of.
                    self.inner.get_interrupt_handle().interrupt();
                    while matches!(rows.next(), Ok(Some(_))) {}
                }
                return Err(Stepped::TooLarge);
            };
            kept.push(values);
        }
        Ok((kept, returned))
    }

    pub(super) fn failed(&self, error: rusqlite::Error) -> Error {
        let ended = self.watch.disarm();
        // Where only what is brief may run, values have a limit of their own.
        let is_too_big = error.sqlite_error_code() == Some(rusqlite::ErrorCode::TooBig);
        if ended == Some(Ended::NotBrief) || (is_too_big && self.watch.is_brief()) {
            self.link.set_wants_patience();
        }
        Error::from_sqlite(
            error,
            Circumstances {
                fault: self.link.take_fault(),
                ended,
                denied: self.policy.take_denied(),
            },
        )
    }
}

pub(super) fn columns(statement: &Statement<'_>) -> Vec<Column> {
    statement
        .columns()
        .map(|column| Column {
            name: column.name().to_owned(),
            decltype: column.decl_type().map(str::to_owned),
        })
        .collect()
}

/// The row's values; `None` if they exceed the budget.
fn values(row: &Row<'_>, budget: &mut Budget) -> rusqlite::Result<Option<Vec<Value>>> {
    let count = row.as_ref().column_count();
    let mut values = Vec::with_capacity(count);
    for index in 0..count {
        let value = row.get_ref(index)?;
        let bytes = match value {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len() as u64,
            _ => 0,
        };
        if !budget.take(bytes + VALUE_OVERHEAD) {
            return Ok(None);
        }
        values.push(owned(value));
    }
    Ok(Some(values))
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Real(real) => Value::Real(real),
        // SQLite does not check that a text is UTF-8.
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(blob) => Value::Blob(Bytes::copy_from_slice(blob)),
    }
}
