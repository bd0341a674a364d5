//! Functions in the place of SQLite's own answer as SQLite's do, and end where those would not.

use super::fixture::{assert_sound, error, integer, rows, run, script, text, writer, writer_with};
use crate::sql::{Args, Budget, Code, Connection, Kind, Value};
use proptest::prelude::*;
use rusqlite::ffi;
use rusqlite::limits::Limit;
use rusqlite::types::{ToSql, ToSqlOutput, Value as Stored, ValueRef};
use std::time::{Duration, Instant};

/// A value of any kind; texts are any bytes.
#[derive(Clone, Debug)]
enum Any {
    Text(Vec<u8>),
    Other(Stored),
}

impl ToSql for Any {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Any::Text(bytes) => ToSqlOutput::Borrowed(ValueRef::Text(bytes)),
            Any::Other(value) => ToSqlOutput::Borrowed(value.into()),
        })
    }
}

/// Type and bytes of a value, or SQLite's code.
type Outcome = Result<(String, Vec<u8>), i32>;

const CALLS: [&str; 10] = [
    "instr(?1, ?2)",
    "replace(?1, ?2, ?3)",
    "replace(?1, ?2, '')",
    "trim(?1, ?2)",
    "ltrim(?1, ?2)",
    "rtrim(?1, ?2)",
    "unhex(?1, ?2)",
    "unhex(?1)",
    "trim(?1)",
    // Reading an argument leaves it as it was for who reads it next.
    "(SELECT instr(x, y) || typeof(x) || typeof(y) || hex(x) || hex(y) FROM (SELECT ?1 AS x, ?2 AS y LIMIT 1))",
];

fn outcome(connection: &rusqlite::Connection, call: &str, values: &[Any]) -> Outcome {
    let sql = format!("SELECT {call}, ?1, ?2, ?3");
    let mut statement = connection.prepare_cached(&sql).expect("prepares");
    let values = rusqlite::params_from_iter(values);
    let answer = statement.query_row(values, |row| {
        let value = row.get_ref(0)?;
        let bytes = match value {
            ValueRef::Null => Vec::new(),
            ValueRef::Integer(integer) => integer.to_be_bytes().to_vec(),
            ValueRef::Real(real) => real.to_be_bytes().to_vec(),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
        };
        Ok((value.data_type().to_string(), bytes))
    });
    answer.map_err(|error| match error {
        rusqlite::Error::SqliteFailure(error, _) => error.extended_code,
        other => panic!("{call}: {other}"),
    })
}

/// The one difference (`sql::functions::search`): less than a character of UTF-16 is searched for in a text.
fn half_a_character(values: &[Any]) -> bool {
    matches!(values, [Any::Text(_) | Any::Other(Stored::Integer(_) | Stored::Real(_)), Any::Other(Stored::Blob(what)), _]
        if what.len() <= 2)
}

/// Few different pieces, so that they meet: characters of each length, halves of them, digits, NUL.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![&b"a"[..], b"b", b" ", b"-", b"0", b"F"]),
        4 => prop::sample::select(vec![&b"\xc3\xa9"[..], b"\xe2\x82\xac", b"\xf0\x9f\x98\x80", b"4a", b"aab"]),
        3 => prop::sample::select(vec![&b"\xc3"[..], b"\xa9", b"\x80", b"\xe2\x82", b"\xff", b"\xc0\x80", b"\xed\xa0\x80"]),
        1 => Just(&b"\0"[..]),
    ];
    prop_oneof![
        4 => prop::collection::vec(piece.clone(), 0..6),
        2 => prop::collection::vec(piece, 0..120),
    ]
    .prop_map(|pieces| pieces.concat())
}

fn value() -> impl Strategy<Value = Any> {
    prop_oneof![
        8 => bytes().prop_map(Any::Text),
        4 => bytes().prop_map(|bytes| Any::Other(Stored::Blob(bytes))),
        1 => (-20..1000_i64).prop_map(|integer| Any::Other(Stored::Integer(integer))),
        1 => prop::sample::select(vec![0.0, -1.5, 1e300]).prop_map(|real| Any::Other(Stored::Real(real))),
        1 => Just(Any::Other(Stored::Null)),
    ]
}

fn stock() -> rusqlite::Connection {
    crate::vfs::start().expect("SQLite starts");
    rusqlite::Connection::open_in_memory().expect("opens")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn functions_answer_as_sqlite_does(values in prop::collection::vec(value(), 3), wide in any::<bool>()) {
        thread_local! {
            static PAIRS: [(rusqlite::Connection, Connection); 2] = ["UTF-8", "UTF-16le"].map(|encoding| {
                let (stock, (_, ours)) = (stock(), writer());
                for connection in [&stock, &ours.inner] {
                    connection.pragma_update(None, "encoding", encoding).expect("set");
                }
                (stock, ours)
            });
        }
        PAIRS.with(|pairs| {
            let (stock, ours) = &pairs[usize::from(wide)];
            for call in CALLS {
                if wide && call.contains("instr") && half_a_character(&values) {
                    continue;
                }
                let expected = outcome(stock, call, &values);
                let found = ours.link.run(|| outcome(&ours.inner, call, &values));
                prop_assert_eq!(&found, &expected, "{} of {:?}", call, values);
            }
            Ok(())
        })?;
    }
}

/// One byte more, and SQLite's own has no room.
#[test]
fn functions_have_the_limits_of_sqlites_own() {
    let (stock, (_, ours)) = (stock(), writer());
    for connection in [&stock, &ours.inner] {
        connection
            .set_limit(Limit::SQLITE_LIMIT_LENGTH, 1200)
            .expect("set");
    }
    let mut refused = 0;
    for length in (90..110).chain(590..610).chain(1190..1200) {
        let long = |byte: u8| Any::Text(vec![byte; length]);
        for values in [
            [long(b'a'), long(b'b'), long(b'c')],
            [long(b'a'), Any::Text(b"a".to_vec()), Any::Text(b"bb".to_vec())],
            [long(b'a'), Any::Text(b"aa".to_vec()), Any::Text(b"bbb".to_vec())],
            [long(b'6'), Any::Text(b"-".to_vec()), Any::Text(Vec::new())],
        ] {
            for call in CALLS {
                let expected = outcome(&stock, call, &values);
                let found = ours.link.run(|| outcome(&ours.inner, call, &values));
                assert_eq!(found, expected, "{call} of {length} bytes, {values:?}");
                refused += usize::from(expected == Err(ffi::SQLITE_TOOBIG));
            }
        }
    }
    assert!(refused > 50, "{refused}: the limits were met");
}

#[test]
fn schemas_call_functions_of_ours() {
    let (_, mut connection) = writer();
    script(
        &mut connection,
        "CREATE TABLE t (v TEXT CHECK (trim(v, '-') <> ''), g AS (replace(v, 'a', 'b')) STORED,
             h AS (unhex(v, '-')));
         CREATE INDEX by_place ON t (instr(v, 'x')) WHERE ltrim(v, '-') > '';
         CREATE VIEW trimmed AS SELECT rtrim(v, '-') AS v FROM t;
         CREATE TABLE log (v);
         CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES (replace(new.v, '-', '+')); END;
         INSERT INTO t (v) VALUES ('--ax--'), ('61'), ('x');",
    );
    assert_eq!(
        error(&mut connection, "INSERT INTO t (v) VALUES ('--')").kind(),
        Kind::Constraint
    );
    let plan = "EXPLAIN QUERY PLAN SELECT v FROM t WHERE instr(v, 'x') = 1 AND ltrim(v, '-') > ''";
    let plan = format!("{:?}", rows(&mut connection, plan));
    assert!(plan.contains("USING INDEX by_place"), "{plan}");
    let found = "SELECT v FROM t WHERE instr(v, 'x') = 1 AND ltrim(v, '-') > ''";
    assert_eq!(rows(&mut connection, found), [[text("x")]]);
    assert_eq!(
        rows(
            &mut connection,
            "SELECT g, (SELECT v FROM log), (SELECT v FROM trimmed) FROM t LIMIT 1"
        ),
        [[text("--bx--"), text("++ax++"), text("--ax")]]
    );
    assert_sound(&mut connection);
}

#[test]
fn like_and_glob_search_an_index() {
    let (_, mut connection) = writer();
    script(
        &mut connection,
        "CREATE TABLE t (v TEXT COLLATE NOCASE, w TEXT); CREATE INDEX i ON t (v); CREATE INDEX j ON t (w)",
    );
    for clause in ["v LIKE 'abc%'", "w GLOB 'abc*'", "v LIKE 'a\\%b%' ESCAPE '\\'"] {
        let plan = rows(
            &mut connection,
            &format!("EXPLAIN QUERY PLAN SELECT 1 FROM t WHERE {clause}"),
        );
        let plan = format!("{plan:?}");
        assert!(plan.contains("SEARCH t USING"), "{plan}");
    }
}

/// Each takes the product of two lengths: with SQLite's own, days.
#[test]
fn functions_of_the_largest_values_end_within_their_time() {
    let time = Duration::from_millis(300);
    let (_, mut connection) = writer_with(|limits| limits.statement_time = time);
    let half = connection.options().limits.value_bytes as usize / 2;
    let mut needle = "a".repeat(half);
    needle.push('b');
    // As many characters as trim takes; the one that fits comes last.
    let mut set: String = (0..half as u32 / 8)
        .filter_map(|number| char::from_u32(0x400 + number % 0x8000))
        .collect();
    set.push('a');
    let values = [
        Value::Text("a".repeat(2 * half - 100)),
        Value::Text(needle),
        Value::Text(set),
    ];
    let args = Args::positional(values.to_vec());
    for call in [
        "instr(?1, ?2)",
        "instr(CAST(?1 AS BLOB), CAST(?2 AS BLOB))",
        "length(replace(?1, ?2, ?3))",
        "length(trim(?1, ?3))",
        "length(ltrim(?1, ?3))",
        "length(rtrim(?1, ?3))",
        "unhex(replace(?1, 'a', '-'), ?3 || '-')",
        // Few are trimmed of what is left, a byte at a time.
        "length(rtrim(CAST(x'c3' || replace(zeroblob(1000000), x'00', x'80') AS TEXT), ?3))",
    ] {
        let sql = format!("SELECT {call}, ?1, ?2, ?3");
        let began = Instant::now();
        let budget = &mut Budget::lasting(Duration::from_secs(60), u64::MAX);
        let result = connection.execute(&sql, &args, false, budget);
        if let Err(error) = result {
            assert_eq!(error.kind(), Kind::Deadline, "{call}: {error}");
        }
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{call}: {:?}",
            began.elapsed()
        );
    }
    assert_eq!(integer(&mut connection, "SELECT 1"), 1);
}

#[test]
fn a_function_that_is_ended_ends_its_transaction_as_any_statement() {
    let (_, mut connection) = writer_with(|limits| limits.statement_time = Duration::from_millis(50));
    script(
        &mut connection,
        "CREATE TABLE t (v); BEGIN; INSERT INTO t VALUES (1)",
    );
    let set = "\u{400}".repeat(1 << 20);
    let args = Args::positional(vec![
        Value::Text(set.clone() + "a"),
        Value::Text("a".repeat(16 << 20)),
    ]);
    let budget = &mut Budget::lasting(Duration::from_secs(60), u64::MAX);
    let sql = "INSERT INTO t SELECT trim(?2, ?1) FROM (VALUES (1), (2), (3), (4), (5), (6), (7), (8))";
    let error = connection.execute(sql, &args, false, budget).expect_err("ends");
    assert_eq!(
        (error.code(), error.kind()),
        (Code::Sqlite(ffi::SQLITE_INTERRUPT), Kind::Deadline)
    );
    assert!(
        connection.is_autocommit(),
        "the transaction is undone, as by an interrupt"
    );
    assert_eq!(integer(&mut connection, "SELECT count(*) FROM t"), 0);
}

#[test]
fn what_grows_with_two_lengths_and_is_sqlites_own_has_limits() {
    let (_, mut connection) = writer();
    for sql in [
        "SELECT 'x' LIKE printf('%.*c', 257, '%')",
        "SELECT 'x' GLOB printf('%.*c', 257, '*')",
    ] {
        assert_eq!(error(&mut connection, sql).kind(), Kind::Invalid, "{sql}");
        run(&mut connection, &sql.replace("257", "256")).expect("it is allowed");
    }
    let paths = |count: usize| format!("SELECT json_extract('[1]'{})", ", '$[0]'".repeat(count));
    assert_eq!(error(&mut connection, &paths(256)).kind(), Kind::Invalid);
    run(&mut connection, &paths(255)).expect("it is allowed");
}
