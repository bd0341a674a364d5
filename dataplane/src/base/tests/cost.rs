//! What a base costs in requests: the figures on which the laziness of materialization rests.

use super::*;
use crate::store::{Area, Metrics, Operation};
use object_store::memory::InMemory;
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use std::sync::Arc;

/// Requests by operation since `before`, and that sum.
fn spent(metrics: &Metrics, before: &mut Vec<u64>) -> (u64, Vec<(&'static str, &'static str, u64)>) {
    let pairs = Operation::ALL
        .into_iter()
        .flat_map(|operation| Area::ALL.map(|area| (operation, area)));
    let now: Vec<_> = pairs
        .map(|(operation, area)| (operation, area, metrics.count(operation, area).requests))
        .collect();
    before.resize(now.len(), 0);
    let mut all = Vec::new();
    for ((operation, area, requests), before) in now.into_iter().zip(before.iter_mut()) {
        if requests > *before {
            all.push((operation.name(), area.name(), requests - *before));
        }
        *before = requests;
    }
    (all.iter().map(|(_, _, requests)| requests).sum(), all)
}

fn puts(all: &[(&'static str, &'static str, u64)]) -> u64 {
    all.iter()
        .filter(|(operation, ..)| *operation == "put")
        .map(|(_, _, requests)| requests)
        .sum()
}

#[tokio::test]
async fn a_flush_with_its_checkpoint_costs_at_most_five_requests_two_of_them_puts() {
    // A put that takes time, as all real ones do: SlateDB then writes flush and checkpoint into one manifest.
    let slow = ThrottleConfig {
        wait_put_per_call: Duration::from_millis(20),
        ..ThrottleConfig::default()
    };
    let store = Store::wrap(Arc::new(ThrottledStore::new(InMemory::new(), slow)));
    let bases = Bases::new(store.clone(), options());
    let mut writer = bases.writer(DatabaseId::random(), EPOCH).await.expect("open");
    let mut before = Vec::new();
    let open = spent(store.metrics(), &mut before);
    println!("open new: {open:?}");
    for version in 1..=5 {
        materialize(&mut writer, version, 1..=3).await;
        let (requests, all) = spent(store.metrics(), &mut before);
        println!("flush {version}: {all:?}");
        assert!(requests <= 5, "{all:?}");
        assert!(puts(&all) <= 2, "{all:?}");
    }
    writer.close().await.expect("close");
    println!("close: {:?}", spent(store.metrics(), &mut before));
}

#[tokio::test]
async fn opening_does_not_grow_with_the_number_of_opens_and_leaves_no_log() {
    let store = Store::memory();
    let bases = Bases::new(store.clone(), options());
    let database = DatabaseId::random();
    let mut before = Vec::new();
    let mut costs = Vec::new();
    for version in 1..=30 {
        let mut writer = bases.writer(database, EPOCH).await.expect("open");
        let (requests, all) = spent(store.metrics(), &mut before);
        costs.push(requests);
        materialize(&mut writer, version, 1..=1).await;
        writer.close().await.expect("close");
        spent(store.metrics(), &mut before);
        if version == 30 {
            println!("open existing: {all:?}");
        }
    }
    assert_eq!(costs[1], costs[29], "{costs:?}");
    for operation in Operation::ALL {
        assert_eq!(
            store.metrics().count(operation, Area::Wal).requests,
            0,
            "{operation:?}"
        );
    }
}

#[tokio::test]
async fn an_idle_base_costs_nothing_and_a_cold_read_few_requests() {
    let store = Store::memory();
    let database = DatabaseId::random();
    let bases = Bases::new(store.clone(), options());
    assert_eq!(store.metrics().requests(), 0);
    let mut writer = bases.writer(database, EPOCH).await.expect("open");
    let at = materialize(&mut writer, 1, 1..=100).await;
    writer.close().await.expect("close");

    let bases = Bases::new(store.clone(), options());
    let mut before = Vec::new();
    spent(store.metrics(), &mut before);
    assert_page(&bases, &at, 7, 1).await;
    let (cold, all) = spent(store.metrics(), &mut before);
    println!("first read of a cold checkpoint: {all:?}");
    assert!(cold <= 10, "{all:?}");
    assert_page(&bases, &at, 90, 1).await;
    let (warm, all) = spent(store.metrics(), &mut before);
    println!("a read from an open checkpoint: {all:?}");
    assert!(warm <= 1, "{all:?}");

    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_eq!(tasks, 0, "a reader has no task");
    bases.close_idle(Duration::ZERO);
    assert_eq!(bases.open_readers(), 0);
    assert_eq!(spent(store.metrics(), &mut before).0, 0);
}

#[tokio::test]
async fn a_dropped_writer_leaves_no_task() {
    let bases = Bases::new(Store::memory(), options());
    let database = DatabaseId::random();
    let mut fenced = bases.writer(database, EPOCH).await.expect("open");
    let writer = bases.writer(database, EPOCH).await.expect("open");
    fenced.checkpoint(Version(1)).await.expect_err("fenced");
    drop(fenced);
    drop(writer);
    let runtime = tokio::runtime::Handle::current();
    let gone = async {
        while runtime.metrics().num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(10), gone).await;
    assert!(
        waited.is_ok(),
        "{} tasks are left",
        runtime.metrics().num_alive_tasks()
    );
}

#[tokio::test]
async fn at_most_open_max_checkpoints_are_open() {
    let options = Options {
        open_max: 4,
        ..options()
    };
    let bases = Bases::new(Store::memory(), options);
    let mut writer = bases.writer(DatabaseId::random(), EPOCH).await.expect("open");
    let mut all = Vec::new();
    for version in 1..=10 {
        all.push(materialize(&mut writer, version, 1..=1).await);
    }
    for _ in 0..2 {
        for at in &all {
            assert_page(&bases, at, 1, at.version.0).await;
            assert!(bases.open_readers() <= 4);
        }
    }
}

#[tokio::test]
async fn a_materialization_of_many_tables_ends() {
    let options = Options {
        table_bytes: 1 << 20,
        unflushed_bytes_max: 4 << 20,
        ..options()
    };
    let bases = Bases::new(Store::memory(), options);
    let mut writer = bases.writer(DatabaseId::random(), EPOCH).await.expect("open");
    // 100 MiB: more tables than SlateDB lets stand before it waits for ever.
    let at = materialize(&mut writer, 1, 1..=25_600).await;
    println!("{} tables", writer.tables());
    for number in [1, 12_345, 25_600] {
        assert_page(&bases, &at, number, 1).await;
    }
    writer.compact().await.expect("compact");
    let after = materialize(&mut writer, 2, 7..=7).await;
    assert_page(&bases, &after, 25_600, 1).await;
    assert_page(&bases, &after, 7, 2).await;
}
