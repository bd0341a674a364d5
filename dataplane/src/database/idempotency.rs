//! What is kept under an idempotency key: a record that commits with the request's pages.

use super::{Error, IdempotencyKey, Recorded};
use crate::clock::now_ms;
use crate::entry::Record;
use bytes::Bytes;
use orion_api::Code;
use prost::Message;
use std::time::Duration;

/// Times at which keys end within the time that they are kept; those between are rounded up. With 24 hours a
/// key ends with a full minute.
const ENDS: u64 = 24 * 60;

/// The largest reply that is kept; of a larger one only the fact.
const REPLY_BYTES_MAX: usize = 256 << 10;

#[derive(Clone, PartialEq, prost::Message)]
struct Stored {
    #[prost(bytes = "bytes", tag = "1")]
    request_hash: Bytes,
    #[prost(bytes = "bytes", optional, tag = "2")]
    reply: Option<Bytes>,
    #[prost(uint64, tag = "3")]
    expires_at_ms: u64,
}

/// Where a key's record lies among the database's records.
pub(super) fn record_key(key: &IdempotencyKey) -> Bytes {
    [b"i/", key.key.as_bytes()].concat().into()
}

/// The record for a request that committed something.
///
/// INVARIANT: no record ends before `kept_for` is over, by the clock of the leader that wrote it.
pub(super) fn remember(key: &IdempotencyKey, reply: Option<Bytes>, kept_for: Duration) -> (Record, Recorded) {
    let reply = reply.filter(|reply| reply.len() <= REPLY_BYTES_MAX);
    let recorded = if reply.is_some() {
        Recorded::Stored
    } else {
        Recorded::StoredWithoutReply
    };
    let kept_ms = kept_for.as_millis() as u64;
    let expires_at_ms = (now_ms() + kept_ms).next_multiple_of((kept_ms / ENDS).max(1));
    let stored = Stored {
        request_hash: Bytes::copy_from_slice(&key.request_hash),
        reply,
        expires_at_ms,
    };
    (
        Record {
            key: record_key(key),
            value: stored.encode_to_vec().into(),
            expires_at_ms,
        },
        recorded,
    )
}

/// What a record says about the request that comes with its key now. `None` if its time is over.
pub(super) fn recall(key: &IdempotencyKey, value: &Bytes) -> Result<Option<Recorded>, Error> {
    let stored = Stored::decode(value.clone()).map_err(|error| {
        Error::new(
            Code::Corrupt,
            format!("the record of the idempotency key: {error}"),
        )
    })?;
    if stored.expires_at_ms <= now_ms() {
        return Ok(None);
    }
    if stored.request_hash != key.request_hash[..] {
        let message = "this idempotency key was used for another request; use a new key for a new request";
        return Err(Error::new(Code::IdempotencyConflict, message));
    }
    Ok(Some(
        stored
            .reply
            .map_or(Recorded::ReplayedWithoutReply, Recorded::Replayed),
    ))
}
