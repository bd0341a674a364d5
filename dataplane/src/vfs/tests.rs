//! Laws of the VFS's own parts, without the SQL layer: what SQLite would only do if it broke its word.

use super::link::{Fault, Link, Settings};
use super::main_file::MainFile;
use super::memory::Memory;
use super::pragma::{Answer, Known, decide};
use super::temp_file::TempFile;
use super::{Quota, Refusal, TempSpace, open};
use rusqlite::ffi;
use std::sync::Arc;

fn settings(transaction_bytes: u64) -> Settings {
    Settings {
        transaction_bytes,
        cache_bytes: 1 << 20,
        heap_bytes: 64 << 20,
        temp: TempSpace {
            directory: std::env::temp_dir(),
            quota: Quota::new(10_000, None),
        },
    }
}

fn link(memory: &Memory) -> Arc<Link> {
    Link::new(memory.writer(), settings(1 << 20))
}

/// Page 1 of a database of `page_count` pages of 512 bytes.
fn first_page(page_count: u32) -> Vec<u8> {
    let mut page = vec![0; 512];
    page[16..18].copy_from_slice(&512_u16.to_be_bytes());
    page[28..32].copy_from_slice(&page_count.to_be_bytes());
    page
}

fn locked(memory: &Memory) -> MainFile {
    let mut file = MainFile::new(link(memory));
    file.lock(ffi::SQLITE_LOCK_EXCLUSIVE).expect("locks");
    file
}

#[test]
fn a_write_outside_of_a_batch_is_refused() {
    let memory = Memory::new();
    let mut file = locked(&memory);
    assert_eq!(file.write(0, &first_page(1)), Err(ffi::SQLITE_IOERR_WRITE));
    assert!(matches!(file.link().take_fault(), Some(Fault::Protocol(_))));
    file.begin_batch().expect("begins");
    file.write(0, &first_page(1)).expect("writes");
    file.drop_batch();
    assert_eq!(file.write(0, &first_page(1)), Err(ffi::SQLITE_IOERR_WRITE));
    assert!(memory.take_batches().is_empty());
}

#[test]
fn a_batch_takes_whole_pages_of_one_size_only() {
    let memory = Memory::new();
    let mut file = locked(&memory);
    file.begin_batch().expect("begins");
    file.write(0, &first_page(3)).expect("writes");
    for (offset, bytes) in [(100, 512), (512, 1024), (512, 100), (512, 0)] {
        assert_eq!(
            file.write(offset, &vec![0; bytes]),
            Err(ffi::SQLITE_ABORT),
            "{offset} {bytes}"
        );
    }
}

#[test]
fn a_batch_without_the_first_page_is_refused() {
    let memory = Memory::new();
    let mut file = locked(&memory);
    file.begin_batch().expect("begins");
    file.write(512, &[0; 512]).expect("writes");
    assert_eq!(file.commit_batch(), Err(ffi::SQLITE_ABORT));
    assert!(file.link().take_commit_failed());
}

#[test]
fn a_batch_that_changes_the_page_size_is_refused() {
    let memory = Memory::new();
    let mut file = locked(&memory);
    file.begin_batch().expect("begins");
    file.write(0, &first_page(1)).expect("writes");
    file.commit_batch().expect("commits");
    let mut larger = first_page(1);
    larger.resize(1024, 0);
    larger[16..18].copy_from_slice(&1024_u16.to_be_bytes());
    file.begin_batch().expect("begins");
    file.write(0, &larger).expect("writes");
    assert_eq!(file.commit_batch(), Err(ffi::SQLITE_ABORT));
}

#[test]
fn a_batch_has_each_page_once_and_none_above_the_count() {
    let memory = Memory::new();
    let mut file = locked(&memory);
    file.begin_batch().expect("begins");
    for (no, byte) in [(3, 3), (2, 1), (2, 2)] {
        file.write((no - 1) * 512, &[byte; 512]).expect("writes");
    }
    file.write(0, &first_page(2)).expect("writes");
    file.commit_batch().expect("commits");
    let batches = memory.take_batches();
    let pages: Vec<(u32, u8)> = batches[0]
        .pages
        .iter()
        .map(|(no, image)| (no.get(), image[0]))
        .collect();
    assert_eq!(pages, [(1, 0), (2, 2)]);
    assert_eq!(file.size(), Ok(1024));
}

#[test]
fn reads_past_the_end_are_zeros_and_say_so() {
    let memory = Memory::new();
    let mut file = locked(&memory);
    let mut out = [7; 16];
    assert_eq!(file.read(0, &mut out), Err(ffi::SQLITE_IOERR_SHORT_READ));
    assert_eq!(out, [0; 16]);
    file.begin_batch().expect("begins");
    file.write(0, &first_page(1)).expect("writes");
    file.commit_batch().expect("commits");
    let mut across = [7; 600];
    assert_eq!(file.read(0, &mut across), Err(ffi::SQLITE_IOERR_SHORT_READ));
    assert_eq!(
        (&across[..512], &across[512..]),
        (first_page(1).as_slice(), [0; 88].as_slice())
    );
}

#[test]
fn a_file_closed_while_locked_gives_its_turn_back() {
    let memory = Memory::new();
    let file = locked(&memory);
    assert!(memory.is_reserved());
    drop(file);
    assert!(!memory.is_reserved());
}

#[test]
fn the_first_failure_is_the_reason() {
    let link = link(&Memory::new());
    link.set_fault(Fault::Refused(Refusal::Full));
    link.set_fault(Fault::TempFull);
    assert!(matches!(link.take_fault(), Some(Fault::Refused(Refusal::Full))));
    assert!(link.take_fault().is_none());
}

#[test]
fn a_temporary_file_belongs_to_the_connection_that_runs() {
    assert_eq!(TempFile::open().err(), Some(ffi::SQLITE_CANTOPEN));
    let link = link(&Memory::new());
    let mut file = link.run(TempFile::open).expect("opens");
    file.write(5000, &[1; 100]).expect("writes");
    assert_eq!((file.size(), link.settings().temp.quota.used()), (5100, 5100));
    assert_eq!(file.write(9990, &[1; 100]), Err(ffi::SQLITE_FULL));
    let mut out = [9; 8];
    assert_eq!(file.read(5096, &mut out), Err(ffi::SQLITE_IOERR_SHORT_READ));
    assert_eq!(out, [1, 1, 1, 1, 0, 0, 0, 0]);
    file.truncate(100).expect("cuts");
    assert_eq!(link.settings().temp.quota.used(), 100);
    drop(file);
    assert_eq!(link.settings().temp.quota.used(), 0);
}

#[test]
fn a_quota_counts_nowhere_what_its_parent_refuses() {
    let parent = Quota::new(100, None);
    let (one, other) = (
        Quota::new(80, Some(parent.clone())),
        Quota::new(80, Some(parent.clone())),
    );
    assert!(one.grow(80) && !one.grow(1));
    assert!(!other.grow(21) && other.grow(20));
    assert_eq!((one.used(), other.used(), parent.used()), (80, 20, 100));
    one.shrink(80);
    assert!(other.grow(60) && !other.grow(u64::MAX));
    assert_eq!(parent.used(), 80);
}

#[test]
fn no_name_opens_another_connections_database() {
    let memory = Memory::new();
    let connection = open(&link(&memory)).expect("opens");
    let token: String = connection
        .query_row("SELECT file FROM pragma_database_list", [], |row| row.get(0))
        .expect("has a name");
    let again = rusqlite::Connection::open_with_flags_and_vfs(
        format!("file:{token}"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_URI,
        c"orion",
    );
    assert_eq!(
        again.err().and_then(|error| error.sqlite_error_code()),
        Some(rusqlite::ErrorCode::CannotOpen)
    );
}

#[test]
fn pragmas_of_an_empty_database_may_choose_its_page_size() {
    let known = |page_bytes| Known {
        page_bytes,
        cache_bytes: 1 << 20,
    };
    assert_eq!(decide("PAGE_SIZE", Some("8192"), &known(None)), Answer::Pass);
    assert_eq!(
        decide("page_size", Some("8192"), &known(Some(8192))),
        Answer::Pass
    );
    assert_eq!(
        decide("page_size", Some("4096"), &known(Some(8192))),
        Answer::Nothing
    );
    assert_eq!(decide("cache_size", Some("-1024"), &known(None)), Answer::Pass);
    assert_eq!(decide("cache_size", Some("-1025"), &known(None)), Answer::Nothing);
    assert_eq!(decide("cache_size", Some("x"), &known(None)), Answer::Nothing);
    assert_eq!(
        decide("cache_size", Some("-9223372036854775808"), &known(None)),
        Answer::Nothing
    );
    assert_eq!(
        decide("busy_timeout", Some("-1"), &known(None)),
        Answer::BusyTimeout(Some(0))
    );
}
