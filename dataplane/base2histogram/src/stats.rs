//! Percentiles of a histogram.

use std::fmt;

/// Percentiles of a histogram, in the unit of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PercentileStats {
    /// How many values were counted.
    pub samples: u64,
    /// The value that 0.1 % of all do not exceed.
    pub p0_1: u64,
    /// 1 %.
    pub p1: u64,
    /// 5 %.
    pub p5: u64,
    /// 10 %.
    pub p10: u64,
    /// The median.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percentiles = [
            ("0.1", self.p0_1),
            ("1", self.p1),
            ("5", self.p5),
            ("10", self.p10),
            ("50", self.p50),
            ("90", self.p90),
            ("99", self.p99),
            ("99.9", self.p99_9),
        ];
        write!(f, "[samples: {}", self.samples)?;
        for (name, value) in percentiles {
            write!(f, ", P{name}: {value}")?;
        }
        f.write_str("]")
    }
}
