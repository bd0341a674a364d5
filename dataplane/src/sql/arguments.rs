//! Arguments of a statement, and how they meet its parameters.

use super::{Code, Error, Kind, Value};
use rusqlite::Statement;
use rusqlite::types::{ToSqlOutput, ValueRef};

/// Arguments: positional or named, not both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Args {
    /// By the parameter's number, from 1.
    pub positional: Vec<Value>,
    /// By the parameter's name, with or without its prefix.
    pub named: Vec<(String, Value)>,
}

impl Args {
    /// No arguments.
    pub const NONE: Args = Args {
        positional: Vec::new(),
        named: Vec::new(),
    };

    /// Positional arguments.
    pub fn positional(values: Vec<Value>) -> Args {
        Args {
            positional: values,
            named: Vec::new(),
        }
    }
}

/// Binds every parameter, or says which argument is missing or too many. `failed` makes an error of SQLite's.
pub(super) fn bind(
    statement: &mut Statement<'_>,
    args: &Args,
    failed: impl Fn(rusqlite::Error) -> Error,
) -> Result<(), Error> {
    let count = statement.parameter_count();
    match (args.positional.is_empty(), args.named.is_empty()) {
        (false, false) => Err(Error::new(
            Code::ArgsBothPositionalAndNamed,
            Kind::Invalid,
            "positional and named arguments cannot be used together",
        )),
        (_, true) if args.positional.len() != count => Err(Error::arguments(format!(
            "the statement has {count} parameters, {} arguments were given",
            args.positional.len()
        ))),
        (_, true) => {
            for (index, value) in args.positional.iter().enumerate() {
                set(statement, index + 1, value).map_err(&failed)?;
            }
            Ok(())
        }
        (true, false) => bind_named(statement, &args.named, count, failed),
    }
}

fn bind_named(
    statement: &mut Statement<'_>,
    named: &[(String, Value)],
    count: usize,
    failed: impl Fn(rusqlite::Error) -> Error,
) -> Result<(), Error> {
    let mut used = 0;
    for index in 1..=count {
        let Some(name) = statement.parameter_name(index).map(str::to_owned) else {
            return Err(Error::arguments(format!(
                "parameter {index} has no name, but arguments are named"
            )));
        };
        let found = named
            .iter()
            .rfind(|(given, _)| *given == name || Some(given.as_str()) == name.get(1..));
        let Some((_, value)) = found else {
            return Err(Error::arguments(format!("no argument for parameter {name}")));
        };
        set(statement, index, value).map_err(&failed)?;
        used += 1;
    }
    if used < named.len() {
        return Err(Error::arguments(format!(
            "the statement has {count} parameters, {} named arguments were given",
            named.len()
        )));
    }
    Ok(())
}

fn set(statement: &mut Statement<'_>, index: usize, value: &Value) -> rusqlite::Result<()> {
    let borrowed = match value {
        Value::Null => ValueRef::Null,
        Value::Integer(integer) => ValueRef::Integer(*integer),
        Value::Real(real) => ValueRef::Real(*real),
        Value::Text(text) => ValueRef::Text(text.as_bytes()),
        Value::Blob(blob) => ValueRef::Blob(blob),
    };
    statement.raw_bind_parameter(index, ToSqlOutput::Borrowed(borrowed))
}
