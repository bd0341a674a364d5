//! Who is in the group. Each change is one entry of Raft's joint consensus, made by the leader.
//!
//! A node that wants in asks until it is what it wants to be: first it learns, and votes when it has caught up. Whoever comes
//! with the address of a member but another id took that member's place: its disk is gone, and with it the votes that it
//! gave, so the old id leaves as the new one begins to vote.

use super::{Error, Group};
use crate::peer::wire::{Join, Joined};
use openraft::ChangeMembers;
use openraft::impls::BasicNode;
use orion_api::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A learner that lacks no more entries than this votes at the next question.
const CAUGHT_UP: u64 = 1000;

/// How long a successor has to take over.
const HAND_OVER: Duration = Duration::from_secs(2);

/// How long what was proposed has to be applied.
const LAND: Duration = Duration::from_millis(500);

type Change = ChangeMembers<u64, BasicNode>;

impl Group {
    /// As the leader: one step towards what a node wants to be.
    pub(crate) async fn take_in(&self, join: Join) -> Result<Joined, Error> {
        if !self.serves() {
            return Ok(self.ask_another());
        }
        let _one = self.changing_members.lock().await;
        let metrics = self.metrics();
        let membership = metrics.membership_config.membership();
        let here = BasicNode {
            addr: join.address.clone(),
        };
        match membership.get_node(&join.node) {
            None => {
                self.change(ChangeMembers::AddNodes(BTreeMap::from([(join.node, here)])))
                    .await?;
                return Ok(not_yet("it learns"));
            }
            Some(known) if known.addr != join.address => {
                self.change(ChangeMembers::SetNodes(BTreeMap::from([(join.node, here)])))
                    .await?;
                return Ok(not_yet("its address has changed"));
            }
            Some(_) => {}
        }
        let is_voter = membership.voter_ids().any(|voter| voter == join.node);
        if join.votes && !is_voter {
            let matched = metrics
                .replication
                .as_ref()
                .and_then(|all| all.get(&join.node)?.as_ref());
            let matched = matched.map_or(0, |id| id.index);
            let lacks = metrics.last_log_index.unwrap_or(0).saturating_sub(matched);
            if matched == 0 || lacks > CAUGHT_UP {
                return Ok(not_yet(&format!("it lacks {lacks} entries")));
            }
        }
        let replaced: BTreeSet<u64> = membership
            .nodes()
            .filter(|(id, node)| **id != join.node && node.addr == join.address)
            .map(|(id, _)| *id)
            .collect();
        let mut changes: Vec<Change> = Vec::new();
        if join.votes && !is_voter {
            changes.push(ChangeMembers::AddVoterIds(BTreeSet::from([join.node])));
        }
        if !replaced.is_empty() {
            tracing::info!(group = %self.name, ?replaced, by = %NodeId(join.node), "members whose place another node took leave");
            let voters = membership
                .voter_ids()
                .filter(|voter| replaced.contains(voter))
                .collect();
            changes.push(ChangeMembers::RemoveVoters(voters));
            let learners = replaced
                .iter()
                .copied()
                .filter(|id| membership.voter_ids().all(|voter| voter != *id));
            changes.push(ChangeMembers::RemoveNodes(learners.collect()));
        }
        if !changes.is_empty() {
            self.change(ChangeMembers::Batch(changes)).await?;
        }
        Ok(Joined {
            done: true,
            ..Joined::default()
        })
    }

    /// Who leads, for somebody who asked the wrong one.
    fn ask_another(&self) -> Joined {
        let metrics = self.metrics();
        let leader = metrics.current_leader.filter(|leader| *leader != self.node.0);
        let membership = metrics.membership_config.membership();
        let address = leader.and_then(|leader| Some(membership.get_node(&leader)?.addr.clone()));
        Joined {
            done: false,
            detail: "this node does not lead the group".into(),
            leader: leader.unwrap_or(0),
            leader_address: address.unwrap_or_default(),
        }
    }

    async fn change(&self, change: Change) -> Result<(), Error> {
        let changed = self.raft.change_membership(change, false).await;
        changed
            .map(drop)
            .map_err(|error| Error::Membership(error.to_string()))
    }

    /// Lets another voter lead, if there is one that can; answers whether it does.
    pub(crate) async fn hand_over(self: &Arc<Group>) -> bool {
        let metrics = self.metrics();
        let voters: BTreeSet<u64> = metrics.membership_config.membership().voter_ids().collect();
        let progress = metrics.replication.unwrap_or_default();
        let furthest = progress
            .into_iter()
            .filter(|(id, _)| voters.contains(id) && *id != self.node.0)
            .max_by_key(|(_, matched)| matched.as_ref().map(|id| id.index));
        let Some((successor, Some(_))) = furthest else {
            return false;
        };
        // Nothing new is proposed; what was proposed gets its outcome here, so that nobody hears of an unknown one.
        self.leadership.give_away();
        self.wait_until_landed().await;
        if let Err(error) = self.raft.trigger().transfer_leader(successor).await {
            tracing::warn!(group = %self.name, %error, "leadership was not handed over");
            self.leadership.take_back();
            return false;
        }
        let is_taken = async {
            while self.leader().is_none_or(|leader| leader == self.node) {
                self.leader_changed().await;
            }
        };
        let taken = tokio::time::timeout(HAND_OVER, is_taken).await.is_ok();
        if !taken {
            self.leadership.take_back();
        }
        taken
    }
}

impl Group {
    async fn wait_until_landed(&self) {
        let landed = self.wait_applied(|| self.in_flight.load(Ordering::Acquire) == 0);
        if tokio::time::timeout(LAND, landed).await.is_err() {
            tracing::warn!(group = %self.name, "leadership is handed over while commits are under way");
        }
    }
}

fn not_yet(detail: &str) -> Joined {
    Joined {
        done: false,
        detail: detail.to_owned(),
        ..Joined::default()
    }
}
