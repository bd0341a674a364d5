//! A read of bounded staleness is never older than its bound: what was acknowledged longer ago than that is seen.

use super::{Told, any, ask, at, integer, surely};
use orion_api::client::SqlOptions;
use orion_api::hrana::{ReadPolicy, Statement};
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

pub struct Law {
    urls: Vec<String>,
    /// When each value was acknowledged, the newest last.
    acknowledged: Mutex<VecDeque<(Instant, i64)>>,
    reads: AtomicU64,
}

impl Law {
    pub async fn begin(urls: &[String]) -> Law {
        surely(urls, "CREATE TABLE IF NOT EXISTS bounds (value INTEGER)").await;
        surely(
            urls,
            "INSERT INTO bounds SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM bounds)",
        )
        .await;
        // Within its bound a read may see what was before: on each node that has it, it is there for good.
        for url in urls {
            surely(std::slice::from_ref(url), "SELECT value FROM bounds").await;
        }
        Law {
            urls: urls.to_vec(),
            acknowledged: Mutex::default(),
            reads: AtomicU64::new(0),
        }
    }

    pub async fn run(&self, seed: u64, stop: &CancellationToken) {
        let rng = |n| SmallRng::seed_from_u64(seed ^ n);
        tokio::join!(
            self.write(rng(41), stop),
            self.read(rng(42), stop),
            self.read(rng(43), stop)
        );
    }

    async fn write(&self, mut rng: SmallRng, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let node = any(&self.urls, &mut rng);
            let update = Statement::new("UPDATE bounds SET value = value + 1 RETURNING value");
            if let Told::Done((result, _)) = ask(&node, update, &SqlOptions::default()).await {
                let value = integer(&result.rows[0], 0);
                self.acknowledged.lock().push_back((Instant::now(), value));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn read(&self, mut rng: SmallRng, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let bound = Duration::from_millis(rng.random_range(0..400));
            let node = at(&self.urls[rng.random_range(0..self.urls.len())]);
            let options = SqlOptions {
                read_policy: Some(ReadPolicy::BoundedStaleness),
                max_staleness: Some(bound),
                ..SqlOptions::default()
            };
            let asked = Instant::now();
            let select = Statement::new("SELECT value FROM bounds");
            if let Told::Done((result, _)) = ask(&node, select, &options).await {
                let value = integer(&result.rows[0], 0);
                let least = self.acknowledged_before(asked - bound);
                assert!(
                    value >= least,
                    "{value} was read {bound:?} after {least} was acknowledged"
                );
                self.reads.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn acknowledged_before(&self, time: Instant) -> i64 {
        let acknowledged = self.acknowledged.lock();
        let before = acknowledged.iter().take_while(|(at, _)| *at < time);
        before.map(|(_, value)| *value).max().unwrap_or(0)
    }

    pub fn check(&self) {
        println!("{} reads within a bound", self.reads.load(Ordering::Relaxed));
    }
}
