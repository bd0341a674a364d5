//! PRAGMAs: what they answer and what they leave alone.

use super::fixture::{error, integer, open_writer, rows, run, script, text, writer};
use crate::sql::{Code, Connection, Kind, Value};
use crate::vfs::memory::Memory;
use rusqlite::ffi;
use std::collections::BTreeSet;

const SCHEMA: &str = "CREATE TABLE p(id INTEGER PRIMARY KEY, a, b); CREATE INDEX i ON p(a); \
                      CREATE TABLE c(p REFERENCES p(id)); INSERT INTO p VALUES (1, 2, 3); INSERT INTO c VALUES (9)";

/// Set only to what is off, or not at all.
const REFUSED: [&str; 5] = [
    "hard_heap_limit",
    "soft_heap_limit",
    "temp_store_directory",
    "trusted_schema",
    "writable_schema",
];

/// Lists of what a build or a connection has, which is not the same here.
const LISTS: [&str; 2] = ["function_list", "module_list"];

fn pragmas(connection: &mut Connection) -> Vec<String> {
    let rows = rows(connection, "SELECT name FROM pragma_pragma_list ORDER BY name");
    rows.into_iter()
        .map(|row| match &row[0] {
            Value::Text(name) => name.clone(),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// Names of columns, and how many rows; `None` for an error.
fn stock(path: &std::path::Path, sql: &str) -> Option<(Vec<String>, usize)> {
    let connection = rusqlite::Connection::open(path).expect("opens");
    let mut statement = connection.prepare(sql).ok()?;
    let names = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.raw_query();
    let mut many = 0;
    while rows.next().ok()?.is_some() {
        many += 1;
    }
    Some((names, many))
}

fn ours(memory: &Memory, sql: &str) -> Option<(Vec<String>, usize)> {
    let mut connection = open_writer(memory);
    let described = connection.describe(sql);
    let result = run(&mut connection, sql).ok()?;
    let names: Vec<String> = result.cols.into_iter().map(|column| column.name).collect();
    let described = described.expect("what runs can be described").cols;
    if described.len() != names.len() {
        // What acts when it is prepared is not prepared only to be described.
        assert_eq!(described, [], "{sql}");
    }
    Some((names, result.rows.len()))
}

#[test]
fn every_pragma_answers_in_the_shape_of_stock_sqlite() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("stock.db");
    rusqlite::Connection::open(&path)
        .and_then(|connection| connection.execute_batch(SCHEMA))
        .expect("a stock database");
    let (_, mut connection) = writer();
    let mut compared = 0;
    for name in pragmas(&mut connection) {
        let asking = [String::new(), "(p)".to_owned(), "(i)".to_owned()];
        let setting = [
            "0",
            "1",
            "OFF",
            "ON",
            "-100",
            "1000",
            "100000000",
            "WAL",
            "'DELETE'",
            "EXCLUSIVE",
        ];
        let setting = setting.iter().map(|value| format!("={value}"));
        for form in asking.into_iter().chain(setting) {
            let is_off = ["=0", "=OFF"].contains(&form.as_str());
            if REFUSED.contains(&name.as_str()) && !form.is_empty() && !(is_off && name.ends_with("schema")) {
                continue;
            }
            // Each on copies of its own, because many change the database.
            let copy = dir.path().join("copy.db");
            std::fs::copy(&path, &copy).expect("copied");
            let sql = format!("PRAGMA {name}{form}");
            // A wrong argument is an error to SQLite only sometimes.
            let Some(mut expected) = stock(&copy, &sql) else {
                continue;
            };
            let (memory, mut connection) = writer();
            script(&mut connection, SCHEMA);
            let seen = ours(&memory, &sql).unwrap_or_else(|| panic!("{sql} is refused"));
            if LISTS.contains(&name.as_str()) {
                expected.1 = seen.1;
            }
            assert_eq!(seen, expected, "{sql}");
            compared += 1;
        }
    }
    assert!(compared > 700, "only {compared} were compared");
}

#[test]
fn every_pragma_of_this_build_has_a_rule() {
    let (_, mut connection) = writer();
    let ruled: BTreeSet<&str> = crate::sql::pragmas::names().collect();
    for name in pragmas(&mut connection) {
        assert!(ruled.contains(&name[..]), "{name}");
    }
    assert_eq!(ruled.len(), crate::sql::pragmas::names().count(), "each once");
}

#[test]
fn what_drivers_wish_at_connect_is_taken_without_effect() {
    let (memory, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a)");
    memory.take_batches();
    let asked = [
        "journal_mode",
        "synchronous",
        "locking_mode",
        "cache_spill",
        "mmap_size",
        "temp_store",
        "page_size",
        "journal_size_limit",
        "wal_autocheckpoint",
        "threads",
        "default_cache_size",
        "fullfsync",
        "checkpoint_fullfsync",
        "trusted_schema",
        "writable_schema",
    ];
    let state = |connection: &mut Connection| asked.map(|name| rows(connection, &format!("PRAGMA {name}")));
    let before = state(&mut connection);
    for sql in [
        "PRAGMA journal_mode=WAL",
        "PRAGMA journal_mode=DELETE",
        "PRAGMA journal_mode=OFF",
        "PRAGMA main.journal_mode=WAL",
        "PRAGMA JOURNAL_MODE('truncate')",
        "PRAGMA synchronous=OFF",
        "PRAGMA synchronous=256",
        "PRAGMA locking_mode=EXCLUSIVE",
        "PRAGMA cache_spill=ON",
        "PRAGMA cache_spill=1000",
        "PRAGMA mmap_size=1000000",
        "PRAGMA temp_store=MEMORY",
        "PRAGMA temp_store='2x'",
        "PRAGMA page_size=512",
        "PRAGMA default_cache_size=1000000",
        "PRAGMA journal_size_limit=1000",
        "PRAGMA wal_autocheckpoint=1",
        "PRAGMA threads=8",
        "PRAGMA fullfsync=1",
        "PRAGMA trusted_schema=OFF",
        "PRAGMA writable_schema=0",
    ] {
        run(&mut connection, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        script(&mut connection, sql);
        assert_eq!(state(&mut connection), before, "{sql}");
    }
    assert!(!connection.is_marked(), "a shared connection stays");
    assert_eq!(
        rows(&mut connection, "PRAGMA journal_mode=WAL"),
        [[text("memory")]]
    );
    assert_eq!(
        rows(&mut connection, "PRAGMA locking_mode=EXCLUSIVE"),
        [[text("normal")]]
    );
    script(&mut connection, "INSERT INTO t VALUES (1)");
    assert_eq!(memory.take_batches().len(), 1);
    script(&mut connection, "PRAGMA page_size=512; VACUUM");
    assert_eq!(integer(&mut connection, "PRAGMA page_size"), 4096);
}

#[test]
fn what_reaches_past_the_database_is_refused_with_a_sentence() {
    let (_, mut connection) = writer();
    for sql in [
        "PRAGMA writable_schema=ON",
        "PRAGMA writable_schema=RESET",
        "PRAGMA trusted_schema=1",
        "PRAGMA temp_store_directory='/tmp'",
        "PRAGMA data_store_directory='/tmp'",
        "PRAGMA lock_proxy_file='/tmp/x'",
        "PRAGMA hard_heap_limit=1",
        "PRAGMA soft_heap_limit=1",
    ] {
        let error = error(&mut connection, sql);
        let code = (error.code(), error.kind());
        assert_eq!(
            code,
            (Code::Sqlite(ffi::SQLITE_AUTH), Kind::Denied),
            "{sql}: {error}"
        );
        assert!(error.message().contains("cannot be set here: "), "{sql}: {error}");
    }
}

#[test]
fn the_busy_timeout_is_kept_as_a_number() {
    let (_, mut connection) = writer();
    let result = run(&mut connection, "PRAGMA busy_timeout=5000").expect("it works");
    assert_eq!(result.cols[0].name, "timeout");
    assert_eq!(result.rows, [[Value::Integer(5000)]]);
    connection.describe("PRAGMA busy_timeout=1").expect("it works");
    assert_eq!(integer(&mut connection, "PRAGMA busy_timeout"), 5000);
    assert_eq!(integer(&mut connection, "PRAGMA busy_timeout=-1"), 0);
}

#[test]
fn pragmas_can_be_read_and_set_to_what_they_are() {
    let (_, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a)");
    assert_eq!(rows(&mut connection, "PRAGMA journal_mode"), [[text("memory")]]);
    assert_eq!(rows(&mut connection, "PRAGMA locking_mode"), [[text("normal")]]);
    assert_eq!(integer(&mut connection, "PRAGMA page_size"), 4096);
    for sql in [
        "PRAGMA cache_size=100000000",
        "PRAGMA cache_size=-1000",
        "PRAGMA page_size=4096",
        "PRAGMA wal_checkpoint",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA writable_schema",
        "PRAGMA temp_store_directory",
    ] {
        run(&mut connection, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    assert!(integer(&mut connection, "PRAGMA cache_size") >= -2048);
}
