//! Requests that nobody should send: almost right, wrong in a place, or not HTTP at all.

use rand::rngs::SmallRng;
use rand::{Rng, RngExt};
use serde_json::{Value, json};

const SQL: &[&str] = &[
    "SELECT 1",
    "SELECT * FROM t LIMIT 3",
    "INSERT INTO t VALUES (1, 'x') RETURNING *",
    "UPDATE t SET b = b || 'y' WHERE a < 5",
    "DELETE FROM t WHERE a % 2",
    "CREATE TABLE IF NOT EXISTS t(a, b)",
    "DROP TABLE IF EXISTS t",
    "BEGIN",
    "BEGIN IMMEDIATE",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT s",
    "RELEASE s",
    "CREATE TEMP TABLE IF NOT EXISTS mine(a)",
    "INSERT INTO mine VALUES (1)",
    "PRAGMA foreign_keys = ON",
    "PRAGMA journal_mode = WAL",
    "SELECT zeroblob(100000)",
    "SELECT ?, :a, @b, $c",
    "WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n LIMIT 2000) SELECT a FROM n",
    "SELECT json('{'), 1 / 0, abs(-9223372036854775808)",
    "ATTACH 'x' AS y",
    "VACUUM",
    "SELECT 'open",
    "SELECT 1; SELECT 2",
    "",
    "--",
    "\u{0}",
    "SELECT 'ü', x'00ff', 1e999",
    "EXPLAIN QUERY PLAN SELECT * FROM t",
];

/// A random generator with words of the protocol.
pub struct Words<'a>(pub &'a mut SmallRng);

impl Words<'_> {
    pub fn one_in(&mut self, many: u32) -> bool {
        self.0.random_ratio(1, many)
    }

    pub fn pick<'b, T>(&mut self, of: &'b [T]) -> &'b T {
        &of[self.0.random_range(0..of.len())]
    }

    /// Any JSON, with the protocol's names in it.
    fn anything(&mut self, depth: u32) -> Value {
        let names = [
            "type", "stmt", "sql", "args", "value", "batch", "steps", "baton", "step", "cond",
        ];
        match self.0.random_range(0..if depth > 3 { 7 } else { 9 }) {
            0 => Value::Null,
            1 => json!(self.one_in(2)),
            2 => json!(self.0.random::<i64>()),
            3 => json!(self.0.random::<f64>()),
            4 => json!(self.pick(SQL)),
            5 => json!(self.pick(&names)),
            6 => json!(u64::MAX - self.0.random_range(0..3)),
            7 => (0..self.0.random_range(0..4))
                .map(|_| self.anything(depth + 1))
                .collect(),
            _ => {
                let fields = (0..self.0.random_range(0..4)).map(|_| {
                    let name = (*self.pick(&names)).to_owned();
                    (name, self.anything(depth + 1))
                });
                Value::Object(fields.collect())
            }
        }
    }

    fn argument(&mut self) -> Value {
        match self.0.random_range(0..7) {
            0 => json!({"type": "null"}),
            1 => json!({"type": "integer", "value": self.0.random::<i64>().to_string()}),
            2 => json!({"type": "float", "value": 1.5}),
            3 => json!({"type": "text", "value": "a\u{0}b"}),
            4 => json!({"type": "blob", "base64": "AAE"}),
            5 => json!({"type": "integer", "value": "9223372036854775808"}),
            _ => self.anything(2),
        }
    }

    fn statement(&mut self) -> Value {
        let mut statement = json!({"sql": self.pick(SQL)});
        if self.one_in(3) {
            statement["args"] = (0..self.0.random_range(0..3)).map(|_| self.argument()).collect();
        }
        if self.one_in(8) {
            statement["named_args"] = json!([{"name": ":a", "value": self.argument()}]);
        }
        if self.one_in(8) {
            statement["want_rows"] = json!(self.one_in(2));
        }
        if self.one_in(10) {
            statement["sql_id"] = json!(self.0.random_range(-1..3));
        }
        statement
    }

    fn batch(&mut self) -> Value {
        let steps = (0..self.0.random_range(0..5)).map(|_| {
            let mut step = json!({"stmt": self.statement()});
            if self.one_in(2) {
                step["condition"] = match self.0.random_range(0..4) {
                    0 => json!({"type": "ok", "step": self.0.random_range(0..4)}),
                    1 => json!({"type": "not", "cond": {"type": "error", "step": 0}}),
                    2 => json!({"type": "and", "conds": [{"type": "is_autocommit"}]}),
                    _ => self.anything(2),
                };
            }
            step
        });
        json!({"steps": steps.collect::<Vec<_>>()})
    }

    fn request(&mut self) -> Value {
        match self.0.random_range(0..12) {
            0..5 => json!({"type": "execute", "stmt": self.statement()}),
            5 | 6 => json!({"type": "batch", "batch": self.batch()}),
            7 => json!({"type": "sequence", "sql": self.pick(SQL)}),
            8 => json!({"type": "describe", "sql": self.pick(SQL)}),
            9 => json!({"type": "store_sql", "sql_id": self.0.random_range(0..3), "sql": self.pick(SQL)}),
            10 => json!({"type": *self.pick(&["close_sql", "get_autocommit", "close"]), "sql_id": 1}),
            _ if self.one_in(3) => self.anything(1),
            _ => json!({"type": "close"}),
        }
    }

    /// A body for `path`, mostly of the right shape.
    pub fn body(&mut self, path: &str, baton: Option<String>) -> Vec<u8> {
        let mut value = match path {
            path if path.ends_with("cursor") => json!({"baton": baton, "batch": self.batch()}),
            path if path.ends_with("pipeline") => {
                let many = self.0.random_range(0..5);
                let mut requests: Vec<Value> = (0..many).map(|_| self.request()).collect();
                if self.one_in(2) {
                    requests.push(json!({"type": "close"}));
                }
                json!({"baton": baton, "requests": requests})
            }
            _ => json!({"statements": [self.pick(SQL), {"q": self.pick(SQL), "params": self.anything(2)}]}),
        };
        if self.one_in(10) {
            value = self.anything(0);
        }
        let mut bytes = serde_json::to_vec(&value).expect("JSON");
        if self.one_in(10) {
            self.damage(&mut bytes);
        }
        if self.one_in(40) {
            let deep = self.0.random_range(100..5000);
            bytes = [b"[".repeat(deep), b"]".repeat(deep)].concat();
        }
        bytes
    }

    /// A baton with something changed.
    pub fn baton(&mut self, good: String) -> String {
        let mut bytes = good.into_bytes();
        self.damage(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Flips, cuts or doubles some bytes.
    pub fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.0.random_range(1..4) {
            if bytes.is_empty() {
                return;
            }
            let at = self.0.random_range(0..bytes.len());
            match self.0.random_range(0..3) {
                0 => bytes[at] = self.0.random(),
                1 => bytes.truncate(at),
                _ => bytes.insert(at, bytes[at]),
            }
        }
    }

    /// Bytes of any kind.
    pub fn noise(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; self.0.random_range(0..2000)];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}
