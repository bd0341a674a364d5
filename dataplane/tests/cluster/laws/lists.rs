//! Strong reads and writes are linearizable: there is one order of all operations, which every client's clock agrees with, in
//! which each read sees exactly what was appended before it.
//!
//! Lists that are only appended to show it exactly. The order of a list's elements in the end is the order of the appends;
//! each read must be a prefix of it, that holds whatever was appended or read before the read began, and
//! nothing that was begun after it ended. That is checked over whole runs; short histories are also given to
//! stateright's tester, which knows nothing of prefixes.

use super::{Told, any, ask, integer, surely};
use orion_api::Value;
use orion_api::client::SqlOptions;
use orion_api::hrana::Statement;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const CLIENTS: usize = 4;

/// Operations on one list, before the clients go on to the next: few enough for a search through all orders.
const OPERATIONS: i64 = 10;

#[derive(Clone, Debug, PartialEq)]
enum What {
    Append(i64),
    /// What was seen; none if there was no answer.
    Read(Option<Vec<i64>>),
}

#[derive(Clone, Debug)]
struct Operation {
    what: What,
    began: Duration,
    /// None if there was no answer: it may take effect at any time.
    ended: Option<Duration>,
}

/// Histories by list.
type History = BTreeMap<i64, Vec<Operation>>;

pub struct Law {
    urls: Vec<String>,
    clock: Instant,
    next: AtomicI64,
    history: Mutex<History>,
}

impl Law {
    pub async fn begin(urls: &[String], clock: Instant) -> Law {
        surely(
            urls,
            "CREATE TABLE IF NOT EXISTS lists (at INTEGER PRIMARY KEY, list INTEGER, element INTEGER UNIQUE)",
        )
        .await;
        Law {
            urls: urls.to_vec(),
            clock,
            next: AtomicI64::new(0),
            history: Mutex::default(),
        }
    }

    pub async fn run(&self, seed: u64, stop: &CancellationToken) {
        let clients =
            (0..CLIENTS).map(|client| self.client(SmallRng::seed_from_u64(seed ^ client as u64), stop));
        futures::future::join_all(clients).await;
    }

    async fn client(&self, mut rng: SmallRng, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let element = self.next.fetch_add(1, Ordering::Relaxed);
            let list = element / OPERATIONS;
            let node = any(&self.urls, &mut rng);
            let began = self.clock.elapsed();
            let operation = if rng.random_bool(0.5) {
                let insert = Statement::new("INSERT INTO lists (list, element) VALUES (?, ?)");
                let insert = insert.with_args(vec![Value::Integer(list), Value::Integer(element)]);
                let ended = match ask(&node, insert, &SqlOptions::default()).await {
                    Told::NotDone(_) => continue,
                    Told::Done(_) => Some(self.clock.elapsed()),
                    Told::Unknown(_) => None,
                };
                Operation {
                    what: What::Append(element),
                    began,
                    ended,
                }
            } else {
                let select = Statement::new("SELECT element FROM lists WHERE list = ? ORDER BY at");
                let select = select.with_args(vec![Value::Integer(list)]);
                let Some((result, _)) = ask(&node, select, &SqlOptions::default()).await.done() else {
                    continue;
                };
                let seen = result.rows.iter().map(|row| integer(row, 0)).collect();
                Operation {
                    what: What::Read(Some(seen)),
                    began,
                    ended: Some(self.clock.elapsed()),
                }
            };
            self.history.lock().entry(list).or_default().push(operation);
        }
    }

    /// Compares with what is there in the end.
    pub async fn check(&self, urls: &[String]) {
        let rows = surely(urls, "SELECT list, element FROM lists ORDER BY at")
            .await
            .rows;
        let mut last: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for row in &rows {
            last.entry(integer(row, 0)).or_default().push(integer(row, 1));
        }
        let history = self.history.lock();
        let empty = Vec::new();
        for (list, operations) in &*history {
            let last = last.get(list).unwrap_or(&empty);
            if let Err(why) = check(operations, last) {
                panic!("list {list}: {why}\n{operations:#?}\nin the end {last:?}");
            }
            assert!(
                is_linearizable(operations, last),
                "list {list}: no order explains it\n{operations:#?}\nin the end {last:?}"
            );
        }
        let elements: Vec<i64> = history.values().flatten().filter_map(appended).collect();
        for element in last.values().flatten() {
            assert!(
                elements.contains(element),
                "{element} was certainly not appended, and is there"
            );
        }
        println!(
            "{} lists, {} operations",
            history.len(),
            history.values().map(Vec::len).sum::<usize>()
        );
    }
}

fn appended(operation: &Operation) -> Option<i64> {
    match operation.what {
        What::Append(element) => Some(element),
        What::Read(_) => None,
    }
}

/// The law, for one list that is `last` in the end.
fn check(operations: &[Operation], last: &[i64]) -> Result<(), String> {
    let place = |element: i64| last.iter().position(|found| *found == element);
    for operation in operations {
        match &operation.what {
            What::Append(element) => {
                let (Some(ended), Some(at)) = (operation.ended, place(*element)) else {
                    match operation.ended {
                        None => continue,
                        Some(_) => return Err(format!("{element} was acknowledged and is not there")),
                    }
                };
                for later in operations.iter().filter(|later| later.began > ended) {
                    if appended(later).and_then(place).is_some_and(|place| place < at) {
                        return Err(format!("{element} is behind what was appended after it"));
                    }
                }
            }
            What::Read(None) => {}
            What::Read(Some(seen)) => {
                if !last.starts_with(seen) {
                    return Err(format!("{seen:?} was read and is not how the list began"));
                }
                for other in operations {
                    let is_before = other.ended.is_some_and(|ended| ended < operation.began);
                    let is_after = operation.ended.is_some_and(|ended| other.began > ended);
                    match &other.what {
                        What::Append(element) if is_before && !seen.contains(element) => {
                            return Err(format!(
                                "{element} was acknowledged before {seen:?} was asked for"
                            ));
                        }
                        What::Append(element) if is_after && seen.contains(element) => {
                            return Err(format!("{element} was read before it was appended"));
                        }
                        What::Read(Some(earlier)) if is_before && earlier.len() > seen.len() => {
                            return Err(format!("{earlier:?} was read before {seen:?}"));
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    Ok(())
}

/// A list as stateright is to know it.
#[derive(Clone, Default)]
struct List(Vec<i64>);

impl SequentialSpec for List {
    type Op = What;
    type Ret = What;

    fn invoke(&mut self, operation: &What) -> What {
        match operation {
            What::Append(element) => {
                self.0.push(*element);
                What::Append(*element)
            }
            What::Read(_) => What::Read(Some(self.0.clone())),
        }
    }
}

/// Each operation is a thread of its own: their order is that of the clocks, and one without an answer may stay without. What
/// is there in the end is one more read.
fn is_linearizable(operations: &[Operation], last: &[i64]) -> bool {
    enum Event {
        Began(usize),
        Ended(usize),
    }
    let mut operations = operations.to_vec();
    let end = operations
        .iter()
        .filter_map(|operation| operation.ended)
        .max()
        .unwrap_or_default();
    operations.push(Operation {
        what: What::Read(Some(last.to_vec())),
        began: end + Duration::from_secs(3600),
        ended: Some(end + Duration::from_secs(3601)),
    });
    let mut events = Vec::new();
    for (thread, operation) in operations.iter().enumerate() {
        events.push((operation.began, Event::Began(thread)));
        if let Some(ended) = operation.ended {
            events.push((ended, Event::Ended(thread)));
        }
    }
    events.sort_by_key(|(at, _)| *at);
    let mut tester = LinearizabilityTester::new(List::default());
    for (_, event) in events {
        let happened = match event {
            Event::Began(thread) => tester.on_invoke(
                thread,
                match &operations[thread].what {
                    What::Append(element) => What::Append(*element),
                    What::Read(_) => What::Read(None),
                },
            ),
            Event::Ended(thread) => tester.on_return(thread, operations[thread].what.clone()),
        };
        happened.expect("a history in order");
    }
    tester.is_consistent()
}

#[test]
fn both_checks_find_each_kind_of_violation() {
    let operation = |what, began: u64, ended: Option<u64>| Operation {
        what,
        began: Duration::from_millis(began),
        ended: ended.map(Duration::from_millis),
    };
    let append = |element, began, ended| operation(What::Append(element), began, ended);
    let read = |seen: &[i64], began, ended| operation(What::Read(Some(seen.to_vec())), began, Some(ended));
    let good = vec![
        append(1, 0, Some(10)),
        append(2, 5, None),
        read(&[1, 2], 20, 30),
        append(3, 40, None),
    ];
    let with = |more: Operation| good.iter().cloned().chain([more]).collect::<Vec<_>>();
    let holds = |operations: &[Operation], last: &[i64]| {
        let (own, other) = (check(operations, last).is_ok(), is_linearizable(operations, last));
        assert_eq!(own, other, "{operations:?} {last:?}");
        own
    };
    assert!(holds(&good, &[1, 2]), "the last append may be lost");
    assert!(holds(&good, &[1, 2, 3]), "or not");
    assert!(!holds(&good, &[2, 3]), "an acknowledged append is lost");
    assert!(!holds(&good, &[2, 1]), "a read was of another order");
    assert!(!holds(&with(read(&[1], 31, 35)), &[1, 2]), "a stale read");
    assert!(!holds(&with(read(&[], 31, 35)), &[1, 2]), "a very stale read");
    assert!(
        !holds(&with(read(&[1, 2, 3], 31, 35)), &[1, 2, 3]),
        "a read of the future"
    );
    assert!(
        !holds(&with(append(4, 31, Some(35))), &[4, 1, 2]),
        "an append before its time"
    );
}
