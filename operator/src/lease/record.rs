//! What a Lease says, and what follows from it: pure. Times are of the own clock only: what another machine wrote as a
//! time is for people.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use std::time::{Duration, Instant};

/// What to do after a look at the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is ours.
    Renew,
    /// Nobody holds it, or who held it did not renew it in time.
    Take,
    /// Another one holds it.
    Wait,
}

/// The last version that was seen, and since when it is the last.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched {
    seen: Option<(String, Instant)>,
}

impl Watched {
    /// What follows from a look.
    ///
    /// INVARIANT: a Lease of another one is taken only when this process itself saw one and the same version for its whole
    /// duration. Whoever wrote that version stops earlier, counting from before it was sent (`Held`). Tested by
    /// `a_lease_is_taken_only_when_it_was_still_for_its_duration` and `a_holder_without_the_server_stops_before_another_begins`.
    pub(super) fn step(&mut self, lease: &Lease, own: &str, now: Instant) -> Step {
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let since = match &self.seen {
            Some((seen, since)) if *seen == version => *since,
            _ => {
                self.seen = Some((version, now));
                now
            }
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.unwrap_or_default();
        let seconds = spec
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok());
        let duration = Duration::from_secs(seconds.unwrap_or(0));
        match holder.as_str() {
            "" => Step::Take,
            holder if holder == own => Step::Renew,
            _ if now.saturating_duration_since(since) >= duration => Step::Take,
            _ => Step::Wait,
        }
    }
}

/// The Lease as its holder writes it.
pub(super) fn held(lease: &Lease, own: &str, duration: Duration) -> Lease {
    let before = lease.spec.clone().unwrap_or_default();
    let is_new = before.holder_identity.as_deref() != Some(own);
    let now = MicroTime(Timestamp::now());
    let transitions = before.lease_transitions.unwrap_or(0) + i32::from(is_new);
    Lease {
        metadata: lease.metadata.clone(),
        spec: Some(LeaseSpec {
            holder_identity: Some(own.to_owned()),
            lease_duration_seconds: i32::try_from(duration.as_secs()).ok(),
            acquire_time: if is_new {
                Some(now.clone())
            } else {
                before.acquire_time
            },
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }),
    }
}

/// The Lease as nobody's: the next one takes it at once.
pub(super) fn released(lease: &Lease) -> Lease {
    let mut released = lease.clone();
    let spec = released.spec.get_or_insert_default();
    spec.holder_identity = Some(String::new());
    spec.renew_time = Some(MicroTime(Timestamp::now()));
    released
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SECOND: Duration = Duration::from_secs(1);

    fn lease(holder: &str, version: &str) -> Lease {
        let lease = json!({
            "metadata": {"name": "orion-operator", "resourceVersion": version},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 4}
        });
        serde_json::from_value(lease).expect("a Lease")
    }

    #[test]
    fn a_lease_is_taken_only_when_it_was_still_for_its_duration() {
        let (mut watched, begin) = (Watched::default(), Instant::now());
        assert_eq!(watched.step(&lease("other", "1"), "own", begin), Step::Wait);
        assert_eq!(
            watched.step(&lease("other", "1"), "own", begin + 14 * SECOND),
            Step::Wait
        );
        // Renewed: the time begins anew.
        assert_eq!(
            watched.step(&lease("other", "2"), "own", begin + 15 * SECOND),
            Step::Wait
        );
        assert_eq!(
            watched.step(&lease("other", "2"), "own", begin + 29 * SECOND),
            Step::Wait
        );
        assert_eq!(
            watched.step(&lease("other", "2"), "own", begin + 30 * SECOND),
            Step::Take
        );
    }

    #[test]
    fn a_released_lease_is_taken_at_once_and_the_own_one_is_kept() {
        let (mut watched, now) = (Watched::default(), Instant::now());
        let released = released(&lease("other", "1"));
        assert_eq!(watched.step(&released, "own", now), Step::Take);
        assert_eq!(watched.step(&lease("own", "1"), "own", now), Step::Renew);
    }

    #[test]
    fn transitions_count_holders_and_not_renewals() {
        let taken = held(&lease("other", "1"), "own", 15 * SECOND);
        let renewed = held(&taken, "own", 15 * SECOND);
        let transitions = |lease: &Lease| lease.spec.clone().and_then(|spec| spec.lease_transitions);
        assert_eq!((transitions(&taken), transitions(&renewed)), (Some(5), Some(5)));
        assert_eq!(renewed.metadata.resource_version.as_deref(), Some("1"));
    }
}
