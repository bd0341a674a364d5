//! A group's plan: members that come and go, disks, restarts, labels. The objects that are there however many members there
//! are (Services and the like) are rendered, not planned.

use super::action::Action;
use super::membership;
use super::observed::{Observed, Seen};
use super::roll::{self, Roll};
use super::status::{self, Report};
use super::view::{Entry, Fate, entries, listed};
use crate::names::{self, MemberName};
use crate::render::{Context, MemberTemplate, template_hash};
use orion_crds::Quantity;
use orion_crds::group::{Automation, OnScaleDown, ReplicationGroupStatus, Role};
use std::collections::BTreeSet;

/// What is to be done now, and what is said of the group.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// In this order; each may be the last that happens.
    pub actions: Vec<Action>,
    /// Written before anything is done: numbers of members that are made now are in it.
    pub status: ReplicationGroupStatus,
    /// Whether the finalizer may go: nothing keeps the group.
    pub may_go: bool,
}

/// Plans one step of a group. `context` renders its pods; `now` is the time that changed conditions get.
pub fn plan_group(observed: &Observed, context: &Context<'_>, now: &str) -> Plan {
    let entries = entries(observed);
    let mut planner = Planner {
        observed,
        context,
        next_member: next_member(observed),
        actions: Vec::new(),
        roll: Roll::Done,
        is_settled: false,
        templates_change: false,
    };
    let is_deleting = observed.group.metadata.deletion_timestamp.is_some();
    let is_paused = annotation(observed, names::PAUSED) == Some("true");
    let mut may_go = false;
    match (is_deleting, is_paused) {
        (true, _) => may_go = planner.delete(),
        (false, true) => {}
        (false, false) => planner.reconcile(&entries),
    }
    let report = Report {
        observed,
        entries: &entries,
        roll: &planner.roll,
        is_settled: planner.is_settled,
        is_paused,
        is_busy: !planner.actions.is_empty(),
        next_member: planner.next_member,
        now,
    };
    Plan {
        status: status::of(&report, context),
        actions: planner.actions,
        may_go,
    }
}

pub(super) fn annotation<'a>(observed: &'a Observed, name: &str) -> Option<&'a str> {
    observed
        .group
        .metadata
        .annotations
        .as_ref()?
        .get(name)
        .map(String::as_str)
}

/// INVARIANT: more than any number that a member has or had. The status says it; where that was lost, all that could
/// still carry a number says it. Tested by `numbers_are_never_used_again`.
fn next_member(observed: &Observed) -> u32 {
    let written = observed
        .group
        .status
        .as_ref()
        .and_then(|status| status.next_member);
    let of_objects = observed.members.keys().map(|member| member.number + 1);
    let membership = observed.membership.known().into_iter();
    let of_raft = membership.flat_map(|known| known.members.values().filter_map(|node| node.member.as_ref()));
    written
        .into_iter()
        .chain(of_objects)
        .chain(of_raft.map(|member| member.number + 1))
        .max()
        .unwrap_or(0)
}

struct Planner<'a> {
    observed: &'a Observed,
    context: &'a Context<'a>,
    next_member: u32,
    actions: Vec<Action>,
    roll: Roll,
    is_settled: bool,
    /// Whether a StatefulSet gets another template now: its pod is outdated from the next look on.
    templates_change: bool,
}

impl Planner<'_> {
    fn reconcile(&mut self, entries: &[Entry<'_>]) {
        self.make_members(entries);
        self.update_members(entries);
        let membership = self.observed.membership.known();
        if let Some(membership) = membership {
            self.is_settled = membership::is_settled(entries, membership);
            let has_begun = !membership.members.is_empty();
            let step = membership::step(entries, membership, self.voters_wanted());
            match step {
                Some(step) => self.actions.push(step),
                None if has_begun => self.take_down(entries),
                None => {}
            }
            self.label(entries);
        }
        self.grow_disks(entries);
        self.lead_as_asked(entries);
        self.restart(entries);
    }

    fn voters_wanted(&self) -> u32 {
        let sets = self.observed.group.spec.member_sets.iter();
        sets.filter(|set| set.role == Role::Voter)
            .map(|set| set.replicas)
            .sum()
    }

    /// Whether Raft's membership was ever known: those who come later do not vote by themselves.
    fn has_begun(&self) -> bool {
        let status = self.observed.group.status.as_ref();
        let is_known = |known: &super::Membership| known.leader.is_some();
        status.is_some_and(|status| status.group_id.is_some())
            || self.observed.membership.known().is_some_and(is_known)
    }

    fn make_members(&mut self, entries: &[Entry<'_>]) {
        let has_begun = self.has_begun();
        // While nobody knows who is in Raft, one that is missing may be there.
        let may_make = !has_begun || self.observed.membership.known().is_some();
        for set in &self.observed.group.spec.member_sets {
            let staying: Vec<&Entry<'_>> = entries
                .iter()
                .filter(|entry| entry.name.set == set.name && entry.fate == Fate::Stays)
                .collect();
            // Its StatefulSet was deleted by somebody, but not its disk: the same member again. One that leaves too, as
            // long as it votes: the others may be no majority without it.
            let comes_back = |entry: &&Entry<'_>| {
                let is_needed = entry.fate == Fate::Stays || (entry.fate == Fate::Leaves && entry.votes());
                entry.name.set == set.name && !entry.seen.has_statefulset && is_needed
            };
            for entry in entries.iter().filter(comes_back) {
                self.actions.push(Action::CreateMember {
                    member: entry.name.clone(),
                    joins_as_voter: entry.seen.joins_as_voter,
                });
            }
            let missing = if may_make {
                (set.replicas as usize).saturating_sub(staying.len())
            } else {
                0
            };
            for _ in 0..missing {
                let member = MemberName {
                    set: set.name.clone(),
                    number: self.next_member,
                };
                self.next_member += 1;
                self.actions.push(Action::CreateMember {
                    member,
                    joins_as_voter: !has_begun && set.role == Role::Voter,
                });
            }
        }
    }

    /// Templates, whether a pod is to run, and the mark of those that leave: before anything is done to them.
    fn update_members(&mut self, entries: &[Entry<'_>]) {
        let fenced = listed(self.observed, names::FENCE);
        for entry in entries
            .iter()
            .filter(|entry| entry.seen.has_statefulset && !entry.seen.is_terminating)
        {
            let is_fenced = fenced.contains(&entry.name.pod(self.context.name()));
            let runs = !self.observed.group.spec.hibernated && !is_fenced;
            let is_leaving = entry.fate != Fate::Stays;
            let wanted = entry.set.map(|set| {
                let template = MemberTemplate {
                    set,
                    member: entry.name,
                    joins_as_voter: entry.seen.joins_as_voter,
                    runs,
                    is_leaving,
                };
                template_hash(self.context, template)
            });
            let is_template_right = wanted.is_none() || wanted == entry.seen.template;
            self.templates_change |= !is_template_right && !is_leaving;
            if entry.seen.runs != runs || entry.seen.is_leaving != is_leaving || !is_template_right {
                self.actions.push(Action::UpdateMember {
                    member: entry.name.clone(),
                    runs,
                    is_leaving,
                });
            }
        }
    }

    /// Objects of members that are out of Raft.
    ///
    /// INVARIANT: called only with a known membership, and for members that it does not name. Tested by
    /// `nothing_is_deleted_while_nobody_knows`.
    fn take_down(&mut self, entries: &[Entry<'_>]) {
        for entry in entries
            .iter()
            .filter(|entry| entry.fate != Fate::Stays && entry.node.is_none())
        {
            // A lost member goes once another has its place.
            if entry.seen.has_statefulset && !entry.seen.is_terminating && entry.seen.is_leaving {
                self.actions.push(Action::DeleteMember {
                    member: entry.name.clone(),
                });
            }
        }
        self.delete_disks();
    }

    fn delete_disks(&mut self) {
        let membership = self.observed.membership.known();
        for (member, seen) in &self.observed.members {
            let is_in_raft = membership.is_none_or(|membership| membership.node_of(member).is_some());
            let set = self
                .observed
                .group
                .spec
                .member_sets
                .iter()
                .find(|set| set.name == member.set);
            // The policy of a set that is gone is gone with it: then the disk stays.
            let may = set.is_some_and(|set| set.storage.on_scale_down == OnScaleDown::Delete);
            let is_unused = !seen.has_statefulset && seen.pod.is_none() && !is_in_raft;
            let is_there = seen.claim.as_ref().is_some_and(|claim| !claim.is_terminating);
            if may && is_unused && is_there {
                self.actions.push(Action::DeleteClaim {
                    member: member.clone(),
                });
            }
        }
    }

    fn label(&mut self, entries: &[Entry<'_>]) {
        let Some(membership) = self.observed.membership.known() else {
            return;
        };
        for entry in entries {
            let (Some((_, node)), Some(pod)) = (entry.node, entry.seen.pod.as_ref()) else {
                continue;
            };
            // The disruption budget counts votes.
            let role = match (node.votes, node.role) {
                (true, _) => Role::Voter,
                (false, Role::ReadReplica) => Role::ReadReplica,
                (false, _) => Role::Learner,
            };
            let leads = entry.leads(membership);
            let is_right = pod.role.as_deref() == Some(names::role_label(role))
                && pod.leader.as_deref() == Some(if leads { "true" } else { "false" });
            if !is_right && !pod.is_terminating {
                self.actions.push(Action::LabelPod {
                    member: entry.name.clone(),
                    role,
                    leads,
                });
            }
        }
    }

    fn grow_disks(&mut self, entries: &[Entry<'_>]) {
        for entry in entries.iter().filter(|entry| entry.fate == Fate::Stays) {
            let (Some(set), Some(claim)) = (entry.set, &entry.seen.claim) else {
                continue;
            };
            let units = |text: &str| Quantity::from(text).units();
            let wanted = set.storage.size.units();
            let is_smaller = |text: &Option<String>| text.as_deref().and_then(units) < wanted;
            if is_smaller(&claim.size) {
                let size = set.storage.size.0.clone();
                self.actions.push(Action::GrowClaim {
                    member: entry.name.clone(),
                    size,
                });
            } else if entry.seen.has_statefulset
                && !entry.seen.is_terminating
                && entry.seen.claim_template_size.is_some()
                && is_smaller(&entry.seen.claim_template_size)
            {
                // A claim template cannot be changed: the StatefulSet comes anew, under its pod.
                self.actions.push(Action::OrphanMember {
                    member: entry.name.clone(),
                });
            }
        }
    }

    fn lead_as_asked(&mut self, entries: &[Entry<'_>]) {
        let Some(pod) = annotation(self.observed, names::LEAD) else {
            return;
        };
        let Some(membership) = self.observed.membership.known() else {
            return;
        };
        let asked = entries
            .iter()
            .find(|entry| entry.name.pod(self.context.name()) == pod);
        let Some(entry) = asked.filter(|entry| entry.is_ready() && entry.votes()) else {
            return;
        };
        let is_quiet = self.is_settled && self.actions.is_empty() && membership.leader.is_some();
        if let Some((node, _)) = entry.node
            && is_quiet
            && !entry.leads(membership)
            && !entries.iter().any(roll::is_outdated)
        {
            self.actions.push(Action::ChangeLeader { node });
        }
    }

    fn restart(&mut self, entries: &[Entry<'_>]) {
        if self.observed.group.spec.hibernated {
            return;
        }
        let membership = self.observed.membership.known();
        self.roll = roll::step(entries, membership, self.is_settled);
        if self.roll == Roll::Done && self.templates_change {
            // Not as wished, though no pod is outdated yet: who waits for the new template must not be told so.
            self.roll = Roll::Waiting;
        }
        let is_manual = self.observed.group.spec.update.strategy == Automation::Manual;
        let is_asked = annotation(self.observed, names::RESTART).is_some();
        if is_manual && !is_asked {
            return;
        }
        // Only when nothing else moves; labels do not count.
        let is_quiet = self
            .actions
            .iter()
            .all(|action| matches!(action, Action::LabelPod { .. }));
        if let (Roll::Next(action), true) = (&self.roll, is_quiet) {
            self.actions.push(action.clone());
        }
    }

    /// Blocked while databases refer to it, or are in it and Delete would lose them. Objects go with their owner.
    fn delete(&mut self) -> bool {
        let is_abandoned = annotation(self.observed, names::ABANDON).is_some();
        if is_abandoned {
            return true;
        }
        let is_empty = match &self.observed.databases {
            Seen::Known(databases) => databases.total == 0,
            Seen::Unknown => false,
        };
        let keeps = self.observed.group.spec.deletion_policy == orion_crds::group::DeletionPolicy::Retain;
        self.observed.referring.is_empty() && (keeps || is_empty)
    }
}

/// Members that have a StatefulSet after a plan, with whether their nodes ask to vote by themselves: what the ConfigMap holds.
pub fn configured(observed: &Observed, actions: &[Action]) -> Vec<(MemberName, bool)> {
    let mut all: Vec<(MemberName, bool)> = observed
        .members
        .iter()
        .filter(|(_, seen)| seen.has_statefulset)
        .map(|(member, seen)| (member.clone(), seen.joins_as_voter))
        .collect();
    let known: BTreeSet<MemberName> = all.iter().map(|(member, _)| member.clone()).collect();
    for action in actions {
        if let Action::CreateMember {
            member,
            joins_as_voter,
        } = action
            && !known.contains(member)
        {
            all.push((member.clone(), *joins_as_voter));
        }
    }
    all.sort();
    all
}
