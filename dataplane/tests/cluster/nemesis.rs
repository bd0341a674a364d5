//! Faults, one after the other and now and then two at once, as a seed orders them. A majority is left alone most of the time,
//! so that the laws are tested on a group that works.

use crate::links::Rule;
use crate::nodes::Cluster;
use crate::s3::Trouble;
use rand::RngExt;
use rand::rngs::SmallRng;
use std::time::Duration;

/// What can happen to a node, a link or the object store.
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
    /// Packets from and to the node are lost.
    Lose,
    /// SIGTERM, and a start.
    Restart,
    /// Not a byte fits on its disk, where it has one of its own.
    Fill,
    /// Its wall clock is set forward or back, and its machine slept.
    Clocks,
    /// The object store throttles, fails, is slow, breaks connections, or is away, where it is a server.
    Objects,
}

const FAULTS: &[Fault] = &[
    Fault::Kill,
    Fault::Freeze,
    Fault::Isolate,
    Fault::Mute,
    Fault::Deafen,
    Fault::Slow,
    Fault::Lose,
    Fault::Restart,
    Fault::Fill,
    Fault::Clocks,
    Fault::Objects,
];

/// Of so many times two faults strike at once.
const DOUBLE: f64 = 0.25;

/// A wall clock is set by at most so much: less than idempotency keys are kept, which the wall clock decides.
const HOUR_MS: i64 = 3_600_000;

/// One fault or two, how long they last, and their end.
pub async fn strike(cluster: &mut Cluster, rng: &mut SmallRng) {
    let lasts = Duration::from_millis(rng.random_range(50..1500));
    for _ in 0..=usize::from(rng.random_bool(DOUBLE)) {
        begin(cluster, rng, lasts).await;
    }
    tokio::time::sleep(lasts).await;
    end(cluster);
    // Now and then the next fault meets a group that has not recovered.
    let rest = Duration::from_millis(rng.random_range(0..1500));
    tokio::time::sleep(rest).await;
}

async fn begin(cluster: &mut Cluster, rng: &mut SmallRng, lasts: Duration) {
    let fault = FAULTS[rng.random_range(0..FAULTS.len())];
    let any = rng.random_range(0..cluster.nodes.len());
    // Half of the time the one that leads: that is where it hurts.
    let victim = match rng.random_bool(0.5) {
        true => cluster.leader().await.unwrap_or(any),
        false => any,
    };
    println!("{fault:?} of node {victim} for {lasts:?}");
    let others = (0..cluster.nodes.len()).filter(|other| *other != victim);
    let node = &mut cluster.nodes[victim];
    match fault {
        Fault::Kill => node.kill(),
        Fault::Freeze => node.freeze(),
        Fault::Restart => {
            // One that is stopped would not hear it.
            node.wake();
            node.terminate().await;
        }
        Fault::Isolate => cluster.links.isolate(victim),
        Fault::Mute => cluster
            .links
            .change(|rules| others.for_each(|other| rules[victim][other].cut = true)),
        Fault::Deafen => cluster
            .links
            .change(|rules| others.for_each(|other| rules[other][victim].cut = true)),
        Fault::Slow => {
            let delay = Duration::from_millis(rng.random_range(5..200));
            cluster
                .links
                .change(|rules| others.for_each(|other| rules[victim][other].delay = delay));
        }
        Fault::Lose => {
            let lost = rng.random_range(10..300);
            cluster.links.change(|rules| {
                others.for_each(|other| {
                    rules[victim][other] = Rule {
                        lost,
                        ..Rule::default()
                    };
                    rules[other][victim] = Rule {
                        lost,
                        ..Rule::default()
                    };
                });
            });
        }
        Fault::Fill => {
            if !node.place.fill() {
                println!("(it has no disk of its own)");
            }
        }
        Fault::Clocks => {
            let slept_ms = rng.random_range(0..10_000);
            node.place
                .set_clocks(slept_ms, rng.random_range(-HOUR_MS..HOUR_MS));
        }
        Fault::Objects => match &cluster.ground.s3 {
            Some(server) => server.make(trouble(rng)),
            None => println!("(they are in a folder)"),
        },
    }
}

/// A little of everything, or all of one kind. Garbage is not among it: it is an error that somebody must look at.
fn trouble(rng: &mut SmallRng) -> Trouble {
    let mut little = || rng.random_range(0..100);
    let mixed = Trouble {
        throttled: little(),
        failed: little(),
        slow: little(),
        lost_request: little(),
        lost_reply: little(),
        garbage: 0,
    };
    let none = Trouble::default();
    match rng.random_range(0..4) {
        0 => Trouble { failed: 1000, ..none },
        1 => Trouble { slow: 1000, ..none },
        2 => Trouble {
            throttled: 1000,
            ..none
        },
        _ => mixed,
    }
}

/// What was struck works again; clocks stay as they were set.
fn end(cluster: &mut Cluster) {
    cluster.mend();
    for node in &mut cluster.nodes {
        node.wake();
        if !node.is_running() {
            node.start();
        }
    }
}
