//! Resident memory of the server, and what it asks the object store for when nobody asks it for anything.

use std::time::{Duration, Instant};

use super::{Child, Line, Suite};
use crate::bench::runtime;
use crate::bench::session;
use crate::bench::workload::Workload;

const MIB: u64 = 1 << 20;
/// What is freed after the start, or after a run, is given back by then.
const SETTLE: Duration = Duration::from_secs(2);
const DATABASES: u32 = 10_000;
const ACTIVE: u32 = 100;

/// Idle, and with many databases.
pub(super) fn measure(suite: &Suite) -> anyhow::Result<Vec<Line>> {
    let mut server = suite.server()?;
    std::thread::sleep(SETTLE);
    let mut lines = vec![line("memory, idle", server.memory()?, 40)];
    let runtime = runtime()?;
    runtime.block_on(session::create_databases(&server.target, DATABASES))?;
    let load = suite.load(&server.target, Workload::Databases(ACTIVE), 64);
    let report = crate::bench::measure(&load, None)?;
    std::thread::sleep(SETTLE);
    let mut active = line("memory, 10,000 databases, 100 active", server.memory()?, 300);
    active.append(&super::line::summary(&report));
    lines.push(active);
    lines.push(idle(&mut server).unwrap_or_else(|error| Line::failed(IDLE, &error)));
    Ok(lines)
}

const IDLE: &str = "requests to the object store, 10,000 databases idle";
/// How long nothing was asked before it is idle, and how long that is measured.
const QUIET: Duration = Duration::from_secs(5);
const IDLE_FOR: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(300);

/// After what was written has been materialized: at once, which only another start can be told.
fn idle(server: &mut Child) -> anyhow::Result<Line> {
    server.configure("materialize:\n  age_seconds: 1\n")?;
    server.crash_and_restart()?;
    let deadline = Instant::now() + PATIENCE;
    let mut before = server.object_store_requests()?;
    loop {
        std::thread::sleep(QUIET);
        let now = server.object_store_requests()?;
        if now == before {
            break;
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "never idle in {} s",
            PATIENCE.as_secs()
        );
        before = now;
    }
    std::thread::sleep(IDLE_FOR);
    let asked = server.object_store_requests()? - before;
    let reached = format!("{asked:.0} in {} s", IDLE_FOR.as_secs());
    Ok(Line::new(IDLE, reached, "0", asked == 0.0))
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
