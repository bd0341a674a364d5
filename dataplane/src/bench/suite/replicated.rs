//! A replicated group of three: rates, reads anywhere, failures, and what it costs when nobody asks.

use std::time::{Duration, Instant};

use anyhow::anyhow;

use super::line::summary;
use super::nodes::{Nodes, votes};
use super::{Line, Suite};
use crate::bench::load::Load;
use crate::bench::report::Report;
use crate::bench::runtime;
use crate::bench::session;
use crate::bench::tally::Tally;
use crate::bench::workload::Workload;

const SENT_BYTES: &str = "orion_peer_sent_bytes_total";
const FAILOVERS: usize = 20;
const HAND_OVERS: usize = 5;
const IDLE_DATABASES: u32 = 1000;
/// How long nothing was asked before it is idle, and how long that is measured.
const SETTLE: Duration = Duration::from_secs(5);
const IDLE_FOR: Duration = Duration::from_secs(10);
const MIB: f64 = (1 << 20) as f64;

/// Rates, hand-overs and failovers.
pub(super) fn measure(suite: &Suite) -> anyhow::Result<Vec<Line>> {
    let mut nodes = Nodes::start(suite, "")?;
    let mut lines = alone(suite, &nodes)?;
    let leader = nodes.leader()?;
    let run = |workload, connections| at(suite, &nodes, leader, workload, connections);
    let insert = run(Workload::Insert, 64)?;
    lines.push(Line::of(
        "three nodes: insert, 64 connections at the leader",
        &insert,
        15_000.0,
        None,
    ));
    let many = run(Workload::Insert, 256)?;
    let no_errors = ("no errors", many.error_count() == 0);
    lines.push(Line::of(
        "three nodes: insert, 256 connections",
        &many,
        18_000.0,
        Some(no_errors),
    ));
    lines.push(Line::of(
        "three nodes: point select, strong, 64 connections at the leader",
        &run(Workload::Select, 64)?,
        45_000.0,
        None,
    ));
    lines.push(spread(suite, &nodes)?);
    lines.push(Line::of(
        "three nodes: mixed 90/10, 64 connections",
        &run(Workload::Mixed, 64)?,
        28_000.0,
        None,
    ));
    let follower = (leader + 1) % nodes.children.len();
    let passed_on = at(suite, &nodes, follower, Workload::Insert, 64)?;
    lines.push(Line::note(
        "three nodes: insert, 64 connections at a follower",
        summary(&passed_on),
    ));
    lines.push(open_loop(suite, &nodes, leader, insert.ops_per_second / 2.0)?);
    lines.push(hand_overs(suite, &nodes)?);
    lines.push(failovers(&mut nodes)?);
    Ok(lines)
}

/// Idle, with many databases.
pub(super) fn idle(suite: &Suite) -> anyhow::Result<Vec<Line>> {
    let nodes = Nodes::start(suite, "")?;
    nodes.create_databases(IDLE_DATABASES)?;
    std::thread::sleep(SETTLE);
    let (began, before) = (Instant::now(), nodes.cpu_time()?);
    std::thread::sleep(IDLE_FOR);
    let share = (nodes.cpu_time()? - before).as_secs_f64() / began.elapsed().as_secs_f64() * 100.0;
    Ok(vec![Line::new(
        "three nodes: CPU, 1,000 databases idle",
        format!("{share:.1} % of a core"),
        "≤ 3 %",
        share <= 3.0,
    )])
}

/// A fourth member for a gibibyte of data that is in the object store.
pub(super) fn new_member(suite: &Suite) -> anyhow::Result<Vec<Line>> {
    let mut nodes = Nodes::start(suite, "materialize:\n  age_seconds: 1\n")?;
    let leader = nodes.leader()?;
    nodes.execute(leader, "CREATE TABLE big (id INTEGER PRIMARY KEY, content BLOB)")?;
    for _ in 0..64 {
        let insert = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2048) \
                      INSERT INTO big (content) SELECT randomblob(8000) FROM n";
        nodes.execute(leader, insert)?;
    }
    let patience = Duration::from_secs(120);
    let overlay = "orion_overlay_bytes";
    nodes.children[leader].until_metric(overlay, patience, |bytes| bytes == 0.0)?;
    let (began, before) = (Instant::now(), nodes.metric(SENT_BYTES)?);
    nodes.add_one(suite)?;
    nodes.until("the new member votes", |group| votes(group) == 4)?;
    let (time, sent) = (began.elapsed().as_secs_f64(), nodes.metric(SENT_BYTES)? - before);
    Ok(vec![Line::new(
        "three nodes: a fourth member for 1 GiB, from its start to its vote",
        format!("{time:.2} s, {:.2} MiB from other members", sent / MIB),
        "≤ 5 s, ≤ 5 MiB",
        time <= 5.0 && sent <= 5.0 * MIB,
    )])
}

fn at(
    suite: &Suite,
    nodes: &Nodes,
    node: usize,
    workload: Workload,
    connections: usize,
) -> anyhow::Result<Report> {
    let load = suite.load(&nodes.children[node].target, workload, connections);
    crate::bench::measure(&load, None)
}

/// One connection, and what its rows cost on the way to a follower.
fn alone(suite: &Suite, nodes: &Nodes) -> anyhow::Result<Vec<Line>> {
    let leader = nodes.leader()?;
    let before = nodes.metric(SENT_BYTES)?;
    let report = at(suite, nodes, leader, Workload::Insert, 1)?;
    let sent = nodes.metric(SENT_BYTES)? - before;
    let rows = report.rows.map_or(0, |rows| rows.found).max(1) as f64;
    let each = sent / rows / 2.0;
    Ok(vec![
        Line::of("three nodes: insert, 1 connection", &report, 2200.0, None),
        Line::new(
            "three nodes: bytes an insert to a follower, 1 connection",
            format!("{each:.0} bytes"),
            "≤ 500 bytes",
            each <= 500.0,
        ),
    ])
}

/// Strong reads at all three at once.
fn spread(suite: &Suite, nodes: &Nodes) -> anyhow::Result<Line> {
    let loads: Vec<Load> = [22, 21, 21]
        .into_iter()
        .zip(&nodes.children)
        .map(|(connections, child)| suite.load(&child.target, Workload::Select, connections))
        .collect();
    let runtime = runtime()?;
    runtime.block_on(session::prepare(&loads[0].target, &loads[0].workload))?;
    let running: Vec<_> = loads
        .into_iter()
        .map(|load| std::thread::spawn(move || load.run()))
        .collect();
    let mut sum = Tally::new();
    for load in running {
        sum.add(&load.join().map_err(|_| anyhow!("a client panicked"))??);
    }
    let report = Report::new("select", 64, suite.duration, &sum);
    Ok(Line::of(
        "three nodes: point select, strong, 64 connections over all",
        &report,
        30_000.0,
        None,
    ))
}

fn open_loop(suite: &Suite, nodes: &Nodes, leader: usize, rate: f64) -> anyhow::Result<Line> {
    let load = Load {
        rate: Some(rate.max(1.0)),
        ..suite.load(&nodes.children[leader].target, Workload::Insert, 64)
    };
    let report = crate::bench::measure(&load, None)?;
    let p99 = report.writes.map_or(f64::MAX, |writes| writes.p99_ms);
    Ok(Line::new(
        &format!("three nodes: open loop at {rate:.0}/s, insert p99"),
        summary(&report),
        "p99 ≤ 15 ms",
        p99 <= 15.0,
    ))
}

/// The lead goes round while clients write at one node.
fn hand_overs(suite: &Suite, nodes: &Nodes) -> anyhow::Result<Line> {
    let pause = Duration::from_secs(1);
    let load = Load {
        duration: pause * (HAND_OVERS as u32 + 1),
        ..suite.load(&nodes.children[0].target, Workload::Insert, 8)
    };
    let running = std::thread::spawn(move || crate::bench::measure(&load, None));
    std::thread::sleep(suite.warm_up + pause / 2);
    for _ in 0..HAND_OVERS {
        nodes.hand_over()?;
        std::thread::sleep(pause);
    }
    let report = running.join().map_err(|_| anyhow!("the client panicked"))??;
    let longest = report.writes.map_or(f64::MAX, |writes| writes.max_ms);
    let failed = report.error_count();
    let lost = report.rows.is_some_and(|rows| !rows.ok);
    Ok(Line::new(
        &format!("three nodes: {HAND_OVERS} hand-overs beside 8 connections, longest write"),
        format!("{longest:.0} ms, {failed} failed: {}", summary(&report)),
        "≤ 100 ms, none failed",
        longest <= 100.0 && failed == 0 && !lost,
    ))
}

/// kill -9 of the leader, and how long until a write at another node is acknowledged.
fn failovers(nodes: &mut Nodes) -> anyhow::Result<Line> {
    let mut times = Vec::new();
    for _ in 0..FAILOVERS {
        let leader = nodes.leader()?;
        let other = (leader + 1) % nodes.children.len();
        nodes.write(other)?;
        nodes.children[leader].kill()?;
        let killed = Instant::now();
        nodes.write(other)?;
        times.push(killed.elapsed().as_secs_f64());
        nodes.children[leader].restart()?;
    }
    times.sort_by(f64::total_cmp);
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    Ok(Line::new(
        &format!("three nodes: kill -9 of the leader to the next write, {FAILOVERS} times"),
        format!("median {median:.2} s, worst {worst:.2} s"),
        "median ≤ 0.7 s, worst ≤ 1.5 s",
        median <= 0.7 && worst <= 1.5,
    ))
}
