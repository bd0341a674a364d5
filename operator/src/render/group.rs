//! Everything of a group but its members: what is there however many members there are.

use super::services::{disruption_budget, network_policy, service_monitor, services};
use super::{Context, NodeConfig, config_text, encoded};
use crate::names::MemberName;
use orion_crds::group::Role;
use serde_json::{Map, Value, json};

/// What is applied, and what is to be gone.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupObjects {
    /// In the order in which they are applied.
    pub wanted: Vec<Value>,
    /// Kind, API version and name of what a spec without it leaves behind.
    pub unwanted: Vec<Value>,
}

/// A member whose configuration is rendered: its name, and whether its node asks to vote by itself.
pub type Configured = (MemberName, bool);

/// The objects. `members` are those that have a StatefulSet, or get one now.
pub fn group_objects(context: &Context<'_>, members: &[Configured]) -> GroupObjects {
    let spec = &context.group.spec;
    let voters: u32 = spec
        .member_sets
        .iter()
        .filter(|set| set.role == Role::Voter)
        .map(|set| set.replicas)
        .sum();
    let mut objects = GroupObjects {
        wanted: Vec::new(),
        unwanted: Vec::new(),
    };
    if spec.object_store.workload_identity.is_none() {
        let body = json!({ "automountServiceAccountToken": false });
        objects
            .wanted
            .push(context.object("v1", "ServiceAccount", context.name(), body));
    }
    objects.wanted.push(config_map(context, members));
    let all: u32 = spec.member_sets.iter().map(|set| set.replicas).sum();
    objects.wanted.extend(services(context, all > 1));
    let optional = [
        (
            spec.pod_disruption_budget && voters > 1,
            disruption_budget(context),
        ),
        (spec.network_policy, network_policy(context)),
        (spec.service_monitor, service_monitor(context)),
    ];
    for (is_wanted, object) in optional {
        match is_wanted {
            true => objects.wanted.push(object),
            false => objects.unwanted.push(object),
        }
    }
    objects
}

fn config_map(context: &Context<'_>, members: &[Configured]) -> Value {
    let peers: Vec<MemberName> = members.iter().map(|(member, _)| member.clone()).collect();
    let files = members.iter().map(|(member, joins_as_voter)| {
        let node = NodeConfig {
            member,
            joins_as_voter: *joins_as_voter,
        };
        let name = format!("{}.yaml", member.statefulset(context.name()));
        (name, json!(config_text(context, node, &peers)))
    });
    let data: Map<String, Value> = files.collect();
    context.object("v1", "ConfigMap", context.name(), json!({ "data": data }))
}

/// The Secret with the key that signs tokens. Made once: another key would make all tokens worthless.
pub fn keys_secret(context: &Context<'_>, private_pem: &str, public_pem: &str) -> Value {
    let data = encoded([("token.key", private_pem), ("token.pub", public_pem)]);
    let body = json!({ "type": "Opaque", "data": data });
    context.object("v1", "Secret", &format!("{}-keys", context.name()), body)
}

/// The Secret with the peers' authority and certificate.
pub fn peers_secret(context: &Context<'_>, files: &[(&str, String)]) -> Value {
    let data = encoded(files.iter().map(|(name, text)| (*name, text.as_str())));
    let body = json!({ "type": "Opaque", "data": data });
    context.object("v1", "Secret", &format!("{}-peers", context.name()), body)
}

/// What makes a disk grow.
pub fn claim_growth(size: &str) -> Value {
    json!({"spec": {"resources": {"requests": {"storage": size}}}})
}
