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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Entry;
    use crate::plan::{ClaimSeen, PodSeen, PodTrouble};
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};

    /// A server that answers this to whatever it is asked.
    fn world(status: u16, body: Value) -> Shared {
        let server = tower::service_fn(move |_: Request<Body>| {
            let answer = Response::builder()
                .status(status)
                .body(Body::from(body.to_string().into_bytes()));
            futures::future::ready(Ok::<_, tower::BoxError>(answer.expect("an answer")))
        });
        Shared::of_tests(kube::Client::new(server, "ns"))
    }

    fn node(taints: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "spec": {"taints": taints}})
    }

    fn failure(code: u16, reason: &str) -> Value {
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason})
    }

    #[tokio::test]
    async fn a_machine_that_the_cache_does_not_know_is_asked_for() {
        let out = json!([{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]);
        let away = json!([{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]);
        for (status, body, is_lost) in [
            (200, node(json!([])), false),
            (200, node(away), false),
            (200, node(out), true),
            (404, failure(404, "NotFound"), true),
            (403, failure(403, "Forbidden"), false),
            (500, failure(500, "InternalError"), false),
        ] {
            let shared = world(status, body.clone());
            assert_eq!(is_gone(&shared, "n1").await, is_lost, "{status}: {body}");
        }
        // What the cache knows is not asked for.
        let shared = world(404, failure(404, "NotFound"));
        let there = MachineSeen::default();
        let key = ObjectKey::new("", "n1");
        shared
            .caches
            .machines
            .put(key, Entry::new(&Default::default(), there));
        assert!(!is_gone(&shared, "n1").await);
    }

    #[test]
    fn a_member_that_runs_or_may_yet_run_elsewhere_needs_no_machine() {
        let on = |machine: Option<&str>, is_ready, kind: Option<PodTroubleKind>| MemberSeen {
            pod: Some(PodSeen {
                is_ready,
                machine: machine.map(str::to_owned),
                trouble: kind.map(|kind| PodTrouble {
                    kind,
                    message: String::new(),
                }),
                ..PodSeen::default()
            }),
            claim: Some(ClaimSeen {
                machine: Some("n1".into()),
                ..ClaimSeen::default()
            }),
            ..MemberSeen::default()
        };
        let stuck = Some(PodTroubleKind::Unschedulable);
        assert_eq!(in_question(&on(Some("n2"), true, None)), None, "it is ready");
        assert_eq!(in_question(&on(Some("n2"), false, None)), Some("n2"));
        assert_eq!(in_question(&on(None, false, None)), None, "it may find a place");
        assert_eq!(
            in_question(&on(None, false, stuck)),
            Some("n1"),
            "its disk is there"
        );
        let no_pod = MemberSeen {
            pod: None,
            ..on(None, false, None)
        };
        assert_eq!(in_question(&no_pod), None, "its pod comes");
    }
}
