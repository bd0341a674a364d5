//! kill -9 of a real server, at every step of a write's way and at random, and what must be true afterwards.
//!
//! The oracle is on the client's side: it knows which inserts were acknowledged, which ended without a known
//! outcome, and which were never sent. After each death the server is started again on the same directory:
//!
//! - every acknowledged insert is there;
//! - an insert of unknown outcome is there as a whole or not at all;
//! - nothing else is there;
//! - `integrity_check` says ok;
//! - a retry under an idempotency key was applied exactly once.

#![allow(
    clippy::print_stdout,
    reason = "seeds and counts, for whoever reads a failed run"
)]

mod full;
mod oracle;
mod parts;
#[path = "../support/port.rs"]
mod port;
#[path = "../support/seed.rs"]
mod seed;
mod server;
mod stale;

use oracle::Oracle;
use rand::RngExt;
use seed::seeded;
use server::{Life, Server};
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Failpoints on the way of a commit.
const COMMIT_POINTS: &[&str] = &[
    "queue::commit",
    "queue::propose",
    "group::propose",
    "log::before_write",
    "log::before_sync",
    "log::after_sync",
    "machine::commit",
    "queue::answer",
];

/// Failpoints on the way into the object store and of local snapshots.
const BACKGROUND_POINTS: &[&str] = &[
    "materialize::after_open",
    "materialize::before_checkpoint",
    "materialize::before_propose",
    "machine::materialized",
    "snapshot::before_write",
    "snapshot::before_rename",
    "snapshot::after_rename",
];

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_commits_survive_a_kill_at_every_step_of_a_commit() {
    for point in COMMIT_POINTS {
        for n in [40, 41] {
            dies_at(point, n).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_commits_survive_a_kill_at_every_step_of_materialization_and_snapshots() {
    for point in BACKGROUND_POINTS {
        dies_at(point, 2).await;
    }
}

/// The log's own word on what is committed goes with the next append, so the newest entries are applied only
/// when the restarted node leads again; applying is slowed down here.
#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_answers_only_when_what_it_acknowledged_is_applied() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut oracle = Oracle::default();
    // Twice, so that the local snapshot is of the term of the second life, as the log is.
    for slow_at in [None, Some("machine::commit:100"), Some("machine::commit:100")] {
        let life = Life {
            slow_at,
            ..Life::default()
        };
        let mut server = Server::live(dir.path(), life).await;
        oracle.check(&server).await;
        oracle.write_some(&server, 5).await;
        server.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_commits_survive_kills_at_random() {
    survives_kills_at_random(Oracle::default(), 6, 8, 50..1500).await;
}

/// Lives of so many milliseconds, each ended by a kill while `writers` write.
async fn survives_kills_at_random(mut oracle: Oracle, rounds: u64, writers: usize, life_ms: Range<u64>) {
    let (mut random, rounds) = seeded(rounds);
    let dir = tempfile::tempdir().expect("a folder");
    for round in 0..rounds {
        keep(dir.path());
        let mut server = Server::start(dir.path(), None).await;
        oracle.check(&server).await;
        let life = Duration::from_millis(random.random_range(life_ms.clone()));
        println!("round {round}: {life:?}, {} acknowledged", oracle.acknowledged());
        tokio::select! {
            () = oracle.write(&server, writers) => panic!("the writers end only when the server does"),
            () = tokio::time::sleep(life) => {}
        }
        server.kill();
        oracle.settle();
    }
    let server = Server::start(dir.path(), None).await;
    oracle.check(&server).await;
    assert!(oracle.acknowledged() > 0, "nothing was written at all");
}

/// Where `ORION_KEEP` names a folder: what a kill left, before the next life changes it, for whoever looks for
/// the cause of a failure.
fn keep(dir: &std::path::Path) {
    let Some(kept) = std::env::var_os("ORION_KEEP") else {
        return;
    };
    // The first time there is none.
    let _ = std::fs::remove_dir_all(&kept);
    let copy = std::process::Command::new("cp")
        .arg("-a")
        .arg(dir)
        .arg(&kept)
        .status();
    assert!(copy.expect("cp").success(), "what the kill left is kept");
}

/// A server that dies at `point`, and the check of the one after it.
async fn dies_at(point: &str, n: u64) {
    dies_at_under(point, n, Oracle::default(), 8).await;
}

/// The same, under transactions as `oracle` makes them, by so many writers.
async fn dies_at_under(point: &str, n: u64, mut oracle: Oracle, writers: usize) {
    let dir = tempfile::tempdir().expect("a folder");
    // The tables first, in a life without orders.
    let mut first = Server::start(dir.path(), None).await;
    oracle.check(&first).await;
    first.kill();
    let order = format!("{point}:{n}");
    let mut server = Server::start(dir.path(), Some(&order)).await;
    oracle.write_until_death(&mut server, writers).await;
    let server = Server::start(dir.path(), None).await;
    oracle.check(&server).await;
    println!(
        "{order}: {} acknowledged, {} unknown",
        oracle.acknowledged(),
        oracle.unknown()
    );
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(status.expect("cp").success(), "the copy of {}", from.display());
}
