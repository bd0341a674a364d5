//! openraft, behind names of our own: the only place that knows its generics, so that a new alpha is met
//! here and not everywhere.

mod callback;
mod lease;
#[cfg(test)]
mod lease_model;
mod solitary;

use crate::entry::Proposal;
use orion_api::Version;
use orion_api::admin::Role;
use std::fmt;

pub(crate) use callback::Callback;
pub(crate) use lease::{FORGOTTEN_VOTE, LEASE, Lease};
pub(crate) use solitary::Solitary;

/// Types of one group's Raft. Written out, because openraft's macro takes no responder of our own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Types;

impl openraft::RaftTypeConfig for Types {
    type D = Proposal;
    type R = Applied;
    type NodeId = u64;
    type Node = Place;
    type Term = u64;
    type LeaderId = openraft::impls::leader_id_adv::LeaderId<u64, u64>;
    type Vote = openraft::impls::Vote<Self::LeaderId>;
    type Payload = openraft::EntryPayload<Proposal, u64, Place>;
    type Entry = openraft::impls::Entry<Self::LeaderId, Self::Payload>;
    type AsyncRuntime = openraft::impls::TokioRuntime;
    type Responder<T>
        = Callback<T>
    where
        T: openraft::OptionalSend + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: openraft::OptionalSend + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

/// A member's place in its group: part of the membership, changed by entries only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Where its peers reach it, `host:port`; empty where there are none.
    pub address: String,
    /// What it is to be. Whether it votes already the membership says.
    pub role: Role,
    /// The newest format level that its release reads, as it said last.
    pub format_level: u32,
}

/// A local snapshot of a group, as a file. What is in it is `group`'s affair.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotFile {
    /// Where it is.
    pub(crate) path: std::path::PathBuf,
}

/// Position and term of an entry.
pub(crate) type LogId = openraft::type_config::alias::LogIdOf<Types>;
/// A log entry.
pub(crate) type Entry = openraft::type_config::alias::EntryOf<Types>;
/// Who a node votes for, and in which term.
pub(crate) type Vote = openraft::type_config::alias::VoteOf<Types>;
/// Members, and the entry that made them so.
pub(crate) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<Types>;
/// The outcome of a proposal as openraft reports it.
pub(crate) type WriteResult = openraft::raft::ClientWriteResult<Types>;

/// What the state machine answers for an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Applied {
    /// An entry without an answer: a membership or a leader's first.
    #[default]
    Nothing,
    /// Done; for a commit the version that became visible.
    Done(Option<Version>),
    /// Refused, the same way on every member: certainly without effect.
    Refused(Refused),
}

/// Why the state machine refused a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The group has no such database, or it was dropped.
    #[error("the group has no such database")]
    NoDatabase,
    /// Another epoch owns the database.
    #[error("another epoch owns the database")]
    Epoch,
    /// The database is not at the version that the command is based on.
    #[error("the database is at another version")]
    Version,
    /// The chain hash is not the next link.
    #[error("the chain of the database is another one")]
    Chain,
    /// The name or the id is taken.
    #[error("the name is taken")]
    Taken,
    /// The command is malformed, or its parts are incomplete.
    #[error("the command is malformed")]
    Malformed,
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Applied::Nothing => f.write_str("nothing"),
            Applied::Done(None) => f.write_str("done"),
            Applied::Done(Some(version)) => write!(f, "version {version}"),
            Applied::Refused(why) => write!(f, "refused: {why}"),
        }
    }
}
