//! Releases side by side: nodes are replaced one after the other by those of a newer release, and back, while clients write and
//! read.
//!
//! A newer release is this one with an order to say that it reads one format level more. What such a level would bring is not
//! there: what is shown is who serves, when the group begins to use it, and who is refused then.

use crate::ground::Ground;
use crate::laws::{Told, any, ask, integer, surely};
use crate::nodes::Cluster;
use orion_api::client::SqlOptions;
use orion_api::hrana::Statement;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio_util::sync::CancellationToken;

const OLDER: u32 = 1;
const NEWER: u32 = OLDER + 1;

fn urls(cluster: &Cluster) -> Vec<String> {
    cluster.nodes.iter().map(|node| node.url.clone()).collect()
}

/// Writes and reads by whoever is not being replaced, until `stop`; answers how many rows it wrote.
async fn use_it(urls: &[String], stop: &CancellationToken) -> i64 {
    let (mut rng, mut written) = (SmallRng::seed_from_u64(7), 0);
    while !stop.is_cancelled() {
        let insert = Statement::new("INSERT INTO t (v) VALUES (1)");
        let told = ask(&any(urls, &mut rng), insert, &SqlOptions::default()).await;
        assert!(matches!(told, Told::Done(_)), "a write failed: {told:?}");
        written += 1;
        let read = Statement::new("SELECT count(*) FROM t");
        let told = ask(&any(urls, &mut rng), read, &SqlOptions::default()).await;
        let (result, _) = told.done().expect("a read is answered");
        assert_eq!(integer(&result.rows[0], 0), written);
    }
    written
}

/// Each node in turn, the leader last, ends in order and comes back as this release; answers how many rows were written.
async fn roll(cluster: &mut Cluster, level: u32) -> i64 {
    let mut written = 0;
    let leader = cluster.wait_for_leader().await;
    let followers = (0..cluster.nodes.len()).filter(|node| *node != leader);
    for node in followers.chain([leader]).collect::<Vec<_>>() {
        let stop = CancellationToken::new();
        let mut others = urls(cluster);
        others.remove(node);
        surely(&others, "DELETE FROM t").await;
        let replacing = async {
            cluster.nodes[node].terminate().await;
            cluster.nodes[node].orders = vec![("ORION_FORMAT_LEVEL", level.to_string())];
            cluster.nodes[node].start();
            cluster.wait_until_ready().await;
            stop.cancel();
        };
        let (rows, ()) = tokio::join!(use_it(&others, &stop), replacing);
        written += rows;
    }
    written
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_release_takes_over_node_by_node_and_can_be_taken_back_until_the_format_is_raised() {
    let dir = tempfile::tempdir().expect("a folder");
    let ground = Ground {
        more: "upgrade:\n  finalize: manual\n".to_owned(),
        ..Ground::default()
    };
    let mut cluster = Cluster::start_on(ground, dir.path(), 3).await;
    surely(&urls(&cluster), "CREATE TABLE t (id INTEGER PRIMARY KEY, v)").await;
    let mut written = roll(&mut cluster, NEWER).await;
    written += roll(&mut cluster, OLDER).await;
    written += roll(&mut cluster, NEWER).await;
    println!("{written} rows while nine nodes were replaced");
    let group = cluster.nodes[0].group().await.expect("the group");
    assert!(group.format_level < NEWER, "nobody has raised it");
    let leader = cluster.wait_for_leader().await;
    let client = cluster.nodes[leader].client();
    let raised = client.change_format_level(&group.name, NEWER).await;
    assert_eq!(raised.expect("all members read it").format_level, NEWER);
    let follower = (leader + 1) % 3;
    cluster.nodes[follower].terminate().await;
    cluster.nodes[follower].orders = vec![("ORION_FORMAT_LEVEL", OLDER.to_string())];
    cluster.nodes[follower].refuses_to_start().await;
    cluster.nodes[follower].orders = vec![("ORION_FORMAT_LEVEL", NEWER.to_string())];
    cluster.nodes[follower].start();
    cluster.wait_until_ready().await;
    crate::laws::same_everywhere::check(&urls(&cluster)).await;
}
