//! Clocks that a test sets while the process runs.
//!
//! `ORION_CLOCKS=<file>` names a file with two numbers: how many milliseconds the machine slept, by which CLOCK_BOOTTIME
//! is ahead (it never goes back), and by how many the wall clock is ahead, or behind if it is negative. The file is
//! looked at every few milliseconds; a test writes it anew by a rename.
//!
//! CLOCK_MONOTONIC is not touched: it stands still while a machine sleeps, and nobody can set it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

static SLEPT_MS: AtomicU64 = AtomicU64::new(0);
static WALL_MS: AtomicI64 = AtomicI64::new(0);

/// How often the file is looked at.
const LOOKS: Duration = Duration::from_millis(5);

/// What CLOCK_BOOTTIME is ahead, in nanoseconds.
pub(crate) fn slept_nanos() -> u64 {
    SLEPT_MS.load(Ordering::Acquire) * 1_000_000
}

/// What the wall clock is ahead, in milliseconds.
pub(crate) fn wall_ms() -> i64 {
    WALL_MS.load(Ordering::Acquire)
}

/// Follows the file that the environment names, if it names one. What it says at first counts from now on.
pub(super) fn follow() -> anyhow::Result<()> {
    let Some(path) = std::env::var_os("ORION_CLOCKS").map(PathBuf::from) else {
        return Ok(());
    };
    set(read(&path)?);
    std::thread::Builder::new()
        .name("test-clocks".to_owned())
        .spawn(move || {
            // Unreadable: the test is over.
            while let Ok(clocks) = read(&path) {
                set(clocks);
                std::thread::sleep(LOOKS);
            }
        })?;
    Ok(())
}

fn set((slept_ms, wall_ms): (u64, i64)) {
    SLEPT_MS.fetch_max(slept_ms, Ordering::AcqRel);
    WALL_MS.store(wall_ms, Ordering::Release);
}

fn read(path: &Path) -> anyhow::Result<(u64, i64)> {
    let text = std::fs::read_to_string(path)?;
    let (slept_ms, wall_ms) = text
        .trim()
        .split_once(' ')
        .ok_or_else(|| anyhow::anyhow!("{text:?} is not two numbers"))?;
    Ok((slept_ms.parse()?, wall_ms.parse()?))
}
