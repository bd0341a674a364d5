//! Requests that begin where they are, and are not brief: they go on on an SQL thread, and nothing runs twice.

use super::{Setup, run};
use std::sync::Arc;

const INSERT: &str = "INSERT INTO t (v) VALUES (1)";
/// Some milliseconds, and one row.
const LONG: &str = "INSERT INTO t (v) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000) \
                    SELECT max(i) FROM n";
const COUNT: &str = "SELECT count(*) FROM t";

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_not_brief_runs_exactly_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    let units: [&[&str]; 5] = [
        &[LONG],
        &[INSERT, LONG, INSERT],
        &["BEGIN", INSERT, LONG, "COMMIT", INSERT],
        &["BEGIN", INSERT, LONG, "ROLLBACK", INSERT],
        &[INSERT; 2000],
    ];
    let mut expected = 0;
    for (unit, rows) in units.iter().zip([1, 3, 3, 1, 2000]) {
        // The first run reads and finds out that it writes; the second is brief, as far as anybody knows.
        for _ in 0..3 {
            for result in setup.run(unit).await {
                result.expect("it runs");
            }
            expected += rows;
            assert_eq!(setup.number(COUNT).await, expected, "{unit:.3?}");
        }
    }
    let setup = setup.restart(dir.path()).await;
    assert_eq!(setup.number(COUNT).await, expected, "after a restart");
    setup.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn units_that_are_not_brief_keep_their_order_and_their_neighbours() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    let clients = (0..40).map(|client| {
        let database = Arc::clone(&setup.database);
        tokio::spawn(async move {
            for _ in 0..10 {
                let unit: &[&str] = match client % 4 {
                    0 => &[INSERT, LONG],
                    _ => &[INSERT, "INSERT INTO t (v) SELECT last_insert_rowid()"],
                };
                for result in run(&database, unit).await.expect("it runs") {
                    result.expect("inserted");
                }
            }
        })
    });
    for client in futures::future::join_all(clients.collect::<Vec<_>>()).await {
        client.expect("no panic");
    }
    assert_eq!(setup.number(COUNT).await, 800);
    let split = "SELECT count(*) FROM t AS a WHERE v > 1 AND v < 30000 AND v <> id - 1";
    assert_eq!(
        setup.number(split).await,
        0,
        "nothing came between two statements of a unit"
    );
    setup.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_needs_a_page_of_the_base_gets_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    let fill = "INSERT INTO t (v) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) \
                SELECT hex(randomblob(100)) FROM n";
    setup.run(&[fill]).await[0].as_ref().expect("filled");
    setup.materialize().await;
    let setup = setup.restart(dir.path()).await;
    // The writer is open, and has none of the pages in the middle.
    setup.run(&[INSERT]).await[0].as_ref().expect("inserted");
    for id in (100..5000).step_by(100) {
        let update = format!("UPDATE t SET v = 'new' WHERE id = {id}");
        setup.run(&[&update]).await[0].as_ref().expect("updated");
    }
    assert_eq!(setup.number("SELECT count(*) FROM t WHERE v = 'new'").await, 49);
    setup.node.stop().await;
}

/// A driver that is never out of work is not a heavy query.
#[tokio::test(flavor = "multi_thread")]
async fn many_short_writes_do_not_give_way_and_an_endless_read_does() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    let clients = (0..16).map(|_| {
        let database = Arc::clone(&setup.database);
        tokio::spawn(async move {
            for _ in 0..100 {
                run(&database, &[INSERT; 3]).await.expect("it runs");
            }
        })
    });
    for client in futures::future::join_all(clients.collect::<Vec<_>>()).await {
        client.expect("no panic");
    }
    let threads = &setup.database.threads;
    assert_eq!(threads.gave_way(), 0);
    let endless = {
        let database = Arc::clone(&setup.database);
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
        tokio::spawn(async move { run(&database, &[sql]).await.map(drop) })
    };
    super::until("the endless read gives way", || threads.gave_way() == 1).await;
    endless.abort();
    assert_eq!(setup.number(COUNT).await, 4800);
    setup.node.stop().await;
}
