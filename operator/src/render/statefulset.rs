//! One StatefulSet for each member, with one pod. A StatefulSet of several pods could only drop its highest one; one for
//! each member lets any member go, and keeps the name of each to one disk for ever.
//!
//! INVARIANT: nothing but the operator restarts a pod on purpose (`OnDelete`), and nothing but the operator deletes a disk
//! (both retention policies are `Retain`). Tested by `statefulsets_never_restart_or_delete_by_themselves`.

use super::config::{CONFIG, CREDENTIALS, DATA, PEERS, STORE_CA};
use super::{Context, NodeConfig, merge, restart_hash};
use crate::names::{self, HTTP_PORT, MemberName, PEER_PORT};
use orion_crds::group::{AntiAffinity, MemberSet, OnScaleDown, TlsPolicy};
use serde_json::{Map, Value, json};

/// What a member's StatefulSet is made from.
#[derive(Clone, Copy, Debug)]
pub struct MemberTemplate<'a> {
    /// Its set, as the spec has it.
    pub set: &'a MemberSet,
    /// Which member.
    pub member: &'a MemberName,
    /// See [`NodeConfig::joins_as_voter`].
    pub joins_as_voter: bool,
    /// Whether its pod is to run.
    pub runs: bool,
    /// Whether it is marked as leaving.
    pub is_leaving: bool,
}

/// In this time kube-proxy of every machine has heard that a pod ends.
const FORGOTTEN_SECONDS: u32 = 5;

/// 128 bits in hexadecimal. Keys are in order, so that the same content has the same hash.
pub(super) fn hash_of(value: &Value) -> String {
    blake3::hash(value.to_string().as_bytes()).to_hex()[..32].to_owned()
}

/// Hash of what makes a running pod outdated: its template as this revision renders it, and its configuration.
pub fn template_hash(context: &Context<'_>, member: MemberTemplate<'_>) -> String {
    hash_of(&pod_template(context, member))
}

/// The StatefulSet.
pub fn statefulset(context: &Context<'_>, member: MemberTemplate<'_>) -> Value {
    let name = member.member.statefulset(context.name());
    let mut template = pod_template(context, member);
    let hash = hash_of(&template);
    merge(
        &mut template,
        json!({"metadata": {"annotations": {(names::TEMPLATE): hash}}}),
    );
    let joins = if member.joins_as_voter {
        "voter"
    } else {
        "read_replica"
    };
    let mut annotations = json!({ (names::TEMPLATE): hash, (names::JOINS): joins });
    if member.is_leaving {
        annotations[names::LEAVING] = json!("true");
    }
    let body = json!({
        "metadata": { "labels": member_labels(member), "annotations": annotations },
        "spec": {
            "replicas": if member.runs { 1 } else { 0 },
            "serviceName": format!("{}-peers", context.name()),
            "podManagementPolicy": "Parallel",
            "updateStrategy": { "type": "OnDelete" },
            "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain", "whenScaled": "Retain" },
            "selector": { "matchLabels": { (names::GROUP): context.name(), (names::MEMBER): name } },
            "template": template,
            "volumeClaimTemplates": [claim_template(context, member)]
        }
    });
    let mut object = context.object("apps/v1", "StatefulSet", &name, body);
    object["metadata"]["labels"][names::MEMBER] = json!(name);
    object
}

fn member_labels(member: MemberTemplate<'_>) -> Value {
    json!({ (names::SET): member.set.name })
}

fn claim_template(context: &Context<'_>, member: MemberTemplate<'_>) -> Value {
    let storage = &member.set.storage;
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": { "requests": { "storage": storage.size.0 } }
    });
    if let Some(class) = &storage.storage_class_name {
        spec["storageClassName"] = json!(class);
    }
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "data",
            "labels": {
                (names::GROUP): context.name(),
                (names::MEMBER): member.member.statefulset(context.name())
            },
            "annotations": { "orion-db.dev/on-scale-down": match storage.on_scale_down {
                OnScaleDown::Retain => "Retain",
                OnScaleDown::Delete => "Delete",
            } }
        },
        "spec": spec
    })
}

fn pod_template(context: &Context<'_>, member: MemberTemplate<'_>) -> Value {
    // The first revision is the only one yet. A second one is chosen here by `context.revision`; the first stays as it is.
    debug_assert_eq!(context.revision, super::TEMPLATE_REVISION);
    revision_1(context, member)
}

fn revision_1(context: &Context<'_>, member: MemberTemplate<'_>) -> Value {
    let (set, spec) = (member.set, &context.group.spec);
    let node = NodeConfig {
        member: member.member,
        joins_as_voter: member.joins_as_voter,
    };
    let mut labels = json!(set.pod.labels);
    merge(&mut labels, context.labels());
    merge(&mut labels, member_labels(member));
    labels[names::MEMBER] = json!(member.member.statefulset(context.name()));
    let mut annotations = json!(set.pod.annotations);
    annotations["orion-db.dev/config"] = json!(restart_hash(context, node));
    // Here too: a pod can be all that is left while its StatefulSet is made anew.
    annotations[names::JOINS] = json!(if member.joins_as_voter {
        "voter"
    } else {
        "read_replica"
    });
    let restart = context
        .group
        .metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(names::RESTART));
    if let Some(restart) = restart {
        annotations[names::RESTART] = json!(restart);
    }
    let account = match &spec.object_store.workload_identity {
        Some(identity) => identity.service_account_name.as_str(),
        None => context.name(),
    };
    let mut pod = json!({
        "serviceAccountName": account,
        "automountServiceAccountToken": spec.object_store.workload_identity.is_some(),
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": set.pod.termination_grace_period_seconds,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": { "type": "RuntimeDefault" }
        },
        "containers": [container(context, member)],
        "volumes": volumes(context, member),
        "affinity": affinity(context, member),
        "topologySpreadConstraints": spread(context, member)
    });
    for (field, value) in optional(context, member) {
        pod[field] = value;
    }
    json!({ "metadata": { "labels": labels, "annotations": annotations }, "spec": pod })
}

fn optional(context: &Context<'_>, member: MemberTemplate<'_>) -> Map<String, Value> {
    let pod = &member.set.pod;
    let mut fields = Map::new();
    if !pod.node_selector.is_empty() {
        fields.insert("nodeSelector".into(), json!(pod.node_selector));
    }
    if !pod.tolerations.is_empty() {
        fields.insert("tolerations".into(), json!(pod.tolerations));
    }
    if !context.group.spec.image_pull_secrets.is_empty() {
        fields.insert(
            "imagePullSecrets".into(),
            json!(context.group.spec.image_pull_secrets),
        );
    }
    let texts = [
        ("priorityClassName", &pod.priority_class_name),
        ("runtimeClassName", &pod.runtime_class_name),
        ("schedulerName", &pod.scheduler_name),
    ];
    for (field, text) in texts {
        if let Some(text) = text {
            fields.insert(field.into(), json!(text));
        }
    }
    fields
}

fn container(context: &Context<'_>, member: MemberTemplate<'_>) -> Value {
    let spec = &context.group.spec;
    let probe = |path: &str, period: u32, failures: u32| {
        json!({
            "httpGet": { "path": path, "port": "http" },
            "periodSeconds": period, "timeoutSeconds": 3, "failureThreshold": failures
        })
    };
    let mut container = json!({
        "name": "orion",
        "image": context.image,
        "imagePullPolicy": spec.image_pull_policy,
        "args": ["server", "--config", format!("{CONFIG}/config.yaml")],
        "ports": [
            { "name": "http", "containerPort": HTTP_PORT, "protocol": "TCP" },
            { "name": "peers", "containerPort": PEER_PORT, "protocol": "TCP" }
        ],
        // The operator tells people why a node ended: its last line, where it wrote no other message.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "livenessProbe": probe("/livez", 10, 6),
        "readinessProbe": probe("/readyz", 2, 3),
        // Reading back a long log is no reason to be killed.
        "startupProbe": probe("/livez", 2, 150),
        // Services forget the pod while its node still serves: a connection that is sent here meanwhile is not refused.
        "lifecycle": { "preStop": { "sleep": { "seconds": FORGOTTEN_SECONDS } } },
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] }
        },
        "volumeMounts": mounts(context)
    });
    if let Some(resources) = &member.set.resources {
        container["resources"] = json!(resources);
    }
    container
}

fn mounts(context: &Context<'_>) -> Value {
    let spec = &context.group.spec;
    let read_only = |name: &str, path: &str| json!({ "name": name, "mountPath": path, "readOnly": true });
    let mut mounts = vec![
        json!({ "name": "data", "mountPath": DATA }),
        json!({ "name": "tmp", "mountPath": "/tmp" }),
        read_only("config", CONFIG),
    ];
    if spec.object_store.credentials_secret.is_some() {
        mounts.push(read_only("store", CREDENTIALS));
    }
    if spec.object_store.ca_bundle_secret.is_some() {
        mounts.push(read_only("store-ca", STORE_CA));
    }
    if spec.tls.peers == TlsPolicy::Required {
        mounts.push(read_only("peers", PEERS));
    }
    json!(mounts)
}

fn volumes(context: &Context<'_>, member: MemberTemplate<'_>) -> Value {
    let spec = &context.group.spec;
    let name = member.member.statefulset(context.name());
    // Readable by the node's user only, through the pod's group.
    let secret = |volume: &str, secret: &str| json!({ "name": volume, "secret": { "secretName": secret, "defaultMode": 0o440 } });
    let file = json!([{ "key": format!("{name}.yaml"), "path": "config.yaml" }]);
    let mut volumes = vec![
        json!({ "name": "tmp", "emptyDir": {} }),
        json!({ "name": "config", "configMap": { "name": context.name(), "items": file, "defaultMode": 0o444 } }),
    ];
    if let Some(credentials) = &spec.object_store.credentials_secret {
        volumes.push(secret("store", &credentials.name));
    }
    if let Some(bundle) = &spec.object_store.ca_bundle_secret {
        volumes.push(secret("store-ca", &bundle.name));
    }
    if spec.tls.peers == TlsPolicy::Required {
        let made = format!("{}-peers", context.name());
        let name = spec.tls.secret.as_ref().map_or(&made, |secret| &secret.name);
        volumes.push(secret("peers", name));
    }
    json!(volumes)
}

fn affinity(context: &Context<'_>, member: MemberTemplate<'_>) -> Value {
    let term = json!({
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": { "matchLabels": context.selector() }
    });
    let apart = match member.set.anti_affinity {
        AntiAffinity::Required => json!({ "requiredDuringSchedulingIgnoredDuringExecution": [term] }),
        AntiAffinity::Preferred => {
            json!({ "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 100, "podAffinityTerm": term }] })
        }
    };
    let mut affinity = json!({ "podAntiAffinity": apart });
    if let Some(machines) = location(member.set) {
        affinity["nodeAffinity"] = machines;
    }
    if let Some(wished) = &member.set.pod.affinity {
        merge(&mut affinity, wished.clone());
    }
    affinity
}

fn location(set: &MemberSet) -> Option<Value> {
    let location = set.location.as_ref()?;
    let one = |key: &str, value: &Option<String>| {
        value
            .as_ref()
            .map(|value| json!({ "key": key, "operator": "In", "values": [value] }))
    };
    let zones = (!location.zones.is_empty())
        .then(|| json!({ "key": "topology.kubernetes.io/zone", "operator": "In", "values": location.zones }));
    let wishes: Vec<Value> = [
        one("orion-db.dev/cloud", &location.cloud),
        one("topology.kubernetes.io/region", &location.region),
        zones,
    ]
    .into_iter()
    .flatten()
    .collect();
    (!wishes.is_empty()).then(|| {
        json!({ "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [{ "matchExpressions": wishes }] } })
    })
}

fn spread(context: &Context<'_>, member: MemberTemplate<'_>) -> Value {
    let wished = &member.set.pod.topology_spread_constraints;
    if !wished.is_empty() {
        return json!(wished);
    }
    json!([{
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": { "matchLabels": context.selector() }
    }])
}
