//! What the tests of this module share: connections on a database in memory, and short ways to run SQL.

use crate::sql::{Args, Budget, Connection, Error, Limits, Options, Role, StatementResult, Value};
use crate::vfs::memory::Memory;
use std::time::Duration;

/// A writer on a new database.
pub(super) fn writer() -> (Memory, Connection) {
    let memory = Memory::new();
    let connection = open_writer(&memory);
    (memory, connection)
}

/// One more writer.
pub(super) fn open_writer(memory: &Memory) -> Connection {
    Connection::open(memory.writer(), Options::new(Role::Writer)).expect("opens")
}

/// A writer with other limits.
pub(super) fn writer_with(change: impl FnOnce(&mut Limits)) -> (Memory, Connection) {
    let memory = Memory::new();
    let mut options = Options::new(Role::Writer);
    change(&mut options.limits);
    let connection = Connection::open(memory.writer(), options).expect("opens");
    (memory, connection)
}

/// A reader, which sees durable versions.
pub(super) fn open_reader(memory: &Memory) -> Connection {
    Connection::open(memory.reader(), Options::new(Role::Reader)).expect("opens")
}

/// Enough for everything that is not a test of budgets.
pub(super) fn budget() -> Budget {
    Budget::lasting(Duration::from_secs(20), 64 << 20)
}

/// Runs one statement without arguments.
pub(super) fn run(connection: &mut Connection, sql: &str) -> Result<StatementResult, Error> {
    connection.execute(sql, &Args::NONE, true, &mut budget())
}

/// Runs a script that must succeed.
pub(super) fn script(connection: &mut Connection, sql: &str) {
    if let Err(error) = connection.sequence(sql, &mut budget()) {
        panic!("{sql}: {error} {error:?}");
    }
}

/// The rows of a statement that must succeed.
pub(super) fn rows(connection: &mut Connection, sql: &str) -> Vec<Vec<Value>> {
    match run(connection, sql) {
        Ok(result) => result.rows,
        Err(error) => panic!("{sql}: {error} {error:?}"),
    }
}

/// The first value of the first row, which must be an integer.
pub(super) fn integer(connection: &mut Connection, sql: &str) -> i64 {
    match rows(connection, sql).first().and_then(|row| row.first()) {
        Some(Value::Integer(integer)) => *integer,
        other => panic!("{sql}: {other:?}"),
    }
}

/// The error of a statement that must fail.
pub(super) fn error(connection: &mut Connection, sql: &str) -> Error {
    match run(connection, sql) {
        Ok(result) => panic!("{sql} succeeded: {result:?}"),
        Err(error) => error,
    }
}

/// A text value.
pub(super) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// SQLite finds no damage.
pub(super) fn assert_sound(connection: &mut Connection) {
    assert_eq!(rows(connection, "PRAGMA integrity_check"), [[text("ok")]]);
}
