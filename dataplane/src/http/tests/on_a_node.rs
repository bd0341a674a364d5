//! The same routes over a whole node: commit queue, Raft, streams.

use super::fixture::{Server, baton, closed, execute, open, serve_these, value};
use crate::auth::Auth;
use crate::database::Databases;
use crate::entry::Limits;
use crate::http::HttpSettings;
use crate::node::Node;
use crate::node::tests::options;
use futures::future::join_all;
use serde_json::json;
use std::sync::Arc;
use tempfile::TempDir;

struct Running {
    server: Server<Arc<Databases>>,
    node: Arc<Node>,
    _dir: TempDir,
}

/// A node with the database "app" and in it an empty table t(a).
async fn start() -> Running {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::start(options(dir.path())).await.expect("starts");
    node.create(None, "app", Limits::default(), None)
        .await
        .expect("created");
    let databases = Arc::clone(&node.databases);
    let server = serve_these(databases, HttpSettings::default(), Auth::Disabled).await;
    let reply = server.pipeline(&closed(&["CREATE TABLE t(a)"])).await;
    assert_eq!(reply.json()["results"][0]["type"], "ok", "{}", reply.body);
    Running {
        server,
        node,
        _dir: dir,
    }
}

async fn count(server: &Server<Arc<Databases>>) -> serde_json::Value {
    let reply = server.pipeline(&closed(&["SELECT count(*) FROM t"])).await;
    value(&reply, 0)["value"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_holds_its_transaction() {
    let running = start().await;
    let server = &running.server;
    let begun = server
        .pipeline(&open(None, &["SELECT 1", "BEGIN", "INSERT INTO t VALUES (1)"]))
        .await;
    assert_eq!(begun.status, 200, "{}", begun.body);
    assert_eq!(count(server).await, "0");
    let commit = json!({"baton": baton(&begun), "requests": [execute("COMMIT"), {"type": "get_autocommit"}]});
    let ended = server.pipeline(&commit).await;
    assert_eq!(ended.json()["results"][0]["type"], "ok", "{}", ended.body);
    assert_eq!(ended.json()["results"][1]["response"]["is_autocommit"], true);
    assert_eq!(count(server).await, "1");
    running.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_state_stays_with_the_stream() {
    let running = start().await;
    let server = &running.server;
    let statements = [
        "CREATE TEMP TABLE mine AS SELECT 7 AS a",
        "INSERT INTO t VALUES (1), (2)",
    ];
    let first = server.pipeline(&open(None, &statements)).await;
    let asked = [
        "SELECT a FROM mine",
        "SELECT changes()",
        "SELECT last_insert_rowid()",
    ];
    let second = server.pipeline(&open(Some(&baton(&first)), &asked)).await;
    assert_eq!(value(&second, 0)["value"], "7", "{}", second.body);
    assert_eq!(value(&second, 1)["value"], "2");
    assert_eq!(value(&second, 2)["value"], "2");
    let other = server.pipeline(&closed(&["SELECT a FROM mine"])).await;
    assert_eq!(other.json()["results"][0]["type"], "error");
    running.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_takes_the_time_that_it_needs() {
    let running = start().await;
    let server = &running.server;
    // More than is brief.
    let fill = "INSERT INTO t WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n LIMIT 20000) SELECT a FROM n";
    let filled = server.pipeline(&closed(&[fill])).await;
    assert_eq!(filled.json()["results"][0]["type"], "ok", "{}", filled.body);
    let dump = server.send("GET", "/app/dump", &[], "").await;
    assert_eq!(dump.status, 200, "{}", dump.body);
    assert_eq!(dump.body.matches("INSERT INTO").count(), 20_000);
    assert!(dump.body.ends_with("COMMIT;\n"));
    running.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_keys_at_once_write_once() {
    let running = start().await;
    let server = &running.server;
    let key = [("x-orion-idempotency-key", "once")];
    let insert = closed(&["INSERT INTO t VALUES (1) RETURNING a"]).to_string();
    let sent = (0..16).map(|_| server.send("POST", "/app/v3/pipeline", &key, &insert));
    let replies = join_all(sent).await;
    assert_eq!(count(server).await, "1");
    let reused = replies
        .iter()
        .filter(|reply| reply.json()["orion"]["idempotency"]["reused"] == true)
        .count();
    assert_eq!(reused, 15);
    for reply in &replies {
        assert_eq!(reply.json()["results"], replies[0].json()["results"]);
    }
    running.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_commits_or_rolls_back_as_a_whole() {
    let running = start().await;
    let server = &running.server;
    let batch = |third: &str| {
        let ok = |step: u32| json!({"type": "ok", "step": step});
        json!({"requests": [{"type": "batch", "batch": {"steps": [
            {"stmt": {"sql": "BEGIN IMMEDIATE"}},
            {"condition": ok(0), "stmt": {"sql": "INSERT INTO t VALUES (1)"}},
            {"condition": ok(1), "stmt": {"sql": third}},
            {"condition": ok(2), "stmt": {"sql": "COMMIT"}},
            {"condition": {"type": "error", "step": 3}, "stmt": {"sql": "ROLLBACK"}},
        ]}}, {"type": "close"}]})
    };
    server.pipeline(&batch("INSERT INTO nowhere VALUES (1)")).await;
    assert_eq!(count(server).await, "0");
    server.pipeline(&batch("INSERT INTO t VALUES (2)")).await;
    assert_eq!(count(server).await, "2");
    running.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_at_rest_make_room_where_the_database_has_a_limit_of_its_own() {
    let running = start().await;
    let three = |_: &Limits| Limits {
        streams: 3,
        ..Limits::default()
    };
    running.node.change_limits("app", three).await.expect("changed");
    let server = &running.server;
    for number in 1..=8 {
        let left = server.pipeline(&open(None, &["INSERT INTO t VALUES (1)"])).await;
        assert_eq!(left.status, 200, "{number}: {}", left.body);
    }
    assert_eq!(count(server).await, "8");
    let mut begun = Vec::new();
    for _ in 0..3 {
        let reply = server.pipeline(&open(None, &["BEGIN"])).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        begun.push(reply);
    }
    let refused = server.pipeline(&open(None, &["BEGIN"])).await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "ORION_QUOTA"));
    running.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn as_many_clients_at_once_as_there_may_be_streams_are_never_refused() {
    let running = start().await;
    let four = |_: &Limits| Limits {
        streams: 4,
        ..Limits::default()
    };
    running.node.change_limits("app", four).await.expect("changed");
    let server = Arc::new(running.server);
    let clients = (0..4).map(|_| {
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            for _ in 0..100 {
                // None of them closes its stream.
                let reply = server
                    .pipeline(&open(None, &["CREATE TEMP TABLE mine AS SELECT 1"]))
                    .await;
                assert_eq!(reply.status, 200, "{}", reply.body);
            }
        })
    });
    for client in join_all(clients).await {
        client.expect("no client is refused");
    }
    running.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_replies_are_taken_for_later_reads() {
    let running = start().await;
    let server = &running.server;
    let written = server.pipeline(&closed(&["INSERT INTO t VALUES (1)"])).await;
    let token = written.json()["orion"]["session_token"].clone();
    let headers = [("x-orion-session-token", token.as_str().expect("a token"))];
    let ask = closed(&["SELECT count(*) FROM t"]).to_string();
    let reply = server.send("POST", "/app/v2/pipeline", &headers, ask).await;
    assert_eq!(value(&reply, 0)["value"], "1");
    assert_eq!(reply.json()["orion"]["read_policy"], "session");
    running.node.stop().await;
}
