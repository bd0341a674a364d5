//! Restarts of pods that run another template than their StatefulSet has: one at a time, the leader last.

use super::action::{Action, Restart};
use super::observed::Membership;
use super::view::{Entry, Fate};
use orion_crds::group::Role;

/// How the roll stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Roll {
    /// All pods run what they should.
    Done,
    /// This is next.
    Next(Action),
    /// Something else must happen first.
    Waiting,
    /// A pod with the newest template does not become ready: the next one would not either.
    Halted {
        /// That pod's member.
        by: String,
    },
}

/// The next restart.
///
/// INVARIANT: a pod that runs is restarted only when all others are ready, Raft's membership is known and settled, and
/// somebody leads. One that does not run may be deleted at any time: so a bad image is always taken back. Tested by
/// `a_bad_image_halts_the_roll_and_can_be_taken_back`.
pub(super) fn step(entries: &[Entry<'_>], membership: Option<&Membership>, is_settled: bool) -> Roll {
    // Broken and outdated: nothing is taken away. Those that leave too: the others may need its vote to let it go.
    let broken = entries
        .iter()
        .filter(|entry| entry.fate != Fate::Lost && is_outdated(entry))
        .find(|entry| {
            let is_broken = |pod: &super::PodSeen| !pod.is_running && !pod.is_terminating;
            entry.seen.pod.as_ref().is_some_and(is_broken)
        });
    if let Some(entry) = broken {
        return restart(entry, Restart::Delete);
    }
    let staying: Vec<&Entry<'_>> = entries.iter().filter(|entry| entry.fate == Fate::Stays).collect();
    let outdated: Vec<&&Entry<'_>> = staying.iter().filter(|entry| is_outdated(entry)).collect();
    if outdated.is_empty() {
        return Roll::Done;
    }
    let unready: Vec<&&Entry<'_>> = staying
        .iter()
        .filter(|entry| entry.seen.runs && !entry.is_ready())
        .collect();
    if let Some(entry) = unready.iter().find(|entry| is_failing(entry)) {
        return Roll::Halted {
            by: entry.name.to_string(),
        };
    }
    let Some(membership) = membership.filter(|membership| membership.leader.is_some()) else {
        return Roll::Waiting;
    };
    // One that runs and is not ready, and has the old template: the new one may be its remedy.
    let candidates: Vec<&&Entry<'_>> = match unready.as_slice() {
        [] if is_settled => outdated,
        [one] if is_outdated(one) && !one.seen.pod.as_ref().is_some_and(|pod| pod.is_terminating) => {
            vec![*one]
        }
        _ => return Roll::Waiting,
    };
    next(&staying, &candidates, membership)
}

fn next(staying: &[&Entry<'_>], candidates: &[&&Entry<'_>], membership: &Membership) -> Roll {
    let candidates: Vec<&&Entry<'_>> = candidates
        .iter()
        .filter(|entry| leaves_majority(entry, staying, membership))
        .copied()
        .collect();
    let follower = candidates
        .iter()
        .filter(|entry| !entry.leads(membership))
        .min_by_key(|entry| (entry.votes(), entry.name.number));
    if let Some(entry) = follower {
        return restart(entry, Restart::Evict);
    }
    let Some(leader) = candidates.first() else {
        return Roll::Waiting;
    };
    let successor = staying
        .iter()
        .filter(|entry| entry.name != leader.name && entry.votes() && entry.is_ready())
        .find(|entry| entry.wanted_role() == Role::Voter);
    match successor.and_then(|entry| entry.node) {
        Some((node, _)) => Roll::Next(Action::ChangeLeader { node }),
        // Alone: there is nobody to hand over to.
        None if membership.members.values().filter(|node| node.votes).count() == 1 => {
            restart(leader, Restart::Evict)
        }
        None => Roll::Waiting,
    }
}

/// Whether the voters that are ready are a majority without this one too. A group of one has no choice.
fn leaves_majority(entry: &Entry<'_>, staying: &[&Entry<'_>], membership: &Membership) -> bool {
    let voters = membership.members.values().filter(|node| node.votes).count();
    let others = staying
        .iter()
        .filter(|other| other.name != entry.name && other.votes() && other.is_ready());
    !entry.votes() || !entry.is_ready() || voters == 1 || 2 * others.count() > voters
}

fn restart(entry: &Entry<'_>, how: Restart) -> Roll {
    match &entry.seen.pod {
        Some(pod) if !pod.is_terminating => Roll::Next(Action::RestartPod {
            member: entry.name.clone(),
            uid: pod.uid.clone(),
            how,
        }),
        _ => Roll::Waiting,
    }
}

/// Whether a member's pod has another template than its StatefulSet.
pub(super) fn is_outdated(entry: &Entry<'_>) -> bool {
    let pod = entry.seen.pod.as_ref();
    pod.is_some_and(|pod| pod.template != entry.seen.template && entry.seen.template.is_some())
}

/// Whether a pod has the newest template and does not run, for a reason that the kubelet names.
fn is_failing(entry: &Entry<'_>) -> bool {
    let pod = entry.seen.pod.as_ref();
    pod.is_some_and(|pod| !pod.is_running && pod.trouble.is_some() && !is_outdated(entry))
}
