//! The kinds of commands, except the commit, which has a file of its own.

use super::{Commit, Limits, PageChange};
use bytes::Bytes;

/// One command. `kind` is absent only where a newer release wrote a kind that this one does not know.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Command {
    /// What to do.
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11")]
    pub kind: Option<Kind>,
}

/// Everything that changes a group's state.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    /// Pages and records of one or several transactions of a database.
    #[prost(message, tag = "1")]
    Commit(Commit),
    /// A part of a transaction that is too large for one entry.
    #[prost(message, tag = "2")]
    Pages(Pages),
    /// A new database.
    #[prost(message, tag = "3")]
    Create(Create),
    /// A database becomes a tombstone.
    #[prost(message, tag = "4")]
    Drop(Drop),
    /// A tombstone's objects are gone.
    #[prost(message, tag = "5")]
    Purged(Purged),
    /// The pages up to a version are in the object store.
    #[prost(message, tag = "6")]
    Materialized(Materialized),
    /// A checkpoint is about to be deleted.
    #[prost(message, tag = "7")]
    Unpin(Unpin),
    /// A database's limits change.
    #[prost(message, tag = "8")]
    SetLimits(SetLimits),
    /// The group begins to use a newer format.
    #[prost(message, tag = "9")]
    SetFormatLevel(SetFormatLevel),
    /// The group gets its secret.
    #[prost(message, tag = "10")]
    SetSigningKey(SetSigningKey),
    /// A part of the log is archived.
    #[prost(message, tag = "11")]
    Archived(Archived),
}

impl Kind {
    /// For logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Commit(_) => "commit",
            Kind::Pages(_) => "pages",
            Kind::Create(_) => "create",
            Kind::Drop(_) => "drop",
            Kind::Purged(_) => "purged",
            Kind::Materialized(_) => "materialized",
            Kind::Unpin(_) => "unpin",
            Kind::SetLimits(_) => "set_limits",
            Kind::SetFormatLevel(_) => "set_format_level",
            Kind::SetSigningKey(_) => "set_signing_key",
            Kind::Archived(_) => "archived",
        }
    }
}

/// Part `part` of the transaction `transaction`; invisible until the commit that names it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Pages {
    /// Database id, 16 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub database: Bytes,
    /// Epoch in which it was begun.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// Number of the transaction, unique within epoch and term.
    #[prost(uint64, tag = "3")]
    pub transaction: u64,
    /// Counted from 0.
    #[prost(uint32, tag = "4")]
    pub part: u32,
    /// Changed pages; a page is in one part only.
    #[prost(message, repeated, tag = "5")]
    pub pages: Vec<PageChange>,
}

/// A database comes into being. Its epoch was read from the owner chain, where it was born.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Create {
    /// Database id, 16 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub database: Bytes,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Its first epoch in this group.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
    /// Wall clock of the proposer, for people only.
    #[prost(uint64, tag = "4")]
    pub created_at_ms: u64,
    /// Limits of this database.
    #[prost(message, optional, tag = "5")]
    pub limits: Option<Limits>,
    /// Position in the name chain that the name was claimed at.
    #[prost(uint64, tag = "6")]
    pub name_position: u64,
}

/// A database is not served any more; its objects stay until retention is over.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Drop {
    /// Database id, 16 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub database: Bytes,
    /// Wall clock of the proposer; retention counts from it.
    #[prost(uint64, tag = "2")]
    pub dropped_at_ms: u64,
}

/// The objects of a dropped database were deleted.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Purged {
    /// Database id, 16 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub database: Bytes,
    /// Wall clock of the proposer, for people only.
    #[prost(uint64, tag = "2")]
    pub purged_at_ms: u64,
}

/// Every page as of `version` is in the object store, at the named checkpoint.
///
/// INVARIANT: refused unless `epoch` is the database's epoch and `version` is newer than what is
/// materialized: a stale materializer changes nothing.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Materialized {
    /// Database id, 16 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub database: Bytes,
    /// The epoch whose SlateDB holds the checkpoint.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// Version of the pages.
    #[prost(uint64, tag = "3")]
    pub version: u64,
    /// Checkpoint id, 16 bytes.
    #[prost(bytes = "bytes", tag = "4")]
    pub checkpoint: Bytes,
    /// Pages in the database at that version.
    #[prost(uint32, tag = "5")]
    pub page_count: u32,
    /// Records whose time was over by then are not in it: the leader's wall clock, milliseconds since 1970.
    #[prost(uint64, tag = "6")]
    pub records_expired_ms: u64,
}

/// The leader is about to delete a checkpoint that nobody needs any more.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Unpin {
    /// Database id, 16 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub database: Bytes,
    /// Epoch of the checkpoint.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// Checkpoint id, 16 bytes.
    #[prost(bytes = "bytes", tag = "3")]
    pub checkpoint: Bytes,
}

/// New limits of a database.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SetLimits {
    /// Database id, 16 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub database: Bytes,
    /// The limits, all of them.
    #[prost(message, optional, tag = "2")]
    pub limits: Option<Limits>,
}

/// From here on entries may use this format. Proposed only when every member reads it.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct SetFormatLevel {
    /// The level.
    #[prost(uint32, tag = "1")]
    pub level: u32,
}

/// The secret that signs batons and session tokens on all members. The first one stays.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SetSigningKey {
    /// 32 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
}

/// Everything before an index is in the archive: members need not keep it in their logs for that, and whoever leads next
/// goes on from there. Nothing else depends on it.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Archived {
    /// The index.
    #[prost(uint64, tag = "1")]
    pub below: u64,
}
