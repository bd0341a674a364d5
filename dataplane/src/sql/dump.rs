//! The SQL text of a database, as `.dump` of SQLite's shell writes it: run on an empty database, it makes an
//! equal one.
//!
//! Format: foreign keys off, one transaction; for each table its CREATE and its rows; `sqlite_sequence` and
//! `sqlite_stat1`; then indexes, triggers and views. A virtual table is its CREATE VIRTUAL TABLE and the rows
//! that it shows; its shadow tables are left out, because creating it makes them. (The shell writes the shadow
//! tables' rows by way of `writable_schema`, which is denied here.) Reals are written so that they come
//! back bit by bit, texts quoted, and those with a NUL as a cast blob, because SQL text ends at a NUL.
//!
//! LIMIT: rowids of ordinary tables without an INTEGER PRIMARY KEY are new. What an FTS5 table without content, or
//! with content elsewhere, has indexed is not in it.

use super::{Args, Budget, Code, Connection, Error, Value};
use std::io::{self, Write};

/// Rows read at once: a dump never holds a whole table.
const ROWS_AT_ONCE: i64 = 500;

/// Why a dump ended early.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The database could not be read.
    #[error("the database could not be read")]
    Sql(#[from] Error),
    /// The receiver failed.
    #[error("the text could not be written")]
    Write(#[from] io::Error),
}

/// Writes the SQL text of one version of the database to `out`. Begins a transaction unless one is open, and
/// ends it again. `budget` is what each statement gets: a copy of its bytes, and its deadline.
pub fn dump(connection: &mut Connection, budget: &Budget, out: &mut impl Write) -> Result<(), DumpError> {
    let begun = connection.is_autocommit();
    if begun {
        connection.sequence("BEGIN", &mut budget.again())?;
    }
    let result = Dump {
        connection,
        budget,
        out,
    }
    .write();
    if begun {
        connection.rollback();
    }
    result
}

struct Dump<'a, W> {
    connection: &'a mut Connection,
    budget: &'a Budget,
    out: &'a mut W,
}

impl<W: Write> Dump<'_, W> {
    fn write(&mut self) -> Result<(), DumpError> {
        writeln!(self.out, "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;")?;
        let tables = self.rows(
            "SELECT l.name, s.sql, l.type = 'virtual' FROM sqlite_schema s JOIN pragma_table_list l ON l.name = s.name
             WHERE l.schema = 'main' AND s.type = 'table' AND l.type IN ('table', 'virtual')
               AND s.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY s.rowid",
            &Args::NONE,
        )?;
        for row in tables {
            if let [Value::Text(name), Value::Text(sql), Value::Integer(is_virtual)] = row.as_slice() {
                writeln!(self.out, "{sql};")?;
                self.table(name, *is_virtual != 0)?;
            }
        }
        self.internal_table("sqlite_sequence", "DELETE FROM sqlite_sequence;")?;
        self.internal_table("sqlite_stat1", "ANALYZE sqlite_schema;")?;
        let rest = "SELECT sql FROM sqlite_schema WHERE sql NOT NULL AND type IN ('index', 'trigger', 'view')
                    ORDER BY type = 'trigger', rowid";
        for row in self.rows(rest, &Args::NONE)? {
            if let [Value::Text(sql)] = row.as_slice() {
                writeln!(self.out, "{sql};")?;
            }
        }
        writeln!(self.out, "COMMIT;")?;
        Ok(())
    }

    /// A table of SQLite's own, if there is one; `before` makes or empties it.
    fn internal_table(&mut self, name: &str, before: &str) -> Result<(), DumpError> {
        let args = Args::positional(vec![Value::Text(name.to_owned())]);
        if !self
            .rows("SELECT 1 FROM sqlite_schema WHERE name = ?", &args)?
            .is_empty()
        {
            writeln!(self.out, "{before}")?;
            self.table(name, false)?;
        }
        Ok(())
    }

    /// All rows of a table, in parts: by rowid where that is possible, else by OFFSET. Rows of a virtual table
    /// keep their rowids, by which for example FTS5 knows the row of another table.
    fn table(&mut self, name: &str, is_virtual: bool) -> Result<(), DumpError> {
        // Hidden 0 is a plain column; 1 is a virtual table's hidden one; 2 and 3 are generated.
        let args = Args::positional(vec![Value::Text(name.to_owned())]);
        let mut columns: Vec<String> = self
            .rows(
                "SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0 ORDER BY cid",
                &args,
            )?
            .into_iter()
            .filter_map(|row| match row.into_iter().next() {
                Some(Value::Text(column)) => Some(quoted(&column, '"')),
                _ => None,
            })
            .collect();
        let table = quoted(name, '"');
        let rowid = self.rowid_of(name)?;
        if is_virtual {
            columns.splice(..0, rowid.map(str::to_owned));
        }
        // A virtual table need not be good at finding a rowid, nor at its order.
        self.in_parts(&table, &columns.join(","), rowid.filter(|_| !is_virtual))
    }

    /// A name of the rowid that no column has taken, if the table has a rowid.
    fn rowid_of(&mut self, name: &str) -> Result<Option<&'static str>, DumpError> {
        let args = Args::positional(vec![Value::Text(name.to_owned())]);
        let sql = "SELECT 1 FROM pragma_table_list WHERE schema = 'main' AND name = ? AND wr = 0";
        if self.rows(sql, &args)?.is_empty() {
            return Ok(None);
        }
        for candidate in ["rowid", "_rowid_", "oid"] {
            let args = Args::positional(vec![
                Value::Text(name.to_owned()),
                Value::Text(candidate.to_owned()),
            ]);
            let taken = "SELECT 1 FROM pragma_table_xinfo(?) WHERE name = ? COLLATE NOCASE";
            if self.rows(taken, &args)?.is_empty() {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }

    fn in_parts(&mut self, table: &str, list: &str, rowid: Option<&str>) -> Result<(), DumpError> {
        let mut at_once = ROWS_AT_ONCE;
        let select = match rowid {
            Some(rowid) => {
                format!("SELECT {rowid},{list} FROM {table} WHERE {rowid} >= ?1 ORDER BY {rowid} LIMIT ?2")
            }
            None => format!("SELECT 0,{list} FROM {table} LIMIT ?2 OFFSET ?1"),
        };
        let mut from = rowid.map_or(0, |_| i64::MIN);
        loop {
            let args = Args::positional(vec![Value::Integer(from), Value::Integer(at_once)]);
            let rows = match self.rows(&select, &args) {
                // Large rows: fewer of them fit the budget.
                Err(error) if error.code() == Code::ResponseTooLarge && at_once > 1 => {
                    at_once = (at_once / 8).max(1);
                    continue;
                }
                rows => rows?,
            };
            let last = rows.last().and_then(|row| row.first()).cloned();
            let count = rows.len() as i64;
            for row in rows {
                self.insert(table, list, row.get(1..).unwrap_or_default())?;
            }
            from = match (rowid, last) {
                _ if count < at_once => return Ok(()),
                (Some(_), Some(Value::Integer(i64::MAX)) | None) => return Ok(()),
                (Some(_), Some(Value::Integer(rowid))) => rowid + 1,
                _ => from + count,
            };
        }
    }

    fn insert(&mut self, table: &str, list: &str, values: &[Value]) -> io::Result<()> {
        write!(self.out, "INSERT INTO {table}({list}) VALUES(")?;
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.out.write_all(b",")?;
            }
            write_literal(self.out, value)?;
        }
        self.out.write_all(b");\n")
    }

    fn rows(&mut self, sql: &str, args: &Args) -> Result<Vec<Vec<Value>>, Error> {
        Ok(self
            .connection
            .execute(sql, args, true, &mut self.budget.again())?
            .rows)
    }
}

/// `text` between quotes, those inside doubled.
fn quoted(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for character in text.chars() {
        if character == quote {
            out.push(quote);
        }
        out.push(character);
    }
    out.push(quote);
    out
}

/// The value as an SQL literal that SQLite reads back as the same value.
fn write_literal(out: &mut impl Write, value: &Value) -> io::Result<()> {
    match value {
        Value::Null => out.write_all(b"NULL"),
        // The literal would be read as a real: its digits alone are one too large.
        Value::Integer(i64::MIN) => out.write_all(b"-9223372036854775807-1"),
        Value::Integer(integer) => write!(out, "{integer}"),
        Value::Real(real) if real.is_infinite() => {
            out.write_all(if *real > 0.0 { b"9.0e+999" } else { b"-9.0e+999" })
        }
        // The shortest digits that mean this number, with the point that makes it a real.
        Value::Real(real) => write!(out, "{real:?}"),
        Value::Text(text) if text.contains('\0') => {
            out.write_all(b"CAST(")?;
            write_blob(out, text.as_bytes())?;
            out.write_all(b" AS TEXT)")
        }
        Value::Text(text) => out.write_all(quoted(text, '\'').as_bytes()),
        Value::Blob(blob) => write_blob(out, blob),
    }
}

fn write_blob(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = Vec::with_capacity(bytes.len() * 2 + 3);
    text.extend_from_slice(b"X'");
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 15)]);
    }
    text.push(b'\'');
    out.write_all(&text)
}
