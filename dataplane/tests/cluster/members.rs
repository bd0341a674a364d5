//! Members come, go, move and lose their disks, while the group serves.

use crate::laws::{Told, any, ask, at, integer, surely};
use crate::nodes::{Cluster, PATIENCE};
use orion_api::admin::Role;
use orion_api::client::SqlOptions;
use orion_api::hrana::{ReadPolicy, Statement};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::time::{Duration, Instant};

async fn count(cluster: &Cluster, node: usize, policy: ReadPolicy) -> i64 {
    let options = SqlOptions {
        read_policy: Some(policy),
        ..SqlOptions::default()
    };
    let until = Instant::now() + PATIENCE;
    loop {
        let told = ask(
            &cluster.nodes[node].client(),
            Statement::new("SELECT count(*) FROM t"),
            &options,
        )
        .await;
        if let Some((result, _)) = told.done() {
            return integer(&result.rows[0], 0);
        }
        assert!(Instant::now() < until, "node {node} does not answer");
    }
}

fn urls(cluster: &Cluster) -> Vec<String> {
    cluster.nodes.iter().map(|node| node.url.clone()).collect()
}

async fn write(cluster: &Cluster, rows: usize) {
    surely(
        &urls(cluster),
        "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, v)",
    )
    .await;
    for _ in 0..rows {
        surely(&urls(cluster), "INSERT INTO t (v) VALUES (randomblob(100))").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_in_any_order_make_one_group() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::prepare(dir.path(), 3).await;
    // The first waits for nobody; the others come when it has served already.
    cluster.nodes[2].start();
    cluster.wait_until_ready().await;
    write_at(&cluster, 2).await;
    cluster.nodes[0].start();
    cluster.nodes[1].start();
    cluster.wait_until_ready().await;
    for node in 0..3 {
        let voters = |group: &orion_api::admin::Group| {
            group
                .members
                .iter()
                .filter(|member| member.role == Role::Voter)
                .count()
                == 3
        };
        cluster.wait_for_group(node, "three voters", voters).await;
        assert_eq!(count(&cluster, node, ReadPolicy::Strong).await, 1);
    }
}

async fn write_at(cluster: &Cluster, node: usize) {
    let urls = [cluster.nodes[node].url.clone()];
    surely(&urls, "CREATE TABLE t (id INTEGER PRIMARY KEY, v)").await;
    surely(&urls, "INSERT INTO t (v) VALUES (1)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_disk_is_replaced_by_a_new_member() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::start(dir.path(), 3).await;
    write(&cluster, 50).await;
    let before = cluster.nodes[1].group().await.expect("the group");
    cluster.nodes[1].kill();
    cluster.lose_disk(1);
    cluster.nodes[1].start();
    cluster.wait_until_ready().await;
    let voters = |group: &orion_api::admin::Group| -> Vec<_> {
        let voters = group.members.iter().filter(|member| member.role == Role::Voter);
        voters.map(|member| member.node).collect()
    };
    let after = cluster
        .wait_for_group(1, "the new one votes, the old one is gone", |group| {
            group.members.len() == 3 && voters(group).len() == 3 && voters(group) != voters(&before)
        })
        .await;
    let kept = voters(&after)
        .iter()
        .filter(|voter| voters(&before).contains(voter))
        .count();
    assert_eq!(kept, 2, "one was replaced");
    for node in 0..3 {
        assert_eq!(count(&cluster, node, ReadPolicy::Strong).await, 50);
    }
    crate::laws::same_everywhere::check(&urls(&cluster)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_all_come_back_with_other_addresses_find_each_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::start(dir.path(), 3).await;
    write(&cluster, 20).await;
    for node in &mut cluster.nodes {
        node.kill();
    }
    cluster.move_all().await;
    cluster.nodes.iter_mut().for_each(|node| node.start());
    cluster.wait_until_ready().await;
    write(&cluster, 20).await;
    for node in 0..3 {
        assert_eq!(count(&cluster, node, ReadPolicy::Strong).await, 40);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_told_to_stop_hands_over_and_no_request_fails() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::start(dir.path(), 3).await;
    write(&cluster, 1).await;
    for _ in 0..3 {
        let leader = cluster.wait_for_leader().await;
        let others: Vec<String> = urls(&cluster)
            .into_iter()
            .filter(|url| *url != cluster.nodes[leader].url)
            .collect();
        let stop = tokio_util::sync::CancellationToken::new();
        let asking = async {
            let mut rng = SmallRng::seed_from_u64(7);
            let mut longest = Duration::ZERO;
            while !stop.is_cancelled() {
                let began = Instant::now();
                let insert = Statement::new("INSERT INTO t (v) VALUES (1)");
                let told = ask(&any(&others, &mut rng), insert, &SqlOptions::default()).await;
                if let Told::NotDone(error) | Told::Unknown(error) = told {
                    panic!("a write failed while the leader handed over: {error}");
                }
                longest = longest.max(began.elapsed());
            }
            longest
        };
        let handing = async {
            cluster.nodes[leader].terminate().await;
            stop.cancel();
        };
        let (longest, ()) = tokio::join!(asking, handing);
        println!("longest write during a hand-over: {longest:?}");
        cluster.nodes[leader].start();
        cluster.wait_until_ready().await;
    }
}

/// The lease is the promise that this breaks if it is kept badly: the leader does not hear that it was replaced.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_cut_off_answers_no_strong_read_of_the_past() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::start(dir.path(), 3).await;
    write(&cluster, 1).await;
    let old = cluster.wait_for_leader().await;
    let restarted = (old + 1) % 3;
    // A voter that is started again forgets until when it promised its vote.
    cluster.nodes[restarted].kill();
    cluster.links.isolate(old);
    cluster.nodes[restarted].start();
    let others: Vec<String> = urls(&cluster)
        .into_iter()
        .filter(|url| *url != cluster.nodes[old].url)
        .collect();
    let cut_off = at(&cluster.nodes[old].url);
    let until = Instant::now() + PATIENCE;
    let mut acknowledged = 1;
    let mut stale = 0;
    // From the moment that the others go on, the old leader must not answer with less.
    while acknowledged < 20 {
        let insert = Statement::new("INSERT INTO t (v) VALUES (1)");
        if let Told::Done(_) = ask(&at(&others[0]), insert, &SqlOptions::default()).await {
            acknowledged += 1;
        }
        let select = Statement::new("SELECT count(*) FROM t");
        let options = SqlOptions::default();
        let read = ask(&cut_off, select, &options);
        if let Ok(Told::Done((result, _))) = tokio::time::timeout(Duration::from_millis(200), read).await {
            stale += usize::from(integer(&result.rows[0], 0) < acknowledged);
        }
        assert!(
            Instant::now() < until,
            "the others do not go on without the old leader"
        );
    }
    assert_eq!(stale, 0, "strong reads of the past");
}
