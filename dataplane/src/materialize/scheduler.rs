//! When which database is materialized, and when a base that is open is closed.
//!
//! Lazy, because each flush of a changed database costs requests: by size, by age, at once where writes wait
//! for room, and the largest first when all overlays together reach the node's limit. A database that did not
//! change costs nothing.

use super::job::{OpenBase, materialize};
use crate::causes;
use crate::group::{self, Group, Groups};
use orion_api::DatabaseId;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// When to materialize.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Bytes of a database's overlay.
    pub(crate) flush_bytes: u64,
    /// Age of its oldest change.
    pub(crate) flush_age: Duration,
    /// Bytes of all overlays at which writes wait; from three quarters of it on the largest go.
    pub(crate) node_bytes: u64,
    /// Materializations at once.
    pub(crate) at_once: usize,
    /// How long a base stays open after its last materialization.
    pub(crate) idle: Duration,
    /// Bases open at once.
    pub(crate) open_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            // A flush costs about four requests whatever its size: 8 MiB make a good object.
            flush_bytes: 8 << 20,
            flush_age: Duration::from_secs(300),
            node_bytes: 256 << 20,
            at_once: 4,
            idle: Duration::from_secs(120),
            open_max: 64,
        }
    }
}

/// Materializes databases of one group while this node leads it.
pub(crate) struct Scheduler {
    group: Arc<Group>,
    /// All of the node: together they have room for `node_bytes`.
    groups: Arc<Groups>,
    options: Options,
    open: HashMap<DatabaseId, OpenBase>,
    retry_after: HashMap<DatabaseId, Instant>,
}

/// Pause after a failed attempt.
const RETRY_AFTER: Duration = Duration::from_secs(2);

impl Scheduler {
    pub(crate) fn new(group: Arc<Group>, groups: Arc<Groups>, options: Options) -> Scheduler {
        Scheduler {
            group,
            groups,
            options,
            open: HashMap::new(),
            retry_after: HashMap::new(),
        }
    }

    /// Runs until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(Duration::from_millis(500));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let group = Arc::clone(&self.group);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
                () = group.catalog.asked_for_materialization() => {}
            }
            if group.serves() {
                let due = self.due();
                self.materialize_all(due).await;
            } else {
                // Whoever leads now has fenced these, or will.
                self.open.clear();
            }
            self.close_idle().await;
        }
    }

    /// Those whose time it is, the most urgent first.
    fn due(&mut self) -> Vec<Arc<group::Database>> {
        let now = Instant::now();
        self.retry_after.retain(|_, at| *at > now);
        let urgent: HashSet<DatabaseId> = self.group.catalog.take_urgent();
        let mut dirty: Vec<(u64, Arc<group::Database>)> = self
            .group
            .catalog
            .dirty()
            .into_iter()
            .filter(|database| !self.retry_after.contains_key(&database.id))
            .map(|database| (database.published.load().overlay_bytes, database))
            .collect();
        dirty.sort_by_key(|(bytes, database)| std::cmp::Reverse((urgent.contains(&database.id), *bytes)));
        let mut node_bytes = self.groups.led_overlay_bytes();
        let options = self.options.clone();
        dirty.retain(|(bytes, database)| {
            let snapshot = database.published.load();
            let is_old = snapshot
                .changed_since
                .is_some_and(|since| since.elapsed() >= options.flush_age);
            let is_over = node_bytes > options.node_bytes / 4 * 3;
            let is_due = is_old || is_over || *bytes >= options.flush_bytes || urgent.contains(&database.id);
            if is_due {
                node_bytes = node_bytes.saturating_sub(*bytes);
            }
            is_due
        });
        dirty.into_iter().map(|(_, database)| database).collect()
    }

    async fn materialize_all(&mut self, databases: Vec<Arc<group::Database>>) {
        let permits = Arc::new(Semaphore::new(self.options.at_once));
        let tasks = TaskTracker::new();
        let (sender, mut results) = tokio::sync::mpsc::unbounded_channel();
        for database in databases {
            let mut open = self.open.remove(&database.id);
            let (group, permits, sender) = (Arc::clone(&self.group), Arc::clone(&permits), sender.clone());
            tasks.spawn(async move {
                let _permit = permits.acquire_owned().await;
                let result = materialize(&group, &database, &mut open).await;
                let _ = sender.send((database.id, open, result));
            });
        }
        drop(sender);
        tasks.close();
        while let Some((id, open, result)) = results.recv().await {
            if let Some(open) = open {
                self.open.insert(id, open);
            }
            if let Err(error) = result {
                tracing::warn!(database = %id, error = causes::text(&error), "a database was not materialized; it will be tried again");
                self.retry_after.insert(id, Instant::now() + RETRY_AFTER);
            }
        }
        tasks.wait().await;
    }

    async fn close_idle(&mut self) {
        let mut by_age: Vec<(Instant, DatabaseId)> =
            self.open.iter().map(|(id, base)| (base.used, *id)).collect();
        by_age.sort();
        let too_many = self.open.len().saturating_sub(self.options.open_max);
        for (i, (used, id)) in by_age.into_iter().enumerate() {
            if i >= too_many && used.elapsed() < self.options.idle {
                return;
            }
            if let Some(base) = self.open.remove(&id)
                && let Err(error) = base.writer.close().await
            {
                tracing::debug!(database = %id, error = causes::text(&error), "a base did not close in order");
            }
        }
    }
}
