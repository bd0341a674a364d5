//! What there is of a group in the cluster: its StatefulSets, pods and disks.

use super::{Shared, trouble};
use crate::cache::ObjectKey;
use crate::names::{self, MemberName};
use crate::plan::{ClaimSeen, MemberSeen, PodSeen};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use orion_crds::ReplicationGroup;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Annotation of the scheduler on a claim whose volume is made where its first pod runs.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// The members, and their pods as they are.
pub(super) struct Found {
    pub(super) members: BTreeMap<MemberName, MemberSeen>,
    pub(super) pods: BTreeMap<MemberName, Arc<Pod>>,
    /// StatefulSets that have a member's name and another owner.
    pub(super) foreign: Vec<String>,
}

/// Looks at what carries the group's label.
pub(super) fn members(shared: &Shared, group: &ReplicationGroup) -> Found {
    let (name, namespace) = (group.name_any(), group.namespace().unwrap_or_default());
    let is_of_group = |key: &ObjectKey, metadata: &ObjectMeta| {
        let labels = metadata.labels.as_ref();
        key.namespace == namespace && labels.is_some_and(|labels| labels.get(names::GROUP) == Some(&name))
    };
    let caches = &shared.caches;
    let sets = caches.sets.all(|key, set| is_of_group(key, &set.metadata));
    let pods = caches.pods.all(|key, pod| is_of_group(key, &pod.metadata));
    let claims = caches.claims.all(|key, claim| is_of_group(key, &claim.metadata));
    let mut found = Found {
        members: BTreeMap::new(),
        pods: BTreeMap::new(),
        foreign: Vec::new(),
    };
    for (_, set) in sets {
        let Some(member) = MemberName::of_statefulset(&name, &set.name_any()) else {
            continue;
        };
        let is_ours = set
            .owner_references()
            .iter()
            .any(|owner| Some(&owner.uid) == group.metadata.uid.as_ref());
        match is_ours {
            true => see_set(found.members.entry(member).or_default(), &set),
            false => found.foreign.push(format!("StatefulSet {}", set.name_any())),
        }
    }
    for (_, pod) in pods {
        let Some(member) = member_of(&name, &pod.name_any(), "") else {
            continue;
        };
        see_pod(found.members.entry(member.clone()).or_default(), &pod);
        found.pods.insert(member, pod);
    }
    for (_, claim) in claims {
        let Some(member) = member_of(&name, &claim.name_any(), "data-") else {
            continue;
        };
        found.members.entry(member).or_default().claim = Some(claim_seen(&claim));
    }
    found
}

fn member_of(group: &str, name: &str, prefix: &str) -> Option<MemberName> {
    MemberName::of_statefulset(group, name.strip_prefix(prefix)?.strip_suffix("-0")?)
}

fn see_set(seen: &mut MemberSeen, set: &StatefulSet) {
    let annotation = |name: &str| set.annotations().get(name).cloned();
    seen.has_statefulset = true;
    seen.is_terminating = set.metadata.deletion_timestamp.is_some();
    seen.is_leaving = annotation(names::LEAVING).is_some();
    seen.joins_as_voter = annotation(names::JOINS).as_deref() == Some("voter");
    seen.template = annotation(names::TEMPLATE);
    let spec = set.spec.as_ref();
    seen.runs = spec.is_some_and(|spec| spec.replicas != Some(0));
    seen.claim_template_size = spec
        .and_then(|spec| spec.volume_claim_templates.as_ref()?.first())
        .and_then(requested);
}

fn requested(claim: &PersistentVolumeClaim) -> Option<String> {
    let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    requests.get("storage").map(|size| size.0.clone())
}

fn see_pod(seen: &mut MemberSeen, pod: &Pod) {
    if !seen.has_statefulset {
        seen.joins_as_voter = pod.annotations().get(names::JOINS).map(String::as_str) == Some("voter");
    }
    let status = pod.status.as_ref();
    let container = status.and_then(|status| status.container_statuses.as_ref()?.first());
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let condition = |type_: &str| conditions?.iter().find(|condition| condition.type_ == type_);
    seen.pod = Some(PodSeen {
        uid: pod.uid().unwrap_or_default(),
        is_ready: condition("Ready").is_some_and(|condition| condition.status == "True"),
        is_running: container.is_some_and(|container| {
            container
                .state
                .as_ref()
                .is_some_and(|state| state.running.is_some())
        }),
        is_terminating: pod.metadata.deletion_timestamp.is_some(),
        template: pod.annotations().get(names::TEMPLATE).cloned(),
        role: pod.labels().get(names::ROLE).cloned(),
        leader: pod.labels().get(names::LEADER).cloned(),
        zone: pod.labels().get("topology.kubernetes.io/zone").cloned(),
        trouble: trouble::of(pod, Timestamp::now()),
        machine: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        version: None,
    });
}

fn claim_seen(claim: &PersistentVolumeClaim) -> ClaimSeen {
    ClaimSeen {
        is_lost: claim
            .status
            .as_ref()
            .is_some_and(|status| status.phase.as_deref() == Some("Lost")),
        is_terminating: claim.metadata.deletion_timestamp.is_some(),
        size: requested(claim),
        machine: claim.annotations().get(SELECTED_NODE).cloned(),
    }
}
