//! What is said of a group: phase, conditions, members. Made from the same view as the plan, so that it never says what
//! the plan does not know.

use super::group::annotation;
use super::health;
use super::observed::{Certificates, Observed};
use super::roll::{self, Roll};
use super::view::{Entry, Fate};
use crate::names;
use crate::render::Context;
use orion_crds::Condition;
use orion_crds::condition::{Status, find};
use orion_crds::group::{
    Databases, Lag, Leader, Member, MemberState, Phase, ReplicationGroupStatus, Role, condition, reason,
};

/// Most names of unmanaged databases that a status holds.
const SAMPLE_MAX: usize = 100;

/// What a status is made from.
pub(super) struct Report<'a> {
    pub(super) observed: &'a Observed,
    pub(super) entries: &'a [Entry<'a>],
    pub(super) roll: &'a Roll,
    pub(super) is_settled: bool,
    pub(super) is_paused: bool,
    /// Whether the plan has anything to do.
    pub(super) is_busy: bool,
    pub(super) next_member: u32,
    pub(super) now: &'a str,
}

/// One condition before it gets its time.
pub(super) struct Finding {
    pub(super) type_: &'static str,
    pub(super) status: Status,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Finding {
    pub(super) fn new(
        type_: &'static str,
        status: Status,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Finding {
        Finding {
            type_,
            status,
            reason,
            message: message.into(),
        }
    }
}

/// Conditions with their times: one that says the same as before keeps its own.
pub(super) fn timed(
    findings: Vec<Finding>,
    before: &[Condition],
    generation: Option<i64>,
    now: &str,
) -> Vec<Condition> {
    let timed = findings.into_iter().map(|finding| {
        let old = before
            .iter()
            .find(|old| old.type_ == finding.type_ && old.status == finding.status);
        Condition {
            type_: finding.type_.to_owned(),
            status: finding.status,
            reason: finding.reason.to_owned(),
            message: shortened(&finding.message, 1024),
            last_transition_time: old.map_or_else(|| now.to_owned(), |old| old.last_transition_time.clone()),
            observed_generation: generation,
        }
    });
    timed.collect()
}

/// At most so many characters: the schema refuses longer ones.
pub(super) fn shortened(text: &str, characters_max: usize) -> String {
    match text.chars().count() > characters_max {
        false => text.to_owned(),
        true => text.chars().take(characters_max - 1).chain(['…']).collect(),
    }
}

/// The status.
pub(super) fn of(report: &Report<'_>, context: &Context<'_>) -> ReplicationGroupStatus {
    let group = &report.observed.group;
    let before = group.status.clone().unwrap_or_default();
    let membership = report.observed.membership.known();
    let has_begun = membership.is_some_and(|membership| membership.leader.is_some());
    let findings = findings(report, before.group_id.is_some() || has_begun);
    let ready = &findings[0];
    let message = match ready.status {
        Status::True => None,
        _ => Some(shortened(&ready.message, 256)),
    };
    let is_new = is_young(report) && quorum(report).status != Status::True;
    let phase = phase(report, is_new, ready);
    let conditions = timed(
        findings,
        &before.conditions,
        group.metadata.generation,
        report.now,
    );
    let version = version(report.entries);
    ReplicationGroupStatus {
        phase: Some(phase),
        observed_generation: group.metadata.generation,
        message,
        conditions,
        // Once it has begun it has begun for ever, whatever is known now.
        group_id: before
            .group_id
            .or_else(|| has_begun.then(|| group.metadata.uid.clone()).flatten()),
        ready: Some(format!(
            "{}/{}",
            ready_count(report),
            wanted_count(report.observed)
        )),
        leader: leader(report, context),
        next_member: Some(report.next_member),
        members: members(report, context),
        databases: databases(report).or(before.databases),
        image: Some(context.image.to_owned()),
        version: version.or(before.version),
        format_version: membership
            .map(|membership| membership.format_level)
            .or(before.format_version),
        template_revision: Some(context.revision),
        certificate_expires: match &report.observed.certificates {
            Certificates::Until(second) => Some(health::date(*second)),
            Certificates::Unwanted => None,
            _ => before.certificate_expires,
        },
    }
}

fn wanted_count(observed: &Observed) -> u32 {
    match observed.group.spec.hibernated {
        true => 0,
        false => observed
            .group
            .spec
            .member_sets
            .iter()
            .map(|set| set.replicas)
            .sum(),
    }
}

fn ready_count(report: &Report<'_>) -> usize {
    let staying = report.entries.iter().filter(|entry| entry.fate == Fate::Stays);
    staying.filter(|entry| entry.is_ready()).count()
}

/// The condition Ready is the first.
fn findings(report: &Report<'_>, has_begun: bool) -> Vec<Finding> {
    vec![
        is_ready(report, has_begun),
        progressing(report),
        health::bootstrapped(report, has_begun),
        quorum(report),
        health::object_store(report),
        health::credentials(report),
        health::certificates(report),
        health::placement(report),
        health::disks(report),
        update(report),
        deletion(report),
    ]
}

fn is_ready(report: &Report<'_>, has_begun: bool) -> Finding {
    let no = |reason, message: String| Finding::new(condition::READY, Status::False, reason, message);
    let observed = report.observed;
    let (ready, wanted) = (ready_count(report), wanted_count(observed) as usize);
    if observed.group.metadata.deletion_timestamp.is_some() {
        return no(reason::DELETING, "the group is being deleted".into());
    }
    if let Some(name) = observed.foreign.first() {
        return no(
            reason::NAME_TAKEN,
            format!("{name} belongs to somebody else; delete it or rename the group"),
        );
    }
    if let Some(why) = &observed.refused {
        return no(
            reason::REFUSED,
            format!("the API server refuses what the spec asks for: {why}"),
        );
    }
    let of_secrets = [health::credentials(report), health::certificates(report)];
    let is_of_a_secret =
        |finding: &Finding| finding.status == Status::False && finding.reason != reason::OBJECT_STORE_DENIED;
    if let Some(trouble) = of_secrets.into_iter().find(is_of_a_secret) {
        return no(trouble.reason, trouble.message);
    }
    if observed.group.spec.hibernated {
        return no(
            reason::HIBERNATED,
            "spec.hibernated is true: there are no pods".into(),
        );
    }
    if let Roll::Halted { by } = report.roll {
        let why = trouble_of(report, by);
        return no(
            reason::ROLL_HALTED,
            format!("member {by} does not start with the new template{why}"),
        );
    }
    if !has_begun {
        return unready(report, has_begun, reason::WAITING_FOR_MEMBERS);
    }
    let quorum = quorum(report);
    if quorum.status != Status::True && is_young(report) {
        return unready(report, has_begun, reason::WAITING_FOR_MEMBERS);
    }
    if quorum.status != Status::True {
        return Finding {
            type_: condition::READY,
            ..quorum
        };
    }
    if ready < wanted {
        return unready(report, has_begun, reason::MEMBERS_NOT_READY);
    }
    if !report.is_settled {
        return no(reason::SCALING, "members come or go".into());
    }
    Finding::new(
        condition::READY,
        Status::True,
        reason::AS_WISHED,
        "all members are ready",
    )
}

/// Fewer members are ready than wished, for a reason that something names, or for this one.
fn unready(report: &Report<'_>, has_begun: bool, reason: &'static str) -> Finding {
    let (ready, wanted) = (ready_count(report), wanted_count(report.observed));
    let (reason, why) = match health::cause(report, has_begun) {
        Some((reason, why)) => (reason, format!("; {why}")),
        None => (reason, first_trouble(report)),
    };
    let message = format!("{ready} of {wanted} members are ready{why}");
    Finding::new(condition::READY, Status::False, reason, message)
}

fn trouble_of(report: &Report<'_>, member: &str) -> String {
    let entry = report
        .entries
        .iter()
        .find(|entry| entry.name.to_string() == member);
    let trouble = entry.and_then(|entry| entry.seen.pod.as_ref()?.trouble.clone());
    trouble.map_or_else(String::new, |why| format!(": {}", why.message))
}

/// Of a member that is not ready: what the kubelet or the scheduler says, or the node itself.
fn first_trouble(report: &Report<'_>) -> String {
    let mut unready = report.entries.iter().filter(|entry| !entry.is_ready());
    let trouble = unready.find_map(|entry| {
        let of_pod = entry.seen.pod.as_ref().and_then(|pod| pod.trouble.as_ref());
        let of_node = report.observed.answers.get(entry.name);
        let of_node = of_node.and_then(|troubles| troubles.first());
        let words = of_pod.map(|trouble| &trouble.message);
        let words = words.or(of_node.map(|trouble| &trouble.message))?;
        Some(format!("; {}: {words}", entry.name))
    });
    trouble.unwrap_or_default()
}

fn progressing(report: &Report<'_>) -> Finding {
    let finding =
        |status, reason, message: &str| Finding::new(condition::PROGRESSING, status, reason, message);
    match (report.is_paused, report.roll, report.is_settled, report.is_busy) {
        (true, ..) => finding(
            Status::False,
            reason::PAUSED,
            "the annotation orion-db.dev/paused is true",
        ),
        (_, Roll::Halted { .. }, ..) => finding(
            Status::False,
            reason::ROLL_HALTED,
            "a pod with the new template does not start",
        ),
        (_, Roll::Next(_) | Roll::Waiting, true, _) => {
            finding(Status::True, reason::ROLLING, "pods are restarted, one at a time")
        }
        (_, _, true, false) => finding(Status::False, reason::AS_WISHED, "nothing is to be done"),
        _ => finding(Status::True, reason::SCALING, "members come or go"),
    }
}

/// Whether it never served yet, so that nothing can be lost.
fn is_young(report: &Report<'_>) -> bool {
    let before = report.observed.group.status.as_ref();
    let phase = before.and_then(|status| status.phase);
    matches!(phase, None | Some(Phase::Pending | Phase::Bootstrapping))
}

fn quorum(report: &Report<'_>) -> Finding {
    let finding =
        |status, reason, message: String| Finding::new(condition::QUORUM_HEALTHY, status, reason, message);
    let Some(membership) = report.observed.membership.known() else {
        return finding(Status::Unknown, reason::UNKNOWN, "no node could be asked".into());
    };
    let voters = membership.members.values().filter(|node| node.votes).count();
    let ready = report
        .entries
        .iter()
        .filter(|entry| entry.votes() && entry.is_ready())
        .count();
    match membership.leader.is_some() && 2 * ready > voters {
        true => finding(
            Status::True,
            reason::AS_WISHED,
            format!("{ready} of {voters} voters are ready"),
        ),
        false if is_young(report) => finding(
            Status::False,
            reason::WAITING_FOR_MEMBERS,
            format!("{ready} of {voters} voters are ready for the first time"),
        ),
        false => finding(
            Status::False,
            reason::QUORUM_LOST,
            format!("{ready} of {voters} voters are ready; nothing can be written"),
        ),
    }
}

/// Whether all members run the template, and the formats of their release are written.
fn update(report: &Report<'_>) -> Finding {
    let finding =
        |status, reason, message: String| Finding::new(condition::UPDATE_FINALIZED, status, reason, message);
    let staying = || report.entries.iter().filter(|entry| entry.fate == Fate::Stays);
    let outdated = staying().filter(|entry| roll::is_outdated(entry)).count();
    let (all, before) = (staying().count(), report.observed.group.status.as_ref());
    let before = before.and_then(|status| find(&status.conditions, condition::UPDATE_FINALIZED));
    let was_rolling = before
        .is_some_and(|before| before.status == Status::False && before.reason != reason::FORMAT_PENDING);
    let are_ready = || staying().all(|entry| entry.is_ready() || !entry.seen.runs);
    match (report.roll, report.observed.membership.known()) {
        (Roll::Halted { by }, _) => finding(
            Status::False,
            reason::ROLL_HALTED,
            format!("member {by} does not start with the new template; no other one is restarted"),
        ),
        (Roll::Next(_) | Roll::Waiting, _) => finding(
            Status::False,
            reason::ROLLING,
            format!("{} of {all} pods have the newest template", all - outdated),
        ),
        // The last one is on its way, and may yet fail.
        (Roll::Done, _) if was_rolling && !are_ready() => finding(
            Status::False,
            reason::ROLLING,
            "the pods that were restarted are not all ready yet".to_owned(),
        ),
        (Roll::Done, None) => finding(
            Status::Unknown,
            reason::UNKNOWN,
            "no node could be asked which format is written".to_owned(),
        ),
        (Roll::Done, Some(known)) if known.format_level < known.reads_level => finding(
            Status::False,
            reason::FORMAT_PENDING,
            format!(
                "all members read the format {}, and {} is written: until then the older release can be started again",
                known.reads_level, known.format_level
            ),
        ),
        (Roll::Done, Some(_)) => finding(
            Status::True,
            reason::AS_WISHED,
            "all pods have the newest template, and the formats of their release are written".to_owned(),
        ),
    }
}

fn deletion(report: &Report<'_>) -> Finding {
    let finding =
        |status, reason, message: String| Finding::new(condition::DELETION_BLOCKED, status, reason, message);
    let observed = report.observed;
    let is_deleting = observed.group.metadata.deletion_timestamp.is_some();
    let is_blocking = is_deleting && annotation(observed, names::ABANDON).is_none();
    let keeps = observed.group.spec.deletion_policy == orion_crds::group::DeletionPolicy::Retain;
    match (
        is_blocking,
        observed.referring.first(),
        observed.databases.known(),
    ) {
        (false, ..) => finding(Status::False, reason::AS_WISHED, "nothing is in the way".into()),
        (true, Some(name), _) => {
            let count = observed.referring.len();
            let message =
                format!("{count} Database objects refer to the group, such as {name}; delete them first");
            finding(Status::True, reason::DATABASES_REFER, message)
        }
        (true, None, Some(databases)) if databases.total > 0 && !keeps => {
            let message = format!(
                "{} databases are in the group; drop them, or set deletionPolicy to Retain to leave them in the object store",
                databases.total
            );
            finding(Status::True, reason::DATABASES_REMAIN, message)
        }
        (true, None, None) if !keeps => {
            let message = "no node could be asked which databases remain".to_owned();
            finding(Status::True, reason::UNKNOWN, message)
        }
        (true, None, _) => finding(Status::False, reason::DELETING, "nothing is in the way".into()),
    }
}

fn phase(report: &Report<'_>, is_new: bool, ready: &Finding) -> Phase {
    let spec = &report.observed.group.spec;
    match (ready.status, ready.reason) {
        (_, reason::DELETING) => Phase::Deleting,
        (_, reason::HIBERNATED) => Phase::Hibernated,
        (Status::True, _) if spec.drain => Phase::Draining,
        (Status::True, _) if matches!(report.roll, Roll::Next(_) | Roll::Waiting) => Phase::Updating,
        (Status::True, _) => Phase::Ready,
        (_, reason::QUORUM_LOST) => Phase::Failed,
        (_, reason::NAME_TAKEN | reason::SECRET_MISSING | reason::SECRET_INVALID | reason::REFUSED) => {
            if is_new {
                Phase::Pending
            } else {
                Phase::Degraded
            }
        }
        (_, reason::ROLL_HALTED | reason::UNKNOWN | reason::CERTIFICATE_EXPIRED) => Phase::Degraded,
        _ if is_new => Phase::Bootstrapping,
        (_, reason::SCALING) => Phase::Scaling,
        // Members are not ready: for what was asked, or by themselves.
        _ if !matches!(report.roll, Roll::Done) => Phase::Updating,
        _ if !report.is_settled => Phase::Scaling,
        _ => Phase::Degraded,
    }
}

fn leader(report: &Report<'_>, context: &Context<'_>) -> Option<Leader> {
    let membership = report.observed.membership.known()?;
    let id = membership.leader?;
    let pod = membership.members.get(&id).and_then(|node| node.member.as_ref());
    Some(Leader {
        pod: pod.map(|member| member.pod(context.name())),
        node_id: Some(id.to_string()),
        term: i64::try_from(membership.term).ok(),
    })
}

fn members(report: &Report<'_>, context: &Context<'_>) -> Vec<Member> {
    let is_known = report.observed.membership.known().is_some();
    let before = report.observed.group.status.as_ref();
    let member = |entry: &Entry<'_>| {
        let pod = entry.name.pod(context.name());
        // What was known of it last, while nobody can say anything.
        let old = before
            .and_then(|status| status.members.iter().find(|old| old.pod == pod))
            .filter(|_| !is_known);
        let node_id = entry.node.map(|(id, _)| id.to_string());
        Member {
            set: Some(entry.name.set.clone()),
            node_id: node_id.or_else(|| old.and_then(|old| old.node_id.clone())),
            role: entry
                .node
                .map(|(_, node)| role_now(node))
                .or(old.and_then(|old| old.role)),
            zone: entry.seen.pod.as_ref().and_then(|pod| pod.zone.clone()),
            state: Some(state(entry, is_known)),
            lag: Some(lag(entry)),
            version: entry.seen.pod.as_ref().and_then(|pod| pod.version.clone()),
            pod,
        }
    };
    report.entries.iter().take(64).map(member).collect()
}

fn role_now(node: &super::RaftMember) -> Role {
    match (node.votes, node.role) {
        (true, _) => Role::Voter,
        // It is to vote and does not yet.
        (false, Role::Voter) => Role::Learner,
        (false, role) => role,
    }
}

fn lag(entry: &Entry<'_>) -> Lag {
    match entry.node.and_then(|(_, node)| node.is_caught_up) {
        Some(true) => Lag::None,
        Some(false) => Lag::Behind,
        None => Lag::Unknown,
    }
}

fn state(entry: &Entry<'_>, is_known: bool) -> MemberState {
    match (entry.fate, entry.node, entry.is_ready()) {
        (Fate::Lost, ..) => MemberState::Lost,
        (Fate::Leaves, ..) => MemberState::Leaving,
        (Fate::Stays, ..) if entry.seen.has_statefulset && !entry.seen.runs => MemberState::Fenced,
        (Fate::Stays, None, _) if is_known => MemberState::Joining,
        (Fate::Stays, Some((_, node)), true) if node.role == Role::Voter && !node.votes => {
            MemberState::CatchingUp
        }
        (Fate::Stays, _, true) => MemberState::Ready,
        (Fate::Stays, _, false) => MemberState::Unreachable,
    }
}

/// The version of all, if it is one.
fn version(entries: &[Entry<'_>]) -> Option<String> {
    let mut versions = entries
        .iter()
        .filter_map(|entry| entry.seen.pod.as_ref().and_then(|pod| pod.version.as_ref()));
    let first = versions.next()?;
    versions.all(|version| version == first).then(|| first.clone())
}

fn databases(report: &Report<'_>) -> Option<Databases> {
    let seen = report.observed.databases.known()?;
    let unmanaged = u32::try_from(seen.unmanaged.len()).unwrap_or(u32::MAX);
    Some(Databases {
        total: Some(seen.total),
        unmanaged: Some(unmanaged),
        unmanaged_sample: seen.unmanaged.iter().take(SAMPLE_MAX).cloned().collect(),
    })
}
