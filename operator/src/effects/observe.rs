//! What there is of a group in the cluster: its StatefulSets, pods and disks.

use super::{Error, Shared};
use crate::names::{self, MemberName};
use crate::plan::{ClaimSeen, Credentials, MemberSeen, PodSeen};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use orion_crds::ReplicationGroup;
use std::collections::BTreeMap;

/// The members, and their pods as they are.
pub(super) struct Found {
    pub(super) members: BTreeMap<MemberName, MemberSeen>,
    pub(super) pods: BTreeMap<MemberName, Pod>,
    /// StatefulSets that have a member's name and another owner.
    pub(super) foreign: Vec<String>,
}

/// Looks at what carries the group's label.
pub(super) async fn members(shared: &Shared, group: &ReplicationGroup) -> Result<Found, Error> {
    let (name, namespace) = (group.name_any(), group.namespace().unwrap_or_default());
    let labelled = ListParams::default().labels(&format!("{}={name}", names::GROUP));
    let client = &shared.client;
    let sets = Api::<StatefulSet>::namespaced(client.clone(), &namespace);
    let pods = Api::<Pod>::namespaced(client.clone(), &namespace);
    let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), &namespace);
    let (sets, pods, claims) =
        tokio::try_join!(sets.list(&labelled), pods.list(&labelled), claims.list(&labelled))?;
    let mut found = Found {
        members: BTreeMap::new(),
        pods: BTreeMap::new(),
        foreign: Vec::new(),
    };
    for set in sets {
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
    for pod in pods {
        let Some(member) = member_of(&name, &pod.name_any(), "") else {
            continue;
        };
        see_pod(found.members.entry(member.clone()).or_default(), &pod);
        found.pods.insert(member, pod);
    }
    for claim in claims {
        let Some(member) = member_of(&name, &claim.name_any(), "data-") else {
            continue;
        };
        found.members.entry(member).or_default().claim = Some(claim_seen(&claim));
    }
    Ok(found)
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
    let waiting = container.and_then(|container| container.state.as_ref()?.waiting.as_ref());
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let condition = |type_: &str| conditions?.iter().find(|condition| condition.type_ == type_);
    let trouble = waiting.and_then(|waiting| {
        // The kubelet's usual steps are no trouble.
        let reason = waiting
            .reason
            .as_deref()
            .filter(|reason| *reason != "ContainerCreating")?;
        Some(format!(
            "{reason}: {}",
            waiting.message.as_deref().unwrap_or_default()
        ))
    });
    let unscheduled = condition("PodScheduled")
        .filter(|condition| condition.status == "False")
        .map(|condition| {
            format!(
                "Unschedulable: {}",
                condition.message.as_deref().unwrap_or_default()
            )
        });
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
        trouble: trouble.or(unscheduled),
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
    }
}

/// Whether the Secrets that the spec names are there. What must be in them the object store decides.
pub(super) async fn credentials(shared: &Shared, group: &ReplicationGroup) -> Credentials {
    let namespace = group.namespace().unwrap_or_default();
    let secrets = Api::<Secret>::namespaced(shared.client.clone(), &namespace);
    let store = &group.spec.object_store;
    let needed = [
        (store.credentials_secret.as_ref(), &[][..]),
        (store.ca_bundle_secret.as_ref(), &["ca.crt"][..]),
        (
            group.spec.tls.secret.as_ref(),
            &["ca.crt", "tls.crt", "tls.key"][..],
        ),
    ];
    for (reference, keys) in needed {
        let Some(reference) = reference else { continue };
        let found = match secrets.get_opt(&reference.name).await {
            Ok(Some(found)) => found,
            Ok(None) => return Credentials::Missing(reference.name.clone()),
            Err(error) => {
                tracing::warn!(%error, secret = reference.name, "a Secret could not be read");
                return Credentials::Unknown;
            }
        };
        let data = found.data.unwrap_or_default();
        if data.is_empty() {
            return Credentials::Invalid(format!("the Secret {} is empty", reference.name));
        }
        if let Some(key) = keys.iter().find(|key| !data.contains_key(**key)) {
            return Credentials::Invalid(format!("the Secret {} has no key {key}", reference.name));
        }
    }
    Credentials::Valid
}
