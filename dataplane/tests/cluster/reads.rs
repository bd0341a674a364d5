//! Reads that follow each other over members: none goes back behind what an earlier one showed.

use crate::ground::Ground;
use crate::laws::{Told, ask, at, integer, surely};
use crate::nodes::{Cluster, PATIENCE};
use orion_api::admin::Group;
use orion_api::client::SqlOptions;
use orion_api::hrana::{ReadPolicy, Statement};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Clients that read at once.
const READERS: usize = 8;

const COUNT: &str = "SELECT count(*) FROM t";

async fn count(url: &str, options: &SqlOptions) -> Option<i64> {
    let told = ask(&at(url), Statement::new(COUNT), options).await;
    told.done().map(|(result, _)| integer(&result.rows[0], 0))
}

/// The first node makes the group, and applies late.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_follower_showed_the_leader_shows_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::prepare(dir.path(), 3).await;
    cluster.nodes[0].orders = vec![("ORION_SLOW_AT", "machine::commit:200".to_owned())];
    cluster.nodes[0].start();
    cluster.wait_until_ready().await;
    surely(
        &[cluster.nodes[0].url.clone()],
        "CREATE TABLE t (id INTEGER PRIMARY KEY)",
    )
    .await;
    cluster.nodes[1].start();
    cluster.nodes[2].start();
    cluster.wait_until_ready().await;
    let (leader, follower) = (cluster.nodes[0].url.clone(), cluster.nodes[1].url.clone());
    let strong = SqlOptions::default();
    for _ in 0..8 {
        let node = at(&leader);
        let insert = ask(&node, Statement::new("INSERT INTO t DEFAULT VALUES"), &strong);
        let reads = async {
            for _ in 0..10 {
                let Some(shown) = count(&follower, &strong).await else {
                    continue;
                };
                let Some(then) = count(&leader, &strong).await else {
                    continue;
                };
                assert!(
                    then >= shown,
                    "the follower showed {shown}, and then the leader {then}"
                );
            }
        };
        let (told, ()) = tokio::join!(insert, reads);
        assert!(matches!(told, Told::Done(_)), "{told:?}");
    }
}

/// Followers accept a write of a leader that then hears nothing but their answers to it, one after the other, when it was
/// replaced long ago. The first makes it tell the second that the write is committed; the second's answer is not to that.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_an_earlier_append_confirms_no_leader() {
    let dir = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(dir.path(), 3).await;
    let urls: Vec<String> = cluster.nodes.iter().map(|node| node.url.clone()).collect();
    surely(&urls, "CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let old = cluster.wait_for_leader().await;
    let others = [(old + 1) % 3, (old + 2) % 3];
    let strong = SqlOptions::default();
    let before = cluster.nodes[old]
        .group()
        .await
        .expect("the group")
        .last_log_index;
    cluster
        .links
        .change(|rules| others.iter().for_each(|other| rules[*other][old].cut = true));
    let client = at(&urls[old]);
    let write = ask(&client, Statement::new("INSERT INTO t DEFAULT VALUES"), &strong);
    let replacing = async {
        for node in [old, others[0], others[1]] {
            let has_it = |group: &Group| group.last_log_index > before;
            cluster
                .wait_for_group(node, "the write is in its log", has_it)
                .await;
        }
        cluster.links.change(|rules| {
            for other in others {
                rules[old][other].cut = true;
                rules[other][old].calls_cut = true;
            }
        });
        surely(&[urls[others[0]].clone()], "INSERT INTO t DEFAULT VALUES").await;
        let shown = count(&urls[others[0]], &strong).await.expect("a new leader");
        assert_eq!(shown, 2, "both writes");
        let stop = CancellationToken::new();
        let ended = AtomicUsize::new(0);
        let reading = (0..READERS).map(|_| async {
            while !stop.is_cancelled() {
                if let Some(then) = count(&urls[old], &strong).await {
                    assert!(then >= shown, "{shown} were shown, and then {then}");
                }
                ended.fetch_add(1, Ordering::Relaxed);
            }
        });
        let hearing = async {
            let hear = |from: usize| cluster.links.change(|rules| rules[from][old].cut = false);
            hear(others[0]);
            // Committed by the answer of one, which it tells the other. The connection may be lost by now; then all reads are
            // refused, and that is seen too.
            while ended.load(Ordering::Relaxed) < READERS {
                let group = cluster.nodes[old].group().await;
                if group.is_ok_and(|group| group.applied_index > before) {
                    break;
                }
            }
            hear(others[1]);
            stop.cancel();
        };
        tokio::join!(futures::future::join_all(reading), hearing);
    };
    tokio::join!(write, replacing);
}

/// A follower that is cut off, and whose machine sleeps: its copy is older than its monotonic clock says.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_gets_older_while_its_machine_sleeps() {
    const HOUR: Duration = Duration::from_secs(3600);
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::start_on(Ground::default(), dir.path(), 3).await;
    let leader = cluster.wait_for_leader().await;
    surely(&[cluster.nodes[leader].url.clone()], "CREATE TABLE t (id)").await;
    let sleeper = (leader + 1) % 3;
    let url = cluster.nodes[sleeper].url.clone();
    count(&url, &SqlOptions::default())
        .await
        .expect("the leader confirms what it has");
    cluster.links.isolate(sleeper);
    let bounded = SqlOptions {
        read_policy: Some(ReadPolicy::BoundedStaleness),
        max_staleness: Some(HOUR),
        ..SqlOptions::default()
    };
    assert_eq!(count(&url, &bounded).await, Some(0), "not an hour ago");
    cluster.nodes[sleeper].place.set_clocks(2 * 3_600_000, 0);
    let until = Instant::now() + PATIENCE;
    while count(&url, &bounded).await.is_some() {
        assert!(Instant::now() < until, "a copy of two hours ago is served");
    }
    // Back among the others it learns what is new.
    cluster.links.heal();
    let until = Instant::now() + PATIENCE;
    while count(&url, &bounded).await.is_none() {
        assert!(Instant::now() < until, "it never learns how new it is");
    }
}
