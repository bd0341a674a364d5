//! Checkpoints stay exact, writers fence each other, and what is given up goes.

use super::*;
use crate::base::{Error, Kind};

#[tokio::test]
async fn a_checkpoint_is_exact_while_newer_ones_are_written_merged_and_collected() {
    let (in_directory, _directory) = directory();
    for store in [Store::memory(), in_directory] {
        let bases = Bases::new(store, options());
        let mut writer = bases.writer(DatabaseId::random(), EPOCH).await.expect("open");
        let mut all = Vec::new();
        for version in 1..=12 {
            let at = materialize(&mut writer, version, 1..=version as u32 * 3).await;
            all.push(at);
        }
        assert!(writer.needs_compaction());
        writer.compact().await.expect("compact");
        assert!(!writer.needs_compaction(), "{} tables", writer.tables());
        let newest = materialize(&mut writer, 13, 1..=5).await;
        let (kept, given_up): (Vec<_>, Vec<_>) = all.into_iter().partition(|at| at.version.0 % 4 == 0);
        for at in &given_up {
            writer.delete_checkpoint(at).await.expect("delete");
            writer.delete_checkpoint(at).await.expect("delete again");
        }
        writer.collect_garbage().await.expect("collect");
        let at_14 = materialize(&mut writer, 14, 2..=3).await;
        for at in kept {
            let version = at.version.0;
            for number in 1..=version as u32 * 3 {
                assert_page(&bases, &at, number, version).await;
            }
            assert_eq!(
                bases.page(&at, no(version as u32 * 3 + 1)).await.expect("read"),
                None
            );
            assert_eq!(bases.header(&at).await.expect("header").version, at.version);
        }
        for (number, version) in [(1, 13), (5, 13), (6, 12), (36, 12)] {
            assert_page(&bases, &newest, number, version).await;
        }
        assert_page(&bases, &at_14, 2, 14).await;
        assert_page(&bases, &at_14, 4, 13).await;
        let gone = bases.page(&given_up[0], no(1)).await.expect_err("given up");
        assert!(matches!(gone, Error::CheckpointGone(_)), "{gone:?}");
        writer.close().await.expect("close");
    }
}

#[tokio::test]
async fn a_second_writer_fences_the_first_and_old_checkpoints_stay_exact() {
    let (in_directory, _directory) = directory();
    for store in [Store::memory(), in_directory] {
        let database = DatabaseId::random();
        let bases = Bases::new(store, options());
        let mut first = bases.writer(database, EPOCH).await.expect("open");
        let old = materialize(&mut first, 1, 1..=10).await;

        let mut second = bases.writer(database, EPOCH).await.expect("open");
        let late = (no(1), Version(2), image(1, 999));
        // A fenced writer may find out here or at the checkpoint, and no later.
        let outcome = match first.put_pages([late]).await {
            Ok(()) => first.checkpoint(Version(2)).await.map(|_| ()),
            refused => refused,
        };
        let error = outcome.expect_err("fenced");
        assert_eq!(error.kind(), Kind::Fenced, "{error:?}");
        let error = first.checkpoint(Version(3)).await.expect_err("spent");
        assert!(matches!(error, Error::Spent | Error::Fenced { .. }), "{error:?}");

        let new = materialize(&mut second, 2, 5..=12).await;
        for number in 1..=10 {
            assert_page(&bases, &old, number, 1).await;
        }
        assert_page(&bases, &new, 1, 1).await;
        assert_page(&bases, &new, 5, 2).await;
        assert_eq!(
            bases.checkpoints(database, EPOCH).await.expect("list"),
            [old, new]
        );
        assert_eq!(second.checkpoints(), [old, new]);
        first.close().await.expect("close fenced");
        second.close().await.expect("close");
    }
}

#[tokio::test]
async fn pages_above_a_shrunk_end_are_gone_and_stay_in_older_checkpoints() {
    let bases = Bases::new(Store::memory(), options());
    let database = DatabaseId::random();
    let mut writer = bases.writer(database, EPOCH).await.expect("open");
    let before = materialize(&mut writer, 1, 1..=300).await;
    writer.delete_pages_above(100, 300).await.expect("delete");
    writer.delete_pages([no(50)]).await.expect("delete");
    let after = materialize(&mut writer, 2, 1..=1).await;
    for number in [50, 101, 300] {
        assert_eq!(
            bases.page(&after, no(number)).await.expect("read"),
            None,
            "page {number}"
        );
        assert_page(&bases, &before, number, 1).await;
    }
    let left = bases.pages(&after, no(40)..=no(200)).await.expect("scan");
    assert_eq!(left.len(), 60);
    writer.compact().await.expect("compact");
    assert_page(&bases, &after, 100, 1).await;
}

#[tokio::test]
async fn what_a_dead_writer_left_is_invisible_and_its_checkpoints_are_listed() {
    let store = Store::memory();
    let database = DatabaseId::random();
    let bases = Bases::new(store.clone(), options());
    let mut dead = bases.writer(database, EPOCH).await.expect("open");
    let known = materialize(&mut dead, 1, 1..=3).await;
    let orphan = materialize(&mut dead, 2, 1..=3).await;
    dead.put_pages([(no(1), Version(3), image(1, 3))])
        .await
        .expect("put");
    drop(dead);

    let mut writer = bases.writer(database, EPOCH).await.expect("open");
    let all = || async { bases.checkpoints(database, EPOCH).await.expect("list") };
    assert_eq!(all().await, [known, orphan]);
    writer.delete_checkpoint(&orphan).await.expect("delete");
    let next = materialize(&mut writer, 4, 2..=2).await;
    assert_eq!(all().await, [known, next]);
    assert_page(&bases, &next, 1, 2).await;
    assert_page(&bases, &known, 1, 1).await;
}

#[tokio::test]
async fn epochs_do_not_see_each_other_and_a_purge_takes_all_of_one_database() {
    let (in_directory, _directory) = directory();
    for store in [Store::memory(), in_directory] {
        let (dropped, kept) = (DatabaseId::random(), DatabaseId::random());
        let bases = Bases::new(store.clone(), options());
        let mut checkpoints = Vec::new();
        for (database, epoch) in [(dropped, 1), (dropped, 2), (kept, 1)] {
            let mut writer = bases.writer(database, Epoch(epoch)).await.expect("open");
            checkpoints.push(materialize(&mut writer, epoch, 1..=2).await);
            writer.close().await.expect("close");
        }
        assert_page(&bases, &checkpoints[0], 1, 1).await;
        assert_page(&bases, &checkpoints[1], 1, 2).await;
        for _ in 0..2 {
            bases.purge(dropped).await.expect("purge");
        }
        let gone = bases.page(&checkpoints[0], no(1)).await.expect_err("purged");
        assert_eq!(gone.kind(), Kind::NotFound, "{gone:?}");
        bases
            .delete_checkpoint(&checkpoints[1])
            .await
            .expect("nothing to delete");
        assert_page(&bases, &checkpoints[2], 2, 1).await;
        let left = store.list(&"db".into()).await.expect("list");
        assert!(
            left.iter().all(|path| path.as_ref().contains(&kept.to_string())),
            "{left:?}"
        );
    }
}
