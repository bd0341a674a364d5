//! Units on real connections: conditions, turns, moves, closing.

use super::*;
use crate::hrana::Texts;
use crate::sql::{Options, Role};
use crate::vfs::memory::Memory;
use orion_api::Value;
use orion_api::hrana::PipelineRequest;

fn unit_of(json: &str, access: Access) -> Unit {
    let request: PipelineRequest =
        serde_json::from_str(&format!(r#"{{"requests":[{json}]}}"#)).expect("a pipeline");
    let plan = Plan::new(request.requests, &mut Texts::default());
    Unit::new(plan, access, Room::unlimited())
}

fn own(json: &str) -> Unit {
    let mut unit = unit_of(json, Access::Write);
    unit.place(Placement::Own);
    unit
}

fn writer(memory: &Memory) -> Connection {
    Connection::open(memory.writer(), Options::new(Role::Stream)).expect("a connection")
}

fn reader(memory: &Memory) -> Connection {
    Connection::open(memory.reader(), Options::new(Role::Stream)).expect("a connection")
}

fn execute(sql: &str) -> String {
    format!(
        r#"{{"type":"execute","stmt":{{"sql":{}}}}}"#,
        serde_json::json!(sql)
    )
}

/// Runs a batch of (condition, sql) on an empty database; `+` ran, `-` failed, `.` was skipped.
fn marks(steps: &[(&str, &str)]) -> String {
    let steps: Vec<_> = steps
        .iter()
        .map(|(condition, sql)| {
            let condition = if condition.is_empty() { "null" } else { condition };
            format!(
                r#"{{"condition":{condition},"stmt":{{"sql":{}}}}}"#,
                serde_json::json!(sql)
            )
        })
        .collect();
    let batch = format!(r#"{{"type":"batch","batch":{{"steps":[{}]}}}}"#, steps.join(","));
    let mut unit = own(&batch);
    assert_eq!(unit.resume(&mut writer(&Memory::new())), Progress::Done);
    match &unit.outcomes()[0] {
        Outcome::Ok(Response::Batch(result)) => {
            let results = result.step_results.iter().zip(&result.step_errors);
            results
                .map(|step| match step {
                    (Some(_), None) => '+',
                    (None, Some(_)) => '-',
                    (None, None) => '.',
                    both => panic!("a step with result and error: {both:?}"),
                })
                .collect()
        }
        other => panic!("not a batch: {other:?}"),
    }
}

fn rows(outcome: &Outcome) -> &[Vec<Value>] {
    match outcome {
        Outcome::Ok(Response::Execute(result)) => &result.rows,
        other => panic!("not rows: {other:?}"),
    }
}

fn code(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Error(error) => &error.code,
        other => panic!("not an error: {other:?}"),
    }
}

#[test]
fn a_step_without_condition_always_runs() {
    assert_eq!(
        marks(&[("", "SELECT 1"), ("", "nonsense"), ("", "SELECT 2")]),
        "+-+"
    );
}

#[test]
fn ok_is_false_of_failed_and_skipped_steps() {
    let steps = [
        ("", "nonsense"),
        (r#"{"type":"ok","step":0}"#, "SELECT 1"),
        (r#"{"type":"ok","step":1}"#, "SELECT 1"),
    ];
    assert_eq!(marks(&steps), "-..");
}

#[test]
fn error_is_not_ok_and_holds_for_skipped_steps() {
    let steps = [
        ("", "nonsense"),
        (r#"{"type":"error","step":0}"#, "SELECT 1"),
        (r#"{"type":"error","step":1}"#, "SELECT 1"),
        (r#"{"type":"error","step":2}"#, "SELECT 1"),
    ];
    assert_eq!(marks(&steps), "-+.+");
}

#[test]
fn conditions_combine() {
    let ok = r#"{"type":"ok","step":0}"#;
    let failed = r#"{"type":"ok","step":1}"#;
    let steps = [
        ("", "SELECT 1"),
        ("", "nonsense"),
        (&*format!(r#"{{"type":"not","cond":{failed}}}"#), "SELECT 1"),
        (
            &*format!(r#"{{"type":"and","conds":[{ok},{failed}]}}"#),
            "SELECT 1",
        ),
        (
            &*format!(r#"{{"type":"or","conds":[{failed},{ok}]}}"#),
            "SELECT 1",
        ),
        (r#"{"type":"and","conds":[]}"#, "SELECT 1"),
        (r#"{"type":"or","conds":[]}"#, "SELECT 1"),
    ];
    assert_eq!(marks(&steps), "+-+.++.");
}

#[test]
fn is_autocommit_asks_the_connection() {
    let auto = r#"{"type":"is_autocommit"}"#;
    let steps = [
        (auto, "BEGIN"),
        (auto, "SELECT 1"),
        ("", "COMMIT"),
        (auto, "SELECT 1"),
    ];
    assert_eq!(marks(&steps), "+.++");
}

#[test]
fn a_condition_on_a_later_step_fails_the_batch() {
    let batch = r#"{"type":"batch","batch":{"steps":[{"condition":{"type":"not","cond":{"type":"ok","step":0}},"stmt":{"sql":"SELECT 1"}}]}}"#;
    let mut unit = own(batch);
    assert_eq!(unit.resume(&mut writer(&Memory::new())), Progress::Done);
    assert_eq!(code(&unit.outcomes()[0]), "HRANA_PROTO_ERROR");
}

#[test]
fn the_client_transaction_batch_rolls_back_on_error() {
    let step = |n: u32| format!(r#"{{"type":"ok","step":{n}}}"#);
    let rollback = r#"{"type":"not","cond":{"type":"ok","step":3}}"#;
    let steps = [
        ("", "BEGIN IMMEDIATE"),
        (&*step(0), "CREATE TABLE t(a UNIQUE)"),
        (&*step(1), "INSERT INTO t VALUES (1), (1)"),
        (&*step(2), "COMMIT"),
        (rollback, "ROLLBACK"),
    ];
    assert_eq!(marks(&steps), "++-.+");
}

#[test]
fn a_write_without_turn_stops_and_goes_on_where_it_was() {
    let memory = Memory::new();
    let close = r#"{"type":"close"}"#;
    let (read, write) = (execute("SELECT 1"), execute("CREATE TABLE t(a)"));
    let mut unit = unit_of(&format!("{read},{write},{close}"), Access::Write);
    assert_eq!(unit.resume(&mut reader(&memory)), Progress::NeedsTurn);
    assert_eq!(unit.outcomes().len(), 1);
    assert_eq!(unit.resume(&mut writer(&memory)), Progress::Done);
    assert!(
        unit.outcomes()
            .iter()
            .all(|outcome| matches!(outcome, Outcome::Ok(_)))
    );
}

#[test]
fn a_batch_goes_on_at_the_step_that_needed_the_turn() {
    let memory = Memory::new();
    let batch = r#"{"type":"batch","batch":{"steps":[{"stmt":{"sql":"SELECT 1"}},{"condition":{"type":"ok","step":0},"stmt":{"sql":"CREATE TABLE t(a)"}},{"condition":{"type":"ok","step":1},"stmt":{"sql":"SELECT 3"}}]}},{"type":"close"}"#;
    let mut unit = unit_of(batch, Access::Write);
    assert_eq!(unit.resume(&mut reader(&memory)), Progress::NeedsTurn);
    assert_eq!(unit.resume(&mut writer(&memory)), Progress::Done);
    match &unit.outcomes()[0] {
        Outcome::Ok(Response::Batch(result)) => {
            assert_eq!(result.step_results.len(), 3);
            assert!(result.step_errors.iter().all(Option::is_none));
        }
        other => panic!("not a batch: {other:?}"),
    }
}

#[test]
fn a_restart_forgets_results() {
    let memory = Memory::new();
    let (read, write) = (execute("SELECT 1"), execute("CREATE TABLE t(a)"));
    let mut unit = unit_of(&format!(r#"{read},{write},{{"type":"close"}}"#), Access::Write);
    assert_eq!(unit.resume(&mut reader(&memory)), Progress::NeedsTurn);
    unit.restart();
    assert!(unit.outcomes().is_empty());
    assert_eq!(unit.resume(&mut writer(&memory)), Progress::Done);
    assert_eq!(unit.outcomes().len(), 3);
}

#[test]
fn an_open_stream_moves_before_it_leaves_something_behind() {
    for sql in [
        "BEGIN",
        "SAVEPOINT a",
        "CREATE TABLE t(a)",
        "PRAGMA foreign_keys=on",
        "CREATE TEMP TABLE t(a)",
        "SELECT last_insert_rowid()",
    ] {
        let memory = Memory::new();
        let requests = format!("{},{}", execute("SELECT 1"), execute(sql));
        let mut unit = unit_of(&requests, Access::Write);
        let mut shared = writer(&memory);
        assert_eq!(unit.resume(&mut shared), Progress::NeedsOwnConnection, "{sql}");
        assert!(unit.needs_own_connection());
        assert_eq!(unit.outcomes().len(), 1, "{sql}");
        assert!(shared.is_autocommit());
        unit.place(Placement::Own);
        assert_eq!(unit.resume(&mut writer(&memory)), Progress::Done, "{sql}");
        assert_eq!(unit.outcomes().len(), 2);
    }
}

#[test]
fn a_script_on_an_open_stream_always_moves() {
    let mut unit = unit_of(r#"{"type":"sequence","sql":"SELECT 1"}"#, Access::Write);
    let progress = unit.resume(&mut writer(&Memory::new()));
    assert_eq!(progress, Progress::NeedsOwnConnection);
}

#[test]
fn a_closing_unit_leaves_no_transaction() {
    let memory = Memory::new();
    let mut connection = writer(&memory);
    let requests = format!(
        r#"{},{},{{"type":"close"}}"#,
        execute("BEGIN"),
        execute("CREATE TABLE t(a)")
    );
    assert_eq!(
        unit_of(&requests, Access::Write).resume(&mut connection),
        Progress::Done
    );
    assert!(connection.is_autocommit());
    let mut after = own(&execute("SELECT count(*) FROM sqlite_schema"));
    assert_eq!(after.resume(&mut connection), Progress::Done);
    assert_eq!(rows(&after.outcomes()[0]), [[Value::Integer(0)]]);
}

#[test]
fn requests_after_close_are_errors() {
    let mut unit = own(&format!(r#"{{"type":"close"}},{}"#, execute("SELECT 1")));
    assert_eq!(unit.resume(&mut writer(&Memory::new())), Progress::Done);
    assert_eq!(code(&unit.outcomes()[1]), "STREAM_EXPIRED");
}

#[test]
fn a_reading_token_reads_and_never_writes() {
    let memory = Memory::new();
    let requests = [
        execute("SELECT 1"),
        execute("CREATE TABLE t(a)"),
        execute("BEGIN IMMEDIATE"),
        r#"{"type":"sequence","sql":"CREATE TABLE t(a); SELECT 1"}"#.to_owned(),
        r#"{"type":"sequence","sql":"CREATE TABLE t(a)"}"#.to_owned(),
        execute("SELECT count(*) FROM sqlite_schema"),
        r#"{"type":"close"}"#.to_owned(),
    ];
    let mut unit = unit_of(&requests.join(","), Access::Read);
    // On a writer's connection, as it must never happen.
    assert_eq!(unit.resume(&mut writer(&memory)), Progress::Done);
    let outcomes = unit.outcomes();
    assert_eq!(code(&outcomes[1]), "AUTH_FORBIDDEN");
    assert_eq!(code(&outcomes[2]), "AUTH_FORBIDDEN");
    assert_eq!(code(&outcomes[3]), "SQL_MANY_STATEMENTS");
    assert_eq!(code(&outcomes[4]), "AUTH_FORBIDDEN");
    assert_eq!(rows(&outcomes[5]), [[Value::Integer(0)]]);
}

#[test]
fn stored_texts_live_in_order() {
    let requests = [
        r#"{"type":"store_sql","sql_id":1,"sql":"SELECT 'one'"}"#,
        r#"{"type":"execute","stmt":{"sql_id":1}}"#,
        r#"{"type":"close_sql","sql_id":1}"#,
        r#"{"type":"execute","stmt":{"sql_id":1}}"#,
        r#"{"type":"execute","stmt":{}}"#,
        r#"{"type":"execute","stmt":{"sql":"SELECT 1","sql_id":1}}"#,
    ];
    let mut unit = own(&requests.join(","));
    assert_eq!(unit.resume(&mut writer(&Memory::new())), Progress::Done);
    let outcomes = unit.outcomes();
    assert_eq!(rows(&outcomes[1]), [[Value::Text("one".into())]]);
    for index in [3, 4, 5] {
        assert_eq!(code(&outcomes[index]), "HRANA_PROTO_ERROR");
    }
}

#[test]
fn constraint_errors_carry_both_codes() {
    let requests = format!(
        "{},{}",
        execute("CREATE TABLE t(a UNIQUE)"),
        execute("INSERT INTO t VALUES (1), (1)")
    );
    let mut unit = own(&requests);
    assert_eq!(unit.resume(&mut writer(&Memory::new())), Progress::Done);
    match &unit.outcomes()[1] {
        Outcome::Error(error) => {
            assert_eq!(error.code, "SQLITE_CONSTRAINT");
            assert_eq!(error.extended_code.as_deref(), Some("SQLITE_CONSTRAINT_UNIQUE"));
        }
        other => panic!("not an error: {other:?}"),
    }
}

#[test]
fn describe_and_autocommit_answer() {
    let requests = r#"{"type":"describe","sql":"SELECT :a AS x, ?"},{"type":"get_autocommit"}"#;
    let mut unit = own(requests);
    assert_eq!(unit.resume(&mut writer(&Memory::new())), Progress::Done);
    match &unit.outcomes()[0] {
        Outcome::Ok(Response::Describe(result)) => {
            let names: Vec<_> = result.params.iter().map(|param| param.name.as_deref()).collect();
            assert_eq!(names, [Some(":a"), None]);
            assert_eq!(result.cols[0].name.as_deref(), Some("x"));
            assert!(result.is_readonly && !result.is_explain);
        }
        other => panic!("not a description: {other:?}"),
    }
    let autocommit = Outcome::Ok(Response::GetAutocommit { is_autocommit: true });
    assert_eq!(unit.outcomes()[1], autocommit);
}

#[test]
fn all_texts_are_shown() {
    let request = r#"{"type":"sequence","sql":"c"},{"type":"close"}"#;
    let batch = r#"{"type":"batch","batch":{"steps":[{"stmt":{"sql":"b"}}]}}"#;
    let unit = unit_of(&format!("{},{batch},{request}", execute("a")), Access::Write);
    let mut texts = Vec::new();
    unit.statements(&mut |sql| texts.push(sql.to_owned()));
    assert_eq!(texts, ["a", "b", "c"]);
}
