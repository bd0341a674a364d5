//! A dump makes an equal database.

use super::fixture::{assert_sound, budget, rows, script, writer};
use crate::sql::{Args, Budget, Connection, Value, dump};
use std::time::Duration;

const CONTENT: &str = "
    CREATE TABLE parent(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE);
    CREATE TABLE child(a REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED, \"odd \"\" name\", g AS (a * 2) STORED);
    CREATE TABLE pairs(k, v, PRIMARY KEY (k, v)) WITHOUT ROWID;
    CREATE TABLE \"or'der\"(rowid, _rowid_, oid);
    CREATE INDEX by_name ON parent(name DESC) WHERE name NOT NULL;
    CREATE VIEW v AS SELECT name FROM parent;
    CREATE TRIGGER copy AFTER INSERT ON parent BEGIN INSERT INTO pairs VALUES (new.id, coalesce(new.name, '-')); END;
    CREATE VIRTUAL TABLE notes USING fts5(title, body);
    CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1);
    INSERT INTO parent(name) VALUES ('it''s'), (NULL), ('two' || char(10) || 'lines');
    DELETE FROM parent WHERE id = 3;
    INSERT INTO child(a, \"odd \"\" name\") VALUES (1, x'00FF'), (99, -0.0), (NULL, 1e300), (2, 0.1), (2, 'a' || char(0) || 'b');
    INSERT INTO child(a) VALUES (9223372036854775807), (-9223372036854775807 - 1), (9e999), (-9e999), (1.0);
    INSERT INTO \"or'der\" VALUES (1, 2, 3);
    INSERT INTO notes(rowid, title, body) VALUES (7, 'hello', 'world');
    CREATE VIRTUAL TABLE about USING fts5(name, content='parent', content_rowid='id');
    INSERT INTO about(about) VALUES ('rebuild');
    CREATE VIRTUAL TABLE shapes USING geopoly(label);
    INSERT INTO shapes(rowid, _shape, label) VALUES (5, '[[0,0],[1,0],[0,1],[0,0]]', 'corner');
    INSERT INTO boxes VALUES (1, 0.5, 1.5);
    WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM n WHERE i<1200) INSERT INTO pairs SELECT i, 'p' FROM n;
    WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM n WHERE i<1200) INSERT INTO \"or'der\" SELECT i, i, i FROM n;
    ANALYZE;";

const QUERIES: [&str; 11] = [
    "SELECT rowid FROM about WHERE about MATCH 'it'",
    "SELECT rowid, label, geopoly_json(_shape) FROM shapes",
    "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name",
    "SELECT * FROM parent",
    "SELECT rowid, typeof(a), * FROM child ORDER BY rowid",
    "SELECT * FROM pairs",
    "SELECT * FROM \"or'der\" ORDER BY 1, 2",
    "SELECT * FROM sqlite_sequence",
    "SELECT * FROM sqlite_stat1 ORDER BY 1, 2, 3",
    "SELECT rowid, title FROM notes WHERE notes MATCH 'world'",
    "SELECT * FROM boxes WHERE x0 < 1",
];

fn dumped(connection: &mut Connection) -> String {
    let mut out = Vec::new();
    dump(connection, &budget(), &mut out).expect("dumps");
    String::from_utf8(out).expect("is UTF-8")
}

#[test]
fn a_dump_makes_an_equal_database() {
    let (_, mut connection) = writer();
    script(&mut connection, CONTENT);
    let text = dumped(&mut connection);
    assert!(connection.is_autocommit());
    let (_, mut copy) = writer();
    script(&mut copy, &text);
    for sql in QUERIES {
        let (before, after) = (rows(&mut connection, sql), rows(&mut copy, sql));
        assert!(!before.is_empty(), "{sql}");
        assert_eq!(before, after, "{sql}");
    }
    assert_sound(&mut copy);
    assert_eq!(dumped(&mut copy), text);
}

#[test]
fn a_dump_is_plain_sql_for_stock_sqlite() {
    let (_, mut connection) = writer();
    script(&mut connection, CONTENT);
    crate::vfs::start().expect("SQLite starts");
    let stock = rusqlite::Connection::open_in_memory().expect("opens");
    stock.execute_batch(&dumped(&mut connection)).expect("runs");
    let count: i64 = stock
        .query_row("SELECT count(*) FROM pairs", [], |row| row.get(0))
        .expect("counts");
    assert_eq!(
        rows(&mut connection, "SELECT count(*) FROM pairs"),
        [[Value::Integer(count)]]
    );
}

#[test]
fn a_dump_is_of_one_version() {
    let (memory, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a)");
    let mut reader = super::fixture::open_reader(&memory);
    reader
        .execute("BEGIN", &Args::NONE, false, &mut budget())
        .expect("begins");
    assert!(rows(&mut reader, "SELECT * FROM t").is_empty());
    script(&mut connection, "INSERT INTO t VALUES (1)");
    assert!(!dumped(&mut reader).contains("INSERT"));
    assert!(!reader.is_autocommit());
}

#[test]
fn rows_larger_than_a_part_of_the_budget_are_dumped_one_by_one() {
    let (_, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a)");
    let fill = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM n WHERE i<20) INSERT INTO t SELECT zeroblob(900) FROM n";
    script(&mut connection, fill);
    let small = Budget::lasting(Duration::from_secs(20), 1000);
    let mut out = Vec::new();
    dump(&mut connection, &small, &mut out).expect("dumps");
    assert_eq!(String::from_utf8_lossy(&out).matches("INSERT").count(), 20);
}
