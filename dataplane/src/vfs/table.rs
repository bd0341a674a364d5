//! Read-only tables whose rows come from the service itself: SQLite virtual tables over a function.
//!
//! Each scan takes the rows once, when it begins, so that one scan sees one moment. Eponymous only: no text
//! can create or drop one, and a schema never names one.
//!
//! INVARIANT: no panic of a row source crosses into SQLite; it ends the statement with an error.
//! LIMIT: the rows of a scan are held outside of the connection's heap limit; the source bounds them.

#![allow(unsafe_code, reason = "rusqlite's traits of virtual tables are unsafe")]

use rusqlite::types::Value;
use rusqlite::vtab::{
    Context, Filters, IndexInfo, Module, VTab, VTabConnection, VTabCursor, sqlite3_vtab, sqlite3_vtab_cursor,
};
use rusqlite::{Connection, Error, Result};
use std::borrow::Cow;
use std::ffi::{CStr, CString, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What gives the rows of a table, each as long as its columns.
pub type Rows = dyn Fn() -> Vec<Vec<Value>> + Send + Sync;

/// A table of the service's own.
#[derive(Clone)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its columns as in CREATE TABLE.
    pub columns: &'static str,
    /// Its rows at this moment.
    pub rows: Arc<Rows>,
}

/// Makes the table known to a connection. A table of the database with the same name wins over it.
pub fn add_table(connection: &Connection, table: Table) -> Result<()> {
    const MODULE: Module<'_, Served> = Module::eponymous_only_module();
    connection.create_module(table.name, &MODULE, Some(table))
}

#[repr(C)]
struct Served {
    /// Must be first.
    base: sqlite3_vtab,
    rows: Arc<Rows>,
}

// SAFETY: `repr(C)` with SQLite's struct first.
unsafe impl<'vtab> VTab<'vtab> for Served {
    type Aux = Table;
    type Cursor = Scan;

    fn connect(
        _connection: &mut VTabConnection,
        aux: Option<&Table>,
        _module_name: &[u8],
        _database_name: &[u8],
        _table_name: &[u8],
        _args: &[&[u8]],
    ) -> Result<(Cow<'static, CStr>, Served)> {
        let table = aux.ok_or_else(|| Error::ModuleError("a table without rows".to_owned()))?;
        let declaration = CString::new(format!("CREATE TABLE x({})", table.columns))?;
        let served = Served {
            base: sqlite3_vtab::default(),
            rows: Arc::clone(&table.rows),
        };
        Ok((Cow::Owned(declaration), served))
    }

    fn best_index(&self, info: &mut IndexInfo) -> Result<bool> {
        info.set_estimated_cost(1000.0);
        Ok(true)
    }

    fn open(&'vtab mut self) -> Result<Scan> {
        Ok(Scan {
            base: sqlite3_vtab_cursor::default(),
            source: Arc::clone(&self.rows),
            rows: Vec::new(),
            at: 0,
        })
    }
}

#[repr(C)]
struct Scan {
    /// Must be first.
    base: sqlite3_vtab_cursor,
    source: Arc<Rows>,
    rows: Vec<Vec<Value>>,
    at: usize,
}

// SAFETY: `repr(C)` with SQLite's struct first.
unsafe impl VTabCursor for Scan {
    fn filter(&mut self, _idx_num: c_int, _idx_str: Option<&str>, _args: &Filters<'_>) -> Result<()> {
        self.at = 0;
        self.rows = catch_unwind(AssertUnwindSafe(|| (self.source)()))
            .map_err(|_| Error::ModuleError("the rows could not be had".to_owned()))?;
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        self.at += 1;
        Ok(())
    }

    fn eof(&self) -> bool {
        self.at >= self.rows.len()
    }

    fn column(&self, context: &mut Context, index: c_int) -> Result<()> {
        let row = self.rows.get(self.at);
        let value = row
            .zip(usize::try_from(index).ok())
            .and_then(|(row, i)| row.get(i));
        context.set_result(value.unwrap_or(&Value::Null))
    }

    fn rowid(&self) -> Result<i64> {
        Ok(self.at as i64 + 1)
    }
}
