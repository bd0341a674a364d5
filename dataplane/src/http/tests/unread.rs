//! Replies that nobody reads: together they have room for two of the largest, here.

use super::client::{Client, PATIENCE, post, until};
use super::fixture::{Server, closed, open, plain, serve_impatiently};
use crate::http::HttpSettings;
use std::time::Duration;

/// Twenty million bytes, and a third more as base64.
const LARGE: &str = "SELECT zeroblob(20000000)";

/// Clients whose replies are made and wait to be read.
async fn unread(server: &Server, many: u64) -> Vec<Client> {
    let mut clients = Vec::new();
    for number in 1..=many {
        clients.push(Client::with(server, &post(&closed(&[LARGE]))).await);
        let replies = server.http.service.replies();
        until("the reply is there", || replies.used() > number * 26_000_000).await;
    }
    clients
}

#[tokio::test]
async fn a_large_read_waits_for_those_before_it_and_a_small_one_does_not() {
    let server = plain().await;
    let mut first = unread(&server, 2).await;
    let replies = server.http.service.replies();
    let mut third = Client::with(&server, &post(&closed(&[LARGE]))).await;
    until("it waits", || replies.line() == 1).await;
    let mut small = Client::with(&server, &post(&closed(&["SELECT 1"]))).await;
    assert_eq!(small.status().await, "http/1.1 200 ok");
    assert_eq!(replies.line(), 1);
    let (status, _, body) = first.remove(0).reply().await;
    assert_eq!(
        (status.as_str(), body.len() > 26_000_000),
        ("http/1.1 200 ok", true)
    );
    let (status, _, body) = tokio::time::timeout(PATIENCE, third.reply())
        .await
        .expect("its turn comes");
    assert_eq!(
        (status.as_str(), body.len() > 26_000_000),
        ("http/1.1 200 ok", true)
    );
    // A client that leaves gives it back too.
    drop(first);
    until("all of it comes back", || replies.used() == 0).await;
}

#[tokio::test]
async fn who_finds_no_room_in_time_hears_what_to_do() {
    let server = serve_impatiently(HttpSettings::default(), Duration::from_millis(20)).await;
    let _clients = unread(&server, 2).await;
    for (method, path, body) in [
        ("POST", "/app/v2/pipeline", closed(&[LARGE]).to_string()),
        (
            "POST",
            "/app/v3/cursor",
            serde_json::json!({"batch": {"steps": [{"stmt": {"sql": LARGE}}]}}).to_string(),
        ),
        (
            "POST",
            "/app",
            serde_json::json!({"statements": [LARGE]}).to_string(),
        ),
    ] {
        let reply = server.send(method, path, &[], body).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (503, "ORION_OVERLOADED"),
            "{path}"
        );
        assert!(reply.body.contains("limits.reply_bytes_total"), "{}", reply.body);
    }
}

#[tokio::test]
async fn what_writes_or_is_on_a_stream_is_undone_and_not_run_twice() {
    let server = serve_impatiently(HttpSettings::default(), Duration::from_millis(20)).await;
    server.pipeline(&closed(&["CREATE TABLE t(a)"])).await;
    let _clients = unread(&server, 2).await;
    let write = "INSERT INTO t VALUES (1) RETURNING zeroblob(20000000)";
    let reply = server.pipeline(&closed(&[write, "SELECT count(*) FROM t"])).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let results = reply.json()["results"].clone();
    assert_eq!(results[0]["error"]["code"], "ORION_OVERLOADED");
    let count = &results[1]["response"]["result"]["rows"][0][0]["value"];
    assert_eq!(count, "0", "the statement was undone");
    let on_stream = server.pipeline(&open(None, &["BEGIN", LARGE, "SELECT 7"])).await;
    let results = on_stream.json()["results"].clone();
    assert_eq!(results[1]["error"]["code"], "ORION_OVERLOADED");
    assert_eq!(results[2]["response"]["result"]["rows"][0][0]["value"], "7");
}

#[tokio::test]
async fn a_dump_takes_of_the_same_room() {
    let server = serve_impatiently(HttpSettings::default(), Duration::from_millis(20)).await;
    let fill = "CREATE TABLE t AS SELECT zeroblob(8000000) AS a";
    server.pipeline(&closed(&[fill])).await;
    let reply = server.send("GET", "/app/dump", &[], "").await;
    assert_eq!(reply.status, 200);
    let _clients = unread(&server, 2).await;
    let reply = server.send("GET", "/app/dump", &[], "").await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "ORION_OVERLOADED"));
}
