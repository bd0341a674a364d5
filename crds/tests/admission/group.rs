//! ReplicationGroup.

use super::{Case, Kind};
use serde_json::{Value, json};

const SETS: &str = "memberSets: replicas of all Voter sets together must be 1, 3, 5 or 7";
const REGIONS: &str =
    "mode: needs home.region and a location.region in every member set; without regions use Manual";
const HOME: &str = "mode: with this mode every Voter set must have location.region equal to home.region";
const CLOUDS: &str = "mode DualCloudQuorum: no cloud may hold half of the voters, so a third cloud needs at least a small Voter set";
const CLOUD: &str = "mode DualCloudQuorum: needs location.cloud in every member set";
const NAME: &str = "name: at most 30 characters, not ending in -rw, -ro or -peers (names of Pods and Services are made from it)";
const STORE: &str =
    "objectStore: set exactly one of credentialsSecret and workloadIdentity (neither for file://)";
const TLS: &str = "tls: CertManager needs issuerRef, Secret needs secret, and only those";

fn set(name: &str, replicas: u32) -> Value {
    json!({"name": name, "replicas": replicas, "storage": {"size": "10Gi"}})
}

fn voters(name: &str, replicas: u32, cloud: &str, region: &str) -> Value {
    let location = json!({"cloud": cloud, "region": region});
    json!({"name": name, "replicas": replicas, "storage": {"size": "10Gi"}, "location": location})
}

async fn kind() -> Kind {
    let spec = json!({
        "memberSets": [set("a", 3)],
        "objectStore": {"url": "s3://bucket/prefix", "credentialsSecret": {"name": "s3"}}
    });
    Kind::installed("ReplicationGroup", "replicationgroups", spec).await
}

fn spec(spec: Value) -> Value {
    json!({ "spec": spec })
}

#[tokio::test]
async fn groups_are_taken_or_refused_with_a_sentence() {
    let with_sets = |sets: Value| spec(json!({ "memberSets": sets }));
    let store = |store: Value| spec(json!({ "objectStore": store }));
    let of_mode =
        |mode: &str, sets: Value| spec(json!({"mode": mode, "home": {"region": "eu"}, "memberSets": sets}));
    let reader = json!({"name": "r", "role": "ReadReplica", "replicas": 2, "storage": {"size": 1073741824}});
    let cases: Vec<Case> = vec![
        (json!({}), None),
        (with_sets(json!([set("a", 1)])), None),
        (with_sets(json!([set("a", 2), set("b", 1), reader])), None),
        (with_sets(json!([set("a", 2)])), Some(SETS)),
        (with_sets(json!([set("a", 0)])), Some(SETS)),
        (with_sets(json!([set("a", 9)])), Some(SETS)),
        (with_sets(json!([set("a", 16)])), Some("less than or equal to 15")),
        (with_sets(json!([])), Some("at least 1 items")),
        (
            with_sets(json!([set("a", 3), set("a", 0)])),
            Some("Duplicate value"),
        ),
        (with_sets(json!([set("A", 3)])), Some("spec.memberSets[0].name")),
        (
            with_sets(json!([{"name": "a", "replicas": 3, "storage": {"size": "big"}}])),
            Some("storage.size"),
        ),
        (
            with_sets(json!([{"name": "a", "replicas": 3, "role": "Leader", "storage": {"size": "1Gi"}}])),
            Some("Unsupported value: \"Leader\""),
        ),
        (
            with_sets(json!([{"name": "a", "replicas": 3}])),
            Some("storage: Required value"),
        ),
        (of_mode("SingleRegion", json!([voters("a", 3, "x", "eu")])), None),
        (
            of_mode("SingleRegion", json!([voters("a", 3, "x", "us")])),
            Some(HOME),
        ),
        (
            of_mode(
                "RegionalPrimary",
                json!([voters("a", 1, "x", "eu"), voters("b", 2, "x", "us")]),
            ),
            Some(HOME),
        ),
        (
            of_mode("ReadGlobalWriteHome", json!([set("a", 3)])),
            Some(REGIONS),
        ),
        (spec(json!({"mode": "FollowTheTenant"})), Some(REGIONS)),
        (
            of_mode(
                "DualCloudQuorum",
                json!([
                    voters("a", 2, "x", "eu"),
                    voters("b", 2, "y", "eu"),
                    voters("c", 1, "z", "eu")
                ]),
            ),
            None,
        ),
        (
            of_mode(
                "DualCloudQuorum",
                json!([voters("a", 2, "x", "eu"), voters("b", 1, "y", "eu")]),
            ),
            Some(CLOUDS),
        ),
        (
            of_mode(
                "DualCloudQuorum",
                json!([{"name": "a", "replicas": 3, "storage": {"size": "1Gi"}, "location": {"region": "eu"}}]),
            ),
            Some(CLOUD),
        ),
        (
            spec(json!({"mode": "Anywhere"})),
            Some("Unsupported value: \"Anywhere\""),
        ),
        (
            store(
                json!({"url": "gs://bucket", "credentialsSecret": null, "workloadIdentity": {"serviceAccountName": "x"}}),
            ),
            None,
        ),
        (
            store(json!({"url": "file:///shared", "credentialsSecret": null})),
            None,
        ),
        (store(json!({"credentialsSecret": null})), Some(STORE)),
        (
            store(json!({"workloadIdentity": {"serviceAccountName": "x"}})),
            Some(STORE),
        ),
        (store(json!({"url": "file:///shared"})), Some(STORE)),
        (store(json!({"url": "http://bucket"})), Some("objectStore.url")),
        (
            json!({"metadata": {"name": "a-name-of-thirty-one-characters"}}),
            Some(NAME),
        ),
        (json!({"metadata": {"name": "one-rw"}}), Some(NAME)),
        (json!({"metadata": {"name": "one-peers"}}), Some(NAME)),
        (spec(json!({"tls": {}})), None),
        (spec(json!({"tls": {"issuer": "CertManager"}})), Some(TLS)),
        (spec(json!({"tls": {"issuerRef": {"name": "x"}}})), Some(TLS)),
        (
            spec(json!({"tls": {"issuer": "CertManager", "issuerRef": {"name": "x"}}})),
            None,
        ),
        (
            spec(json!({"tls": {"issuer": "Secret", "secret": {"name": "x"}}})),
            None,
        ),
        (
            spec(json!({"tls": {"issuer": "Secret", "issuerRef": {"name": "x"}}})),
            Some(TLS),
        ),
        (
            spec(json!({"failover": {"promoteAfter": "half an hour"}})),
            Some("failover.promoteAfter"),
        ),
        (
            spec(json!({"limits": {"databases": 0}})),
            Some("limits.databases"),
        ),
        (
            spec(json!({"overlay": {"nodeBytes": "lots"}})),
            Some("overlay.nodeBytes"),
        ),
    ];
    kind().await.check_creation(&cases).await;
}

#[tokio::test]
async fn defaults_are_filled_in_by_the_server() {
    let made = kind().await.create(&json!({})).await;
    let spec = &made["spec"];
    assert_eq!(spec["mode"], "Manual");
    assert_eq!(
        spec["tls"],
        json!({"issuer": "Operator", "peers": "Required", "clients": "Disabled"})
    );
    assert_eq!(spec["auth"], json!({"mode": "Token", "rotationOverlap": "24h"}));
    assert_eq!(
        spec["overlay"],
        json!({"databaseBytes": "64Mi", "nodeBytes": "512Mi"})
    );
    assert_eq!(spec["memberSets"][0]["pod"]["terminationGracePeriodSeconds"], 60);
    assert_eq!(spec["podDisruptionBudget"], true);
    assert_eq!(spec["deletionPolicy"], "Retain");
    let typed: orion_crds::ReplicationGroup =
        serde_json::from_value(made.clone()).expect("the type reads it");
    assert_eq!(
        serde_json::to_value(&typed.spec).expect("a spec is JSON"),
        *spec,
        "the types know no other defaults than the server"
    );
}

#[tokio::test]
async fn what_may_not_change_does_not() {
    let kind = kind().await;
    kind.create(&json!({"metadata": {"name": "plain"}})).await;
    let of_a = |change: Value| {
        let mut set = set("a", 3);
        for (key, value) in change.as_object().expect("a map") {
            set[key] = value.clone();
        }
        spec(json!({ "memberSets": [set] }))
    };
    let cases: Vec<Case> = vec![
        (of_a(json!({"replicas": 5})), None),
        (of_a(json!({"storage": {"size": "20Gi"}})), None),
        (of_a(json!({"storage": {"size": "10240Mi"}})), None),
        (
            of_a(json!({"storage": {"size": "9Gi"}})),
            Some("storage.size: may only grow"),
        ),
        (
            of_a(json!({"storage": {"size": "10Gi", "storageClassName": "fast"}})),
            Some("storageClassName: cannot change; add a set with the new class, then remove this one"),
        ),
        (
            spec(
                json!({"memberSets": [{"name": "a", "replicas": 0, "role": "Learner", "storage": {"size": "10Gi"}}, set("b", 3)]}),
            ),
            Some("role: cannot change; add a set with the new role, then remove this one"),
        ),
        (spec(json!({"memberSets": [set("b", 3)]})), None),
        (
            spec(json!({"objectStore": {"url": "s3://other"}})),
            Some("objectStore.url: cannot change; make a group at the new URL and move the databases"),
        ),
        (spec(json!({"bootstrap": {"policy": "Recover"}})), None),
    ];
    kind.check_change("plain", &cases).await;
}

#[tokio::test]
async fn the_beginning_of_a_group_is_not_changed_after_it() {
    use kube::api::{Patch, PatchParams};
    let kind = kind().await;
    kind.create(&json!({})).await;
    let status = json!({"status": {"groupId": "67e55044-10b1-426f-9247-bb680e5fe0c8"}});
    let written = kind
        .api
        .patch_status("one", &PatchParams::default(), &Patch::Merge(&status))
        .await;
    written.expect("the status is taken");
    let refusal = "bootstrap: cannot change once the group exists; make a new group";
    let cases: Vec<Case> = vec![
        (spec(json!({"bootstrap": {"policy": "Recover"}})), Some(refusal)),
        (spec(json!({"schedulable": false})), None),
    ];
    kind.check_change("one", &cases).await;
}
