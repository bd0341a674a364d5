//! Resident memory of the server.

use std::time::Duration;

use super::{Line, Suite};
use crate::bench::session;
use crate::bench::workload::Workload;

const MIB: u64 = 1 << 20;
/// What is freed after the start, or after a run, is given back by then.
const SETTLE: Duration = Duration::from_secs(2);
const DATABASES: u32 = 10_000;
const ACTIVE: u32 = 100;

/// Idle, and with many databases.
pub(super) fn measure(suite: &Suite) -> anyhow::Result<Vec<Line>> {
    let server = suite.server()?;
    std::thread::sleep(SETTLE);
    let mut lines = vec![line("memory, idle", server.memory()?, 40)];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(session::create_databases(&server.target, DATABASES))?;
    let load = suite.load(&server.target, Workload::Databases(ACTIVE), 64);
    let report = crate::bench::measure(&load, None)?;
    std::thread::sleep(SETTLE);
    let mut active = line("memory, 10,000 databases, 100 active", server.memory()?, 300);
    active.append(&super::line::summary(&report));
    lines.push(active);
    Ok(lines)
}

/// A line for `bytes` of at most `most_mib`.
pub(super) fn line(work: &str, bytes: u64, most_mib: u64) -> Line {
    let reached = format!("{:.1} MiB", bytes as f64 / MIB as f64);
    Line::new(
        work,
        reached,
        &format!("≤ {most_mib} MiB"),
        bytes <= most_mib * MIB,
    )
}
