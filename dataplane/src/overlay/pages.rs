//! Getting the image of a page of a snapshot: cache, overlay, base.

use super::cache::PageCache;
use super::slot::{Content, Prior, Slot};
use super::snapshot::Snapshot;
use crate::base::{self, Bases};
use crate::causes;
use crate::page::{self, Delta, Extent, Image, PageNo, checksum};
use crate::vfs::{ReadError, View};
use bytes::{Bytes, BytesMut};
use orion_api::Version;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// What reading a page needs besides the snapshot; one for the node.
pub(crate) struct Pages {
    pub(crate) cache: PageCache,
    pub(crate) bases: Arc<Bases>,
    runtime: Handle,
    /// How long a read waits for the object store.
    base_timeout: Duration,
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pages")
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

impl Pages {
    pub(crate) fn new(cache: PageCache, bases: Arc<Bases>, runtime: Handle, base_timeout: Duration) -> Pages {
        Pages {
            cache,
            bases,
            runtime,
            base_timeout,
        }
    }

    /// The image of a page of `snapshot`, zeros where it was never written. On SQL threads only.
    pub(crate) fn page(&self, snapshot: &Snapshot, no: PageNo) -> Result<Image, ReadError> {
        match snapshot.slot(no) {
            Some(slot) => self.slot_image(snapshot, no, slot),
            None if no.get() > snapshot.base_limit => Ok(zeros(snapshot)),
            None => self.stored(snapshot, no, snapshot.origin),
        }
    }

    /// The image if it is in memory; never waits.
    pub(crate) fn in_memory(&self, snapshot: &Snapshot, no: PageNo) -> Option<Image> {
        let of = (snapshot.database, snapshot.epoch);
        match snapshot.slot(no) {
            Some(slot) => match &slot.content {
                Content::Image(image) => Some(image.clone()),
                Content::Delta { .. } | Content::Stored => self.cache.get(of, no, slot.version),
            },
            None if no.get() > snapshot.extent.page_count.min(snapshot.base_limit) => Some(zeros(snapshot)),
            None => self.cache.get(of, no, snapshot.origin),
        }
    }

    /// The image, as far as `patience` goes.
    pub(crate) fn read(
        &self,
        snapshot: &Snapshot,
        no: PageNo,
        patience: Patience,
    ) -> Result<Image, ReadError> {
        match patience {
            Patience::ForBase => self.page(snapshot, no),
            Patience::None => self
                .in_memory(snapshot, no)
                .ok_or(ReadError::WouldWait { page: no }),
        }
    }

    fn slot_image(&self, snapshot: &Snapshot, no: PageNo, slot: &Slot) -> Result<Image, ReadError> {
        let of = (snapshot.database, snapshot.epoch);
        let (delta, prior) = match &slot.content {
            Content::Image(image) => return Ok(image.clone()),
            Content::Stored => return self.stored(snapshot, no, slot.version),
            Content::Delta { delta, prior } => (delta, prior),
        };
        if let Some(image) = self.cache.get(of, no, slot.version) {
            return Ok(image);
        }
        let before = match prior {
            Prior::Zeros => zeros(snapshot),
            Prior::Stored { version } => self.stored(snapshot, no, *version)?,
            Prior::Slot(below) => self.slot_image(snapshot, no, below)?,
        };
        let mut image = BytesMut::from(&before[..]);
        let applied = Delta(delta).apply(&mut image);
        let sum = checksum(snapshot.database, no, &image);
        if applied.is_err() || slot.checksum.is_some_and(|expected| expected != sum) {
            return Err(corrupt(
                no,
                format!(
                    "the change of version {} does not lead to its checksum",
                    slot.version
                ),
            ));
        }
        let image = image.freeze();
        self.cache.put(of, no, slot.version, image.clone());
        Ok(image)
    }

    /// The page from the checkpoint of the snapshot, where it is as `version` left it.
    fn stored(&self, snapshot: &Snapshot, no: PageNo, version: Version) -> Result<Image, ReadError> {
        let of = (snapshot.database, snapshot.epoch);
        if let Some(image) = self.cache.get(of, no, version) {
            return Ok(image);
        }
        let Some(checkpoint) = &snapshot.checkpoint else {
            return Ok(zeros(snapshot));
        };
        let page = self.block_on(no, self.bases.page(checkpoint, no))?;
        let image = match page {
            Some(page) if page.image.len() == zeros_len(snapshot) => page.image,
            Some(page) => {
                return Err(corrupt(
                    no,
                    format!("{} bytes in the object store", page.image.len()),
                ));
            }
            None => zeros(snapshot),
        };
        self.cache.put(of, no, version, image.clone());
        Ok(image)
    }

    /// The value of a record: not empty, not deleted. On SQL threads only.
    pub(crate) fn record(&self, snapshot: &Snapshot, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        if let Some(record) = snapshot.record(key) {
            return Ok((!record.value.is_empty()).then(|| record.value.clone()));
        }
        match &snapshot.checkpoint {
            Some(checkpoint) => self.block_on(PageNo::FIRST, self.bases.record(checkpoint, key)),
            None => Ok(None),
        }
    }

    fn block_on<T>(
        &self,
        page: PageNo,
        read: impl Future<Output = Result<T, base::Error>>,
    ) -> Result<T, ReadError> {
        let timeout = self.base_timeout;
        // The timer is made inside, because it needs the runtime's context, which `block_on` gives.
        match self
            .runtime
            .block_on(async { tokio::time::timeout(timeout, read).await })
        {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) if error.kind() == base::Kind::Corrupt => Err(corrupt(page, causes::text(&error))),
            Ok(Err(error)) => Err(ReadError::Unavailable {
                page,
                detail: causes::text(&error),
            }),
            Err(_) => {
                let detail = format!("the object store did not answer within {:?}", self.base_timeout);
                Err(ReadError::Unavailable { page, detail })
            }
        }
    }
}

fn corrupt(page: PageNo, detail: String) -> ReadError {
    ReadError::Corrupt { page, detail }
}

fn zeros_len(snapshot: &Snapshot) -> usize {
    snapshot.extent.page_size.map_or(0, |size| size.len())
}

fn zeros(snapshot: &Snapshot) -> Image {
    page::zeros(zeros_len(snapshot))
}

/// A snapshot as SQLite's readers see it.
#[derive(Debug)]
pub(crate) struct SnapshotView {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) pages: Arc<Pages>,
    pub(crate) patience: Patience,
}

/// Whether a read may wait for the object store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// No: the thread serves connections.
    None,
    /// On SQL threads.
    ForBase,
}

impl View for SnapshotView {
    fn extent(&self) -> Extent {
        self.snapshot.extent
    }

    fn page(&self, no: PageNo) -> Result<Image, ReadError> {
        self.pages.read(&self.snapshot, no, self.patience)
    }
}
