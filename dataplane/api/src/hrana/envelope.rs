//! The `orion` object that every reply carries beside what Hrana knows: where it came from and how fresh
//! it is. Clients of libSQL ignore it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Which reads a request accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadPolicy {
    /// Linearizable.
    #[default]
    Strong,
    /// Linearizable, and never by a lease: a quorum was asked.
    RevocationSafe,
    /// At least as new as the session token.
    Session,
    /// At most as old as was asked for.
    BoundedStaleness,
    /// Whatever is here.
    Local,
}

impl ReadPolicy {
    /// The name in headers and replies.
    pub fn as_str(self) -> &'static str {
        match self {
            ReadPolicy::Strong => "strong",
            ReadPolicy::RevocationSafe => "revocation_safe",
            ReadPolicy::Session => "session",
            ReadPolicy::BoundedStaleness => "bounded_staleness",
            ReadPolicy::Local => "local",
        }
    }
}

impl fmt::Display for ReadPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ReadPolicy {
    type Err = ();

    fn from_str(name: &str) -> Result<ReadPolicy, ()> {
        Ok(match name {
            "strong" => ReadPolicy::Strong,
            "revocation_safe" => ReadPolicy::RevocationSafe,
            "session" => ReadPolicy::Session,
            "bounded_staleness" => ReadPolicy::BoundedStaleness,
            "local" => ReadPolicy::Local,
            _ => return Err(()),
        })
    }
}

/// The `orion` object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// The node that ran it.
    pub node: String,
    /// The node that took the request from the client, if it was another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded_from: Option<String>,
    /// The policy that its reads were answered under.
    pub read_policy: ReadPolicy,
    /// Only where a key was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<Idempotency>,
    /// Signed; stands for what was seen and written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<String>,
    /// How fresh the copy was that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freshness: Option<Freshness>,
}

/// What became of an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// The key as it was given.
    pub key: String,
    /// Hash of the canonical request, in hex.
    pub request_hash: String,
    /// Whether there is a record.
    pub status: IdempotencyStatus,
    /// Whether this reply is a stored one.
    pub reused: bool,
}

/// Whether a reply is kept under its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdempotencyStatus {
    /// Something was committed: kept with the exact reply.
    Stored,
    /// Something was committed: kept, but the reply was too large to keep.
    StoredWithoutReply,
    /// Nothing was committed: the key is free, a retry runs again.
    NotStored,
}

/// How fresh the copy was that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freshness {
    /// Version of the database that was applied here.
    pub applied: u64,
    /// Bound on its age by this node's clock; 0 under `strong`.
    pub staleness_ms: u64,
}
