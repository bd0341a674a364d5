//! Bodies and headers that are wrong: always a typed error, never a closed connection.

use super::fixture::{closed, execute, plain, serve, value};
use crate::auth::Auth;
use crate::http::{HttpSettings, Pace};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn malformed_bodies_say_where() {
    let server = plain().await;
    for body in [
        "",
        "{",
        "[]",
        "null",
        r#"{"requests":{}}"#,
        r#"{"requests":[{}]}"#,
        r#"{"requests":[{"type":"fly"}]}"#,
        r#"{"requests":[{"type":"execute"}]}"#,
        r#"{"requests":[{"type":"execute","stmt":{"sql":1}}]}"#,
        r#"{"requests":[{"type":"store_sql","sql_id":3000000000,"sql":""}]}"#,
        r#"{"requests":[{"type":"execute","stmt":{"sql":"","args":[{"type":"integer","value":"1.5"}]}}]}"#,
        r#"{"requests":[{"type":"execute","stmt":{"sql":"","args":[{"type":"blob","base64":"*"}]}}]}"#,
        "{\"requests\":[\u{1}]}",
    ] {
        let reply = server.send("POST", "/v2/pipeline", &[], body).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "HRANA_PROTO_ERROR"),
            "{body}"
        );
        let message = reply.json()["error"].as_str().expect("text").to_owned();
        assert!(message.contains("line 1 column"), "{message}");
        assert!(
            !message.contains("struct ") && !message.contains("i32"),
            "{message}"
        );
    }
    let legacy = server.send("POST", "/app", &[], r#"{"statements":[1]}"#).await;
    assert_eq!(
        (legacy.status, legacy.code().as_str()),
        (400, "HRANA_PROTO_ERROR")
    );
    assert!(
        legacy.body.contains("a text, or an object with q"),
        "{}",
        legacy.body
    );
    let reply = server.send("POST", "/v2/pipeline", &[], [0xff, 0xfe]).await;
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn deep_conditions_are_refused() {
    let server = plain().await;
    let depth = 100_000;
    let condition = format!(
        "{}{{\"type\":\"is_autocommit\"}}{}",
        r#"{"type":"not","cond":"#.repeat(depth),
        "}".repeat(depth)
    );
    let body = format!(
        r#"{{"requests":[{{"type":"batch","batch":{{"steps":[{{"condition":{condition},"stmt":{{"sql":"SELECT 1"}}}}]}}}}]}}"#
    );
    let reply = server.send("POST", "/v2/pipeline", &[], body).await;
    assert_eq!((reply.status, reply.code().as_str()), (400, "HRANA_PROTO_ERROR"));
}

#[tokio::test]
async fn bodies_are_limited() {
    let settings = HttpSettings {
        default_database: Some("main".into()),
        body_bytes_max: 100,
        body_pace: Pace {
            stall: Duration::from_millis(50),
            ..Pace::default()
        },
        ..HttpSettings::default()
    };
    let server = serve(settings, Auth::Disabled).await;
    let announced = [("content-length", "101")];
    let reply = server.send("POST", "/v2/pipeline", &announced, "").await;
    assert_eq!((reply.status, reply.code().as_str()), (413, "REQUEST_TOO_LARGE"));
    let chunked = [("transfer-encoding", "chunked")];
    let body = format!("c8\r\n{}\r\n0\r\n\r\n", "x".repeat(200));
    let reply = server.send("POST", "/v2/pipeline", &chunked, body).await;
    assert_eq!((reply.status, reply.code().as_str()), (413, "REQUEST_TOO_LARGE"));
    let short = [("content-length", "90")];
    let reply = server.send("POST", "/v2/pipeline", &short, "{").await;
    assert_eq!((reply.status, reply.code().as_str()), (408, "REQUEST_TIMEOUT"));
}

#[tokio::test]
async fn wrong_headers_are_named() {
    let server = plain().await;
    for header in [
        ("x-orion-read-policy", "weak"),
        ("x-orion-max-staleness-ms", "soon"),
        ("x-orion-session-token", "abc"),
        ("x-namespace-bin", "%%%"),
    ] {
        let reply = server.send("POST", "/v2/pipeline", &[header], "{}").await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "INVALID_REQUEST"));
        let message = reply.json()["error"].as_str().expect("text").to_owned();
        assert!(message.contains(header.0), "{message}");
    }
}

#[tokio::test]
async fn a_name_that_is_no_text_is_refused_with_a_code() {
    let server = plain().await;
    for (method, path) in [
        ("POST", "/%ff/v2/pipeline"),
        ("POST", "/%ff/v3/cursor"),
        ("POST", "/%ff"),
        ("GET", "/%ff/dump"),
    ] {
        let reply = server.send(method, path, &[], "{}").await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "INVALID_REQUEST"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_text_with_a_nul_is_refused_and_none_of_it_runs() {
    let server = plain().await;
    server.pipeline(&closed(&["CREATE TABLE t(a)"])).await;
    let hidden = "INSERT INTO t VALUES (1)\0; DROP TABLE t";
    let requests = [
        execute(hidden),
        execute("SELECT 'a\0b'"),
        json!({"type": "sequence", "sql": hidden}),
        json!({"type": "describe", "sql": hidden}),
        json!({"type": "store_sql", "sql_id": 1, "sql": hidden}),
        json!({"type": "execute", "stmt": {"sql": "SELECT length(?)", "args": [{"type": "text", "value": "a\0b"}]}}),
    ];
    let reply = server.pipeline(&json!({"requests": requests})).await;
    let results = reply.json()["results"].clone();
    for index in 0..5 {
        assert_eq!(results[index]["error"]["code"], "SQL_PARSE_ERROR", "{index}");
        let message = results[index]["error"]["message"].as_str().expect("text");
        assert!(message.contains("NUL"), "{message}");
    }
    assert_eq!(results[5]["type"], "ok", "values may hold it");
    let after = server.pipeline(&closed(&["SELECT count(*) FROM t"])).await;
    assert_eq!(value(&after, 0)["value"], "0");
}

#[tokio::test]
async fn the_content_type_does_not_matter() {
    let server = plain().await;
    let body = r#"{"requests":[{"type":"close"}]}"#;
    for content_type in [
        "application/json",
        "text/plain",
        "application/x-www-form-urlencoded",
    ] {
        let headers = [("content-type", content_type)];
        let reply = server.send("POST", "/v2/pipeline", &headers, body).await;
        assert_eq!(reply.status, 200);
        assert!(reply.head.contains("content-type: application/json"));
        assert!(reply.head.contains("content-length: "));
    }
}
