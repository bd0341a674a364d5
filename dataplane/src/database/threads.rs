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
//! # Giving way
//! A task that has used [`HEAVY`] of CPU is a query that nobody expects an answer from at once, or a hostile one.
//! From then on its thread has the scheduling policy SCHED_IDLE (sched(7)), so that on a full machine it gets what
//! the others leave, and any other thread that wakes takes its core at once. (A nice value of 19 is not enough:
//! such a thread keeps its core to the end of its slice, 3 ms, however little its share is.) Without privileges
//! there is no way back from the policy, so the thread ends with its task, and a new one takes its place at once.
//!
//! LIMIT: the number of threads; per lane the number of tasks that run, and of tasks that wait; threads with a
//! heavy task, beyond which they are not replaced before they end.

use parking_lot::{Condvar, Mutex};
use rustix::process::Pid;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadId, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy,
};

type Task = Box<dyn FnOnce() + Send>;

/// How long a task may wait while threads sleep.
const RELIEF: Duration = Duration::from_millis(1);

/// CPU time after which a task gives way to all others.
const HEAVY: Duration = Duration::from_millis(20);

/// How often it is looked for heavy tasks.
const HEAVY_LOOK: Duration = Duration::from_millis(10);

/// How long the relief thread stays up after the last task: waking it costs more than a look.
const LINGER: Duration = Duration::from_secs(1);

/// The policy of threads with a heavy task.
const GIVES_WAY: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);

/// Threads with a heavy task that are replaced before they end.
const HEAVY_MAX: usize = 64;
/// How long the stop waits for what runs.
const STOP: Duration = Duration::from_secs(5);

/// A fixed set of named threads.
pub(crate) struct SqlThreads {
    shared: Arc<Shared>,
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
    /// Tasks that were heavy, so far.
    gave_way: AtomicU64,
    cores: usize,
}

#[derive(Default)]
struct State {
    /// Each entry allows one task of its lane to run.
    ready: VecDeque<Arc<Lane>>,
    /// Threads that are not asleep, those that were called and are not up yet included. Without the heavy ones.
    awake: usize,
    /// All threads but the heavy ones.
    threads: usize,
    relief_watches: bool,
    /// Every thread, by number.
    crew: BTreeMap<usize, Member>,
    /// Number of the next thread.
    next: usize,
    /// Threads with a long task, without the heavy ones.
    long: usize,
    /// Threads that give way, and were replaced.
    heavy: usize,
    joins: HashMap<usize, JoinHandle<()>>,
    stopped: bool,
}

/// One thread.
#[derive(Debug, Default)]
struct Member {
    runs: Running,
    /// Its names, once it is up.
    names: Option<(Pid, ThreadId)>,
    /// It gives way and ends with its task.
    is_heavy: bool,
}

/// What a thread is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Running {
    /// Nothing.
    #[default]
    Nothing,
    /// A task, since then.
    Since(Instant),
    /// A task that takes longer than [`RELIEF`]; CPU time that the thread had used when this was seen.
    Long(Duration),
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
            state: Mutex::default(),
            wake: Condvar::new(),
            relief: Condvar::new(),
            busy: AtomicUsize::new(0),
            gave_way: AtomicU64::new(0),
            cores: cores.min(count),
        });
        {
            let state = &mut *shared.state.lock();
            for _ in 0..count {
                Shared::hire(&shared, state)?;
            }
            let relief = Arc::clone(&shared);
            let thread = std::thread::Builder::new()
                .name("orion-sql-relief".to_owned())
                .spawn(move || relief.relieve())?;
            state.joins.insert(usize::MAX, thread);
        }
        Ok(Arc::new(SqlThreads { shared }))
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

    /// Tasks that used so much CPU that they had to give way, so far.
    pub(crate) fn gave_way(&self) -> u64 {
        self.shared.gave_way.load(Ordering::Relaxed)
    }

    /// Ends the threads after what they run now; what waits is dropped, and its requests learn that their
    /// channels closed. Nothing ends a call of SQLite's that takes days: what runs past `STOP` goes on alone.
    pub(crate) fn stop(&self) {
        self.stop_within(STOP);
    }

    fn stop_within(&self, time: Duration) {
        let until = Instant::now() + time;
        self.shared.state.lock().stopped = true;
        self.shared.wake.notify_all();
        self.shared.relief.notify_all();
        let threads = std::mem::take(&mut self.shared.state.lock().joins);
        let mut left_alone = 0;
        for thread in threads.into_values() {
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(1));
            }
            if !thread.is_finished() {
                left_alone += 1;
            } else if thread.join().is_err() {
                tracing::error!("an SQL thread panicked");
            }
        }
        if left_alone > 0 {
            tracing::warn!(left_alone, "statements did not end; they are left alone");
        }
    }

    /// Threads that give way to all others.
    #[cfg(test)]
    fn heavy(&self) -> usize {
        self.shared.state.lock().heavy
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

    /// Starts one more thread.
    fn hire(shared: &Arc<Shared>, state: &mut State) -> std::io::Result<()> {
        let number = state.next;
        let runs = Arc::clone(shared);
        let thread = std::thread::Builder::new()
            .name(format!("orion-sql-{number}"))
            .spawn(move || runs.run(number))?;
        state.joins.insert(number, thread);
        state.crew.insert(number, Member::default());
        state.next += 1;
        state.threads += 1;
        state.awake += 1;
        Ok(())
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

    /// While tasks wait: notices which threads are at something long, and wakes others in their place. While
    /// tasks run: notices which are heavy, and makes them give way.
    fn relieve(self: Arc<Self>) {
        let mut state = self.state.lock();
        let (mut last_busy, mut looked) = (Instant::now(), Instant::now());
        while !state.stopped {
            let now = Instant::now();
            if !state.ready.is_empty() || self.busy.load(Ordering::Relaxed) > 0 {
                last_busy = now;
            } else if now - last_busy >= LINGER {
                state.relief_watches = false;
                self.relief.wait(&mut state);
                last_busy = Instant::now();
                continue;
            }
            let pause = if state.ready.is_empty() {
                HEAVY_LOOK
            } else {
                RELIEF
            };
            self.relief.wait_for(&mut state, pause);
            let state = &mut *state;
            state.note_long();
            if looked.elapsed() >= HEAVY_LOOK {
                looked = Instant::now();
                self.make_way(state);
            }
            for _ in 0..state.ready.len() {
                if self.may_wake(state) {
                    self.call_one(state);
                }
            }
        }
    }

    /// Lowers the priority of threads with heavy tasks, and puts others in their place.
    fn make_way(self: &Arc<Self>, state: &mut State) {
        let used_much = |member: &Member| match (member.runs, member.names) {
            (Running::Long(before), Some((tid, _))) if !member.is_heavy => {
                cpu_time(tid).is_some_and(|now| now.saturating_sub(before) >= HEAVY)
            }
            _ => false,
        };
        let heavy: Vec<usize> = state
            .crew
            .iter()
            .filter(|(_, member)| used_much(member))
            .map(|(number, _)| *number)
            .collect();
        for number in heavy {
            if state.heavy >= HEAVY_MAX {
                return;
            }
            if let Err(error) = Shared::hire(self, state) {
                tracing::warn!(%error, "cannot start a thread in place of one with a heavy query");
                return;
            }
            let Some(member) = state.crew.get_mut(&number) else {
                continue;
            };
            member.is_heavy = true;
            if let Some((_, thread)) = member.names
                && let Err(error) = set_thread_priority_and_policy(thread, ThreadPriority::Min, GIVES_WAY)
            {
                tracing::warn!(%error, "cannot lower the priority of a heavy query");
            }
            self.gave_way.fetch_add(1, Ordering::Relaxed);
            state.heavy += 1;
            state.threads -= 1;
            state.awake -= 1;
            state.long -= 1;
        }
    }

    fn run(&self, thread: usize) {
        if let Some(member) = self.state.lock().crew.get_mut(&thread) {
            member.names = Some((rustix::thread::gettid(), thread_priority::thread_native_id()));
        }
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

    /// The next lane with a task; none if the thread is to end.
    fn next(&self, thread: usize) -> Option<Arc<Lane>> {
        let mut state = self.state.lock();
        if state.finish(thread) {
            return None;
        }
        loop {
            if state.stopped {
                return None;
            }
            if let Some(lane) = state.ready.pop_front() {
                if let Some(member) = state.crew.get_mut(&thread) {
                    member.runs = Running::Since(Instant::now());
                }
                return Some(lane);
            }
            state.awake -= 1;
            // `call_one` counts the thread that it calls as awake; this condvar has no spurious wake-ups.
            self.wake.wait(&mut state);
        }
    }
}

impl State {
    /// A thread's task is over. True if the thread was replaced and is to end.
    fn finish(&mut self, thread: usize) -> bool {
        let Some(member) = self.crew.get_mut(&thread) else {
            return true;
        };
        let ran = std::mem::take(&mut member.runs);
        if member.is_heavy {
            self.crew.remove(&thread);
            // Nobody waits for it: it ends by itself.
            self.joins.remove(&thread);
            self.heavy -= 1;
            return true;
        }
        self.long -= usize::from(matches!(ran, Running::Long(_)));
        false
    }

    fn note_long(&mut self) {
        for member in self.crew.values_mut() {
            if let (Running::Since(at), Some((tid, _))) = (member.runs, member.names)
                && at.elapsed() >= RELIEF
            {
                member.runs = Running::Long(cpu_time(tid).unwrap_or_default());
                self.long += 1;
            }
        }
    }
}

/// CPU time that a thread of this process has used, as the scheduler counts it.
fn cpu_time(thread: Pid) -> Option<Duration> {
    // Fields of schedstat: nanoseconds on a core, nanoseconds in wait for one, number of turns (proc(5)).
    let path = format!("/proc/self/task/{}/schedstat", thread.as_raw_nonzero());
    let text = std::fs::read_to_string(path).ok()?;
    let nanoseconds = text.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
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
    fn a_heavy_task_gives_way_and_its_thread_is_replaced() {
        let threads = SqlThreads::start(1).expect("threads");
        let (hostile, other) = (Lane::new(8, 100), Lane::new(1, 100));
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (begun, begins) = mpsc::channel();
        for _ in 0..3 {
            let (stop, begun) = (Arc::clone(&stop), begun.clone());
            let spins = move || {
                let _ = begun.send(thread_priority::thread_native_id());
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            };
            threads.submit(&hostile, spins).expect("queued");
        }
        // Each of them begins only when the one before has given way: there is one thread.
        let ids: Vec<ThreadId> = (0..3)
            .map(|_| begins.recv_timeout(DEADLINE).expect("a thread for each"))
            .collect();
        let (done, waits) = mpsc::channel();
        let asks = move || {
            let _ = done.send(());
        };
        threads.submit(&other, asks).expect("queued");
        waits.recv_timeout(DEADLINE).expect("a thread for another one");
        assert_eq!(threads.heavy(), 3);
        for id in ids {
            let (policy, _) = thread_priority::unix::thread_schedule_policy_param(id).expect("it runs");
            assert_eq!(policy, GIVES_WAY);
        }
        stop.store(true, Ordering::Relaxed);
        threads.stop();
    }

    #[test]
    fn a_task_that_does_not_end_does_not_hold_up_the_stop() {
        let threads = SqlThreads::start(1).expect("threads");
        let lane = Lane::new(1, 1);
        let (release, held) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let task = move || {
            let _ = begun.send(());
            let _ = held.recv();
        };
        threads.submit(&lane, task).expect("runs");
        begins.recv_timeout(DEADLINE).expect("it runs");
        threads.stop_within(Duration::ZERO);
        drop(release);
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
