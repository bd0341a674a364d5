//! Where what is random in the tests of this crate comes from.

/// A seed: `ORION_TEST_SEED`, or any. Printed, so that a failure can be run again.
pub(crate) fn seed() -> u64 {
    let ordered = std::env::var("ORION_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = ordered.unwrap_or_else(rand::random);
    println!("ORION_TEST_SEED={seed}");
    seed
}
