//! What SQL may not do, and what it may although it looks like it.

use super::fixture::{error, integer, rows, run, script, text, writer};
use crate::sql::{Code, Kind};
use rusqlite::ffi;

#[test]
fn what_reaches_past_the_database_is_denied_and_says_so() {
    let (_, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a)");
    for (sql, word) in [
        ("ATTACH 'other.db' AS other", "ATTACH"),
        ("ATTACH '' AS other", "ATTACH"),
        ("ATTACH ':memory:' AS other", "ATTACH"),
        ("ATTACH ('file:x' || '?vfs=unix') AS other", "ATTACH"),
        ("DETACH main", "DETACH"),
        ("VACUUM INTO 'copy.db'", "VACUUM INTO"),
        ("VACUUM INTO ('copy' || '.db')", "VACUUM INTO"),
        ("PRAGMA writable_schema=ON", "writable_schema"),
        ("PRAGMA writable_schema=RESET", "writable_schema"),
        ("PRAGMA temp_store_directory='/tmp'", "temp_store_directory"),
        ("PRAGMA data_store_directory='/tmp'", "data_store_directory"),
        ("PRAGMA hard_heap_limit=1", "hard_heap_limit"),
        ("PRAGMA soft_heap_limit=1", "soft_heap_limit"),
        ("PRAGMA threads=8", "threads"),
        ("PRAGMA trusted_schema=1", "trusted_schema"),
    ] {
        let error = error(&mut connection, sql);
        assert_eq!(
            (error.code(), error.kind()),
            (Code::Sqlite(ffi::SQLITE_AUTH), Kind::Denied),
            "{sql}: {error}"
        );
        assert!(error.message().contains(word), "{sql}: {error}");
    }
    script(&mut connection, "INSERT INTO t VALUES (1); VACUUM");
}

#[test]
fn an_attach_stays_denied_after_a_vacuum() {
    let (_, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a); VACUUM");
    assert_eq!(error(&mut connection, "ATTACH '' AS other").kind(), Kind::Denied);
    assert_eq!(
        rows(&mut connection, "SELECT name FROM pragma_database_list"),
        [[text("main")]]
    );
}

#[test]
fn functions_that_load_code_do_not_exist() {
    let (_, mut connection) = writer();
    for sql in [
        "SELECT load_extension('x')",
        "SELECT fts3_tokenizer('x')",
        "SELECT readfile('/etc/passwd')",
    ] {
        error(&mut connection, sql);
    }
}

#[test]
fn the_schema_table_cannot_be_written() {
    let (_, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a)");
    error(
        &mut connection,
        "UPDATE sqlite_schema SET sql='CREATE TABLE t(b)'",
    );
    error(
        &mut connection,
        "INSERT INTO sqlite_schema VALUES ('table', 'u', 'u', 9, 'CREATE TABLE u(a)')",
    );
    let before = integer(&mut connection, "PRAGMA schema_version");
    let _ = run(&mut connection, "PRAGMA schema_version=1000");
    assert_eq!(integer(&mut connection, "PRAGMA schema_version"), before);
}

#[test]
fn pragmas_that_would_leave_the_batch_are_refused() {
    let (memory, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a)");
    memory.take_batches();
    for sql in [
        "PRAGMA journal_mode=WAL",
        "PRAGMA journal_mode=DELETE",
        "PRAGMA journal_mode=OFF",
        "PRAGMA main.journal_mode=WAL",
        "PRAGMA JOURNAL_MODE('truncate')",
        "PRAGMA synchronous=OFF",
        "PRAGMA synchronous=0",
        "PRAGMA synchronous=256",
        "PRAGMA locking_mode=EXCLUSIVE",
        "PRAGMA cache_spill=ON",
        "PRAGMA cache_spill=1000",
        "PRAGMA mmap_size=1000000",
        "PRAGMA temp_store=MEMORY",
        "PRAGMA temp_store='2x'",
        "PRAGMA page_size=512",
        "PRAGMA default_cache_size=1000000",
    ] {
        let error = error(&mut connection, sql);
        assert_eq!(error.code(), Code::Sqlite(ffi::SQLITE_ERROR), "{sql}: {error}");
    }
    script(&mut connection, "INSERT INTO t VALUES (1)");
    assert_eq!(memory.take_batches().len(), 1);
}

#[test]
fn pragmas_can_be_read_and_set_to_what_they_are() {
    let (_, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a)");
    assert_eq!(rows(&mut connection, "PRAGMA journal_mode"), [[text("memory")]]);
    assert_eq!(
        rows(&mut connection, "PRAGMA journal_mode=MEMORY"),
        [[text("memory")]]
    );
    assert_eq!(rows(&mut connection, "PRAGMA locking_mode"), [[text("normal")]]);
    assert_eq!(integer(&mut connection, "PRAGMA page_size"), 4096);
    for sql in [
        "PRAGMA locking_mode=NORMAL",
        "PRAGMA synchronous",
        "PRAGMA synchronous=NORMAL",
        "PRAGMA synchronous=FULL",
        "PRAGMA cache_spill=OFF",
        "PRAGMA cache_size=100000000",
        "PRAGMA cache_size=-1000",
        "PRAGMA mmap_size=0",
        "PRAGMA temp_store=FILE",
        "PRAGMA page_size=4096",
        "PRAGMA wal_checkpoint",
        "PRAGMA writable_schema",
        "PRAGMA temp_store_directory",
    ] {
        run(&mut connection, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    assert!(integer(&mut connection, "PRAGMA cache_size") >= -2048);
}

#[test]
fn ordinary_sqlite_is_allowed() {
    let (_, mut connection) = writer();
    script(
        &mut connection,
        "CREATE TABLE p(id INTEGER PRIMARY KEY, doc, price REAL, total AS (price * 2) STORED) ;
         CREATE TABLE s(a INT, b TEXT) STRICT;
         CREATE VIRTUAL TABLE f USING fts5(body);
         CREATE VIRTUAL TABLE r USING rtree(id, x0, x1);
         CREATE VIRTUAL TABLE g USING geopoly(name);
         CREATE VIEW v AS SELECT id, last_value(price) OVER (ORDER BY id) w FROM p;
         CREATE TRIGGER tr AFTER INSERT ON p BEGIN INSERT INTO f VALUES (new.doc); END;
         INSERT INTO p(doc, price) VALUES ('{\"a\": [1, 2]}', 1.5) ON CONFLICT DO UPDATE SET price = 2;
         INSERT INTO r VALUES (1, 0.0, 1.0);
         ALTER TABLE s RENAME COLUMN b TO c;
         REINDEX; ANALYZE;
         CREATE TEMP TABLE x(a); INSERT INTO x VALUES (1);",
    );
    assert_eq!(integer(&mut connection, "SELECT doc ->> '$.a[1]' FROM p"), 2);
    assert_eq!(
        integer(&mut connection, "SELECT count(*) FROM f WHERE f MATCH 'a'"),
        1
    );
    assert_eq!(integer(&mut connection, "SELECT cast(sqrt(pow(3, 2)) AS INT)"), 3);
    assert_eq!(rows(&mut connection, "DELETE FROM p RETURNING id").len(), 1);
    assert_eq!(integer(&mut connection, "SELECT count(*) FROM v"), 0);
}
