//! Deaths and stops on order, for crash tests: only in builds with the feature `failpoints`.
//!
//! `ORION_DIE_AT=<failpoint>:<n>` kills the process, as kill -9 does, when it passes the point for the n-th
//! time. `ORION_STOP_AT` stops it there, as SIGSTOP does, until somebody sends SIGCONT. Names are
//! `module::step`; the crash tests list those on the way of data. `ORION_SLOW_AT=<failpoint>:<ms>` makes it take
//! so much longer each time. [`clocks`] can be set, too.

pub(crate) mod clocks;

use parking_lot::Mutex;
use rustix::process::{Signal, getpid, kill_process};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Arms what the environment orders.
pub(crate) fn arm() -> anyhow::Result<()> {
    clocks::follow()?;
    let mut orders: BTreeMap<String, Vec<(u64, Signal)>> = BTreeMap::new();
    for (variable, signal) in [("ORION_DIE_AT", Signal::KILL), ("ORION_STOP_AT", Signal::STOP)] {
        if let Some((point, n)) = ordered(variable)? {
            orders.entry(point).or_default().push((n, signal));
        }
    }
    for (point, signals) in orders {
        let passed = AtomicU64::new(0);
        let pass = move || {
            let now = passed.fetch_add(1, Ordering::Relaxed) + 1;
            for (_, signal) in signals.iter().filter(|(n, _)| *n == now) {
                // What a failure of this call would mean, nobody is left to say.
                let _ = kill_process(getpid(), *signal);
            }
        };
        fail::cfg_callback(point, pass).map_err(anyhow::Error::msg)?;
    }
    if let Some((point, millis)) = ordered("ORION_SLOW_AT")? {
        fail::cfg(point, &format!("sleep({millis})")).map_err(anyhow::Error::msg)?;
    }
    Ok(())
}

/// `ORION_FORMAT_LEVEL=<level>`: the newest format level that this process says it reads, as one of another release would.
pub(crate) fn format_level() -> Option<u32> {
    std::env::var("ORION_FORMAT_LEVEL").ok()?.parse().ok()
}

/// The point and the number in an environment variable.
fn ordered(variable: &str) -> anyhow::Result<Option<(String, u64)>> {
    let Ok(order) = std::env::var(variable) else {
        return Ok(None);
    };
    let parsed = order
        .rsplit_once(':')
        .and_then(|(point, n)| Some((point.to_owned(), n.parse().ok()?)));
    let parsed = parsed.ok_or_else(|| anyhow::anyhow!("{variable}={order:?} is not <failpoint>:<number>"))?;
    Ok(Some(parsed))
}

/// Where faults strike; everywhere while it is `None`.
static ONLY_UNDER: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Whether a fault that is ordered for one directory concerns this file: tests in one process must not meet
/// each other's faults.
pub(crate) fn strikes(path: &Path) -> bool {
    let only = ONLY_UNDER.lock();
    only.as_ref().is_none_or(|dir| path.starts_with(dir))
}

/// A fault in one directory, until it is dropped. One at a time in a process.
#[cfg(test)]
pub(crate) struct Fault {
    point: &'static str,
    _alone: parking_lot::MutexGuard<'static, ()>,
}

#[cfg(test)]
impl Fault {
    /// Orders `action` (`return`, `pause`) at `point` for files under `dir`.
    pub(crate) fn inject(point: &'static str, action: &str, dir: &Path) -> Fault {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock();
        *ONLY_UNDER.lock() = Some(dir.to_owned());
        fail::cfg(point, action).expect("a valid action");
        Fault { point, _alone: alone }
    }
}

#[cfg(test)]
impl Drop for Fault {
    fn drop(&mut self) {
        fail::remove(self.point);
        *ONLY_UNDER.lock() = None;
    }
}
