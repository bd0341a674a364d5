//! Limits: typed errors, and nothing half done.

use super::{Setup, on, run};
use crate::entry::Limits;
use crate::sql::Kind;
use orion_api::Code;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const COUNT: &str = "SELECT count(*) FROM t";

fn many(rows: usize, bytes: usize) -> String {
    format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
         INSERT INTO t (v) SELECT randomblob({bytes}) FROM n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_larger_than_an_entry_goes_in_parts_and_is_atomic() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    let entries = &setup.node.disk().counters().entries;
    let before = entries.load(Ordering::Relaxed);
    setup.run(&[&many(2_000, 4_000)]).await[0]
        .as_ref()
        .expect("inserted");
    let parts = entries.load(Ordering::Relaxed) - before;
    assert!(parts > 8, "8 MB went in {parts} entries");
    let version = setup.database.position().version;
    setup.run(&["UPDATE t SET v = randomblob(4000)"]).await[0]
        .as_ref()
        .expect("updated");
    assert_eq!(setup.database.position().version, version.next());
    let sum = "SELECT sum(id) + count(*) FROM t WHERE length(v) = 4000";
    let expected = setup.number(sum).await;
    let setup = setup.restart(dir.path()).await;
    assert_eq!(setup.number(sum).await, expected);
    let check = setup.run(&["PRAGMA integrity_check"]).await;
    let check = &check[0].as_ref().expect("it runs").rows;
    assert_eq!(*check, [[orion_api::Value::Text("ok".into())]]);
    setup.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_beyond_its_limit_is_a_typed_error_and_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |options| {
        options.database.sql.transaction_bytes = 2 << 20;
    })
    .await;
    let results = setup.run(&[&many(2_000, 4_000)]).await;
    let error = results[0].as_ref().expect_err("too large");
    assert_eq!(error.kind(), Kind::TooLarge, "{error:?}");
    assert_eq!(setup.number(COUNT).await, 0);
    setup.run(&[&many(100, 4_000)]).await[0]
        .as_ref()
        .expect("inserted");
    assert_eq!(setup.number(COUNT).await, 100);
    setup.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_overlay_refuses_writes_until_the_object_store_is_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |options| {
        options.database.overlay_bytes = 64 << 10;
        options.database.overlay_wait = Duration::from_millis(100);
    })
    .await;
    let (objects, aside) = (dir.path().join("objects"), dir.path().join("aside"));
    std::fs::rename(&objects, &aside).expect("moved");
    std::fs::write(&objects, "not a folder").expect("written");
    setup.run(&[&many(100, 1_000)]).await[0]
        .as_ref()
        .expect("inserted");
    let error = setup.try_run(&[&many(1, 10)]).await.expect_err("full");
    assert_eq!(error.code, Code::Overloaded);
    assert_eq!(setup.number(COUNT).await, 100, "reads go on");
    setup.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_more_and_those_in_it_are_served() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |options| options.database.waiting_max = 4).await;
    let (stream, late) = (setup.stream(), setup.stream());
    on(&stream, &["BEGIN IMMEDIATE"]).await.expect("it runs");
    let insert = "INSERT INTO t (v) VALUES (1)";
    // Known to write, so that none of them runs on a reader first.
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let database = Arc::clone(&setup.database);
            tokio::spawn(async move { run(&database, &[insert]).await })
        })
        .collect();
    setup.until_waiting(4).await;
    let error = setup.try_run(&[insert]).await.expect_err("full");
    assert_eq!(error.code, Code::Overloaded);
    let error = on(&late, &[insert]).await.expect_err("full for streams too");
    assert_eq!(error.code, Code::Overloaded);
    stream.close();
    for client in clients {
        client.await.expect("no panic").expect("it runs");
    }
    assert_eq!(setup.number(COUNT).await, 4);
    setup.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_limits_hold_at_once_for_connections_that_are_open() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    let (first, stream) = (setup.stream(), setup.stream());
    setup.run(&[&many(100, 1_000)]).await[0]
        .as_ref()
        .expect("inserted");
    let large = "SELECT sum(length(v)), group_concat(hex(v)) FROM t";
    for result in [
        &setup.run(&[large]).await[0],
        &on(&stream, &[large]).await.expect("it runs")[0],
    ] {
        assert!(result.is_ok(), "{result:?}");
    }
    let limits = Limits {
        result_bytes: 10_000,
        transaction_bytes: 100_000,
        streams: 2,
        ..Limits::default()
    };
    let info = setup
        .node
        .change_limits("app", |_| limits)
        .await
        .expect("changed");
    assert_eq!(info.limits, limits);
    for result in [
        &setup.run(&[large]).await[0],
        &on(&stream, &[large]).await.expect("it runs")[0],
    ] {
        let error = result.as_ref().expect_err("too large now");
        assert_eq!(error.kind(), Kind::TooLarge, "{error}");
    }
    let error = setup
        .run(&[&many(200, 1_000)])
        .await
        .remove(0)
        .expect_err("too large now");
    assert_eq!(error.kind(), Kind::TooLarge, "{error}");
    let error = setup
        .database
        .open_stream()
        .map(drop)
        .expect_err("one too many now");
    assert_eq!(error.code, Code::Quota);
    drop((first, stream));
    let setup = setup.restart(dir.path()).await;
    let info = setup.node.get("app").expect("there");
    assert_eq!(info.limits, limits, "after a restart");
    let wider = |before: &Limits| Limits {
        result_bytes: 0,
        ..*before
    };
    setup.node.change_limits("app", wider).await.expect("changed");
    setup.run(&[large]).await[0].as_ref().expect("large enough again");
    let missing = setup.node.change_limits("nothing", |limits| *limits).await;
    assert_eq!(
        missing.map(drop).expect_err("not there").code(),
        Code::DatabaseNotFound
    );
    setup.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_keeps_no_more_readers_than_its_limit() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |options| options.database.readers_node_max = 3).await;
    for i in 0..10 {
        let name = format!("db-{i}");
        let created = setup.node.create(None, &name, Limits::default(), None).await;
        created.expect("created");
        let database = setup.node.databases.find(&name).expect("there");
        for _ in 0..2 {
            let results = run(&database, &["SELECT 1"]).await.expect("it runs");
            results[0].as_ref().expect("a row");
        }
    }
    let readers = &setup.node.databases.counters().readers;
    assert_eq!(readers.load(Ordering::Relaxed), 3);
    setup.node.stop().await;
}
