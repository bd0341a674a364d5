//! The least speed at which the other side must take or give bytes. One rule for bodies that arrive and replies
//! that are read: both hold memory for as long as they last.

use std::time::Duration;

/// The least speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Longest time without a byte. As long, what was moved is not measured yet.
    pub stall: Duration,
    /// Mean since the beginning, from then on.
    pub bytes_per_second: u64,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            // TCP repeats a lost packet after some seconds; a phone between two cells needs several such turns.
            stall: Duration::from_secs(20),
            // One Mbit/s: the largest body takes less than five minutes.
            bytes_per_second: 128 << 10,
        }
    }
}

impl Pace {
    /// How long moving `bytes` may have taken, by the mean alone.
    pub(super) fn allowance(&self, bytes: u64) -> Duration {
        let millis = bytes.saturating_mul(1000) / self.bytes_per_second.max(1);
        self.stall.saturating_add(Duration::from_millis(millis))
    }

    /// Whether `bytes` in `elapsed`, the last of them `quiet` ago, are too few.
    pub(super) fn is_too_slow(&self, bytes: u64, elapsed: Duration, quiet: Duration) -> bool {
        quiet > self.stall || elapsed > self.allowance(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_stall_nor_a_drip_is_enough() {
        let pace = Pace {
            stall: Duration::from_secs(10),
            bytes_per_second: 1000,
        };
        let seconds = Duration::from_secs;
        assert!(!pace.is_too_slow(0, seconds(10), seconds(10)));
        assert!(pace.is_too_slow(1 << 20, seconds(11), seconds(11)));
        assert!(!pace.is_too_slow(5000, seconds(15), seconds(1)));
        assert!(pace.is_too_slow(5000, seconds(16), seconds(0)));
    }
}
