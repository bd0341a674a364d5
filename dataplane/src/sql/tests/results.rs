//! Arguments in, rows and codes out.

use super::fixture::{budget, error, integer, open_reader, rows, run, script, text, writer, writer_with};
use crate::sql::{Args, Code, Kind, TransactionStep, Value};
use bytes::Bytes;
use rusqlite::ffi;

#[test]
fn every_storage_class_comes_back_as_it_went_in() {
    let (_, mut connection) = writer();
    let values = vec![
        Value::Null,
        Value::Integer(i64::MIN),
        Value::Real(1.5),
        text("zoë \u{1F980}"),
        Value::Blob(Bytes::from_static(b"\0\xff")),
        text(""),
        Value::Blob(Bytes::new()),
    ];
    let result = connection
        .execute(
            "SELECT ?, ?, ?, ?, ?, ?, ?",
            &Args::positional(values.clone()),
            true,
            &mut budget(),
        )
        .expect("runs");
    assert_eq!(result.rows, [values]);
}

#[test]
fn columns_have_names_and_declared_types() {
    let (_, mut connection) = writer();
    script(
        &mut connection,
        "CREATE TABLE t(a INTEGER PRIMARY KEY, b VARCHAR(10))",
    );
    let result = run(&mut connection, "SELECT a, b AS c, a+1 FROM t").expect("runs");
    let seen: Vec<_> = result
        .cols
        .iter()
        .map(|col| (col.name.as_str(), col.decltype.as_deref()))
        .collect();
    assert_eq!(
        seen,
        [("a", Some("INTEGER")), ("c", Some("VARCHAR(10)")), ("a+1", None)]
    );
}

#[test]
fn counts_are_of_this_statement_only() {
    let (_, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a INTEGER PRIMARY KEY)");
    let insert = run(&mut connection, "INSERT INTO t VALUES (5),(6),(7)").expect("runs");
    assert_eq!(
        (
            insert.affected_row_count,
            insert.last_insert_rowid,
            insert.rows_written
        ),
        (3, Some(7), 3)
    );
    let ddl = run(&mut connection, "CREATE TABLE u(a)").expect("runs");
    assert_eq!((ddl.affected_row_count, ddl.last_insert_rowid), (0, None));
    let update = run(&mut connection, "UPDATE t SET a=a+10 WHERE a>5").expect("runs");
    assert_eq!((update.affected_row_count, update.last_insert_rowid), (2, None));
    let select = run(&mut connection, "SELECT * FROM t").expect("runs");
    assert_eq!((select.affected_row_count, select.rows.len()), (0, 3));
    assert!(select.rows_read >= 3);
}

#[test]
fn rows_not_wanted_are_dropped_but_the_statement_runs() {
    let (_, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a)");
    let result = connection
        .execute(
            "INSERT INTO t VALUES (1),(2) RETURNING a",
            &Args::NONE,
            false,
            &mut budget(),
        )
        .expect("runs");
    assert!(result.rows.is_empty());
    assert_eq!(integer(&mut connection, "SELECT count(*) FROM t"), 2);
}

#[test]
fn arguments_must_fit_the_parameters() {
    let (_, mut connection) = writer();
    let one = || vec![Value::Integer(1)];
    let named = |name: &str| vec![(name.to_owned(), Value::Integer(1))];
    let cases = [
        ("SELECT ?", Args::NONE, Code::ArgsInvalid),
        ("SELECT 1", Args::positional(one()), Code::ArgsInvalid),
        (
            "SELECT :a",
            Args {
                positional: vec![],
                named: named("b"),
            },
            Code::ArgsInvalid,
        ),
        (
            "SELECT ?",
            Args {
                positional: vec![],
                named: named("a"),
            },
            Code::ArgsInvalid,
        ),
        (
            "SELECT 1",
            Args {
                positional: vec![],
                named: named("a"),
            },
            Code::ArgsInvalid,
        ),
        (
            "SELECT :a",
            Args {
                positional: one(),
                named: named("a"),
            },
            Code::ArgsBothPositionalAndNamed,
        ),
    ];
    for (sql, args, code) in cases {
        let error = connection
            .execute(sql, &args, true, &mut budget())
            .expect_err(sql);
        assert_eq!(error.code(), code, "{sql} {args:?}");
    }
}

#[test]
fn named_arguments_are_found_with_and_without_prefix() {
    let (_, mut connection) = writer();
    for (sql, name) in [
        ("SELECT :a", "a"),
        ("SELECT :a", ":a"),
        ("SELECT @a", "a"),
        ("SELECT $a", "$a"),
    ] {
        let args = Args {
            positional: vec![],
            named: vec![(name.to_owned(), Value::Integer(3))],
        };
        let result = connection.execute(sql, &args, true, &mut budget()).expect(sql);
        assert_eq!(result.rows, [[Value::Integer(3)]]);
    }
}

#[test]
fn exactly_one_statement_is_executed() {
    let (_, mut connection) = writer();
    for sql in ["", "  ", "-- nothing", "/* nothing */ ;"] {
        assert_eq!(
            error(&mut connection, sql).code(),
            Code::SqlNoStatement,
            "{sql:?}"
        );
    }
    for sql in [
        "SELECT 1; SELECT 2",
        "SELECT 1; garbage",
        "SELECT 1; SELECT * FROM missing",
    ] {
        assert_eq!(
            error(&mut connection, sql).code(),
            Code::SqlManyStatements,
            "{sql:?}"
        );
    }
    assert_eq!(integer(&mut connection, "SELECT 1; -- and a comment"), 1);
}

#[test]
fn a_syntax_error_says_where_it_is() {
    let (_, mut connection) = writer();
    let error = error(&mut connection, "SELECT 1 FRM t");
    assert_eq!(
        (error.code(), error.code().name()),
        (Code::SqlParseError, "SQL_PARSE_ERROR")
    );
    assert_eq!(error.offset(), Some(13));
}

#[test]
fn what_cannot_be_prepared_has_one_code_wherever_it_is() {
    let (_, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a)");
    for sql in [
        "SELECT",
        "SELECT 1 FROM",
        "INSERT INTO t VALUES (1",
        "SELECT 'open",
        "SELEC 1",
        "SELECT missing FROM t",
        "SELECT * FROM missing",
        "SELECT missing()",
        "INSERT INTO t VALUES (1, 2)",
        "CREATE TABLE t(a)",
    ] {
        let executed = error(&mut connection, sql);
        let described = connection.describe(sql).expect_err(sql);
        let scripted = connection.sequence(sql, &mut budget()).expect_err(sql);
        for error in [executed, described, scripted] {
            assert_eq!(error.code(), Code::SqlParseError, "{sql}: {error}");
            assert_eq!(error.extended_name(), Some("SQLITE_ERROR"), "{sql}");
        }
    }
    let when_it_runs = error(&mut connection, "SELECT json('{')");
    assert_eq!(when_it_runs.code(), Code::Sqlite(ffi::SQLITE_ERROR));
}

#[test]
fn sqlite_codes_have_names() {
    let (_, mut connection) = writer();
    script(
        &mut connection,
        "CREATE TABLE t(a UNIQUE NOT NULL, b CHECK (b > 0)); INSERT INTO t VALUES (1, 1)",
    );
    for (sql, extended) in [
        ("INSERT INTO t VALUES (1, 1)", "SQLITE_CONSTRAINT_UNIQUE"),
        ("INSERT INTO t VALUES (NULL, 1)", "SQLITE_CONSTRAINT_NOTNULL"),
        ("INSERT INTO t VALUES (2, 0)", "SQLITE_CONSTRAINT_CHECK"),
    ] {
        let error = error(&mut connection, sql);
        assert_eq!(
            (error.code().name(), error.extended_name()),
            ("SQLITE_CONSTRAINT", Some(extended))
        );
        assert_eq!(error.kind(), Kind::Constraint);
    }
}

#[test]
fn describe_runs_nothing() {
    let (_, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a INT)");
    let description = connection
        .describe("INSERT INTO t VALUES (:x) RETURNING a")
        .expect("describes");
    assert!(!description.is_readonly && !description.is_explain);
    assert_eq!(description.params[0].name.as_deref(), Some(":x"));
    assert_eq!(description.cols[0].decltype.as_deref(), Some("INT"));
    assert!(
        connection
            .describe("EXPLAIN SELECT 1")
            .expect("describes")
            .is_explain
    );
    assert_eq!(integer(&mut connection, "SELECT count(*) FROM t"), 0);
}

#[test]
fn classify_says_what_sqlite_says() {
    let (_, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a)");
    for (sql, writes, transaction, touches) in [
        ("SELECT * FROM t", false, None, false),
        (
            "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
            true,
            None,
            false,
        ),
        ("BEGIN", false, Some(TransactionStep::Begin), false),
        ("BEGIN IMMEDIATE", true, Some(TransactionStep::Begin), false),
        ("END", false, Some(TransactionStep::Commit), false),
        ("ROLLBACK", false, Some(TransactionStep::Rollback), false),
        ("SAVEPOINT a", false, Some(TransactionStep::Savepoint), false),
        ("VACUUM", true, None, false),
        ("SELECT last_insert_rowid()", false, None, true),
        ("PRAGMA foreign_keys", false, None, false),
        ("PRAGMA foreign_keys=on", false, None, true),
        ("PRAGMA table_info(t)", false, None, false),
        ("CREATE TEMP TABLE x(a)", true, None, true),
    ] {
        // Twice: the second comes from the cache of statements.
        for _ in 0..2 {
            let seen = connection.classify(sql).expect(sql);
            assert_eq!(
                (seen.writes, seen.transaction, seen.touches_connection),
                (writes, transaction, touches),
                "{sql}"
            );
        }
    }
    assert!(!connection.is_marked());
}

#[test]
fn what_touches_the_connection_marks_it() {
    for sql in [
        "PRAGMA foreign_keys=on",
        "PRAGMA recursive_triggers=1",
        "CREATE TEMP TABLE x(a)",
    ] {
        let (_, mut connection) = writer();
        rows(&mut connection, "SELECT 1");
        rows(&mut connection, "PRAGMA busy_timeout=5000");
        assert!(!connection.is_marked());
        rows(&mut connection, sql);
        assert!(connection.is_marked(), "{sql}");
    }
}

#[test]
fn a_statement_kept_in_the_cache_still_marks() {
    let (_, mut connection) = writer();
    let sql = "CREATE TEMP TABLE IF NOT EXISTS x(a)";
    connection.describe(sql).expect("describes");
    assert!(!connection.is_marked());
    rows(&mut connection, sql);
    assert!(connection.is_marked());
}

#[test]
fn the_counters_begin_anew_with_each_user_and_asking_leaves_no_mark() {
    const ASKED: &str = "SELECT last_insert_rowid(), changes(), total_changes()";
    let (_, mut connection) = writer();
    script(
        &mut connection,
        "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2)",
    );
    assert_eq!(
        rows(&mut connection, ASKED),
        [[Value::Integer(2), Value::Integer(2), Value::Integer(2)]]
    );
    connection.begin_unit();
    assert_eq!(
        rows(&mut connection, ASKED),
        [[Value::Integer(0), Value::Integer(0), Value::Integer(0)]]
    );
    script(&mut connection, "INSERT INTO t VALUES (3)");
    assert_eq!(
        rows(&mut connection, ASKED),
        [[Value::Integer(3), Value::Integer(1), Value::Integer(1)]]
    );
    assert!(!connection.is_marked());
}

#[test]
fn results_follow_a_change_of_the_schema() {
    let (_, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    rows(&mut connection, "SELECT * FROM t");
    script(&mut connection, "ALTER TABLE t ADD COLUMN b DEFAULT 2");
    let result = run(&mut connection, "SELECT * FROM t").expect("runs");
    assert_eq!(result.cols.len(), 2);
    assert_eq!(result.rows, [[Value::Integer(1), Value::Integer(2)]]);
}

#[test]
fn facts_of_more_statements_than_the_cache_holds_stay_right() {
    let (_, mut connection) = writer_with(|limits| limits.cached_statements = 2);
    for round in 0..3 {
        for n in 0..20 {
            let touches = n % 2 == 0;
            let function = if touches { "changes()" } else { "abs(1)" };
            let seen = connection
                .classify(&format!("SELECT {n}, {function}"))
                .expect("classifies");
            assert_eq!(seen.touches_connection, touches, "round {round}, {n}");
        }
    }
}

#[test]
fn a_reader_may_not_write() {
    let (memory, mut connection) = writer();
    script(&mut connection, "CREATE TABLE t(a)");
    let mut reader = open_reader(&memory);
    let error = error(&mut reader, "INSERT INTO t VALUES (1)");
    assert_eq!(
        (error.code(), error.kind()),
        (Code::Sqlite(ffi::SQLITE_READONLY), Kind::ReadOnly)
    );
}

#[test]
fn looking_at_a_pragma_does_not_set_it() {
    let (_, mut connection) = writer();
    for _ in 0..2 {
        connection.classify("PRAGMA foreign_keys=on").expect("classifies");
        connection
            .describe("PRAGMA synchronous=EXTRA")
            .expect("describes");
        connection.describe("PRAGMA page_size=512").expect("describes");
        assert_eq!(integer(&mut connection, "PRAGMA foreign_keys"), 0);
        assert_eq!(integer(&mut connection, "PRAGMA synchronous"), 2);
        assert_eq!(integer(&mut connection, "PRAGMA page_size"), 4096);
    }
    assert!(!connection.is_marked());
}

#[test]
fn a_pragma_is_set_each_time_it_runs() {
    let (_, mut connection) = writer();
    for _ in 0..3 {
        for on in [1, 0] {
            connection.classify("PRAGMA foreign_keys=1").expect("classifies");
            rows(&mut connection, &format!("PRAGMA foreign_keys={on}"));
            assert_eq!(integer(&mut connection, "PRAGMA foreign_keys"), on);
            rows(&mut connection, &format!("PRAGMA cache_size=-{}", 100 + on));
            assert_eq!(integer(&mut connection, "PRAGMA cache_size"), -100 - on);
        }
    }
}

#[test]
fn a_pragma_before_what_was_refused_marks_the_connection() {
    let (_, mut connection) = writer();
    assert_eq!(
        error(&mut connection, "PRAGMA foreign_keys=on; SELECT 1").code(),
        Code::SqlManyStatements
    );
    assert!(connection.is_marked() || integer(&mut connection, "PRAGMA foreign_keys") == 0);
}
