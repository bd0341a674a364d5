//! All laws at once, on one group, while faults strike.

use crate::ground::Ground;
use crate::groups::{self, SECOND};
use crate::laws::{accounts, at, bounds, lists, retries, sessions};
use crate::nemesis;
use crate::nodes::{Cluster, PATIENCE};
use crate::s3::S3Server;
use crate::seed::seeded;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Faults in one round.
const FAULTS: usize = 6;

/// A small disk: a few segments of the log, their spares, and a local snapshot.
const DISK_MIB: u32 = 96;

#[tokio::test(flavor = "multi_thread")]
async fn the_laws_hold_whatever_happens() {
    let (mut rng, rounds) = seeded(2);
    for round in 0..rounds {
        let seed = rng.random();
        println!("round {round}, seed {seed}");
        run(&mut SmallRng::seed_from_u64(seed)).await;
    }
}

/// A folder or an S3 server; the machine's disk or small ones.
async fn ground(rng: &mut SmallRng) -> Ground {
    let seed = rng.random();
    let (on_s3, on_small_disks) = (rng.random_bool(0.5), rng.random_bool(0.5));
    // In half of the rounds some laws are in a group of their own.
    let of_two = seed % 2 == 0;
    println!("on S3: {on_s3}, on small disks: {on_small_disks}, of two groups: {of_two}");
    let s3 = match on_s3 {
        true => Some(S3Server::start(seed).await.expect("the server")),
        false => None,
    };
    Ground {
        s3,
        disk_mib: on_small_disks.then_some(DISK_MIB),
        more: match of_two {
            true => format!("more_groups: [{SECOND}]\n"),
            false => String::new(),
        },
        ..Ground::default()
    }
}

/// Where clients reach a database of the second group, if there is one; else the default database.
async fn in_second_group(cluster: &Cluster, urls: &[String]) -> Vec<String> {
    if cluster.ground.more.is_empty() {
        return urls.to_vec();
    }
    groups::wait_until_all_vote(cluster).await;
    groups::create(&at(&urls[0]), "second", Some(groups::second())).await;
    urls.iter().map(|url| format!("{url}/second/")).collect()
}

async fn run(rng: &mut SmallRng) {
    let dir = tempfile::tempdir().expect("a folder");
    let ground = ground(rng).await;
    let mut cluster = Cluster::start_on(ground, dir.path(), 3).await;
    let urls: Vec<String> = cluster.nodes.iter().map(|node| node.url.clone()).collect();
    let of_second = in_second_group(&cluster, &urls).await;
    let clock = Instant::now();
    let lists = lists::Law::begin(&urls, clock).await;
    let accounts = accounts::Law::begin(&of_second).await;
    let retries = retries::Law::begin(&of_second).await;
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
    accounts.check(&of_second).await;
    retries.check(&of_second).await;
    sessions.check();
    bounds.check();
    crate::laws::same_everywhere::check(&urls).await;
    crate::laws::same_everywhere::check(&of_second).await;
    crate::archive::check_replay(&cluster, &urls).await;
}
