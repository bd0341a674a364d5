//! Requests with a key: one execution, one answer.

use super::{Database, Error, RequestOptions, Setup, until};
use crate::database::{Finished, IdempotencyKey, Progress, Recorded, Work};
use crate::node::tests::Script;
use crate::sql::Connection;
use bytes::Bytes;
use orion_api::Code;
use std::sync::Arc;
use std::time::Duration;

/// A script whose reply is kept, with so many bytes after it.
struct Keyed(Script, usize);

impl Work for Keyed {
    fn statements(&self, visit: &mut dyn FnMut(&str)) {
        self.0.statements(visit);
    }

    fn resume(&mut self, connection: &mut Connection) -> Progress {
        self.0.resume(connection)
    }

    fn restart(&mut self) {
        self.0.restart();
    }

    fn record(&self) -> Option<Bytes> {
        let ids = self.0.results.iter().map(|result| {
            let result = result.as_ref().ok()?;
            result.last_insert_rowid
        });
        let mut reply = format!("{:?}", ids.collect::<Vec<_>>());
        reply.extend(std::iter::repeat_n(' ', self.1));
        Some(reply.into())
    }
}

async fn keyed(database: &Database, key: &str, hash: u8, sql: &str) -> Result<Finished<Keyed>, Error> {
    keyed_work(database, key, hash, Keyed(Script::new(&[sql]), 0)).await
}

async fn keyed_work(database: &Database, key: &str, hash: u8, work: Keyed) -> Result<Finished<Keyed>, Error> {
    let options = RequestOptions {
        idempotency: Some(IdempotencyKey {
            key: key.to_owned(),
            request_hash: [hash; 32],
        }),
        ..RequestOptions::default()
    };
    database.run(work, &options).await
}

const INSERT: &str = "INSERT INTO t (v) VALUES (1)";

#[tokio::test(flavor = "multi_thread")]
async fn equal_keys_at_once_execute_once_and_all_get_the_reply() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    // All of them are queued before the first one runs.
    let stream = setup.stream();
    super::on(&stream, &["BEGIN IMMEDIATE"]).await.expect("it runs");
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let database = Arc::clone(&setup.database);
            tokio::spawn(async move { keyed(&database, "k", 1, INSERT).await })
        })
        .collect();
    setup.until_waiting(16).await;
    stream.close();
    let mut stored = 0;
    for client in clients {
        let finished = client.await.expect("no panic").expect("it runs");
        match finished.idempotency {
            Some(Recorded::Stored) => stored += 1,
            Some(Recorded::Replayed(reply)) => assert_eq!(reply, "[Some(1)]"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(stored, 1);
    assert_eq!(setup.number("SELECT count(*) FROM t").await, 1);
    setup.node.stop().await;
}

/// One entry would be 6 MiB: replies count for its size as pages do.
#[tokio::test(flavor = "multi_thread")]
async fn replies_that_are_kept_count_for_the_size_of_an_entry() {
    let dir = tempfile::tempdir().expect("a folder");
    // Nothing but its size ends an entry.
    let setup = Setup::start(dir.path(), |options| {
        options.database.merge_time = Duration::from_secs(60)
    })
    .await;
    let stream = setup.stream();
    super::on(&stream, &["BEGIN IMMEDIATE"]).await.expect("it runs");
    let clients: Vec<_> = (0..32)
        .map(|number| {
            let database = Arc::clone(&setup.database);
            let work = Keyed(Script::new(&[INSERT]), 200_000);
            tokio::spawn(async move { keyed_work(&database, &format!("k{number}"), 1, work).await })
        })
        .collect();
    setup.until_waiting(32).await;
    let before = setup.database.queue.database.published.load().version;
    stream.close();
    for client in clients {
        let finished = client.await.expect("no panic").expect("it runs");
        assert_eq!(finished.idempotency, Some(Recorded::Stored));
    }
    let entries = setup.database.queue.database.published.load().version.0 - before.0;
    assert!(entries >= 5, "{entries} entries");
    assert_eq!(setup.number("SELECT count(*) FROM t").await, 32);
    setup.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_remembered_over_a_restart_and_a_materialization() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut setup = Setup::start(dir.path(), |_| {}).await;
    keyed(&setup.database, "k", 1, INSERT).await.expect("it runs");
    for round in 0..2 {
        setup = setup.restart(dir.path()).await;
        let again = keyed(&setup.database, "k", 1, INSERT).await.expect("it runs");
        assert_eq!(
            again.idempotency,
            Some(Recorded::Replayed("[Some(1)]".into())),
            "round {round}"
        );
        let other = keyed(&setup.database, "k", 2, INSERT).await;
        let error = other.map(drop).expect_err("another request");
        assert_eq!(error.code, Code::IdempotencyConflict);
        setup.materialize().await;
    }
    assert_eq!(setup.number("SELECT count(*) FROM t").await, 1);
    setup.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_changed_nothing_is_not_remembered() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    let failed = keyed(&setup.database, "k", 1, "INSERT INTO nowhere VALUES (1)")
        .await
        .expect("it runs");
    assert_eq!(failed.idempotency, Some(Recorded::Nothing));
    let second = keyed(&setup.database, "k", 2, INSERT).await.expect("it runs");
    assert_eq!(second.idempotency, Some(Recorded::Stored));
    setup.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_beyond_the_limit_are_refused_until_the_time_of_others_is_over() {
    let dir = tempfile::tempdir().expect("a folder");
    let few = |options: &mut crate::node::Options| options.database.keys_max = 5;
    let setup = Setup::start(dir.path(), few).await;
    for key in 0..5 {
        let finished = keyed(&setup.database, &format!("k{key}"), 1, INSERT).await;
        assert_eq!(finished.expect("it runs").idempotency, Some(Recorded::Stored));
    }
    let refused = async |setup: &Setup| {
        let new = keyed(&setup.database, "new", 1, INSERT).await;
        let error = new.map(drop).expect_err("too many");
        assert_eq!(error.code, Code::Quota, "{error}");
        let known = keyed(&setup.database, "k3", 1, INSERT).await.expect("it runs");
        assert_eq!(known.idempotency, Some(Recorded::Replayed("[Some(4)]".into())));
        assert_eq!(setup.number("SELECT count(*) FROM t").await, 5);
    };
    refused(&setup).await;
    setup.materialize().await;
    refused(&setup).await;
    setup.node.stop().await;
    drop(setup);
    let mut options = crate::node::tests::options(dir.path());
    few(&mut options);
    let setup = Setup::of(crate::node::Node::start(options).await.expect("starts again"));
    refused(&setup).await;
    setup.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_time_is_over_is_free_and_its_record_goes_from_the_base() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |options| {
        options.database.keys_max = 2;
        options.database.keys_kept_for = std::time::Duration::from_secs(2);
    })
    .await;
    for key in ["a", "b"] {
        keyed(&setup.database, key, 1, INSERT).await.expect("it runs");
    }
    setup.materialize().await;
    let in_the_base = async |setup: &Setup| {
        let at = setup.database.entry.published.load().checkpoint.clone();
        let at = at.expect("materialized");
        let bases = &setup.node.home.group.pages.bases;
        bases.record(&at, b"i/b").await.expect("it reads").is_some()
    };
    assert!(in_the_base(&setup).await);
    let over = |setup: &Setup| {
        let now_ms = crate::clock::now_ms();
        setup.database.entry.published.load().expiries.live(now_ms) == 0
    };
    until("their time is over", || over(&setup)).await;
    // Another request under a key that was used, and one under a new key: the limit is two.
    for key in ["a", "c"] {
        let finished = keyed(&setup.database, key, 2, INSERT).await.expect("it runs");
        assert_eq!(finished.idempotency, Some(Recorded::Stored));
    }
    setup.materialize().await;
    assert!(!in_the_base(&setup).await, "what is over is gone from the base");
    assert_eq!(setup.number("SELECT count(*) FROM t").await, 4);
    setup.node.stop().await;
}
