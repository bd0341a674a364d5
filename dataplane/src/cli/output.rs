//! Results as a table for people, as JSON or YAML for programs. Tables show what fits a line; JSON and YAML are
//! the API's objects, whole.

use std::io::Write;

use comfy_table::{Table, presets};
use serde::Serialize;

/// Format of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For files.
    Yaml,
}

/// A table that is built row by row.
pub(super) struct Rows {
    table: Table,
}

impl Rows {
    /// With these columns.
    pub(super) fn new(columns: &[&str]) -> Rows {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(columns.to_vec());
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Rows { table }
    }

    /// One row.
    pub(super) fn add(&mut self, cells: Vec<String>) {
        self.table.add_row(cells);
    }

    /// Without white space at the ends of lines, so that it can be compared and copied.
    pub(super) fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(out, "{}", self.table.trim_fmt())
    }
}

impl Format {
    /// Prints `value`, or the table that `rows` makes of it.
    pub(super) fn print<T: Serialize>(
        self,
        value: &T,
        rows: impl FnOnce(&T) -> Rows,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        match self {
            Format::Table => rows(value).print(out)?,
            Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(value)?)?,
            Format::Yaml => write!(out, "{}", serde_saphyr::to_string(value)?)?,
        }
        Ok(())
    }
}

/// A size for people: `0 B`, `8.0 KiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(
            [0, 1023, 8192, 10 << 30].map(size),
            ["0 B", "1023 B", "8.0 KiB", "10.0 GiB"]
        );
    }
}
