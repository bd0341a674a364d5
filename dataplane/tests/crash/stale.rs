//! A materializer that was stopped in the middle wakes up when another life of its database went on.
//!
//! The old process stops itself between two steps of a materialization, as SIGSTOP would. Another one goes on
//! from a copy of its data directory, which is what a kill would have left, over the same object store, and
//! materializes. Then the old one is woken and carries its attempt to the end. It is killed as it begins the
//! next one: what keeps it from that is the barrier, and a group of one voter confirms itself.

use crate::copy;
use crate::oracle::Oracle;
use crate::server::{Life, PATIENCE, Server};
use orion_api::client::Client;

/// Between which steps it stops.
const POINTS: &[&str] = &[
    "materialize::after_open",
    "materialize::before_pages",
    "materialize::before_checkpoint",
    "materialize::before_propose",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_materializer_changes_no_page_no_checkpoint_and_no_answer() {
    for point in POINTS {
        wakes_stale(point).await;
    }
}

async fn wakes_stale(point: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut oracle = Oracle::default();
    // A base with a checkpoint, so that there is something to spoil.
    let mut first = Server::start(dir.path(), None).await;
    oracle.check(&first).await;
    oracle.write_some(&first, 40).await;
    materialized(&first).await;
    first.kill();

    let (stop, death) = (format!("{point}:1"), "materialize::after_open:2");
    let life = Life {
        stop_at: Some(&stop),
        die_at: Some(death),
        ..Life::default()
    };
    let old = Server::live(dir.path(), life).await;
    tokio::select! {
        () = oracle.write(&old, 4) => panic!("{point}: the writers end only when the server does"),
        () = old.wait_until_stopped() => {}
    }
    oracle.settle();
    copy(&dir.path().join("data"), &dir.path().join("next"));

    let next = Life {
        data: "next",
        ..Life::default()
    };
    let mut new = Server::live(dir.path(), next).await;
    oracle.check(&new).await;
    oracle.write_some(&new, 60).await;
    materialized(&new).await;
    oracle.write_some(&new, 5).await;

    old.wake();
    // It needs something to materialize, to get to where it dies: rows of a life that nobody goes on from.
    let late = Oracle::late();
    let write = late.write(&old, 2);
    tokio::select! {
        () = write => panic!("{point}: the writers end only when the server does"),
        () = old.wait_until_ended() => {}
    }

    oracle.check(&new).await;
    oracle.write_some(&new, 60).await;
    materialized(&new).await;
    new.kill();
    // Cold: every page comes from the object store.
    let cold = Server::live(dir.path(), next).await;
    oracle.check(&cold).await;
    println!("{point}: {} acknowledged", oracle.acknowledged());
}

/// Waits until everything is in the object store.
async fn materialized(server: &Server) {
    let client = Client::new(&server.url, None).expect("a client");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while client
        .metrics()
        .await
        .expect("the node's numbers")
        .storage
        .overlay_bytes
        > 0
    {
        assert!(tokio::time::Instant::now() < deadline, "not materialized");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
