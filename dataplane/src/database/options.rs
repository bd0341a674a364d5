//! What a request asks of the database layer beyond its statements: how fresh its reads must be, and under
//! which key it is to be remembered.

use super::Position;
use orion_api::LogIndex;
use orion_api::hrana::ReadPolicy;
use std::time::Duration;

/// Options of one unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestOptions {
    /// Which reads it accepts.
    pub read_policy: ReadPolicy,
    /// Under `session`: at least as new as this.
    pub session: Option<Position>,
    /// At least this much of the group's log must be applied.
    pub min_applied: Option<LogIndex>,
    /// How long a read may wait until its policy holds.
    pub read_timeout: Duration,
    /// Under `bounded_staleness`: at most this old.
    pub max_staleness: Option<Duration>,
    /// Remember the reply under this key.
    pub idempotency: Option<IdempotencyKey>,
    /// What the token allows. INVARIANT: a unit that may only read never gets the writer's turn and never
    /// runs on a writer's connection, whatever its statements are.
    pub access: Access,
}

impl RequestOptions {
    /// How long a read waits where the request does not say.
    pub const READ_TIMEOUT: Duration = Duration::from_millis(1000);
    /// The longest key.
    pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 512;
}

impl Default for RequestOptions {
    fn default() -> RequestOptions {
        RequestOptions {
            read_policy: ReadPolicy::Strong,
            session: None,
            min_applied: None,
            read_timeout: RequestOptions::READ_TIMEOUT,
            max_staleness: None,
            idempotency: None,
            access: Access::Write,
        }
    }
}

/// A client's name for one write, so that a retry is not a second one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// At most [`RequestOptions::IDEMPOTENCY_KEY_BYTES_MAX`] bytes; its scope is the database.
    pub key: String,
    /// Hash of the request in canonical form: the same key with another is a conflict.
    pub request_hash: [u8; 32],
}

/// What a token allows on a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Only statements that do not write.
    Read,
    /// Everything that the SQL policy allows.
    Write,
}
