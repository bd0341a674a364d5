//! A line of the table.

use std::fmt;
use std::io::{self, Write};

use crate::bench::report::Report;

/// What was measured, reached and wanted.
#[derive(Clone, Debug)]
pub(super) struct Line {
    work: String,
    reached: String,
    target: String,
    /// None where there is no target, or nothing was measured.
    met: Option<bool>,
}

/// The best that another system reached on this kind of machine (docs/benchmarks.md), by the beginning of the work.
const PEERS: [(&str, &str); 19] = [
    ("insert, 1 connection", "rqlite 1,861/s, p50 0.48 ms"),
    ("insert, 64 connections", "rqlite 8.5–12.6k/s"),
    ("insert, 256 connections", "rqlite 15k/s"),
    ("point select, strong, 1 connection", "rqlite 10.9k/s"),
    ("point select, strong, 64 connections", "rqlite 26k/s"),
    ("mixed 90/10", "rqlite 14–18k/s"),
    ("bulk", "rqlite 105k rows/s"),
    ("insert over 200 databases", "sqld 1.9k/s"),
    ("create a database", "sqld 5 ms"),
    ("start to first write, fresh", "sqld 27 ms"),
    ("start to first write, 100k rows", "sqld 0.5 s"),
    ("memory, idle", "rqlite 29 MiB"),
    ("memory, 10,000 databases", "sqld 200–260 KiB a database"),
    ("three nodes: insert, 1 connection", "rqlite 823/s"),
    ("three nodes: insert, 64 connections at the", "rqlite 5,567/s"),
    ("three nodes: insert, 256 connections", "rqlite 6,931/s"),
    (
        "three nodes: point select, strong, 64 connections at the leader",
        "rqlite 16,658/s",
    ),
    ("three nodes: mixed 90/10", "rqlite 11,853/s (weak reads)"),
    ("three nodes: kill -9", "rqlite median 1.95 s"),
];

/// The table in Markdown.
pub(super) fn write_table(lines: &[Line], out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "| work | best peer measured | to reach | reached | met |\n|---|---|---|---|---|"
    )?;
    lines.iter().try_for_each(|line| line.write(out))
}

impl Line {
    pub(super) fn new(work: &str, reached: String, target: &str, met: bool) -> Line {
        Line {
            work: work.into(),
            reached,
            target: target.into(),
            met: Some(met),
        }
    }

    /// Without a target.
    pub(super) fn note(work: &str, reached: String) -> Line {
        Line {
            work: work.into(),
            reached,
            target: "–".into(),
            met: None,
        }
    }

    pub(super) fn failed(work: &str, error: &anyhow::Error) -> Line {
        Line::note(work, format!("not measured: {error:#}"))
    }

    /// A run whose operations a second must reach `least`, and `also` hold. Lost rows never meet a target.
    pub(super) fn of(work: &str, report: &Report, least: f64, also: Option<(&str, bool)>) -> Line {
        let mut target = format!("≥ {least:.0}/s");
        let mut met = report.ops_per_second >= least && report.rows.is_none_or(|rows| rows.ok);
        if let Some((text, holds)) = also {
            target = format!("{target}, {text}");
            met &= holds;
        }
        Line::new(work, summary(report), &target, met)
    }

    /// Adds to what was reached.
    pub(super) fn append(&mut self, text: &str) {
        self.reached += &format!(" ({text})");
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let met = match self.met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        };
        // A bar or line end in an error's text would break the table.
        let reached = self.reached.replace('|', "/").replace('\n', " ");
        let peer = PEERS.iter().find(|(work, _)| self.work.starts_with(work));
        let peer = peer.map_or("–", |(_, peer)| peer);
        writeln!(
            out,
            "| {} | {peer} | {} | {reached} | {met} |",
            self.work, self.target
        )
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.work, self.reached)
    }
}

/// Rate, latencies and errors of a run.
pub(super) fn summary(report: &Report) -> String {
    let mut text = format!("{:.0}/s", report.ops_per_second);
    for (name, latency) in [("read", report.reads), ("write", report.writes)] {
        if let Some(latency) = latency {
            text += &format!(
                ", {name} p50 {:.3} ms, p99 {:.3} ms",
                latency.p50_ms, latency.p99_ms
            );
        }
    }
    if let Some(disk) = report.disk {
        text += &format!(" (disk p50 {:.3} ms)", disk.p50_ms);
    }
    for (code, count) in &report.errors {
        text += &format!(", {count} × {code}");
    }
    if report.rows.is_some_and(|rows| !rows.ok) {
        text += ", ROWS LOST OR INVENTED";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::RowCheck;
    use crate::bench::tally::Tally;
    use std::time::Duration;

    #[test]
    fn a_line_with_lost_rows_never_meets_its_target() {
        let mut report = Report::new("insert", 1, Duration::from_secs(1), &Tally::new());
        report.ops_per_second = 100.0;
        let met = |report: &Report| Line::of("x", report, 10.0, None).met;
        assert_eq!(met(&report), Some(true));
        report.rows = Some(RowCheck {
            acknowledged: 2,
            unknown: 0,
            found: 1,
            ok: false,
        });
        assert_eq!(met(&report), Some(false));
    }

    #[test]
    fn lines_are_markdown() {
        let mut out = Vec::new();
        Line::new("a", "1 | 2".into(), "≥ 3", false)
            .write(&mut out)
            .expect("memory");
        Line::failed("b", &anyhow::anyhow!("no\nserver"))
            .write(&mut out)
            .expect("memory");
        assert_eq!(
            String::from_utf8(out).expect("UTF-8"),
            "| a | – | ≥ 3 | 1 / 2 | **no** |\n| b | – | – | not measured: no server |  |\n"
        );
    }
}
