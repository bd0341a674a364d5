//! SQL on one database: connections with the product's policy and limits around SQLite, and typed results.
//!
//! Called by the Hrana layer (statements) and by the database's writer and readers (which connection runs).
//! Synchronous: a call runs until SQLite is done or a limit ends it, so it belongs on an SQL thread.
//! Not here: who may write when (`vfs::Backend` decides), transports, JSON.
//!
//! INVARIANT: whatever SQL text comes in, it ends after the budget's deadline, within the limits of
//! [`Limits`], and touches nothing but its own database. What it may not do is refused by SQLite's authorizer
//! (`policy`) or by the file (`vfs::pragma`), never by looking at the text.

mod arguments;
mod budget;
mod catalog;
pub mod compile_options;
mod connection;
mod dump;
mod error;
mod functions;
mod options;
mod policy;
mod pragmas;
mod result;
mod statement;
mod statistics;
#[cfg(test)]
mod tests;

pub use arguments::Args;
pub use budget::Budget;
pub use connection::{Connection, InterruptHandle};
pub use dump::{DumpError, dump};
pub use error::{Code, Error, Kind};
pub use options::{Limits, Options, Role};
pub use orion_api::Value;
pub use policy::{Classification, TransactionStep};
pub use result::{Column, Description, Parameter, StatementResult};
pub use statistics::{Cost, Observer, SHAPES_MAX, Shape, Statistics};
