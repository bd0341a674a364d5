//! The views over a node that has something to tell.

use crate::database::{IdempotencyKey, RequestOptions};
use crate::entry::Limits;
use crate::node::Node;
use crate::node::tests::{Script, options, run};
use crate::sql::{Args, Budget, Error, StatementResult};
use orion_api::Value;
use std::time::Duration;

fn values(results: &[Result<StatementResult, Error>]) -> Vec<Vec<Value>> {
    results[0].as_ref().expect("it works").rows.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_counted_by_shape_and_errors_by_code_without_their_texts() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::start(options(dir.path())).await.expect("starts");
    super::install(&node, "http://here");
    for name in ["app", "other"] {
        node.create(None, name, Limits::default(), None)
            .await
            .expect("created");
        run(&node, name, &["CREATE TABLE t (id INTEGER PRIMARY KEY, v)"]).await;
    }
    let (insert, select) = ("INSERT INTO t (v) VALUES ('secret'), (2)", "SELECT v FROM t");
    for _ in 0..5 {
        // Units of their own: one that gives way to others runs again from its beginning, and that counts.
        run(&node, "app", &[insert]).await;
        run(&node, "app", &[&format!("  {select} ")]).await;
    }
    run(&node, "other", &[select]).await;
    let twice = "INSERT INTO t (id) VALUES (1)";
    run(&node, "other", &[twice, twice]).await;
    run(&node, "other", &["SELEC"]).await;
    // What went on elsewhere, on a connection that may write, is counted only there.
    let asked = "SELECT database_name, calls, errors, rows, max_ms <= total_ms, p50_ms <= p99_ms, \
                 length(fingerprint) FROM query_stats WHERE calls > 1 ORDER BY database_name, rows";
    let rows = values(&run(&node, "_orion", &[asked]).await);
    let row = |name: &str, numbers: [i64; 6]| {
        let mut row = vec![Value::Text(name.to_owned())];
        row.extend(numbers.map(Value::Integer));
        row
    };
    let expected = [
        row("app", [5, 0, 0, 1, 1, 16]),
        row("app", [5, 0, 30, 1, 1, 16]),
        row("other", [2, 1, 0, 1, 1, 16]),
    ];
    assert_eq!(rows, expected);
    let everything = format!(
        "{:?}",
        values(&run(&node, "_orion", &["SELECT * FROM query_stats"]).await)
    );
    assert!(
        !everything.contains("secret") && !everything.contains("FROM t"),
        "{everything}"
    );
    let errors = node.databases.counters().statements.errors();
    let errors: Vec<_> = errors.into_iter().collect();
    assert_eq!(errors, [("SQLITE_CONSTRAINT", 1), ("SQL_PARSE_ERROR", 1)]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idempotency_metrics_tell_what_is_kept_and_used_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::start(options(dir.path())).await.expect("starts");
    super::install(&node, "http://here");
    node.create(None, "app", Limits::default(), None)
        .await
        .expect("created");
    let database = node.databases.find("app").expect("there");
    for (key, hash) in [("a", 1), ("b", 1), ("a", 1), ("a", 2)] {
        let options = RequestOptions {
            idempotency: Some(IdempotencyKey {
                key: key.to_owned(),
                request_hash: [hash; 32],
            }),
            ..RequestOptions::default()
        };
        let script = Script::new(&[&format!("CREATE TABLE {key} (a)")]);
        let finished = database.run(script, &options).await;
        assert_eq!(finished.is_err(), hash == 2);
    }
    let asked = "SELECT live_keys, over_keys, keys_max, node_reused_total, node_conflicts_total \
                 FROM idempotency_metrics WHERE database_name = 'app'";
    let rows = values(&run(&node, "_orion", &[asked]).await);
    assert_eq!(rows, [[2, 0, 100_000, 1, 1].map(Value::Integer)]);
    node.stop().await;
}

/// A measurement, not a law: `cargo test --release -- --ignored what_counting_costs --nocapture`.
#[test]
#[ignore = "a measurement"]
#[allow(clippy::print_stdout, reason = "it is what the measurement is for")]
fn what_counting_costs() {
    use crate::sql::{Connection, Observer, Options, Role, Statistics};
    let memory = crate::vfs::memory::Memory::new();
    for counts in [false, true, false, true] {
        let mut options = Options::new(Role::Writer);
        let statistics = std::sync::Arc::new(Statistics::default());
        options.observer = counts.then(|| Observer::new(statistics, orion_api::DatabaseId::random()));
        let mut connection = Connection::open(memory.writer(), options).expect("opens");
        let began = std::time::Instant::now();
        let mut budget = Budget::lasting(Duration::from_secs(60), u64::MAX);
        for _ in 0..300_000 {
            connection
                .execute("SELECT 1", &Args::NONE, true, &mut budget)
                .expect("it runs");
        }
        println!("counts: {counts}: {:?} a statement", began.elapsed() / 300_000);
    }
}
