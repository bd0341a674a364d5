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
