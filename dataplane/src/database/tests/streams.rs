//! Interactive transactions.

use super::{Setup, number, on, run};
use orion_api::Code;
use std::sync::Arc;
use std::time::Duration;

const INSERT: &str = "INSERT INTO t (v) VALUES (1)";
const COUNT: &str = "SELECT count(*) FROM t";

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_holds_the_turn_and_others_wait_for_its_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    let stream = setup.stream();
    on(
        &stream,
        &["BEGIN IMMEDIATE", "INSERT INTO t (id, v) VALUES (7, 'stream')"],
    )
    .await
    .expect("it runs");
    let database = Arc::clone(&setup.database);
    let other =
        tokio::spawn(async move { run(&database, &["INSERT INTO t (v) SELECT max(id) FROM t"]).await });
    let (second, ended) = (setup.stream(), setup.database.queue.waiting());
    assert!(ended <= 1);
    let second = tokio::spawn(async move { on(&second, &[INSERT]).await });
    setup.until_waiting(2).await;
    assert_eq!(setup.number(COUNT).await, 0, "nobody sees what is not committed");
    on(&stream, &["COMMIT"]).await.expect("it runs")[0]
        .as_ref()
        .expect("committed");
    other.await.expect("no panic").expect("it runs")[0]
        .as_ref()
        .expect("inserted");
    second.await.expect("no panic").expect("it runs")[0]
        .as_ref()
        .expect("inserted");
    let seen = setup.number("SELECT count(*) FROM t WHERE v IN (7, 8)").await;
    assert_eq!(seen, 1, "it ran on top of the transaction");
    setup.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_transaction_is_rolled_back_and_its_next_request_says_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |options| {
        options.database.transaction_idle = Duration::from_millis(50);
    })
    .await;
    let stream = setup.stream();
    on(&stream, &["BEGIN IMMEDIATE", INSERT]).await.expect("it runs");
    // Gets the turn only when the watchdog has taken it from the stream.
    setup.run(&[INSERT]).await[0].as_ref().expect("inserted");
    let error = on(&stream, &["COMMIT"])
        .await
        .expect_err("the transaction is gone");
    assert_eq!(error.code, Code::TransactionTimeout);
    let results = on(&stream, &[COUNT]).await.expect("the stream goes on");
    assert_eq!(number(&results[0]), 1, "what the transaction wrote is not there");
    setup.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_has_read_an_older_version_cannot_write() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    let stream = setup.stream();
    on(&stream, &["BEGIN", COUNT]).await.expect("it runs");
    setup.run(&[INSERT]).await;
    let results = on(&stream, &[INSERT]).await.expect("it runs");
    let error = results[0].as_ref().expect_err("refused");
    assert_eq!(error.extended_name(), Some("SQLITE_BUSY_SNAPSHOT"), "{error}");
    let results = on(&stream, &["ROLLBACK", "BEGIN", COUNT, INSERT, "COMMIT"])
        .await
        .expect("it runs");
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(setup.number(COUNT).await, 2);
    setup.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_has_read_the_newest_version_upgrades() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    let stream = setup.stream();
    on(&stream, &["BEGIN", COUNT]).await.expect("it runs");
    let results = on(&stream, &[INSERT, COUNT, "COMMIT"]).await.expect("it runs");
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(number(&results[1]), 1);
    assert_eq!(setup.number(COUNT).await, 1);
    setup.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_has_read_nothing_writes_on_the_newest_version() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    let stream = setup.stream();
    on(&stream, &["BEGIN"]).await.expect("it runs");
    setup.run(&[INSERT]).await;
    let results = on(&stream, &[INSERT, COUNT, "COMMIT"]).await.expect("it runs");
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(number(&results[1]), 2);
    setup.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_reader_sees_its_version_through_writes_and_materialization() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    const SUM: &str = "SELECT sum(length(v)) + count(*) FROM t";
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) \
                INSERT INTO t (v) SELECT hex(randomblob(200)) FROM n";
    setup.run(&[fill]).await;
    let stream = setup.stream();
    let before = number(&on(&stream, &["BEGIN", SUM]).await.expect("it runs")[1]);
    for round in 0..5 {
        setup
            .run(&[
                "UPDATE t SET v = v || 'x' WHERE id % 3 = 0",
                fill,
                "DELETE FROM t WHERE id % 5 = 1",
            ])
            .await;
        if round % 2 == 0 {
            let entry = setup.node.home.group.catalog.find("app").expect("there");
            let mut open = None;
            crate::materialize::materialize(&setup.node.home.group, &entry, &mut open)
                .await
                .expect("materialized");
        }
        let now = number(&on(&stream, &[SUM]).await.expect("it runs")[0]);
        assert_eq!(now, before, "round {round}");
    }
    let results = on(&stream, &["PRAGMA integrity_check", "COMMIT", SUM])
        .await
        .expect("it runs");
    assert_eq!(
        results[0].as_ref().expect("it runs").rows,
        [[orion_api::Value::Text("ok".into())]]
    );
    assert_ne!(number(&results[2]), before);
    setup.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_stream_gives_the_turn_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    let stream = setup.stream();
    on(&stream, &["BEGIN IMMEDIATE", INSERT]).await.expect("it runs");
    stream.close();
    setup.run(&[INSERT]).await[0].as_ref().expect("inserted");
    assert_eq!(setup.number(COUNT).await, 1);
    setup.node.stop().await;
}
