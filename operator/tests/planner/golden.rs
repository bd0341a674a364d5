//! What is rendered, as YAML that people can read, and the laws that it keeps. A change of a file here is a change of
//! what runs in clusters: of a released revision's StatefulSet, never. `ORION_BLESS=1` writes the files.

use crate::world::member;
use orion_crds::schema::yaml;
use orion_crds::{Database, ReplicationGroup};
use orion_operator::names;
use orion_operator::render::{
    Context, MemberTemplate, TokenSecret, database_objects, group_objects, statefulset, template_hash,
};
use serde_json::{Value, json};
use std::path::PathBuf;

fn group(spec: Value) -> ReplicationGroup {
    serde_json::from_value(json!({
        "apiVersion": "orion-db.dev/v1alpha1", "kind": "ReplicationGroup",
        "metadata": {"name": "main", "namespace": "prod", "uid": "5d0f5b6e-0000-4000-8000-000000000001"},
        "spec": spec
    }))
    .expect("a group")
}

fn small() -> ReplicationGroup {
    group(json!({
        "memberSets": [{"name": "a", "replicas": 3, "storage": {"size": "10Gi"}}],
        "objectStore": {"url": "s3://bucket/orion", "region": "eu-central-1", "credentialsSecret": {"name": "s3"}}
    }))
}

/// With nearly everything that a spec can say of pods and Services.
fn full() -> ReplicationGroup {
    group(json!({
        "image": "example.com/orion:7", "imagePullSecrets": [{"name": "registry"}],
        "memberSets": [{
            "name": "a", "replicas": 3, "storage": {"size": "10Gi", "storageClassName": "fast"},
            "location": {"cloud": "x", "region": "eu", "zones": ["eu-1", "eu-2"]},
            "resources": {"requests": {"cpu": 1, "memory": "1Gi"}},
            "antiAffinity": "Required",
            "pod": {
                "labels": {"team": "data"}, "annotations": {"note": "yes"}, "nodeSelector": {"disk": "nvme"},
                "tolerations": [{"key": "db", "operator": "Exists"}], "priorityClassName": "high",
                "terminationGracePeriodSeconds": 90
            }
        }, {"name": "r", "role": "ReadReplica", "replicas": 1, "storage": {"size": "1Gi"}}],
        "objectStore": {
            "url": "s3://bucket", "endpoint": "http://minio:9000", "pathStyle": true,
            "caBundleSecret": {"name": "ca"}, "workloadIdentity": {"serviceAccountName": "cloud"}
        },
        "tls": {"peers": "Disabled"}, "auth": {"mode": "None"}, "limits": {"databaseSize": "1Gi"},
        "services": {"type": "LoadBalancer", "annotations": {"internal": "true"}},
        "serviceMonitor": true, "networkPolicy": false, "update": {"finalize": "Manual"}
    }))
}

fn context(group: &ReplicationGroup) -> Context<'_> {
    let image = group.spec.image.as_deref().unwrap_or("orion:1");
    Context {
        group,
        image,
        public_key: Some("cHVibGljIGtleQ"),
        revision: 1,
    }
}

fn template<'a>(group: &'a ReplicationGroup, member: &'a names::MemberName) -> MemberTemplate<'a> {
    MemberTemplate {
        set: &group.spec.member_sets[0],
        member,
        joins_as_voter: true,
        runs: true,
        is_leaving: false,
    }
}

fn compare(name: &str, objects: &[Value]) {
    let documents: Vec<String> = objects.iter().map(yaml::to_text).collect();
    let text = documents.join("---\n");
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).join(name);
    if std::env::var_os("ORION_BLESS").is_some() {
        std::fs::write(&path, &text).expect("the file can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        found, text,
        "{name} differs: if it is meant, run the test with ORION_BLESS=1"
    );
}

#[test]
fn groups_are_rendered_as_before() {
    let first = member("a", 0);
    for (name, group) in [("small", small()), ("full", full())] {
        let context = context(&group);
        compare(
            &format!("{name}-statefulset.yaml"),
            &[statefulset(&context, template(&group, &first))],
        );
        let members = [(first.clone(), true), (member("a", 1), false)];
        let objects = group_objects(&context, &members);
        compare(&format!("{name}-group.yaml"), &objects.wanted);
    }
}

#[test]
fn databases_are_rendered_as_before() {
    let database: Database = serde_json::from_value(json!({
        "apiVersion": "orion-db.dev/v1alpha1", "kind": "Database",
        "metadata": {"name": "app", "namespace": "web", "uid": "5d0f5b6e-0000-4000-8000-000000000002"},
        "spec": {"groupRef": {"name": "main", "namespace": "prod"}}
    }))
    .expect("a database");
    let tokens = [TokenSecret {
        secret: "app-db",
        token: "a.b.c",
    }];
    let objects = database_objects(&database, ("main", "prod"), "web.app", &tokens);
    let all: Vec<Value> = objects.secrets.into_iter().chain(objects.service).collect();
    compare("database.yaml", &all);
}

#[test]
fn statefulsets_never_restart_or_delete_by_themselves() {
    for group in [small(), full()] {
        let name = member("a", 0);
        let object = statefulset(&context(&group), template(&group, &name));
        assert_eq!(object["spec"]["updateStrategy"]["type"], "OnDelete");
        let retention = &object["spec"]["persistentVolumeClaimRetentionPolicy"];
        assert_eq!(
            retention,
            &json!({"whenDeleted": "Retain", "whenScaled": "Retain"})
        );
    }
}

#[test]
fn pods_keep_to_the_restricted_profile() {
    for group in [small(), full()] {
        let name = member("a", 0);
        let object = statefulset(&context(&group), template(&group, &name));
        let pod = &object["spec"]["template"]["spec"];
        let container = &pod["containers"][0]["securityContext"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(container["allowPrivilegeEscalation"], false);
        assert_eq!(container["readOnlyRootFilesystem"], true);
        assert_eq!(container["capabilities"]["drop"], json!(["ALL"]));
    }
}

#[test]
fn only_what_needs_a_restart_changes_the_template() {
    let name = member("a", 0);
    let hash = |group: &ReplicationGroup| template_hash(&context(group), template(group, &name));
    let before = hash(&small());
    let harmless: [fn(&mut ReplicationGroup); 5] = [
        |group| group.spec.pod_disruption_budget = false,
        |group| group.spec.member_sets[0].replicas = 5,
        |group| group.spec.schedulable = false,
        |group| group.spec.member_sets[0].storage.size = "20Gi".into(),
        |group| group.spec.services.annotations = [("a".into(), "b".into())].into(),
    ];
    for change in harmless {
        let mut group = small();
        change(&mut group);
        assert_eq!(hash(&group), before);
    }
    let restarting: [fn(&mut ReplicationGroup); 3] = [
        |group| group.spec.image = Some("orion:2".into()),
        |group| group.spec.overlay.node_bytes = "1Gi".into(),
        |group| {
            group.metadata.annotations = Some([(names::RESTART.to_owned(), "now".to_owned())].into());
        },
    ];
    for change in restarting {
        let mut group = small();
        change(&mut group);
        assert_ne!(hash(&group), before);
    }
}
