//! Bad days of a whole node, in this process and over HTTP: damaged files, an object store that is away,
//! databases that nobody uses.
//!
//! What is random comes from a seed that is printed; `ORION_SEED` and `ORION_ROUNDS` order a long run.

#![allow(
    clippy::print_stdout,
    reason = "seeds and counts, for whoever reads a failed run"
)]

mod auth;
mod clouds;
mod descriptors;
mod flips;
mod fuzz;
mod idle;
mod outage;
#[path = "../support/port.rs"]
mod port;
#[path = "../support/race.rs"]
mod race;
mod running;
#[path = "../support/s3.rs"]
#[allow(dead_code, reason = "shared with the S3 tests")]
mod s3;
#[path = "../support/seed.rs"]
mod seed;
mod tls;
mod troubles;

pub use seed::seeded;
