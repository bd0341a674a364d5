//! What is asked: the workloads, and the generator that writes the next request's bytes. Plain Hrana over
//! HTTP as any client would send it; nothing here is special to this server but the admin API of `create`.

use std::sync::Arc;

use super::outcome::Expect;
use super::payload::Random;
use super::target::{Head, Target};

/// Rows that `select` and `mixed` choose from.
pub(crate) const SELECT_ROWS: u64 = 100_000;
/// The table that inserts go to.
pub(crate) const INSERT_TABLE: &str = "bench_insert";
/// The table that is selected from.
pub(crate) const SELECT_TABLE: &str = "bench_select";

const INSERT_BEFORE: &[u8] = br#"{"requests":[{"type":"execute","stmt":{"sql":"INSERT INTO bench_insert (payload) VALUES (?)","args":[{"type":"text","value":""#;
const SELECT_BEFORE: &[u8] = br#"{"requests":[{"type":"execute","stmt":{"sql":"SELECT payload FROM bench_select WHERE id = ?","args":[{"type":"integer","value":""#;
const EXECUTE_AFTER: &[u8] = br#""}]}},{"type":"close"}]}"#;

const BULK_BEFORE: &[u8] =
    br#"{"requests":[{"type":"batch","batch":{"steps":[{"stmt":{"sql":"BEGIN IMMEDIATE"}}"#;
const BULK_ROW_BEFORE: &[u8] =
    br#",{"stmt":{"sql":"INSERT INTO bench_insert (payload) VALUES (?)","args":[{"type":"text","value":""#;
const BULK_ROW_AFTER: &[u8] = br#""}]}}"#;

const VALUES_BEFORE: &[u8] =
    br#"{"requests":[{"type":"execute","stmt":{"sql":"INSERT INTO bench_insert (payload) VALUES ('"#;
const VALUES_AFTER: &[u8] = br#"')"}},{"type":"close"}]}"#;

/// A workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// One row, one transaction.
    Insert,
    /// One row by its rowid, strong.
    Select,
    /// Nine selects to one insert.
    Mixed,
    /// So many rows a transaction, each a statement of its own with an argument, as clients' `batch` does.
    Bulk(u32),
    /// So many rows in one `INSERT … VALUES (…), (…)`.
    BulkValues(u32),
    /// Inserts, round-robin over these databases.
    Databases(u32),
    /// Creates databases through the admin API.
    Create,
}

impl Workload {
    /// Its name as on the command line.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Workload::Insert => "insert",
            Workload::Select => "select",
            Workload::Mixed => "mixed",
            Workload::Bulk(_) => "bulk",
            Workload::BulkValues(_) => "bulk-values",
            Workload::Databases(_) => "databases",
            Workload::Create => "create",
        }
    }

    pub(crate) fn needs_select_table(&self) -> bool {
        matches!(self, Workload::Select | Workload::Mixed)
    }

    pub(crate) fn inserts(&self) -> bool {
        !matches!(self, Workload::Select | Workload::Create)
    }
}

/// Names of the databases of [`Workload::Databases`].
pub(crate) fn database_names(count: u32) -> Vec<String> {
    (0..count).map(|number| format!("bench-{number}")).collect()
}

/// Which histogram an operation belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Read,
    Write,
}

/// What was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) class: Class,
    /// Rows that are in the table afterwards if the request is acknowledged.
    pub(crate) rows: u32,
    pub(crate) expect: Expect,
}

/// Writes requests. One for each connection; the heads are shared.
#[derive(Debug)]
pub(crate) struct Generator {
    workload: Workload,
    heads: Arc<Vec<Head>>,
    random: Random,
    /// Next database of the round.
    next: usize,
    /// Distance to the next one, so that all connections together go round-robin.
    stride: usize,
}

impl Generator {
    /// The generator of connection `number` of `connections`.
    pub(crate) fn new(
        workload: &Workload,
        heads: Arc<Vec<Head>>,
        number: usize,
        connections: usize,
    ) -> Generator {
        Generator {
            workload: workload.clone(),
            next: number % heads.len(),
            stride: connections,
            heads,
            random: Random::from_system(),
        }
    }

    /// The heads that a workload needs.
    pub(crate) fn heads(workload: &Workload, target: &Target) -> Arc<Vec<Head>> {
        Arc::new(match workload {
            Workload::Databases(count) => database_names(*count)
                .iter()
                .map(|name| target.pipeline(Some(name)))
                .collect(),
            Workload::Create => vec![target.head("POST", "/_orion/v1/databases")],
            _ => vec![target.pipeline(None)],
        })
    }

    /// Makes `out` the next request.
    pub(crate) fn next(&mut self, out: &mut Vec<u8>) -> Asked {
        let head = &self.heads[self.next];
        self.next = (self.next + self.stride) % self.heads.len();
        let random = &mut self.random;
        match self.workload {
            Workload::Insert | Workload::Databases(_) => insert(head, random, out),
            Workload::Select => select(head, random, out),
            Workload::Mixed if random.below(10) == 0 => insert(head, random, out),
            Workload::Mixed => select(head, random, out),
            Workload::Bulk(rows) => bulk(head, random, rows, out),
            Workload::BulkValues(rows) => bulk_values(head, random, rows, out),
            Workload::Create => create(head, random, out),
        }
    }
}

fn insert(head: &Head, random: &mut Random, out: &mut Vec<u8>) -> Asked {
    head.render(out, |out| {
        out.extend_from_slice(INSERT_BEFORE);
        random.write_payload(out);
        out.extend_from_slice(EXECUTE_AFTER);
    });
    Asked {
        class: Class::Write,
        rows: 1,
        expect: Expect::Results(2),
    }
}

fn select(head: &Head, random: &mut Random, out: &mut Vec<u8>) -> Asked {
    let id = 1 + random.below(SELECT_ROWS);
    head.render(out, |out| {
        out.extend_from_slice(SELECT_BEFORE);
        write_decimal(out, id);
        out.extend_from_slice(EXECUTE_AFTER);
    });
    Asked {
        class: Class::Read,
        rows: 0,
        expect: Expect::Results(2),
    }
}

fn bulk(head: &Head, random: &mut Random, rows: u32, out: &mut Vec<u8>) -> Asked {
    head.render(out, |out| {
        out.extend_from_slice(BULK_BEFORE);
        for _ in 0..rows {
            out.extend_from_slice(BULK_ROW_BEFORE);
            random.write_payload(out);
            out.extend_from_slice(BULK_ROW_AFTER);
        }
        let commit = rows + 1;
        out.extend_from_slice(
            format!(
                r#",{{"condition":{{"type":"ok","step":{rows}}},"stmt":{{"sql":"COMMIT"}}}},{{"condition":{{"type":"not","cond":{{"type":"ok","step":{commit}}}}},"stmt":{{"sql":"ROLLBACK"}}}}]}}}},{{"type":"close"}}]}}"#
            )
            .as_bytes(),
        );
    });
    Asked {
        class: Class::Write,
        rows,
        expect: Expect::Results(2),
    }
}

fn bulk_values(head: &Head, random: &mut Random, rows: u32, out: &mut Vec<u8>) -> Asked {
    head.render(out, |out| {
        out.extend_from_slice(VALUES_BEFORE);
        for row in 0..rows {
            if row > 0 {
                out.extend_from_slice(b"'),('");
            }
            random.write_payload(out);
        }
        out.extend_from_slice(VALUES_AFTER);
    });
    Asked {
        class: Class::Write,
        rows,
        expect: Expect::Results(2),
    }
}

fn create(head: &Head, random: &mut Random, out: &mut Vec<u8>) -> Asked {
    let name = format!(r#"{{"name":"bench-create-{:016x}"}}"#, random.next());
    head.render(out, |out| out.extend_from_slice(name.as_bytes()));
    Asked {
        class: Class::Write,
        rows: 0,
        expect: Expect::Success,
    }
}

fn write_decimal(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body_of(workload: &Workload) -> serde_json::Value {
        let target = Target::new("http://127.0.0.1:1", None).expect("valid");
        let mut out = Vec::new();
        Generator::new(workload, Generator::heads(workload, &target), 0, 1).next(&mut out);
        let text = String::from_utf8(out).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let length = head.rsplit_once("content-length:").expect("a length").1.trim();
        assert_eq!(length, body.len().to_string());
        serde_json::from_str(body).expect("JSON")
    }

    #[test]
    fn every_workload_sends_valid_json_of_the_stated_length() {
        let insert = body_of(&Workload::Insert);
        assert_eq!(insert["requests"][1]["type"], "close");
        assert_eq!(
            body_of(&Workload::Databases(3))["requests"][0]["stmt"]["args"][0]["type"],
            "text"
        );
        let id = body_of(&Workload::Select)["requests"][0]["stmt"]["args"][0]["value"].clone();
        let id: u64 = id.as_str().expect("a string").parse().expect("a number");
        assert!((1..=SELECT_ROWS).contains(&id));
        let steps = body_of(&Workload::Bulk(3))["requests"][0]["batch"]["steps"].clone();
        assert_eq!(steps.as_array().expect("steps").len(), 6);
        assert_eq!(steps[4]["condition"]["step"], 3);
        assert_eq!(steps[5]["condition"]["cond"]["step"], 4);
        let values = body_of(&Workload::BulkValues(3));
        let sql = values["requests"][0]["stmt"]["sql"]
            .as_str()
            .expect("SQL")
            .to_owned();
        assert_eq!(sql.matches("('").count(), 3);
        assert!(body_of(&Workload::Create)["name"].is_string());
    }

    #[test]
    fn connections_go_round_all_databases() {
        let target = Target::new("http://127.0.0.1:1", None).expect("valid");
        let workload = Workload::Databases(10);
        let heads = Generator::heads(&workload, &target);
        let mut seen = vec![0; 10];
        for number in 0..3 {
            let mut generator = Generator::new(&workload, heads.clone(), number, 3);
            for _ in 0..10 {
                seen[generator.next] += 1;
                generator.next(&mut Vec::new());
            }
        }
        assert_eq!(seen, vec![3; 10]);
    }
}
