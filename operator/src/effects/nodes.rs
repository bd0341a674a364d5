//! What nodes say. Each node that runs is asked for itself; the newest answer of the leader counts.

use super::carry_out::Outcome;
use super::keys::Key;
use super::{Error, Shared};
use crate::names::MemberName;
use crate::plan::{Membership, RaftMember, Seen};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use orion_api::admin::{Group, RaftState, Role as WireRole, Trouble};
use orion_api::client::Client;
use orion_api::{GroupName, Kind};
use orion_crds::group::Role;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A node that does not answer holds nobody up for longer.
const ANSWER: Duration = Duration::from_secs(3);

/// A call that does something may take longer. The machine of a node that does not answer may be gone: without a limit of
/// its own a look would wait for it for minutes, and say meanwhile that all is well.
pub(super) const REPLY: Duration = Duration::from_secs(10);

/// A member that lacks no more entries has caught up.
const CAUGHT_UP: u64 = 1000;

/// The nodes of a group that can be asked.
pub(super) struct Nodes {
    name: GroupName,
    clients: Vec<(MemberName, Client)>,
}

/// What the nodes of a group say.
pub(super) struct Said {
    pub(super) membership: Seen<Membership>,
    /// A client of the node that leads.
    pub(super) leader: Option<Client>,
    /// Of those that answer.
    pub(super) troubles: BTreeMap<MemberName, Vec<Trouble>>,
}

impl Said {
    pub(super) fn nothing() -> Said {
        Said {
            membership: Seen::Unknown,
            leader: None,
            troubles: BTreeMap::new(),
        }
    }
}

impl Nodes {
    /// Of pods that have an address. `key` signs, where nodes want a token.
    pub(super) fn new(
        name: GroupName,
        pods: &BTreeMap<MemberName, Arc<Pod>>,
        shared: &Shared,
        key: Option<&Key>,
    ) -> Nodes {
        let client = |(member, pod): (&MemberName, &Arc<Pod>)| {
            let client = shared.kept.clients.of(pod, &shared.endpoint, key).ok()??;
            Some((member.clone(), client))
        };
        Nodes {
            name,
            clients: pods.iter().filter_map(client).collect(),
        }
    }

    /// What each says of the group; those that do not answer are left out.
    async fn answers(&self) -> Vec<(&MemberName, &Client, Group)> {
        let asked = self.clients.iter().map(|(member, client)| async move {
            let answer = tokio::time::timeout(ANSWER, client.get_group(&self.name)).await;
            Some((member, client, answer.ok()?.ok()?))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// What they say: the membership by the newest answer, and each what is wrong with it.
    pub(super) async fn ask(&self, namespace: &str) -> Said {
        let answers = self.answers().await;
        let (membership, leader) = self.membership(namespace, &answers);
        let troubles = answers.into_iter();
        Said {
            membership,
            leader,
            troubles: troubles
                .map(|(member, _, group)| (member.clone(), group.troubles))
                .collect(),
        }
    }

    fn membership(
        &self,
        namespace: &str,
        answers: &[(&MemberName, &Client, Group)],
    ) -> (Seen<Membership>, Option<Client>) {
        let newest = answers
            .iter()
            .max_by_key(|(_, _, group)| (group.state == RaftState::Leader, group.term, group.last_log_index));
        let Some((_, client, group)) = newest.filter(|(_, _, group)| !group.members.is_empty()) else {
            return (Seen::Unknown, None);
        };
        let leads = group.state == RaftState::Leader;
        let committed = group.committed_index.0;
        let applied: BTreeMap<&MemberName, u64> = answers
            .iter()
            .map(|(member, _, group)| (*member, group.applied_index.0))
            .collect();
        let members = group.members.iter().map(|member| {
            let address = member.address.as_deref().unwrap_or_default();
            let name = MemberName::of_address(self.name.as_str(), namespace, address);
            // The leader knows what others have; else each says it of itself.
            let own = name.as_ref().and_then(|name| applied.get(name)).copied();
            let has = member.matched_index.map(|index| index.0).or(own);
            let seen = RaftMember {
                role: role_of(member.role),
                votes: member.votes,
                is_caught_up: has.map(|has| has + CAUGHT_UP >= committed),
                member: name,
            };
            (member.node, seen)
        });
        let reads = group.members.iter().map(|member| member.format_level).min();
        let membership = Membership {
            term: group.term,
            // Only who leads knows it for certain.
            leader: leads.then_some(group.leader).flatten(),
            members: members.collect(),
            format_level: group.format_level,
            reads_level: reads.unwrap_or(group.format_level),
        };
        (Seen::Known(membership), leads.then(|| Client::clone(client)))
    }
}

fn role_of(role: WireRole) -> Role {
    match role {
        WireRole::Voter => Role::Voter,
        WireRole::Learner => Role::Learner,
        WireRole::ReadReplica => Role::ReadReplica,
    }
}

/// The role as the admin API has it.
pub(crate) fn wire_role(role: Role) -> WireRole {
    match role {
        Role::Voter => WireRole::Voter,
        Role::Learner => WireRole::Learner,
        Role::ReadReplica => WireRole::ReadReplica,
    }
}

/// What a change of the membership answered. That it cannot be now is no error: it is planned anew.
pub(super) fn settled<T>(answer: Result<T, orion_api::client::Error>) -> Result<Outcome, Error> {
    match answer {
        Err(error) if matches!(error.kind(), Kind::Conflict | Kind::NotLeader | Kind::Retry) => {
            tracing::info!(%error, "a change of members is not possible now");
            Ok(Outcome::Nothing)
        }
        other => Ok(other.map(|_| Outcome::Done)?),
    }
}
