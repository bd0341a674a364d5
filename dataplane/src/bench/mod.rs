//! `orion bench`: measures any server that speaks Hrana over HTTP, from one process on the same machine or
//! another. What it counts as an operation is an acknowledged request; errors are listed by code, and after
//! workloads that insert it counts the rows and says whether all that was acknowledged is there.
//!
//! The client shares the machine with the server in our own measurements, so it is made to be cheap: requests
//! are byte templates, replies are read by a parser that knows only what it needs, one thread drives many
//! connections. The disk is measured in the same run, because no figure means anything without it.

mod connection;
mod disk;
mod load;
mod options;
mod outcome;
mod payload;
mod reply;
mod report;
mod session;
mod suite;
mod tally;
mod target;
mod workload;

#[cfg(test)]
mod tests;

pub use options::Options;

use std::io::Write;

use anyhow::bail;

use load::Load;
use report::{Report, RowCheck};

/// Runs `orion bench`.
pub fn run(options: &Options, out: &mut impl Write) -> anyhow::Result<()> {
    let (workload, settings) = match options.plan()? {
        options::Plan::Suite(options) => return suite::run(options, out),
        options::Plan::One(workload, settings) => (workload, settings),
    };
    let disk = match settings.disk_time().is_zero() {
        true => None,
        false => Some(disk::measure(&settings.disk, settings.disk_time())?),
    };
    let report = measure(&settings.load(workload)?, disk)?;
    match settings.output {
        options::Output::Table => report.write(out)?,
        options::Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
    }
    if report.rows.is_some_and(|rows| !rows.ok) {
        bail!("the tables do not hold what was acknowledged");
    }
    Ok(())
}

/// For one thread's requests.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Prepares, runs, and counts what is there. `disk` was measured just before.
fn measure(load: &Load, disk: Option<disk::Disk>) -> anyhow::Result<Report> {
    let runtime = runtime()?;
    runtime.block_on(session::prepare(&load.target, &load.workload))?;
    let count = || runtime.block_on(session::count_rows(&load.target, &load.workload));
    let before = if load.workload.inserts() {
        Some(count()?)
    } else {
        None
    };
    let tally = load.run()?;
    let mut report = Report::new(load.workload.name(), load.connections, load.duration, &tally);
    if let Some(before) = before {
        report.rows = Some(RowCheck::new(&tally, before, count()?));
    }
    report.rate = load.rate;
    report.disk = disk;
    Ok(report)
}
