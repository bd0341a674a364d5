//! A request under an idempotency key is applied exactly once, however often and wherever it is sent again.

use super::{Told, any, ask, integer, surely};
use orion_api::Value;
use orion_api::client::SqlOptions;
use orion_api::hrana::{PipelineReply, Statement, StatementResult};
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const CLIENTS: u64 = 2;

pub struct Law {
    urls: Vec<String>,
    next: AtomicI64,
    /// Number of a request, and the row id that each of its answers gave.
    answered: Mutex<BTreeMap<i64, i64>>,
    begun: AtomicI64,
}

impl Law {
    pub async fn begin(urls: &[String]) -> Law {
        surely(
            urls,
            "CREATE TABLE IF NOT EXISTS retries (id INTEGER PRIMARY KEY, number INTEGER)",
        )
        .await;
        Law {
            urls: urls.to_vec(),
            next: AtomicI64::new(0),
            answered: Mutex::default(),
            begun: AtomicI64::new(0),
        }
    }

    pub async fn run(&self, seed: u64, stop: &CancellationToken) {
        let clients =
            (0..CLIENTS).map(|client| self.client(SmallRng::seed_from_u64(seed ^ (client + 21)), stop));
        futures::future::join_all(clients).await;
    }

    async fn client(&self, mut rng: SmallRng, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let until = Instant::now() + crate::nodes::PATIENCE;
            // Also past `stop`: what was begun is brought to its end.
            loop {
                let told = ask(&any(&self.urls, &mut rng), insert(number), &keyed(number)).await;
                if let Told::Done((result, _)) = told {
                    self.answered.lock().insert(number, integer(&result.rows[0], 0));
                    break;
                }
                assert!(Instant::now() < until, "request {number} is never answered");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            self.begun.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub async fn check(&self, urls: &[String]) {
        let rows = surely(urls, "SELECT number, id FROM retries ORDER BY number, id")
            .await
            .rows;
        let found: Vec<(i64, i64)> = rows
            .iter()
            .map(|row| (integer(row, 0), integer(row, 1)))
            .collect();
        let answered: Vec<(i64, i64)> = self.answered.lock().clone().into_iter().collect();
        assert_eq!(
            found, answered,
            "each request once, in the row that its answer gave"
        );
        println!("{} keyed requests", found.len());
        // And once more, to each node.
        for (number, id) in answered.iter().rev().take(5) {
            for url in urls {
                let (result, reply) = again(url, *number).await;
                assert_eq!(integer(&result.rows[0], 0), *id);
                let reused = reply
                    .orion
                    .and_then(|orion| orion.idempotency)
                    .map(|key| key.reused);
                assert_eq!(reused, Some(true));
            }
        }
    }
}

/// Sent until it is answered: on a machine that has more to do, an election may come in between.
async fn again(url: &str, number: i64) -> (StatementResult, PipelineReply) {
    let until = Instant::now() + crate::nodes::PATIENCE;
    loop {
        let told = ask(&super::at(url), insert(number), &keyed(number)).await;
        if let Told::Done(answer) = told {
            return answer;
        }
        assert!(
            Instant::now() < until,
            "request {number} is never answered: {told:?}"
        );
    }
}

fn insert(number: i64) -> Statement {
    let insert = Statement::new("INSERT INTO retries (number) VALUES (?) RETURNING id");
    insert.with_args(vec![Value::Integer(number)])
}

fn keyed(number: i64) -> SqlOptions {
    SqlOptions {
        idempotency_key: Some(format!("retry-{number}")),
        ..SqlOptions::default()
    }
}
