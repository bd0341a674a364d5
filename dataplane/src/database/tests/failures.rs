//! What requests are told when something breaks: the truth, and in time.

use super::{Database, RequestOptions, Setup, on, run};
use crate::database::{Progress, Work};
use crate::sql::Connection;
use orion_api::Code;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_disk_answers_everybody_and_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    let reader = setup.stream();
    on(&reader, &["BEGIN", "SELECT count(*) FROM t"])
        .await
        .expect("it runs");
    let write = |id: u32| {
        let database = Arc::clone(&setup.database);
        async move {
            let sql = format!("INSERT INTO t (id, v) VALUES ({id}, 1)");
            let answer = run(&database, &[&sql]).await;
            answer.map(|results| assert!(results[0].is_ok(), "{results:?}"))
        }
    };
    let good: Vec<_> = futures::future::join_all((0..32).map(|id| tokio::spawn(write(id)))).await;
    assert!(good.iter().all(|answer| matches!(answer, Ok(Ok(())))));
    let fault = crate::failpoints::Fault::inject("log::sync_error", "return", dir.path());
    let during = futures::future::join_all((100..164).map(|id| tokio::spawn(write(id))));
    let during = tokio::time::timeout(Duration::from_secs(30), during)
        .await
        .expect("nobody hangs");
    drop(fault);
    let mut unknown = Vec::new();
    for (id, answer) in (100..).zip(during) {
        match answer.expect("no panic") {
            Ok(()) => panic!("{id} was acknowledged on a disk that fails"),
            Err(error) if error.code == Code::CommitUnknown => unknown.push(id),
            Err(error) => assert_eq!(error.code, Code::NotLeader, "{error}"),
        }
    }
    assert!(!unknown.is_empty(), "somebody's entry was on its way");
    let after = write(200).await.expect_err("refused");
    assert_eq!(after.code, Code::NotLeader);
    let seen = on(&reader, &["SELECT count(*) FROM t"]).await.expect("it runs");
    assert_eq!(super::number(&seen[0]), 0, "a reader keeps its version");
    drop(reader);
    let setup = setup.restart(dir.path()).await;
    let good = setup.number("SELECT count(*) FROM t WHERE id < 100").await;
    assert_eq!(good, 32);
    let list: Vec<String> = unknown.iter().map(u32::to_string).collect();
    let sql = format!(
        "SELECT count(*) FROM t WHERE id >= 100 AND id NOT IN ({})",
        list.join(",")
    );
    assert_eq!(setup.number(&sql).await, 0, "not applied means not applied");
    setup.node.stop().await;
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_commit_may_be_applied_is_told_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    let stream = setup.stream();
    let fault = crate::failpoints::Fault::inject("log::sync_error", "return", dir.path());
    let answer = on(
        &stream,
        &["BEGIN IMMEDIATE", "INSERT INTO t (v) VALUES (1)", "COMMIT"],
    )
    .await;
    drop(fault);
    assert_eq!(answer.expect_err("not durable").code, Code::CommitUnknown);
    drop(stream);
    setup.restart(dir.path()).await.node.stop().await;
}

/// Commits one row, and panics before the second.
struct Panics {
    first: Option<&'static str>,
}

impl Work for Panics {
    fn statements(&self, visit: &mut dyn FnMut(&str)) {
        visit("panics");
    }

    fn resume(&mut self, connection: &mut Connection) -> Progress {
        let mut budget = crate::sql::Budget::lasting(Duration::from_secs(5), 1 << 20);
        let sql = self.first.expect("a statement");
        let result = connection.execute(sql, &crate::sql::Args::default(), true, &mut budget);
        if result.is_err() && connection.take_wants_turn() {
            return Progress::NeedsTurn;
        }
        panic!("on order");
    }

    fn restart(&mut self) {}
}

async fn panics(database: &Database) -> Code {
    let first = Some("INSERT INTO t (v) VALUES ('half')");
    let work = Panics { first };
    let answer = database.run(work, &RequestOptions::default()).await;
    answer.map(drop).expect_err("it panicked").code
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_on_the_writer_commits_nothing_and_the_next_request_is_served() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    for _ in 0..3 {
        assert_eq!(panics(&setup.database).await, Code::CommitUnknown);
        setup.run(&["INSERT INTO t (v) VALUES ('whole')"]).await[0]
            .as_ref()
            .expect("inserted");
    }
    let half = setup.number("SELECT count(*) FROM t WHERE v = 'half'").await;
    assert_eq!(half, 0);
    assert_eq!(setup.number("SELECT count(*) FROM t").await, 3);
    setup.node.stop().await;
}
