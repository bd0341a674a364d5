//! Measurements, not laws: `cargo test --release -- --ignored --nocapture speed`.

use super::fixture::{budget, script, writer};
use crate::sql::{Args, Value};
use std::time::{Duration, Instant};

const ROUNDS: u32 = 100_000;

fn report(what: &str, took: Duration, most: Duration) {
    let each = took / ROUNDS;
    eprintln!("{what}: {each:?} each");
    assert!(
        cfg!(debug_assertions) || each <= most,
        "{what}: {each:?}, should be {most:?}"
    );
}

#[test]
#[ignore = "a measurement, for a release build"]
fn speed_of_a_point_select() {
    let (_, mut connection) = writer();
    let fill = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM n WHERE i<100000)
                INSERT INTO t SELECT i, 'name ' || i FROM n";
    script(
        &mut connection,
        &format!("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT); {fill}"),
    );
    let began = Instant::now();
    for round in 0..ROUNDS {
        let id = i64::from(round.wrapping_mul(2_654_435_761) % 100_000) + 1;
        let args = Args::positional(vec![Value::Integer(id)]);
        let result = connection
            .execute("SELECT name FROM t WHERE id = ?", &args, true, &mut budget())
            .expect("runs");
        assert_eq!(result.rows.len(), 1);
    }
    report(
        "point select of 100k rows",
        began.elapsed(),
        Duration::from_micros(3),
    );
}

#[test]
#[ignore = "a measurement, for a release build"]
fn speed_of_a_commit() {
    let (memory, mut connection) = writer();
    script(
        &mut connection,
        "CREATE TABLE t(id INTEGER PRIMARY KEY, n); INSERT INTO t VALUES (1, 0)",
    );
    let began = Instant::now();
    for round in 0..ROUNDS {
        let args = Args::positional(vec![Value::Integer(i64::from(round))]);
        connection
            .execute("UPDATE t SET n = ? WHERE id = 1", &args, true, &mut budget())
            .expect("runs");
        if round % 1000 == 0 {
            memory.take_batches();
        }
    }
    report("commit of one row", began.elapsed(), Duration::from_micros(10));
}
