//! Scenarios over a whole base.

mod checkpoints;
mod cost;
mod damage;

use super::{Bases, Checkpoint, Header, Options, Writer};
use crate::page::{Chain, Extent, Image, PageNo, PageSize};
use crate::store::{Config, Store};
use bytes::Bytes;
use orion_api::{DatabaseId, Epoch, Version};
use std::time::Duration;
use tempfile::TempDir;

pub(super) const EPOCH: Epoch = Epoch(1);

pub(super) fn no(number: u32) -> PageNo {
    PageNo::new(number).expect("pages count from 1")
}

/// A page that no compression makes smaller, different for each version.
pub(super) fn image(no: u32, version: u64) -> Image {
    let mut state = u64::from(no) << 32 | version | 1 << 63;
    let words = (0..512).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
    words.flat_map(u64::to_be_bytes).collect::<Vec<_>>().into()
}

pub(super) fn header(database: DatabaseId, version: u64, page_count: u32) -> Header {
    Header {
        database,
        epoch: EPOCH,
        version: Version(version),
        extent: Extent {
            page_count,
            page_size: Some(PageSize::DEFAULT),
        },
        chain: Chain::START.next(&version.to_be_bytes()),
    }
}

/// Options under which nothing is too young to be collected.
pub(super) fn options() -> Options {
    Options {
        garbage_age: Duration::ZERO,
        ..Options::default()
    }
}

/// A store in a directory that goes with the returned handle.
pub(super) fn directory() -> (Store, TempDir) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let url = url::Url::from_directory_path(directory.path()).expect("absolute");
    (
        Store::open(&Config::new(url)).expect("a directory opens"),
        directory,
    )
}

/// One materialization: writes these pages as of `version`, the header, and a checkpoint.
pub(super) async fn materialize(
    writer: &mut Writer,
    version: u64,
    pages: impl Iterator<Item = u32>,
) -> Checkpoint {
    let pages: Vec<u32> = pages.collect();
    let highest = pages.iter().copied().max().unwrap_or(0);
    let images = pages
        .into_iter()
        .map(|number| (no(number), Version(version), image(number, version)));
    writer.put_pages(images).await.expect("put pages");
    let header = header(writer.database(), version, highest);
    writer.put_header(&header).await.expect("put header");
    writer.checkpoint(Version(version)).await.expect("checkpoint")
}

/// Asserts that page `number` at `at` is what `version` wrote.
pub(super) async fn assert_page(bases: &Bases, at: &Checkpoint, number: u32, version: u64) {
    let found = bases.page(at, no(number)).await.expect("read").expect("stored");
    assert_eq!(found.version, Version(version), "version of page {number}");
    assert!(found.image == image(number, version), "image of page {number}");
}

#[tokio::test]
async fn a_base_keeps_pages_records_and_header_in_memory_and_in_a_directory() {
    let (in_directory, _directory) = directory();
    for store in [Store::memory(), in_directory] {
        let database = DatabaseId::random();
        let bases = Bases::new(store.clone(), options());
        let mut writer = bases.writer(database, EPOCH).await.expect("open");
        writer.put_record(b"key", 0, b"reply").await.expect("put record");
        let at = materialize(&mut writer, 5, 1..=20).await;
        writer.close().await.expect("close");

        let bases = Bases::new(store, options());
        for number in 1..=20 {
            assert_page(&bases, &at, number, 5).await;
        }
        assert_eq!(bases.page(&at, no(21)).await.expect("read"), None);
        assert_eq!(bases.header(&at).await.expect("header"), header(database, 5, 20));
        assert_eq!(
            bases.record(&at, b"key").await.expect("read"),
            Some(Bytes::from_static(b"reply"))
        );
        assert_eq!(bases.record(&at, b"other").await.expect("read"), None);
        let range = bases.pages(&at, no(4)..=no(9)).await.expect("scan");
        let numbers: Vec<u32> = range.iter().map(|(no, _)| no.get()).collect();
        assert_eq!(numbers, [4, 5, 6, 7, 8, 9]);
        assert!(range.iter().all(|(no, page)| page.image == image(no.get(), 5)));
    }
}
