//! A tenant that wants everything: in a database of its own, endless queries, sorts that need space, large
//! writes, all at once and again. What others notice of it is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::bench::runtime;
use crate::bench::session::Session;
use crate::bench::target::Target;

const DATABASE: &str = "bench-hostile";

/// What it runs, a connection each.
const STATEMENTS: [&str; 4] = [
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000000) SELECT i FROM n ORDER BY random() LIMIT 1",
    "INSERT INTO big SELECT randomblob(1000000) FROM (VALUES (1), (2), (3), (4), (5), (6), (7), (8))",
    "DELETE FROM big",
];

/// Runs until it is stopped.
pub(super) struct Hostile {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Hostile {
    /// Begins at once.
    pub(super) fn start(target: &Target) -> anyhow::Result<Hostile> {
        let runtime = runtime()?;
        runtime.block_on(async {
            let mut session = Session::new(target);
            session.create_database(DATABASE).await?;
            session
                .execute(Some(DATABASE), "CREATE TABLE IF NOT EXISTS big (b BLOB)")
                .await
        })?;
        let stop = Arc::new(AtomicBool::new(false));
        let threads = STATEMENTS
            .into_iter()
            .map(|sql| {
                let (target, stop) = (target.clone(), stop.clone());
                std::thread::spawn(move || repeat(&target, sql, &stop))
            })
            .collect();
        Ok(Hostile { stop, threads })
    }

    /// Waits for the statements that run: their limits end them.
    pub(super) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let _ = thread.join(); // what it met is not what is measured
        }
    }
}

fn repeat(target: &Target, sql: &str, stop: &AtomicBool) {
    let Ok(runtime) = runtime() else {
        return;
    };
    let mut session = Session::new(target);
    while !stop.load(Ordering::Relaxed) {
        // Refusals are what a hostile tenant is to get.
        let _ = runtime.block_on(session.execute(Some(DATABASE), sql));
    }
}
