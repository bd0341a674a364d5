//! What a run found, for people and as JSON.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::disk::Disk;
use super::tally::Tally;

/// The result of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) workload: String,
    pub(crate) connections: usize,
    /// Requests a second that were due; absent in a closed loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<f64>,
    pub(crate) seconds: f64,
    /// Operations (requests) a second that were acknowledged without error.
    pub(crate) ops_per_second: f64,
    /// Rows a second that those wrote.
    pub(crate) rows_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reads: Option<Latency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) writes: Option<Latency>,
    /// Errors by code, of the whole run with its warm-up. Never operations.
    pub(crate) errors: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<RowCheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) disk: Option<Disk>,
}

/// Latencies in milliseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Option<Latency> {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e6;
        (!histogram.is_empty()).then(|| Latency {
            count: histogram.len(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: histogram.max() as f64 / 1e6,
        })
    }
}

/// Whether what was acknowledged is there: `acknowledged ≤ found ≤ acknowledged + unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RowCheck {
    pub(crate) acknowledged: u64,
    pub(crate) unknown: u64,
    pub(crate) found: u64,
    pub(crate) ok: bool,
}

impl RowCheck {
    /// From the table's rows before and after.
    pub(crate) fn new(tally: &Tally, before: u64, after: u64) -> RowCheck {
        let found = after.saturating_sub(before);
        let most = tally.acknowledged + tally.unknown;
        RowCheck {
            acknowledged: tally.acknowledged,
            unknown: tally.unknown,
            found,
            ok: (tally.acknowledged..=most).contains(&found),
        }
    }
}

impl Report {
    /// From the counts of a run of `duration`.
    pub(crate) fn new(workload: &str, connections: usize, duration: Duration, tally: &Tally) -> Report {
        let seconds = duration.as_secs_f64();
        Report {
            workload: workload.to_owned(),
            connections,
            rate: None,
            seconds,
            ops_per_second: (tally.reads.len() + tally.writes.len()) as f64 / seconds,
            rows_per_second: tally.rows as f64 / seconds,
            reads: Latency::of(&tally.reads),
            writes: Latency::of(&tally.writes),
            errors: tally.errors.clone(),
            rows: None,
            disk: None,
        }
    }

    /// All errors.
    pub(crate) fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }

    /// For people.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        write!(
            out,
            "{}, {} connections, {} s",
            self.workload, self.connections, self.seconds
        )?;
        match self.rate {
            Some(rate) => writeln!(
                out,
                ", open loop at {rate:.0}/s (latency from when a request was due)"
            )?,
            None => writeln!(out, ", closed loop")?,
        }
        writeln!(out, "  {:<8}{:>12.0} /s", "ops", self.ops_per_second)?;
        if self.rows_per_second != self.ops_per_second && self.rows_per_second > 0.0 {
            writeln!(out, "  {:<8}{:>12.0} /s", "rows", self.rows_per_second)?;
        }
        for (name, latency) in [("read", self.reads), ("write", self.writes)] {
            if let Some(latency) = latency {
                writeln!(
                    out,
                    "  {:<8}p50 {:.3} ms  p99 {:.3} ms  p99.9 {:.3} ms  max {:.3} ms  ({} ops)",
                    name, latency.p50_ms, latency.p99_ms, latency.p999_ms, latency.max_ms, latency.count
                )?;
            }
        }
        let errors: Vec<String> = self
            .errors
            .iter()
            .map(|(code, count)| format!("{code} {count}"))
            .collect();
        match errors.is_empty() {
            true => writeln!(out, "  errors  none")?,
            false => writeln!(out, "  errors  {}: {}", self.error_count(), errors.join(", "))?,
        }
        if let Some(rows) = self.rows {
            let verdict = if rows.ok {
                "as acknowledged"
            } else {
                "WRONG: rows lost or invented"
            };
            writeln!(
                out,
                "  rows    {} found, {} acknowledged, {} unknown: {verdict}",
                rows.found, rows.acknowledged, rows.unknown
            )?;
        }
        if let Some(disk) = self.disk {
            writeln!(
                out,
                "  disk    p50 {:.3} ms  p99 {:.3} ms  (4 KiB append + fdatasync, {} times)",
                disk.p50_ms, disk.p99_ms, disk.count
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_and_invented_rows_are_seen() {
        let mut tally = Tally::new();
        tally.acknowledged = 10;
        tally.unknown = 2;
        let ok = |after| RowCheck::new(&tally, 5, after).ok;
        assert_eq!([14, 15, 17, 18].map(ok), [false, true, true, false]);
    }

    #[test]
    fn a_report_reads_well() {
        let mut tally = Tally::new();
        for nanos in [1_000_000, 2_000_000, 3_000_000] {
            tally.writes.saturating_record(nanos);
        }
        tally.rows = 3;
        tally.errors.insert("ORION_OVERLOADED".into(), 2);
        let mut report = Report::new("insert", 64, Duration::from_secs(3), &tally);
        report.rows = Some(RowCheck {
            acknowledged: 3,
            unknown: 0,
            found: 3,
            ok: true,
        });
        report.disk = Some(Disk {
            count: 9,
            p50_ms: 0.184,
            p99_ms: 0.5,
        });
        let mut out = Vec::new();
        report.write(&mut out).expect("memory");
        assert_eq!(
            String::from_utf8(out).expect("UTF-8"),
            "insert, 64 connections, 3 s, closed loop\n  ops                1 /s\n  \
             write   p50 2.001 ms  p99 3.000 ms  p99.9 3.000 ms  max 3.000 ms  (3 ops)\n  \
             errors  2: ORION_OVERLOADED 2\n  rows    3 found, 3 acknowledged, 0 unknown: as acknowledged\n  \
             disk    p50 0.184 ms  p99 0.500 ms  (4 KiB append + fdatasync, 9 times)\n"
        );
    }
}
