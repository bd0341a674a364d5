//! How many connections, and for how long.

use crate::http::Pace;
use std::time::Duration;

/// Limits of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time.
    pub most: usize,
    /// Time without a request after which one is closed.
    pub idle: Duration,
    /// Time from the first byte of a request's head to the last.
    pub head: Duration,
    /// How fast a reply must be read.
    pub reply: Pace,
    /// Bytes of a head; hyper takes at most 100 header lines. More is answered with 431.
    pub head_bytes: usize,
    /// Bytes that are read ahead of what handlers took, and held while a head is not complete.
    pub read_ahead_bytes: usize,
}

impl Limits {
    /// Connections above the most that were told to make room and are not gone yet; and as many more that hear that
    /// there is no place. Each lasts a moment.
    pub(super) fn leaving(&self) -> usize {
        (self.most / 8).clamp(1, 64)
    }

    /// The most that fit into so many descriptors, with those that leave.
    pub fn most_within(descriptors: u64) -> usize {
        let most = descriptors - (descriptors / 5).min(128);
        usize::try_from(most).unwrap_or(usize::MAX)
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            // With what each reads ahead and an idle one's 16 KiB: 64 MiB, at worst 256.
            most: 4096,
            // Longer than what clients and proxies keep theirs (5 to 90 s), so that they close first and no request
            // meets a connection that is being closed.
            idle: Duration::from_secs(120),
            head: Duration::from_secs(10),
            reply: Pace::default(),
            // Session tokens, batons and JWTs have some hundred bytes each.
            head_bytes: 32 << 10,
            read_ahead_bytes: 64 << 10,
        }
    }
}
