//! The hash of a request in canonical form, which an idempotency key is bound to.
//!
//! Made of what was understood, not of the bytes that came: field order, spaces, unknown fields, padding
//! and the spelling of defaults do not matter. Form, version 1: each item is a tag byte; numbers are 8
//! bytes, big-endian; texts and lists begin with their length. So no two requests have the same form.

use orion_api::Value;
use orion_api::hrana::{Condition, NamedArg, Request, Statement};
use sha2::{Digest, Sha256};

const DOMAIN: &[u8] = b"orion request 1";

/// SHA-256 over the canonical form of a pipeline's requests.
pub fn request_hash(requests: &[Request]) -> [u8; 32] {
    let mut form = Form(Sha256::new_with_prefix(DOMAIN));
    form.list(requests, Form::request);
    form.0.finalize().into()
}

struct Form(Sha256);

impl Form {
    fn tag(&mut self, tag: u8) {
        self.0.update([tag]);
    }

    fn number(&mut self, number: u64) {
        self.0.update(number.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn list<T>(&mut self, items: &[T], each: impl Fn(&mut Form, &T)) {
        self.number(items.len() as u64);
        for item in items {
            each(self, item);
        }
    }

    fn option<T>(&mut self, item: Option<T>, each: impl Fn(&mut Form, T)) {
        self.tag(u8::from(item.is_some()));
        if let Some(item) = item {
            each(self, item);
        }
    }

    fn request(&mut self, request: &Request) {
        match request {
            Request::Close => self.tag(0),
            Request::Execute(statement) => {
                self.tag(1);
                self.statement(statement);
            }
            Request::Batch(batch) => {
                self.tag(2);
                self.list(&batch.steps, |form, step| {
                    form.option(step.condition.as_ref(), Form::condition);
                    form.statement(&step.stmt);
                });
            }
            Request::Sequence { sql, sql_id } => {
                self.tag(3);
                self.text(sql.as_deref(), *sql_id);
            }
            Request::Describe { sql, sql_id } => {
                self.tag(4);
                self.text(sql.as_deref(), *sql_id);
            }
            Request::StoreSql { sql_id, sql } => {
                self.tag(5);
                self.text(Some(sql), Some(*sql_id));
            }
            Request::CloseSql { sql_id } => {
                self.tag(6);
                self.text(None, Some(*sql_id));
            }
            Request::GetAutocommit => self.tag(7),
        }
    }

    fn text(&mut self, sql: Option<&str>, sql_id: Option<i32>) {
        self.option(sql, |form, sql| form.bytes(sql.as_bytes()));
        self.option(sql_id, |form, id| form.number(id as u64));
    }

    fn statement(&mut self, statement: &Statement) {
        self.text(statement.sql.as_deref(), statement.sql_id);
        self.list(&statement.args, Form::value);
        self.list(&statement.named_args, |form, arg: &NamedArg| {
            form.bytes(arg.name.as_bytes());
            form.value(&arg.value);
        });
        self.tag(u8::from(statement.want_rows.unwrap_or(true)));
    }

    fn condition(&mut self, condition: &Condition) {
        match condition {
            Condition::Ok(step) => {
                self.tag(0);
                self.number(u64::from(*step));
            }
            Condition::Error(step) => {
                self.tag(1);
                self.number(u64::from(*step));
            }
            Condition::Not(condition) => {
                self.tag(2);
                self.condition(condition);
            }
            Condition::And(conditions) => {
                self.tag(3);
                self.list(conditions, Form::condition);
            }
            Condition::Or(conditions) => {
                self.tag(4);
                self.list(conditions, Form::condition);
            }
            Condition::IsAutocommit => self.tag(5),
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.tag(0),
            Value::Integer(number) => {
                self.tag(1);
                self.number(*number as u64);
            }
            Value::Real(number) => {
                self.tag(2);
                self.number(number.to_bits());
            }
            Value::Text(text) => {
                self.tag(3);
                self.bytes(text.as_bytes());
            }
            Value::Blob(bytes) => {
                self.tag(4);
                self.bytes(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orion_api::hrana::PipelineRequest;

    fn hash(json: &str) -> [u8; 32] {
        let pipeline: PipelineRequest = serde_json::from_str(json).expect("a pipeline");
        request_hash(&pipeline.requests)
    }

    #[test]
    fn the_spelling_does_not_matter() {
        let one = r#"{"requests":[{"type":"execute","stmt":{"sql":"a","args":[{"type":"blob","base64":"/w=="},{"type":"integer","value":"1"}]}}]}"#;
        let two = r#" {"new":1, "requests":[ {"stmt":{"want_rows":true,"named_args":[],"args":[{"base64":"/w","type":"blob"},{"value":1,"type":"integer"}],"sql":"\u0061"},"type":"execute"}], "baton":null}"#;
        assert_eq!(hash(one), hash(two));
    }

    #[test]
    fn what_differs_has_another_hash() {
        let requests = [
            r#"{"type":"execute","stmt":{"sql":"a"}}"#,
            r#"{"type":"execute","stmt":{"sql":"b"}}"#,
            r#"{"type":"execute","stmt":{"sql_id":0}}"#,
            r#"{"type":"execute","stmt":{"sql":"a","want_rows":false}}"#,
            r#"{"type":"execute","stmt":{"sql":"a","args":[{"type":"null"}]}}"#,
            r#"{"type":"execute","stmt":{"sql":"a","args":[{"type":"text","value":"1"}]}}"#,
            r#"{"type":"execute","stmt":{"sql":"a","args":[{"type":"integer","value":"1"}]}}"#,
            r#"{"type":"execute","stmt":{"sql":"a","args":[{"type":"float","value":1}]}}"#,
            r#"{"type":"execute","stmt":{"sql":"a","named_args":[{"name":"x","value":{"type":"null"}}]}}"#,
            r#"{"type":"sequence","sql":"a"}"#,
            r#"{"type":"describe","sql":"a"}"#,
            r#"{"type":"batch","batch":{"steps":[{"stmt":{"sql":"a"}}]}}"#,
            r#"{"type":"batch","batch":{"steps":[{"stmt":{"sql":"a"}},{"condition":{"type":"ok","step":0},"stmt":{"sql":"a"}}]}}"#,
            r#"{"type":"batch","batch":{"steps":[{"stmt":{"sql":"a"}},{"condition":{"type":"error","step":0},"stmt":{"sql":"a"}}]}}"#,
            r#"{"type":"close"}"#,
            r#"{"type":"get_autocommit"}"#,
        ];
        let mut hashes: Vec<_> = requests
            .iter()
            .map(|request| hash(&format!(r#"{{"requests":[{request}]}}"#)))
            .collect();
        hashes.push(hash(r#"{"requests":[]}"#));
        let all = hashes.len();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), all);
    }
}
