//! A plan looked at by somebody who did not make it: what no plan may hold, whatever the reason. Written without the
//! planner's own views, so that an error there is found here. Tests run it over every plan; the operator runs it before
//! it carries one out, and carries out nothing of a plan that it objects to.

use super::action::{Action, Restart};
use super::observed::{Membership, Observed, PodSeen};
use crate::names::MemberName;
use orion_api::NodeId;
use orion_crds::group::Role;
use std::collections::BTreeSet;

/// What is wrong with the actions; nothing where all is well.
pub fn lint(observed: &Observed, actions: &[Action]) -> Vec<String> {
    let mut objections: Vec<String> = actions
        .iter()
        .filter_map(|action| one(observed, action))
        .collect();
    let restarts = actions
        .iter()
        .filter(|action| matches!(action, Action::RestartPod { .. }));
    if restarts.count() > 1 {
        objections.push("more than one pod is restarted".into());
    }
    let changes = actions.iter().filter(|action| {
        matches!(
            action,
            Action::ChangeRoles { .. } | Action::RemoveNode { .. } | Action::ChangeLeader { .. }
        )
    });
    if changes.count() > 1 {
        objections.push("more than one change of Raft's membership".into());
    }
    objections
}

fn one(observed: &Observed, action: &Action) -> Option<String> {
    match action {
        Action::CreateMember { member, .. } => create(observed, member),
        Action::RemoveNode { node } => {
            let known = observed.membership.known()?.members.get(node)?;
            known.votes.then(|| format!("node {node} votes and is removed"))
        }
        Action::ChangeRoles { roles } => {
            let membership = observed.membership.known();
            let Some(membership) = membership else {
                return Some("roles change while nobody knows them".into());
            };
            let next = voters_after(membership, roles.iter().map(|(node, role)| (*node, *role)));
            if next.is_empty() {
                return Some("nobody would be left who votes".into());
            }
            (!has_majority(observed, membership, &next, None))
                .then(|| "the new voters would have no majority that is ready".into())
        }
        Action::DeleteMember { member } => gone_from_raft(observed, member, "its StatefulSet is deleted"),
        Action::DeleteClaim { member } => gone_from_raft(observed, member, "its disk is deleted"),
        Action::RestartPod { member, how, .. } => restart(observed, member, *how),
        Action::UpdateMember { .. }
        | Action::OrphanMember { .. }
        | Action::GrowClaim { .. }
        | Action::ChangeLeader { .. }
        | Action::LabelPod { .. } => None,
    }
}

fn create(observed: &Observed, member: &MemberName) -> Option<String> {
    let next = observed
        .group
        .status
        .as_ref()
        .and_then(|status| status.next_member)
        .unwrap_or(0);
    let is_known = observed.members.contains_key(member)
        || observed
            .membership
            .known()
            .is_some_and(|known| known.node_of(member).is_some());
    (member.number < next && !is_known).then(|| format!("the number of {member} was used before"))
}

fn gone_from_raft(observed: &Observed, member: &MemberName, what: &str) -> Option<String> {
    match observed.membership.known() {
        None => Some(format!(
            "{member}: {what} while nobody knows whether it is in Raft"
        )),
        Some(membership) if membership.node_of(member).is_some() => {
            Some(format!("{member}: {what} while it is in Raft"))
        }
        Some(_) => None,
    }
}

fn restart(observed: &Observed, member: &MemberName, how: Restart) -> Option<String> {
    let pod = observed.members.get(member).and_then(|seen| seen.pod.as_ref())?;
    if how == Restart::Delete {
        return pod
            .is_running
            .then(|| format!("{member} runs and is deleted without an eviction"));
    }
    let Some(membership) = observed.membership.known() else {
        return Some(format!("{member} is restarted while nobody knows who votes"));
    };
    let now: BTreeSet<NodeId> = voters_after(membership, []);
    let (node, _) = membership.node_of(member)?;
    if membership.leader == Some(node) && now.len() > 1 {
        return Some(format!("{member} leads and is restarted before it handed over"));
    }
    let takes_away = now.contains(&node) && now.len() > 1 && pod.is_ready;
    (takes_away && !has_majority(observed, membership, &now, Some(member)))
        .then(|| format!("without {member} no majority of the voters is ready"))
}

fn voters_after(
    membership: &Membership,
    changes: impl IntoIterator<Item = (NodeId, Role)>,
) -> BTreeSet<NodeId> {
    let voting = membership.members.iter().filter(|(_, node)| node.votes);
    let mut voters: BTreeSet<NodeId> = voting.map(|(id, _)| *id).collect();
    for (node, role) in changes {
        match role {
            Role::Voter => drop(voters.insert(node)),
            Role::Learner | Role::ReadReplica => drop(voters.remove(&node)),
        }
    }
    voters
}

fn has_majority(
    observed: &Observed,
    membership: &Membership,
    voters: &BTreeSet<NodeId>,
    without: Option<&MemberName>,
) -> bool {
    let is_up = |node: &&NodeId| {
        let member = membership.members.get(node).and_then(|node| node.member.as_ref());
        let pod = member
            .filter(|member| Some(*member) != without)
            .and_then(|member| observed.members.get(member)?.pod.as_ref());
        pod.is_some_and(|pod: &PodSeen| pod.is_ready && !pod.is_terminating)
    };
    2 * voters.iter().filter(is_up).count() > voters.len()
}
