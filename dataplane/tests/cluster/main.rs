//! A group of three real processes under faults, and what its clients must see whatever happens.
//!
//! Each law has a file of its own, with clients that record what they asked and were told, and a check over that record.
//! Faults are seeded: `ORION_SEED=… ORION_ROUNDS=…` repeats a run, or makes a long one.

#![allow(
    clippy::print_stdout,
    reason = "seeds and counts, for whoever reads a failed run"
)]

mod archive;
mod certificates;
mod chaos;
mod disks;
mod ground;
mod groups;
mod large;
mod laws;
mod links;
mod members;
mod nemesis;
mod nodes;
#[path = "../support/port.rs"]
mod port;
mod reads;
mod releases;
#[path = "../support/s3.rs"]
#[allow(dead_code, reason = "shared with the tests of the store")]
mod s3;
#[path = "../support/seed.rs"]
mod seed;
mod streams;
