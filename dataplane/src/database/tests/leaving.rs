//! Clients that leave, or wait too long, while their request has the writer's turn.

use super::{Setup, run};
use crate::database::{IdempotencyKey, Progress, Recorded, RequestOptions, Work};
use crate::sql::{Args, Budget, Connection, Kind};
use orion_api::Code;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

const INSERT: &str = "INSERT INTO t (v) VALUES (1)";
const ENDLESS: &str = "INSERT INTO t (v) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                       SELECT i FROM n WHERE i < 0";
const COUNT: &str = "SELECT count(*) FROM t";

/// Commits a row, and then writes statements that do not end by themselves until one is interrupted.
struct Endless(mpsc::UnboundedSender<()>);

impl Work for Endless {
    fn statements(&self, visit: &mut dyn FnMut(&str)) {
        visit(INSERT);
    }

    fn resume(&mut self, connection: &mut Connection) -> Progress {
        let mut execute = |sql| {
            let mut budget = Budget::lasting(Duration::from_secs(60), 1 << 20);
            connection.execute(sql, &Args::default(), true, &mut budget)
        };
        let failed = execute(INSERT).is_err();
        if failed && connection.take_wants_turn() {
            return Progress::NeedsTurn;
        }
        if failed && connection.take_wants_patience() {
            return Progress::NeedsPatience;
        }
        let _ = self.0.send(());
        loop {
            let mut budget = Budget::lasting(Duration::from_secs(60), 1 << 20);
            let result = connection.execute(ENDLESS, &Args::default(), true, &mut budget);
            if connection.take_wants_patience() {
                return Progress::NeedsPatience;
            }
            let kind = result.expect_err("it does not end").kind();
            if kind == Kind::Interrupted {
                let after = connection.execute(INSERT, &Args::default(), true, &mut budget);
                assert_eq!(after.expect_err("not begun").kind(), Kind::Interrupted);
                return Progress::Done;
            }
            assert_eq!(kind, Kind::Deadline);
        }
    }

    fn restart(&mut self) {}
}

fn keyed() -> RequestOptions {
    RequestOptions {
        idempotency: Some(IdempotencyKey {
            key: "k".to_owned(),
            request_hash: [1; 32],
        }),
        ..RequestOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_for_a_client_that_left_is_ended_and_undone() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    for options in [RequestOptions::default(), keyed()] {
        let before = setup.number(COUNT).await;
        let (sender, mut begun) = mpsc::unbounded_channel();
        let database = Arc::clone(&setup.database);
        let with = options.clone();
        let client = tokio::spawn(async move { database.run(Endless(sender), &with).await.map(drop) });
        begun.recv().await.expect("it runs");
        let next = {
            let database = Arc::clone(&setup.database);
            tokio::spawn(async move { run(&database, &[INSERT]).await })
        };
        setup.until_waiting(1).await;
        client.abort();
        next.await.expect("no panic").expect("it has the turn")[0]
            .as_ref()
            .expect("inserted");
        assert_eq!(setup.number(COUNT).await, before + 1, "{:?}", options.idempotency);
    }
    let script = crate::node::tests::Script::new(&[INSERT]);
    let again = setup.database.run(script, &keyed()).await.expect("it runs");
    assert_eq!(
        again.idempotency,
        Some(Recorded::StoredWithoutReply),
        "the key is free"
    );
    assert_eq!(setup.number(COUNT).await, 3);
    setup.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_for_too_long_is_ended_and_says_that_nothing_was_done() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |options| {
        options.database.commit_deadline = Duration::from_millis(100);
        options.database.sql.statement_time = Duration::from_millis(100);
    })
    .await;
    let (sender, mut begun) = mpsc::unbounded_channel();
    let options = RequestOptions::default();
    let run = setup.database.run(Endless(sender), &options);
    let error = run.await.map(drop).expect_err("too long");
    assert_eq!(error.code, Code::TransactionTimeout, "{error}");
    begun.recv().await.expect("it ran");
    super::until("the turn is free", || setup.database.queue.is_idle()).await;
    assert_eq!(setup.number(COUNT).await, 0);
    setup.run(&[INSERT]).await[0].as_ref().expect("inserted");
    assert_eq!(setup.number(COUNT).await, 1);
    setup.node.stop().await;
}

/// Each unit commits twice. Whenever its client leaves, both are there or none is.
#[tokio::test(flavor = "multi_thread")]
async fn a_unit_whose_client_leaves_at_any_moment_is_there_whole_or_not_at_all() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let clients = (0..300_u64).map(|id| {
        let database = Arc::clone(&setup.database);
        let client = tokio::spawn(async move {
            let sql = format!("INSERT INTO t (v) VALUES ({id})");
            run(&database, &[&sql, &sql]).await.is_ok()
        });
        async move {
            for _ in 0..(seed ^ (id * 0x9E37_79B9)) % 200 {
                tokio::task::yield_now().await;
            }
            if id % 3 > 0 {
                client.abort();
            }
            (id, matches!(client.await, Ok(true)))
        }
    });
    let answered = futures::future::join_all(clients).await;
    super::until("all is over", || setup.database.queue.is_idle()).await;
    let sql = "SELECT count(*) FROM (SELECT v FROM t GROUP BY v HAVING count(*) <> 2)";
    assert_eq!(setup.number(sql).await, 0, "nothing is there by half");
    for id in answered
        .into_iter()
        .filter_map(|(id, is_answered)| is_answered.then_some(id))
    {
        let sql = format!("SELECT count(*) FROM t WHERE v = {id}");
        assert_eq!(setup.number(&sql).await, 2, "{id} was acknowledged");
    }
    let check = setup.run(&["PRAGMA quick_check"]).await;
    let check = &check[0].as_ref().expect("it runs").rows;
    assert_eq!(*check, [[orion_api::Value::Text("ok".into())]]);
    let setup = setup.restart(dir.path()).await;
    assert_eq!(setup.number(sql).await, 0, "nor after a restart");
    setup.node.stop().await;
}
