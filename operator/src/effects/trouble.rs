//! Why a pod does not run: from its status, which the scheduler and the kubelet write, and from the way in which its node
//! ended. Words are for people; what follows from them follows from reasons and exit codes.

use crate::plan::{PodTrouble, PodTroubleKind};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use orion_api::exit;

/// An end that is longer ago says nothing of a node that runs now and is not ready.
const RECENT: SignedDuration = SignedDuration::from_mins(5);

/// What is known; None where nothing is wrong, or nothing more than that it begins.
pub(super) fn of(pod: &Pod, now: Timestamp) -> Option<PodTrouble> {
    let status = pod.status.as_ref()?;
    let container = status.container_statuses.as_ref().and_then(|all| all.first());
    container
        .and_then(|container| of_container(container, now))
        .or_else(|| unscheduled(pod))
}

fn unscheduled(pod: &Pod) -> Option<PodTrouble> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    let message = condition.message.as_deref().unwrap_or_default();
    Some(PodTrouble {
        kind: PodTroubleKind::Unschedulable,
        message: format!("Unschedulable: {message}"),
    })
}

fn of_container(container: &ContainerStatus, now: Timestamp) -> Option<PodTrouble> {
    let state = container.state.as_ref()?;
    let last = container
        .last_state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    if let Some(ended) = &state.terminated {
        return Some(of_end(ended));
    }
    if state.running.is_some() {
        let is_recent = |ended: &&ContainerStateTerminated| {
            let time = ended.finished_at.as_ref().map(|time| time.0);
            time.is_some_and(|time| now.duration_since(time) < RECENT)
        };
        return last.filter(|_| !container.ready).filter(is_recent).map(of_end);
    }
    let waiting = state.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().unwrap_or_default();
    let kind = match reason {
        // The kubelet's usual steps.
        "" | "ContainerCreating" | "PodInitializing" => return None,
        "CrashLoopBackOff" => {
            if let Some(ended) = last {
                return Some(of_end(ended));
            }
            PodTroubleKind::Crash
        }
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => PodTroubleKind::Image,
        _ => PodTroubleKind::Other,
    };
    let message = waiting.message.as_deref().unwrap_or_default();
    Some(PodTrouble {
        kind,
        message: format!("{reason}: {message}"),
    })
}

/// By the number that it ended with: see `orion_api::exit`.
fn of_end(ended: &ContainerStateTerminated) -> PodTrouble {
    let code = u8::try_from(ended.exit_code).ok();
    let kind = match code {
        Some(exit::OBJECT_STORE_UNAVAILABLE) => PodTroubleKind::ObjectStoreUnavailable,
        Some(exit::OBJECT_STORE_DENIED) => PodTroubleKind::ObjectStoreDenied,
        Some(exit::GROUP_ELSEWHERE) => PodTroubleKind::GroupElsewhere,
        _ => PodTroubleKind::Crash,
    };
    let words = ended.message.as_deref().unwrap_or_default().lines();
    let last = words.map(str::trim).rfind(|line| !line.is_empty());
    let message = match (last, ended.reason.as_deref()) {
        (Some(words), Some("Error") | None) => format!("it ended with {}: {words}", ended.exit_code),
        (Some(words), Some(reason)) => format!("{reason}: {words}"),
        (None, reason) => format!("{}: it ended with {}", reason.unwrap_or("Error"), ended.exit_code),
    };
    PodTrouble { kind, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn seen(status: Value) -> Option<(PodTroubleKind, String)> {
        let pod: Pod = serde_json::from_value(json!({ "status": status })).expect("a pod");
        let now = "2026-01-01T00:10:00Z".parse().expect("a time");
        of(&pod, now).map(|trouble| (trouble.kind, trouble.message))
    }

    fn container(state: Value, last: Value) -> Value {
        json!({"containerStatuses": [{
            "name": "orion", "image": "x", "imageID": "x", "restartCount": 1, "ready": false,
            "state": state, "lastState": last
        }]})
    }

    fn ended(code: u8, at: &str) -> Value {
        json!({"terminated": {
            "exitCode": code, "reason": "Error", "finishedAt": at,
            "message": "{\"level\":\"INFO\"}\norion: object x: access denied\n"
        }})
    }

    #[test]
    fn each_trouble_is_known_by_what_programs_may_rely_on() {
        use PodTroubleKind as K;
        let waits =
            |reason: &str| container(json!({"waiting": {"reason": reason, "message": "m"}}), json!({}));
        assert_eq!(seen(json!({})), None);
        assert_eq!(seen(waits("ContainerCreating")), None);
        for reason in ["ErrImagePull", "ImagePullBackOff", "InvalidImageName"] {
            assert_eq!(seen(waits(reason)), Some((K::Image, format!("{reason}: m"))));
        }
        let config = waits("CreateContainerConfigError");
        assert_eq!(seen(config).map(|seen| seen.0), Some(K::Other));
        let unscheduled =
            json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "no room"}]});
        assert_eq!(
            seen(unscheduled),
            Some((K::Unschedulable, "Unschedulable: no room".into()))
        );
    }

    #[test]
    fn a_node_that_ended_says_why_by_its_number_and_its_last_line() {
        use PodTroubleKind as K;
        let backs_off = || json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}});
        let at = "2026-01-01T00:09:00Z";
        for (code, kind) in [
            (69, K::ObjectStoreUnavailable),
            (77, K::ObjectStoreDenied),
            (73, K::GroupElsewhere),
            (1, K::Crash),
            (137, K::Crash),
        ] {
            let words = format!("it ended with {code}: orion: object x: access denied");
            assert_eq!(
                seen(container(backs_off(), ended(code, at))),
                Some((kind, words.clone()))
            );
            assert_eq!(
                seen(container(ended(code, at), json!({}))),
                Some((kind, words.clone()))
            );
            let again = container(json!({"running": {}}), ended(code, at));
            assert_eq!(
                seen(again),
                Some((kind, words)),
                "it runs again and is not ready yet"
            );
        }
        let long_ago = container(json!({"running": {}}), ended(77, "2026-01-01T00:01:00Z"));
        assert_eq!(seen(long_ago), None);
    }
}
