//! Hostile SQL ends in a typed error and leaves the connection usable.

use super::fixture::{
    assert_sound, budget, error, integer, open_reader, rows, run, script, writer, writer_with,
};
use crate::sql::{Args, Budget, Code, Kind, Value, compile_options};
use rusqlite::ffi;
use std::time::{Duration, Instant};

const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n";

#[test]
fn an_endless_statement_ends_at_its_deadline() {
    let (_, mut connection) = writer();
    let mut short = Budget::lasting(Duration::from_millis(50), 1000);
    let began = Instant::now();
    let error = connection
        .execute(ENDLESS, &Args::NONE, true, &mut short)
        .expect_err("ends");
    assert_eq!(
        (error.code(), error.kind()),
        (Code::Sqlite(ffi::SQLITE_INTERRUPT), Kind::Deadline)
    );
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(integer(&mut connection, "SELECT 1"), 1);
}

#[test]
fn a_statement_has_a_time_of_its_own() {
    let (_, mut connection) = writer_with(|limits| limits.statement_time = Duration::from_millis(50));
    assert_eq!(error(&mut connection, ENDLESS).kind(), Kind::Deadline);
}

#[test]
fn an_interrupt_from_another_thread_ends_the_statement() {
    let (_, mut connection) = writer();
    let handle = connection.interrupt_handle();
    let other = std::thread::spawn(move || handle.interrupt());
    // Whenever it comes: what has not begun does not begin.
    for sql in [ENDLESS, "SELECT 1"] {
        let error = error(&mut connection, sql);
        assert_eq!(
            (error.code().name(), error.kind()),
            ("SQLITE_INTERRUPT", Kind::Interrupted)
        );
    }
    other.join().expect("joins");
    connection.clear_interrupt();
    assert_eq!(integer(&mut connection, "SELECT 1"), 1);
}

#[test]
fn a_result_larger_than_its_budget_is_refused() {
    let (_, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a)");
    let mut small = Budget::lasting(Duration::from_secs(5), 10_000);
    for sql in [
        "SELECT zeroblob(20000)",
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM n) SELECT i FROM n",
    ] {
        let error = connection
            .execute(sql, &Args::NONE, true, &mut small)
            .expect_err(sql);
        assert_eq!(
            (error.code().name(), error.kind()),
            ("RESPONSE_TOO_LARGE", Kind::TooLarge)
        );
    }
}

#[test]
fn a_write_whose_result_is_too_large_changes_nothing() {
    let (_, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a)");
    let mut small = Budget::lasting(Duration::from_secs(5), 100);
    let sql = "INSERT INTO t VALUES (zeroblob(90)),(2),(3) RETURNING a";
    let error = connection
        .execute(sql, &Args::NONE, true, &mut small)
        .expect_err(sql);
    assert_eq!(error.code(), Code::ResponseTooLarge);
    assert_eq!(integer(&mut connection, "SELECT count(*) FROM t"), 0);
    assert_eq!(integer(&mut connection, "SELECT 1"), 1);
}

#[test]
fn values_have_a_largest_size() {
    let (_, mut connection) = writer_with(|limits| limits.value_bytes = 1 << 20);
    for sql in [
        "SELECT length(randomblob(4000000000))",
        "SELECT hex(zeroblob(4000000000))",
        "SELECT zeroblob(4000000000)",
        "SELECT printf('%.*c', 2000000000, 'x')",
        "SELECT replace(hex(zeroblob(1000)), '0', hex(zeroblob(10000)))",
        "SELECT group_concat(hex(zeroblob(1000))) FROM
            (WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM n WHERE i<10000) SELECT i FROM n)",
        "SELECT json_group_array(hex(zeroblob(1000))) FROM
            (WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM n WHERE i<10000) SELECT i FROM n)",
    ] {
        let error = error(&mut connection, sql);
        assert_eq!(
            (error.code().name(), error.kind()),
            ("SQLITE_TOOBIG", Kind::TooLarge),
            "{sql}"
        );
    }
    let blob = Value::Blob(vec![0; 2 << 20].into());
    let error = connection
        .execute("SELECT ?", &Args::positional(vec![blob]), true, &mut budget())
        .expect_err("too large");
    assert_eq!(error.code().name(), "SQLITE_TOOBIG");
}

#[test]
fn deep_and_long_sql_is_refused() {
    let (_, mut connection) = writer();
    let deep = format!("SELECT {}1{}", "(1+".repeat(5000), ")".repeat(5000));
    let nested = format!("{}SELECT 1{}", "SELECT * FROM (".repeat(3000), ")".repeat(3000));
    let wide = format!("SELECT 1{}", ",1".repeat(3000));
    let union = format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(1000));
    for sql in [deep, nested, wide, union] {
        assert_eq!(
            error(&mut connection, &sql).kind(),
            Kind::Invalid,
            "{}",
            &sql[..40]
        );
    }
    let long = format!("SELECT '{}'", "x".repeat(2 << 20));
    assert_eq!(error(&mut connection, &long).code().name(), "SQLITE_TOOBIG");
    script(
        &mut connection,
        "PRAGMA recursive_triggers=on; CREATE TABLE t(a);
         CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO t VALUES (new.a + 1); END",
    );
    error(&mut connection, "INSERT INTO t VALUES (1)");
    assert_eq!(integer(&mut connection, "SELECT count(*) FROM t"), 0);
}

#[test]
fn a_transaction_has_a_largest_size() {
    let (memory, mut connection) = writer_with(|limits| limits.transaction_bytes = 1 << 20);
    script(&mut connection, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    let endless = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM n) INSERT INTO t SELECT randomblob(2000) FROM n";
    for begin in ["SELECT 1", "BEGIN"] {
        script(&mut connection, begin);
        let error = error(&mut connection, endless);
        assert_eq!(
            (error.code().name(), error.kind()),
            ("SQLITE_FULL", Kind::TooLarge),
            "{error:?}"
        );
        assert!(connection.is_autocommit());
        assert_eq!(integer(&mut connection, "SELECT count(*) FROM t"), 1);
    }
    assert!(connection.memory_used() < 8 << 20);
    // In few steps of the virtual machine: only the commit can see it.
    let error = error(&mut connection, "INSERT INTO t VALUES (randomblob(2000000))");
    assert_eq!(
        (error.code().name(), error.kind()),
        ("SQLITE_FULL", Kind::TooLarge)
    );
    assert_eq!(integer(&mut connection, "SELECT count(*) FROM t"), 1);
    assert!(memory.extent().page_count < 10);
    assert_sound(&mut connection);
}

#[test]
fn temporary_files_have_a_quota_that_is_given_back() {
    let (_, mut connection) = writer_with(|limits| limits.temp_bytes = 1 << 30);
    let quota = connection.options().temp.quota.clone();
    let sort = "SELECT count(*) FROM (SELECT DISTINCT randomblob(1000) FROM
        (WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM n WHERE i<20000) SELECT i FROM n))";
    assert_eq!(integer(&mut connection, sort), 20_000);
    assert_eq!(quota.used(), 0);
    script(&mut connection, "CREATE TEMP TABLE t(a)");
    let fill = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM n WHERE i<20000) INSERT INTO t SELECT randomblob(1000) FROM n";
    run(&mut connection, fill).expect("fits");
    assert!(quota.used() > 0);
    drop(connection);
    assert_eq!(quota.used(), 0);
}

#[test]
fn a_temporary_file_over_its_quota_is_refused() {
    let memory = crate::vfs::memory::Memory::new();
    let mut options = crate::sql::Options::new(crate::sql::Role::Writer);
    let parent = crate::vfs::Quota::new(1 << 20, None);
    options = options.with_temp_parent(&parent);
    let mut connection = crate::sql::Connection::open(memory.writer(), options).expect("opens");
    script(&mut connection, "CREATE TEMP TABLE t(a)");
    let fill = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM n WHERE i<20000) INSERT INTO t SELECT randomblob(1000) FROM n";
    let error = error(&mut connection, fill);
    assert_eq!(
        (error.code().name(), error.kind()),
        ("SQLITE_FULL", Kind::TooLarge)
    );
    assert_eq!(rows(&mut connection, "SELECT 1").len(), 1);
    drop(connection);
    assert_eq!(parent.used(), 0);
}

/// The heap is limited only if nothing used SQLite before, and other tests of this process do: so this runs in
/// a process of its own, which `the_heap_of_a_connection_is_limited` starts.
#[test]
#[ignore = "started by the_heap_of_a_connection_is_limited"]
fn heap_limit_alone() {
    compile_options::check().expect("nothing used SQLite before");
    let (_, mut connection) = writer_with(|limits| limits.heap_bytes = 20 << 20);
    script(&mut connection, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    let values = vec!["randomblob(1000000)"; 200].join(",");
    let many = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM n WHERE i<50) INSERT INTO t SELECT randomblob(1000000) FROM n";
    for sql in [format!("SELECT {values}"), many.to_owned()] {
        let error = error(&mut connection, &sql);
        assert_eq!(
            (error.code().name(), error.kind()),
            ("SQLITE_NOMEM", Kind::TooLarge),
            "{error:?}"
        );
        assert!(connection.is_autocommit());
        assert_eq!(integer(&mut connection, "SELECT count(*) FROM t"), 1);
        assert!(
            connection.memory_used() < 10 << 20,
            "{}",
            connection.memory_used()
        );
    }
    script(&mut connection, "BEGIN; INSERT INTO t VALUES (2)");
    error(&mut connection, many);
    assert_eq!(integer(&mut connection, "SELECT count(*) FROM t"), 2);
    connection.rollback();
    assert_eq!(integer(&mut connection, "SELECT count(*) FROM t"), 1);
    assert_sound(&mut connection);
}

#[test]
fn the_heap_of_a_connection_is_limited() {
    let program = std::env::current_exe().expect("the test's own program");
    let output = std::process::Command::new(program)
        .args(["--exact", "sql::tests::limits::heap_limit_alone", "--ignored"])
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn what_may_take_long_in_one_call_is_not_brief() {
    let (_, mut connection) = writer();
    script(
        &mut connection,
        "CREATE TABLE t (v CHECK (v NOT LIKE '%x%')); CREATE TABLE n (v)",
    );
    let far = || Some(Instant::now() + Duration::from_secs(60));
    for sql in [
        "SELECT json_patch('{}', '{\"a\":1}')",
        "SELECT 'aaa' LIKE '%a%b'",
        "SELECT length(zeroblob(20000))",
        "INSERT INTO t VALUES (zeroblob(20000))",
        "INSERT INTO n VALUES (zeroblob(20000))",
    ] {
        connection.set_brief(far());
        error(&mut connection, sql);
        assert!(connection.take_wants_patience(), "{sql}");
        connection.set_brief(None);
        connection.rollback();
        run(&mut connection, sql).expect("with patience it runs");
    }
    let long = format!("VALUES (1){}", ",(1)".repeat(5000));
    connection.set_brief(far());
    error(&mut connection, &long);
    assert!(connection.take_wants_patience(), "to run");
    let budget = &mut Budget::lasting(Duration::from_secs(60), u64::MAX);
    assert!(connection.sequence(&long, budget).is_err());
    assert!(connection.take_wants_patience(), "as a script");
    assert!(connection.classify(&long).is_err() && connection.take_wants_patience());
    assert!(connection.describe(&long).is_err() && connection.take_wants_patience());
    connection.set_brief(None);
    run(&mut connection, &long).expect("with patience it runs");
    connection.set_brief(far());
    for sql in [
        "SELECT length(v) FROM n WHERE length(v) < 100",
        "SELECT instr(zeroblob(40), x'01'), trim('aaa', 'ab'), replace('aaa', 'ab', 'c'), unhex('61', '-')",
        "SELECT json_extract('{\"a\":1}', '$.a')",
        "INSERT INTO n VALUES (zeroblob(2000))",
    ] {
        run(&mut connection, sql).expect("it is brief");
    }
}

/// What a database in use costs, many of which are open on a node: lookaside, cached pages and statements, schema.
#[test]
fn an_idle_connection_holds_little_memory() {
    let (memory, mut writer) = writer();
    script(
        &mut writer,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, payload TEXT NOT NULL)",
    );
    for _ in 0..20 {
        run(
            &mut writer,
            "INSERT INTO t (payload) VALUES (hex(randomblob(50)))",
        )
        .expect("inserted");
    }
    let mut reader = open_reader(&memory);
    run(&mut reader, "SELECT payload FROM t WHERE id = 5").expect("read");
    for connection in [writer, reader] {
        let bytes = connection.memory_used();
        println!("{:?}: {bytes} bytes", connection.options().role);
        assert!(bytes <= 50 << 10, "{bytes} bytes");
    }
}
