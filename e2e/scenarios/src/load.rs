//! Load while something happens: writers whose every request has an idempotency key and is repeated until it is
//! acknowledged, and readers that never repeat. In the end all that was acknowledged must be there, once.

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use orion_api::Value;
use orion_api::client::{Client, SqlOptions};
use orion_api::hrana::Statement;
use std::fmt;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const WRITERS: i64 = 2;
const READERS: i64 = 2;
/// A request of each worker at most so often: what is measured is the pause, not the machine.
const PACE: Duration = Duration::from_millis(50);
/// A write that is not acknowledged by then has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Load that runs.
pub struct Load {
    client: Client,
    stop: CancellationToken,
    workers: JoinSet<Result<Part>>,
}

/// What one worker, or all together, saw.
pub struct Part {
    writes: Histogram<u64>,
    reads: Histogram<u64>,
    /// Attempts that had to be repeated.
    repeated: u64,
    /// Reads that were answered with an error.
    failed_reads: Vec<String>,
}

impl Part {
    fn new() -> Result<Part> {
        Ok(Part {
            writes: Histogram::new(3)?,
            reads: Histogram::new(3)?,
            repeated: 0,
            failed_reads: Vec::new(),
        })
    }

    /// Reads that failed.
    pub fn failed_reads(&self) -> &[String] {
        &self.failed_reads
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |times: &Histogram<u64>| {
            let at = |quantile| times.value_at_quantile(quantile) as f64 / 1000.0;
            let longest = times.max() as f64 / 1000.0;
            let (half, most) = (at(0.5), at(0.99));
            format!(
                "{} in p50 {half:.1} p99 {most:.1} max {longest:.1} ms",
                times.len()
            )
        };
        let (writes, reads) = (line(&self.writes), line(&self.reads));
        let (repeated, failed) = (self.repeated, self.failed_reads.len());
        write!(
            f,
            "writes {writes}, {repeated} repeated; reads {reads}, {failed} failed"
        )
    }
}

impl Load {
    /// Makes the table and begins.
    pub async fn start(client: Client) -> Result<Load> {
        let options = SqlOptions::default();
        for sql in [
            "DROP TABLE IF EXISTS load",
            "CREATE TABLE load (worker INTEGER, number INTEGER)",
        ] {
            client.execute(Statement::new(sql), &options).await?;
        }
        let (stop, mut workers) = (CancellationToken::new(), JoinSet::new());
        for worker in 0..WRITERS {
            workers.spawn(write(client.clone(), worker, stop.clone()));
        }
        for _ in 0..READERS {
            workers.spawn(read(client.clone(), stop.clone()));
        }
        Ok(Load {
            client,
            stop,
            workers,
        })
    }

    /// Ends it, and compares what was acknowledged with what is there.
    pub async fn end(mut self) -> Result<Part> {
        self.stop.cancel();
        let mut all = Part::new()?;
        while let Some(part) = self.workers.join_next().await {
            let part = part??;
            all.writes.add(&part.writes)?;
            all.reads.add(&part.reads)?;
            all.repeated += part.repeated;
            all.failed_reads.extend(part.failed_reads);
        }
        let sql = "SELECT count(*), count(DISTINCT worker * 1000000000 + number) FROM load";
        let result = self
            .client
            .execute(Statement::new(sql), &SqlOptions::default())
            .await?;
        let row = result.rows.first().context("no row")?;
        let acknowledged = Value::Integer(i64::try_from(all.writes.len())?);
        ensure!(
            row.iter().all(|count| *count == acknowledged),
            "{acknowledged:?} writes were acknowledged, and these are there: {row:?}"
        );
        Ok(all)
    }
}

async fn write(client: Client, worker: i64, stop: CancellationToken) -> Result<Part> {
    let mut part = Part::new()?;
    let mut pace = tokio::time::interval(PACE);
    let mut number = 0;
    while !stop.is_cancelled() {
        pace.tick().await;
        let statement = Statement::new("INSERT INTO load VALUES (?, ?)")
            .with_args(vec![Value::Integer(worker), Value::Integer(number)]);
        let options = SqlOptions {
            idempotency_key: Some(uuid::Uuid::new_v4().to_string()),
            ..SqlOptions::default()
        };
        let began = Instant::now();
        while let Err(error) = client.execute(statement.clone(), &options).await {
            ensure!(
                began.elapsed() < PATIENCE,
                "a write was never acknowledged: {error:?}"
            );
            part.repeated += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        part.writes.record(u64::try_from(began.elapsed().as_micros())?)?;
        number += 1;
    }
    Ok(part)
}

async fn read(client: Client, stop: CancellationToken) -> Result<Part> {
    let mut part = Part::new()?;
    let mut pace = tokio::time::interval(PACE);
    while !stop.is_cancelled() {
        pace.tick().await;
        let began = Instant::now();
        let statement = Statement::new("SELECT max(number) FROM load");
        match client.execute(statement, &SqlOptions::default()).await {
            Ok(_) => part.reads.record(u64::try_from(began.elapsed().as_micros())?)?,
            Err(error) => part.failed_reads.push(format!("{error:?}")),
        }
    }
    Ok(part)
}
