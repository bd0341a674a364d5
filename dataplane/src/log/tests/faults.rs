//! Disks that fail: nothing is acknowledged that is not durable.
#![cfg(feature = "failpoints")]

use super::{append, content, entries, open, read, small};
use crate::failpoints::Fault;
use crate::raft::Vote;
use futures::FutureExt;
use openraft::storage::{IOFlushed, RaftLogStorage};
use std::time::{Duration, Instant};

use super::super::Disk;
use super::super::stored::log_id;

/// Waits for a condition that another thread brings about.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "it did not happen: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_failed_fsync_is_reported_and_nothing_is_accepted_after_it() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let disk = open(dir.path());
        let mut log = disk.group("a");
        append(&mut log, entries(1, 0..3, 10)).await.expect("durable");
        let fault = Fault::inject("log::sync_error", "return", dir.path());
        append(&mut log, entries(1, 3..5, 10))
            .await
            .expect_err("the callback says so");
        drop(fault);
        assert!(disk.is_poisoned());
        append(&mut log, entries(1, 5..6, 10)).await.expect_err("refused");
        log.save_vote(&Vote::new(1, 1)).await.expect_err("refused");
        log.purge(log_id(1, 1, 1)).await.expect_err("refused");
        log.truncate_after(Some(log_id(1, 1, 1)))
            .await
            .expect_err("refused");
        append(&mut disk.group("b"), entries(1, 0..1, 10))
            .await
            .expect_err("refused for all groups");
    }
    // What was acknowledged is there; of the entry whose fsync failed nobody knows; nothing later is.
    let disk = open(dir.path());
    let found = read(&mut disk.group("a"), 0..100).await;
    let all = content(&entries(1, 0..5, 10));
    assert!(found == all[..3] || found == all, "{} entries", found.len());
}

#[tokio::test]
async fn a_full_disk_refuses_proposals_and_heals_by_itself() {
    let dir = tempfile::tempdir().expect("a folder");
    let fault = Fault::inject("log::spare", "return", dir.path());
    let disk = open(dir.path());
    let mut log = disk.group("a");
    // Segments are smaller than the reserve, so that the first flush finds too little room.
    append(&mut log, entries(1, 0..1, 10)).await.expect("durable");
    until("it says that it is full", || !disk.is_writable()).await;
    assert!(!log.is_writable());
    append(&mut log, entries(1, 1..2, 10))
        .await
        .expect("what is in flight still fits");
    drop(fault);
    // Nothing is proposed while it is full, so nothing may be needed for it to heal.
    until("it is writable again", || disk.is_writable()).await;
    for i in 2..200 {
        append(&mut log, entries(1, i..i + 1, 1000))
            .await
            .expect("durable");
    }
    assert!(!disk.is_poisoned());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_beyond_the_reserve_waits_for_room_and_is_not_lost() {
    for (point, count) in [("log::spare", 400), ("log::write_full", 3)] {
        let dir = tempfile::tempdir().expect("a folder");
        let disk = open(dir.path());
        let mut log = disk.group("a");
        append(&mut log, entries(1, 0..1, 10)).await.expect("durable");
        let fault = Fault::inject(point, "return", dir.path());
        let mut writing = log.clone();
        let written = tokio::spawn(async move {
            for i in 1..count {
                append(&mut writing, entries(1, i..i + 1, 1000))
                    .await
                    .expect("durable");
            }
        });
        let waits = || {
            disk.core()
                .waits_for_room
                .load(std::sync::atomic::Ordering::Relaxed)
        };
        until("the flusher waits for room", waits).await;
        assert!(!disk.is_writable() && !disk.is_poisoned(), "{point}");
        assert!(
            !written.is_finished(),
            "nothing is acknowledged that is not durable"
        );
        drop(fault);
        written.await.expect("all of it is durable");
        until("it is writable again", || disk.is_writable()).await;
        let expected = content(&entries(1, 1..count, 1000));
        assert_eq!(read(&mut log, 1..1000).await, expected, "{point}");
        drop((log, disk));
        let disk = open(dir.path());
        assert_eq!(
            read(&mut disk.group("a"), 1..1000).await,
            expected,
            "{point}, again"
        );
    }
}

/// Where a whole segment does not fit, writing goes on in a smaller one, and with room again in whole ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_room_for_a_whole_segment_gets_smaller_ones() {
    const MIB: u64 = 1 << 20;
    let dir = tempfile::tempdir().expect("a folder");
    let options = super::Options {
        segment_bytes: 16 * MIB,
        tail_bytes_max: 0,
    };
    let fault = Fault::inject("log::blank_full", "return(6000000)", dir.path());
    let disk = Disk::open(dir.path(), options).expect("opens");
    let mut log = disk.group("a");
    // Ten MiB: the first segment has four, and no larger one can be made.
    for i in 0..10 {
        append(&mut log, entries(1, i..i + 1, MIB as usize))
            .await
            .expect("durable");
        assert!(disk.is_writable(), "a small spare is one too");
    }
    let lengths = || -> Vec<u64> {
        let length = |path: &std::path::PathBuf| std::fs::metadata(path).expect("a segment").len() / MIB;
        super::segments(dir.path()).iter().map(length).collect()
    };
    assert_eq!(lengths(), [4, 4, 4, 4], "three entries each");
    drop(fault);
    for i in 10..30 {
        append(&mut log, entries(1, i..i + 1, MIB as usize))
            .await
            .expect("durable");
    }
    assert!(lengths().ends_with(&[16]), "{:?}", lengths());
    assert_eq!(
        read(&mut log, 0..100).await,
        content(&entries(1, 0..30, MIB as usize))
    );
    // Whole ones are kept for the next use, smaller ones give their room back.
    log.purge(log_id(1, 1, 29)).await.expect("durable");
    until("small segments are removed", || lengths() == [16]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_follower_waits_for_the_leaders_disk() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = open(dir.path());
    let mut log = disk.group("a");
    append(&mut log, entries(1, 0..1, 10)).await.expect("durable");
    log.proposals().store(1, std::sync::atomic::Ordering::Relaxed);
    log.set_replicated(true);
    let held = Fault::inject("log::sync_error", "pause", dir.path());
    let mut appending = log.clone();
    let (sender, flushed) = <crate::raft::Types as openraft::type_config::TypeConfigExt>::oneshot();
    let appended = tokio::spawn(async move {
        appending
            .append(entries(1, 1..2, 10), IOFlushed::signal(sender))
            .await
    });
    until("the append returns while the disk holds", || {
        appended.is_finished()
    })
    .await;
    drop(held);
    appended.await.expect("no panic").expect("queued");
    flushed.await.expect("an answer").expect("durable");
    // Whoever has nothing else to do makes it durable before the append returns, as soon as the flusher is at rest.
    let mut next = 2;
    for (is_replicated, proposals) in [(false, 1), (true, 0)] {
        log.set_replicated(is_replicated);
        log.proposals()
            .store(proposals, std::sync::atomic::Ordering::Relaxed);
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            assert!(Instant::now() < deadline, "never written where it was appended");
            until("the disk is quiet", || log.is_quiet()).await;
            let (sender, flushed) = <crate::raft::Types as openraft::type_config::TypeConfigExt>::oneshot();
            log.append(entries(1, next..next + 1, 10), IOFlushed::signal(sender))
                .await
                .expect("queued");
            next += 1;
            let mut flushed = std::pin::pin!(flushed);
            if let Some(done) = (&mut flushed).now_or_never() {
                done.expect("an answer").expect("durable");
                break;
            }
            flushed.await.expect("an answer").expect("durable");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_does_not_keep_the_log_from_being_closed() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = open(dir.path());
    let mut log = disk.group("a");
    append(&mut log, entries(1, 0..1, 10)).await.expect("durable");
    let fault = Fault::inject("log::write_full", "return", dir.path());
    let mut writing = log.clone();
    let written = tokio::spawn(async move { append(&mut writing, entries(1, 1..2, 10)).await });
    let waits = || {
        disk.core()
            .waits_for_room
            .load(std::sync::atomic::Ordering::Relaxed)
    };
    until("the flusher waits for room", waits).await;
    disk.close();
    written.await.expect("no panic").expect_err("it is told so");
    drop((fault, log, disk));
    let found = read(&mut open(dir.path()).group("a"), 0..10).await;
    assert_eq!(found, content(&entries(1, 0..1, 10)));
}

#[tokio::test]
async fn entries_that_were_truncated_on_their_way_to_the_disk_are_never_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = super::Options {
        tail_bytes_max: 0,
        ..small()
    };
    let disk = Disk::open(dir.path(), options).expect("opens");
    let (mut log, mut other) = (disk.group("a"), disk.group("b"));
    append(&mut log, entries(1, 0..5, 100)).await.expect("durable");
    let held = Fault::inject("log::sync_error", "pause", dir.path());
    log.append(entries(1, 5..9, 100), IOFlushed::noop())
        .await
        .expect("queued");
    // The frame with the four entries is on its way when they are truncated.
    let mut truncating = log.clone();
    let truncated = tokio::spawn(async move { truncating.truncate_after(Some(log_id(1, 1, 4))).await });
    tokio::task::yield_now().await;
    drop(held);
    truncated.await.expect("no panic").expect("durable");
    let held = Fault::inject("log::sync_error", "pause", dir.path());
    let (sender, first) = <crate::raft::Types as openraft::type_config::TypeConfigExt>::oneshot();
    other
        .append(entries(1, 0..1, 10), IOFlushed::signal(sender))
        .await
        .expect("queued");
    log.append(entries(2, 5..6, 100), IOFlushed::noop())
        .await
        .expect("queued");
    let mut expected = entries(1, 0..5, 100);
    expected.extend(entries(2, 5..6, 100));
    drop(held);
    first.await.expect("an answer").expect("durable");
    assert_eq!(read(&mut log, 0..100).await, content(&expected));
}
