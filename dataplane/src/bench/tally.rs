//! What one thread counted, and how threads' counts are put together. Only operations that end within the
//! measured window are in the histograms; acknowledged rows are counted always, because they must be found.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::outcome::Outcome;
use super::workload::{Asked, Class};

/// Latencies beyond this are counted as this.
const LATENCY_MAX: Duration = Duration::from_secs(60);

/// The measured window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) start: Instant,
    pub(crate) end: Instant,
}

/// Counts of one thread or of all.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Nanoseconds of operations that read.
    pub(crate) reads: Histogram<u64>,
    /// Nanoseconds of operations that write.
    pub(crate) writes: Histogram<u64>,
    /// Errors of the whole run, by code.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Rows acknowledged within the window.
    pub(crate) rows: u64,
    /// Rows that must be found.
    pub(crate) acknowledged: u64,
    /// Rows that may be found.
    pub(crate) unknown: u64,
}

impl Tally {
    /// Nothing counted yet.
    pub(crate) fn new() -> Tally {
        let histogram = || {
            Histogram::new_with_max(LATENCY_MAX.as_nanos() as u64, 3)
                .expect("the bounds are constants that fit")
        };
        Tally {
            reads: histogram(),
            writes: histogram(),
            errors: BTreeMap::new(),
            rows: 0,
            acknowledged: 0,
            unknown: 0,
        }
    }

    /// Counts what became of a request that was (to be) sent at `sent`.
    pub(crate) fn count(&mut self, asked: Asked, outcome: Outcome, sent: Instant, window: Window) {
        let rows = u64::from(asked.rows);
        match outcome {
            Outcome::Done => {
                self.acknowledged += rows;
                let now = Instant::now();
                if now >= window.start && now < window.end {
                    self.rows += rows;
                    let histogram = match asked.class {
                        Class::Read => &mut self.reads,
                        Class::Write => &mut self.writes,
                    };
                    histogram.saturating_record((now - sent).as_nanos() as u64);
                }
            }
            Outcome::Refused(code) => *self.errors.entry(code).or_default() += 1,
            Outcome::Unknown(code) => {
                self.unknown += rows;
                *self.errors.entry(code).or_default() += 1;
            }
        }
    }

    /// Adds another thread's counts.
    pub(crate) fn add(&mut self, other: &Tally) {
        self.reads
            .add(&other.reads)
            .expect("all histograms have the same bounds");
        self.writes
            .add(&other.writes)
            .expect("all histograms have the same bounds");
        for (code, count) in &other.errors {
            *self.errors.entry(code.clone()).or_default() += count;
        }
        self.rows += other.rows;
        self.acknowledged += other.acknowledged;
        self.unknown += other.unknown;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::outcome::Expect;

    #[test]
    fn errors_are_never_operations_and_late_rows_still_count_as_acknowledged() {
        let asked = Asked {
            class: Class::Write,
            rows: 3,
            expect: Expect::Success,
        };
        let now = Instant::now();
        let open = Window {
            start: now,
            end: now + Duration::from_secs(60),
        };
        let over = Window { start: now, end: now };
        let mut tally = Tally::new();
        tally.count(asked, Outcome::Done, now, open);
        tally.count(asked, Outcome::Done, now, over);
        tally.count(asked, Outcome::Refused("A".into()), now, open);
        tally.count(asked, Outcome::Unknown("B".into()), now, open);
        let mut sum = Tally::new();
        sum.add(&tally);
        assert_eq!(
            (sum.writes.len(), sum.rows, sum.acknowledged, sum.unknown),
            (1, 3, 6, 3)
        );
        assert_eq!(
            sum.errors.into_iter().collect::<Vec<_>>(),
            [("A".into(), 1), ("B".into(), 1)]
        );
    }
}
