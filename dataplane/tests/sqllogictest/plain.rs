//! A connection of a script to plain SQLite, with the per-connection settings that Orion has.

use super::text;
use async_trait::async_trait;
use orion_api::Value;
use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType};
use std::path::Path;

pub struct Connection(rusqlite::Connection);

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] rusqlite::Error);

impl Connection {
    /// WAL, because there readers see a snapshot while another connection writes, as in Orion.
    pub fn open(file: &Path) -> Result<Connection, Error> {
        let inner = rusqlite::Connection::open(file)?;
        inner.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF")?;
        inner.busy_timeout(std::time::Duration::ZERO)?;
        inner.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false)?;
        Ok(Connection(inner))
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<DBOutput<DefaultColumnType>> {
        let mut statement = self.0.prepare(sql)?;
        let width = statement.column_count();
        if width == 0 {
            return Ok(DBOutput::StatementComplete(statement.execute([])? as u64));
        }
        let rows = statement.query_map([], |row| {
            (0..width)
                .map(|index| Ok(text::of(&owned(row.get_ref(index)?))))
                .collect()
        })?;
        Ok(DBOutput::Rows {
            types: vec![DefaultColumnType::Any; width],
            rows: rows.collect::<rusqlite::Result<_>>()?,
        })
    }
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec().into()),
    }
}

#[async_trait]
impl AsyncDB for Connection {
    type Error = Error;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Error> {
        Ok(self.execute(sql)?)
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "sqlite"
    }
}
