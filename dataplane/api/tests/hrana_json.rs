//! The JSON of Hrana as it goes over the wire: what clients send is understood, what they get is exactly
//! this, and nothing that anybody sends is more than an error.

use bytes::Bytes;
use orion_api::Value;
use orion_api::hrana::{
    BatchResult, Column, Condition, CursorEntry, Error, Outcome, PipelineReply, PipelineRequest, Request,
    Response, StatementResult,
};
use proptest::prelude::*;
use serde_json::{from_str, json, to_string};

fn value(json: &str) -> Result<Value, serde_json::Error> {
    from_str(json)
}

#[test]
fn values_have_one_form_on_the_way_out() {
    for (value, expected) in [
        (Value::Null, r#"{"type":"null"}"#),
        (
            Value::Integer(i64::MIN),
            r#"{"type":"integer","value":"-9223372036854775808"}"#,
        ),
        (
            Value::Integer(i64::MAX),
            r#"{"type":"integer","value":"9223372036854775807"}"#,
        ),
        (Value::Real(0.1), r#"{"type":"float","value":0.1}"#),
        (Value::Real(-0.0), r#"{"type":"float","value":-0.0}"#),
        (Value::Real(1.0), r#"{"type":"float","value":1.0}"#),
        (Value::Real(f64::NAN), r#"{"type":"null"}"#),
        (Value::Real(f64::INFINITY), r#"{"type":"null"}"#),
        (Value::Real(f64::NEG_INFINITY), r#"{"type":"null"}"#),
        (
            Value::Text("a\"\u{0}\u{1f600}".into()),
            "{\"type\":\"text\",\"value\":\"a\\\"\\u0000\u{1f600}\"}",
        ),
        (Value::Blob(Bytes::new()), r#"{"type":"blob","base64":""}"#),
        (
            Value::Blob(Bytes::from_static(&[255])),
            r#"{"type":"blob","base64":"/w"}"#,
        ),
        (
            Value::Blob(Bytes::from_static(b"abc")),
            r#"{"type":"blob","base64":"YWJj"}"#,
        ),
    ] {
        assert_eq!(to_string(&value).expect("JSON"), expected);
    }
}

#[test]
fn values_are_taken_in_every_form_that_clients_send() {
    let blob = |bytes: &'static [u8]| Value::Blob(Bytes::from_static(bytes));
    for (json, expected) in [
        (r#"{"type":"null"}"#, Value::Null),
        (r#"{"type":"null","value":3,"base64":null}"#, Value::Null),
        (
            r#"{"type":"integer","value":"-9223372036854775808"}"#,
            Value::Integer(i64::MIN),
        ),
        (
            r#"{"type":"integer","value":-9223372036854775808}"#,
            Value::Integer(i64::MIN),
        ),
        (
            r#"{"type":"integer","value":9223372036854775807}"#,
            Value::Integer(i64::MAX),
        ),
        (r#"{"value":"7","type":"integer"}"#, Value::Integer(7)),
        (r#"{"type":"float","value":1}"#, Value::Real(1.0)),
        (r#"{"type":"float","value":-1}"#, Value::Real(-1.0)),
        (r#"{"type":"float","value":0.1}"#, Value::Real(0.1)),
        (r#"{"type":"float","value":null}"#, Value::Null),
        (
            r#"{"type":"text","value":"\u00e4\n","more":{"a":[1]}}"#,
            Value::Text("\u{e4}\n".into()),
        ),
        (r#"{"type":"blob","base64":"/w=="}"#, blob(&[255])),
        (r#"{"type":"blob","base64":"/w"}"#, blob(&[255])),
        (r#"{"type":"blob","base64":"\/w"}"#, blob(&[255])),
        (r#"{"type":"blob","base64":""}"#, blob(&[])),
    ] {
        assert_eq!(value(json).expect(json), expected, "{json}");
    }
}

#[test]
fn wrong_values_are_errors() {
    for json in [
        r#"{}"#,
        r#"{"type":"date","value":"1"}"#,
        r#"{"type":"integer"}"#,
        r#"{"type":"integer","value":"9223372036854775808"}"#,
        r#"{"type":"integer","value":9223372036854775808}"#,
        r#"{"type":"integer","value":1.5}"#,
        r#"{"type":"integer","value":"1.5"}"#,
        r#"{"type":"integer","value":""}"#,
        r#"{"type":"integer","value":null}"#,
        r#"{"type":"integer","value":[]}"#,
        r#"{"type":"float","value":"1"}"#,
        r#"{"type":"float","value":1e400}"#,
        r#"{"type":"text","value":1}"#,
        r#"{"type":"text"}"#,
        r#"{"type":"blob","value":"YQ"}"#,
        r#"{"type":"blob","base64":"Y"}"#,
        r#"{"type":"blob","base64":"Y Q"}"#,
        r#"{"type":"blob","base64":"YQ==="}"#,
        r#"{"type":"blob","base64":"_w"}"#,
        r#"[]"#,
        r#""null""#,
    ] {
        assert!(value(json).is_err(), "{json}");
    }
}

#[test]
fn what_real_clients_send_is_understood() {
    // @libsql/client over HTTP: a batch in a transaction.
    let javascript = r#"{"baton":null,"requests":[{"type":"batch","batch":{"steps":[
        {"stmt":{"sql":"BEGIN IMMEDIATE","want_rows":false}},
        {"stmt":{"sql":"INSERT INTO t VALUES (?)","args":[{"type":"float","value":1}],"want_rows":true},"condition":{"type":"ok","step":0}},
        {"stmt":{"sql":"COMMIT","want_rows":false},"condition":{"type":"ok","step":1}},
        {"stmt":{"sql":"ROLLBACK","want_rows":false},"condition":{"type":"not","cond":{"type":"ok","step":2}}}]}},
        {"type":"close"}]}"#;
    let request: PipelineRequest = from_str(javascript).expect("a pipeline");
    let Request::Batch(batch) = &request.requests[0] else {
        panic!("not a batch");
    };
    let not_committed = Condition::Not(Box::new(Condition::Ok(2)));
    assert_eq!(batch.steps[3].condition, Some(not_committed));
    assert_eq!(request.requests[1], Request::Close);
    // The Rust client: nulls for what it does not say.
    let rust = r#"{"baton":"x","requests":[{"type":"execute","stmt":{"sql":"SELECT 1","sql_id":null,"args":[],"named_args":[{"name":":a","value":{"type":"null"}}],"want_rows":null,"replication_index":null}},{"type":"get_autocommit"},{"type":"sequence","sql":"x","sql_id":null,"replication_index":null}]}"#;
    let request: PipelineRequest = from_str(rust).expect("a pipeline");
    let Request::Execute(statement) = &request.requests[0] else {
        panic!("not a statement");
    };
    assert_eq!(statement.named_args[0].name, ":a");
    assert_eq!(statement.want_rows, None);
    assert_eq!(request.requests[1], Request::GetAutocommit);
    // Others leave out or null whole lists.
    let sparse = r#"{"requests":[{"stmt":{"args":null,"sql":"x"},"type":"execute"}]}"#;
    assert!(from_str::<PipelineRequest>(sparse).is_ok());
}

#[test]
fn requests_go_out_as_they_come_in() {
    let json = r#"{"baton":null,"requests":[{"type":"close"},{"type":"execute","stmt":{"sql":"a","args":[{"type":"integer","value":"1"}],"want_rows":false}},{"type":"batch","batch":{"steps":[{"stmt":{"sql_id":1}},{"condition":{"type":"and","conds":[{"type":"error","step":0},{"type":"or","conds":[]},{"type":"is_autocommit"}]},"stmt":{"sql":"b"}}]}},{"type":"sequence","sql":"c"},{"type":"describe","sql_id":2},{"type":"store_sql","sql_id":3,"sql":"d"},{"type":"close_sql","sql_id":3},{"type":"get_autocommit"}]}"#;
    let request: PipelineRequest = from_str(json).expect("a pipeline");
    assert_eq!(to_string(&request).expect("JSON"), json);
}

#[test]
fn a_reply_is_exactly_this() {
    let result = StatementResult {
        cols: vec![Column {
            name: Some("a".into()),
            decltype: None,
        }],
        rows: vec![vec![Value::Integer(1)]],
        affected_row_count: 2,
        last_insert_rowid: Some(-3),
        replication_index: None,
        rows_read: 4,
        rows_written: 5,
        query_duration_ms: 0.5,
    };
    let error = Error {
        message: "no".into(),
        code: "SQLITE_CONSTRAINT".into(),
        extended_code: Some("SQLITE_CONSTRAINT_UNIQUE".into()),
    };
    let reply = PipelineReply {
        baton: None,
        base_url: None,
        results: vec![
            Outcome::Ok(Response::Execute(result.clone())),
            Outcome::Ok(Response::Batch(BatchResult {
                step_results: vec![None],
                step_errors: vec![Some(error.clone())],
                replication_index: None,
            })),
            Outcome::Error(error),
            Outcome::Ok(Response::GetAutocommit { is_autocommit: true }),
            Outcome::Ok(Response::Close),
        ],
        orion: None,
    };
    let json = r#"{"baton":null,"base_url":null,"results":[{"type":"ok","response":{"type":"execute","result":{"cols":[{"name":"a","decltype":null}],"rows":[[{"type":"integer","value":"1"}]],"affected_row_count":2,"last_insert_rowid":"-3","replication_index":null,"rows_read":4,"rows_written":5,"query_duration_ms":0.5}}},{"type":"ok","response":{"type":"batch","result":{"step_results":[null],"step_errors":[{"message":"no","code":"SQLITE_CONSTRAINT","extended_code":"SQLITE_CONSTRAINT_UNIQUE"}],"replication_index":null}}},{"type":"error","error":{"message":"no","code":"SQLITE_CONSTRAINT","extended_code":"SQLITE_CONSTRAINT_UNIQUE"}},{"type":"ok","response":{"type":"get_autocommit","is_autocommit":true}},{"type":"ok","response":{"type":"close"}}]}"#;
    assert_eq!(to_string(&reply).expect("JSON"), json);
    assert_eq!(from_str::<PipelineReply>(json).expect("a reply"), reply);
}

#[test]
fn replies_are_read_in_any_order_of_fields() {
    let json = r#"{"response":{"result":{"rows":[],"cols":[]},"type":"execute"},"type":"ok"}"#;
    let outcome: Outcome = from_str(json).expect("an outcome");
    assert_eq!(
        outcome,
        Outcome::Ok(Response::Execute(StatementResult::default()))
    );
    let sqld = r#"{"type":"error","error":{"message":"m","code":null}}"#;
    let Outcome::Error(error) = from_str(sqld).expect("an error") else {
        panic!("not an error");
    };
    assert_eq!((error.message.as_str(), error.code.as_str()), ("m", ""));
}

#[test]
fn cursor_lines_are_exactly_this() {
    for (entry, expected) in [
        (
            CursorEntry::StepBegin {
                step: 0,
                cols: vec![],
            },
            json!({"type": "step_begin", "step": 0, "cols": []}),
        ),
        (
            CursorEntry::Row(vec![Value::Null]),
            json!({"type": "row", "row": [{"type": "null"}]}),
        ),
        (
            CursorEntry::StepEnd {
                affected_row_count: 1,
                last_insert_rowid: Some(2),
            },
            json!({"type": "step_end", "affected_row_count": 1, "last_insert_rowid": "2"}),
        ),
        (
            CursorEntry::ReplicationIndex(None),
            json!({"type": "replication_index", "replication_index": null}),
        ),
    ] {
        let text = to_string(&entry).expect("JSON");
        assert_eq!(from_str::<serde_json::Value>(&text).expect("JSON"), expected);
        assert_eq!(from_str::<CursorEntry>(&text).expect(&text), entry);
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::Integer),
        any::<f64>()
            .prop_filter("JSON holds it", |number| number.is_finite())
            .prop_map(Value::Real),
        any::<String>().prop_map(Value::Text),
        any::<Vec<u8>>().prop_map(|bytes| Value::Blob(Bytes::from(bytes))),
    ]
}

const VALID: &str = r#"{"baton":"b","requests":[{"type":"execute","stmt":{"sql":"SELECT ?","args":[{"type":"integer","value":"1"},{"type":"blob","base64":"YQ"},{"type":"float","value":1.5}]}},{"type":"batch","batch":{"steps":[{"condition":{"type":"not","cond":{"type":"ok","step":0}},"stmt":{"sql":"x"}}]}},{"type":"close"}]}"#;

proptest! {
    #[test]
    fn every_value_comes_back_bit_by_bit(value in any_value()) {
        let text = to_string(&value).expect("JSON");
        let back: Value = from_str(&text).expect(&text);
        match (&value, &back) {
            (Value::Real(one), Value::Real(two)) => prop_assert_eq!(one.to_bits(), two.to_bits()),
            _ => prop_assert_eq!(&value, &back),
        }
    }

    #[test]
    fn random_bytes_are_errors(bytes in any::<Vec<u8>>()) {
        prop_assert!(serde_json::from_slice::<PipelineRequest>(&bytes).is_err());
    }

    #[test]
    fn changed_requests_never_panic(at in 0..VALID.len(), byte in any::<u8>(), cut in 0..VALID.len()) {
        let mut bytes = VALID.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = serde_json::from_slice::<PipelineRequest>(&bytes);
        let _ = serde_json::from_slice::<PipelineRequest>(&bytes[..cut]);
        bytes.remove(at);
        let _ = serde_json::from_slice::<PipelineRequest>(&bytes);
    }
}
