//! What is wrong around a group, as pods and nodes say it: the object store, certificates, disks, places. A condition is
//! Unknown where nobody could say anything, and one thing that is wrong is enough for it to be bad.

use super::observed::{Certificates, Credentials, PodTroubleKind};
use super::status::{Finding, Report};
use super::view::{Entry, Fate};
use k8s_openapi::jiff::Timestamp;
use orion_api::admin::TroubleKind;
use orion_crds::condition::Status;
use orion_crds::group::{condition, reason};
use std::collections::BTreeMap;

/// The first that says one of these, in its own words: a node of itself, or the kubelet and the scheduler of a pod that is
/// not ready.
fn said(report: &Report<'_>, nodes: &[TroubleKind], pods: &[PodTroubleKind]) -> Option<String> {
    let of_node = |entry: &Entry<'_>| {
        let mut troubles = report.observed.answers.get(entry.name)?.iter();
        let trouble = troubles.find(|trouble| nodes.contains(&trouble.kind))?;
        Some(trouble.message.clone())
    };
    let of_pod = |entry: &Entry<'_>| {
        let pod = entry.seen.pod.as_ref().filter(|pod| !pod.is_ready)?;
        let trouble = pod
            .trouble
            .as_ref()
            .filter(|trouble| pods.contains(&trouble.kind))?;
        Some(trouble.message.clone())
    };
    let mut entries = report.entries.iter().filter(|entry| entry.fate != Fate::Lost);
    entries.find_map(|entry| {
        let message = of_node(entry).or_else(|| of_pod(entry))?;
        Some(format!("{}: {message}", entry.name))
    })
}

fn store_denies(report: &Report<'_>) -> Option<String> {
    let (node, pod) = (TroubleKind::ObjectStoreDenied, PodTroubleKind::ObjectStoreDenied);
    said(report, &[node], &[pod])
}

fn store_is_away(report: &Report<'_>) -> Option<String> {
    let (node, pod) = (
        TroubleKind::ObjectStoreUnavailable,
        PodTroubleKind::ObjectStoreUnavailable,
    );
    said(report, &[node], &[pod])
}

fn group_is_elsewhere(report: &Report<'_>) -> Option<String> {
    let (node, pod) = (TroubleKind::GroupElsewhere, PodTroubleKind::GroupElsewhere);
    said(report, &[node], &[pod])
}

/// Why members are not ready, where something names it: the reason and the words.
pub(super) fn cause(report: &Report<'_>, has_begun: bool) -> Option<(&'static str, String)> {
    let of_pod = |kind| said(report, &[], &[kind]);
    // A member of a group that has begun may look for others that are away.
    let elsewhere = group_is_elsewhere(report).filter(|_| !has_begun);
    [
        (reason::GROUP_EXISTS, elsewhere),
        (reason::OBJECT_STORE_DENIED, store_denies(report)),
        (reason::OBJECT_STORE_UNAVAILABLE, store_is_away(report)),
        (reason::IMAGE_UNAVAILABLE, of_pod(PodTroubleKind::Image)),
        (reason::UNSCHEDULABLE, of_pod(PodTroubleKind::Unschedulable)),
        (reason::CRASHING, of_pod(PodTroubleKind::Crash)),
    ]
    .into_iter()
    .find_map(|(reason, why)| Some((reason, why?)))
}

pub(super) fn bootstrapped(report: &Report<'_>, has_begun: bool) -> Finding {
    let finding =
        |status, reason, message: String| Finding::new(condition::BOOTSTRAPPED, status, reason, message);
    let waits = reason::WAITING_FOR_MEMBERS;
    match (
        has_begun,
        group_is_elsewhere(report),
        report.observed.answers.is_empty(),
    ) {
        (true, ..) => finding(Status::True, reason::AS_WISHED, "the group has begun".into()),
        (false, Some(why), _) => finding(Status::False, reason::GROUP_EXISTS, why),
        (false, None, false) => finding(Status::False, waits, "nobody leads yet".into()),
        (false, None, true) => finding(Status::False, waits, "no node answers yet".into()),
    }
}

pub(super) fn object_store(report: &Report<'_>) -> Finding {
    let finding = |status, reason, message: String| {
        Finding::new(condition::OBJECT_STORE_REACHABLE, status, reason, message)
    };
    let answers = !report.observed.answers.is_empty();
    match (store_is_away(report), store_denies(report), answers) {
        (Some(why), ..) => finding(Status::False, reason::OBJECT_STORE_UNAVAILABLE, why),
        (None, Some(_), _) => finding(
            Status::True,
            reason::AS_WISHED,
            "it answers, and refuses the credentials".into(),
        ),
        (None, None, true) => finding(
            Status::True,
            reason::AS_WISHED,
            "it answered all nodes that asked it last".into(),
        ),
        (None, None, false) => nobody(condition::OBJECT_STORE_REACHABLE),
    }
}

pub(super) fn credentials(report: &Report<'_>) -> Finding {
    let finding =
        |status, reason, message: String| Finding::new(condition::CREDENTIALS_VALID, status, reason, message);
    match (&report.observed.credentials, store_denies(report)) {
        (Credentials::Missing(name), _) => finding(
            Status::False,
            reason::SECRET_MISSING,
            format!("there is no Secret {name}"),
        ),
        (Credentials::Invalid(why), _) => finding(Status::False, reason::SECRET_INVALID, why.clone()),
        (_, Some(why)) => finding(Status::False, reason::OBJECT_STORE_DENIED, why),
        (Credentials::Valid, None) => finding(
            Status::True,
            reason::AS_WISHED,
            "all Secrets are there, and nothing refuses them".into(),
        ),
        (Credentials::Unknown, None) => finding(
            Status::Unknown,
            reason::UNKNOWN,
            "Secrets could not be read".into(),
        ),
    }
}

pub(super) fn certificates(report: &Report<'_>) -> Finding {
    let finding = |status, reason, message: String| {
        Finding::new(condition::CERTIFICATES_VALID, status, reason, message)
    };
    let now: Option<Timestamp> = report.now.parse().ok();
    match &report.observed.certificates {
        Certificates::Unwanted => finding(
            Status::True,
            reason::AS_WISHED,
            "tls.peers is Disabled: none are needed".into(),
        ),
        Certificates::Missing(name) => finding(
            Status::False,
            reason::SECRET_MISSING,
            format!("there is no Secret {name}"),
        ),
        Certificates::Invalid(why) => finding(Status::False, reason::SECRET_INVALID, why.clone()),
        Certificates::Until(second) if now.is_some_and(|now| *second <= now.as_second()) => finding(
            Status::False,
            reason::CERTIFICATE_EXPIRED,
            format!("the peers' certificates expired at {}", date(*second)),
        ),
        Certificates::Until(second) => finding(
            Status::True,
            reason::AS_WISHED,
            format!("the peers' certificates are good until {}", date(*second)),
        ),
        Certificates::Unknown => finding(
            Status::Unknown,
            reason::UNKNOWN,
            "the peers' certificates could not be read".into(),
        ),
    }
}

/// A time as conditions have it.
pub(super) fn date(second: i64) -> String {
    Timestamp::from_second(second).map_or_else(
        |_| second.to_string(),
        |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}

pub(super) fn placement(report: &Report<'_>) -> Finding {
    let finding = |status, reason, message: String| {
        Finding::new(condition::PLACEMENT_SATISFIED, status, reason, message)
    };
    if let Some(why) = said(report, &[], &[PodTroubleKind::Unschedulable]) {
        return finding(Status::False, reason::UNSCHEDULABLE, why);
    }
    let mut machines: BTreeMap<&str, u32> = BTreeMap::new();
    let staying = report.entries.iter().filter(|entry| entry.fate == Fate::Stays);
    for machine in staying.filter_map(|entry| entry.seen.pod.as_ref()?.machine.as_deref()) {
        *machines.entry(machine).or_default() += 1;
    }
    // Allowed, where antiAffinity is Preferred; but worth knowing.
    let shared = machines.iter().find(|(_, members)| **members > 1);
    match (machines.is_empty(), shared) {
        (true, _) => finding(
            Status::Unknown,
            reason::UNKNOWN,
            "no pod has a machine yet".into(),
        ),
        (false, Some((machine, members))) => finding(
            Status::True,
            reason::AS_WISHED,
            format!("all pods have a machine; {members} of them share {machine}"),
        ),
        (false, None) => finding(Status::True, reason::AS_WISHED, "all pods have a machine".into()),
    }
}

pub(super) fn disks(report: &Report<'_>) -> Finding {
    let finding =
        |status, reason, message: String| Finding::new(condition::DISK_PRESSURE, status, reason, message);
    match said(report, &[TroubleKind::DiskFull], &[]) {
        Some(why) => finding(Status::True, reason::DISK_FULL, why),
        None if report.observed.answers.is_empty() => nobody(condition::DISK_PRESSURE),
        None => finding(
            Status::False,
            reason::AS_WISHED,
            "all disks of nodes that answer have room".into(),
        ),
    }
}

fn nobody(type_: &'static str) -> Finding {
    Finding::new(type_, Status::Unknown, reason::UNKNOWN, "no node answers")
}
