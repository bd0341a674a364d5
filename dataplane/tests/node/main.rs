//! Bad days of a whole node, in this process and over HTTP: damaged files, an object store that is away,
//! databases that nobody uses.
//!
//! What is random comes from a seed that is printed; `ORION_SEED` and `ORION_ROUNDS` order a long run.

#![allow(
    clippy::print_stdout,
    reason = "seeds and counts, for whoever reads a failed run"
)]

mod azure;
mod flips;
mod idle;
mod outage;
mod running;
#[path = "../support/s3.rs"]
#[allow(dead_code, reason = "shared with the S3 tests")]
mod s3;

use rand::SeedableRng;
use rand::rngs::SmallRng;

/// The generator and the number of rounds.
fn seeded(rounds: u64) -> (SmallRng, u64) {
    let ordered = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let seed = ordered("ORION_SEED").unwrap_or(20_261_121);
    let rounds = ordered("ORION_ROUNDS").unwrap_or(rounds);
    println!("ORION_SEED={seed} ORION_ROUNDS={rounds}");
    (SmallRng::seed_from_u64(seed), rounds)
}
