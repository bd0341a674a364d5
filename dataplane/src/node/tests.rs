//! A whole node in process: what was acknowledged is there after each kind of restart.

use super::{Node, Options};
use crate::database::{Progress, RequestOptions, Work};
use crate::entry::Limits;
use crate::sql::{Args, Budget, Connection, Error, StatementResult};
use crate::store;
use orion_api::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Statements in order, each with its result.
pub(crate) struct Script {
    statements: Vec<String>,
    pub(crate) results: Vec<Result<StatementResult, Error>>,
}

impl Script {
    pub(crate) fn new(statements: &[&str]) -> Script {
        Script {
            statements: statements.iter().map(|sql| sql.to_string()).collect(),
            results: Vec::new(),
        }
    }
}

impl Work for Script {
    fn statements(&self, visit: &mut dyn FnMut(&str)) {
        self.statements.iter().for_each(|sql| visit(sql));
    }

    fn resume(&mut self, connection: &mut Connection) -> Progress {
        let result_bytes = connection.options().limits.result_bytes;
        let mut budget = Budget::lasting(Duration::from_secs(10), result_bytes.min(1 << 20));
        while let Some(sql) = self.statements.get(self.results.len()) {
            let result = connection.execute(sql, &Args::default(), true, &mut budget);
            if result.is_err() && connection.take_wants_turn() {
                return Progress::NeedsTurn;
            }
            if result.is_err() && connection.take_wants_patience() {
                return Progress::NeedsPatience;
            }
            self.results.push(result);
        }
        Progress::Done
    }

    fn restart(&mut self) {
        self.results.clear();
    }
}

pub(crate) fn options(dir: &Path) -> Options {
    let objects = format!("file://{}", dir.join("objects").display());
    let store = store::Config::new(objects.parse().expect("a url"));
    Options::new(dir.join("data"), "default".parse().expect("a name"), store)
}

pub(crate) async fn run(node: &Node, name: &str, statements: &[&str]) -> Vec<Result<StatementResult, Error>> {
    let database = node.databases.find(name).expect("the database");
    database
        .run(Script::new(statements), &RequestOptions::default())
        .await
        .expect("it runs")
        .work
        .results
}

async fn rows(node: &Node, name: &str, sql: &str) -> Vec<Vec<Value>> {
    let mut results = run(node, name, &[sql]).await;
    results.remove(0).expect("the statement works").rows
}

async fn count(node: &Node, name: &str) -> i64 {
    match rows(node, name, "SELECT count(*) FROM t").await[0][0] {
        Value::Integer(count) => count,
        ref other => panic!("{other:?}"),
    }
}

async fn with_table(node: &Node, name: &str) {
    node.create(None, name, Limits::default(), None)
        .await
        .expect("created");
    run(node, name, &["CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)"]).await;
}

async fn insert(node: &Node, name: &str, many: usize) {
    for _ in 0..many {
        let results = run(node, name, &["INSERT INTO t (v) VALUES (hex(randomblob(50)))"]).await;
        assert!(results[0].is_ok(), "{results:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_rows_survive_a_stop() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::start(options(dir.path())).await.expect("starts");
    with_table(&node, "app").await;
    insert(&node, "app", 50).await;
    assert_eq!(count(&node, "app").await, 50);
    node.stop().await;
    drop(node);
    let node = Node::start(options(dir.path())).await.expect("starts again");
    assert_eq!(count(&node, "app").await, 50);
    insert(&node, "app", 1).await;
    assert_eq!(
        rows(&node, "app", "PRAGMA integrity_check").await,
        [[Value::Text("ok".into())]]
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_come_back_from_the_object_store() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::start(options(dir.path())).await.expect("starts");
    with_table(&node, "app").await;
    insert(&node, "app", 200).await;
    materialize(&node, "app").await;
    insert(&node, "app", 5).await;
    run(&node, "app", &["DELETE FROM t WHERE id % 2 = 0", "VACUUM"]).await;
    let expected = rows(&node, "app", "SELECT sum(id), count(*), max(v) FROM t").await;
    materialize(&node, "app").await;
    node.stop().await;
    drop(node);
    let node = Node::start(options(dir.path())).await.expect("starts again");
    assert_eq!(
        rows(&node, "app", "SELECT sum(id), count(*), max(v) FROM t").await,
        expected
    );
    assert_eq!(
        rows(&node, "app", "PRAGMA integrity_check").await,
        [[Value::Text("ok".into())]]
    );
    node.stop().await;
}

pub(super) async fn materialize(node: &Node, name: &str) {
    let (group, database) = node.groups.find(name).expect("the database");
    let mut open = None;
    let version = crate::materialize::materialize(&group, &database, &mut open)
        .await
        .expect("materialized");
    let snapshot = database.published.load();
    assert_eq!(
        snapshot.checkpoint.as_ref().map(|checkpoint| checkpoint.version),
        Some(version)
    );
    open.expect("an open base").writer.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_are_merged_and_all_there() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::start(options(dir.path())).await.expect("starts");
    with_table(&node, "app").await;
    let before = node
        .disk()
        .counters()
        .flushes
        .load(std::sync::atomic::Ordering::Relaxed);
    let clients = (0..32).map(|_| {
        let node = Arc::clone(&node);
        tokio::spawn(async move { insert(&node, "app", 30).await })
    });
    futures::future::join_all(clients)
        .await
        .into_iter()
        .for_each(|client| client.expect("no panic"));
    assert_eq!(count(&node, "app").await, 960);
    let flushes = node
        .disk()
        .counters()
        .flushes
        .load(std::sync::atomic::Ordering::Relaxed)
        - before;
    assert!(flushes < 960, "{flushes} flushes for 960 commits");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_name_can_be_used_again_by_another_database() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::start(options(dir.path())).await.expect("starts");
    with_table(&node, "app").await;
    let old = node.drop_database("app").await.expect("dropped");
    assert!(node.databases.find("app").is_err());
    with_table(&node, "app").await;
    assert_eq!(count(&node, "app").await, 0);
    assert_ne!(node.get("app").expect("there").id, old.id);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drops_at_once_all_succeed() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::start(options(dir.path())).await.expect("starts");
    with_table(&node, "app").await;
    let id = node.get("app").expect("there").id;
    let drops = futures::future::join_all((0..16).map(|_| node.drop_database("app"))).await;
    for dropped in drops {
        assert_eq!(dropped.expect("dropped").id, id);
    }
    with_table(&node, "app").await;
    assert_eq!(count(&node, "app").await, 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_whose_client_is_gone_holds_up_nobody() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::start(options(dir.path())).await.expect("starts");
    with_table(&node, "app").await;
    let database = node.databases.find("app").expect("the database");
    let stream = database.open_stream().expect("a stream");
    let begin = Script::new(&["BEGIN IMMEDIATE", "INSERT INTO t (v) VALUES ('x')"]);
    stream
        .run(begin, &RequestOptions::default())
        .await
        .expect("it runs");
    let endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";
    let anything = RequestOptions::default();
    let endless = stream.run(Script::new(&[endless]), &anything);
    // The client waits a little, and goes away.
    let waited = tokio::time::timeout(Duration::from_millis(200), endless).await;
    assert!(waited.is_err(), "it ended");
    drop(stream);
    // Else this would wait until its own deadline and fail.
    insert(&node, "app", 1).await;
    assert_eq!(count(&node, "app").await, 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_never_waits_is_not_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::start(options(dir.path())).await.expect("starts");
    with_table(&node, "app").await;
    // Short writes end where they are asked for: a thousand of them are one turn of this task.
    insert(&node, "app", 1000).await;
    assert_eq!(count(&node, "app").await, 1000);
    node.stop().await;
}
