//! Several histograms as text: a line of percentiles for each. Not a drawing, whatever openraft calls it.

use super::Histogram;
use std::fmt;

/// Histograms with their names.
#[derive(Clone, Debug, Default)]
pub struct AsciiChart {
    series: Vec<(String, Histogram)>,
}

impl AsciiChart {
    /// Without any.
    pub fn new() -> AsciiChart {
        AsciiChart::default()
    }

    /// With one more.
    #[must_use]
    pub fn add(mut self, name: &str, histogram: Histogram) -> AsciiChart {
        self.series.push((name.to_owned(), histogram));
        self
    }

    /// The text.
    pub fn detailed(&self) -> Detailed<'_> {
        Detailed(self)
    }
}

/// The text of a chart.
#[derive(Debug)]
pub struct Detailed<'a>(&'a AsciiChart);

impl fmt::Display for Detailed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .series
            .iter()
            .try_for_each(|(name, histogram)| writeln!(f, "{name}: {}", histogram.percentile_stats()))
    }
}
