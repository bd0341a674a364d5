//! Damaged objects: a typed error or the right page, never a wrong one.

use super::*;
use crate::base::Kind;
use object_store::path::Path;
use std::path::PathBuf;

/// Every this many bytes one is flipped, one at a time. Prime to all block and page sizes.
const STEP: usize = 997;

fn files(directory: &std::path::Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("list") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// What each page is at the checkpoint, or that it is an error.
async fn assert_right_or_refused(store: &Store, at: &Checkpoint, pages: u32, what: &str) -> u32 {
    let bases = Bases::new(store.clone(), options());
    let mut refused = 0;
    for number in 1..=pages {
        match bases.page(at, no(number)).await {
            Ok(Some(page)) => assert!(
                page.image == image(number, 2 - u64::from(number > 6)),
                "{what}: wrong page {number}"
            ),
            Ok(None) => panic!("{what}: page {number} is missing without an error"),
            Err(error) => {
                let kind = error.kind();
                assert!(
                    matches!(kind, Kind::Corrupt | Kind::NotFound | Kind::Unavailable),
                    "{what}: {error:?}"
                );
                refused += 1;
            }
        }
    }
    refused
}

#[tokio::test]
async fn a_flipped_byte_in_any_object_is_never_served() {
    let (store, directory) = directory();
    let bases = Bases::new(store.clone(), options());
    let database = DatabaseId::random();
    let mut writer = bases.writer(database, EPOCH).await.expect("open");
    materialize(&mut writer, 1, 1..=12).await;
    let at = materialize(&mut writer, 2, 1..=6).await;
    writer.close().await.expect("close");
    let mut objects = Vec::new();
    files(directory.path(), &mut objects);
    assert!(objects.len() >= 4, "{objects:?}");
    let mut found = 0;
    for object in &objects {
        let intact = std::fs::read(object).expect("read");
        let step = if intact.len() > 4096 { STEP } else { 7 };
        for place in (0..intact.len()).step_by(step) {
            let mut damaged = intact.clone();
            damaged[place] ^= 1 << (place % 8);
            std::fs::write(object, &damaged).expect("write");
            let what = format!("byte {place} of {}", object.display());
            found += assert_right_or_refused(&store, &at, 12, &what).await;
        }
        std::fs::write(object, &intact).expect("write");
    }
    println!("{found} reads refused");
    assert!(found > 50, "only {found} reads noticed anything");
    assert_eq!(assert_right_or_refused(&store, &at, 12, "intact").await, 0);
}

#[tokio::test]
async fn a_missing_table_is_damage_and_not_an_empty_page() {
    let store = Store::memory();
    let bases = Bases::new(store.clone(), options());
    let database = DatabaseId::random();
    let mut writer = bases.writer(database, EPOCH).await.expect("open");
    let at = materialize(&mut writer, 1, 1..=3).await;
    writer.close().await.expect("close");
    let compacted = Path::from(format!("db/{database}/{:020}/compacted", EPOCH.0));
    let tables = store.list(&compacted).await.expect("list");
    store.delete_all(tables).await.expect("delete");
    let error = Bases::new(store, options())
        .page(&at, no(1))
        .await
        .expect_err("missing");
    assert_eq!(error.kind(), Kind::Corrupt, "{error:?}");
}

/// An emptied bucket, a file system that was mounted over it: what the writer has in memory is not all of the base.
#[tokio::test]
async fn a_base_that_is_wiped_under_its_writer_is_not_built_upon() {
    for area in ["", "/manifest"] {
        let store = Store::memory();
        let always = Options {
            seen_for: Duration::ZERO,
            ..options()
        };
        let bases = Bases::new(store.clone(), always);
        let database = DatabaseId::random();
        let mut writer = bases.writer(database, EPOCH).await.expect("open");
        materialize(&mut writer, 1, 1..=12).await;
        let lost = Path::from(format!("db/{database}/{:020}{area}", EPOCH.0));
        let objects = store.list(&lost).await.expect("list");
        assert!(!objects.is_empty(), "{area:?}");
        store.delete_all(objects).await.expect("delete");
        let pages = [(no(3), Version(2), image(3, 2))];
        writer.put_pages(pages).await.expect("it goes to memory");
        let header = header(database, 2, 12);
        writer.put_header(&header).await.expect("it goes to memory");
        let made = writer.checkpoint(Version(2)).await;
        let error = made.expect_err("what was stored before is gone");
        assert_eq!(error.kind(), Kind::Corrupt, "{area:?}: {error:?}");
    }
}
