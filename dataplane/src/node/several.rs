//! Several nodes in one process: what members answer each other.

use super::tests::options;
use super::{Cluster, Node};
use crate::peer::Member;
use crate::peer::wire::ReadIndex;
use crate::raft::{LEASE, Vote};
use openraft::raft::VoteRequest;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address")
}

/// Starts a node of a group whose members listen at `addresses`.
async fn start(dir: &Path, addresses: &[SocketAddr], number: usize) -> Arc<Node> {
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
    Node::start(options).await.expect("starts")
}

/// A group of three that all vote.
async fn group(dir: &Path, addresses: &[SocketAddr]) -> Vec<Arc<Node>> {
    let mut nodes = Vec::new();
    for number in 0..addresses.len() {
        nodes.push(start(dir, addresses, number).await);
    }
    for node in &nodes {
        let all_vote = || {
            let metrics = node.group.metrics();
            metrics.membership_config.membership().voter_ids().count() == addresses.len()
        };
        let voting = node.group.wait_applied(all_vote);
        tokio::time::timeout(Duration::from_secs(30), voting)
            .await
            .expect("all vote");
    }
    nodes
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
    let newest = third.group.metrics().last_applied;
    let request = |transfer| {
        let mut request = VoteRequest::new(Vote::new(1000, nodes[0].id().0), newest);
        request.leadership_transfer = transfer;
        request
    };
    for pre in [true, false] {
        let voted = Member::vote(&*third.group, request(false), pre).await;
        assert!(
            began.elapsed() >= LEASE || voted.is_err(),
            "{voted:?} after {:?}",
            began.elapsed()
        );
    }
    let voted = Member::vote(&*third.group, request(true), true).await;
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
            let leads = node.group.serves();
            let said = Member::read_index(&*node.group, ReadIndex { by_quorum }).await;
            assert_eq!(said.is_ok(), leads, "{said:?}");
            answered += usize::from(said.is_ok());
        }
        node.group
            .catch_up(false)
            .await
            .expect("every member can catch up");
    }
    assert_eq!(answered, 2, "one node leads");
    stop(nodes).await;
}
