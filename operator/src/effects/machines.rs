//! Machines that are gone for good. A Node that is not ready is none: it may come back, with its disks.

use super::Shared;
use crate::cache::{MachineSeen, ObjectKey, Scope};
use crate::names::MemberName;
use crate::plan::{MemberSeen, PodTroubleKind};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use std::collections::BTreeMap;

/// Marks members whose machines are gone.
pub(super) async fn look(shared: &Shared, members: &mut BTreeMap<MemberName, MemberSeen>) {
    // Whose Nodes nobody may read is asked of people: `orion-db.dev/replace`.
    if shared.caches.scope != Scope::Cluster {
        return;
    }
    for seen in members.values_mut() {
        if let Some(machine) = in_question(seen).map(str::to_owned) {
            seen.machine_is_gone = is_gone(shared, &machine).await;
        }
    }
}

/// The machine without which a member cannot run: its pod's, or the one that its disk was made for where the pod finds no
/// other. A disk that can follow its pod does so, and then nothing is lost.
fn in_question(seen: &MemberSeen) -> Option<&str> {
    let pod = seen.pod.as_ref().filter(|pod| !pod.is_ready)?;
    let is_stuck = pod
        .trouble
        .as_ref()
        .is_some_and(|trouble| trouble.kind == PodTroubleKind::Unschedulable);
    match &pod.machine {
        Some(machine) => Some(machine),
        None if is_stuck => seen.claim.as_ref()?.machine.as_deref(),
        None => None,
    }
}

/// INVARIANT: a machine is gone only if the API server itself says that it has no such Node: the cache may not have a new
/// one yet. Tested by `a_machine_that_the_cache_does_not_know_is_asked_for`.
async fn is_gone(shared: &Shared, machine: &str) -> bool {
    if let Some(seen) = shared.caches.machines.get(&ObjectKey::new("", machine)) {
        return seen.is_out_of_service;
    }
    match Api::<Node>::all(shared.client.clone()).get_opt(machine).await {
        Ok(Some(node)) => MachineSeen::of(&node).is_out_of_service,
        Ok(None) => true,
        Err(error) => {
            tracing::warn!(%error, machine, "a Node could not be asked for");
            false
        }
    }
}
