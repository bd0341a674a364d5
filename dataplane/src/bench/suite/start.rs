//! From the start of a process to its first acknowledged write.

use std::time::Duration;

use super::{Line, Suite};
use crate::bench::runtime;
use crate::bench::session;
use crate::bench::workload::Workload;

/// Fresh, and with 100,000 rows after kill -9.
pub(super) fn measure(suite: &Suite) -> anyhow::Result<Vec<Line>> {
    let mut server = suite.server()?;
    let fresh = server.first_write;
    let runtime = runtime()?;
    runtime.block_on(session::prepare(&server.target, &Workload::Select))?;
    server.crash_and_restart()?;
    Ok(vec![
        line("start to first write, fresh", fresh, 100),
        line(
            "start to first write, 100k rows, after kill -9",
            server.first_write,
            300,
        ),
    ])
}

fn line(work: &str, time: Duration, most_ms: u64) -> Line {
    let reached = format!("{:.0} ms", time.as_secs_f64() * 1e3);
    Line::new(
        work,
        reached,
        &format!("≤ {most_ms} ms"),
        time <= Duration::from_millis(most_ms),
    )
}
