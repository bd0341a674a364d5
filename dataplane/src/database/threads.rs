//! The node's SQL threads: SQLite runs here and nowhere else.
//!
//! Work is queued by *lane*. A lane may use only so many threads at once, and lanes with work take turns, so
//! that a database with a thousand slow queries leaves threads for the others.
//!
//! # Waking
//! There are more threads than cores, because a thread that waits for the object store, or runs a long
//! query, must not hold up the others. But waking one costs about as much as a short query. So a task that
//! finds as many threads awake as there are cores wakes no other one: those come to it in microseconds. If
//! they do not, because they run something *long*, the relief thread notices within [`RELIEF`] and wakes others:
//! a thread with a long task counts as asleep until the task is over, so that tasks that come later do not wait.
//!
//! LIMIT: the number of threads; per lane the number of tasks that run, and of tasks that wait.

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

type Task = Box<dyn FnOnce() + Send>;

/// How long a task may wait while threads sleep.
const RELIEF: Duration = Duration::from_millis(1);

/// A fixed set of named threads.
pub(crate) struct SqlThreads {
    shared: Arc<Shared>,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
}

impl std::fmt::Debug for SqlThreads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlThreads")
            .field("busy", &self.busy())
            .finish_non_exhaustive()
    }
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    /// Wakes the relief thread out of its sleep; while it watches it needs no call.
    relief: Condvar,
    busy: AtomicUsize,
    cores: usize,
}

#[derive(Default)]
struct State {
    /// Each entry allows one task of its lane to run.
    ready: VecDeque<Arc<Lane>>,
    /// Threads that are not asleep, those that were called and are not up yet included.
    awake: usize,
    threads: usize,
    relief_watches: bool,
    /// What each thread runs.
    running: Vec<Running>,
    /// Threads with a long task.
    long: usize,
    stopped: bool,
}

/// What a thread is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Running {
    /// Nothing.
    #[default]
    Nothing,
    /// A task, since then.
    Since(Instant),
    /// A task that takes longer than [`RELIEF`].
    Long,
}

/// Tasks that share a limit.
pub(crate) struct Lane {
    running_max: usize,
    waiting_max: usize,
    state: Mutex<LaneState>,
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane")
            .field("running_max", &self.running_max)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct LaneState {
    tasks: VecDeque<Task>,
    /// Tasks that run, plus entries in `State::ready`.
    running: usize,
}

/// The lane has as many waiting tasks as it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests wait for this database")]
pub(crate) struct LaneFull;

impl Lane {
    /// A lane that may use `running_max` threads at once.
    pub(crate) fn new(running_max: usize, waiting_max: usize) -> Arc<Lane> {
        Arc::new(Lane {
            running_max,
            waiting_max,
            state: Mutex::default(),
        })
    }
}

impl SqlThreads {
    /// Starts `count` threads.
    pub(crate) fn start(count: usize) -> std::io::Result<Arc<SqlThreads>> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                awake: count,
                threads: count,
                running: vec![Running::Nothing; count],
                ..State::default()
            }),
            wake: Condvar::new(),
            relief: Condvar::new(),
            busy: AtomicUsize::new(0),
            cores: cores.min(count),
        });
        let spawn = |name: String, run: Box<dyn FnOnce(&Shared) + Send>| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name(name).spawn(move || run(&shared))
        };
        let mut threads = vec![spawn("orion-sql-relief".to_owned(), Box::new(Shared::relieve))?];
        for i in 0..count {
            threads.push(spawn(
                format!("orion-sql-{i}"),
                Box::new(move |shared| shared.run(i)),
            )?);
        }
        Ok(Arc::new(SqlThreads {
            shared,
            threads: Mutex::new(threads),
        }))
    }

    /// Queues a task.
    pub(crate) fn submit(
        &self,
        lane: &Arc<Lane>,
        task: impl FnOnce() + Send + 'static,
    ) -> Result<(), LaneFull> {
        {
            let lane_state = &mut *lane.state.lock();
            if lane_state.tasks.len() >= lane.waiting_max {
                return Err(LaneFull);
            }
            lane_state.tasks.push_back(Box::new(task));
            if lane_state.running >= lane.running_max {
                return Ok(());
            }
            lane_state.running += 1;
        }
        self.shared.make_ready(Arc::clone(lane));
        Ok(())
    }

    /// Threads that run something.
    pub(crate) fn busy(&self) -> usize {
        self.shared.busy.load(Ordering::Relaxed)
    }

    /// Ends the threads after what they run now; what waits is dropped, and its requests learn that their
    /// channels closed.
    pub(crate) fn stop(&self) {
        self.shared.state.lock().stopped = true;
        self.shared.wake.notify_all();
        self.shared.relief.notify_all();
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("an SQL thread panicked");
            }
        }
    }
}

impl Shared {
    fn make_ready(&self, lane: Arc<Lane>) {
        let state = &mut *self.state.lock();
        state.ready.push_back(lane);
        if self.may_wake(state) {
            self.call_one(state);
        } else if !state.relief_watches {
            state.relief_watches = true;
            self.relief.notify_one();
        }
    }

    fn may_wake(&self, state: &State) -> bool {
        state.awake - state.long < self.cores
    }

    fn call_one(&self, state: &mut State) {
        if state.awake < state.threads {
            state.awake += 1;
            self.wake.notify_one();
        }
    }

    /// While tasks wait: notices which threads are at something long, and wakes others in their place.
    fn relieve(&self) {
        let mut state = self.state.lock();
        while !state.stopped {
            if state.ready.is_empty() {
                state.relief_watches = false;
                self.relief.wait(&mut state);
                continue;
            }
            self.relief.wait_for(&mut state, RELIEF);
            let state = &mut *state;
            let is_long =
                |running: &&mut Running| matches!(running, Running::Since(at) if at.elapsed() >= RELIEF);
            for running in state.running.iter_mut().filter(is_long) {
                *running = Running::Long;
                state.long += 1;
            }
            for _ in 0..state.ready.len() {
                if self.may_wake(state) {
                    self.call_one(state);
                }
            }
        }
    }

    fn run(&self, thread: usize) {
        while let Some(lane) = self.next(thread) {
            let task = lane.state.lock().tasks.pop_front();
            if let Some(task) = task {
                self.busy.fetch_add(1, Ordering::Relaxed);
                // A panic in one request must not take the thread from all others.
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(task)).is_err() {
                    tracing::error!("a request panicked on an SQL thread");
                }
                self.busy.fetch_sub(1, Ordering::Relaxed);
            }
            let goes_on = {
                let state = &mut *lane.state.lock();
                let goes_on = !state.tasks.is_empty();
                state.running -= usize::from(!goes_on);
                goes_on
            };
            if goes_on {
                self.make_ready(lane);
            }
        }
    }

    fn next(&self, thread: usize) -> Option<Arc<Lane>> {
        let mut state = self.state.lock();
        if std::mem::take(&mut state.running[thread]) == Running::Long {
            state.long -= 1;
        }
        loop {
            if state.stopped {
                return None;
            }
            if let Some(lane) = state.ready.pop_front() {
                state.running[thread] = Running::Since(Instant::now());
                return Some(lane);
            }
            state.awake -= 1;
            // `call_one` counts the thread that it calls as awake; this condvar has no spurious wake-ups.
            self.wake.wait(&mut state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Long enough that only a thread that nobody wakes misses it.
    const DEADLINE: Duration = Duration::from_secs(10);

    #[test]
    fn long_tasks_of_one_lane_leave_threads_for_another() {
        let threads = SqlThreads::start(6).expect("threads");
        let (hostile, other) = (Lane::new(4, 100), Lane::new(1, 100));
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        for _ in 0..8 {
            let held = Arc::clone(&held);
            // Ends when `release` is dropped.
            let task = move || {
                let _ = held.lock().recv();
            };
            threads.submit(&hostile, task).expect("queued");
        }
        for _ in 0..100 {
            let (done, waits) = mpsc::channel();
            threads
                .submit(&other, move || {
                    let _ = done.send(());
                })
                .expect("queued");
            waits
                .recv_timeout(DEADLINE)
                .expect("it runs beside the long ones");
        }
        drop(release);
        threads.stop();
    }

    #[test]
    fn a_full_lane_refuses() {
        let threads = SqlThreads::start(1).expect("threads");
        let lane = Lane::new(1, 2);
        let (release, held) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let first = move || {
            let _ = begun.send(());
            let _ = held.recv();
        };
        threads.submit(&lane, first).expect("runs");
        begins.recv_timeout(DEADLINE).expect("it runs");
        assert_eq!(threads.submit(&lane, || {}), Ok(()));
        assert_eq!(threads.submit(&lane, || {}), Ok(()));
        assert_eq!(threads.submit(&lane, || {}), Err(LaneFull));
        drop(release);
        threads.stop();
    }
}
