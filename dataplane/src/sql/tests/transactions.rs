//! Transactions against a backend that refuses, moves on, or forgets.

use super::fixture::{
    assert_sound, error, integer, open_reader, open_writer, rows, run, script, text, writer, writer_with,
};
use crate::page::PageNo;
use crate::sql::{Code, Connection, Kind, Options, Role, TransactionStep, Value};
use crate::vfs::memory::Memory;
use crate::vfs::{ReadError, Refusal};
use rusqlite::ffi;

fn count(connection: &mut Connection) -> i64 {
    integer(connection, "SELECT count(*) FROM t")
}

#[test]
fn a_transaction_is_one_batch() {
    let (memory, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a)");
    memory.take_batches();
    script(
        &mut connection,
        "BEGIN; INSERT INTO t VALUES (1); SAVEPOINT s; INSERT INTO t VALUES (2); RELEASE s; COMMIT",
    );
    let batches = memory.take_batches();
    assert_eq!(batches.len(), 1);
    assert!(batches[0].pages.is_sorted_by(|a, b| a.0 < b.0));
    script(
        &mut connection,
        "BEGIN; INSERT INTO t VALUES (1); ROLLBACK; SELECT * FROM t",
    );
    assert!(memory.take_batches().is_empty());
}

#[test]
fn a_refused_commit_leaves_nothing_and_the_connection_usable() {
    for (refusal, extended, kind) in [
        (Refusal::Full, ffi::SQLITE_FULL, Kind::Full),
        (Refusal::TooLarge, ffi::SQLITE_FULL, Kind::TooLarge),
        (Refusal::Stale, ffi::SQLITE_BUSY_SNAPSHOT, Kind::Conflict),
        (Refusal::NoTurn, ffi::SQLITE_BUSY_SNAPSHOT, Kind::NeedsTurn),
        (Refusal::ReadOnly, ffi::SQLITE_READONLY, Kind::ReadOnly),
    ] {
        for explicit in [false, true] {
            let (memory, mut connection) = writer();
            script(&mut connection, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
            if explicit {
                script(&mut connection, "BEGIN; INSERT INTO t VALUES (2)");
            }
            memory.refuse_next_commit(refusal);
            let error = error(
                &mut connection,
                if explicit {
                    "COMMIT"
                } else {
                    "INSERT INTO t VALUES (2)"
                },
            );
            assert_eq!(
                (error.extended(), error.kind()),
                (Some(extended), kind),
                "{refusal:?} {explicit}"
            );
            assert!(connection.is_autocommit(), "{refusal:?} {explicit}");
            assert_eq!(connection.take_wants_turn(), refusal == Refusal::NoTurn);
            assert!(!memory.is_reserved());
            assert_eq!(count(&mut connection), 1);
            script(&mut connection, "INSERT INTO t VALUES (3)");
            assert_eq!(count(&mut connection), 2);
            assert_sound(&mut connection);
        }
    }
}

#[test]
fn a_refused_reservation_leaves_the_transaction_as_it_was() {
    // FULL is not here: after it SQLite rolls the whole transaction back.
    for refusal in [Refusal::Stale, Refusal::NoTurn, Refusal::ReadOnly] {
        let (memory, mut connection) = writer();
        script(&mut connection, "CREATE TABLE t(a); BEGIN");
        assert_eq!(count(&mut connection), 0);
        memory.refuse_next_reserve(refusal);
        error(&mut connection, "INSERT INTO t VALUES (1)");
        assert!(!connection.is_autocommit());
        script(&mut connection, "INSERT INTO t VALUES (2); COMMIT");
        assert_eq!(rows(&mut connection, "SELECT a FROM t").len(), 1);
    }
}

#[test]
fn a_stream_that_has_read_nothing_says_so_when_it_wants_its_turn() {
    let (memory, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a)");
    let mut stream = Connection::open(memory.reader(), Options::new(Role::Stream)).expect("opens");
    script(&mut stream, "BEGIN");
    assert!(!stream.has_read());
    assert_eq!(
        error(&mut stream, "INSERT INTO t VALUES (1)").kind(),
        Kind::NeedsTurn
    );
    assert!(stream.take_wants_turn() && !stream.take_wants_turn());
    assert!(!stream.has_read() && !stream.is_autocommit());
    assert_eq!(count(&mut stream), 0);
    assert!(stream.has_read());
    stream.rollback();
    assert!(stream.is_autocommit() && !stream.has_read());
    assert_eq!(error(&mut stream, "BEGIN IMMEDIATE").kind(), Kind::NeedsTurn);
    assert!(stream.is_autocommit());
}

#[test]
fn a_busy_timeout_of_a_client_never_makes_a_thread_sleep() {
    let (memory, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a)");
    let mut stream = Connection::open(memory.reader(), Options::new(Role::Stream)).expect("opens");
    assert_eq!(
        rows(&mut stream, "PRAGMA busy_timeout=600000"),
        [[Value::Integer(600_000)]]
    );
    assert_eq!(
        rows(&mut stream, "PRAGMA busy_timeout"),
        [[Value::Integer(600_000)]]
    );
    // Would not come back for ten minutes.
    assert_eq!(error(&mut stream, "BEGIN IMMEDIATE").kind(), Kind::NeedsTurn);
}

#[test]
fn a_snapshot_that_is_not_the_newest_cannot_be_written_on() {
    let (memory, mut first) = writer();
    script(&mut first, "CREATE TABLE t(a)");
    let mut second = open_writer(&memory);
    script(&mut second, "BEGIN");
    assert_eq!(count(&mut second), 0);
    script(&mut first, "INSERT INTO t VALUES (1)");
    let error = error(&mut second, "INSERT INTO t VALUES (2)");
    assert_eq!(
        (error.extended_name(), error.kind()),
        (Some("SQLITE_BUSY_SNAPSHOT"), Kind::Conflict)
    );
    assert_eq!(count(&mut second), 0);
    second.rollback();
    script(&mut second, "INSERT INTO t VALUES (2)");
    assert_eq!(count(&mut first), 2);
}

#[test]
fn a_reader_keeps_its_version_while_the_writer_goes_on() {
    let (memory, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a); INSERT INTO t VALUES (0)");
    let mut readers = Vec::new();
    for n in 1..=5 {
        let mut reader = open_reader(&memory);
        script(&mut reader, "BEGIN");
        assert_eq!(count(&mut reader), n);
        readers.push(reader);
        script(&mut connection, "INSERT INTO t SELECT 1");
    }
    script(&mut connection, "DROP TABLE t; VACUUM");
    for (n, reader) in readers.iter_mut().enumerate() {
        assert_eq!(count(reader), n as i64 + 1);
        assert_sound(reader);
    }
}

#[test]
fn a_reader_sees_no_pending_version() {
    let (memory, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a)");
    memory.keep_pending();
    script(&mut connection, "INSERT INTO t VALUES (1)");
    let mut reader = open_reader(&memory);
    assert_eq!((count(&mut connection), count(&mut reader)), (1, 0));
    memory.publish();
    assert_eq!(count(&mut reader), 1);
}

#[test]
fn begin_transaction_readonly_may_not_write_until_it_ends() {
    let (_, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a)");
    run(&mut connection, "begin transaction  readonly;").expect("begins");
    assert_eq!(count(&mut connection), 0);
    assert_eq!(
        error(&mut connection, "INSERT INTO t VALUES (1)").kind(),
        Kind::ReadOnly
    );
    run(&mut connection, "COMMIT").expect("ends");
    script(&mut connection, "INSERT INTO t VALUES (1)");
    run(&mut connection, "BEGIN TRANSACTION READONLY").expect("begins");
    connection.rollback();
    script(&mut connection, "INSERT INTO t VALUES (1)");
    run(&mut connection, "BEGIN TRANSACTION other_name").expect("begins");
    script(&mut connection, "INSERT INTO t VALUES (1); COMMIT");
    assert_eq!(count(&mut connection), 3);
}

#[test]
fn every_form_of_a_read_only_begin_is_one() {
    let (_, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a)");
    for begin in [
        "BEGIN TRANSACTION READONLY",
        "BEGIN READONLY",
        " begin\nreadonly ;",
        "BEGIN READONLY TRANSACTION",
    ] {
        let class = connection.classify(begin).expect("a statement");
        assert_eq!(class.transaction, Some(TransactionStep::Begin), "{begin}");
        run(&mut connection, begin).expect("begins");
        let refused = error(&mut connection, "INSERT INTO t VALUES (1)");
        assert_eq!(refused.kind(), Kind::ReadOnly, "{begin}");
        run(&mut connection, "COMMIT").expect("ends");
    }
    for other in [
        "BEGIN READONLY READONLY",
        "BEGIN READONLY TRANSACTION x",
        "BEGIN READ",
    ] {
        assert_eq!(
            error(&mut connection, other).code(),
            Code::SqlParseError,
            "{other}"
        );
    }
}

/// A row changes in a pending version that is discarded; another one changes it with the same change counter.
fn discard_and_replace(forget: bool) -> (Connection, Memory) {
    let (memory, mut connection) = writer();
    script(
        &mut connection,
        "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 'base'), (2, 'base')",
    );
    memory.keep_pending();
    script(&mut connection, "UPDATE t SET b='lost' WHERE a=1");
    memory.discard_pending();
    let mut other = open_writer(&memory);
    script(&mut other, "UPDATE t SET b='kept' WHERE a=2");
    if forget {
        connection.forget_cached_pages().expect("forgets");
    }
    (connection, memory)
}

#[test]
fn forgotten_pages_make_reads_right_after_a_discard() {
    let (mut connection, _) = discard_and_replace(true);
    assert_eq!(
        rows(&mut connection, "SELECT b FROM t ORDER BY a"),
        [[text("base")], [text("kept")]]
    );
    script(&mut connection, "UPDATE t SET b='more' WHERE a=2");
    assert_eq!(
        rows(&mut connection, "SELECT b FROM t ORDER BY a"),
        [[text("base")], [text("more")]]
    );
    assert_sound(&mut connection);
}

#[test]
fn without_forgetting_a_discard_leaves_stale_pages() {
    // Not a wish but the reason for `forget_cached_pages`: if SQLite ever noticed by itself, it could go.
    let (mut connection, _) = discard_and_replace(false);
    assert_eq!(
        rows(&mut connection, "SELECT b FROM t ORDER BY a"),
        [[text("lost")], [text("base")]]
    );
}

#[test]
fn a_discarded_schema_is_forgotten_too() {
    let (memory, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a)");
    memory.keep_pending();
    script(&mut connection, "CREATE TABLE lost(a)");
    memory.discard_pending();
    script(
        &mut open_writer(&memory),
        "CREATE TABLE kept(b); INSERT INTO kept VALUES (7)",
    );
    connection.forget_cached_pages().expect("forgets");
    assert_eq!(integer(&mut connection, "SELECT b FROM kept"), 7);
    assert_eq!(
        error(&mut connection, "SELECT * FROM lost").code(),
        Code::SqlParseError
    );
    assert_sound(&mut connection);
}

#[test]
fn an_unreadable_page_is_a_typed_error() {
    let (memory, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    memory.make_unreadable(PageNo::new(2).expect("not 0"));
    let mut reader = open_reader(&memory);
    let corrupt = error(&mut reader, "SELECT * FROM t");
    assert_eq!(
        (corrupt.code(), corrupt.kind()),
        (Code::Sqlite(ffi::SQLITE_CORRUPT), Kind::Corrupt)
    );
    for (fault, kind) in [
        (ReadError::Gone, Kind::Gone),
        (
            ReadError::Unavailable {
                page: PageNo::FIRST,
                detail: "503".to_owned(),
            },
            Kind::Unavailable,
        ),
    ] {
        memory.fail_next_begin(fault);
        assert_eq!(error(&mut reader, "SELECT * FROM t").kind(), kind);
    }
    assert_eq!(rows(&mut reader, "SELECT 1").len(), 1);
}

#[test]
fn a_panic_in_the_backend_poisons_the_connection_and_nothing_else() {
    let (memory, mut connection) = writer();
    script(
        &mut connection,
        "CREATE TABLE t(a); BEGIN; INSERT INTO t VALUES (1)",
    );
    memory.panic_at_next_commit();
    assert_eq!(error(&mut connection, "COMMIT").kind(), Kind::Internal);
    assert!(connection.is_poisoned());
    assert_eq!(error(&mut connection, "SELECT 1").kind(), Kind::Internal);
    drop(connection);
    let mut other = open_writer(&memory);
    assert_eq!(count(&mut other), 0);
    script(&mut other, "INSERT INTO t VALUES (1)");
}

#[test]
fn every_page_size_can_be_chosen_at_creation_and_never_again() {
    for size in [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536] {
        let (memory, mut connection) = writer();
        script(
            &mut connection,
            &format!("PRAGMA page_size={size}; CREATE TABLE t(a); INSERT INTO t VALUES (1)"),
        );
        assert_eq!(memory.extent().page_size.map(|size| size.bytes()), Some(size));
        script(&mut connection, &format!("PRAGMA page_size={size}; VACUUM"));
        let other = if size == 4096 { 512 } else { 4096 };
        script(&mut connection, &format!("PRAGMA page_size={other}; VACUUM"));
        assert_eq!(memory.extent().page_size.map(|size| size.bytes()), Some(size));
        assert_eq!(count(&mut open_writer(&memory)), 1);
        assert_sound(&mut open_reader(&memory));
    }
}

#[test]
fn vacuum_is_one_batch_and_gives_pages_back() {
    let (memory, mut connection) = writer();
    script(
        &mut connection,
        "CREATE TABLE t(a); WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM n WHERE i<100) INSERT INTO t SELECT randomblob(5000) FROM n",
    );
    script(
        &mut connection,
        "CREATE INDEX i ON t(a); DELETE FROM t WHERE rowid > 3",
    );
    let before = memory.extent().page_count;
    memory.take_batches();
    script(&mut connection, "VACUUM");
    assert_eq!(memory.take_batches().len(), 1);
    assert!(memory.extent().page_count < before / 4);
    assert_eq!(count(&mut connection), 3);
    assert_sound(&mut connection);
    script(&mut connection, "BEGIN");
    assert_eq!(
        error(&mut connection, "VACUUM").code(),
        Code::Sqlite(ffi::SQLITE_ERROR)
    );
}

#[test]
fn incremental_vacuum_runs_to_its_end() {
    let (memory, mut connection) = writer();
    script(
        &mut connection,
        "PRAGMA auto_vacuum=incremental; CREATE TABLE t(a)",
    );
    script(
        &mut connection,
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM n WHERE i<100) INSERT INTO t SELECT randomblob(5000) FROM n; DELETE FROM t",
    );
    let before = memory.extent().page_count;
    rows(&mut connection, "PRAGMA incremental_vacuum");
    assert!(memory.extent().page_count < before / 4);
    assert_sound(&mut connection);
}

#[test]
fn a_vacuum_that_does_not_fit_names_incremental_vacuum() {
    let (_, mut connection) = writer_with(|limits| limits.transaction_bytes = 256 << 10);
    script(&mut connection, "CREATE TABLE t(a)");
    for _ in 0..5 {
        script(
            &mut connection,
            "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM n WHERE i<20) INSERT INTO t SELECT randomblob(4000) FROM n",
        );
    }
    let error = error(&mut connection, "VACUUM");
    assert!(error.message().contains("incremental_vacuum"), "{error}");
    assert_eq!(error.kind(), Kind::Denied);
    assert_eq!(count(&mut connection), 100);
}

#[test]
fn a_release_that_cannot_commit_ends_the_transaction() {
    let (memory, mut connection) = writer();
    script(
        &mut connection,
        "CREATE TABLE t(a); SAVEPOINT s; INSERT INTO t VALUES (1)",
    );
    memory.refuse_next_commit(Refusal::Full);
    assert_eq!(error(&mut connection, "RELEASE s").kind(), Kind::Full);
    assert!(connection.is_autocommit());
    assert_eq!(count(&mut connection), 0);
}
