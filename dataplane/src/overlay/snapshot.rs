//! One version of one database.

use super::Expiries;
use super::slot::{Content, Prior, Slot};
use crate::base::{Checkpoint, Header};
use crate::entry::CommitBody;
use crate::page::{Chain, Extent, PageNo, PageSize};
use bytes::Bytes;
use imbl::OrdMap;
use orion_api::{DatabaseId, Epoch, Version};
use std::sync::Arc;
use std::time::Instant;

/// Differences in a row after which the leader writes a full image.
///
/// With 16, as designed, the images were two thirds of the log: 776 bytes an inserted row of 100 bytes. With 64 they are
/// a third, and resolving a whole chain costs some 60 µs where nothing of it is cached.
pub(crate) const CHAIN_MAX: u8 = 64;

/// A record that is not in the base yet. An empty value says that it was deleted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredRecord {
    pub(crate) version: Version,
    pub(crate) value: Bytes,
    pub(crate) expires_at_ms: u64,
}

/// An immutable version of a database. Cloning shares the pages.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) database: DatabaseId,
    pub(crate) epoch: Epoch,
    pub(crate) version: Version,
    pub(crate) chain: Chain,
    pub(crate) extent: Extent,
    /// The newest checkpoint of the base; `None` while nothing was materialized.
    pub(crate) checkpoint: Option<Arc<Checkpoint>>,
    /// Pages without a slot are as of this version: the checkpoint's when the database was loaded.
    pub(crate) origin: Version,
    /// Pages above this, without a slot, are zeros.
    pub(crate) base_limit: u32,
    /// Pages in the checkpoint.
    pub(crate) base_page_count: u32,
    /// Versions since the checkpoint that had fewer pages than the one before, with their page counts.
    shrinks: Arc<[(Version, u32)]>,
    slots: OrdMap<u32, Arc<Slot>>,
    records: OrdMap<Bytes, StoredRecord>,
    /// Of all its records, in the overlay and in the base.
    pub(crate) expiries: Expiries,
    /// Bytes of changes and records that are not in the base.
    pub(crate) overlay_bytes: u64,
    /// When the oldest of them was applied here.
    pub(crate) changed_since: Option<Instant>,
}

/// About a millisecond's work to go through.
const LARGE_SLOTS: usize = 2000;

impl Snapshot {
    /// A database that nothing was written to.
    pub(crate) fn empty(database: DatabaseId, epoch: Epoch) -> Snapshot {
        Snapshot {
            database,
            epoch,
            version: Version(0),
            chain: Chain::START,
            extent: Extent::EMPTY,
            checkpoint: None,
            origin: Version(0),
            base_limit: 0,
            base_page_count: 0,
            shrinks: Arc::new([]),
            slots: OrdMap::new(),
            records: OrdMap::new(),
            expiries: Expiries::default(),
            overlay_bytes: 0,
            changed_since: None,
        }
    }

    /// What a checkpoint holds, and nothing else.
    pub(crate) fn at_checkpoint(
        checkpoint: Arc<Checkpoint>,
        header: &Header,
        expiries: Expiries,
    ) -> Snapshot {
        Snapshot {
            version: header.version,
            chain: header.chain,
            extent: header.extent,
            origin: header.version,
            base_limit: header.extent.page_count,
            base_page_count: header.extent.page_count,
            expiries,
            checkpoint: Some(Arc::clone(&checkpoint)),
            ..Snapshot::empty(checkpoint.database, checkpoint.epoch)
        }
    }

    /// The slot of a page, if it changed since the database was loaded.
    pub(crate) fn slot(&self, no: PageNo) -> Option<&Arc<Slot>> {
        self.slots.get(&no.get())
    }

    /// It has so many slots, notes of materialized pages among them, that changing all of them takes many milliseconds.
    pub(crate) fn is_large(&self) -> bool {
        self.slots.len() >= LARGE_SLOTS
    }

    /// All slots, by page number.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (PageNo, &Arc<Slot>)> {
        self.slots
            .iter()
            .filter_map(|(no, slot)| Some((PageNo::new(*no)?, slot)))
    }

    /// Records that are not in the base, by key.
    pub(crate) fn records(&self) -> impl Iterator<Item = (&Bytes, &StoredRecord)> {
        self.records.iter()
    }

    /// A record that is not in the base yet.
    pub(crate) fn record(&self, key: &[u8]) -> Option<&StoredRecord> {
        self.records.get(key)
    }

    /// What a page is before the next change: what a difference would be against.
    pub(crate) fn prior(&self, no: PageNo) -> Prior {
        if no.get() > self.extent.page_count {
            return Prior::Zeros;
        }
        match self.slots.get(&no.get()) {
            Some(slot) if matches!(slot.content, Content::Stored) => Prior::Stored {
                version: slot.version,
            },
            Some(slot) => Prior::Slot(Arc::clone(slot)),
            None if no.get() > self.base_limit => Prior::Zeros,
            None => Prior::Stored { version: self.origin },
        }
    }

    /// The next version. `None` if the commit makes no sense for this database, which its checks rule out.
    pub(crate) fn apply(
        &self,
        body: &CommitBody,
        parts: &[crate::entry::PageChange],
        chain: Chain,
    ) -> Option<Snapshot> {
        let version = self.version.next();
        let page_size = PageSize::new(body.page_size);
        if self.extent.page_size.is_some() && page_size != self.extent.page_size {
            return None;
        }
        let mut next = self.clone();
        next.version = version;
        next.chain = chain;
        next.extent = Extent {
            page_count: body.page_count,
            page_size: page_size.or(self.extent.page_size),
        };
        for change in parts.iter().chain(&body.pages) {
            let no = change.number()?;
            if no.get() > body.page_count {
                return None;
            }
            // The prior is that of the version before, whatever this commit does to the size.
            let slot = Slot::changed(change, version, self.prior(no))?;
            next.overlay_bytes += slot.bytes();
            if matches!(slot.content, Content::Image(_)) {
                // An image ends the chain of what was before.
                let before = self.slots.get(&no.get()).map_or(0, |before| before.chain_bytes());
                next.overlay_bytes = next.overlay_bytes.saturating_sub(before);
            }
            next.slots.insert(no.get(), Arc::new(slot));
        }
        if body.page_count < self.extent.page_count {
            next.cut(body.page_count);
        }
        for record in &body.records {
            next.expiries.add(record.expires_at_ms, 1);
            next.overlay_bytes += (record.key.len() + record.value.len()) as u64;
            let stored = StoredRecord {
                version,
                value: record.value.clone(),
                expires_at_ms: record.expires_at_ms,
            };
            let replaced = next.records.insert(Bytes::copy_from_slice(&record.key), stored);
            let gone = replaced.map_or(0, |before| record.key.len() + before.value.len());
            next.overlay_bytes = next.overlay_bytes.saturating_sub(gone as u64);
        }
        next.changed_since.get_or_insert_with(Instant::now);
        Some(next)
    }

    /// The database becomes `page_count` pages long. What was above is gone for good: if such a page exists
    /// again without having been written, it is zeros.
    fn cut(&mut self, page_count: u32) {
        let (kept, above) = self.slots.split(&page_count);
        let last = self.slots.get(&page_count).cloned();
        self.slots = kept;
        if let Some(last) = last {
            self.slots.insert(page_count, last);
        }
        let gone: u64 = above.values().map(|slot| slot.chain_bytes()).sum();
        self.overlay_bytes = self.overlay_bytes.saturating_sub(gone);
        self.base_limit = self.base_limit.min(page_count);
        self.shrinks = self
            .shrinks
            .iter()
            .copied()
            .chain([(self.version, page_count)])
            .collect();
    }

    /// The same version when everything up to the checkpoint's is in the base, but for the records whose time
    /// was over at `records_expired_ms`.
    pub(crate) fn materialized(
        &self,
        checkpoint: Arc<Checkpoint>,
        page_count: u32,
        records_expired_ms: u64,
    ) -> Snapshot {
        let upto = checkpoint.version;
        let mut next = self.clone();
        next.expiries.forget(records_expired_ms);
        next.shrinks = self
            .shrinks
            .iter()
            .copied()
            .filter(|(version, _)| *version > upto)
            .collect();
        next.base_limit = next
            .shrinks
            .iter()
            .map(|(_, count)| *count)
            .fold(page_count, u32::min);
        next.base_page_count = page_count;
        if self.shrinks.len() > next.shrinks.len() {
            // Pages without a slot that were cut off and exist again are zeros in the base now. The images
            // that they had before are in the page cache under the old origin.
            next.origin = upto;
        }
        next.slots = self
            .slots
            .iter()
            .map(|(no, slot)| (*no, slot.rebased(upto)))
            .collect();
        next.records = self
            .records
            .iter()
            .filter(|(_, record)| record.version > upto)
            .map(|(k, r)| (k.clone(), r.clone()))
            .collect();
        next.checkpoint = Some(checkpoint);
        next.overlay_bytes = next.slots.values().map(|slot| slot.chain_bytes()).sum::<u64>()
            + next
                .records
                .iter()
                .map(|(key, record)| (key.len() + record.value.len()) as u64)
                .sum::<u64>();
        next.changed_since = (next.version > upto).then_some(Instant::now());
        if next.version == upto {
            next.forget_stored();
        }
        next
    }

    /// Lets go of notes about pages that are in the base, where nothing else is in the overlay.
    ///
    /// LIMIT: a note costs about 60 bytes; with more than [`NOTES_MAX`] they go, and with them what the page
    /// cache knows of this database.
    fn forget_stored(&mut self) {
        if self.slots.len() > NOTES_MAX {
            self.slots = OrdMap::new();
            self.origin = self.version;
        }
    }

    /// Puts back what a local snapshot held.
    pub(crate) fn restore(
        mut self,
        shrinks: Vec<(Version, u32)>,
        slots: impl Iterator<Item = (u32, Arc<Slot>)>,
        records: impl Iterator<Item = (Bytes, StoredRecord)>,
        expiries: impl Iterator<Item = (u64, u64)>,
    ) -> Snapshot {
        expiries.for_each(|(time, many)| self.expiries.add(time, many));
        self.shrinks = shrinks.into();
        self.slots = slots.collect();
        self.records = records.collect();
        self.overlay_bytes = self.slots.values().map(|slot| slot.chain_bytes()).sum::<u64>()
            + self
                .records
                .iter()
                .map(|(key, record)| (key.len() + record.value.len()) as u64)
                .sum::<u64>();
        // Not by the bytes: a version that changed nothing must reach the base too.
        let stored = self
            .checkpoint
            .as_ref()
            .map_or(Version(0), |stored| stored.version);
        self.changed_since = (self.version > stored).then(Instant::now);
        self
    }

    /// Versions since the checkpoint that cut pages off.
    pub(crate) fn shrinks(&self) -> &[(Version, u32)] {
        &self.shrinks
    }
}

const NOTES_MAX: usize = 100_000;
