//! A session never goes back: with the token of its last reply a client reads its own writes, and never older
//! data than it has seen, on whichever node.

use super::{Told, any, ask, integer, surely};
use orion_api::Value;
use orion_api::client::SqlOptions;
use orion_api::hrana::{PipelineReply, ReadPolicy, Statement};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio_util::sync::CancellationToken;

const CLIENTS: i64 = 2;

pub struct Law {
    urls: Vec<String>,
    reads: AtomicU64,
}

impl Law {
    pub async fn begin(urls: &[String]) -> Law {
        surely(
            urls,
            "CREATE TABLE IF NOT EXISTS sessions (client INTEGER PRIMARY KEY, value INTEGER)",
        )
        .await;
        for client in 0..CLIENTS {
            surely(
                urls,
                &format!("INSERT OR IGNORE INTO sessions VALUES ({client}, 0)"),
            )
            .await;
        }
        Law {
            urls: urls.to_vec(),
            reads: AtomicU64::new(0),
        }
    }

    pub async fn run(&self, seed: u64, stop: &CancellationToken) {
        let clients = (0..CLIENTS).map(|client| {
            let rng = SmallRng::seed_from_u64(seed ^ (client as u64 + 31));
            self.client(client, rng, stop)
        });
        futures::future::join_all(clients).await;
    }

    /// Only this client changes its row.
    async fn client(&self, client: i64, mut rng: SmallRng, stop: &CancellationToken) {
        // At least this was seen, or acknowledged.
        let mut least = 0;
        let mut next = 1;
        let mut token: Option<String> = None;
        while !stop.is_cancelled() {
            let node = any(&self.urls, &mut rng);
            let options = SqlOptions {
                session_token: token.clone(),
                ..SqlOptions::default()
            };
            if rng.random_bool(0.4) {
                let update = Statement::new("UPDATE sessions SET value = ? WHERE client = ? RETURNING value");
                let update = update.with_args(vec![Value::Integer(next), Value::Integer(client)]);
                next += 1;
                if let Told::Done((_, reply)) = ask(&node, update, &options).await {
                    least = next - 1;
                    token = token_of(&reply).or(token);
                }
            } else {
                let select = Statement::new("SELECT value FROM sessions WHERE client = ?");
                let select = select.with_args(vec![Value::Integer(client)]);
                // Without a token there is no session yet, and a local read may be of any age.
                let options = SqlOptions {
                    read_policy: token.is_none().then_some(ReadPolicy::Strong),
                    ..options
                };
                if let Told::Done((result, reply)) = ask(&node, select, &options).await {
                    let value = integer(&result.rows[0], 0);
                    assert!(value >= least, "client {client} saw {least} and then {value}");
                    least = value;
                    token = token_of(&reply).or(token);
                    self.reads.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    pub fn check(&self) {
        println!("{} reads in sessions", self.reads.load(Ordering::Relaxed));
    }
}

fn token_of(reply: &PipelineReply) -> Option<String> {
    reply.orion.as_ref()?.session_token.clone()
}
