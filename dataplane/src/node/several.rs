//! Several nodes in one process: what members answer each other.

use super::tests::options;
use super::{Cluster, Node, Options};
use crate::peer::Member;
use crate::peer::wire::{Join, ReadIndex};
use crate::port::free_port;
use crate::raft::{LEASE, Vote};
use openraft::raft::VoteRequest;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) fn free_address() -> SocketAddr {
    let ip = [127, 0, 0, 1].into();
    SocketAddr::new(ip, free_port(ip))
}

/// Starts a node of a group whose members listen at `addresses`.
async fn start(dir: &Path, addresses: &[SocketAddr], number: usize) -> Arc<Node> {
    let options = options_of(dir, addresses, number);
    Node::start(options).await.expect("starts")
}

pub(super) fn options_of(dir: &Path, addresses: &[SocketAddr], number: usize) -> Options {
    let mut options = options(dir);
    options.data_dir = dir.join(format!("node{number}"));
    options.database.temp_dir = options.data_dir.join("tmp");
    options.cluster = Some(Cluster {
        listen: addresses[number],
        advertise: addresses[number].to_string(),
        seeds: addresses.iter().map(SocketAddr::to_string).collect(),
        votes: true,
        tls: None,
    });
    options
}

/// A group of three that all vote.
async fn group(dir: &Path, addresses: &[SocketAddr]) -> Vec<Arc<Node>> {
    let mut nodes = Vec::new();
    for number in 0..addresses.len() {
        nodes.push(start(dir, addresses, number).await);
    }
    for node in &nodes {
        let all_vote = || {
            let metrics = node.home.group.metrics();
            metrics.membership_config.membership().voter_ids().count() == addresses.len()
        };
        wait(node, "all vote", all_vote).await;
    }
    nodes
}

/// Waits until a condition holds that looks at what is applied.
async fn wait(node: &Node, what: &str, condition: impl Fn() -> bool) {
    let waiting = node.home.group.wait_applied(condition);
    tokio::time::timeout(Duration::from_secs(30), waiting)
        .await
        .expect(what);
}

/// The one that leads.
async fn leader(nodes: &[Arc<Node>]) -> &Arc<Node> {
    let serving = nodes
        .iter()
        .map(|node| Box::pin(node.home.group.wait_until_serving()));
    let first = futures::future::select_all(serving);
    let (served, number, _) = tokio::time::timeout(Duration::from_secs(30), first)
        .await
        .expect("one leads");
    served.expect("it runs");
    &nodes[number]
}

async fn stop(nodes: Vec<Arc<Node>>) {
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_that_was_started_again_waits() {
    let dir = tempfile::tempdir().expect("a folder");
    let addresses = [free_address(), free_address(), free_address()];
    let mut nodes = group(dir.path(), &addresses).await;
    nodes.pop().expect("the third").stop().await;
    let began = Instant::now();
    let third = start(dir.path(), &addresses, 2).await;
    // Somebody with the newest log asks, in a much later term.
    let newest = third.home.group.metrics().last_applied;
    let request = |transfer| {
        let mut request = VoteRequest::new(Vote::new(1000, nodes[0].id().0), newest);
        request.leadership_transfer = transfer;
        request
    };
    for pre in [true, false] {
        let voted = Member::vote(&*third.home.group, request(false), pre).await;
        assert!(
            began.elapsed() >= LEASE || voted.is_err(),
            "{voted:?} after {:?}",
            began.elapsed()
        );
    }
    let voted = Member::vote(&*third.home.group, request(true), true).await;
    assert!(voted.is_ok(), "the leader itself wants it");
    nodes.push(third);
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_leader_says_up_to_where_to_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let addresses = [free_address(), free_address(), free_address()];
    let nodes = group(dir.path(), &addresses).await;
    let mut answered = 0;
    for node in &nodes {
        for by_quorum in [true, false] {
            let leads = node.home.group.serves();
            let said = Member::read_index(&*node.home.group, ReadIndex { by_quorum }).await;
            assert_eq!(said.is_ok(), leads, "{said:?}");
            answered += usize::from(said.is_ok());
        }
        node.home
            .group
            .catch_up(false)
            .await
            .expect("every member can catch up");
    }
    assert_eq!(answered, 2, "one node leads");
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_removed_is_not_taken_in_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let addresses = [free_address(), free_address(), free_address()];
    let mut nodes = group(dir.path(), &addresses).await;
    let first = leader(&nodes).await;
    let removed = nodes
        .iter()
        .find(|node| node.id() != first.id())
        .expect("another");
    let wish = Join {
        node: removed.id().0,
        address: removed
            .options()
            .cluster
            .as_ref()
            .expect("several")
            .advertise
            .clone(),
        votes: true,
        format_level: crate::entry::FORMAT_LEVEL,
    };
    // It runs on, and asks to be taken in by itself.
    first
        .home
        .group
        .remove_member(removed.id())
        .await
        .expect("removed");
    first.home.group.take_in(wish.clone()).await.expect_err("it left");
    // Also by another leader, and after restarts from a local snapshot.
    let removed = removed.id();
    assert!(first.home.group.hand_over(None).await, "the other one leads");
    let second = leader(&nodes).await;
    second
        .home
        .group
        .take_in(wish.clone())
        .await
        .expect_err("it left");
    for number in 0..addresses.len() {
        let node = nodes.remove(number);
        if node.id() != removed {
            node.home.group.snapshot().await.expect("a snapshot");
        }
        node.stop().await;
        drop(node);
        nodes.insert(number, start(dir.path(), &addresses, number).await);
    }
    let third = leader(&nodes).await;
    third.home.group.take_in(wish).await.expect_err("it left");
    let metrics = third.home.group.metrics();
    assert!(
        metrics
            .membership_config
            .membership()
            .get_node(&removed.0)
            .is_none()
    );
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_level_is_raised_when_all_members_read_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let addresses = [free_address(), free_address(), free_address()];
    let release = |number: usize, format_level| Options {
        format_level,
        ..options_of(dir.path(), &addresses, number)
    };
    let (old, new) = (5, 6);
    let mut nodes = Vec::new();
    for number in 0..addresses.len() {
        nodes.push(Node::start(release(number, old)).await.expect("starts"));
    }
    for node in &nodes {
        let all_read =
            || node.home.group.readable_format() == old && node.home.group.catalog.format_level() == old;
        wait(node, "the old level", all_read).await;
    }
    for number in 0..addresses.len() {
        assert_eq!(
            nodes[number].home.group.catalog.format_level(),
            old,
            "not all read the new one"
        );
        nodes.remove(number).stop().await;
        nodes.insert(number, Node::start(release(number, new)).await.expect("starts"));
        let now = leader(&nodes).await;
        if number + 1 < addresses.len() {
            now.home
                .group
                .raise_format(new)
                .await
                .expect_err("one does not read it");
        }
    }
    for node in &nodes {
        wait(node, "the new level", || {
            node.home.group.catalog.format_level() == new
        })
        .await;
    }
    // Now there is no way back: not by the log, and not for who comes with an empty disk.
    let first = leader(&nodes).await;
    let newcomer = Join {
        node: 1,
        address: free_address().to_string(),
        votes: true,
        format_level: old,
    };
    let refused = first.home.group.take_in(newcomer).await.expect_err("too old");
    assert!(
        matches!(refused, crate::group::Error::FormatLevel { .. }),
        "{refused}"
    );
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_is_too_old_is_refused() {
    for with_snapshot in [false, true] {
        let dir = tempfile::tempdir().expect("a folder");
        let options = |format_level| Options {
            format_level,
            ..options(dir.path())
        };
        let node = Node::start(options(6)).await.expect("starts");
        wait(&node, "the level", || node.home.group.catalog.format_level() == 6).await;
        // A node whose group still serves takes a snapshot.
        if !with_snapshot {
            node.home.group.stop().await;
        }
        node.stop().await;
        drop(node);
        let refused = Node::start(options(5)).await.expect_err("too old");
        assert!(
            crate::causes::text(&refused).contains("start a newer release"),
            "{refused:?}"
        );
        let node = Node::start(options(6)).await.expect("the newer one starts");
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_level_stays_until_an_operator_raises_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut options = options(dir.path());
    (options.format_level, options.raise_format) = (6, false);
    let node = Node::start(options).await.expect("starts");
    wait(&node, "what it reads is noted", || {
        node.home.group.readable_format() == 6
    })
    .await;
    node.wait_for_secrets().await;
    assert_eq!(node.home.group.catalog.format_level(), 0);
    node.home.group.raise_format(6).await.expect("raised");
    node.home
        .group
        .raise_format(5)
        .await
        .expect("never lower, and no error");
    assert_eq!(node.home.group.catalog.format_level(), 6);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_member_is_sent_no_log_of_pages() {
    let dir = tempfile::tempdir().expect("a folder");
    let addresses = [free_address(), free_address(), free_address()];
    let mut nodes = vec![
        start(dir.path(), &addresses, 0).await,
        start(dir.path(), &addresses, 1).await,
    ];
    let first = Arc::clone(leader(&nodes).await);
    first
        .create(None, "app", Default::default(), None)
        .await
        .expect("created");
    super::tests::run(&first, "app", &["CREATE TABLE t (v BLOB)"]).await;
    for _ in 0..8 {
        super::tests::run(&first, "app", &["INSERT INTO t VALUES (randomblob(500000))"]).await;
    }
    let database = first.home.group.catalog.find("app").expect("there");
    first.home.group.catalog.ask_for_materialization(database.id);
    wait(&first, "all is in the object store", || {
        first.home.group.catalog.overlay_bytes() == 0
    })
    .await;
    // What is not archived stays in the log, and what the log has from its beginning on needs no snapshot.
    wait(&first, "the log's beginning is archived", || {
        first.home.group.archived_below() > 1
    })
    .await;
    let peers = first.peers().expect("several");
    let sent = || {
        let counters = [&peers.counters.entries, &peers.counters.snapshots];
        counters
            .map(|counter| counter.load(std::sync::atomic::Ordering::Relaxed))
            .iter()
            .sum::<u64>()
    };
    let before = sent();
    nodes.push(start(dir.path(), &addresses, 2).await);
    wait(&nodes[2], "it votes", || {
        let metrics = nodes[2].home.group.metrics();
        metrics.membership_config.membership().voter_ids().count() == 3
    })
    .await;
    let catalog = &nodes[2].home.group.catalog;
    wait(&nodes[2], "it has the database", || catalog.find("app").is_some()).await;
    let sent = sent() - before;
    assert!(sent < 1 << 20, "{sent} bytes for 4 MB of pages");
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_makes_no_gap_in_the_archive() {
    let dir = tempfile::tempdir().expect("a folder");
    let addresses = [free_address(), free_address()];
    let with_archive = |number| {
        let mut options = options_of(dir.path(), &addresses, number);
        let archive = options.archive.as_mut().expect("it is on");
        // Nothing is archived while the test looks.
        archive.interval = Duration::from_secs(3600);
        options
    };
    let first = Node::start(with_archive(0)).await.expect("starts");
    first
        .home
        .group
        .wait_until_serving()
        .await
        .expect("it leads alone");
    first
        .create(None, "app", Default::default(), None)
        .await
        .expect("created");
    super::tests::run(&first, "app", &["CREATE TABLE t (v BLOB)"]).await;
    for _ in 0..4 {
        super::tests::run(&first, "app", &["INSERT INTO t VALUES (randomblob(500000))"]).await;
    }
    let lacks = first.home.group.archived_below();
    assert!(lacks < first.home.group.applied_index().0);
    let second = Node::start(with_archive(1)).await.expect("starts");
    wait(&first, "it votes", || {
        let metrics = first.home.group.metrics();
        metrics.membership_config.membership().voter_ids().count() == 2
    })
    .await;
    let purged = first.home.group.metrics().purged.map_or(0, |id| id.index);
    assert!(
        purged < lacks.max(1),
        "{purged} is let go, archived is what is below {lacks}"
    );
    stop(vec![second, first]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_about_to_end_does_not_begin_to_lead() {
    let dir = tempfile::tempdir().expect("a folder");
    let addresses = [free_address(), free_address(), free_address()];
    let nodes = group(dir.path(), &addresses).await;
    let first = leader(&nodes).await.id();
    let (leads, followers): (Vec<_>, Vec<_>) = nodes.into_iter().partition(|node| node.id() == first);
    // As `Server::stop` begins.
    followers[0].hand_over().await;
    stop(leads).await;
    assert_eq!(leader(&followers).await.id(), followers[1].id());
    stop(followers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_over_that_nobody_waits_for_goes_to_its_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let addresses = [free_address(), free_address(), free_address()];
    let nodes = group(dir.path(), &addresses).await;
    let first = Arc::clone(leader(&nodes).await);
    // Every member must have heard of the others' progress, else there is nobody to hand over to.
    first.home.group.catch_up(true).await.expect("it leads");
    // What is under way is waited for, before the other one is told.
    let nothing = crate::entry::SetSigningKey {
        key: Default::default(),
    };
    let mut written = Box::pin(first.home.group.write(crate::entry::Kind::SetSigningKey(nothing)));
    assert!(futures::poll!(written.as_mut()).is_pending(), "a quorum is asked");
    let mut asked = Box::pin(first.home.group.hand_over(None));
    assert!(futures::poll!(asked.as_mut()).is_pending(), "it takes its time");
    // An operator who gave up, or a client that closed its connection.
    drop(asked);
    let others = nodes.iter().filter(|node| node.id() != first.id());
    let serving = others.map(|node| Box::pin(node.home.group.wait_until_serving()));
    let taken = tokio::time::timeout(Duration::from_secs(30), futures::future::select_all(serving)).await;
    assert!(taken.map(drop).is_ok(), "another one leads and serves");
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_voting_trusts_no_lease() {
    let dir = tempfile::tempdir().expect("a folder");
    let addresses = [free_address(), free_address(), free_address()];
    let nodes = group(dir.path(), &addresses).await;
    let first = Arc::clone(leader(&nodes).await);
    // No other change of members is under way, which this one would wait for.
    wait(&first, "the format is raised", || {
        first.home.group.catalog.format_level() == crate::entry::FORMAT_LEVEL
    })
    .await;
    let has_lease = async {
        while !first.home.group.is_current() {
            first.home.group.catch_up(true).await.expect("it leads");
        }
    };
    let began = tokio::time::timeout(Duration::from_secs(30), has_lease).await;
    assert!(began.is_ok(), "members answer, and that is a lease");
    let leaving = tokio::spawn({
        let first = Arc::clone(&first);
        async move { first.home.group.remove_member(first.id()).await }
    });
    // From before its change on, and as long as it still serves.
    let trusts_none = async {
        while first.home.group.is_current() {
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        let mut looks = 0;
        while first.home.group.serves() {
            let trusts = first.home.group.is_current();
            assert!(
                !trusts || !first.home.group.serves(),
                "it asks a quorum for each strong read"
            );
            looks += 1;
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        looks
    };
    let looks = tokio::time::timeout(Duration::from_secs(30), trusts_none).await;
    assert!(looks.expect("it leaves") > 0, "it still served");
    leaving.abort();
    stop(nodes).await;
}
