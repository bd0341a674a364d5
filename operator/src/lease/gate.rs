//! Whether this process may act now. Every write passes it, so that a process that was stopped for a minute and goes on
//! writes nothing, however far it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Far enough: no process runs for so long.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Open until a moment that its keeper moves on.
#[derive(Clone, Debug)]
pub struct Gate {
    begin: Instant,
    /// Milliseconds after `begin`; rounded down.
    until: Arc<AtomicU64>,
}

impl Gate {
    /// One that is closed until somebody opens it.
    pub fn closed() -> Gate {
        Gate {
            begin: Instant::now(),
            until: Arc::default(),
        }
    }

    /// One for an operator that is alone.
    pub fn always() -> Gate {
        let gate = Gate::closed();
        gate.open_until(gate.begin + FOR_EVER);
        gate
    }

    pub(super) fn open_until(&self, until: Instant) {
        let millis = until.saturating_duration_since(self.begin).as_millis();
        self.until
            .store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    pub(super) fn close(&self) {
        self.until.store(0, Ordering::SeqCst);
    }

    pub(super) fn until(&self) -> Instant {
        self.begin + Duration::from_millis(self.until.load(Ordering::SeqCst))
    }

    /// Whether something may be done now.
    pub fn is_open(&self) -> bool {
        Instant::now() < self.until()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_open_until_its_time_and_not_longer() {
        let gate = Gate::closed();
        assert!(!gate.is_open());
        gate.open_until(Instant::now() + Duration::from_secs(60));
        assert!(gate.is_open());
        gate.open_until(Instant::now());
        assert!(!gate.is_open(), "its time is over");
        assert!(Gate::always().is_open());
        gate.close();
        assert!(!gate.is_open());
    }
}
