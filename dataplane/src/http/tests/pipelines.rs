//! What pipelines, streams and keys do.

use super::fixture::{baton, closed, execute, open, plain, value};
use crate::database;
use orion_api::Code;
use serde_json::json;

#[tokio::test]
async fn a_closed_pipeline_has_no_stream() {
    let server = plain().await;
    let statements = ["CREATE TABLE t(a)", "INSERT INTO t VALUES (7)", "SELECT a FROM t"];
    let reply = server.pipeline(&closed(&statements)).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["baton"], json!(null));
    assert_eq!(value(&reply, 2), json!({"type": "integer", "value": "7"}));
    assert_eq!(reply.json()["results"][3]["response"]["type"], "close");
    assert_eq!(server.http.service.stream_count(), 0);
    assert_eq!(server.http.databases.app().counts().1, 0);
}

#[tokio::test]
async fn reads_on_an_open_stream_take_no_connection() {
    let server = plain().await;
    let first = server.pipeline(&open(None, &["SELECT 1"])).await;
    let second = server.pipeline(&open(Some(&baton(&first)), &["SELECT 2"])).await;
    assert_eq!(value(&second, 0)["value"], "2");
    assert_ne!(baton(&first), baton(&second));
    assert_eq!(server.http.service.stream_count(), 1);
    assert_eq!(server.http.service.connected_count(), 0);
    assert_eq!(server.http.databases.app().counts().1, 0);
}

#[tokio::test]
async fn a_transaction_lives_over_requests() {
    let server = plain().await;
    server.pipeline(&closed(&["CREATE TABLE t(a)"])).await;
    let begun = server
        .pipeline(&open(None, &["SELECT 1", "BEGIN", "INSERT INTO t VALUES (1)"]))
        .await;
    assert_eq!(server.http.service.connected_count(), 1);
    let outside = server.pipeline(&closed(&["SELECT count(*) FROM t"])).await;
    assert_eq!(value(&outside, 0)["value"], "0");
    let asked = json!({"baton": baton(&begun), "requests": [{"type": "get_autocommit"}]});
    let inside = server.pipeline(&asked).await;
    assert_eq!(inside.json()["results"][0]["response"]["is_autocommit"], false);
    let commit = json!({"baton": baton(&inside), "requests": [execute("COMMIT"), {"type": "close"}]});
    let ended = server.pipeline(&commit).await;
    assert_eq!(ended.json()["baton"], json!(null));
    assert_eq!(server.http.service.connected_count(), 0);
    let after = server.pipeline(&closed(&["SELECT count(*) FROM t"])).await;
    assert_eq!(value(&after, 0)["value"], "1");
}

#[tokio::test]
async fn what_a_stream_left_behind_is_there_for_its_next_request() {
    let server = plain().await;
    server
        .pipeline(&closed(&["CREATE TABLE t(a INTEGER PRIMARY KEY)"]))
        .await;
    let first = server
        .pipeline(&open(None, &["INSERT INTO t VALUES (41), (42)"]))
        .await;
    let asked = open(
        Some(&baton(&first)),
        &["SELECT last_insert_rowid()", "SELECT changes()"],
    );
    let second = server.pipeline(&asked).await;
    assert_eq!(value(&second, 0)["value"], "42");
    assert_eq!(value(&second, 1)["value"], "2");
}

#[tokio::test]
async fn closing_a_stream_rolls_back() {
    let server = plain().await;
    server.pipeline(&closed(&["CREATE TABLE t(a)"])).await;
    let begun = server
        .pipeline(&open(None, &["BEGIN", "INSERT INTO t VALUES (1)"]))
        .await;
    let close = json!({"baton": baton(&begun), "requests": [{"type": "close"}]});
    assert_eq!(server.pipeline(&close).await.status, 200);
    let after = server.pipeline(&closed(&["SELECT count(*) FROM t"])).await;
    assert_eq!(value(&after, 0)["value"], "0");
    let gone = server.pipeline(&close).await;
    assert_eq!((gone.status, gone.code().as_str()), (400, "STREAM_EXPIRED"));
}

#[tokio::test]
async fn replayed_and_forged_batons_do_not_disturb_the_stream() {
    let server = plain().await;
    let first = baton(&server.pipeline(&open(None, &["BEGIN"])).await);
    let second = baton(&server.pipeline(&open(Some(&first), &["SELECT 1"])).await);
    for bad in [first.as_str(), "x", &second[1..], &second.to_uppercase()] {
        let reply = server.pipeline(&open(Some(bad), &["COMMIT"])).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "HRANA_PROTO_ERROR"));
    }
    let elsewhere = open(Some(&second), &["COMMIT"]).to_string();
    let reply = server.send("POST", "/other/v2/pipeline", &[], elsewhere).await;
    assert_eq!((reply.status, reply.code().as_str()), (400, "HRANA_PROTO_ERROR"));
    let third = server.pipeline(&open(Some(&second), &["COMMIT"])).await;
    assert_eq!(third.json()["results"][0]["type"], "ok");
}

#[tokio::test]
async fn an_empty_baton_is_none() {
    let server = plain().await;
    let reply = server.pipeline(&open(Some(""), &["SELECT 1"])).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn stored_texts_stay_with_the_stream() {
    let server = plain().await;
    let store = json!({"requests": [{"type": "store_sql", "sql_id": 5, "sql": "SELECT 5"}]});
    let first = baton(&server.pipeline(&store).await);
    let run = json!({"type": "execute", "stmt": {"sql_id": 5}});
    let reply = server.pipeline(&json!({"baton": first, "requests": [run]})).await;
    assert_eq!(value(&reply, 0)["value"], "5");
    let reply = server.pipeline(&json!({"requests": [run]})).await;
    assert_eq!(reply.json()["results"][0]["error"]["code"], "HRANA_PROTO_ERROR");
}

#[tokio::test]
async fn a_key_makes_a_write_happen_once() {
    let server = plain().await;
    server.pipeline(&closed(&["CREATE TABLE t(a)"])).await;
    let key = [("x-orion-idempotency-key", "k1")];
    let insert = closed(&["INSERT INTO t VALUES (1) RETURNING a"]).to_string();
    let first = server.send("POST", "/app/v2/pipeline", &key, &insert).await;
    let second = server.send("POST", "/app/v3/pipeline", &key, &insert).await;
    assert_eq!(first.json()["results"], second.json()["results"]);
    assert_eq!(first.json()["orion"]["idempotency"]["reused"], false);
    assert_eq!(second.json()["orion"]["idempotency"]["reused"], true);
    assert_eq!(second.json()["orion"]["idempotency"]["status"], "stored");
    let after = server.pipeline(&closed(&["SELECT count(*) FROM t"])).await;
    assert_eq!(value(&after, 0)["value"], "1");
    let other = closed(&["INSERT INTO t VALUES (2)"]).to_string();
    let conflict = server.send("POST", "/app/v2/pipeline", &key, other).await;
    assert_eq!(
        (conflict.status, conflict.code().as_str()),
        (409, "ORION_IDEMPOTENCY_CONFLICT")
    );
}

#[tokio::test]
async fn a_key_is_refused_on_a_stream_and_a_cursor() {
    let server = plain().await;
    let key = [("x-orion-idempotency-key", "k")];
    let baton = baton(&server.pipeline(&open(None, &["BEGIN"])).await);
    let on_stream = open(Some(&baton), &["SELECT 1"]).to_string();
    let reply = server.send("POST", "/app/v2/pipeline", &key, on_stream).await;
    assert_eq!((reply.status, reply.code().as_str()), (400, "INVALID_REQUEST"));
    let cursor = json!({"batch": {"steps": []}}).to_string();
    let reply = server.send("POST", "/app/v3/cursor", &key, cursor).await;
    assert_eq!((reply.status, reply.code().as_str()), (400, "INVALID_REQUEST"));
}

#[tokio::test]
async fn errors_of_the_database_become_replies() {
    let server = plain().await;
    for (code, status) in [
        (Code::CommitUnknown, 500),
        (Code::NotLeader, 503),
        (Code::Overloaded, 503),
        (Code::Quota, 429),
    ] {
        let error = database::Error::new(code, "as asked");
        server.http.databases.app().fail_next(error);
        let reply = server.pipeline(&closed(&["SELECT 1"])).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code.as_str()));
        assert_eq!(reply.json()["message"], "as asked");
        assert_eq!(reply.json()["error"], "as asked");
    }
}

#[tokio::test]
async fn session_tokens_come_back_with_replies() {
    let server = plain().await;
    let reply = server.pipeline(&closed(&["SELECT 1"])).await;
    let orion = &reply.json()["orion"];
    assert_eq!(orion["read_policy"], "strong");
    assert_eq!(orion["freshness"]["staleness_ms"], 0);
    let token = orion["session_token"].as_str().expect("a token");
    let headers = [("x-orion-session-token", token)];
    let body = closed(&["SELECT 1"]).to_string();
    let again = server.send("POST", "/app/v2/pipeline", &headers, &body).await;
    assert_eq!(again.json()["orion"]["read_policy"], "session");
    let elsewhere = server.send("POST", "/other/v2/pipeline", &headers, &body).await;
    assert_eq!(
        (elsewhere.status, elsewhere.code().as_str()),
        (400, "INVALID_REQUEST")
    );
}

#[tokio::test]
async fn clients_that_never_close_lock_nobody_out() {
    let server = plain().await;
    server.pipeline(&closed(&["CREATE TABLE t(a)"])).await;
    for _ in 0..10 {
        let reply = server.pipeline(&open(None, &["INSERT INTO t VALUES (1)"])).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
    assert_eq!(server.http.service.connected_count(), 4);
    let after = server.pipeline(&closed(&["SELECT count(*) FROM t"])).await;
    assert_eq!(value(&after, 0)["value"], "10");
}

#[tokio::test]
async fn open_transactions_keep_their_connections() {
    let server = plain().await;
    let mut batons = Vec::new();
    for _ in 0..4 {
        batons.push(baton(&server.pipeline(&open(None, &["BEGIN"])).await));
    }
    let fifth = server.pipeline(&open(None, &["BEGIN"])).await;
    assert_eq!((fifth.status, fifth.code().as_str()), (429, "ORION_QUOTA"));
    let reply = server.pipeline(&open(Some(&batons[0]), &["COMMIT"])).await;
    assert_eq!(reply.json()["results"][0]["type"], "ok");
    let fifth = server.pipeline(&open(None, &["BEGIN"])).await;
    assert_eq!(fifth.status, 200);
}
