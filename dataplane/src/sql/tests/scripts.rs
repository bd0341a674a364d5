//! Random SQL: statements over three tables with constraints of every kind, a full-text table, triggers that
//! raise, savepoints, and VACUUM. Many fail, which is the point: failures must be equal too.

use proptest::prelude::*;
use proptest::sample::select;

const CONFLICTS: [&str; 6] = [
    "",
    "OR ROLLBACK",
    "OR ABORT",
    "OR FAIL",
    "OR IGNORE",
    "OR REPLACE",
];

/// One statement.
pub(super) fn statement() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => insert(),
        3 => update(),
        2 => upsert(),
        2 => (table(), 0..30_i64).prop_map(|(t, n)| format!("DELETE FROM {t} WHERE n < {n}")),
        4 => select(vec![
            "BEGIN", "BEGIN IMMEDIATE", "COMMIT", "COMMIT", "ROLLBACK", "SAVEPOINT a", "SAVEPOINT b", "RELEASE a",
            "RELEASE b", "ROLLBACK TO a", "ROLLBACK TO b",
        ]).prop_map(str::to_owned),
        3 => schema(),
        2 => trigger(),
        2 => fulltext(),
        1 => bulk(),
        1 => select(vec![
            "VACUUM", "PRAGMA incremental_vacuum", "PRAGMA incremental_vacuum(3)", "PRAGMA foreign_keys=ON",
            "PRAGMA foreign_keys=OFF", "PRAGMA recursive_triggers=ON", "REINDEX", "ANALYZE", "PRAGMA defer_foreign_keys=ON",
        ]).prop_map(str::to_owned),
        2 => (table(), 0..50_i64).prop_map(|(t, n)| format!("SELECT * FROM {t} WHERE n >= {n} ORDER BY id")),
    ]
}

/// How the database is made.
pub(super) fn beginning() -> impl Strategy<Value = Vec<String>> {
    let sizes = select(vec![512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]);
    let vacuum = select(vec!["none", "full", "incremental"]);
    (sizes, vacuum).prop_map(|(size, vacuum)| {
        vec![
            format!("PRAGMA page_size={size}"),
            format!("PRAGMA auto_vacuum={vacuum}"),
            create("t0"),
            create("t1"),
        ]
    })
}

fn table() -> impl Strategy<Value = &'static str> {
    select(vec!["t0", "t1", "t2"])
}

fn conflict() -> impl Strategy<Value = &'static str> {
    select(CONFLICTS.to_vec())
}

fn create(table: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {table}(id INTEGER PRIMARY KEY, u UNIQUE, n NOT NULL DEFAULT 0, \
         c CHECK (c < 40), p REFERENCES t0(id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED)"
    )
}

fn row() -> impl Strategy<Value = String> {
    let id = prop_oneof![3 => Just("NULL".to_owned()), 2 => (0..20_i64).prop_map(|n| n.to_string())];
    let n = prop_oneof![9 => (0..50_i64).prop_map(|n| n.to_string()), 1 => Just("NULL".to_owned())];
    let p = prop_oneof![3 => Just("NULL".to_owned()), 1 => (0..20_i64).prop_map(|n| n.to_string())];
    (id, 0..30_i64, n, 0..44_i64, p).prop_map(|(id, u, n, c, p)| format!("({id},{u},{n},{c},{p})"))
}

fn insert() -> impl Strategy<Value = String> {
    let tail = select(vec!["", "", " RETURNING id, n"]);
    (conflict(), table(), prop::collection::vec(row(), 1..5), tail).prop_map(
        |(conflict, table, rows, tail)| {
            format!(
                "INSERT {conflict} INTO {table}(id,u,n,c,p) VALUES {}{tail}",
                rows.join(",")
            )
        },
    )
}

fn upsert() -> impl Strategy<Value = String> {
    let action = select(vec![
        "(u) DO UPDATE SET n = n + excluded.n",
        "DO NOTHING",
        "(id) DO UPDATE SET u = excluded.u",
    ]);
    (table(), row(), action).prop_map(|(table, row, action)| {
        format!("INSERT INTO {table}(id,u,n,c,p) VALUES {row} ON CONFLICT {action}")
    })
}

fn update() -> impl Strategy<Value = String> {
    let set = select(vec![
        "u = u + 1",
        "n = n + 7",
        "c = c + 9",
        "p = id",
        "n = NULL",
        "id = id + 3",
    ]);
    (conflict(), table(), set, 0..40_i64)
        .prop_map(|(conflict, table, set, n)| format!("UPDATE {conflict} {table} SET {set} WHERE n > {n}"))
}

fn schema() -> impl Strategy<Value = String> {
    (table(), 0..6).prop_map(|(table, what)| match what {
        0 | 1 => create(table),
        2 => format!("DROP TABLE IF EXISTS {table}"),
        3 => format!("CREATE INDEX IF NOT EXISTS i_{table} ON {table}(n, c)"),
        4 => format!("DROP INDEX IF EXISTS i_{table}"),
        _ => format!("ALTER TABLE {table} ADD COLUMN x DEFAULT 'x'"),
    })
}

fn trigger() -> impl Strategy<Value = String> {
    let raise = select(vec!["ROLLBACK, 'no'", "ABORT, 'no'", "FAIL, 'no'", "IGNORE"]);
    (table(), raise, 0..40_i64, any::<bool>()).prop_map(|(table, raise, n, drop)| {
        if drop {
            format!("DROP TRIGGER IF EXISTS g_{table}")
        } else {
            format!(
                "CREATE TRIGGER IF NOT EXISTS g_{table} BEFORE INSERT ON {table} WHEN new.n > {n} \
                 BEGIN SELECT RAISE({raise}); END"
            )
        }
    })
}

fn fulltext() -> impl Strategy<Value = String> {
    (0..20_i64, 0..5).prop_map(|(n, what)| match what {
        0 => "CREATE VIRTUAL TABLE IF NOT EXISTS f USING fts5(x)".to_owned(),
        1 | 2 => format!("INSERT INTO f(x) VALUES ('word{n} and word{}')", n / 2),
        3 => format!("DELETE FROM f WHERE f MATCH 'word{n}'"),
        _ => format!("SELECT rowid, x FROM f WHERE f MATCH 'word{n}' ORDER BY rowid"),
    })
}

fn bulk() -> impl Strategy<Value = String> {
    (table(), 1..400_i64, 0..3000_i64).prop_map(|(table, rows, bytes)| {
        format!(
            "WITH RECURSIVE q(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM q WHERE i < {rows}) \
             INSERT OR IGNORE INTO {table}(u, n, c) SELECT 1000+i, zeroblob({bytes}), NULL FROM q"
        )
    })
}
