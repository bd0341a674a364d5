//! Runs a workload. Two ways to send:
//! - *closed loop*: each connection sends its next request when the last one is answered. Shows what can be
//!   reached; its latencies are kind to a server that stalls, because a stalled client asks nothing.
//! - *open loop*: requests are due at a fixed rate, and latency counts from when a request was *due*, so that a
//!   stall is charged to every request that would have come in it (no coordinated omission).
//!
//! Each thread has a runtime of its own with its share of the connections; nothing is shared on the way but the
//! open loop's permits.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

use super::connection::Connection;
use super::outcome::Outcome;
use super::tally::{Tally, Window};
use super::target::Target;
use super::workload::{Generator, Workload};

/// How long a request that was sent before the end may still take.
const GRACE: Duration = Duration::from_secs(30);
/// The pacer wakes at most this often, and then releases all that is due.
const PACE_MIN: Duration = Duration::from_micros(50);

/// A run.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) target: Target,
    pub(crate) workload: Workload,
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    /// Requests a second of an open loop.
    pub(crate) rate: Option<f64>,
}

impl Load {
    /// Runs to the end.
    pub(crate) fn run(&self) -> anyhow::Result<Tally> {
        // Time for every connection to be made before the first request of any.
        let begin = Instant::now() + Duration::from_millis(50 + self.connections as u64 / 4);
        let start = begin + self.warm_up;
        let window = Window {
            start,
            end: start + self.duration,
        };
        let shared = Arc::new(Shared {
            load: self.clone(),
            heads: Generator::heads(&self.workload, &self.target),
            begin,
            window,
            pace: self.rate.map(|rate| Pace::new(rate, begin)),
        });
        let pacer = shared.pace.is_some().then(|| {
            let shared = shared.clone();
            std::thread::spawn(move || shared.pace.as_ref().map(|pace| pace.release_until(window.end)))
        });
        let threads = self.threads.clamp(1, self.connections.max(1));
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let shared = shared.clone();
                std::thread::Builder::new()
                    .name(format!("bench-{thread}"))
                    .spawn(move || work(&shared, (thread..shared.load.connections).step_by(threads)))
            })
            .collect::<Result<_, _>>()?;
        let mut sum = Tally::new();
        for worker in workers {
            sum.add(&worker.join().map_err(|_| anyhow!("a worker panicked"))??);
        }
        if let Some(pacer) = pacer {
            pacer.join().map_err(|_| anyhow!("the pacer panicked"))?;
        }
        Ok(sum)
    }
}

struct Shared {
    load: Load,
    heads: Arc<Vec<super::target::Head>>,
    begin: Instant,
    window: Window,
    pace: Option<Pace>,
}

/// When the requests of an open loop are due.
struct Pace {
    begin: Instant,
    interval: f64,
    due: Semaphore,
    taken: AtomicU64,
}

impl Pace {
    fn new(rate: f64, begin: Instant) -> Pace {
        Pace {
            begin,
            interval: 1.0 / rate,
            due: Semaphore::new(0),
            taken: AtomicU64::new(0),
        }
    }

    /// Waits for the next request to be due and says when it was.
    async fn next(&self) -> Option<Instant> {
        self.due.acquire().await.ok()?.forget();
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        Some(self.begin + Duration::from_secs_f64(number as f64 * self.interval))
    }

    /// A thread of its own releases what is due: the runtime's timers tick in milliseconds, which would be
    /// most of the latency that is to be measured.
    fn release_until(&self, end: Instant) {
        let mut released = 0u64;
        loop {
            let now = Instant::now();
            if now >= end {
                return self.due.close();
            }
            let elapsed = now.saturating_duration_since(self.begin).as_secs_f64();
            let due = (elapsed / self.interval) as u64 + u64::from(now >= self.begin);
            self.due.add_permits((due - released.min(due)) as usize);
            released = released.max(due);
            let next = self.begin + Duration::from_secs_f64(released as f64 * self.interval);
            std::thread::sleep(next.saturating_duration_since(now).max(PACE_MIN));
        }
    }
}

fn work(shared: &Arc<Shared>, numbers: impl Iterator<Item = usize>) -> anyhow::Result<Tally> {
    let runtime = super::runtime().context("cannot start a runtime")?;
    let tally = Rc::new(RefCell::new(Tally::new()));
    let local = LocalSet::new();
    for number in numbers {
        let (shared, tally) = (shared.clone(), tally.clone());
        local.spawn_local(async move { drive(&shared, number, &tally).await });
    }
    runtime.block_on(local);
    let tally = tally.borrow().clone();
    Ok(tally)
}

/// One connection from the beginning to the end.
async fn drive(shared: &Shared, number: usize, tally: &RefCell<Tally>) {
    let load = &shared.load;
    let mut connection = Connection::new(&load.target.address);
    let mut generator = Generator::new(&load.workload, shared.heads.clone(), number, load.connections);
    let mut request = Vec::new();
    // A failure shows again, and is counted, at the first request.
    let _ = connection.connect().await;
    tokio::time::sleep_until(shared.begin.into()).await;
    let last = tokio::time::Instant::from(shared.window.end + GRACE);
    loop {
        let sent = match &shared.pace {
            None => Instant::now(),
            Some(pace) => match pace.next().await {
                Some(due) => due,
                None => return,
            },
        };
        if sent >= shared.window.end {
            return;
        }
        let asked = generator.next(&mut request);
        let exchange = tokio::time::timeout_at(last, connection.exchange(&request, asked.expect));
        let outcome = exchange
            .await
            .unwrap_or_else(|_| Outcome::Unknown("CLIENT_TIMEOUT".into()));
        let is_late = matches!(&outcome, Outcome::Unknown(code) if code == "CLIENT_TIMEOUT");
        tally.borrow_mut().count(asked, outcome, sent, shared.window);
        if is_late {
            return;
        }
    }
}
