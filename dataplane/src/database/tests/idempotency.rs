//! Requests with a key: one execution, one answer.

use super::{Database, Error, RequestOptions, Setup, until};
use crate::database::{Finished, IdempotencyKey, Progress, Recorded, Work};
use crate::node::tests::Script;
use crate::sql::Connection;
use bytes::Bytes;
use orion_api::Code;
use std::sync::Arc;

/// A script whose reply is kept.
struct Keyed(Script);

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
        Some(format!("{:?}", ids.collect::<Vec<_>>()).into())
    }
}

async fn keyed(database: &Database, key: &str, hash: u8, sql: &str) -> Result<Finished<Keyed>, Error> {
    let options = RequestOptions {
        idempotency: Some(IdempotencyKey {
            key: key.to_owned(),
            request_hash: [hash; 32],
        }),
        ..RequestOptions::default()
    };
    database.run(Keyed(Script::new(&[sql])), &options).await
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
        setup
            .node
            .group
            .catalog
            .ask_for_materialization(setup.database.id());
        let published = || setup.database.entry.published.load();
        until("materialized", || {
            let snapshot = published();
            snapshot
                .checkpoint
                .as_ref()
                .is_some_and(|checkpoint| checkpoint.version == snapshot.version)
        })
        .await;
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
