//! The first read of a database of which nothing is in memory, from an S3 server on the same machine.
//!
//! Databases are filled and materialized, then the server is killed: the next one knows their names from its log, and
//! has none of their pages. That the reads really asked the object store is counted and printed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::{Line, Suite};
use crate::bench::runtime;
use crate::bench::session::Session;

const DATABASES: u32 = 60;
/// A hundred pages of 4 KiB: more than one block of the base.
const ROWS: u32 = 3000;
/// Longer than the materialization of all of them.
const PATIENCE: Duration = Duration::from_secs(120);

/// Reads of cold databases.
pub(super) fn measure(suite: &Suite) -> anyhow::Result<Vec<Line>> {
    let program = suite.options.s3_server.as_deref();
    let program = program.context("no --s3-server: `make bench` builds and names one")?;
    let store = ObjectStore::start(program)?;
    let mut server = suite.server_with(&store.config(), &store.keys())?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut session = Session::new(&server.target);
        for name in names() {
            fill(&mut session, &name).await?;
        }
        anyhow::Ok(())
    })?;
    server.until_metric("orion_overlay_bytes", PATIENCE, |bytes| bytes == 0.0)?;
    server.crash_and_restart()?;
    let asked = server.object_store_requests()?;
    let mut times = runtime.block_on(async {
        let mut session = Session::new(&server.target);
        let mut times = Vec::new();
        for (name, id) in names().zip(1..) {
            let sql = format!("SELECT payload FROM cold WHERE id = {}", id * 37);
            let start = Instant::now();
            session.execute(Some(&name), &sql).await?;
            times.push(start.elapsed());
        }
        anyhow::Ok(times)
    })?;
    let asked = server.object_store_requests()? - asked;
    ensure!(
        asked >= f64::from(DATABASES),
        "only {asked} requests to the object store: nothing was cold"
    );
    times.sort_unstable();
    let ms = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    Ok(vec![Line::new(
        "first read of a cold database on the local S3 server",
        format!(
            "p50 {:.1} ms, p90 {:.1} ms, slowest {:.1} ms; {DATABASES} databases, {:.1} requests each",
            ms(0.5),
            ms(0.9),
            ms(1.0),
            asked / f64::from(DATABASES)
        ),
        "p50 ≤ 50 ms",
        ms(0.5) <= 50.0,
    )])
}

fn names() -> impl Iterator<Item = String> {
    (0..DATABASES).map(|number| format!("bench-cold-{number}"))
}

async fn fill(session: &mut Session, name: &str) -> anyhow::Result<()> {
    session.create_database(name).await?;
    let table = "CREATE TABLE IF NOT EXISTS cold (id INTEGER PRIMARY KEY, payload TEXT NOT NULL)";
    session.execute(Some(name), table).await?;
    let rows = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) \
         INSERT INTO cold (payload) SELECT hex(randomblob(50)) FROM n"
    );
    session.execute(Some(name), &rows).await?;
    Ok(())
}

/// The S3 server's process.
struct ObjectStore {
    process: std::process::Child,
    /// Endpoint, bucket, key, secret.
    words: [String; 4],
}

impl ObjectStore {
    fn start(program: &Path) -> anyhow::Result<ObjectStore> {
        let mut process = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {program:?}"))?;
        let mut line = String::new();
        let read = match process.stdout.take() {
            Some(out) => BufReader::new(out).read_line(&mut line),
            None => Ok(0),
        };
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let (Ok(_), Ok(words)) = (read, <[String; 4]>::try_from(words)) else {
            let _ = process.kill();
            let _ = process.wait();
            anyhow::bail!("{program:?} did not say where it serves");
        };
        Ok(ObjectStore { process, words })
    }

    /// What a server's configuration says about it; everything is materialized at once.
    fn config(&self) -> String {
        let [endpoint, bucket, ..] = &self.words;
        format!(
            "object_store:\n  url: s3://{bucket}/bench\n  endpoint: {endpoint}\n  path_style: true\n  \
             allow_http: true\nmaterialize:\n  flush_bytes: 65536\n  age_seconds: 1\n"
        )
    }

    fn keys(&self) -> [(&'static str, String); 2] {
        let [.., key, secret] = &self.words;
        [
            ("AWS_ACCESS_KEY_ID", key.clone()),
            ("AWS_SECRET_ACCESS_KEY", secret.clone()),
        ]
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
