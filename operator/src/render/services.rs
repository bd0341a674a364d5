//! The Services of a group, and what keeps strangers away from its peers' port.

use super::{Context, merge};
use crate::names::{self, HTTP_PORT, PEER_PORT};
use serde_json::{Value, json};

/// All Services: for any node, for the one that leads, for the others, and for the nodes themselves.
pub(super) fn services(context: &Context<'_>, has_followers: bool) -> Vec<Value> {
    let name = context.name();
    let leads = |leads: &str| json!({ (names::LEADER): leads });
    // A group of one has nobody else to read from.
    let readers = if has_followers { leads("false") } else { json!({}) };
    vec![
        for_clients(context, name, json!({})),
        for_clients(context, &format!("{name}-rw"), leads("true")),
        for_clients(context, &format!("{name}-ro"), readers),
        for_peers(context),
    ]
}

fn for_clients(context: &Context<'_>, name: &str, narrower: Value) -> Value {
    let spec = &context.group.spec.services;
    let mut selector = context.selector();
    merge(&mut selector, narrower);
    let mut service = context.object(
        "v1",
        "Service",
        name,
        json!({"spec": {
            "type": spec.type_,
            "selector": selector,
            "ports": [{ "name": "http", "port": HTTP_PORT, "targetPort": "http", "protocol": "TCP" }]
        }}),
    );
    if !spec.annotations.is_empty() {
        service["metadata"]["annotations"] = json!(spec.annotations);
    }
    service
}

/// Nodes find each other before any of them is ready: else none ever would be.
fn for_peers(context: &Context<'_>) -> Value {
    let body = json!({"spec": {
        "clusterIP": "None",
        "publishNotReadyAddresses": true,
        "selector": context.selector(),
        "ports": [{ "name": "peers", "port": PEER_PORT, "targetPort": "peers", "protocol": "TCP" }]
    }});
    context.object("v1", "Service", &format!("{}-peers", context.name()), body)
}

/// Whoever reaches the peers' port could speak for a node: only nodes do. Clients come from anywhere, with tokens.
pub(super) fn network_policy(context: &Context<'_>) -> Value {
    let body = json!({"spec": {
        "podSelector": { "matchLabels": context.selector() },
        "policyTypes": ["Ingress"],
        "ingress": [
            { "ports": [{ "port": HTTP_PORT, "protocol": "TCP" }] },
            {
                "from": [{ "podSelector": { "matchLabels": context.selector() } }],
                "ports": [{ "port": PEER_PORT, "protocol": "TCP" }]
            }
        ]
    }});
    context.object("networking.k8s.io/v1", "NetworkPolicy", context.name(), body)
}

/// Evictions stop at one voter. By what a pod is in Raft, not by its set: a voter that is to come does not count yet.
pub(super) fn disruption_budget(context: &Context<'_>) -> Value {
    let mut selector = context.selector();
    selector[names::ROLE] = json!("voter");
    let body = json!({"spec": {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "IfHealthyBudget",
        "selector": { "matchLabels": selector }
    }});
    context.object("policy/v1", "PodDisruptionBudget", context.name(), body)
}

/// For Prometheus' operator.
pub(super) fn service_monitor(context: &Context<'_>) -> Value {
    let body = json!({"spec": {
        "selector": { "matchLabels": context.selector() },
        "endpoints": [{ "port": "http", "path": "/metrics" }]
    }});
    context.object("monitoring.coreos.com/v1", "ServiceMonitor", context.name(), body)
}
