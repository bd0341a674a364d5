//! A value of SQLite, as it goes in and out of statements.

use bytes::Bytes;

/// One of SQLite's five storage classes (SQLite, "Datatypes", 2).
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// 64-bit signed.
    Integer(i64),
    /// IEEE 754, 64-bit.
    Real(f64),
    /// UTF-8.
    Text(String),
    /// Bytes.
    Blob(Bytes),
}
