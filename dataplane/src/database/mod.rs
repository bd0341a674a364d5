//! Databases as the transports see them: units of work go in, results come out when they are durable.
//!
//! The path of a write: [`Database::run`] → commit queue (`queue`) → SQLite on an SQL thread (`threads`) →
//! pages of the transaction (`backend`, `head`) → one entry (`queue`) → Raft → `Queue::landed` → answer.

mod answer;
mod backend;
mod brief;
mod convoy;
mod counters;
mod databases;
mod deadline;
mod error;
mod handle;
mod head;
mod hints;
mod idempotency;
mod interrupt;
mod options;
mod queue;
mod request;
mod settings;
mod stream;
#[cfg(test)]
mod tests;
mod threads;
mod work;

pub use counters::Counters;
pub use databases::Databases;
pub use error::{Elsewhere, Error};
pub use handle::Database;
pub use options::{Access, IdempotencyKey, RequestOptions};
pub use settings::Options;
pub use stream::Stream;
pub(crate) use threads::SqlThreads;
pub use work::{Finished, Position, Progress, Recorded, Work, WorkResult};
