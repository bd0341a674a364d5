//! The writer of one base: the hands of a materialization.
//!
//! Order of use: [`Bases::writer`] (fences), the caller's barrier, pages and deletions, records, the header,
//! [`Writer::checkpoint`]. Writes go to memory and, once they fill a table, to the object store; nobody sees any of it until
//! the checkpoint is made. A writer that failed or timed out is spent: what it wrote may or may not be there, and only a
//! new one, after a new barrier, can tell.
//!
//! LIMIT: a flush of SlateDB waits for ever when there are too many new tables, and so do writes behind it. So before
//! each batch and each flush the tables are counted, and merged first if there is not ample room.

use super::Error;
use super::bases::{Bases, bounded};
use super::checkpoint::{self, Checkpoint};
use super::format::{self, Header};
use super::no_wal::NoWal;
use crate::page::{Image, PageNo};
use bytes::Bytes;
use orion_api::{DatabaseId, Epoch, Version};
use slatedb::config::{
    CheckpointOptions, CheckpointScope, CloseOptions, CompressionCodec, Settings, SstBlockSize,
};
use slatedb::{Db, WriteBatch};
use std::time::{Duration, Instant};

/// SlateDB's limit on new tables, at which it would stop without an error. Far above any count that this module lets
/// come up.
const TABLES_LIMIT: usize = 256;

/// New tables at which a writer merges by itself before it goes on, whatever the caller does.
const TABLES_HIGH: usize = 64;

/// Bytes of values in one batch; a batch is copied as a whole on its way into the memtable.
const BATCH_BYTES: usize = 1 << 20;

/// Expired records that are deleted together.
const EXPIRED_AT_ONCE: usize = 1000;

/// Blocks of this size hold a few pages: neighbours compress better together and come with one request.
pub(super) const BLOCK_SIZE: SstBlockSize = SstBlockSize::Block16Kib;

/// The one writer of a base, until another is opened.
pub struct Writer {
    slate: Db,
    bases: Bases,
    database: DatabaseId,
    epoch: Epoch,
    /// Checkpoints there are: found when opening, or made since. SlateDB's own view lags behind what was made.
    checkpoints: Vec<Checkpoint>,
    /// Number of the manifest that the newest checkpoint holds: it must be in the object store as long as that.
    anchor: Option<u64>,
    /// When the base was last seen there.
    seen: Instant,
    spent: bool,
    closed: bool,
}

impl Writer {
    pub(super) async fn open(bases: Bases, database: DatabaseId, epoch: Epoch) -> Result<Writer, Error> {
        let inner = &bases.0;
        let open = Db::builder(Bases::path(database, epoch), inner.objects.clone())
            .with_settings(settings(&inner.options))
            .with_sst_block_size(BLOCK_SIZE)
            .with_db_cache(inner.cache.clone(), Bases::cache_scope(database, epoch))
            .with_wal_writer(Box::new(NoWal))
            .build();
        let timeout = inner.options.write_timeout;
        let slate = bounded((database, epoch), "opening a writer", timeout, open).await?;
        let manifest = slate.manifest();
        let checkpoints = checkpoint::all_in(&manifest, database, epoch);
        let newest = checkpoints.last().map(|newest| newest.id);
        let anchor = manifest
            .checkpoints()
            .iter()
            .find(|found| Some(found.id) == newest);
        Ok(Writer {
            anchor: anchor.map(|found| found.manifest_id),
            seen: Instant::now(),
            slate,
            checkpoints,
            bases,
            database,
            epoch,
            spent: false,
            closed: false,
        })
    }

    /// Whose base this is.
    pub fn database(&self) -> DatabaseId {
        self.database
    }

    /// The epoch whose base this is.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Writes pages as of the versions that last changed them. The last image of a page wins.
    pub async fn put_pages(
        &mut self,
        pages: impl IntoIterator<Item = (PageNo, Version, Image)>,
    ) -> Result<(), Error> {
        let mut batch = Batch::default();
        for (no, version, image) in pages {
            let value = format::encode_page(self.database, no, version, &image);
            batch.bytes += value.len();
            batch.writes.put_bytes(format::page_key(no.get()), value);
            self.write_if_full(&mut batch).await?;
        }
        self.write(batch).await
    }

    /// Deletes these pages.
    pub async fn delete_pages(&mut self, pages: impl IntoIterator<Item = PageNo>) -> Result<(), Error> {
        let mut batch = Batch::default();
        for no in pages {
            batch.bytes += 64;
            batch.writes.delete(format::page_key(no.get()));
            self.write_if_full(&mut batch).await?;
        }
        self.write(batch).await
    }

    /// Deletes the pages above `page_count` that a database of `old_page_count` pages may have had. Besides, pages
    /// that a shrink in between removed, and that exist again without having been written since, must be deleted with
    /// [`Writer::delete_pages`].
    pub async fn delete_pages_above(&mut self, page_count: u32, old_page_count: u32) -> Result<(), Error> {
        let removed = page_count.saturating_add(1)..=old_page_count;
        self.delete_pages(removed.filter_map(PageNo::new)).await
    }

    /// Writes a record, which expires at `expires_at_ms` (milliseconds since 1970, 0 for never). Its key is at
    /// most 64 KiB less ten bytes.
    pub async fn put_record(&mut self, key: &[u8], expires_at_ms: u64, content: &[u8]) -> Result<(), Error> {
        let mut batch = Batch::default();
        let value = format::encode_record(key, expires_at_ms, content);
        batch.writes.put_bytes(format::record_key(key), value);
        if expires_at_ms > 0 {
            let expiry = format::expiry_key(expires_at_ms, key);
            batch.writes.put(expiry, format::EXPIRY_VALUE);
        }
        self.write(batch).await
    }

    /// Deletes the records whose time was over at `now_ms`. Reads the object store.
    pub async fn delete_expired_records(&mut self, now_ms: u64) -> Result<(), Error> {
        loop {
            let expired = self.expired_records(now_ms).await?;
            if expired.is_empty() {
                return Ok(());
            }
            let mut batch = Batch::default();
            for expiry in expired {
                let key = format::expired_key(&expiry).unwrap_or_default();
                if self.record_expiry(key).await?.is_some_and(|at| at <= now_ms) {
                    batch.writes.delete(format::record_key(key));
                }
                batch.writes.delete(expiry);
            }
            self.write(batch).await?;
        }
    }

    /// Keys of the first expiries that are over.
    async fn expired_records(&mut self, now_ms: u64) -> Result<Vec<Bytes>, Error> {
        let keys = format::expiry_key(0, &[])..format::expiry_key(now_ms.saturating_add(1), &[]);
        let scan = async {
            let mut found = self.slate.scan(keys).await?;
            let mut expired = Vec::new();
            while expired.len() < EXPIRED_AT_ONCE
                && let Some(entry) = found.next().await?
            {
                expired.push(entry.key);
            }
            Ok(expired)
        };
        let scanned = bounded(
            self.base(),
            "looking for expired records",
            self.write_timeout(),
            scan,
        )
        .await;
        self.spend_on_failure(scanned)
    }

    /// When the record that is there now expires: it may be a newer one than its expiry was written for. One
    /// that is damaged is left to whoever reads it.
    async fn record_expiry(&mut self, key: &[u8]) -> Result<Option<u64>, Error> {
        let get = self.slate.get(format::record_key(key));
        let got = bounded(self.base(), "reading a record", self.write_timeout(), get).await;
        let value = self.spend_on_failure(got)?;
        Ok(value
            .and_then(|value| format::decode_record(key, &value).ok())
            .map(|(expires_at_ms, _)| expires_at_ms))
    }

    /// Deletes a record.
    pub async fn delete_record(&mut self, key: &[u8]) -> Result<(), Error> {
        let mut batch = Batch::default();
        batch.writes.delete(format::record_key(key));
        self.write(batch).await
    }

    /// Writes the header: the last thing before [`Writer::checkpoint`].
    pub async fn put_header(&mut self, header: &Header) -> Result<(), Error> {
        let mut batch = Batch::default();
        batch
            .writes
            .put(format::HEADER_KEY, format::encode_header(header));
        self.write(batch).await
    }

    /// Makes everything written so far durable, and a checkpoint `e<epoch>-v<version>` of it that never expires.
    ///
    /// [`Error::Fenced`] if another writer was opened meanwhile: then nothing of this became visible to anybody.
    /// [`Error::Corrupt`] if what the base had before is not in the object store any more.
    ///
    /// INVARIANT: a checkpoint is made only of a base that was seen within `Options::seen_for`. SlateDB knows it from memory,
    /// and into an emptied bucket it would write a manifest that names tables which do not exist; the log would then give up
    /// what it has. Tested by `a_base_that_is_wiped_under_its_writer_is_not_built_upon`. (A table that is missing alone
    /// is found by who reads it.)
    pub async fn checkpoint(&mut self, version: Version) -> Result<Checkpoint, Error> {
        self.make_room(TABLES_HIGH).await?;
        let seen = self.see().await;
        self.spend_on_failure(seen)?;
        let options = CheckpointOptions {
            name: Some(checkpoint::name(self.epoch, version)),
            ..CheckpointOptions::default()
        };
        let create = self.slate.create_checkpoint(CheckpointScope::All, &options);
        let created = bounded(self.base(), "a checkpoint", self.write_timeout(), create).await;
        let created = self.spend_on_failure(created)?;
        self.anchor = Some(created.manifest_id);
        let made = Checkpoint {
            database: self.database,
            epoch: self.epoch,
            version,
            id: created.id,
        };
        self.checkpoints.push(made);
        Ok(made)
    }

    /// Looks for the newest checkpoint's manifest, if nobody did for a while. One request.
    async fn see(&mut self) -> Result<(), Error> {
        let Some(number) = self.anchor else {
            return Ok(());
        };
        if self.seen.elapsed() < self.bases.0.options.seen_for {
            return Ok(());
        }
        match super::garbage::manifest_exists(&self.bases, self.base(), number).await? {
            true => {
                self.seen = Instant::now();
                Ok(())
            }
            false => Err(Error::Corrupt {
                database: self.database,
                epoch: self.epoch,
                what: format!("manifest {number} is gone: the base was deleted while it was in use"),
                source: None,
            }),
        }
    }

    /// The checkpoints of this base, oldest first, except what others gave up since this writer was opened. Asks nobody.
    pub fn checkpoints(&self) -> Vec<Checkpoint> {
        self.checkpoints.clone()
    }

    /// Gives up a checkpoint of this base; see [`Bases::delete_checkpoint`].
    pub async fn delete_checkpoint(&mut self, at: &Checkpoint) -> Result<(), Error> {
        self.bases.delete_checkpoint(at).await?;
        self.checkpoints.retain(|known| known != at);
        Ok(())
    }

    /// Whether there are enough new tables for a merge to pay. Asks nobody.
    pub fn needs_compaction(&self) -> bool {
        self.tables() >= self.bases.0.options.tables_max
    }

    /// New tables that are not merged yet.
    pub fn tables(&self) -> usize {
        self.slate.manifest().l0().len()
    }

    /// Merges tables until nothing is left to merge.
    pub async fn compact(&mut self) -> Result<(), Error> {
        self.bases.compact(self.database, self.epoch).await?;
        let refresh = bounded(
            self.base(),
            "reading the manifest",
            self.write_timeout(),
            self.slate.refresh_manifest(),
        );
        let refreshed = refresh.await;
        self.spend_on_failure(refreshed)
    }

    /// Deletes what nothing needs any more; see [`Bases::collect_garbage`].
    pub async fn collect_garbage(&self) -> Result<(), Error> {
        self.bases.collect_garbage(self.database, self.epoch).await
    }

    /// Ends the writer. What no checkpoint holds is dropped.
    pub async fn close(mut self) -> Result<(), Error> {
        self.closed = true;
        let options = CloseOptions::default().with_flush_type(None);
        let close = self.slate.close_with_options(options);
        match bounded(self.base(), "closing a writer", self.write_timeout(), close).await {
            // A fenced writer has nothing left to lose.
            Err(Error::Fenced { .. }) => Ok(()),
            outcome => outcome,
        }
    }

    async fn write_if_full(&mut self, batch: &mut Batch) -> Result<(), Error> {
        match batch.bytes >= BATCH_BYTES {
            true => self.write(std::mem::take(batch)).await,
            false => Ok(()),
        }
    }

    async fn write(&mut self, batch: Batch) -> Result<(), Error> {
        if batch.writes.is_empty() {
            return Ok(());
        }
        self.make_room(TABLES_HIGH).await?;
        let write = self.slate.write(batch.writes);
        let written = bounded(self.base(), "a write", self.write_timeout(), write).await;
        self.spend_on_failure(written.map(|_| ()))
    }

    /// See LIMIT at the head.
    async fn make_room(&mut self, tables: usize) -> Result<(), Error> {
        if self.spent {
            return Err(Error::Spent);
        }
        match self.tables() >= tables {
            true => self.compact().await,
            false => Ok(()),
        }
    }

    fn spend_on_failure<T>(&mut self, outcome: Result<T, Error>) -> Result<T, Error> {
        self.spent |= outcome.is_err();
        outcome
    }

    fn base(&self) -> (DatabaseId, Epoch) {
        (self.database, self.epoch)
    }

    fn write_timeout(&self) -> Duration {
        self.bases.0.options.write_timeout
    }
}

/// SlateDB's tasks and what it holds in memory outlive its handle unless it is closed, and a writer that failed, or whose
/// materialization was cancelled, is just dropped. Spawned without a supervisor: it ends by itself within the time-out.
impl Drop for Writer {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        let (slate, timeout) = (self.slate.clone(), self.write_timeout());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let options = CloseOptions::default().with_flush_type(None);
                let closed = tokio::time::timeout(timeout, slate.close_with_options(options)).await;
                tracing::debug!(ok = matches!(closed, Ok(Ok(()))), "closed a dropped writer");
            });
        }
    }
}

#[derive(Default)]
struct Batch {
    writes: WriteBatch,
    bytes: usize,
}

/// A SlateDB that does nothing by itself.
fn settings(options: &super::Options) -> Settings {
    Settings {
        flush_interval: None,
        wal_enabled: false,
        manifest_poll_interval: Duration::from_secs(3600),
        manifest_update_timeout: options.write_timeout,
        compactor_options: None,
        garbage_collector_options: None,
        l0_sst_size_bytes: options.table_bytes,
        l0_max_ssts: TABLES_LIMIT,
        l0_max_ssts_per_key: TABLES_LIMIT,
        max_unflushed_bytes: options.unflushed_bytes_max,
        compression_codec: Some(CompressionCodec::Lz4),
        object_store_max_retries: Some(options.retries),
        ..Settings::default()
    }
}
