//! All bases of one object store: reading at checkpoints, opening writers, and what must not cost anything while
//! idle.

use super::reader::Reader;
use super::{Checkpoint, Error, Header, StoredPage, Writer};
use crate::page::PageNo;
use crate::store::Store;
use bytes::Bytes;
use object_store::ObjectStore;
use object_store::path::Path;
use orion_api::{DatabaseId, Epoch};
use parking_lot::Mutex;
use slatedb::db_cache::DbCache;
use slatedb::db_cache::moka::{MokaCache, MokaCacheOptions};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// Limits and sizes, with their reasons.
#[derive(Clone, Debug)]
pub struct Options {
    /// Checkpoints kept open for reading. One costs its manifest in memory (tens of KiB) and no task.
    pub open_max: usize,
    /// Bytes of SlateDB's cache of blocks, indexes and filters, shared by all bases. Small: pages are cached by the
    /// node above, and this mostly saves reading the index of a table again.
    pub block_cache_bytes: u64,
    /// Bytes of a new table. A materialization of up to this much is one object.
    pub table_bytes: usize,
    /// Bytes that a writer may hold before they are in the object store.
    pub unflushed_bytes_max: usize,
    /// New tables, not yet merged, from which [`Writer::needs_compaction`] says so. Each may cost a cold read a
    /// request.
    pub tables_max: usize,
    /// Pages that [`Bases::pages`] returns at most.
    pub read_ahead_max: usize,
    /// Bound on opening and on one read.
    pub read_timeout: Duration,
    /// Bound on one flush with its checkpoint, and on changing a manifest.
    pub write_timeout: Duration,
    /// Bound on one compaction.
    pub compaction_timeout: Duration,
    /// Objects younger than this are never collected: they may belong to a writer or compaction that has not
    /// said so yet. It must be longer than one can be stopped and still go on.
    pub garbage_age: Duration,
    /// How long a base that was seen in the object store is taken to be there, by its writer.
    pub seen_for: Duration,
    /// SlateDB's own attempts on top of those of the object store's client.
    pub retries: u32,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            open_max: 256,
            block_cache_bytes: 16 << 20,
            table_bytes: 16 << 20,
            unflushed_bytes_max: 48 << 20,
            tables_max: 8,
            read_ahead_max: 256,
            read_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            compaction_timeout: Duration::from_secs(600),
            garbage_age: Duration::from_secs(900),
            // A busy database is checkpointed every few seconds, a quiet one every five minutes, for five requests.
            seen_for: Duration::from_secs(10),
            retries: 3,
        }
    }
}

/// The bases in one object store. Cheap to clone.
#[derive(Clone)]
pub struct Bases(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) store: Store,
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) options: Options,
    pub(super) cache: Arc<dyn DbCache>,
    readers: Mutex<HashMap<Checkpoint, Slot>>,
}

/// An open checkpoint, or one that is being opened by the first who wanted it.
struct Slot {
    reader: Arc<OnceCell<Reader>>,
    used: Instant,
}

impl Bases {
    /// Opens nothing and sends nothing.
    pub fn new(store: Store, options: Options) -> Bases {
        let cache = MokaCache::new_with_opts(MokaCacheOptions {
            max_capacity: options.block_cache_bytes,
            ..MokaCacheOptions::default()
        });
        Bases(Arc::new(Inner {
            objects: Arc::new(super::sealed::Sealed(store.objects())),
            store,
            options,
            cache: Arc::new(cache),
            readers: Mutex::default(),
        }))
    }

    /// The page `no` as of `at`, or `None` if it was not stored there: it is beyond the end, or was never written
    /// (and is zeros). The header tells which.
    pub async fn page(&self, at: &Checkpoint, no: PageNo) -> Result<Option<StoredPage>, Error> {
        let reader = self.reader(at).await?;
        self.or_gone(at, reader.page(no).await).await
    }

    /// The stored pages of a range as of `at` in one scan, in order, at most [`Options::read_ahead_max`].
    pub async fn pages(
        &self,
        at: &Checkpoint,
        range: RangeInclusive<PageNo>,
    ) -> Result<Vec<(PageNo, StoredPage)>, Error> {
        let reader = self.reader(at).await?;
        let pages = reader.pages(range, self.0.options.read_ahead_max).await;
        self.or_gone(at, pages).await
    }

    /// What `at` holds.
    pub async fn header(&self, at: &Checkpoint) -> Result<Header, Error> {
        let reader = self.reader(at).await?;
        self.or_gone(at, reader.header().await).await
    }

    /// The record `key` as of `at`.
    pub async fn record(&self, at: &Checkpoint, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let reader = self.reader(at).await?;
        self.or_gone(at, reader.record(key).await).await
    }

    /// Opens the base of a database and epoch for writing, and makes it if there is none: which fences every other
    /// writer. The first step of a materialization; what follows it is the design's barrier.
    pub async fn writer(&self, database: DatabaseId, epoch: Epoch) -> Result<Writer, Error> {
        Writer::open(self.clone(), database, epoch).await
    }

    /// Makes the base of `epoch`, which begins with what `at` holds, without copying pages. May be repeated with the same
    /// checkpoint. The base of `at` must stay as long as the new one.
    pub async fn clone_at(&self, at: &Checkpoint, epoch: Epoch) -> Result<(), Error> {
        super::clone::clone_at(self, at, epoch).await
    }

    /// The checkpoints that [`Writer::checkpoint`] made in this base and that nobody gave up, oldest first.
    pub async fn checkpoints(&self, database: DatabaseId, epoch: Epoch) -> Result<Vec<Checkpoint>, Error> {
        super::garbage::checkpoints(self, database, epoch).await
    }

    /// Gives up a checkpoint: its pages go with a later collection. Doing it again is no error. Works beside an open
    /// writer, its own or another node's.
    pub async fn delete_checkpoint(&self, at: &Checkpoint) -> Result<(), Error> {
        self.forget(at);
        super::garbage::delete_checkpoint(self, at).await
    }

    /// Merges tables where that makes reads cheaper, and returns when there is nothing left to merge. What the tables
    /// of checkpoints hold does not change. Beside an open writer use [`Writer::compact`], which also learns of it.
    pub async fn compact(&self, database: DatabaseId, epoch: Epoch) -> Result<(), Error> {
        super::compaction::compact(self, database, epoch).await
    }

    /// Deletes what no checkpoint needs and the head does not use, if it is older than [`Options::garbage_age`].
    pub async fn collect_garbage(&self, database: DatabaseId, epoch: Epoch) -> Result<(), Error> {
        super::garbage::collect(self, database, epoch).await
    }

    /// Deletes everything of a dropped database, the owner chain last. May be repeated after a crash.
    ///
    /// The caller knows that no branch or clone needs its objects.
    pub async fn purge(&self, database: DatabaseId) -> Result<(), Error> {
        self.0.readers.lock().retain(|at, _| at.database != database);
        super::purge::purge(&self.0.store, database).await
    }

    /// Closes the checkpoint for reading, if it is open: after a newer one took its place.
    pub fn forget(&self, at: &Checkpoint) {
        self.0.readers.lock().remove(at);
    }

    /// Closes what nobody has read for `idle`. Reads that are under way end well.
    pub fn close_idle(&self, idle: Duration) {
        let now = Instant::now();
        let mut readers = self.0.readers.lock();
        readers.retain(|_, slot| now.duration_since(slot.used) < idle);
        if readers.capacity() > 4 * readers.len() {
            readers.shrink_to_fit();
        }
    }

    /// Checkpoints that are open for reading.
    pub fn open_readers(&self) -> usize {
        self.0.readers.lock().len()
    }

    /// Where the objects of a base are, below the root.
    pub(super) fn path(database: DatabaseId, epoch: Epoch) -> Path {
        Path::from(format!("db/{database}/{:020}", epoch.0))
    }

    /// SlateDB separates databases in a shared cache by this number. The ids of tables in the keys are random, so an
    /// equal number for two databases would do no harm either.
    pub(super) fn cache_scope(database: DatabaseId, epoch: Epoch) -> u64 {
        xxhash_rust::xxh3::xxh3_64_with_seed(database.as_bytes(), epoch.0)
    }

    async fn reader(&self, at: &Checkpoint) -> Result<Reader, Error> {
        let cell = self.slot(at);
        match cell.get_or_try_init(|| Reader::open(&self.0, at)).await {
            Ok(reader) => Ok(reader.clone()),
            Err(error) => {
                self.forget(at);
                self.or_gone(at, Err(error)).await
            }
        }
    }

    fn slot(&self, at: &Checkpoint) -> Arc<OnceCell<Reader>> {
        let mut readers = self.0.readers.lock();
        if let Some(slot) = readers.get_mut(at) {
            slot.used = Instant::now();
            return slot.reader.clone();
        }
        if readers.len() >= self.0.options.open_max {
            let oldest = readers.iter().min_by_key(|(_, slot)| slot.used);
            if let Some(oldest) = oldest.map(|(at, _)| *at) {
                readers.remove(&oldest);
            }
        }
        let reader = Arc::new(OnceCell::new());
        let slot = Slot {
            reader: reader.clone(),
            used: Instant::now(),
        };
        readers.insert(*at, slot);
        reader
    }

    /// A table that is missing is damage only if its checkpoint still exists: it may have been deleted, and its tables
    /// collected, while a slow reader held on to it.
    async fn or_gone<T>(&self, at: &Checkpoint, outcome: Result<T, Error>) -> Result<T, Error> {
        let Err(error @ (Error::Corrupt { .. } | Error::SlateDb(_))) = outcome else {
            return outcome;
        };
        match super::garbage::checkpoint_exists(self, at).await {
            Ok(false) => {
                self.forget(at);
                Err(Error::CheckpointGone(*at))
            }
            Ok(true) | Err(_) => Err(error),
        }
    }
}

/// Bounds `operation` and sorts SlateDB's error.
pub(super) async fn bounded<T>(
    (database, epoch): (DatabaseId, Epoch),
    what: &'static str,
    after: Duration,
    operation: impl Future<Output = Result<T, slatedb::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(after, operation).await {
        Ok(outcome) => outcome.map_err(|error| Error::of(database, epoch, error)),
        Err(_) => Err(Error::TimedOut { what, after }),
    }
}
