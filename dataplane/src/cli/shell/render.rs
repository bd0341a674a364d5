//! Rows of a result as text, in the shell's modes.

use std::fmt::Write as _;
use std::io::{self, Write};

use comfy_table::{Cell, CellAlignment, Table, presets};
use orion_api::Value;
use orion_api::hrana::StatementResult;
use serde_json::json;

/// How results look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Mode {
    /// A table with lines.
    #[default]
    Table,
    /// Values with `|` between them, without a head.
    List,
    /// A line for each value.
    Line,
    /// RFC 4180.
    Csv,
    /// An array of objects.
    Json,
}

/// Writes the rows of `result`.
pub(super) fn write(result: &StatementResult, mode: Mode, out: &mut impl Write) -> io::Result<()> {
    if result.cols.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = result
        .cols
        .iter()
        .map(|col| col.name.as_deref().unwrap_or_default())
        .collect();
    match mode {
        Mode::Table => writeln!(out, "{}", table(&names, &result.rows)),
        Mode::List => lines(&result.rows, "|", |text| text, out),
        Mode::Csv => {
            let head: Vec<String> = names.iter().map(|name| quoted((*name).to_owned())).collect();
            write!(out, "{}\r\n", head.join(","))?;
            result.rows.iter().try_for_each(|row| {
                let cells: Vec<String> = row.iter().map(|value| quoted(csv(value))).collect();
                write!(out, "{}\r\n", cells.join(","))
            })
        }
        Mode::Line => {
            let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
            result.rows.iter().try_for_each(|row| {
                for (name, value) in names.iter().zip(row) {
                    writeln!(out, "{name:>width$} = {}", text(value))?;
                }
                writeln!(out)
            })
        }
        Mode::Json => {
            let rows: Vec<_> = result.rows.iter().map(|row| object(&names, row)).collect();
            writeln!(out, "[{}]", rows.join(","))
        }
    }
}

fn table(names: &[&str], rows: &[Vec<Value>]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_header(names.to_vec());
    for row in rows {
        table.add_row(row.iter().map(|value| {
            let cell = Cell::new(text(value));
            match value {
                Value::Integer(_) | Value::Real(_) => cell.set_alignment(CellAlignment::Right),
                _ => cell,
            }
        }));
    }
    table
}

fn lines(
    rows: &[Vec<Value>],
    separator: &str,
    escape: impl Fn(String) -> String,
    out: &mut impl Write,
) -> io::Result<()> {
    rows.iter().try_for_each(|row| {
        let cells: Vec<String> = row.iter().map(|value| escape(text(value))).collect();
        writeln!(out, "{}", cells.join(separator))
    })
}

/// A value for people: NULL is told from an empty text, a blob is shown as SQL writes it.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => format!("{number:?}"),
        Value::Text(text) => text.clone(),
        Value::Blob(bytes) => {
            let mut hex = String::from("x'");
            for byte in bytes {
                let _ = write!(hex, "{byte:02x}"); // a String takes everything
            }
            hex + "'"
        }
    }
}

fn csv(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        other => text(other),
    }
}

fn quoted(cell: String) -> String {
    match cell.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell,
    }
}

/// An object with its members in the order of the columns, and all of them: a map would sort them and keep one
/// of those with the same name.
fn object(names: &[&str], row: &[Value]) -> String {
    let members: Vec<String> = names
        .iter()
        .zip(row)
        .map(|(name, value)| {
            let value = match value {
                Value::Null => json!(null),
                Value::Integer(number) => json!(number),
                Value::Real(number) => json!(number),
                other => json!(text(other)),
            };
            format!("{}:{value}", json!(name))
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use orion_api::hrana::Column;

    fn rendered(mode: Mode) -> String {
        let column = |name: &str| Column {
            name: Some(name.into()),
            decltype: None,
        };
        let result = StatementResult {
            cols: vec![column("id"), column("it")],
            rows: vec![
                vec![Value::Integer(1), Value::Text("a,\"b\"".into())],
                vec![Value::Real(2.0), Value::Null],
                vec![Value::Integer(30), Value::Blob(vec![0, 255].into())],
            ],
            ..StatementResult::default()
        };
        let mut out = Vec::new();
        write(&result, mode, &mut out).expect("memory");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn every_mode_shows_every_type() {
        assert_eq!(rendered(Mode::List), "1|a,\"b\"\n2.0|NULL\n30|x'00ff'\n");
        assert_eq!(
            rendered(Mode::Csv),
            "id,it\r\n1,\"a,\"\"b\"\"\"\r\n2.0,\r\n30,x'00ff'\r\n"
        );
        assert_eq!(
            rendered(Mode::Line),
            "id = 1\nit = a,\"b\"\n\nid = 2.0\nit = NULL\n\nid = 30\nit = x'00ff'\n\n"
        );
        assert_eq!(
            rendered(Mode::Json),
            "[{\"id\":1,\"it\":\"a,\\\"b\\\"\"},{\"id\":2.0,\"it\":null},{\"id\":30,\"it\":\"x'00ff'\"}]\n"
        );
        assert_eq!(
            rendered(Mode::Table),
            "┌─────┬─────────┐\n│ id  ┆ it      │\n╞═════╪═════════╡\n│   1 ┆ a,\"b\"   │\n│ 2.0 ┆ NULL    │\n│  30 ┆ x'00ff' │\n└─────┴─────────┘\n"
        );
    }

    #[test]
    fn json_keeps_order_and_number_of_the_columns() {
        let column = |name: &str| Column {
            name: Some(name.into()),
            decltype: None,
        };
        let result = StatementResult {
            cols: ["b", "a\"", "b"].map(column).to_vec(),
            rows: vec![vec![Value::Integer(1), Value::Integer(2), Value::Integer(3)]],
            ..StatementResult::default()
        };
        let mut out = Vec::new();
        write(&result, Mode::Json, &mut out).expect("memory");
        assert_eq!(out, b"[{\"b\":1,\"a\\\"\":2,\"b\":3}]\n");
    }
}
