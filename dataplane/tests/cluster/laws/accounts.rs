//! Transactions are atomic and isolated: money moves between accounts, none is made or lost, and none is spent twice.

use super::{Told, any, ask, integer, refused, surely};
use orion_api::Value;
use orion_api::client::{Client, SqlOptions};
use orion_api::hrana::{Batch, Condition, ReadPolicy, Statement, Step};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const ACCOUNTS: i64 = 5;
const BALANCE: i64 = 100;
const SUM: &str = "SELECT sum(balance), min(balance), count(*) FROM accounts";

pub struct Law {
    urls: Vec<String>,
    transfers: AtomicU64,
    reads: AtomicU64,
}

impl Law {
    pub async fn begin(urls: &[String]) -> Law {
        surely(
            urls,
            "CREATE TABLE IF NOT EXISTS accounts (id INTEGER PRIMARY KEY, balance INTEGER)",
        )
        .await;
        let accounts = format!(
            "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < {ACCOUNTS}) \
             INSERT OR IGNORE INTO accounts SELECT id, {BALANCE} FROM n"
        );
        surely(urls, &accounts).await;
        Law {
            urls: urls.to_vec(),
            transfers: AtomicU64::new(0),
            reads: AtomicU64::new(0),
        }
    }

    pub async fn run(&self, seed: u64, stop: &CancellationToken) {
        let rng = |n| SmallRng::seed_from_u64(seed ^ n);
        tokio::join!(
            self.transfer(rng(11), stop),
            self.transfer(rng(12), stop),
            self.audit(rng(13), stop)
        );
    }

    async fn transfer(&self, mut rng: SmallRng, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let from = rng.random_range(1..=ACCOUNTS);
            let to = rng.random_range(1..=ACCOUNTS);
            let amount = rng.random_range(1..=BALANCE);
            let node = any(&self.urls, &mut rng);
            if let Told::Done(true) = transfer(&node, from, to, amount).await {
                self.transfers.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Sums on any node under any policy: how old they may be differs, what they show does not.
    async fn audit(&self, mut rng: SmallRng, stop: &CancellationToken) {
        let policies = [ReadPolicy::Strong, ReadPolicy::Local, ReadPolicy::RevocationSafe];
        while !stop.is_cancelled() {
            let options = SqlOptions {
                read_policy: Some(policies[rng.random_range(0..policies.len())]),
                ..SqlOptions::default()
            };
            let node = any(&self.urls, &mut rng);
            if let Told::Done((result, _)) = ask(&node, Statement::new(SUM), &options).await {
                holds(&result.rows[0]);
                self.reads.fetch_add(1, Ordering::Relaxed);
            }
            // Locally a read takes microseconds: leave the machine to the others.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub async fn check(&self, urls: &[String]) {
        holds(&surely(urls, SUM).await.rows[0]);
        let check = surely(urls, "PRAGMA integrity_check").await;
        assert_eq!(check.rows, [[Value::Text("ok".into())]]);
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        println!(
            "{} transfers, {} sums",
            count(&self.transfers),
            count(&self.reads)
        );
    }
}

fn holds(row: &[Value]) {
    assert_eq!(integer(row, 2), ACCOUNTS, "accounts");
    assert_eq!(integer(row, 0), ACCOUNTS * BALANCE, "money in all");
    assert!(integer(row, 1) >= 0, "an account is overdrawn");
}

/// One transaction; true if money moved.
async fn transfer(node: &Client, from: i64, to: i64, amount: i64) -> Told<bool> {
    let with = |sql: &str, args: &[i64]| {
        Statement::new(sql).with_args(args.iter().map(|value| Value::Integer(*value)).collect())
    };
    let take = "UPDATE accounts SET balance = balance - ?1 WHERE id = ?2 AND balance >= ?1 RETURNING id";
    let give = "UPDATE accounts SET balance = balance + ?1 WHERE id = ?2 AND changes() > 0";
    let statements = [
        Statement::new("BEGIN IMMEDIATE"),
        with(take, &[amount, from]),
        // `changes()` is that of the statement before: nothing is given that was not taken.
        with(give, &[amount, to]),
        Statement::new("COMMIT"),
    ];
    let steps = statements.into_iter().enumerate().map(|(at, stmt)| Step {
        condition: (at > 0).then(|| Condition::Ok(at as u32 - 1)),
        stmt,
    });
    let batch = Batch {
        steps: steps.collect(),
    };
    let options = SqlOptions::default();
    match tokio::time::timeout(super::ANSWER, node.batch(batch, &options)).await {
        Err(_) => Told::Unknown("no answer in time".into()),
        Ok(Err(error)) => refused(&error),
        Ok(Ok(result)) => {
            let error = result.step_errors.iter().flatten().next();
            assert!(error.is_none(), "a transfer failed: {error:?}");
            Told::Done(
                result.step_results[1]
                    .as_ref()
                    .is_some_and(|taken| !taken.rows.is_empty()),
            )
        }
    }
}
