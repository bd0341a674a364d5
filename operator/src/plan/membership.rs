//! Who is in Raft, and what as. One step at a time; each is one joint change, one removal or one hand-over.

use super::action::Action;
use super::observed::Membership;
use super::view::{Entry, Fate};
use orion_api::NodeId;
use orion_crds::group::Role;
use std::collections::{BTreeMap, BTreeSet};

/// The next step, if there is one. None: all are what they are to be, or something must happen first.
pub(super) fn step(entries: &[Entry<'_>], membership: &Membership, voters_wanted: u32) -> Option<Action> {
    // Without a leader nobody can change anything, and nothing may be concluded.
    membership.leader?;
    // INVARIANT: a change needs a majority of the voters, and must leave one of the new ones. Tested by
    // `whatever_happens_it_converges`.
    if !has_majority(entries, &voters(membership)) {
        return None;
    }
    change_voters(entries, membership, voters_wanted)
        .or_else(|| change_others(entries))
        .or_else(|| remove(entries, membership))
}

/// Whether every member is in Raft what it is to be, and nobody else is.
pub(super) fn is_settled(entries: &[Entry<'_>], membership: &Membership) -> bool {
    let is_right = |entry: &Entry<'_>| match (entry.fate, entry.node) {
        (Fate::Stays, Some((_, node))) => {
            node.role == entry.wanted_role() && node.votes == (node.role == Role::Voter)
        }
        (Fate::Stays, None) => false,
        (_, node) => node.is_none(),
    };
    entries.iter().all(is_right) && membership.members.values().all(|node| node.member.is_some())
}

fn voters(membership: &Membership) -> BTreeSet<NodeId> {
    let voting = membership.members.iter().filter(|(_, node)| node.votes);
    voting.map(|(id, _)| *id).collect()
}

/// The voters that there should be now, by one change. All that are wanted at once, when all of them can; else one takes
/// the place of one that is lost.
fn change_voters(entries: &[Entry<'_>], membership: &Membership, voters_wanted: u32) -> Option<Action> {
    let now = voters(membership);
    let wanted: Vec<&Entry<'_>> = entries
        .iter()
        .filter(|entry| entry.wanted_role() == Role::Voter && entry.fate == Fate::Stays)
        .collect();
    let able: BTreeSet<NodeId> = wanted
        .iter()
        .filter(|entry| entry.can_vote())
        .filter_map(|entry| entry.node.map(|(id, _)| id))
        .collect();
    let all_can = able.len() == voters_wanted as usize;
    let next = match all_can {
        true => able,
        false => exchanged(entries, &now, &able)?,
    };
    if next == now {
        return None;
    }
    if !has_majority(entries, &next) {
        return None;
    }
    hand_over(entries, membership, &next).or_else(|| {
        let joining = next.difference(&now).map(|node| (*node, Role::Voter));
        let leaving = now
            .difference(&next)
            .map(|node| (*node, role_after(entries, *node)));
        Some(Action::ChangeRoles {
            roles: joining.chain(leaving).collect(),
        })
    })
}

/// What a node is that stops voting.
fn role_after(entries: &[Entry<'_>], node: NodeId) -> Role {
    let entry = entries
        .iter()
        .find(|entry| entry.node.is_some_and(|(id, _)| id == node));
    match entry.map(Entry::wanted_role) {
        None | Some(Role::Voter) => Role::Learner,
        Some(role) => role,
    }
}

/// The present voters with one lost one replaced by one that can vote.
fn exchanged(
    entries: &[Entry<'_>],
    now: &BTreeSet<NodeId>,
    able: &BTreeSet<NodeId>,
) -> Option<BTreeSet<NodeId>> {
    let is_lost = |node: &&NodeId| {
        let entry = entries
            .iter()
            .find(|entry| entry.node.is_some_and(|(id, _)| id == **node));
        entry.is_none_or(|entry| entry.fate == Fate::Lost)
    };
    let lost = now.iter().find(is_lost)?;
    let fresh = able.difference(now).next()?;
    let mut next = now.clone();
    next.remove(lost);
    next.insert(*fresh);
    Some(next)
}

/// Whether more than half of these voters are ready.
fn has_majority(entries: &[Entry<'_>], voters: &BTreeSet<NodeId>) -> bool {
    let ready = entries
        .iter()
        .filter(|entry| entry.is_ready() && entry.node.is_some_and(|(id, _)| voters.contains(&id)));
    2 * ready.count() > voters.len()
}

/// A leader that is to stop voting hands over first.
fn hand_over(entries: &[Entry<'_>], membership: &Membership, next: &BTreeSet<NodeId>) -> Option<Action> {
    let leader = membership.leader?;
    if next.contains(&leader) {
        return None;
    }
    let now = voters(membership);
    // Who votes now and goes on. Where all change, any that votes now cannot stay: Raft's leader then leaves by the change.
    let successor = entries.iter().find(|entry| {
        let node = entry.node.map(|(id, _)| id);
        entry.is_ready() && node.is_some_and(|id| now.contains(&id) && next.contains(&id))
    })?;
    successor.node.map(|(node, _)| Action::ChangeLeader { node })
}

/// Learners and readers that are to be the other.
fn change_others(entries: &[Entry<'_>]) -> Option<Action> {
    let roles: BTreeMap<NodeId, Role> = entries
        .iter()
        .filter(|entry| entry.fate == Fate::Stays && entry.wanted_role() != Role::Voter)
        .filter_map(|entry| {
            let (id, node) = entry.node?;
            (!node.votes && node.role != entry.wanted_role()).then(|| (id, entry.wanted_role()))
        })
        .collect();
    (!roles.is_empty()).then_some(Action::ChangeRoles { roles })
}

/// Who is to go and does not vote any more.
fn remove(entries: &[Entry<'_>], membership: &Membership) -> Option<Action> {
    let goes = |id: &NodeId| {
        let entry = entries
            .iter()
            .find(|entry| entry.node.is_some_and(|(node, _)| node == *id));
        match entry {
            Some(entry) => entry.fate != Fate::Stays,
            // Of a member of which nothing is left but this. A stranger is for a person to judge, and the older node at a
            // member's address leaves as the newer one begins to vote.
            None => {
                let node = &membership.members[id];
                let has_entry = entries
                    .iter()
                    .any(|entry| Some(entry.name) == node.member.as_ref());
                node.member.is_some() && !has_entry
            }
        }
    };
    let mut leaving = membership.members.iter().filter(|(_, node)| !node.votes);
    leaving
        .find(|(id, _)| goes(id))
        .map(|(id, _)| Action::RemoveNode { node: *id })
}
