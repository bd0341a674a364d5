//! What Hrana needs of a database: the part of the database layer that tests replace.

use crate::database::{Error, RequestOptions, Work, WorkResult};
use orion_api::DatabaseId;
use std::future::Future;

/// A database that can be asked.
pub trait Target: Clone + Send + Sync + 'static {
    /// Its streams.
    type Stream: StreamTarget;

    /// Which it is.
    fn id(&self) -> DatabaseId;

    /// Runs a unit on shared connections: to its end, or until it needs a connection of its own.
    fn run<W: Work>(&self, work: W, options: &RequestOptions) -> impl Future<Output = WorkResult<W>> + Send;

    /// A connection of its own, for as long as the handle lives.
    fn open_stream(&self) -> impl Future<Output = Result<Self::Stream, Error>> + Send;
}

/// A stream's connection. Dropping it rolls back what is open and closes it.
pub trait StreamTarget: Send + Sync + 'static {
    /// Runs a unit to its end.
    fn run<W: Work>(&self, work: W, options: &RequestOptions) -> impl Future<Output = WorkResult<W>> + Send;

    /// No transaction is open.
    fn is_autocommit(&self) -> bool;
}

/// The databases that a node can reach.
pub trait Databases: Send + Sync + 'static {
    /// One of them.
    type Database: Target;

    /// The database with this name, if there is one.
    fn find(&self, name: &str) -> impl Future<Output = Result<Option<Self::Database>, Error>> + Send;
}
