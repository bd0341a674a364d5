//! Hrana's JSON: what libSQL's clients send and get (Hrana 2 and 3 over HTTP, `HRANA_3_SPEC.md` of libsql).
//!
//! Both directions, so that the server, the typed client and tests share one form. Rules that real clients
//! depend on and that every type here keeps:
//!
//! - Unknown fields are ignored, a `null` is the same as an absent field.
//! - Integers are strings on the way out; on the way in numbers are taken too.
//! - Floats that JSON cannot hold (NaN, infinities) are `null`.
//! - Base64 is unpadded on the way out (the Rust client insists), either form on the way in.
//!
//! Parsing reads the text once, without a tree in between: the `type` of an object is looked at after all
//! its fields are known, which serde's own tagged enums can only do by buffering.

mod cursor;
mod envelope;
mod request;
mod response;
mod value;

pub use cursor::{CursorEntry, CursorReply, CursorRequest};
pub use envelope::{Envelope, Freshness, Idempotency, IdempotencyStatus, ReadPolicy};
pub use request::{Batch, Condition, NamedArg, PipelineRequest, Request, Statement, Step};
pub use response::{
    BatchResult, Column, DescribeResult, Error, Outcome, Parameter, PipelineReply, Response, StatementResult,
};
