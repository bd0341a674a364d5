//! All laws at once, on one group, while faults strike.

use crate::laws::{accounts, bounds, lists, retries, sessions};
use crate::nemesis;
use crate::nodes::{Cluster, PATIENCE};
use crate::seed::seeded;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Faults in one round.
const FAULTS: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn the_laws_hold_whatever_happens() {
    let (mut rng, rounds) = seeded(2);
    for round in 0..rounds {
        let seed = rng.random();
        println!("round {round}, seed {seed}");
        run(&mut SmallRng::seed_from_u64(seed)).await;
    }
}

async fn run(rng: &mut SmallRng) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::start(dir.path(), 3).await;
    let urls: Vec<String> = cluster.nodes.iter().map(|node| node.url.clone()).collect();
    let clock = Instant::now();
    let lists = lists::Law::begin(&urls, clock).await;
    let accounts = accounts::Law::begin(&urls).await;
    let retries = retries::Law::begin(&urls).await;
    let sessions = sessions::Law::begin(&urls).await;
    let bounds = bounds::Law::begin(&urls).await;
    let stop = CancellationToken::new();
    let (seed, faults_seed) = (rng.random(), rng.random());
    let clients = async {
        tokio::join!(
            lists.run(seed, &stop),
            accounts.run(seed, &stop),
            retries.run(seed, &stop),
            sessions.run(seed, &stop),
            bounds.run(seed, &stop),
        );
    };
    let mut faults_rng = SmallRng::seed_from_u64(faults_seed);
    let faults = async {
        for _ in 0..FAULTS {
            nemesis::strike(&mut cluster, &mut faults_rng).await;
        }
        cluster.repair().await;
        // Writes must work again by themselves.
        tokio::time::sleep(Duration::from_millis(500)).await;
        stop.cancel();
    };
    let both = futures::future::join(clients, faults);
    let most = PATIENCE * 4;
    tokio::time::timeout(most, both)
        .await
        .expect("clients and faults end");
    lists.check(&urls).await;
    accounts.check(&urls).await;
    retries.check(&urls).await;
    sessions.check();
    bounds.check();
    crate::laws::same_everywhere::check(&urls).await;
}
