//! What the log promises, through openraft's storage trait and through damage to its files.

mod damage;
mod faults;
mod model;

use super::stored::log_id;
use super::{Disk, GroupLog, Options};
use crate::entry::{Kind, Proposal, Purged};
use crate::raft::{Entry, LogId, Types, Vote};
use bytes::Bytes;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft::{EntryPayload, RaftLogReader};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Segments and tails so small that rolling and reading from disk happen all the time.
fn small() -> Options {
    Options {
        segment_bytes: 64 << 10,
        tail_bytes_max: 4 << 10,
    }
}

fn open(dir: &Path) -> Disk {
    Disk::open(dir, small()).expect("the log opens")
}

/// An entry whose payload is `len` bytes that depend on term and index.
fn entry(term: u64, index: u64, len: usize) -> Entry {
    let payload = Purged {
        database: Bytes::from(vec![(term * 31 + index) as u8; len]),
        purged_at_ms: index,
    };
    Entry::new(
        log_id(term, 1, index),
        EntryPayload::Normal(Proposal::new(Kind::Purged(payload))),
    )
}

fn entries(term: u64, range: Range<u64>, len: usize) -> Vec<Entry> {
    range.map(|index| entry(term, index, len)).collect()
}

/// What is compared: id and encoding.
fn content(entries: &[Entry]) -> Vec<(LogId, Bytes)> {
    let encoded = |entry: &Entry| match &entry.payload {
        EntryPayload::Normal(proposal) => proposal.encoded.clone(),
        EntryPayload::Blank | EntryPayload::Membership(_) => Bytes::new(),
    };
    entries
        .iter()
        .map(|entry| (entry.log_id(), encoded(entry)))
        .collect()
}

/// Appends, and waits until it is durable.
async fn append(log: &mut GroupLog, entries: Vec<Entry>) -> io::Result<()> {
    let (sender, flushed) = Types::oneshot();
    log.append(entries, IOFlushed::signal(sender)).await?;
    flushed
        .await
        .map_err(|_| io::Error::other("the callback was dropped"))?
}

async fn read(log: &mut GroupLog, range: Range<u64>) -> Vec<(LogId, Bytes)> {
    content(&log.try_get_log_entries(range).await.expect("it reads"))
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir).expect("a folder");
    let mut paths: Vec<PathBuf> = files
        .map(|file| file.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    paths.sort();
    paths
}

#[tokio::test]
async fn what_was_appended_is_read_back_before_and_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let expected = content(&entries(1, 0..500, 300));
    {
        let disk = open(dir.path());
        let mut log = disk.group("a");
        for start in (0..500).step_by(10) {
            append(&mut log, entries(1, start..start + 10, 300))
                .await
                .expect("durable");
        }
        assert_eq!(read(&mut log, 0..u64::MAX).await, expected);
        assert_eq!(read(&mut log, 37..41).await, expected[37..41]);
        assert_eq!(read(&mut log, 499..600).await, expected[499..]);
        assert_eq!(read(&mut log, 500..600).await, []);
    }
    assert!(segments(dir.path()).len() > 2, "it rolled");
    let disk = open(dir.path());
    let mut log = disk.group("a");
    assert_eq!(read(&mut log, 0..u64::MAX).await, expected);
    let state = log.get_log_state().await.expect("a state");
    assert_eq!(state.last_log_id, Some(log_id(1, 1, 499)));
    assert_eq!(state.last_purged_log_id, None);
}

#[tokio::test]
async fn vote_committed_and_purged_survive_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let vote = Vote::new_committed(7, 42);
    {
        let disk = open(dir.path());
        let mut log = disk.group("a");
        append(&mut log, entries(1, 0..20, 10)).await.expect("durable");
        log.save_vote(&vote).await.expect("durable");
        log.save_committed(Some(log_id(1, 1, 9))).await.expect("noted");
        append(&mut log, entries(1, 20..21, 10)).await.expect("durable");
        log.purge(log_id(1, 1, 5)).await.expect("durable");
    }
    let disk = open(dir.path());
    let mut log = disk.group("a");
    assert_eq!(log.read_vote().await.expect("a vote"), Some(vote));
    assert_eq!(
        log.read_committed().await.expect("committed"),
        Some(log_id(1, 1, 9))
    );
    let state = log.get_log_state().await.expect("a state");
    assert_eq!(state.last_purged_log_id, Some(log_id(1, 1, 5)));
    assert_eq!(state.last_log_id, Some(log_id(1, 1, 20)));
    assert_eq!(read(&mut log, 6..100).await, content(&entries(1, 6..21, 10)));
}

#[tokio::test]
async fn truncated_entries_are_replaced_and_never_come_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut expected = entries(1, 0..41, 200);
    {
        let disk = open(dir.path());
        let mut log = disk.group("a");
        append(&mut log, entries(1, 0..100, 200)).await.expect("durable");
        log.truncate_after(Some(log_id(1, 1, 40))).await.expect("durable");
        assert_eq!(read(&mut log, 0..200).await, content(&expected));
        append(&mut log, entries(2, 41..60, 200)).await.expect("durable");
        expected.extend(entries(2, 41..60, 200));
        assert_eq!(read(&mut log, 0..200).await, content(&expected));
    }
    let disk = open(dir.path());
    let mut log = disk.group("a");
    assert_eq!(read(&mut log, 0..200).await, content(&expected));
    let state = log.get_log_state().await.expect("a state");
    assert_eq!(state.last_log_id, Some(log_id(2, 1, 59)));
}

#[tokio::test]
async fn truncating_everything_voids_the_first_entry_too() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let disk = open(dir.path());
        let mut log = disk.group("a");
        append(&mut log, entries(1, 0..3, 10)).await.expect("durable");
        log.truncate_after(None).await.expect("durable");
        assert_eq!(read(&mut log, 0..10).await, []);
        append(&mut log, entries(2, 0..2, 10)).await.expect("durable");
        assert_eq!(read(&mut log, 0..10).await, content(&entries(2, 0..2, 10)));
    }
    let disk = open(dir.path());
    assert_eq!(
        read(&mut disk.group("a"), 0..10).await,
        content(&entries(2, 0..2, 10))
    );
}

#[tokio::test]
async fn entries_below_the_purge_position_are_not_there_and_none_comes_twice() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = open(dir.path());
    let mut log = disk.group("a");
    append(&mut log, entries(1, 0..100, 300)).await.expect("durable");
    log.purge(log_id(1, 1, 50)).await.expect("durable");
    assert_eq!(read(&mut log, 40..200).await, content(&entries(1, 51..100, 300)));
}

#[tokio::test]
async fn a_purge_right_after_a_restart_keeps_the_last_log_id() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let disk = open(dir.path());
        append(&mut disk.group("a"), entries(1, 0..10, 10))
            .await
            .expect("durable");
    }
    let disk = open(dir.path());
    let mut log = disk.group("a");
    log.purge(log_id(1, 1, 4)).await.expect("durable");
    let state = log.get_log_state().await.expect("a state");
    assert_eq!(state.last_log_id, Some(log_id(1, 1, 9)));
    log.purge(log_id(1, 1, 9)).await.expect("durable");
    let state = log.get_log_state().await.expect("a state");
    assert_eq!(state.last_log_id, Some(log_id(1, 1, 9)));
}

#[tokio::test]
async fn a_log_behind_an_installed_snapshot_goes_on_after_a_gap() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let disk = open(dir.path());
        let mut log = disk.group("a");
        append(&mut log, entries(1, 0..10, 10)).await.expect("durable");
        log.purge(log_id(3, 1, 100)).await.expect("durable");
        append(&mut log, entries(3, 101..105, 10)).await.expect("durable");
    }
    let disk = open(dir.path());
    let mut log = disk.group("a");
    assert_eq!(read(&mut log, 0..200).await, content(&entries(3, 101..105, 10)));
}

#[tokio::test]
async fn groups_share_segments_and_keep_their_own_entries() {
    let dir = tempfile::tempdir().expect("a folder");
    let names: Vec<String> = (0..20).map(|i| format!("group-{i}")).collect();
    {
        let disk = open(dir.path());
        let mut logs: Vec<GroupLog> = names.iter().map(|name| disk.group(name)).collect();
        for round in 0..20 {
            for (i, log) in logs.iter_mut().enumerate() {
                let term = i as u64 + 1;
                append(log, entries(term, round * 3..round * 3 + 3, 50))
                    .await
                    .expect("durable");
            }
        }
        for (i, log) in logs.iter_mut().enumerate().filter(|(i, _)| i % 3 == 0) {
            log.save_vote(&Vote::new(i as u64, 9)).await.expect("durable");
            log.purge(log_id(i as u64 + 1, 1, i as u64))
                .await
                .expect("durable");
        }
    }
    let disk = open(dir.path());
    for (i, name) in names.iter().enumerate() {
        let (term, mut log) = (i as u64 + 1, disk.group(name));
        let first = if i % 3 == 0 { i as u64 + 1 } else { 0 };
        assert_eq!(
            read(&mut log, 0..1000).await,
            content(&entries(term, first..60, 50)),
            "{name}"
        );
        let vote = log.read_vote().await.expect("a vote");
        assert_eq!(vote, (i % 3 == 0).then(|| Vote::new(i as u64, 9)), "{name}");
    }
}

#[tokio::test]
async fn purged_segments_are_used_again_and_the_disk_use_stays_bounded() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = open(dir.path());
    let mut log = disk.group("a");
    let bytes_of = |dir: &Path| -> u64 {
        let files = std::fs::read_dir(dir).expect("a folder");
        files
            .filter_map(|file| file.ok()?.metadata().ok())
            .map(|metadata| metadata.len())
            .sum()
    };
    // 4 MiB through segments of 64 KiB, of which at most 32 KiB are not purged.
    for round in 0..256u64 {
        append(&mut log, entries(1, round * 16..round * 16 + 16, 1000))
            .await
            .expect("durable");
        if round > 0 {
            log.purge(log_id(1, 1, round * 16 - 1)).await.expect("durable");
        }
        let bytes = bytes_of(dir.path());
        assert!(bytes <= 6 * (64 << 10), "{bytes} bytes on disk in round {round}");
    }
    drop((log, disk));
    let disk = open(dir.path());
    assert_eq!(
        read(&mut disk.group("a"), 0..u64::MAX).await,
        content(&entries(1, 255 * 16..256 * 16, 1000))
    );
}

#[tokio::test]
async fn old_frames_in_a_segment_that_is_used_again_are_not_taken() {
    let (dir, other) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    for (dir, many) in [(dir.path(), 3), (other.path(), 30)] {
        let disk = open(dir);
        let mut log = disk.group("a");
        for i in 0..many {
            append(&mut log, entries(1, i..i + 1, 1000))
                .await
                .expect("durable");
        }
    }
    // What an earlier life of the file would have left behind the newest frame: valid frames, with higher
    // numbers and another salt.
    let (newest, old) = (&segments(dir.path())[0], &segments(other.path())[0]);
    let (mut bytes, old) = (
        std::fs::read(newest).expect("it reads"),
        std::fs::read(old).expect("it reads"),
    );
    let salt = super::segment::Segment::open(newest).expect("a segment").salt;
    let mut end = super::segment::HEADER;
    while let Some(frame) = super::frame::read(&bytes, end, salt) {
        end += frame.len;
    }
    let len = bytes.len();
    bytes[end..].copy_from_slice(&old[end..len]);
    std::fs::write(newest, bytes).expect("it writes");
    let disk = open(dir.path());
    let mut log = disk.group("a");
    assert_eq!(read(&mut log, 0..1000).await, content(&entries(1, 0..3, 1000)));
    append(&mut log, entries(1, 3..5, 1000)).await.expect("durable");
    drop((log, disk));
    let disk = open(dir.path());
    assert_eq!(
        read(&mut disk.group("a"), 0..1000).await,
        content(&entries(1, 0..5, 1000))
    );
}

/// No frame is written past the end of a segment, which was made and zero-filled before.
#[tokio::test]
async fn entries_of_any_size_fit_into_their_segments() {
    let dir = tempfile::tempdir().expect("a folder");
    let sizes = [10, 60_000, 65_000, 65_536, 66_000, 10, 300_000, 100, 70_000];
    let mut expected = Vec::new();
    {
        let disk = open(dir.path());
        let mut log = disk.group("a");
        for (index, size) in (0..).zip(sizes) {
            append(&mut log, vec![entry(1, index, size)])
                .await
                .expect("durable");
            expected.push(entry(1, index, size));
            for path in segments(dir.path()) {
                let len = std::fs::metadata(&path).expect("a segment").len();
                let is_whole = len == 64 << 10;
                assert!(
                    is_whole || size as u64 <= len && len < size as u64 + 1000,
                    "{len} bytes for {size}"
                );
                // What is larger than a segment is the only entry of its own, so it goes with the next purge.
                if !is_whole {
                    log.purge(log_id(1, 1, index)).await.expect("durable");
                    expected.clear();
                }
            }
        }
    }
    let disk = open(dir.path());
    assert_eq!(read(&mut disk.group("a"), 0..100).await, content(&expected));
}

#[tokio::test]
async fn an_append_of_many_entries_is_cut_into_frames_and_told_at_the_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = Options {
        segment_bytes: 8 << 20,
        tail_bytes_max: 4 << 10,
    };
    let expected = entries(1, 0..20, 1 << 20);
    {
        let disk = Disk::open(dir.path(), options.clone()).expect("opens");
        let mut log = disk.group("a");
        append(&mut log, expected.clone()).await.expect("durable");
        let flushes = disk.counters().flushes.load(std::sync::atomic::Ordering::Relaxed);
        assert!(flushes >= 5, "{flushes} frames of 4 MiB");
        for path in segments(dir.path()) {
            let len = std::fs::metadata(&path).expect("a segment").len();
            assert!(len <= 8 << 20, "{len} bytes");
        }
        assert_eq!(read(&mut log, 0..100).await, content(&expected));
    }
    let disk = Disk::open(dir.path(), options).expect("opens");
    assert_eq!(read(&mut disk.group("a"), 0..100).await, content(&expected));
}

#[test]
fn segments_that_no_frame_or_position_fits_into_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    for segment_bytes in [0, 1000, (1 << 30) + 1, u64::MAX] {
        let options = Options {
            segment_bytes,
            ..small()
        };
        let error = Disk::open(dir.path(), options).expect_err("refused");
        assert!(
            matches!(error, super::Error::SegmentBytes(bytes) if bytes == segment_bytes),
            "{error}"
        );
    }
    let left = std::fs::read_dir(dir.path()).expect("a folder").count();
    assert_eq!(left, 0, "nothing was made");
}

#[tokio::test]
async fn closing_writes_what_is_queued_even_if_it_needs_more_segments() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let disk = open(dir.path());
        let mut log = disk.group("a");
        for i in 0..40 {
            log.append(entries(1, i..i + 1, 60_000), IOFlushed::noop())
                .await
                .expect("queued");
        }
        disk.close();
        assert!(!disk.is_poisoned());
    }
    let disk = open(dir.path());
    assert_eq!(
        read(&mut disk.group("a"), 0..100).await,
        content(&entries(1, 0..40, 60_000))
    );
}
