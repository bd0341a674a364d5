//! Database.

use super::{Case, Kind};
use serde_json::{Value, json};

const SOURCE: &str =
    "source: set exactly one of sqlDump, branchOf and restore; leave source out for an empty database";
const DUMP: &str = "sqlDump: set exactly one of url, secret and configMap";
const NAME: &str = "name: must be a DNS label, because its Service has this name";

async fn kind() -> Kind {
    Kind::installed("Database", "databases", json!({"groupRef": {"name": "main"}})).await
}

fn spec(spec: Value) -> Value {
    json!({ "spec": spec })
}

#[tokio::test]
async fn databases_are_taken_or_refused_with_a_sentence() {
    let dump = |dump: Value| spec(json!({"source": {"sqlDump": dump}}));
    let token = |name: &str| json!({"name": name, "secretName": name});
    let cases: Vec<Case> = vec![
        (json!({}), None),
        (json!({"metadata": {"name": "1st"}}), Some(NAME)),
        (json!({"metadata": {"name": "a.b"}}), Some(NAME)),
        (spec(json!({"groupRef": null})), Some("groupRef: Required value")),
        (spec(json!({"groupRef": {"name": ""}})), Some("groupRef.name")),
        (spec(json!({"name": "app.v2_x"})), None),
        (spec(json!({"name": "App"})), Some("spec.name")),
        (
            spec(json!({"deletionPolicy": "Archive"})),
            Some("Unsupported value: \"Archive\""),
        ),
        (
            spec(json!({"tombstoneRetention": "7d"})),
            Some("tombstoneRetention"),
        ),
        (
            spec(json!({"limits": {"size": "1Gi", "connections": 10, "statementTimeout": "5s"}})),
            None,
        ),
        (
            spec(json!({"limits": {"connections": 0}})),
            Some("limits.connections"),
        ),
        (spec(json!({"source": {}})), Some(SOURCE)),
        (
            spec(json!({"source": {"restore": {"databaseId": "x"}, "branchOf": {"database": "y"}}})),
            Some(SOURCE),
        ),
        (dump(json!({"url": "https://example.com/dump.sql"})), None),
        (dump(json!({"secret": {"name": "s", "key": "k"}})), None),
        (dump(json!({})), Some(DUMP)),
        (
            dump(json!({"url": "https://h/", "configMap": {"name": "c", "key": "k"}})),
            Some(DUMP),
        ),
        (dump(json!({"url": "ftp://h/"})), Some("source.sqlDump.url")),
        (spec(json!({"tokens": [token("a"), token("b")]})), None),
        (
            spec(json!({"tokens": [token("a"), token("a")]})),
            Some("Duplicate value"),
        ),
        (
            spec(json!({"standbys": [{"groupRef": {"name": "a"}}, {"groupRef": {"name": "b"}}]})),
            None,
        ),
        (
            spec(json!({"connection": {"service": "Headless"}})),
            Some("Unsupported value: \"Headless\""),
        ),
    ];
    kind().await.check_creation(&cases).await;
}

#[tokio::test]
async fn what_may_not_change_does_not() {
    let kind = kind().await;
    kind.create(&json!({})).await;
    let cases: Vec<Case> = vec![
        (spec(json!({"name": "other"})), Some("name: cannot change")),
        (
            spec(json!({"source": {"restore": {"databaseId": "x"}}})),
            Some("source: is read once, at creation; cannot change"),
        ),
        (spec(json!({"groupRef": {"name": "other"}})), None),
        (spec(json!({"deletionPolicy": "Delete"})), None),
    ];
    kind.check_change("one", &cases).await;
    let named = json!({"metadata": {"name": "two"}, "spec": {"name": "two"}});
    kind.create(&named).await;
    kind.check_change(
        "two",
        &[(spec(json!({"name": null})), Some("name: cannot change"))],
    )
    .await;
}

#[tokio::test]
async fn defaults_are_filled_in_by_the_server() {
    let made = kind().await.create(&json!({})).await;
    let spec = &made["spec"];
    assert_eq!(spec["deletionPolicy"], "Retain");
    assert_eq!(spec["readPolicy"], "Strong");
    assert_eq!(spec["connection"], json!({"service": "ExternalName"}));
    let typed: orion_crds::Database = serde_json::from_value(made.clone()).expect("the type reads it");
    assert_eq!(serde_json::to_value(&typed.spec).expect("a spec is JSON"), *spec);
}
