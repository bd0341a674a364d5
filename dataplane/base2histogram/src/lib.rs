//! A histogram of `u64` values in log-linear buckets: what openraft's statistics use, and no more.
//!
//! It stands in for the registry's crate of this name, by `[patch.crates-io]`, and shares no line with it. That one
//! makes tables of the boundaries for all bucket widths at the first use: 26 MiB and some 25 ms at each start of a
//! server, for statistics that nobody asks for. Here boundaries are computed.
//!
//! # Buckets
//! Values below 8 have a bucket each. From there on every power of two has 8 buckets of equal width: a value `v` with
//! `2^e <= v < 2^(e+1)` is in the bucket of its highest four bits. So a bucket is at most an eighth of its values wide,
//! and its middle, which is what a percentile answers, is at most a sixteenth off. 496 buckets cover all of `u64`; only
//! those up to the largest value seen are in memory.
//!
//! LIMIT: openraft is pinned to one version; an API that another one needs shows when it is compiled.

mod chart;
mod stats;

pub use chart::{AsciiChart, Detailed};
pub use stats::PercentileStats;

use std::marker::PhantomData;

/// Bits of a value that tell its bucket within a power of two.
const BITS: u32 = 3;

/// Buckets of a power of two.
const BUCKETS: u64 = 1 << BITS;

/// Counts values. `T` means nothing here: openraft names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    /// Per bucket, up to the last that has any.
    counts: Vec<u64>,
    samples: u64,
    kind: PhantomData<T>,
}

impl<T> Default for Histogram<T> {
    fn default() -> Histogram<T> {
        Histogram::new()
    }
}

impl<T> Histogram<T> {
    /// An empty one, which takes no memory.
    pub fn new() -> Histogram<T> {
        Histogram {
            counts: Vec::new(),
            samples: 0,
            kind: PhantomData,
        }
    }

    /// Counts a value.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts a value `count` times.
    pub fn record_n(&mut self, value: u64, count: u64) {
        if count == 0 {
            return;
        }
        let bucket = bucket(value);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] = self.counts[bucket].saturating_add(count);
        self.samples = self.samples.saturating_add(count);
    }

    /// How many values were counted.
    pub fn total(&self) -> u64 {
        self.samples
    }

    /// The smallest value that at least the part `part` (0 to 1) of all values does not exceed (nearest rank), as the
    /// middle of its bucket; 0 if there are none.
    pub fn percentile(&self, part: f64) -> u64 {
        // At most `samples`; beyond 2^53 of them the last digits of the rank are lost, which moves no percentile.
        let rank = ((self.samples as f64 * part).ceil() as u64).clamp(1, self.samples.max(1));
        let mut seen = 0_u64;
        let found = self.counts.iter().position(|count| {
            seen = seen.saturating_add(*count);
            seen >= rank
        });
        found.map_or(0, middle)
    }

    /// The percentiles that openraft shows.
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats {
            samples: self.samples,
            p0_1: self.percentile(0.001),
            p1: self.percentile(0.01),
            p5: self.percentile(0.05),
            p10: self.percentile(0.1),
            p50: self.percentile(0.5),
            p90: self.percentile(0.9),
            p99: self.percentile(0.99),
            p99_9: self.percentile(0.999),
        }
    }
}

/// The bucket of a value.
fn bucket(value: u64) -> usize {
    let Some(shift) = (value.max(1).ilog2()).checked_sub(BITS) else {
        return value as usize;
    };
    // `value >> shift` is 8 to 15: the highest four bits.
    (u64::from(shift) * BUCKETS + (value >> shift)) as usize
}

/// The middle of a bucket, or the value itself where it has only one.
fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let Some(shift) = (bucket / BUCKETS).checked_sub(1) else {
        return bucket;
    };
    let first = (BUCKETS + bucket % BUCKETS) << shift;
    first + (1_u64 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_one_bucket_near_its_middle() {
        let around = (0..64).flat_map(|power| {
            let value = 1_u64 << power;
            [value - 1, value, value | (value >> 1), value | (value / 3)]
        });
        let mut values: Vec<u64> = around.chain(0..5000).chain([u64::MAX]).collect();
        values.sort_unstable();
        for pair in values.windows(2) {
            assert!(
                bucket(pair[0]) <= bucket(pair[1]),
                "{pair:?}: buckets have the order of values"
            );
        }
        for value in values {
            let off = middle(bucket(value)).abs_diff(value);
            assert!(off <= value / 16, "{value} is {off} off");
        }
        assert_eq!(bucket(u64::MAX), 495);
    }

    #[test]
    fn percentiles_are_those_of_sorted_values() {
        // A linear congruential sequence (Knuth's MMIX constants), cut to many sizes.
        let mut state = 7_u64;
        for shift in [1, 20, 40, 54, 60] {
            let mut histogram = Histogram::<()>::new();
            let mut values: Vec<u64> = (0..2000)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    state >> shift
                })
                .collect();
            values.iter().for_each(|value| histogram.record(*value));
            values.sort_unstable();
            for part in [0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0] {
                let exact = values[(2000.0_f64 * part).ceil() as usize - 1];
                let found = histogram.percentile(part);
                assert!(
                    found.abs_diff(exact) <= exact / 16,
                    "{part}: {found}, exactly {exact}"
                );
            }
        }
    }

    #[test]
    fn small_values_are_exact() {
        let mut histogram = Histogram::<()>::new();
        histogram.record_n(2, 90);
        histogram.record_n(7, 9);
        histogram.record(3);
        histogram.record_n(900, 0);
        let stats = histogram.percentile_stats();
        assert_eq!((stats.samples, stats.p0_1, stats.p50, stats.p90), (100, 2, 2, 2));
        assert_eq!((stats.p99, stats.p99_9, histogram.total()), (7, 7, 100));
    }

    #[test]
    fn an_empty_one_is_zero_and_takes_no_memory() {
        let histogram = Histogram::<()>::new();
        assert_eq!((histogram.percentile(0.5), histogram.counts.capacity()), (0, 0));
    }

    #[test]
    fn a_chart_has_a_line_for_each_series() {
        let mut histogram = Histogram::new();
        histogram.record_n(5, 3);
        let chart = AsciiChart::new()
            .add("one", histogram)
            .add("two", Histogram::new());
        let text = chart.detailed().to_string();
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains("one: [samples: 3, P0.1: 5"), "{text}");
    }
}
