//! What the disk gives, measured in the same run as the server on it: append 4 KiB, fdatasync, again. No server
//! that answers after its fsync can be faster at one connection, so figures are read against this.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Latency of append and fdatasync.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Disk {
    /// How often it was done.
    pub(crate) count: u64,
    /// Median, milliseconds.
    pub(crate) p50_ms: f64,
    /// 99th percentile, milliseconds.
    pub(crate) p99_ms: f64,
}

/// Measures for `time` in a file of its own below `directory`, which is removed afterwards.
pub(crate) fn measure(directory: &Path, time: Duration) -> anyhow::Result<Disk> {
    let path = directory.join(format!("orion-bench-{}.tmp", std::process::id()));
    let result = append(&path, time).with_context(|| format!("cannot measure the disk in {directory:?}"));
    let _ = std::fs::remove_file(&path); // may not exist if it could not be made
    result
}

fn append(path: &Path, time: Duration) -> anyhow::Result<Disk> {
    let mut file = OpenOptions::new().create_new(true).append(true).open(path)?;
    // Up to a minute, in nanoseconds.
    let mut latencies = Histogram::<u64>::new_with_max(60_000_000_000, 3)?;
    let end = Instant::now() + time;
    while Instant::now() < end {
        let start = Instant::now();
        file.write_all(&[0x5a; 4096])?;
        file.sync_data()?;
        latencies.saturating_record(start.elapsed().as_nanos() as u64);
    }
    Ok(Disk {
        count: latencies.len(),
        p50_ms: latencies.value_at_quantile(0.5) as f64 / 1e6,
        p99_ms: latencies.value_at_quantile(0.99) as f64 / 1e6,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_measured_and_nothing_is_left_behind() {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = measure(directory.path(), Duration::from_millis(20)).expect("measured");
        assert!(disk.count > 0 && disk.p50_ms <= disk.p99_ms);
        assert_eq!(std::fs::read_dir(directory.path()).expect("readable").count(), 0);
        assert!(measure(Path::new("/no/such/place"), Duration::ZERO).is_err());
    }
}
