//! What Hrana needs of a database: the part of the database layer that tests replace.

use crate::database::{self, Error, RequestOptions, Work, WorkResult};
use crate::secret::Secret;
use orion_api::{Code, DatabaseId};
use std::future::Future;
use std::sync::Arc;

/// A database that can be asked.
pub trait Target: Clone + Send + Sync + 'static {
    /// Its streams.
    type Stream: StreamTarget;

    /// Which it is.
    fn id(&self) -> DatabaseId;

    /// The secret of its group.
    fn secret(&self) -> &Secret;

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

impl Target for Arc<database::Database> {
    type Stream = database::Stream;

    fn id(&self) -> DatabaseId {
        database::Database::id(self)
    }

    fn secret(&self) -> &Secret {
        database::Database::secret(self)
    }

    fn run<W: Work>(&self, work: W, options: &RequestOptions) -> impl Future<Output = WorkResult<W>> + Send {
        database::Database::run(self, work, options)
    }

    async fn open_stream(&self) -> Result<database::Stream, Error> {
        database::Database::open_stream(self)
    }
}

impl StreamTarget for database::Stream {
    fn run<W: Work>(&self, work: W, options: &RequestOptions) -> impl Future<Output = WorkResult<W>> + Send {
        database::Stream::run(self, work, options)
    }

    fn is_autocommit(&self) -> bool {
        database::Stream::is_autocommit(self)
    }
}

impl Databases for Arc<database::Databases> {
    type Database = Arc<database::Database>;

    async fn find(&self, name: &str) -> Result<Option<Arc<database::Database>>, Error> {
        match database::Databases::find(self, name) {
            Ok(database) => Ok(Some(database)),
            Err(error) if error.code == Code::DatabaseNotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
