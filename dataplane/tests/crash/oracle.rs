//! What the client knows, and what must therefore be in the database.
//!
//! Each writer inserts rows in transactions of several rows with the same number, so that half a transaction
//! shows. Every third goes under an idempotency key and is retried in the next life if its outcome is unknown.

use crate::server::Server;
use orion_api::client::{Client, Error, SqlOptions};
use orion_api::hrana::{Batch, Condition, Statement, Step};
use orion_api::{Code, DatabaseName, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const DATABASE: &str = "crash";

/// How long writers go on at most, should an ordered death not come.
const LIFE_MAX: Duration = Duration::from_secs(20);

/// What one transaction holds.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub rows: usize,
    /// Bytes of each row, of noise: no page of it is a difference against another.
    pub bytes: usize,
}

pub struct Oracle {
    shape: Shape,
    next: AtomicU64,
    outcomes: Mutex<Outcomes>,
}

impl Default for Oracle {
    fn default() -> Oracle {
        Oracle::of(Shape { rows: 2, bytes: 200 })
    }
}

#[derive(Default)]
struct Outcomes {
    acknowledged: BTreeSet<u64>,
    unknown: BTreeSet<u64>,
    in_flight: BTreeSet<u64>,
    keyed: BTreeSet<u64>,
}

enum Sent {
    Acknowledged,
    /// Certainly: it was not sent, or it was refused.
    NotDone,
    Unknown,
}

impl Oracle {
    pub fn of(shape: Shape) -> Oracle {
        Oracle {
            shape,
            next: AtomicU64::new(0),
            outcomes: Mutex::default(),
        }
    }

    /// Of a life that nobody goes on from: what it writes must not be found later.
    pub fn late() -> Oracle {
        Oracle {
            next: AtomicU64::new(1 << 40),
            ..Oracle::default()
        }
    }

    pub fn acknowledged(&self) -> usize {
        self.outcomes.lock().expect("no panic").acknowledged.len()
    }

    pub fn unknown(&self) -> usize {
        self.outcomes.lock().expect("no panic").unknown.len()
    }

    /// What was in flight when the server died has an unknown outcome.
    pub fn settle(&mut self) {
        let outcomes = self.outcomes.get_mut().expect("no panic");
        let in_flight = std::mem::take(&mut outcomes.in_flight);
        outcomes.unknown.extend(in_flight);
    }

    /// Writes `many` transactions, one after the other.
    pub async fn write_some(&self, server: &Server, many: usize) {
        let client = client(&server.url);
        for _ in 0..many {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let sent = insert(&client, number, self.shape).await;
            assert!(matches!(sent, Sent::Acknowledged), "transaction {number}");
            self.outcomes
                .lock()
                .expect("no panic")
                .acknowledged
                .insert(number);
        }
    }

    /// `writers` clients that write until the future is dropped.
    pub async fn write(&self, server: &Server, writers: usize) {
        let writers = (0..writers).map(|_| self.writer(&server.url));
        futures::future::join_all(writers).await;
        std::future::pending::<()>().await;
    }

    /// `writers` clients that write until they are refused.
    pub async fn write_until_refused(&self, server: &Server, writers: usize) {
        let writers = (0..writers).map(|_| self.writer(&server.url));
        let all = futures::future::join_all(writers);
        let ended = tokio::time::timeout(LIFE_MAX * 2, all).await;
        ended.expect("every writer is refused in the end");
    }

    /// Writes until the server is dead.
    pub async fn write_until_death(&mut self, server: &mut Server, writers: usize) {
        let deadline = tokio::time::Instant::now() + LIFE_MAX;
        let writing = {
            let url = server.url.clone();
            let oracle = &*self;
            async move { futures::future::join_all((0..writers).map(|_| oracle.writer(&url))).await }
        };
        tokio::select! {
            _ = writing => {}
            () = tokio::time::sleep_until(deadline) => panic!("the server did not die where it was told to"),
        }
        server.kill();
        assert!(server.is_dead());
        self.settle();
    }

    /// One client: ends when the server does not answer any more.
    async fn writer(&self, url: &str) {
        let client = client(url);
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            self.outcomes.lock().expect("no panic").in_flight.insert(number);
            let sent = insert(&client, number, self.shape).await;
            let mut outcomes = self.outcomes.lock().expect("no panic");
            outcomes.in_flight.remove(&number);
            match sent {
                Sent::Acknowledged => drop(outcomes.acknowledged.insert(number)),
                Sent::NotDone => return,
                Sent::Unknown => {
                    outcomes.unknown.insert(number);
                    if is_keyed(number) {
                        outcomes.keyed.insert(number);
                    }
                    return;
                }
            }
        }
    }

    /// Makes the table in the first life; retries what has a key; then compares everything.
    pub async fn check(&mut self, server: &Server) {
        let root = Client::new(&server.url, None).expect("a client");
        let name: DatabaseName = DATABASE.parse().expect("a name");
        let wish = orion_api::admin::CreateDatabase::named(name);
        root.create_database(&wish)
            .await
            .expect("the database is created, or there");
        let client = root.with_database(DATABASE);
        let table = "CREATE TABLE IF NOT EXISTS t (number INTEGER, part INTEGER, content BLOB, PRIMARY KEY (number, part))";
        client
            .execute(Statement::new(table), &SqlOptions::default())
            .await
            .expect("the table");
        self.retry_keyed(&client).await;
        let outcomes = self.outcomes.get_mut().expect("no panic");
        let options = SqlOptions::default();
        // Looks at every byte: a half that is there and not whole would show.
        let grouped = Statement::new(format!(
            "SELECT number, sum(length(content) = {}) FROM t GROUP BY number",
            self.shape.bytes
        ));
        let rows = client.execute(grouped, &options).await.expect("the rows").rows;
        let found: BTreeMap<u64, i64> = rows
            .iter()
            .map(|row| (integer(&row[0]) as u64, integer(&row[1])))
            .collect();
        let is_lost = |number: &&u64| !found.contains_key(number);
        let lost: Vec<&u64> = outcomes.acknowledged.iter().filter(is_lost).collect();
        if !lost.is_empty() {
            // A read that was wrong, or rows that are gone?
            let again = client
                .execute(
                    Statement::new("SELECT count(DISTINCT number), max(number) FROM t"),
                    &options,
                )
                .await;
            panic!(
                "acknowledged transactions are lost: {lost:?} of {}; found {}, up to {:?}; and again: {:?}",
                outcomes.acknowledged.len(),
                found.len(),
                found.last_key_value(),
                again.map(|result| result.rows)
            );
        }
        for (number, rows) in &found {
            assert_eq!(
                *rows, self.shape.rows as i64,
                "transaction {number} is there in part"
            );
            let known = outcomes.acknowledged.contains(number) || outcomes.unknown.contains(number);
            assert!(
                known,
                "transaction {number} was certainly not applied, and is there"
            );
        }
        let check = client
            .execute(Statement::new("PRAGMA integrity_check"), &options)
            .await;
        assert_eq!(check.expect("the check").rows, [[Value::Text("ok".into())]]);
    }

    /// INVARIANT of idempotency: after the retry it is there, once; a second application would be a UNIQUE
    /// violation, and a lost one an absent row.
    async fn retry_keyed(&mut self, client: &Client) {
        let outcomes = self.outcomes.get_mut().expect("no panic");
        for number in std::mem::take(&mut outcomes.keyed) {
            assert!(
                matches!(insert(client, number, self.shape).await, Sent::Acknowledged),
                "the retry of {number}"
            );
            outcomes.unknown.remove(&number);
            outcomes.acknowledged.insert(number);
        }
    }
}

fn is_keyed(number: u64) -> bool {
    number.is_multiple_of(3)
}

fn integer(value: &Value) -> i64 {
    match value {
        Value::Integer(value) => *value,
        other => panic!("{other:?} is not an integer"),
    }
}

fn client(url: &str) -> Client {
    Client::new(url, None).expect("a client").with_database(DATABASE)
}

/// One transaction.
async fn insert(client: &Client, number: u64, shape: Shape) -> Sent {
    let row = |part: usize| {
        let statement = Statement::new("INSERT INTO t VALUES (?, ?, randomblob(?))");
        let values = [number as i64, part as i64, shape.bytes as i64];
        statement.with_args(values.map(Value::Integer).into())
    };
    let begin = [Statement::new("BEGIN IMMEDIATE")];
    let commit = [Statement::new("COMMIT")];
    let texts = begin.into_iter().chain((0..shape.rows).map(row)).chain(commit);
    let steps = texts.enumerate().map(|(i, stmt)| Step {
        condition: (i > 0).then(|| Condition::Ok(i as u32 - 1)),
        stmt,
    });
    let key = is_keyed(number).then(|| format!("insert-{number}"));
    let options = SqlOptions {
        idempotency_key: key,
        ..SqlOptions::default()
    };
    match client
        .batch(
            Batch {
                steps: steps.collect(),
            },
            &options,
        )
        .await
    {
        Ok(result) => {
            let errors: Vec<_> = result.step_errors.iter().flatten().collect();
            assert!(errors.is_empty(), "transaction {number}: {errors:?}");
            let ran = result.step_results.iter().all(Option::is_some);
            assert!(
                ran,
                "transaction {number}: a step was not run, and nobody says why"
            );
            Sent::Acknowledged
        }
        Err(Error::Connect { .. }) => Sent::NotDone,
        Err(error) if error.code() == Some(Code::Overloaded) => Sent::NotDone,
        Err(_) => Sent::Unknown,
    }
}
