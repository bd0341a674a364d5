//! A line of the table.

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

pub(super) fn write_head(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "| work | reached | to reach | met |\n|---|---|---|---|")
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
        writeln!(out, "| {} | {reached} | {} | {met} |", self.work, self.target)
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
            "| a | 1 / 2 | ≥ 3 | **no** |\n| b | not measured: no server | – |  |\n"
        );
    }
}
