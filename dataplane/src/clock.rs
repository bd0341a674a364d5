//! The clocks that decide something beyond one process.
//!
//! The wall clock is for people and for expiry times that travel, never for an order of events. [`Boottime`] is for promises
//! between nodes: a lease, the age of a copy. What only bounds how long something may take counts by `Instant`, which
//! stands still while the machine sleeps.
//!
//! In builds with the feature `failpoints` a test sets both (`failpoints::clocks`).

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970; 0 where the clock says earlier.
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64);
    #[cfg(feature = "failpoints")]
    let now = now.saturating_add_signed(crate::failpoints::clocks::wall_ms());
    now
}

/// Nanoseconds of a clock that no one sets and that goes on while the machine sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Boottime(pub(crate) u64);

impl Boottime {
    /// By this machine's clock.
    pub(crate) fn now() -> Boottime {
        let now = clock_gettime(ClockId::Boottime);
        let now = now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64;
        #[cfg(feature = "failpoints")]
        let now = now + crate::failpoints::clocks::slept_nanos();
        Boottime(now)
    }

    /// How long ago it was.
    pub(crate) fn elapsed(self) -> Duration {
        Duration::from_nanos(Boottime::now().0.saturating_sub(self.0))
    }
}
