//! The other routes, which database a request means, and who may ask.

use super::fixture::{closed, plain, serve, value};
use crate::auth::{Auth, Claims, Grant, SigningKey, StaticToken, Verifier};
use crate::database::Access;
use crate::http::HttpSettings;
use serde_json::json;

#[tokio::test]
async fn probes_answer() {
    let server = plain().await;
    for path in [
        "/v1", "/v2", "/v3", "/app/v2", "/app/v3", "/health", "/livez", "/version",
    ] {
        let reply = server.send("GET", path, &[], "").await;
        assert_eq!(reply.status, 200, "{path}");
    }
    for path in ["/v3-protobuf", "/app/v3-protobuf", "/nothing/like/this"] {
        let reply = server.send("GET", path, &[], "").await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (404, "NOT_FOUND"),
            "{path}"
        );
    }
    let reply = server.send("GET", "/readyz", &[], "").await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "ORION_UNAVAILABLE"));
    let reply = server.send("GET", "/v2/pipeline", &[], "").await;
    assert_eq!((reply.status, reply.code().as_str()), (405, "METHOD_NOT_ALLOWED"));
}

#[tokio::test]
async fn the_request_names_its_database() {
    let server = plain().await;
    let create = closed(&["CREATE TABLE here AS SELECT 1"]).to_string();
    server.send("POST", "/app/v2/pipeline", &[], create).await;
    let ask = closed(&["SELECT count(*) FROM sqlite_schema"]).to_string();
    for (path, headers, expected) in [
        ("/v2/pipeline", &[][..], "0"),
        ("/v2/pipeline", &[("host", "app.db.example:8091")], "1"),
        ("/v2/pipeline", &[("host", "nobody.db.example")], "0"),
        (
            "/v2/pipeline",
            &[("x-namespace", "app"), ("host", "other.example")],
            "1",
        ),
        (
            "/v2/pipeline",
            &[("x-namespace-bin", "YXBw"), ("x-namespace", "other")],
            "1",
        ),
        ("/other/v2/pipeline", &[("host", "app.example")], "0"),
        ("/app//v3/pipeline", &[], "1"),
    ] {
        let reply = server.send("POST", path, headers, &ask).await;
        assert_eq!(value(&reply, 0)["value"], expected, "{path} {headers:?}");
    }
    let reply = server.send("POST", "/missing/v2/pipeline", &[], &ask).await;
    assert_eq!((reply.status, reply.code().as_str()), (404, "DATABASE_NOT_FOUND"));
}

#[tokio::test]
async fn without_default_a_request_must_name_its_database() {
    let server = serve(HttpSettings::default(), Auth::Disabled).await;
    let ask = closed(&["SELECT 1"]).to_string();
    let reply = server
        .send("POST", "/v2/pipeline", &[("host", "nobody")], ask)
        .await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (404, "NAMESPACE_NOT_FOUND")
    );
}

#[tokio::test]
async fn a_cursor_sends_lines() {
    let server = plain().await;
    let batch = json!({"batch": {"steps": [
        {"stmt": {"sql": "CREATE TABLE t(a INTEGER PRIMARY KEY)"}},
        {"stmt": {"sql": "INSERT INTO t VALUES (3) RETURNING a"}},
        {"stmt": {"sql": "nonsense"}},
        {"condition": {"type": "ok", "step": 2}, "stmt": {"sql": "SELECT 1"}},
    ]}});
    let reply = server
        .send("POST", "/app/v3/cursor", &[], batch.to_string())
        .await;
    let lines: Vec<serde_json::Value> = reply
        .body
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    assert!(lines[0]["baton"].is_string() && lines[0]["base_url"].is_null());
    let types: Vec<_> = lines[1..]
        .iter()
        .filter_map(|line| line["type"].as_str())
        .collect();
    let expected = [
        "step_begin",
        "step_end",
        "step_begin",
        "row",
        "step_end",
        "step_error",
        "replication_index",
    ];
    assert_eq!(types, expected);
    assert_eq!(lines[3]["cols"][0]["name"], "a");
    assert_eq!(lines[4]["row"], json!([{"type": "integer", "value": "3"}]));
    assert_eq!(lines[5]["last_insert_rowid"], "3");
    assert_eq!(lines[6]["step"], 2);
    assert!(reply.body.ends_with('\n'));
}

#[tokio::test]
async fn the_oldest_clients_are_served() {
    let server = plain().await;
    let batch = json!({"statements": [
        "CREATE TABLE t(a, b)",
        {"q": "INSERT INTO t VALUES (?, ?)", "params": [1.5, {"base64": "AAE="}]},
        {"q": "INSERT INTO t VALUES (:a, :b)", "params": {":a": null, "b": "x"}},
        "SELECT a, b FROM t",
    ]});
    let reply = server.send("POST", "/app", &[], batch.to_string()).await;
    let results = reply.json();
    assert_eq!(results[3]["results"]["columns"], json!(["a", "b"]));
    let rows = json!([[1.5, {"base64": "AAE="}], [null, "x"]]);
    assert_eq!(results[3]["results"]["rows"], rows);
    let broken = json!({"statements": ["DELETE FROM t", "nonsense", "SELECT 1"]});
    let reply = server.send("POST", "/app", &[], broken.to_string()).await;
    assert!(reply.json()[1]["error"]["message"].is_string());
    assert!(reply.json()[2]["error"]["message"].is_string());
    let count = server.pipeline(&closed(&["SELECT count(*) FROM t"])).await;
    assert_eq!(value(&count, 0)["value"], "2");
}

#[tokio::test]
async fn a_dump_is_sql() {
    let server = plain().await;
    server
        .pipeline(&closed(&["CREATE TABLE t(a)", "INSERT INTO t VALUES ('it''s')"]))
        .await;
    let reply = server.send("GET", "/app/dump", &[], "").await;
    assert_eq!(reply.status, 200);
    assert!(
        reply.body.contains("INSERT INTO \"t\"(\"a\") VALUES('it''s');"),
        "{}",
        reply.body
    );
}

#[tokio::test]
async fn base_url_pins_an_open_stream_to_its_database() {
    let settings = HttpSettings {
        base_url: Some("http://node-1:8091".into()),
        ..HttpSettings::default()
    };
    let server = serve(settings, Auth::Disabled).await;
    let open = json!({"requests": []});
    let reply = server.pipeline(&open).await;
    assert_eq!(reply.json()["base_url"], "http://node-1:8091/app/");
    let reply = server.pipeline(&closed(&[])).await;
    assert_eq!(reply.json()["base_url"], json!(null));
}

#[tokio::test]
async fn tokens_are_asked_for_and_kept_to() {
    let key = SigningKey::generate().expect("randomness");
    let read = Claims {
        id: Some("app".into()),
        a: Some(crate::auth::Right::Ro),
        ..Claims::default()
    };
    let signed = format!("Bearer {}", read.sign(&key).expect("JSON"));
    let auth = Auth::Enabled(Verifier {
        keys: vec![key.public()],
        tokens: vec![StaticToken::new("static", Grant::everywhere(Access::Write))],
    });
    let server = serve(HttpSettings::default(), auth).await;
    let create = closed(&["CREATE TABLE t(a)"]).to_string();
    let ask = |token: &str, path: &'static str| {
        let headers = [("authorization".to_owned(), token.to_owned())];
        let (create, server) = (create.clone(), &server);
        async move {
            let headers: Vec<_> = headers.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            server.send("POST", path, &headers, create).await
        }
    };
    let missing = server.send("POST", "/app/v2/pipeline", &[], &create).await;
    assert_eq!((missing.status, missing.code().as_str()), (401, "AUTH_MISSING"));
    assert!(missing.head.contains("www-authenticate: bearer"));
    let wrong = ask("Bearer x", "/app/v2/pipeline").await;
    assert_eq!((wrong.status, wrong.code().as_str()), (401, "AUTH_INVALID"));
    let elsewhere = ask(&signed, "/other/v2/pipeline").await;
    assert_eq!(
        (elsewhere.status, elsewhere.code().as_str()),
        (403, "AUTH_FORBIDDEN")
    );
    let reading = ask(&signed, "/app/v2/pipeline").await;
    assert_eq!(reading.status, 200);
    assert_eq!(reading.json()["results"][0]["error"]["code"], "AUTH_FORBIDDEN");
    let writing = ask("bearer static", "/app/v2/pipeline").await;
    assert_eq!(writing.json()["results"][0]["type"], "ok");
}
