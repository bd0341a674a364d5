//! Where what is random in a test comes from.

use rand::SeedableRng;
use rand::rngs::SmallRng;

/// The generator and the number of rounds; `ORION_SEED` and `ORION_ROUNDS` order others.
pub fn seeded(rounds: u64) -> (SmallRng, u64) {
    let ordered = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let seed = ordered("ORION_SEED").unwrap_or(20_261_121);
    let rounds = ordered("ORION_ROUNDS").unwrap_or(rounds);
    println!("ORION_SEED={seed} ORION_ROUNDS={rounds}");
    (SmallRng::seed_from_u64(seed), rounds)
}
