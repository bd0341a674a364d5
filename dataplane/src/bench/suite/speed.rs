//! Rates and latencies of one database, and of many.

use std::time::Duration;

use super::hostile::Hostile;
use super::line::summary;
use super::{Child, Line, Suite, memory};
use crate::bench::disk;
use crate::bench::load::Load;
use crate::bench::report::Report;
use crate::bench::workload::Workload;

const LOG_BYTES: &str = "orion_log_written_bytes_total";

/// Everything of a single database.
pub(super) fn one_database(suite: &Suite) -> anyhow::Result<Vec<Line>> {
    let server = suite.server()?;
    let run = |workload, connections| measure(suite, &suite.load(&server.target, workload, connections));
    let mut lines = vec![create(&run(Workload::Create, 1)?)];
    lines.extend(insert_alone(suite, &server)?);
    let insert = run(Workload::Insert, 64)?;
    lines.push(Line::of("insert, 64 connections", &insert, 30_000.0, None));
    let many = run(Workload::Insert, 256)?;
    let no_errors = ("no errors", many.error_count() == 0);
    lines.push(Line::of(
        "insert, 256 connections",
        &many,
        35_000.0,
        Some(no_errors),
    ));
    lines.push(Line::of(
        "point select, strong, 1 connection",
        &run(Workload::Select, 1)?,
        13_000.0,
        None,
    ));
    lines.push(Line::of(
        "point select, strong, 64 connections",
        &run(Workload::Select, 64)?,
        60_000.0,
        None,
    ));
    let mixed = run(Workload::Mixed, 64)?;
    let read_p99 = mixed.reads.map_or(f64::MAX, |reads| reads.p99_ms);
    lines.push(Line::of(
        "mixed 90/10, 64 connections",
        &mixed,
        45_000.0,
        Some(("read p99 ≤ 5 ms", read_p99 <= 5.0)),
    ));
    lines.push(bulk(
        "bulk, 1,000 statements a transaction",
        &run(Workload::Bulk(1000), 1)?,
    ));
    lines.push(bulk(
        "bulk, one statement of 1,000 rows",
        &run(Workload::BulkValues(1000), 1)?,
    ));
    lines.extend(open_loop(suite, &server, insert.ops_per_second / 2.0)?);
    Ok(lines)
}

/// Round-robin over 200 and over 5,000 databases.
pub(super) fn many_databases(suite: &Suite) -> anyhow::Result<Vec<Line>> {
    let server = suite.server()?;
    let run = |count| measure(suite, &suite.load(&server.target, Workload::Databases(count), 64));
    let mut lines = vec![Line::of(
        "insert over 200 databases, 64 connections",
        &run(200)?,
        25_000.0,
        None,
    )];
    lines.push(Line::of(
        "insert over 5,000 databases, 64 connections",
        &run(5000)?,
        10_000.0,
        None,
    ));
    lines.push(memory::line("memory after that", server.memory()?, 500));
    Ok(lines)
}

fn measure(suite: &Suite, load: &Load) -> anyhow::Result<Report> {
    let disk = disk::measure(&suite.options.dir, Duration::from_secs(1))?;
    crate::bench::measure(load, Some(disk))
}

fn create(report: &Report) -> Line {
    let p50 = report.writes.map_or(f64::MAX, |writes| writes.p50_ms);
    Line::new("create a database", summary(report), "p50 ≤ 3 ms", p50 <= 3.0)
}

fn bulk(work: &str, report: &Report) -> Line {
    let rows = report.rows_per_second;
    let ok = report.rows.is_some_and(|rows| rows.ok);
    Line::new(
        work,
        format!("{rows:.0} rows/s: {}", summary(report)),
        "≥ 300k rows/s",
        ok && rows >= 300_000.0,
    )
}

fn insert_alone(suite: &Suite, server: &Child) -> anyhow::Result<Vec<Line>> {
    let before = server.metric(LOG_BYTES);
    let report = measure(suite, &suite.load(&server.target, Workload::Insert, 1))?;
    let disk = report.disk.map_or(0.0, |disk| disk.p50_ms);
    let p50 = report.writes.map_or(f64::MAX, |writes| writes.p50_ms);
    let near_disk = ("p50 ≤ the disk's + 0.1 ms", p50 <= disk + 0.1);
    let mut lines = vec![Line::of("insert, 1 connection", &report, 3800.0, Some(near_disk))];
    let rows = report.rows.map_or(0, |rows| rows.found).max(1) as f64;
    let work = "log bytes an insert, 1 connection";
    lines.push(
        match before.and_then(|before| Ok(server.metric(LOG_BYTES)? - before)) {
            Ok(bytes) => Line::new(
                work,
                format!("{:.0} bytes", bytes / rows),
                "≤ 400 bytes",
                bytes / rows <= 400.0,
            ),
            Err(error) => Line::failed(work, &error),
        },
    );
    Ok(lines)
}

fn open_loop(suite: &Suite, server: &Child, rate: f64) -> anyhow::Result<Vec<Line>> {
    let load = Load {
        rate: Some(rate.max(1.0)),
        ..suite.load(&server.target, Workload::Insert, 64)
    };
    let alone = measure(suite, &load)?;
    let hostile = Hostile::start(&server.target)?;
    let beside = measure(suite, &load);
    hostile.stop();
    let beside = beside?;
    let p99 = |report: &Report| report.writes.map_or(f64::MAX, |writes| writes.p99_ms);
    let p50 = |report: &Report| report.writes.map_or(f64::MAX, |writes| writes.p50_ms);
    let ratio = p99(&beside) / p99(&alone);
    Ok(vec![
        Line::new(
            &format!("open loop at {rate:.0}/s, insert p99"),
            summary(&alone),
            "p99 ≤ 5 ms",
            p99(&alone) <= 5.0,
        ),
        Line::new(
            "the same beside a hostile tenant",
            format!(
                "p50 {:.1} ×, p99 {ratio:.1} ×: {}",
                p50(&beside) / p50(&alone),
                summary(&beside)
            ),
            "p99 ≤ 2 ×",
            ratio <= 2.0,
        ),
    ])
}
