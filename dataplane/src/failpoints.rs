//! Deaths on order, for crash tests: only in builds with the feature `failpoints`.
//!
//! `ORION_DIE_AT=<failpoint>:<n>` kills the process, as kill -9 does, when it passes the point for the n-th
//! time. Names are `module::step`; `POINTS` in the crash tests lists those on the way of data.

use rustix::process::{Signal, getpid, kill_process};
use std::sync::atomic::{AtomicU64, Ordering};

/// Arms what the environment orders.
pub(crate) fn arm() -> anyhow::Result<()> {
    let Ok(order) = std::env::var("ORION_DIE_AT") else {
        return Ok(());
    };
    let parsed = order
        .rsplit_once(':')
        .and_then(|(point, n)| Some((point, n.parse::<u64>().ok()?)));
    let (point, n) =
        parsed.ok_or_else(|| anyhow::anyhow!("ORION_DIE_AT={order:?} is not <failpoint>:<n>"))?;
    let passed = AtomicU64::new(0);
    let die = move || {
        if passed.fetch_add(1, Ordering::Relaxed) + 1 == n {
            // What a failure of this call would mean, nobody is left to say.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    };
    fail::cfg_callback(point, die).map_err(anyhow::Error::msg)
}
