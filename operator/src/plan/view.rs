//! A group as a plan looks at it: each member with its set, its pod and its node together, and which members stay.

use super::observed::{MemberSeen, Membership, Observed, RaftMember, Seen};
use crate::names::{self, MemberName};
use orion_api::NodeId;
use orion_crds::group::{Member, MemberSet, MemberState, Role};
use std::collections::BTreeSet;

/// A member with all that is known of it.
#[derive(Clone, Debug)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a MemberName,
    pub(super) seen: &'a MemberSeen,
    /// Its set, if the spec still has it.
    pub(super) set: Option<&'a MemberSet>,
    /// Its node in Raft.
    pub(super) node: Option<(NodeId, &'a RaftMember)>,
    pub(super) fate: Fate,
}

/// What is to become of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It belongs to the group.
    Stays,
    /// It is too many, or of a set that is gone.
    Leaves,
    /// Its disk or its machine is gone: another member takes its place.
    Lost,
}

impl Entry<'_> {
    pub(super) fn is_ready(&self) -> bool {
        let is_ready = |pod: &super::PodSeen| pod.is_ready && !pod.is_terminating;
        self.seen.pod.as_ref().is_some_and(is_ready)
    }

    pub(super) fn votes(&self) -> bool {
        self.node.is_some_and(|(_, node)| node.votes)
    }

    pub(super) fn leads(&self, membership: &Membership) -> bool {
        self.node.is_some_and(|(id, _)| membership.leader == Some(id))
    }

    /// What its set wants it to be; what is to go stops voting.
    pub(super) fn wanted_role(&self) -> Role {
        match (self.fate, self.set) {
            (Fate::Stays, Some(set)) => set.role,
            _ => Role::Learner,
        }
    }

    /// Whether it could vote from now on, or does already.
    pub(super) fn can_vote(&self) -> bool {
        match self.node {
            Some((_, node)) if node.votes => true,
            Some((_, node)) => self.is_ready() && node.is_caught_up == Some(true),
            None => false,
        }
    }
}

/// Names in an annotation of the group, by commas.
pub(super) fn listed(observed: &Observed, annotation: &str) -> BTreeSet<String> {
    let annotations = observed.group.metadata.annotations.as_ref();
    let text = annotations
        .and_then(|all| all.get(annotation))
        .map_or("", String::as_str);
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// All members that have anything left of them, by name, each with its fate.
pub(super) fn entries(observed: &Observed) -> Vec<Entry<'_>> {
    let group = observed.group.metadata.name.as_deref().unwrap_or_default();
    let given_up = listed(observed, names::REPLACE);
    let membership = observed.membership.known();
    let sets = &observed.group.spec.member_sets;
    let mut entries: Vec<Entry<'_>> = observed
        .members
        .iter()
        .map(|(name, seen)| {
            let node = membership.and_then(|membership| membership.node_of(name));
            let is_lost = given_up.contains(&name.pod(group))
                || seen.machine_is_gone
                || has_lost_its_disk(seen, node.is_some());
            Entry {
                name,
                seen,
                set: sets.iter().find(|set| set.name == name.set),
                node,
                fate: if is_lost { Fate::Lost } else { Fate::Stays },
            }
        })
        .filter(|entry| is_member(observed, entry))
        .collect();
    choose_who_leaves(&mut entries, membership, sets);
    entries
}

/// What has no StatefulSet is a member only if Raft says so, or said so last: a disk that was kept on purpose is none, nor
/// a pod that is about to end. A node that was taken out of Raft never comes back in.
fn is_member(observed: &Observed, entry: &Entry<'_>) -> bool {
    if entry.seen.has_statefulset {
        return true;
    }
    match &observed.membership {
        Seen::Known(_) => entry.node.is_some(),
        Seen::Unknown => {
            let group = observed.group.metadata.name.as_deref().unwrap_or_default();
            let pod = entry.name.pod(group);
            let written = observed.group.status.iter().flat_map(|status| &status.members);
            // One that was leaving may be out by now. Those that stay come first; the first that answers says who votes.
            let stays = |state| !matches!(state, Some(MemberState::Leaving | MemberState::Lost));
            let was_in =
                |member: &Member| member.pod == pod && member.node_id.is_some() && stays(member.state);
            entry.seen.claim.is_some() && written.into_iter().any(was_in)
        }
    }
}

/// The StatefulSet's controller makes the disk before the pod: a running pod without a disk is one whose disk is deleted
/// under it, and goes on until it ends. A member of Raft whose disk is not there any more is gone.
fn has_lost_its_disk(seen: &MemberSeen, is_in_raft: bool) -> bool {
    match &seen.claim {
        Some(claim) => claim.is_lost,
        None => is_in_raft && !seen.pod.as_ref().is_some_and(|pod| pod.is_running),
    }
}

/// Marks those that are too many. Who was chosen before stays chosen, unless it is wanted again and still in Raft; else
/// those go first that are of least use, and the leader last.
fn choose_who_leaves(entries: &mut [Entry<'_>], membership: Option<&Membership>, sets: &[MemberSet]) {
    for entry in entries.iter_mut() {
        if entry.set.is_none() && entry.fate == Fate::Stays {
            entry.fate = Fate::Leaves;
        }
    }
    for set in sets {
        let mut of_set: Vec<&mut Entry<'_>> = entries
            .iter_mut()
            .filter(|entry| entry.name.set == set.name && entry.fate == Fate::Stays)
            .collect();
        of_set.sort_by_key(|entry| {
            let leads = membership.is_some_and(|membership| entry.leads(membership));
            let has_left = may_have_left(entry);
            let is_chosen = entry.seen.is_leaving || entry.seen.is_terminating;
            (
                has_left || entry.seen.is_terminating,
                is_chosen,
                !leads,
                !entry.votes(),
                !entry.is_ready(),
                entry.name.number,
            )
        });
        for (place, entry) in of_set.iter_mut().enumerate() {
            if place >= set.replicas as usize || may_have_left(entry) || entry.seen.is_terminating {
                entry.fate = Fate::Leaves;
            }
        }
    }
}

/// A node that was taken out of Raft never comes back in, so one that was to leave is wanted again only while it is
/// certainly in. Nobody knows is not in.
fn may_have_left(entry: &Entry<'_>) -> bool {
    entry.seen.is_leaving && entry.node.is_none()
}
