//! Raft's own calls, and how they become openraft's.

use crate::entry::Proposal;
use crate::log::{LogIdMessage, VoteMessage, membership_from_bytes, membership_to_bytes};
use crate::raft::{Entry, LogId, Types, Vote};
use bytes::Bytes;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, StreamAppendResult, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use xxhash_rust::xxh3::Xxh3;

/// A message that makes no sense: it was damaged on its way, or it is of a release that is too new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {0} of a peer makes no sense")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Entries to append.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Append {
    #[prost(message, optional, tag = "1")]
    vote: Option<VoteMessage>,
    #[prost(message, optional, tag = "2")]
    prev: Option<LogIdMessage>,
    #[prost(message, optional, tag = "3")]
    committed: Option<LogIdMessage>,
    #[prost(message, repeated, tag = "4")]
    entries: Vec<EntryMessage>,
}

/// One entry. The checksum goes from the leader's memory to the follower's: TCP's own is weak.
#[derive(Clone, PartialEq, prost::Message)]
struct EntryMessage {
    #[prost(fixed64, tag = "1")]
    term: u64,
    #[prost(fixed64, tag = "2")]
    node: u64,
    #[prost(uint64, tag = "3")]
    index: u64,
    /// XXH3-64 over term, node, index, kind and payload.
    #[prost(fixed64, tag = "4")]
    checksum: u64,
    #[prost(oneof = "Payload", tags = "5, 6, 7")]
    payload: Option<Payload>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Payload {
    #[prost(bool, tag = "5")]
    Blank(bool),
    #[prost(bytes = "bytes", tag = "6")]
    Command(Bytes),
    #[prost(bytes = "bytes", tag = "7")]
    Membership(Bytes),
}

fn checksum(id: &LogId, payload: &Payload) -> u64 {
    let (kind, bytes): (u8, &[u8]) = match payload {
        Payload::Blank(_) => (0, &[]),
        Payload::Command(bytes) => (1, bytes),
        Payload::Membership(bytes) => (2, bytes),
    };
    let mut hash = Xxh3::new();
    for number in [id.leader_id.term, id.leader_id.node_id, id.index] {
        hash.update(&number.to_le_bytes());
    }
    hash.update(&[kind]);
    hash.update(bytes);
    hash.digest()
}

impl From<Entry> for EntryMessage {
    fn from(entry: Entry) -> EntryMessage {
        let id = entry.log_id();
        let payload = match entry.payload {
            EntryPayload::Blank => Payload::Blank(true),
            EntryPayload::Normal(proposal) => Payload::Command(proposal.encoded),
            EntryPayload::Membership(membership) => Payload::Membership(membership_to_bytes(&membership)),
        };
        EntryMessage {
            term: id.leader_id.term,
            node: id.leader_id.node_id,
            index: id.index,
            checksum: checksum(&id, &payload),
            payload: Some(payload),
        }
    }
}

impl EntryMessage {
    fn entry(self) -> Option<Entry> {
        let id = LogId::from(LogIdMessage {
            term: self.term,
            node: self.node,
            index: self.index,
        });
        let payload = self.payload?;
        if checksum(&id, &payload) != self.checksum {
            return None;
        }
        let payload = match payload {
            Payload::Blank(_) => EntryPayload::Blank,
            Payload::Command(bytes) => EntryPayload::Normal(Proposal::decode(bytes).ok()?),
            Payload::Membership(bytes) => EntryPayload::Membership(membership_from_bytes(bytes)?),
        };
        Some(Entry::new(id, payload))
    }
}

impl From<AppendEntriesRequest<Types>> for Append {
    fn from(request: AppendEntriesRequest<Types>) -> Append {
        Append {
            vote: Some((&request.vote).into()),
            prev: request.prev_log_id.map(Into::into),
            committed: request.leader_commit.map(Into::into),
            entries: request.entries.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<Append> for AppendEntriesRequest<Types> {
    type Error = Malformed;

    fn try_from(append: Append) -> Result<Self, Malformed> {
        let entries = append.entries.into_iter().map(EntryMessage::entry);
        Ok(AppendEntriesRequest {
            vote: append.vote.ok_or(Malformed("append"))?.into(),
            prev_log_id: append.prev.map(Into::into),
            leader_commit: append.committed.map(Into::into),
            entries: entries.collect::<Option<_>>().ok_or(Malformed("entry"))?,
        })
    }
}

/// The answer to one [`Append`].
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Appended {
    #[prost(oneof = "Outcome", tags = "1, 2, 3, 4")]
    outcome: Option<Outcome>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Outcome {
    /// Durable up to here.
    #[prost(message, tag = "1")]
    Durable(LogIdMessage),
    /// Nothing is there, and nothing was to be appended.
    #[prost(bool, tag = "2")]
    Nothing(bool),
    /// The log has no such entry.
    #[prost(message, tag = "3")]
    Conflict(LogIdMessage),
    /// A newer leader or candidate is known.
    #[prost(message, tag = "4")]
    HigherVote(VoteMessage),
}

impl From<StreamAppendResult<Types>> for Appended {
    fn from(result: StreamAppendResult<Types>) -> Appended {
        let outcome = match result {
            Ok(Some(id)) => Outcome::Durable(id.into()),
            Ok(None) => Outcome::Nothing(true),
            Err(StreamAppendError::Conflict(id)) => Outcome::Conflict(id.into()),
            Err(StreamAppendError::HigherVote(vote)) => Outcome::HigherVote((&vote).into()),
        };
        Appended {
            outcome: Some(outcome),
        }
    }
}

impl Appended {
    /// The answer to a request of a stream.
    pub(crate) fn of_stream(self) -> Result<StreamAppendResult<Types>, Malformed> {
        Ok(match self.outcome.ok_or(Malformed("answer to an append"))? {
            Outcome::Durable(id) => Ok(Some(id.into())),
            Outcome::Nothing(_) => Ok(None),
            Outcome::Conflict(id) => Err(StreamAppendError::Conflict(id.into())),
            Outcome::HigherVote(vote) => Err(StreamAppendError::HigherVote(vote.into())),
        })
    }

    /// The answer to a single request.
    pub(crate) fn of_single(self) -> Result<AppendEntriesResponse<Types>, Malformed> {
        Ok(match self.outcome.ok_or(Malformed("answer to an append"))? {
            Outcome::Durable(id) => AppendEntriesResponse::PartialSuccess(Some(id.into())),
            Outcome::Nothing(_) => AppendEntriesResponse::Success,
            Outcome::Conflict(_) => AppendEntriesResponse::Conflict,
            Outcome::HigherVote(vote) => AppendEntriesResponse::HigherVote(vote.into()),
        })
    }

    /// The follower took the sender for its leader.
    pub(crate) fn accepts_leader(&self) -> bool {
        !matches!(self.outcome, None | Some(Outcome::HigherVote(_)))
    }

    /// What a follower says to a single request that ended at `last`.
    pub(crate) fn single(response: AppendEntriesResponse<Types>, prev: Option<LogId>) -> Appended {
        let outcome = match response {
            AppendEntriesResponse::Success => Outcome::Nothing(true),
            AppendEntriesResponse::PartialSuccess(Some(id)) => Outcome::Durable(id.into()),
            AppendEntriesResponse::PartialSuccess(None) => Outcome::Nothing(true),
            AppendEntriesResponse::Conflict => Outcome::Conflict(prev.map(Into::into).unwrap_or_default()),
            AppendEntriesResponse::HigherVote(vote) => Outcome::HigherVote((&vote).into()),
        };
        Appended {
            outcome: Some(outcome),
        }
    }
}

/// A candidate asks for a vote.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Ballot {
    #[prost(message, optional, tag = "1")]
    vote: Option<VoteMessage>,
    #[prost(message, optional, tag = "2")]
    last: Option<LogIdMessage>,
    /// The leader asked for this election.
    #[prost(bool, tag = "3")]
    transfer: bool,
    /// It only wants to know whether it would get the vote.
    #[prost(bool, tag = "4")]
    pub(crate) pre: bool,
}

impl Ballot {
    pub(crate) fn new(request: &VoteRequest<Types>, pre: bool) -> Ballot {
        Ballot {
            vote: Some((&request.vote).into()),
            last: request.last_log_id.map(Into::into),
            transfer: request.leadership_transfer,
            pre,
        }
    }
}

impl TryFrom<Ballot> for VoteRequest<Types> {
    type Error = Malformed;

    fn try_from(ballot: Ballot) -> Result<Self, Malformed> {
        let vote: Vote = ballot.vote.ok_or(Malformed("ballot"))?.into();
        let mut request = VoteRequest::new(vote, ballot.last.map(Into::into));
        request.leadership_transfer = ballot.transfer;
        Ok(request)
    }
}

/// The answer to a [`Ballot`].
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Voted {
    #[prost(message, optional, tag = "1")]
    vote: Option<VoteMessage>,
    #[prost(bool, tag = "2")]
    granted: bool,
    #[prost(message, optional, tag = "3")]
    last: Option<LogIdMessage>,
}

impl From<VoteResponse<Types>> for Voted {
    fn from(response: VoteResponse<Types>) -> Voted {
        Voted {
            vote: Some((&response.vote).into()),
            granted: response.vote_granted,
            last: response.last_log_id.map(Into::into),
        }
    }
}

impl TryFrom<Voted> for VoteResponse<Types> {
    type Error = Malformed;

    fn try_from(voted: Voted) -> Result<Self, Malformed> {
        let vote: Vote = voted.vote.ok_or(Malformed("vote"))?.into();
        Ok(VoteResponse::new(vote, voted.last.map(Into::into), voted.granted))
    }
}

/// The leader asks a member to lead in its place, and tells the others that they may vote for it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Transfer {
    #[prost(message, optional, tag = "1")]
    from: Option<VoteMessage>,
    #[prost(fixed64, tag = "2")]
    to: u64,
    #[prost(message, optional, tag = "3")]
    last: Option<LogIdMessage>,
}

impl From<&TransferLeaderRequest<Types>> for Transfer {
    fn from(request: &TransferLeaderRequest<Types>) -> Transfer {
        Transfer {
            from: Some(request.from_leader().into()),
            to: *request.to_node_id(),
            last: request.last_log_id().copied().map(Into::into),
        }
    }
}

impl TryFrom<Transfer> for TransferLeaderRequest<Types> {
    type Error = Malformed;

    fn try_from(transfer: Transfer) -> Result<Self, Malformed> {
        let from = transfer.from.ok_or(Malformed("transfer"))?.into();
        Ok(TransferLeaderRequest::new(
            from,
            transfer.to,
            transfer.last.map(Into::into),
        ))
    }
}

/// The answer to a [`Transfer`].
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Transferred {
    /// The leader that asked is not the leader any more, but this.
    #[prost(message, optional, tag = "1")]
    changed: Option<VoteMessage>,
    /// The log is not durable as far as needed, but up to here; absent with `short` unset if all is well.
    #[prost(message, optional, tag = "2")]
    durable: Option<LogIdMessage>,
    #[prost(bool, tag = "3")]
    short: bool,
}

impl From<TransferLeaderResponse<Types>> for Transferred {
    fn from(response: TransferLeaderResponse<Types>) -> Transferred {
        match response {
            Ok(()) => Transferred::default(),
            Err(TransferLeaderError::VoteChanged { actual, .. }) => Transferred {
                changed: Some((&actual).into()),
                ..Transferred::default()
            },
            Err(TransferLeaderError::LogNotFlushed { actual, .. }) => Transferred {
                durable: actual.map(Into::into),
                short: true,
                ..Transferred::default()
            },
        }
    }
}

impl Transferred {
    /// The answer to `request`.
    pub(crate) fn to(self, request: &TransferLeaderRequest<Types>) -> TransferLeaderResponse<Types> {
        if let Some(actual) = self.changed {
            return Err(TransferLeaderError::VoteChanged {
                expected: *request.from_leader(),
                actual: actual.into(),
            });
        }
        if self.short {
            return Err(TransferLeaderError::LogNotFlushed {
                expected: request.last_log_id().copied(),
                actual: self.durable.map(Into::into),
            });
        }
        Ok(())
    }
}

/// A piece of a local snapshot's file. The file has checksums of its own.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SnapshotPart {
    /// Of the leader that sends it; in the first part only.
    #[prost(message, optional, tag = "1")]
    pub(crate) vote: Option<VoteMessage>,
    /// The next bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) bytes: Bytes,
    /// There are no more.
    #[prost(bool, tag = "3")]
    pub(crate) last: bool,
}

/// A snapshot was taken over.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SnapshotTaken {
    /// The vote of the member, which may be higher than the sender's.
    #[prost(message, optional, tag = "1")]
    pub(crate) vote: Option<VoteMessage>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Drop, Kind};
    use crate::log::log_id;
    use prost::Message;

    fn append() -> AppendEntriesRequest<Types> {
        let command = Proposal::new(Kind::Drop(Drop {
            database: Bytes::from_static(&[7; 16]),
            dropped_at_ms: 1,
        }));
        AppendEntriesRequest {
            vote: Vote::new_committed(3, u64::MAX),
            prev_log_id: Some(log_id(2, 9, 40)),
            leader_commit: None,
            entries: vec![
                Entry::new(log_id(3, u64::MAX, 41), EntryPayload::Blank),
                Entry::new(log_id(3, u64::MAX, 42), EntryPayload::Normal(command)),
            ],
        }
    }

    #[test]
    fn an_append_comes_back_as_it_went() {
        let bytes = Append::from(append()).encode_to_vec();
        let back =
            AppendEntriesRequest::try_from(Append::decode(&*bytes).expect("decodes")).expect("makes sense");
        assert_eq!(format!("{back:?}"), format!("{:?}", append()));
    }

    #[test]
    fn no_flipped_bit_of_an_entry_is_taken() {
        let request = append();
        let whole = Append::from(request.clone()).encode_to_vec();
        let said = |append: &AppendEntriesRequest<Types>| {
            let payloads = append.entries.iter().map(|entry| match &entry.payload {
                EntryPayload::Normal(proposal) => proposal.encoded.clone(),
                _ => Bytes::new(),
            });
            let ids: Vec<_> = append.entries.iter().map(RaftEntry::log_id).collect();
            (ids, payloads.collect::<Vec<_>>())
        };
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let Ok(message) = Append::decode(&*damaged) else {
                continue;
            };
            let entries = message.entries.len();
            let Ok(back) = AppendEntriesRequest::try_from(message) else {
                continue;
            };
            // Damage elsewhere (vote, positions, a field number) may leave fewer entries, never other ones.
            assert!(
                entries < 2 || said(&back) == said(&request),
                "bit {bit} made another entry"
            );
        }
    }

    #[test]
    fn answers_come_back_as_they_went() {
        let id = log_id(2, 9, 40);
        let vote = Vote::new(7, 8);
        let results: Vec<StreamAppendResult<Types>> = vec![
            Ok(Some(id)),
            Ok(None),
            Err(StreamAppendError::Conflict(id)),
            Err(StreamAppendError::HigherVote(vote)),
        ];
        for result in results {
            let accepts = !matches!(result, Err(StreamAppendError::HigherVote(_)));
            let bytes = Appended::from(result.clone()).encode_to_vec();
            let back = Appended::decode(&*bytes).expect("decodes");
            assert_eq!(back.accepts_leader(), accepts);
            assert_eq!(back.of_stream().expect("makes sense"), result);
        }
    }
}
