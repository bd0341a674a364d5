//! How a node gets into its group, and stays what it wants to be there.
//!
//! Whatever the order in which nodes start, the group is begun once: by the one that claims it in the object store. The others
//! look for it at the addresses that they were given, and ask its leader to take them in. A member that has moved says so to
//! its peers and to the leader.

use super::options::Cluster;
use super::troubles::Unsettled;
use crate::causes;
use crate::group::{self, Group};
use crate::owner::{Chains, Founded, Founding, Incarnation};
use crate::peer::wire::{Join, Joined, Known, KnownGroup};
use crate::peer::{self, Peers};
use futures::future::join_all;
use orion_api::NodeId;
use orion_api::admin::{Role, Trouble, TroubleKind};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Pause between two looks while something is to be done.
const PAUSE: Duration = Duration::from_millis(200);

/// The same while all is well.
const WATCH: Duration = Duration::from_secs(5);

/// How long the leader has to take a node in.
const ANSWER: Duration = Duration::from_secs(10);

/// What this node has to do with its group.
pub(super) struct Companion {
    pub(super) group: Arc<Group>,
    pub(super) peers: Arc<Peers>,
    pub(super) chains: Chains,
    pub(super) cluster: Cluster,
    /// Where it is told why this node is not settled.
    pub(super) unsettled: Arc<Unsettled>,
}

/// Why a step did not succeed. It is tried again.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the group's beginning could not be claimed")]
    Owner(#[from] crate::owner::Error),
    #[error(transparent)]
    Group(#[from] group::Error),
    #[error(transparent)]
    Peer(#[from] peer::Error),
    #[error("the group was begun by node {0}, and none of the peers knows its leader")]
    NobodyLeads(NodeId),
    #[error(
        "the group of this name in the object store was begun by node {0}, which is none of those that answer here"
    )]
    Elsewhere(NodeId),
    #[error("the leader has not taken this node in yet: {0}")]
    NotYet(String),
}

impl Error {
    fn trouble(&self, text: &str) -> Trouble {
        let kind = match self {
            Error::Elsewhere(_) => TroubleKind::GroupElsewhere,
            _ => TroubleKind::NotInGroup,
        };
        Trouble {
            kind,
            message: text.to_owned(),
        }
    }
}

impl Companion {
    /// Runs until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut said = String::new();
        loop {
            let pause = match stop.run_until_cancelled(self.step()).await {
                None => return,
                Some(Ok(())) => {
                    self.unsettled.clear();
                    WATCH
                }
                Some(Err(error)) => {
                    let text = causes::text(&error);
                    self.unsettled.note(error.trouble(&text));
                    if text != said {
                        tracing::info!(group = %self.group.name, "not settled in the group yet: {text}");
                        said = text;
                    }
                    PAUSE
                }
            };
            if stop
                .run_until_cancelled(tokio::time::sleep(pause))
                .await
                .is_none()
            {
                return;
            }
        }
    }

    async fn step(&self) -> Result<(), Error> {
        if self.is_settled() {
            return Ok(());
        }
        let known = self.greet().await;
        if !self.group.is_initialized().await? && self.group.incarnation != Incarnation(1) {
            // Its first member began with what was recovered, before its own log.
            let (name, incarnation) = (&self.group.name, self.group.incarnation);
            let founder = self.chains.founder(name, incarnation).await?;
            let founder =
                founder.ok_or_else(|| Error::NotYet("nobody began the recovered group yet".into()))?;
            return self.join(&known, founder).await;
        }
        if !self.group.is_initialized().await? {
            let founding = Founding::first(self.group.name.clone(), self.group.node);
            match self.chains.found(&founding).await? {
                Founded::Ours => {
                    self.group.initialize(self.cluster.advertise.clone()).await?;
                    return Ok(());
                }
                Founded::By(founder) => return self.join(&known, founder).await,
            }
        }
        self.join(&known, self.group.node).await
    }

    /// True if the group has this node where it is, and as it is to be, and somebody leads.
    fn is_settled(&self) -> bool {
        let metrics = self.group.metrics();
        let membership = metrics.membership_config.membership();
        let own = self.group.node.0;
        let Some(place) = membership.get_node(&own) else {
            return false;
        };
        let votes = membership.voter_ids().any(|voter| voter == own);
        let is_complete = votes || place.role != Role::Voter;
        place.address == self.cluster.advertise
            && place.format_level == self.group.reads_format
            && is_complete
            && metrics.current_leader.is_some()
    }

    /// Says to all whose address is known where this node is; answers what they know.
    async fn greet(&self) -> Vec<Known> {
        let metrics = self.group.metrics();
        let members = metrics
            .membership_config
            .membership()
            .nodes()
            .map(|(_, node)| node.address.clone());
        let mut addresses: BTreeSet<String> = self.cluster.seeds.iter().cloned().chain(members).collect();
        addresses.remove(&self.cluster.advertise);
        addresses.remove("");
        let greetings = addresses.iter().map(|address| self.peers.links.greet(address));
        let answers = join_all(greetings).await.into_iter();
        answers
            .filter_map(|answer| match answer {
                Ok(known) => Some(known),
                Err(error) => {
                    tracing::debug!(%error, "a peer was not reached");
                    None
                }
            })
            .collect()
    }

    /// Asks the leader to take this node in, or to note that it has moved.
    async fn join(&self, known: &[Known], founder: NodeId) -> Result<(), Error> {
        let groups = known.iter().flat_map(|known| &known.groups);
        let own = groups.filter(|group| self.is_ours(group) && group.leader != 0);
        let leaders = own.filter_map(|group| {
            let leader = group.members.iter().find(|member| member.node == group.leader)?;
            Some((NodeId(leader.node), leader.address.clone()))
        });
        let mut candidates: Vec<(NodeId, String)> = leaders.collect();
        candidates.dedup();
        let is_reached = |founder: NodeId| {
            let mut own = known.iter().filter_map(|known| known.own.as_ref());
            founder == self.group.node || own.any(|own| own.node == founder.0)
        };
        let mut answer = Err(match is_reached(founder) {
            true => Error::NobodyLeads(founder),
            false => Error::Elsewhere(founder),
        });
        for (leader, address) in candidates {
            let joined = if leader == self.group.node {
                // The leader that has moved notes it itself.
                self.group.take_in(self.wish()).await?
            } else {
                self.peers.links.learn_from_membership(leader, &address);
                match self.ask(leader).await {
                    Ok(joined) => joined,
                    Err(error) => {
                        answer = Err(error);
                        continue;
                    }
                }
            };
            if joined.done {
                return Ok(());
            }
            answer = Err(Error::NotYet(joined.detail));
        }
        answer
    }

    /// A group of the same name and of another incarnation is another one.
    fn is_ours(&self, group: &KnownGroup) -> bool {
        group.name == self.group.name.as_str() && group.incarnation == self.group.incarnation.0
    }

    fn wish(&self) -> Join {
        Join {
            node: self.group.node.0,
            address: self.cluster.advertise.clone(),
            votes: self.cluster.votes,
            format_level: self.group.reads_format,
        }
    }

    async fn ask(&self, leader: NodeId) -> Result<Joined, Error> {
        let Some(link) = self.peers.links.to(leader) else {
            return Err(Error::NobodyLeads(leader));
        };
        let mut control = link.control.clone();
        let request = link.request(Some((&self.group.name, self.group.incarnation)), self.wish());
        match tokio::time::timeout(ANSWER, control.join(request)).await {
            Err(_) => Err(Error::NotYet("no answer in time".into())),
            Ok(Err(status)) => Err(Error::NotYet(status.message().to_owned())),
            Ok(Ok(joined)) => Ok(joined.into_inner()),
        }
    }
}
