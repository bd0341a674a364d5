//! Random scripts do on our VFS exactly what they do on stock SQLite, whatever the backend refuses.

use super::fixture::{assert_sound, budget, open_reader, open_writer, rows, writer};
use super::scripts::{beginning, statement};
use crate::sql::{Args, Connection, Value};
use crate::vfs::memory::Memory;
use crate::vfs::{Refusal, start};
use proptest::prelude::*;
use rusqlite::types::ValueRef;

const TABLES: &str =
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'f\\_%' ESCAPE '\\'
                      AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
const SCHEMA: &str = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name";

type Rows = Vec<Vec<Value>>;

/// Rows, or SQLite's extended code.
type Outcome = Result<Rows, i32>;

/// Something that runs SQL.
trait Sql {
    fn run(&mut self, sql: &str) -> Outcome;

    /// Everything that a client can see.
    fn content(&mut self) -> Vec<Rows> {
        let mut all = vec![self.run(SCHEMA).expect("reads the schema")];
        for row in self.run(TABLES).expect("reads the schema") {
            let Some(Value::Text(name)) = row.first() else {
                panic!("{row:?}")
            };
            all.push(
                self.run(&format!("SELECT rowid, * FROM {name} ORDER BY rowid"))
                    .expect("reads"),
            );
        }
        all
    }
}

impl Sql for Connection {
    fn run(&mut self, sql: &str) -> Outcome {
        self.execute(sql, &Args::NONE, true, &mut budget())
            .map(|result| result.rows)
            .map_err(|error| error.extended().unwrap_or_else(|| panic!("{sql}: {error:?}")))
    }
}

impl Sql for rusqlite::Connection {
    fn run(&mut self, sql: &str) -> Outcome {
        stock(self, sql).map_err(|error| match error {
            rusqlite::Error::SqliteFailure(error, _) | rusqlite::Error::SqlInputError { error, .. } => {
                error.extended_code
            }
            other => panic!("{sql}: {other}"),
        })
    }
}

fn stock(connection: &rusqlite::Connection, sql: &str) -> rusqlite::Result<Rows> {
    let mut statement = connection.prepare(sql)?;
    let count = statement.column_count();
    let mut rows = statement.raw_query();
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let values = (0..count).map(|index| row.get_ref(index).map(value));
        all.push(values.collect::<rusqlite::Result<Vec<Value>>>()?);
    }
    Ok(all)
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(blob) => Value::Blob(blob.to_vec().into()),
    }
}

/// Ours and stock SQLite in memory, which must never differ.
struct Pair {
    memory: Memory,
    ours: Connection,
    stock: rusqlite::Connection,
}

impl Pair {
    fn new() -> Pair {
        start().expect("SQLite starts");
        let (memory, ours) = writer();
        crate::vfs::start().expect("SQLite starts");
        let stock = rusqlite::Connection::open_in_memory().expect("opens");
        stock
            .set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)
            .expect("sets");
        Pair { memory, ours, stock }
    }

    fn run(&mut self, sql: &str) {
        let (ours, stock) = (self.ours.run(sql), self.stock.run(sql));
        assert_eq!(ours, stock, "{sql}");
        assert_eq!(self.ours.is_autocommit(), self.stock.is_autocommit(), "{sql}");
    }

    /// The next commit is refused. If `sql` commits, both forget the transaction, else both run it.
    fn run_refused(&mut self, sql: &str, refusal: Refusal) {
        self.memory.refuse_next_commit(refusal);
        let ours = self.ours.run(sql);
        if self.memory.allow_next_commit() {
            assert_eq!(ours, self.stock.run(sql), "{sql}");
        } else {
            assert!(ours.is_err() && self.ours.is_autocommit(), "{sql}: {ours:?}");
            if !self.stock.is_autocommit() {
                self.stock.run("ROLLBACK").expect("rolls back");
            }
        }
        assert_eq!(self.ours.is_autocommit(), self.stock.is_autocommit(), "{sql}");
    }

    fn check(&mut self) {
        assert_eq!(self.ours.content(), self.stock.content());
        assert_sound(&mut self.ours);
    }
}

fn refusal() -> impl Strategy<Value = Refusal> {
    prop::sample::select(vec![
        Refusal::Full,
        Refusal::Stale,
        Refusal::NoTurn,
        Refusal::ReadOnly,
        Refusal::TooLarge,
    ])
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        max_shrink_iters: 2000,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(0x0110),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn scripts_do_what_they_do_on_stock_sqlite(
        beginning in beginning(),
        script in prop::collection::vec((statement(), prop::option::weighted(0.15, refusal())), 1..60),
    ) {
        let mut pair = Pair::new();
        for sql in &beginning {
            pair.run(sql);
        }
        for (sql, refusal) in &script {
            match refusal {
                Some(refusal) => pair.run_refused(sql, *refusal),
                None => pair.run(sql),
            }
        }
        pair.check();
        pair.ours.rollback();
        if !pair.stock.is_autocommit() {
            pair.stock.run("ROLLBACK").expect("rolls back");
        }
        pair.check();
        // What was committed, as a connection sees it that knows nothing.
        let mut fresh = open_reader(&pair.memory);
        prop_assert_eq!(fresh.content(), pair.stock.content());
        prop_assert!(!pair.memory.is_reserved());
    }

    #[test]
    fn pinned_readers_see_their_version_to_the_end(
        beginning in beginning(),
        script in prop::collection::vec((statement(), prop::bool::weighted(0.15)), 1..50),
    ) {
        let (memory, mut writer) = writer();
        let mut readers: Vec<(Connection, Vec<Rows>)> = Vec::new();
        for sql in &beginning {
            writer.run(sql).expect("begins");
        }
        for (sql, pin) in &script {
            if *pin && readers.len() < 6 {
                let mut reader = open_reader(&memory);
                reader.run("BEGIN").expect("begins");
                let content = reader.content();
                readers.push((reader, content));
            }
            let _ = writer.run(sql);
        }
        writer.rollback();
        for (mut reader, content) in readers {
            prop_assert_eq!(reader.content(), content);
            assert_sound(&mut reader);
            reader.run("COMMIT").expect("ends");
            prop_assert_eq!(reader.content(), writer.content());
        }
    }

    #[test]
    fn discarded_versions_leave_no_trace(
        beginning in beginning(),
        script in prop::collection::vec((statement(), 0..12_u8), 1..50),
    ) {
        let (memory, mut writer) = writer();
        for sql in &beginning {
            writer.run(sql).expect("begins");
        }
        memory.keep_pending();
        let mut published = writer.content();
        for (sql, step) in &script {
            let _ = writer.run(sql);
            match step {
                0 if writer.is_autocommit() => {
                    memory.publish();
                    published = writer.content();
                }
                1 => {
                    writer.rollback();
                    memory.discard_pending();
                    writer.forget_cached_pages().expect("forgets");
                    prop_assert_eq!(&writer.content(), &published);
                }
                2 if writer.is_autocommit() => {
                    // Another connection writes, as a new leader's would.
                    memory.discard_pending();
                    let mut other = open_writer(&memory);
                    let _ = other.run("CREATE TABLE IF NOT EXISTS t2(id INTEGER PRIMARY KEY, n)");
                    let _ = other.run("INSERT INTO t2(n) VALUES (1)");
                    memory.publish();
                    published = other.content();
                    writer.forget_cached_pages().expect("forgets");
                    prop_assert_eq!(&writer.content(), &published);
                }
                _ => {}
            }
        }
        writer.rollback();
        assert_sound(&mut writer);
        prop_assert_eq!(open_writer(&memory).content(), writer.content());
        prop_assert_eq!(rows(&mut open_reader(&memory), "PRAGMA quick_check").len(), 1);
    }
}
