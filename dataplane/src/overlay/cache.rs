//! Page images of all databases of the node, up to a limit in bytes.

use crate::page::{Image, PageNo};
use orion_api::{DatabaseId, Epoch, Version};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::sync::atomic::{AtomicU64, Ordering};

/// One content for ever: the page as the version left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    database: DatabaseId,
    epoch: Epoch,
    version: Version,
    no: PageNo,
}

#[derive(Clone, Debug)]
struct Bytes;

impl Weighter<Key, Image> for Bytes {
    fn weight(&self, _key: &Key, image: &Image) -> u64 {
        // What the entry itself takes, so that tiny pages do not outgrow the limit.
        image.len() as u64 + 128
    }
}

/// The node's page cache.
#[derive(Debug)]
pub(crate) struct PageCache {
    images: Cache<Key, Image, Bytes>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl PageCache {
    /// A cache of at most `bytes_max`.
    pub(crate) fn new(bytes_max: u64) -> PageCache {
        let expected = (bytes_max / 4224).clamp(16, 1 << 20) as usize;
        PageCache {
            images: Cache::with_weighter(expected, bytes_max, Bytes),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The image of a page as `version` left it.
    pub(crate) fn get(&self, of: (DatabaseId, Epoch), no: PageNo, version: Version) -> Option<Image> {
        let found = self.images.get(&Key {
            database: of.0,
            epoch: of.1,
            version,
            no,
        });
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Keeps an image whose checksum was verified.
    pub(crate) fn put(&self, of: (DatabaseId, Epoch), no: PageNo, version: Version, image: Image) {
        self.images.insert(
            Key {
                database: of.0,
                epoch: of.1,
                version,
                no,
            },
            image,
        );
    }

    /// Bytes in it.
    pub(crate) fn bytes(&self) -> u64 {
        self.images.weight()
    }

    /// Look-ups that found the image, and that did not.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (
            self.hits.load(Ordering::Relaxed),
            self.misses.load(Ordering::Relaxed),
        )
    }
}
