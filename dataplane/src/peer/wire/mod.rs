//! What travels between nodes, as protobuf.
//!
//! Who a call is from, for and about stands in its metadata ([`FROM`], [`TO`], [`GROUP`]), not in every message of a stream.
//! Fields are only ever added; what a release does not know it ignores. What changes the meaning of the rest needs a new
//! [`PROTOCOL`].

mod forward;
mod meet;
mod raft;

pub(crate) use forward::{Chunk, Header, Part, ReplyHead, RequestHead, part};
pub(crate) use meet::{Hello, Join, Joined, Known, KnownGroup, KnownMember, ReadAt, ReadIndex};
pub(crate) use raft::{
    Append, Appended, Ballot, Malformed, SnapshotPart, SnapshotTaken, Transfer, Transferred, Voted,
};

/// The protocol that this release speaks. Nodes whose protocols differ refuse each other by name.
pub(crate) const PROTOCOL: u32 = 1;

/// Metadata: node id of the caller, 16 hexadecimal digits.
pub(crate) const FROM: &str = "orion-from";
/// Metadata: node id of the node that is meant, 16 hexadecimal digits. Whoever is another one refuses.
pub(crate) const TO: &str = "orion-to";
/// Metadata: name of the group that the call is about.
pub(crate) const GROUP: &str = "orion-group";
/// Metadata: which life of that group, as a decimal number. Members of different ones refuse each other.
pub(crate) const INCARNATION: &str = "orion-incarnation";
