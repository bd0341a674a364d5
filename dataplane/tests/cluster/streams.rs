//! Interactive transactions when the node that has them is gone: the client hears so, nothing of it was done, and it can begin
//! anew.

use crate::ground::Ground;
use crate::laws::{integer, surely};
use crate::nodes::{Cluster, PATIENCE};
use orion_api::Kind;
use orion_api::client::{Error, SqlOptions};
use orion_api::hrana::Statement;
use std::time::Instant;

fn insert() -> Statement {
    Statement::new("INSERT INTO t DEFAULT VALUES")
}

/// What a client may hear of a statement in a stream that is gone. That an outcome is not known only a COMMIT may say, or a
/// connection that broke.
fn is_gone(error: &Error) -> bool {
    match error.code() {
        Some(code) => matches!(
            code,
            orion_api::Code::StreamExpired | orion_api::Code::NotLeader | orion_api::Code::Unavailable
        ),
        None => matches!(error, Error::Connect { .. } | Error::Lost { .. }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_node_is_gone_says_so_and_left_nothing_behind() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::start(dir.path(), 3).await;
    let urls: Vec<String> = cluster.nodes.iter().map(|node| node.url.clone()).collect();
    surely(&urls, "CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let leader = cluster.wait_for_leader().await;
    let follower = (leader + 1) % 3;
    // One at the leader, one that a follower passes on; one writes, one only reads.
    let mut there = cluster.nodes[leader].client().stream();
    let mut passed_on = cluster.nodes[follower].client().stream();
    there.execute(Statement::new("BEGIN")).await.expect("begun");
    there
        .execute(Statement::new("SELECT * FROM t"))
        .await
        .expect("read");
    passed_on
        .execute(Statement::new("BEGIN IMMEDIATE"))
        .await
        .expect("begun");
    passed_on
        .execute(insert())
        .await
        .expect("inserted, not committed");
    cluster.nodes[leader].kill();
    for stream in [&mut there, &mut passed_on] {
        let error = stream.execute(insert()).await.expect_err("its node is gone");
        let is_unknown = error.kind() == Kind::CommitUnknown;
        assert!(is_gone(&error) || is_unknown, "{error:?}");
        // And with the baton that it has, or without one, it cannot commit what is gone.
        stream.forget();
    }
    // The same client begins anew, as soon as somebody leads.
    let until = Instant::now() + PATIENCE;
    loop {
        let mut stream = cluster.nodes[follower].client().stream();
        let begun = stream.execute(Statement::new("BEGIN IMMEDIATE")).await;
        if begun.is_ok() && stream.execute(insert()).await.is_ok() {
            stream
                .execute(Statement::new("COMMIT"))
                .await
                .expect("nothing strikes any more");
            stream.close().await.expect("closed");
            break;
        }
        assert!(Instant::now() < until, "nobody takes a transaction: {begun:?}");
    }
    let rows = surely(&[urls[follower].clone()], "SELECT count(*) FROM t").await;
    assert_eq!(integer(&rows.rows[0], 0), 1, "only what was committed");
}

/// Who does not lead and knows nobody who does has certainly done nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_without_a_leader_never_says_that_an_outcome_is_unknown() {
    let dir = tempfile::tempdir().expect("a folder");
    let ground = Ground {
        without_links: true,
        ..Ground::default()
    };
    let mut cluster = Cluster::start_on(ground, dir.path(), 3).await;
    let urls: Vec<String> = cluster.nodes.iter().map(|node| node.url.clone()).collect();
    surely(&urls, "CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let leader = cluster.wait_for_leader().await;
    let alone = (leader + 1) % 3;
    for node in (0..3).filter(|node| *node != alone) {
        cluster.nodes[node].kill();
    }
    let client = cluster.nodes[alone].client();
    let options = SqlOptions::default();
    // The first may be sent into a connection that nobody holds at the other end any more.
    let refused = client.execute(insert(), &options).await;
    refused.expect_err("nobody leads");
    for _ in 0..3 {
        let refused = client
            .execute(insert(), &options)
            .await
            .expect_err("nobody leads");
        let allowed = [Kind::NotLeader, Kind::Unavailable];
        assert!(allowed.contains(&refused.kind()), "{refused:?}");
    }
    for node in (0..3).filter(|node| *node != alone) {
        cluster.nodes[node].start();
    }
    cluster.wait_until_ready().await;
    let rows = surely(&[urls[alone].clone()], "SELECT count(*) FROM t").await;
    assert_eq!(integer(&rows.rows[0], 0), 0, "nothing was done");
}
