//! The databases of this node that are in use.
//!
//! A database that nobody used for a while is let go: its connections are closed, and what is left of it is
//! its entry in the group's catalog.

use super::counters::Counters;
use super::handle::Database;
use super::hints::Hints;
use super::threads::SqlThreads;
use super::{Error, Options};
use crate::group::{self, Group, Groups};
use crate::vfs::Table;
use orion_api::{Code, DatabaseId};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Finds databases by name and keeps those that are in use.
#[derive(Debug)]
pub struct Databases {
    groups: Arc<Groups>,
    threads: Arc<SqlThreads>,
    hints: Arc<Hints>,
    options: Arc<Options>,
    tasks: TaskTracker,
    counters: Arc<Counters>,
    open: Mutex<HashMap<DatabaseId, Arc<Database>>>,
    views: OnceLock<Arc<Database>>,
}

/// Time without a request after which the connections of a database are closed.
const IDLE_AFTER: Duration = Duration::from_secs(60);

/// The same for readers, while the node has nearly as many as it keeps.
const IDLE_READERS_AFTER: Duration = Duration::from_secs(5);

impl Databases {
    /// None open yet.
    pub(crate) fn new(
        groups: Arc<Groups>,
        threads: Arc<SqlThreads>,
        options: Options,
        tasks: TaskTracker,
    ) -> Arc<Databases> {
        Arc::new(Databases {
            groups,
            threads,
            hints: Arc::new(Hints::new()),
            options: Arc::new(options),
            tasks,
            counters: Arc::default(),
            open: Mutex::default(),
            views: OnceLock::new(),
        })
    }

    /// The database with this name.
    pub fn find(&self, name: &str) -> Result<Arc<Database>, Error> {
        let not_found = || {
            let is_in_all = || {
                self.groups
                    .all()
                    .iter()
                    .all(|group| group.catalog.secret().is_known())
            };
            if !is_in_all() {
                let message = "this node is not in its group yet; try another one";
                return Error::new(Code::Unavailable, message);
            }
            let message = format!("there is no database {name:?}; create it with `orion db create {name}`");
            Error::new(Code::DatabaseNotFound, message)
        };
        if let Some(views) = self.views.get().filter(|views| views.name() == name) {
            return Ok(Arc::clone(views));
        }
        let (group, entry) = self.groups.find(name).ok_or_else(not_found)?;
        let mut open = self.open.lock();
        let database = open
            .entry(entry.id)
            .or_insert_with(|| self.database(group, &entry));
        Ok(Arc::clone(database))
    }

    fn database(&self, group: Arc<Group>, entry: &Arc<group::Database>) -> Arc<Database> {
        Database::new(
            Arc::clone(entry),
            (group, Arc::clone(&self.groups)),
            Arc::clone(&self.threads),
            Arc::clone(&self.hints),
            Arc::clone(&self.options),
            self.tasks.clone(),
            Arc::clone(&self.counters),
        )
    }

    /// Makes the database of the views, with these tables. It is in no catalog, so that nothing is ever
    /// proposed, materialized or dropped for it.
    pub(crate) fn set_views(&self, home: &Arc<Group>, tables: Arc<[Table]>) {
        let views = self.database(Arc::clone(home), &Arc::new(group::Database::of_views()));
        views.set_tables(tables);
        // Once, at the start of the node.
        let _ = self.views.set(views);
    }

    /// Whether there is a database with this name.
    pub fn exists(&self, name: &str) -> bool {
        self.views.get().is_some_and(|views| views.name() == name) || self.groups.find(name).is_some()
    }

    /// What all databases count.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Databases that are in use.
    pub fn open_count(&self) -> usize {
        self.open.lock().len()
    }

    /// Lets go of what is idle, until `stop`.
    pub(crate) async fn close_idle(self: Arc<Databases>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(IDLE_READERS_AFTER);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let readers = self.counters.readers.load(Ordering::Relaxed);
            if readers > self.options.readers_node_max / 4 * 3 {
                let open: Vec<Arc<Database>> = self.open.lock().values().map(Arc::clone).collect();
                for database in open {
                    database.close_idle_readers(IDLE_READERS_AFTER);
                }
            }
            let idle: Vec<Arc<Database>> = {
                let mut open = self.open.lock();
                // One reference is the table's: nobody else has the database at hand, and nobody can get it
                // while the table is locked.
                open.extract_if(|_, database| {
                    Arc::strong_count(database) == 1 && database.is_idle(IDLE_AFTER)
                })
                .map(|(_, database)| database)
                .collect()
            };
            for database in idle {
                database.close_connections();
            }
        }
    }
}
