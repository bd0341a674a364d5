//! Who is in the group. Each change is one change of Raft's joint consensus, made by the leader.
//!
//! A node that wants in asks until it is what it wants to be: first it learns, and votes when it has caught up. Whoever comes
//! with the address of a member but another id took that member's place: its disk is gone, and with it the votes that it
//! gave, so the old id leaves as the new one begins to vote. Later an operator says what a member is.
//!
//! INVARIANT: a node id that left never comes back: its votes of then and of now would be two. Tested by
//! `a_member_that_was_removed_stays_out`.

use super::{Error, Group};
use crate::peer::wire::{Join, Joined};
use crate::raft::Place;
use openraft::{ChangeMembers, RaftMetrics};
use orion_api::NodeId;
use orion_api::admin::Role;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A learner that lacks no more entries than this may vote.
const CAUGHT_UP: u64 = 1000;

/// How long a successor has to take over.
const HAND_OVER: Duration = Duration::from_secs(2);

/// How long what was proposed has to be applied.
const LAND: Duration = Duration::from_millis(500);

type Change = ChangeMembers<u64, Place>;
type Metrics = RaftMetrics<crate::raft::Types>;

fn voters(metrics: &Metrics) -> BTreeSet<u64> {
    metrics.membership_config.membership().voter_ids().collect()
}

/// How many entries a member lacks, as the leader knows it.
fn lacks(metrics: &Metrics, member: u64) -> u64 {
    let matched = metrics
        .replication
        .as_ref()
        .and_then(|all| all.get(&member)?.as_ref())
        .map_or(0, |id| id.index);
    metrics.last_log_index.unwrap_or(0).saturating_sub(matched)
}

impl Group {
    /// As the leader: one step towards what a node wants to be.
    pub(crate) async fn take_in(&self, join: Join) -> Result<Joined, Error> {
        if !self.serves() {
            return Ok(not_yet("this node does not lead the group"));
        }
        let _one = self.changing_members.lock().await;
        let metrics = self.metrics();
        let membership = metrics.membership_config.membership();
        let level = self.catalog.format_level();
        if join.format_level < level {
            let reads = join.format_level;
            return Err(Error::FormatLevel { level, reads });
        }
        let Some(known) = membership.get_node(&join.node) else {
            if self.catalog.has_left(join.node) {
                let message = format!(
                    "node {} was removed from the group; with an empty data directory it comes back as another one",
                    NodeId(join.node)
                );
                return Err(Error::Membership(message));
            }
            self.receive_newcomer().await?;
            let place = Place {
                address: join.address,
                role: if join.votes {
                    Role::Voter
                } else {
                    Role::ReadReplica
                },
                format_level: join.format_level,
            };
            let added = BTreeMap::from([(join.node, place)]);
            self.change(ChangeMembers::AddNodes(added), true).await?;
            return Ok(not_yet("it learns"));
        };
        if known.address != join.address || known.format_level != join.format_level {
            let place = Place {
                address: join.address,
                role: known.role,
                format_level: join.format_level,
            };
            self.set_place(NodeId(join.node), place).await?;
            return Ok(not_yet("its address or release has changed"));
        }
        let voters = voters(&metrics);
        let begins_to_vote = known.role == Role::Voter && !voters.contains(&join.node);
        if begins_to_vote {
            let lacks = lacks(&metrics, join.node);
            if lacks > CAUGHT_UP {
                return Ok(not_yet(&format!("it lacks {lacks} entries")));
            }
        }
        let replaced: BTreeSet<u64> = membership
            .nodes()
            .filter(|(id, node)| **id != join.node && node.address == join.address)
            .map(|(id, _)| *id)
            .collect();
        if begins_to_vote || !replaced.is_empty() {
            let added = begins_to_vote.then_some(join.node).into_iter().collect();
            self.exchange(added, &replaced, &voters).await?;
        }
        Ok(Joined {
            done: true,
            detail: String::new(),
        })
    }

    /// Some begin to vote, others leave, at once.
    async fn exchange(
        &self,
        added: BTreeSet<u64>,
        leaving: &BTreeSet<u64>,
        voters: &BTreeSet<u64>,
    ) -> Result<(), Error> {
        if voters.union(&added).all(|voter| leaving.contains(voter)) {
            return Err(Error::Membership("nobody would be left who votes".into()));
        }
        let (voting, learning): (BTreeSet<u64>, BTreeSet<u64>) =
            leaving.iter().partition(|member| voters.contains(member));
        if voting.contains(&self.node.0) {
            self.leadership.stop_trusting();
        }
        let changes: Vec<Change> = vec![
            ChangeMembers::AddVoterIds(added),
            ChangeMembers::RemoveVoters(voting),
            ChangeMembers::RemoveNodes(learning),
        ];
        self.change(ChangeMembers::Batch(changes), false).await
    }

    /// As the leader: members are to be this from now on. Those that are to vote must have caught up.
    pub(crate) async fn set_roles(&self, roles: &BTreeMap<NodeId, Role>) -> Result<(), Error> {
        self.check_leads()?;
        let _one = self.changing_members.lock().await;
        let metrics = self.metrics();
        let membership = metrics.membership_config.membership();
        let now = voters(&metrics);
        let mut places = BTreeMap::new();
        let mut wanted = now.clone();
        for (node, role) in roles {
            let place = membership.get_node(&node.0);
            let place = place.ok_or_else(|| Error::Membership(format!("node {node} is not in the group")))?;
            if place.role != *role {
                let place = Place {
                    role: *role,
                    ..place.clone()
                };
                places.insert(node.0, place);
            }
            match role {
                Role::Voter => drop(wanted.insert(node.0)),
                Role::Learner | Role::ReadReplica => drop(wanted.remove(&node.0)),
            }
        }
        if wanted.is_empty() {
            return Err(Error::Membership("nobody would be left who votes".into()));
        }
        for member in wanted.difference(&now) {
            let lacks = lacks(&metrics, *member);
            if lacks > CAUGHT_UP {
                let message = format!(
                    "node {} lacks {lacks} entries and cannot vote yet; try again",
                    NodeId(*member)
                );
                return Err(Error::Membership(message));
            }
        }
        if !places.is_empty() {
            self.change(ChangeMembers::SetNodes(places), true).await?;
        }
        if wanted != now {
            if !wanted.contains(&self.node.0) {
                self.leadership.stop_trusting();
            }
            // Who stops voting goes on learning.
            self.change(ChangeMembers::ReplaceAllVoters(wanted), true).await?;
        }
        Ok(())
    }

    /// As the leader: a member leaves for good. That it is not there is as good.
    pub(crate) async fn remove_member(&self, node: NodeId) -> Result<(), Error> {
        self.check_leads()?;
        let _one = self.changing_members.lock().await;
        let metrics = self.metrics();
        if metrics.membership_config.membership().get_node(&node.0).is_none() {
            return Ok(());
        }
        self.exchange(BTreeSet::new(), &BTreeSet::from([node.0]), &voters(&metrics))
            .await
    }

    /// Only the leader may go on.
    pub(crate) fn check_leads(&self) -> Result<(), Error> {
        match self.serves() {
            true => Ok(()),
            false => Err(Error::NotLeader),
        }
    }

    /// A member is there from now on, and is this.
    pub(super) async fn set_place(&self, member: NodeId, place: Place) -> Result<(), Error> {
        let places = BTreeMap::from([(member.0, place)]);
        self.change(ChangeMembers::SetNodes(places), true).await
    }

    /// With `retain` voters that stop voting go on learning.
    pub(super) async fn change(&self, change: Change, retain: bool) -> Result<(), Error> {
        let changed = self.raft.change_membership(change, retain).await;
        let at = changed
            .map_err(|error| Error::Membership(error.to_string()))?
            .log_id;
        // Whoever asks next is to see it: Raft tells of it a moment after it answers.
        let wait = self.raft.wait(Some(HAND_OVER));
        let told = wait.metrics(
            |metrics| {
                metrics
                    .membership_config
                    .log_id()
                    .is_some_and(|known| known >= at)
            },
            "the membership as it was changed",
        );
        told.await
            .map(drop)
            .map_err(|error| Error::Stopped(error.to_string()))
    }

    /// Lets another voter lead, the furthest if none is named; answers whether it does.
    ///
    /// INVARIANT: it goes to its end, also where whoever asked for it has left: half-way this node still leads and serves no
    /// more, and nobody would ever be elected in its place. Tested by `a_hand_over_that_nobody_waits_for_goes_to_its_end`.
    pub(crate) async fn hand_over(self: &Arc<Group>, to: Option<NodeId>) -> bool {
        let group = Arc::clone(self);
        let handing_over = tokio::spawn(async move { group.hand_over_to(to).await });
        handing_over.await.unwrap_or(false)
    }

    async fn hand_over_to(&self, to: Option<NodeId>) -> bool {
        let metrics = self.metrics();
        let voters = voters(&metrics);
        let progress = metrics.replication.unwrap_or_default();
        let furthest = progress
            .into_iter()
            .filter(|(id, _)| voters.contains(id) && *id != self.node.0)
            .filter(|(id, _)| to.is_none_or(|to| to.0 == *id))
            .max_by_key(|(_, matched)| matched.as_ref().map(|id| id.index));
        let Some((successor, Some(_))) = furthest else {
            return false;
        };
        // Nothing new is proposed; what was proposed gets its outcome here, so that nobody hears of an unknown one.
        self.leadership.give_away();
        self.wait_until_landed().await;
        if let Err(error) = self.raft.trigger().transfer_leader(successor).await {
            tracing::warn!(group = %self.name, %error, "leadership was not handed over");
            self.take_back().await;
            return false;
        }
        let is_taken = async {
            while self.leader().is_none_or(|leader| leader == self.node) {
                self.leader_changed().await;
            }
        };
        let taken = tokio::time::timeout(HAND_OVER, is_taken).await.is_ok();
        if !taken {
            tracing::warn!(group = %self.name, "member {} did not take over", NodeId(successor));
            self.take_back().await;
        }
        taken
    }

    /// A leader that openraft has told to hand over takes nothing more in its term, whether anybody took over or not: it
    /// asks for votes in a new one.
    async fn take_back(&self) {
        self.leadership.take_back();
        if let Err(error) = self.raft.trigger().elect(false).await {
            tracing::error!(group = %self.name, %error, "no election after a hand-over that failed");
        }
    }

    async fn wait_until_landed(&self) {
        let landed = self.wait_applied(|| self.log.proposals().load(Ordering::Relaxed) == 0);
        if tokio::time::timeout(LAND, landed).await.is_err() {
            tracing::warn!(group = %self.name, "leadership is handed over while commits are under way");
        }
    }
}

fn not_yet(detail: &str) -> Joined {
    Joined {
        done: false,
        detail: detail.to_owned(),
    }
}
