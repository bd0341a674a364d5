//! Transactions that are too large for one entry and travel in parts: kill -9 between any two of them.
//!
//! A transaction here is 3 MB of noise, so four parts or so and the commit that names them. Where the process
//! dies is drawn from a seed: `ORION_SEED`, `ORION_ROUNDS` for a long run.

use crate::oracle::{Oracle, Shape};
use rand::RngExt;

const LARGE: Shape = Shape {
    rows: 15,
    bytes: 200_000,
};

/// Each is passed once or more for every part.
const PART_POINTS: &[&str] = &[
    "group::propose",
    "machine::part",
    "log::before_write",
    "log::before_sync",
    "log::after_sync",
    "machine::commit",
    "queue::answer",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_in_parts_is_there_as_a_whole_or_not_at_all() {
    let (mut random, rounds) = crate::seeded(PART_POINTS.len() as u64);
    for round in 0..rounds {
        let point = PART_POINTS[round as usize % PART_POINTS.len()];
        // Past the first transaction, into some part of one of the next.
        let n = match point {
            "machine::commit" | "queue::answer" => random.random_range(2..6),
            _ => random.random_range(7..22),
        };
        crate::dies_at_under(point, n, Oracle::of(LARGE), 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_in_parts_survive_kills_at_random() {
    // Short, so that reading it all again stays short.
    crate::survives_kills_at_random(Oracle::of(LARGE), 3, 2, 50..500).await;
}
