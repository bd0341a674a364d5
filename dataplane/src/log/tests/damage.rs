//! Damage to the files: found out, never a silent truncation of what was acknowledged.

use super::super::{Disk, Error, frame, recovery, segment};
use super::{append, content, entries, open, read, segments, small};
use openraft::storage::RaftLogStorage;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// A closed and so sealed log of several segments.
async fn filled(dir: &Path) {
    let disk = open(dir);
    let mut log = disk.group("a");
    for i in 0..120u64 {
        append(&mut log, entries(1, i..i + 1, 1100 + i as usize))
            .await
            .expect("durable");
        if i % 20 == 0 {
            log.save_vote(&crate::raft::Vote::new(i, 1))
                .await
                .expect("durable");
        }
    }
}

/// Offset and payload length of each frame.
fn frames(path: &Path) -> Vec<(usize, usize)> {
    let bytes = std::fs::read(path).expect("it reads");
    let salt = segment::Segment::open(path).expect("a segment").salt;
    let mut at = segment::HEADER;
    let mut found = Vec::new();
    while let Some(frame) = frame::read(&bytes, at, salt) {
        found.push((at, frame.payload.len()));
        at += frame.len;
    }
    found
}

/// What a log holds, in one number.
fn fingerprint(dir: &Path) -> Result<String, Error> {
    let recovered = recovery::recover(dir)?;
    let groups: Vec<String> = recovered
        .groups
        .iter()
        .map(|(number, found)| format!("{number} {} {:?} {:?}", found.first, found.meta, found.positions))
        .collect();
    Ok(groups.join("\n"))
}

fn flip(path: &Path, at: usize, bit: u32) {
    let mut bytes = std::fs::read(path).expect("it reads");
    bytes[at] ^= 1 << bit;
    std::fs::write(path, bytes).expect("it writes");
}

#[tokio::test]
async fn a_flipped_bit_anywhere_before_the_seal_is_corruption_and_names_the_file() {
    let dir = tempfile::tempdir().expect("a folder");
    filled(dir.path()).await;
    let whole = fingerprint(dir.path()).expect("intact");
    let mut random = StdRng::seed_from_u64(crate::seed::seed());
    let paths = segments(dir.path());
    assert!(paths.len() > 2);
    for (i, path) in paths.iter().enumerate() {
        let mut frames = frames(path);
        if i + 1 == paths.len() {
            let (_, payload) = frames.pop().expect("a seal");
            assert_eq!(payload, 0, "the last frame is the seal");
        }
        let end = frames
            .last()
            .map(|(at, len)| at + frame::HEADER + len)
            .expect("frames");
        let is_padding = |at: usize| {
            at >= segment::HEADER
                && !frames
                    .iter()
                    .any(|(start, len)| (*start..start + frame::HEADER + len).contains(&at))
        };
        let starts: Vec<usize> = frames.iter().map(|(at, _)| *at).collect();
        let headers = starts.iter().flat_map(|at| *at..at + frame::HEADER).take(96);
        let every = (0..end).step_by(97).chain(0..segment::HEADER).chain(headers);
        for at in every.collect::<Vec<_>>() {
            let bit = random.random_range(0..8);
            flip(path, at, bit);
            match fingerprint(dir.path()) {
                Ok(found) => {
                    assert!(
                        is_padding(at),
                        "{} byte {at} bit {bit} was not noticed",
                        path.display()
                    );
                    assert_eq!(found, whole);
                }
                Err(Error::CorruptSegment { path: named, .. }) => {
                    assert_eq!(&named, path, "byte {at} bit {bit}");
                }
                Err(other) => panic!("byte {at} bit {bit}: {other}"),
            }
            flip(path, at, bit);
        }
    }
    assert_eq!(fingerprint(dir.path()).expect("intact"), whole);
}

#[tokio::test]
async fn damage_to_the_last_entry_of_a_sealed_log_stops_the_open() {
    let dir = tempfile::tempdir().expect("a folder");
    filled(dir.path()).await;
    let path = segments(dir.path()).pop().expect("a segment");
    let frames = frames(&path);
    let (at, len) = frames[frames.len() - 2];
    flip(&path, at + frame::HEADER + len / 2, 3);
    match Disk::open(dir.path(), small()) {
        Err(Error::CorruptSegment { path: named, .. }) => assert_eq!(named, path),
        other => panic!("{other:?}"),
    }
}

/// Ways in which a crash can leave the last frame.
enum Torn {
    Cut,
    Zeroed,
    Garbled,
}

#[tokio::test]
async fn a_torn_last_frame_costs_only_itself() {
    let mut random = StdRng::seed_from_u64(crate::seed::seed());
    for how in [Torn::Cut, Torn::Zeroed, Torn::Garbled] {
        let dir = tempfile::tempdir().expect("a folder");
        filled(dir.path()).await;
        let path = segments(dir.path()).pop().expect("a segment");
        let mut frames = frames(&path);
        let (seal, _) = frames.pop().expect("a seal");
        let (at, len) = frames.pop().expect("a frame");
        let torn_at = random.random_range(at..at + frame::HEADER + len);
        let mut bytes = std::fs::read(&path).expect("it reads");
        bytes[seal..].fill(0);
        match how {
            Torn::Cut => bytes.truncate(torn_at),
            Torn::Zeroed => bytes[torn_at..seal].fill(0),
            Torn::Garbled => random.fill(&mut bytes[torn_at..seal]),
        }
        std::fs::write(&path, bytes).expect("it writes");
        let mut expected: Vec<_> = (0..119u64)
            .flat_map(|i| entries(1, i..i + 1, 1100 + i as usize))
            .collect();
        {
            let disk = open(dir.path());
            let mut log = disk.group("a");
            assert_eq!(read(&mut log, 0..1000).await, content(&expected));
            append(&mut log, entries(2, 119..121, 10)).await.expect("durable");
        }
        expected.extend(entries(2, 119..121, 10));
        let disk = open(dir.path());
        assert_eq!(read(&mut disk.group("a"), 0..1000).await, content(&expected));
    }
}

#[tokio::test]
async fn a_missing_segment_is_corruption() {
    for missing in [0, 1] {
        let dir = tempfile::tempdir().expect("a folder");
        filled(dir.path()).await;
        std::fs::remove_file(&segments(dir.path())[missing]).expect("removed");
        let result = Disk::open(dir.path(), small());
        assert!(
            matches!(result, Err(Error::CorruptSegment { .. })),
            "segment {missing}: {result:?}"
        );
    }
}

#[tokio::test]
async fn a_segment_under_another_name_is_corruption() {
    let dir = tempfile::tempdir().expect("a folder");
    filled(dir.path()).await;
    let path = segments(dir.path()).pop().expect("a segment");
    let next: PathBuf = dir.path().join("00000000000000ff.seg");
    std::fs::rename(path, next).expect("renamed");
    let result = Disk::open(dir.path(), small());
    assert!(matches!(result, Err(Error::CorruptSegment { .. })), "{result:?}");
}

#[test]
fn a_directory_belongs_to_one_process() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = open(dir.path());
    assert!(matches!(Disk::open(dir.path(), small()), Err(Error::Locked(_))));
    drop(disk);
    open(dir.path());
}

#[test]
fn a_newer_format_is_refused_by_its_number() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(open(dir.path()));
    let path = segments(dir.path()).pop().expect("a segment");
    let mut bytes = std::fs::read(&path).expect("it reads");
    bytes[8..12].copy_from_slice(&9u32.to_le_bytes());
    let sum = xxh3_64(&bytes[..32]);
    bytes[32..40].copy_from_slice(&sum.to_le_bytes());
    std::fs::write(&path, bytes).expect("it writes");
    match Disk::open(dir.path(), small()) {
        Err(Error::UnknownFormat {
            path: named,
            format: 9,
        }) => assert_eq!(named, path),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_entry_damaged_under_a_running_log_is_not_handed_out() {
    let dir = tempfile::tempdir().expect("a folder");
    filled(dir.path()).await;
    let disk = open(dir.path());
    let mut log = disk.group("a");
    let path = &segments(dir.path())[0];
    let (at, len) = frames(path)[4];
    // In place, because the log has the file open.
    let bytes = std::fs::read(path).expect("it reads");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(path)
        .expect("it opens");
    let middle = at + frame::HEADER + len / 2;
    std::os::unix::fs::FileExt::write_all_at(&file, &[bytes[middle] ^ 1], middle as u64).expect("it writes");
    let result = openraft::RaftLogReader::try_get_log_entries(&mut log, 0..100).await;
    assert!(result.is_err(), "{:?}", result.map(|entries| entries.len()));
}
