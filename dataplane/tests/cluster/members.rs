//! Members come, go, move and lose their disks, while the group serves.

use crate::laws::{Told, any, ask, at, integer, surely};
use crate::nodes::{Cluster, PATIENCE};
use orion_api::Code;
use orion_api::admin::{ChangeMembers, Role};
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
        let voters =
            |group: &orion_api::admin::Group| group.members.iter().filter(|member| member.votes).count() == 3;
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
        let voters = group.members.iter().filter(|member| member.votes);
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

fn roles(of: &[(orion_api::NodeId, Role)]) -> ChangeMembers {
    ChangeMembers {
        roles: of.iter().copied().collect(),
    }
}

fn votes(group: &orion_api::admin::Group) -> usize {
    group.members.iter().filter(|member| member.votes).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_voters_become_one_and_three_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::start(dir.path(), 3).await;
    write(&cluster, 5).await;
    let name = "default".parse().expect("a name");
    let group = cluster.nodes[0].group().await.expect("the group");
    let leader = group.leader.expect("a leader");
    let others: Vec<_> = group
        .members
        .iter()
        .map(|member| member.node)
        .filter(|node| *node != leader)
        .collect();
    let down: Vec<_> = others.iter().map(|node| (*node, Role::Learner)).collect();
    // On any node: it is passed on.
    let client = cluster.nodes[1].client();
    let one = client
        .change_members(&name, &roles(&down))
        .await
        .expect("one votes");
    assert_eq!(votes(&one), 1);
    // Again is as good.
    client
        .change_members(&name, &roles(&down))
        .await
        .expect("as before");
    write(&cluster, 5).await;
    // The learners do not count: without them the group goes on, and they stay learners over a restart.
    let leading = cluster.wait_for_leader().await;
    for node in (0..3).filter(|node| *node != leading) {
        cluster.nodes[node].kill();
    }
    surely(
        &[cluster.nodes[leading].url.clone()],
        "INSERT INTO t (v) VALUES (1)",
    )
    .await;
    for node in (0..3).filter(|node| *node != leading) {
        cluster.nodes[node].start();
    }
    cluster.wait_until_ready().await;
    for node in 0..3 {
        assert_eq!(count(&cluster, node, ReadPolicy::Strong).await, 11);
        assert_eq!(votes(&cluster.nodes[node].group().await.expect("the group")), 1);
    }
    let last = roles(&[(leader, Role::Learner)]);
    let refused = client
        .change_members(&name, &last)
        .await
        .expect_err("nobody would vote");
    assert_eq!(refused.code(), Some(Code::MembershipConflict), "{refused}");
    let up: Vec<_> = others.iter().map(|node| (*node, Role::Voter)).collect();
    let three = client
        .change_members(&name, &roles(&up))
        .await
        .expect("three vote");
    assert_eq!(votes(&three), 3);
    // The first may go now.
    cluster.nodes[leading].kill();
    let rest: Vec<String> = (0..3)
        .filter(|node| *node != leading)
        .map(|node| cluster.nodes[node].url.clone())
        .collect();
    surely(&rest, "INSERT INTO t (v) VALUES (1)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_removed_stays_out() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::start(dir.path(), 3).await;
    write(&cluster, 3).await;
    let name = "default".parse().expect("a name");
    let removed = cluster.nodes[2]
        .client()
        .list_nodes()
        .await
        .expect("itself")
        .nodes[0]
        .id;
    cluster.nodes[2].kill();
    let client = cluster.nodes[0].client();
    let group = client.remove_member(&name, removed).await.expect("removed");
    assert_eq!(group.members.len(), 2);
    client
        .remove_member(&name, removed)
        .await
        .expect("again is as good");
    // It comes back, and is not taken in: its votes of then and of now would be two.
    cluster.nodes[2].start();
    write(&cluster, 20).await;
    let group = cluster
        .wait_for_group(0, "two members", |group| group.members.len() == 2)
        .await;
    assert!(group.members.iter().all(|member| member.node != removed));
    // With an empty disk it is another one.
    cluster.nodes[2].kill();
    cluster.lose_disk(2);
    cluster.nodes[2].start();
    cluster.wait_until_ready().await;
    cluster
        .wait_for_group(0, "three voters", |group| votes(group) == 3)
        .await;
    assert_eq!(count(&cluster, 2, ReadPolicy::Strong).await, 23);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wished_member_leads() {
    let dir = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(dir.path(), 3).await;
    write(&cluster, 1).await;
    let name = "default".parse().expect("a name");
    for node in 0..3 {
        let id = cluster.nodes[node]
            .client()
            .list_nodes()
            .await
            .expect("itself")
            .nodes[0]
            .id;
        let any = cluster.nodes[(node + 1) % 3].client();
        any.change_leader(&name, id).await.expect("it leads");
        cluster
            .wait_for_group(node, "it says so itself", |group| group.leader == Some(id))
            .await;
        write(&cluster, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_over_to_a_member_that_does_not_answer_stops_nobody_for_long() {
    let dir = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(dir.path(), 3).await;
    write(&cluster, 1).await;
    let name = "default".parse().expect("a name");
    let leader = cluster.wait_for_leader().await;
    let frozen = (leader + 1) % 3;
    let id = cluster.nodes[frozen]
        .client()
        .list_nodes()
        .await
        .expect("itself")
        .nodes[0]
        .id;
    cluster.nodes[frozen].freeze();
    let refused = cluster.nodes[leader]
        .client()
        .change_leader(&name, id)
        .await
        .expect_err("it does not take over");
    assert_eq!(refused.code(), Some(Code::Unavailable), "{refused}");
    let others: Vec<String> = (0..3)
        .filter(|node| *node != frozen)
        .map(|node| cluster.nodes[node].url.clone())
        .collect();
    surely(&others, "INSERT INTO t (v) VALUES (1)").await;
    cluster.nodes[frozen].wake();
    assert_eq!(count(&cluster, frozen, ReadPolicy::Strong).await, 2);
}

/// Stopped for so long that the log that it lacks is gone: it gets a snapshot, and pages from the object store.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_away_for_long_catches_up_by_a_snapshot() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::start(dir.path(), 3).await;
    write(&cluster, 1).await;
    let leader = cluster.wait_for_leader().await;
    let away = (leader + 1) % 3;
    cluster.nodes[away].kill();
    let last = cluster.nodes[leader]
        .group()
        .await
        .expect("the group")
        .last_log_index;
    let others: Vec<String> = (0..3)
        .filter(|node| *node != away)
        .map(|node| cluster.nodes[node].url.clone())
        .collect();
    // Two snapshots later the log does not reach back any more.
    let mut rows = 1;
    let until = Instant::now() + PATIENCE;
    while cluster.nodes[leader]
        .group()
        .await
        .expect("the group")
        .purged_index
        <= last
    {
        surely(&others, "INSERT INTO t (v) VALUES (randomblob(20000))").await;
        rows += 1;
        assert!(Instant::now() < until, "the log is never let go");
    }
    cluster.nodes[away].start();
    cluster.wait_until_ready().await;
    assert_eq!(count(&cluster, away, ReadPolicy::Strong).await, rows);
    crate::laws::same_everywhere::check(&urls(&cluster)).await;
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
