//! Faults, one after the other, as a seed orders them. A majority is left alone most of the time, so that the laws are tested
//! on a group that works.

use crate::links::Rule;
use crate::nodes::Cluster;
use rand::RngExt;
use rand::rngs::SmallRng;
use std::time::Duration;

/// What can happen to a node or a link.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// kill -9, and a start a while later.
    Kill,
    /// SIGSTOP, and SIGCONT a while later: longer than a lease.
    Freeze,
    /// No byte to or from the node.
    Isolate,
    /// No byte from the node; it hears the others.
    Mute,
    /// No byte to the node; the others hear it.
    Deafen,
    /// Bytes between two nodes take longer.
    Slow,
    /// SIGTERM, and a start.
    Restart,
}

const FAULTS: &[Fault] = &[
    Fault::Kill,
    Fault::Freeze,
    Fault::Isolate,
    Fault::Mute,
    Fault::Deafen,
    Fault::Slow,
    Fault::Restart,
];

/// One fault, how long it lasts, and its end.
pub async fn strike(cluster: &mut Cluster, rng: &mut SmallRng) {
    let fault = FAULTS[rng.random_range(0..FAULTS.len())];
    let any = rng.random_range(0..cluster.nodes.len());
    // Half of the time the one that leads: that is where it hurts.
    let victim = match rng.random_bool(0.5) {
        true => cluster.leader().await.unwrap_or(any),
        false => any,
    };
    let lasts = Duration::from_millis(rng.random_range(50..1500));
    println!("{fault:?} of node {victim} for {lasts:?}");
    let others = (0..cluster.nodes.len()).filter(|other| *other != victim);
    match fault {
        Fault::Kill => cluster.nodes[victim].kill(),
        Fault::Freeze => cluster.nodes[victim].freeze(),
        Fault::Restart => cluster.nodes[victim].terminate().await,
        Fault::Isolate => cluster.links.isolate(victim),
        Fault::Mute => cluster
            .links
            .change(|rules| others.for_each(|other| rules[victim][other].cut = true)),
        Fault::Deafen => cluster
            .links
            .change(|rules| others.for_each(|other| rules[other][victim].cut = true)),
        Fault::Slow => {
            let slow = Rule {
                delay: Duration::from_millis(rng.random_range(5..200)),
                ..Rule::default()
            };
            cluster
                .links
                .change(|rules| others.for_each(|other| rules[victim][other] = slow));
        }
    }
    tokio::time::sleep(lasts).await;
    cluster.links.heal();
    cluster.nodes[victim].wake();
    if !cluster.nodes[victim].is_running() {
        cluster.nodes[victim].start();
    }
    // Now and then the next fault meets a group that has not recovered.
    let rest = Duration::from_millis(rng.random_range(0..1500));
    tokio::time::sleep(rest).await;
}
