//! How an entry stands on disk.
//!
//! ```text
//! 0   format (u8) = 1
//! 1   kind (u8): 0 blank, 1 command, 2 membership
//! 2   term (u64 LE)     10  leader's node id (u64 LE)
//! 18  XXH3-64 over group, index, bytes 0..18 and the payload (u64 LE)
//! 26  payload: the command's protobuf, or the membership's
//! ```
//! The group and the index are in the checksum, so that an entry under a wrong key does not pass.

use super::Error;
use crate::entry::Proposal;
use crate::raft::{Entry, LogId, Place, Vote};
use bytes::Bytes;
use openraft::entry::RaftEntry;
use openraft::{EntryPayload, Membership};
use orion_api::admin::Role;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use xxhash_rust::xxh3::Xxh3;

const FORMAT: u8 = 1;
const HEADER: usize = 26;
const SUMMED: usize = 18;

const BLANK: u8 = 0;
const COMMAND: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// The entry as it stands on disk.
pub(crate) fn encode(group: u32, entry: &Entry) -> Vec<u8> {
    let (kind, payload) = match &entry.payload {
        EntryPayload::Blank => (BLANK, Bytes::new()),
        EntryPayload::Normal(proposal) => (COMMAND, proposal.encoded.clone()),
        EntryPayload::Membership(membership) => (MEMBERSHIP, membership_to_bytes(membership)),
    };
    let id = entry.log_id();
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.push(FORMAT);
    bytes.push(kind);
    bytes.extend_from_slice(&id.leader_id.term.to_le_bytes());
    bytes.extend_from_slice(&id.leader_id.node_id.to_le_bytes());
    let sum = checksum(group, id.index, &bytes, &payload);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes.extend_from_slice(&payload);
    bytes
}

/// The entry that stands on disk at `index`.
pub(crate) fn decode(group: u32, index: u64, stored: Bytes) -> Result<Entry, Error> {
    let corrupt = |detail: &str| Error::CorruptEntry {
        group,
        index,
        detail: detail.to_owned(),
    };
    let (header, payload) = stored
        .split_at_checked(HEADER)
        .ok_or_else(|| corrupt("too short"))?;
    if header[0] != FORMAT {
        return Err(corrupt(&format!(
            "format {} is not known to this release",
            header[0]
        )));
    }
    let sum = u64::from_le_bytes(fixed(&header[SUMMED..]));
    if sum != checksum(group, index, &header[..SUMMED], payload) {
        return Err(corrupt("checksum mismatch"));
    }
    let payload = stored.slice(HEADER..);
    let payload = match header[1] {
        BLANK => EntryPayload::Blank,
        COMMAND => EntryPayload::Normal(
            Proposal::decode(payload).map_err(|error| corrupt(&format!("undecodable command: {error}")))?,
        ),
        MEMBERSHIP => EntryPayload::Membership(
            membership_from_bytes(payload).ok_or_else(|| corrupt("undecodable membership"))?,
        ),
        kind => return Err(corrupt(&format!("kind {kind} is not known to this release"))),
    };
    Ok(Entry::new(
        log_id(
            u64::from_le_bytes(fixed(&header[2..])),
            u64::from_le_bytes(fixed(&header[10..])),
            index,
        ),
        payload,
    ))
}

fn fixed(bytes: &[u8]) -> [u8; 8] {
    let mut out = [0; 8];
    out.copy_from_slice(&bytes[..8]);
    out
}

fn checksum(group: u32, index: u64, header: &[u8], payload: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&group.to_le_bytes());
    hash.update(&index.to_le_bytes());
    hash.update(header);
    hash.update(payload);
    hash.digest()
}

/// A log id from its parts.
pub(crate) fn log_id(term: u64, node: u64, index: u64) -> LogId {
    LogId::new(
        openraft::impls::leader_id_adv::LeaderId { term, node_id: node },
        index,
    )
}

/// A log id as protobuf: in the log's meta data, in snapshots and between nodes.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct LogIdMessage {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) node: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) index: u64,
}

impl From<LogId> for LogIdMessage {
    fn from(id: LogId) -> LogIdMessage {
        LogIdMessage {
            term: id.leader_id.term,
            node: id.leader_id.node_id,
            index: id.index,
        }
    }
}

impl From<LogIdMessage> for LogId {
    fn from(id: LogIdMessage) -> LogId {
        log_id(id.term, id.node, id.index)
    }
}

/// A vote as protobuf.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct VoteMessage {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(uint64, tag = "2")]
    node: u64,
    #[prost(bool, tag = "3")]
    committed: bool,
}

impl From<&Vote> for VoteMessage {
    fn from(vote: &Vote) -> VoteMessage {
        VoteMessage {
            term: vote.leader_id.term,
            node: vote.leader_id.node_id,
            committed: vote.committed,
        }
    }
}

impl From<VoteMessage> for Vote {
    fn from(vote: VoteMessage) -> Vote {
        if vote.committed {
            Vote::new_committed(vote.term, vote.node)
        } else {
            Vote::new(vote.term, vote.node)
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct MembershipMessage {
    #[prost(message, repeated, tag = "1")]
    configs: Vec<VotersMessage>,
    #[prost(message, repeated, tag = "2")]
    nodes: Vec<NodeMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct VotersMessage {
    #[prost(uint64, repeated, tag = "1")]
    voters: Vec<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NodeMessage {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    address: String,
    /// 0 voter, 1 learner, 2 read replica.
    #[prost(uint32, tag = "3")]
    role: u32,
    #[prost(uint32, tag = "4")]
    format_level: u32,
}

fn place(node: NodeMessage) -> Place {
    Place {
        address: node.address,
        // A role that this release does not know gets no vote.
        role: match node.role {
            0 => Role::Voter,
            2 => Role::ReadReplica,
            _ => Role::Learner,
        },
        format_level: node.format_level,
    }
}

/// A membership as protobuf.
pub(crate) fn membership_to_bytes(membership: &Membership<u64, Place>) -> Bytes {
    let configs = membership.get_joint_config().iter();
    let nodes = membership.nodes();
    let message = MembershipMessage {
        configs: configs
            .map(|voters| VotersMessage {
                voters: voters.iter().copied().collect(),
            })
            .collect(),
        nodes: nodes
            .map(|(id, node)| NodeMessage {
                id: *id,
                address: node.address.clone(),
                role: match node.role {
                    Role::Voter => 0,
                    Role::Learner => 1,
                    Role::ReadReplica => 2,
                },
                format_level: node.format_level,
            })
            .collect(),
    };
    message.encode_to_vec().into()
}

/// A membership from protobuf; `None` if it is not one.
pub(crate) fn membership_from_bytes(bytes: Bytes) -> Option<Membership<u64, Place>> {
    let message = MembershipMessage::decode(bytes).ok()?;
    let configs: Vec<BTreeSet<u64>> = message
        .configs
        .into_iter()
        .map(|config| config.voters.into_iter().collect())
        .collect();
    let nodes: BTreeMap<u64, Place> = message
        .nodes
        .into_iter()
        .map(|node| (node.id, place(node)))
        .collect();
    Membership::new(configs, nodes).ok()
}
