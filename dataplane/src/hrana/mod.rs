//! Hrana without a transport: what the requests of libSQL's clients mean.
//!
//! 1. `plan` turns the requests of a pipeline into tasks, with every mistake answered that needs no database.
//! 2. `unit` runs the tasks as [`Work`](crate::database::Work), resumable between statements.
//! 3. `service` decides where: on shared connections, or on a stream's own; and keeps the table of streams,
//!    whose batons are signed.
//!
//! Called by `http`. Not here: parsing and writing JSON (orion-api has the types), headers, who may ask.

mod baton;
mod dump;
#[cfg(test)]
pub(crate) mod fake;
mod plan;
mod request_hash;
mod result;
mod seats;
mod service;
mod streams;
mod target;
mod texts;
pub mod token;
mod unit;

pub use dump::Dump;
pub use plan::Plan;
pub use request_hash::request_hash;
pub use service::{Answer, Outcomes, Service, idempotency_key};
pub use streams::StreamLimits;
pub use target::{Databases, StreamTarget, Target};
pub use texts::Texts;
pub use unit::{Placement, Unit};

use orion_api::Code;
use orion_api::hrana::Error;

/// The client broke the protocol.
fn fault(message: impl Into<String>) -> Error {
    Error::new(Code::HranaProtoError, message)
}
