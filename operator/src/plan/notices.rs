//! What people are told as Events: what begins, ends or goes wrong, once each. Made from the difference of two statuses and
//! from what was done in between, so that a look that changes nothing says nothing.

use super::action::{Action, Restart};
use super::databases::DatabaseAction;
use super::observed::Observed;
use crate::names::MemberName;
use orion_crds::condition::{Condition, Status, find};
use orion_crds::database::{DatabaseStatus, reason as of_database};
use orion_crds::group::{Member, MemberState, ReplicationGroupStatus, condition, reason};

/// One Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whether a person should look.
    pub is_warning: bool,
    /// In one word.
    pub reason: String,
    /// What was done or found out, in one word.
    pub action: &'static str,
    /// In a sentence.
    pub note: String,
}

fn normal(reason: impl Into<String>, action: &'static str, note: impl Into<String>) -> Notice {
    Notice {
        is_warning: false,
        reason: reason.into(),
        action,
        note: note.into(),
    }
}

fn warning(reason: impl Into<String>, action: &'static str, note: impl Into<String>) -> Notice {
    Notice {
        is_warning: true,
        ..normal(reason, action, note)
    }
}

/// Conditions of a group that are told of when they turn, with what they are when all is well, and what is said when they
/// are well again. Ready has rules of its own; Progressing and UpdateFinalized are told of as rolls.
const TOLD: [(&str, Status, &str); 7] = [
    (condition::QUORUM_HEALTHY, Status::True, "QuorumHealthy"),
    (
        condition::OBJECT_STORE_REACHABLE,
        Status::True,
        "ObjectStoreReachable",
    ),
    (condition::CREDENTIALS_VALID, Status::True, "CredentialsValid"),
    (condition::CERTIFICATES_VALID, Status::True, "CertificatesValid"),
    (condition::PLACEMENT_SATISFIED, Status::True, "PlacementSatisfied"),
    (condition::DISK_PRESSURE, Status::False, "DiskPressureOver"),
    (condition::DELETION_BLOCKED, Status::False, "DeletionUnblocked"),
];

/// What a group's status says that it did not say before.
pub fn group_notices(before: &ReplicationGroupStatus, now: &ReplicationGroupStatus) -> Vec<Notice> {
    let (then, conditions) = (&before.conditions[..], &now.conditions[..]);
    let has_begun = before.group_id.is_some();
    let mut notices = Vec::new();
    if !has_begun && now.group_id.is_some() {
        notices.push(normal("Bootstrapped", "Bootstrap", "the group has begun"));
    }
    for (type_, good, well) in TOLD {
        notices.extend(turned(then, conditions, type_, good, well));
    }
    notices.extend(roll(then, conditions));
    notices.extend(ready(then, conditions));
    notices.extend(led(before, now).filter(|_| has_begun));
    notices.extend(lost(&before.members, &now.members));
    notices
}

/// A condition that turned bad, or is bad for another reason, or is good again.
fn turned(
    then: &[Condition],
    now: &[Condition],
    type_: &str,
    good: Status,
    well: &'static str,
) -> Option<Notice> {
    let (before, now) = (find(then, type_), find(now, type_)?);
    let was_bad = before.filter(|before| is_bad(before, good));
    match is_bad(now, good) {
        true if was_bad.is_none_or(|before| before.reason != now.reason) => {
            Some(warning(now.reason.clone(), "Observe", now.message.clone()))
        }
        false if now.status == good && was_bad.is_some() => {
            Some(normal(well, "Observe", now.message.clone()))
        }
        _ => None,
    }
}

/// What nobody knows is not bad, nor is a beginning.
fn is_bad(condition: &Condition, good: Status) -> bool {
    condition.status != good
        && condition.status != Status::Unknown
        && condition.reason != reason::WAITING_FOR_MEMBERS
}

fn roll(then: &[Condition], now: &[Condition]) -> Option<Notice> {
    let is = |conditions: &[Condition], status, reasons: &[&str]| {
        find(conditions, condition::UPDATE_FINALIZED)
            .is_some_and(|found| found.status == status && reasons.contains(&found.reason.as_str()))
    };
    let rolls = |conditions: &[Condition]| is(conditions, Status::False, &[reason::ROLLING]);
    let halts = |conditions: &[Condition]| is(conditions, Status::False, &[reason::ROLL_HALTED]);
    let message = |type_| find(now, type_).map_or_else(String::new, |found| found.message.clone());
    match (rolls(then), halts(then), rolls(now), halts(now)) {
        (false, false, true, _) => Some(normal(
            "RollBegun",
            "Roll",
            "pods are restarted, one at a time, the leader last",
        )),
        (_, true, true, _) => Some(normal("RollGoesOn", "Roll", "pods are restarted again")),
        (_, false, _, true) => Some(warning("RollHalted", "Roll", message(condition::READY))),
        (true, ..) | (_, true, ..) if !rolls(now) && !halts(now) => Some(normal(
            "RollDone",
            "Roll",
            "all pods have the newest template and are ready",
        )),
        _ => None,
    }
}

/// Reasons of Ready that no other condition tells of.
const TROUBLES: [&str; 4] = [
    reason::NAME_TAKEN,
    reason::REFUSED,
    reason::NOT_SUPPORTED,
    reason::MEMBERS_NOT_READY,
];

/// Members that are not ready while they are restarted are no news.
fn ready(then: &[Condition], now: &[Condition]) -> Option<Notice> {
    let (before, ready) = (find(then, condition::READY), find(now, condition::READY)?);
    let rolls = |conditions: &[Condition]| {
        find(conditions, condition::UPDATE_FINALIZED).is_some_and(|found| found.status == Status::False)
    };
    let is_rolling = rolls(then) || rolls(now);
    let is_trouble =
        |reason: &str| TROUBLES.contains(&reason) && !(is_rolling && reason == reason::MEMBERS_NOT_READY);
    let was = before.filter(|before| before.status == Status::False);
    match ready.status {
        Status::False if is_trouble(&ready.reason) && was.is_none_or(|was| was.reason != ready.reason) => {
            Some(warning(ready.reason.clone(), "Observe", ready.message.clone()))
        }
        Status::True if !is_rolling && before.is_some_and(|before| before.status != Status::True) => {
            Some(normal("Ready", "Observe", ready.message.clone()))
        }
        _ => None,
    }
}

fn led(before: &ReplicationGroupStatus, now: &ReplicationGroupStatus) -> Option<Notice> {
    let leader =
        |status: &ReplicationGroupStatus| status.leader.as_ref().and_then(|leader| leader.pod.clone());
    let (old, new) = (leader(before), leader(now)?);
    match old {
        Some(old) if old == new => None,
        Some(old) => Some(normal(
            "LeaderChanged",
            "Observe",
            format!("{new} leads, after {old}"),
        )),
        None => Some(normal("LeaderChanged", "Observe", format!("{new} leads"))),
    }
}

fn lost(before: &[Member], now: &[Member]) -> Vec<Notice> {
    let is_lost = |member: &&Member| member.state == Some(MemberState::Lost);
    let was_lost = |pod: &str| before.iter().filter(is_lost).any(|member| member.pod == pod);
    let fresh = now.iter().filter(is_lost).filter(|member| !was_lost(&member.pod));
    let note = |member: &Member| format!("{} is lost for good: another member takes its place", member.pod);
    fresh
        .map(|member| warning("MemberLost", "Replace", note(member)))
        .collect()
}

/// What an action on a group's members that was carried out means to people; None: nothing.
pub fn action_notice(observed: &Observed, action: &Action) -> Option<Notice> {
    let of = |member: &MemberName, what: &str| format!("member {member} {what}");
    let (reason, verb, note) = match action {
        Action::CreateMember { member, .. } if observed.members.contains_key(member) => (
            "MemberRestored",
            "AddMember",
            of(member, "lacked its StatefulSet, which is made anew"),
        ),
        Action::CreateMember { member, .. } => ("MemberAdded", "AddMember", of(member, "is added")),
        Action::DeleteMember { member } => (
            "MemberRemoved",
            "RemoveMember",
            of(member, "is out of the group; its pod goes"),
        ),
        Action::DeleteClaim { member } => (
            "DiskDeleted",
            "DeleteDisk",
            of(
                member,
                "is out of the group; its disk is deleted, as onScaleDown says",
            ),
        ),
        Action::GrowClaim { member, size } => (
            "DiskGrown",
            "GrowDisk",
            of(member, &format!("gets a disk of {size}")),
        ),
        Action::RestartPod { member, how, .. } => match how {
            Restart::Evict => (
                "PodRestarted",
                "Restart",
                of(member, "is restarted with the new template"),
            ),
            Restart::Delete => (
                "PodReplaced",
                "Restart",
                of(member, "did not run; its pod is made anew"),
            ),
        },
        Action::ChangeLeader { node } => {
            let membership = observed.membership.known();
            let member = membership.and_then(|known| known.members.get(node)?.member.clone());
            let who = member.map_or_else(|| node.to_string(), |member| format!("member {member}"));
            ("HandOver", "HandOver", format!("{who} is asked to lead"))
        }
        Action::UpdateMember { .. }
        | Action::OrphanMember { .. }
        | Action::ChangeRoles { .. }
        | Action::RemoveNode { .. }
        | Action::LabelPod { .. } => return None,
    };
    Some(normal(reason, verb, note))
}

/// Reasons of a database's Ready that a person has to do something about. That its group does not serve is told of the
/// group, once, and not of each of its databases.
const DATABASE_TROUBLES: [&str; 7] = [
    of_database::NAME_TAKEN,
    of_database::REFUSED,
    of_database::ADOPTION_REFUSED,
    of_database::NAMESPACE_REFUSED,
    of_database::GROUP_MISSING,
    of_database::GROUP_CLOSED,
    of_database::NOT_SUPPORTED,
];

/// What a database's status says that it did not say before.
pub fn database_notices(before: &DatabaseStatus, now: &DatabaseStatus) -> Vec<Notice> {
    let mut notices = Vec::new();
    let name = now.database_name.as_deref().unwrap_or_default();
    if before.database_id.is_none() && now.database_id.is_some() {
        notices.push(normal(
            "DatabaseMade",
            "Create",
            format!("the database {name} is there"),
        ));
    }
    let troubled = |conditions: &[Condition]| {
        let ready = find(conditions, condition::READY).filter(|ready| ready.status == Status::False);
        ready
            .filter(|ready| DATABASE_TROUBLES.contains(&ready.reason.as_str()))
            .cloned()
    };
    let is_ready = find(&now.conditions, condition::READY).is_some_and(|ready| ready.status == Status::True);
    match (troubled(&before.conditions), troubled(&now.conditions)) {
        (before, Some(now)) if before.as_ref().is_none_or(|before| before.reason != now.reason) => {
            notices.push(warning(now.reason, "Observe", now.message));
        }
        (Some(_), None) if is_ready => notices.push(normal("Ready", "Observe", format!("{name} serves"))),
        _ => {}
    }
    notices
}

/// What an action on a database that was carried out means to people; None: nothing.
pub fn database_action_notice(action: &DatabaseAction) -> Option<Notice> {
    match action {
        DatabaseAction::Drop(name) => {
            let note = format!("the database {name} is dropped, as deletionPolicy says");
            Some(normal("DatabaseDropped", "Drop", note))
        }
        _ => None,
    }
}
