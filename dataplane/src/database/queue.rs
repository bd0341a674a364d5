//! The commit queue of one database: requests in, merged entries out, answers when they are applied.
//!
//! # Flow
//! 1. A request that writes is queued. If nobody drives the queue, a task that does is given to an SQL thread;
//!    or, since a hand-over to another thread costs more than a short statement, the request's own thread drives
//!    it for at most [`BRIEF`], and an SQL thread goes on with what is left.
//! 2. The driver takes the writer's turn for one request after the other and runs it on the shared writer
//!    connection, as SQLite transactions of its own; a stream that waits gets the turn instead.
//! 3. Whenever fewer than `flights_max` entries are in the air, and no request waits or enough are merged,
//!    the driver proposes all steps so far as one entry.
//! 4. Raft calls [`Queue::landed`]: those who waited for the entry are answered, and the queue is driven on.
//!
//! INVARIANT: at most one holder of the turn, so at most one writer of a database at a time.
//! INVARIANT: entries are proposed in the order of their versions: by the driver only, and none while a commit's parts are on
//! their way ([`Convoy`], which then proposes that commit).
//! INVARIANT: a request's steps are never in two entries: proposing happens between requests.
//! LIMIT: requests that wait; bytes of an entry, beyond which it goes in parts; entries in the air.

use super::answer::Answer;
use super::backend::{Began, ConnectionBackend};
use super::brief::{BRIEF, briefly};
use super::convoy::Convoy;
use super::counters::Counters;
use super::head::{Head, HeadView, Layer, Mark};
use super::idempotency;
use super::request::{Erased, Started};
use super::{Error, IdempotencyKey, Options, Position, Progress, Recorded};
use crate::clock::now_ms;
use crate::entry::{Commit, CommitBody, Kind, Limits, PageChange, PageContent, Pages as Part, Proposal};
use crate::group::{self, Group, NotProposed, Outcome, PartsHash};
use crate::overlay::{CHAIN_MAX, Patience};
use crate::page::{Delta, Image, PageNo, checksum};
use crate::raft::{Applied, Refused};
use crate::sql::{Connection, Observer, Role};
use crate::vfs::{Batch, Refusal};
use bytes::Bytes;
use orion_api::{Code, Version};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

use super::threads::{Lane, SqlThreads};

/// The queue, shared by its requests, its driver and Raft's callbacks.
pub(super) struct Queue {
    pub(super) database: Arc<group::Database>,
    pub(super) group: Arc<Group>,
    pub(super) options: Arc<Options>,
    counters: Arc<Counters>,
    threads: Arc<SqlThreads>,
    lane: Arc<Lane>,
    state: Mutex<State>,
    /// The shared writer's connection; only the driver has it.
    writer: Mutex<Option<Writer>>,
    transactions: AtomicU64,
    /// Parts of large transactions that were applied.
    parts_arrived: Arc<AtomicU64>,
}

struct State {
    head: Head,
    jobs: VecDeque<Job>,
    turn_is_taken: bool,
    /// A driver runs or is about to.
    is_driven: bool,
    first_fresh: Option<Instant>,
    /// Parts of a commit are on their way: nothing may be proposed before it.
    is_in_parts: bool,
}

enum Job {
    Request {
        request: Box<dyn Erased>,
        key: Option<IdempotencyKey>,
    },
    Turn(oneshot::Sender<Turn>),
}

/// What a driver does next for the one who has the turn.
enum Begun {
    Request {
        request: Box<dyn Erased>,
        key: Option<IdempotencyKey>,
        generation: u64,
    },
    Turn(oneshot::Sender<Turn>),
}

/// What came of running a request.
enum Ran {
    /// It ran.
    Done,
    /// It was not brief, and did nothing yet.
    Unfinished(Box<dyn Erased>),
    /// What it committed was undone: the writer's connection must not be used again. If it was not brief, it is to
    /// begin anew.
    Undone(Option<Box<dyn Erased>>),
}

/// How a driver may spend its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// On an SQL thread: each request as long as it takes, but none begins after this: other databases wait, and a
    /// thread that is busy for long is taken for one with a heavy query.
    Patient(Instant),
    /// On a thread that serves connections: until then, and without waiting.
    Brief(Instant),
}

impl Pace {
    fn is_over(self) -> bool {
        match self {
            Pace::Patient(until) | Pace::Brief(until) => Instant::now() >= until,
        }
    }
}

/// How long a driver stays on an SQL thread before it queues up again.
const TURN: Duration = Duration::from_millis(5);

struct Writer {
    connection: Connection,
    backend: Arc<ConnectionBackend>,
    generation: u64,
    /// Those that it was opened with.
    limits: Limits,
}

impl Writer {
    /// Runs what is left of a request, and leaves no transaction behind.
    fn resume(&mut self, request: &mut dyn Erased, pace: Pace) -> Progress {
        let progress = match pace {
            Pace::Patient(_) => request.resume(&mut self.connection),
            Pace::Brief(until) => briefly(&mut self.connection, &self.backend, until, |connection| {
                request.resume(connection)
            }),
        };
        if !self.connection.is_autocommit() {
            self.connection.rollback();
        }
        progress
    }
}

/// The writer's turn, held by a stream; given back when dropped.
///
/// INVARIANT: while it is taken nothing is discarded.
pub(super) struct Turn {
    queue: Arc<Queue>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.queue.state.lock().turn_is_taken = false;
        self.queue.wake();
    }
}

/// Who has the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// A request of the queue: nothing is proposed until it ends.
    Request,
    /// A stream: each of its commits may be proposed at once.
    Stream,
}

/// What to propose, made under the lock and sent outside of it.
struct Takeoff {
    version: Version,
    parts: Vec<Part>,
    commit: Commit,
    images: Vec<(PageNo, Image)>,
}

impl Queue {
    pub(super) fn new(
        database: Arc<group::Database>,
        group: Arc<Group>,
        threads: Arc<SqlThreads>,
        options: Arc<Options>,
        counters: Arc<Counters>,
    ) -> Arc<Queue> {
        let head = Head::new(database.published.load_full());
        Arc::new(Queue {
            database,
            group,
            options,
            counters,
            threads,
            lane: Lane::new(1, usize::MAX),
            state: Mutex::new(State {
                head,
                jobs: VecDeque::new(),
                turn_is_taken: false,
                is_driven: false,
                first_fresh: None,
                is_in_parts: false,
            }),
            writer: Mutex::new(None),
            transactions: AtomicU64::new(rand::random::<u32>().into()),
            parts_arrived: Arc::default(),
        })
    }

    /// Queues a request that writes.
    pub(super) fn push(
        self: &Arc<Self>,
        request: Box<dyn Erased>,
        key: Option<IdempotencyKey>,
    ) -> Result<(), Error> {
        self.enqueue(Job::Request { request, key })?;
        self.wake();
        Ok(())
    }

    /// Queues a request that writes, and if nobody drives the queue, drives it here and now as long as that is brief.
    pub(super) fn push_briefly(self: &Arc<Self>, request: Box<dyn Erased>) -> Result<(), Error> {
        self.enqueue(Job::Request { request, key: None })?;
        if self.begin_driving() {
            Arc::clone(self).drive(None, Pace::Brief(Instant::now() + BRIEF));
        }
        Ok(())
    }

    /// Waits for the writer's turn.
    pub(super) fn turn(self: &Arc<Self>) -> Result<oneshot::Receiver<Turn>, Error> {
        let (sender, receiver) = oneshot::channel();
        self.enqueue(Job::Turn(sender))?;
        self.wake();
        Ok(receiver)
    }

    fn enqueue(&self, job: Job) -> Result<(), Error> {
        let state = &mut *self.state.lock();
        if state.jobs.len() >= self.options.waiting_max {
            let message = format!(
                "{} requests wait for this database already; try again later",
                state.jobs.len()
            );
            return Err(Error::new(Code::Overloaded, message));
        }
        state.jobs.push_back(job);
        Ok(())
    }

    /// Answers when everything that the holder of the turn can see now is applied.
    pub(super) fn answer_when_visible(&self, holder: Holder, answer: Answer) {
        let state = &mut *self.state.lock();
        let head = &mut state.head;
        if let Some(failed) = &head.failed {
            // It may have seen what will never be. All that a request did is in `fresh`, which nobody proposes
            // any more; but earlier commits of a stream may be in the very entry that failed.
            answer(Err(match holder {
                Holder::Request => not_applied(&self.group),
                Holder::Stream => failed.clone(),
            }));
        } else if head.fresh.is_some() {
            head.fresh_answers.push(answer);
        } else if let Some(waiting) = head.flights.iter_mut().rev().find(|waiting| !waiting.landed) {
            waiting.answers.push(answer);
        } else {
            answer(Ok(self.position(head.version())));
        }
    }

    /// The head, for a transaction that begins with the turn.
    pub(super) fn head_view(&self, patience: Patience) -> (HeadView, Began) {
        let state = &mut *self.state.lock();
        let head = &mut state.head;
        head.rebase(self.database.published.load_full());
        (
            head.view(&self.group.pages, patience),
            Began::Head {
                generation: head.generation,
                step: head.step,
            },
        )
    }

    /// Whether what began at `began` may write: nothing came after it.
    pub(super) fn check_newest(&self, began: Began) -> Result<(), Refusal> {
        let state = &mut *self.state.lock();
        let head = &mut state.head;
        head.rebase(self.database.published.load_full());
        let is_newest = match began {
            Began::Nowhere => false,
            Began::Published(version) => head.is_clean() && head.base.version == version,
            Began::Head { generation, step } => generation == head.generation && step == head.step,
        };
        if is_newest && head.failed.is_none() {
            Ok(())
        } else {
            Err(Refusal::Stale)
        }
    }

    /// Takes what a transaction changed.
    pub(super) fn step(
        &self,
        began: Began,
        batch: Batch,
        patience: Patience,
    ) -> Result<(HeadView, Began), Refusal> {
        self.check_newest(began)?;
        let state = &mut *self.state.lock();
        let head = &mut state.head;
        let bytes = u64::from(batch.page_count) * u64::from(batch.page_size.bytes());
        if bytes > self.database_bytes_max() && bytes > head.extent().bytes() {
            return Err(Refusal::Full);
        }
        head.step(batch);
        state.first_fresh.get_or_insert_with(Instant::now);
        Ok((
            head.view(&self.group.pages, patience),
            Began::Head {
                generation: head.generation,
                step: head.step,
            },
        ))
    }

    fn database_bytes_max(&self) -> u64 {
        match self.database.limits.load().database_bytes {
            0 => self.options.database_bytes,
            bytes => bytes,
        }
    }

    /// Who counts what runs on the database's connections.
    pub(super) fn observer(&self) -> Observer {
        Observer::new(Arc::clone(&self.counters.statements), self.database.id)
    }

    /// Parts of large transactions that were applied: as long as there come more, their commit goes on.
    pub(super) fn parts_arrived(&self) -> u64 {
        self.parts_arrived.load(Ordering::Relaxed)
    }

    /// Discards so far.
    pub(super) fn generation(&self) -> u64 {
        self.state.lock().head.generation
    }

    /// True while nothing is queued, in the air or held.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.state.lock();
        let in_the_air = state.head.flights.iter().any(|waiting| !waiting.landed);
        !state.is_driven
            && !state.turn_is_taken
            && state.jobs.is_empty()
            && state.head.fresh.is_none()
            && !in_the_air
    }

    /// Requests and streams that wait for the turn.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.state.lock().jobs.len()
    }

    /// Closes the shared writer's connection of an idle database.
    pub(super) fn close_writer(&self) {
        if let Some(mut writer) = self.writer.try_lock() {
            *writer = None;
        }
    }

    /// Sees to it that somebody drives the queue, if there is something to do.
    fn wake(self: &Arc<Self>) {
        if self.begin_driving() {
            Arc::clone(self).hand_over(None);
        }
    }

    /// True if there is something to do and nobody is at it: then the caller is to see to it.
    fn begin_driving(&self) -> bool {
        let state = &mut *self.state.lock();
        let has_work = state.head.fresh.is_some()
            || state.head.failed.is_some()
            || (!state.turn_is_taken && !state.jobs.is_empty());
        if state.is_driven || !has_work {
            return false;
        }
        state.is_driven = true;
        true
    }

    /// Drives the queue until nothing is left to do, or `pace` ends: then an SQL thread goes on.
    ///
    /// INVARIANT: `is_driven` is true from before this is called until it, or the one it hands over to, finds
    /// nothing to do.
    fn drive(self: Arc<Self>, mut begun: Option<Begun>, pace: Pace) {
        loop {
            let is_begun = begun.is_some();
            let (takeoff, work) = if is_begun {
                (None, begun.take())
            } else {
                let state = &mut *self.state.lock();
                let takeoff = self.prepare_takeoff(state);
                let work = if takeoff.is_none() {
                    self.next_work(state)
                } else {
                    None
                };
                if takeoff.is_none() && work.is_none() {
                    state.is_driven = false;
                    return;
                }
                (takeoff, work)
            };
            if let Some(takeoff) = takeoff {
                self.take_off(takeoff);
            }
            match work {
                None => {}
                Some(work) if !is_begun && pace.is_over() => return self.hand_over(Some(work)),
                Some(Begun::Turn(grant)) => {
                    // If the stream does not wait any more, the turn comes back and is dropped here.
                    drop(grant.send(Turn {
                        queue: Arc::clone(&self),
                    }));
                }
                Some(Begun::Request {
                    request,
                    key,
                    generation,
                }) => {
                    let run = || self.run(request, key, generation, pace);
                    match catch_unwind(AssertUnwindSafe(run)) {
                        // It keeps the turn.
                        Ok(Some(unfinished)) => return self.hand_over(Some(unfinished)),
                        Ok(None) => {}
                        Err(_) => self.panicked(),
                    }
                    self.state.lock().turn_is_taken = false;
                }
            }
        }
    }

    /// An SQL thread goes on.
    fn hand_over(self: Arc<Self>, begun: Option<Begun>) {
        let queue = Arc::clone(&self);
        // The lane takes any number: there is at most one driver.
        let _ = self.threads.submit(&self.lane, move || {
            let until = Instant::now() + TURN;
            queue.drive(begun, Pace::Patient(until));
        });
    }

    /// What the next one does who gets the turn, which is then taken.
    fn next_work(&self, state: &mut State) -> Option<Begun> {
        if state.turn_is_taken || state.head.failed.is_some() {
            return None;
        }
        if state.head.fresh_bytes >= self.options.entry_bytes {
            // Full: what is in the air must land first.
            return None;
        }
        let job = state.jobs.pop_front()?;
        state.turn_is_taken = true;
        Some(match job {
            Job::Turn(grant) => Begun::Turn(grant),
            Job::Request { request, key } => Begun::Request {
                request,
                key,
                generation: state.head.generation,
            },
        })
    }

    /// A request panicked in the middle: what it did so far must not be committed without the rest, and the
    /// turn must not be lost with it. Its client hears that the outcome is not known.
    fn panicked(&self) {
        tracing::error!(database = %self.database.id, "a request panicked on the writer");
        *self.writer.lock() = None;
        let head = &mut self.state.lock().head;
        head.failed
            .get_or_insert_with(|| Error::new(Code::Internal, "another request failed; nothing was applied"));
        head.fresh_answers.send(&Err(not_applied(&self.group)));
    }

    /// Runs one request. Answers what is left of it if it is not brief, which `pace` may demand.
    fn run(
        self: &Arc<Self>,
        request: Box<dyn Erased>,
        key: Option<IdempotencyKey>,
        generation: u64,
        pace: Pace,
    ) -> Option<Begun> {
        let mut slot = self.writer.lock();
        // Opening a connection, and looking for a key, may wait for the object store.
        let needs_patience =
            key.is_some() || slot.as_ref().is_none_or(|writer| writer.generation != generation);
        if needs_patience && matches!(pace, Pace::Brief(_)) {
            return Some(Begun::Request {
                request,
                key,
                generation,
            });
        }
        if request.start() == Started::Abandoned {
            return None;
        }
        let writer = match self.writer(&mut slot, generation) {
            Ok(writer) => writer,
            Err(error) => {
                request.reply(Err(error), None);
                return None;
            }
        };
        writer.backend.set_turn(true);
        let ran = self.run_on(writer, request, key, pace);
        writer.backend.set_turn(false);
        let is_shareable = !writer.connection.is_marked() && !writer.connection.is_poisoned();
        if !is_shareable || matches!(ran, Ran::Undone(_)) {
            *slot = None;
        }
        match ran {
            Ran::Done | Ran::Undone(None) => None,
            Ran::Unfinished(request) | Ran::Undone(Some(request)) => Some(Begun::Request {
                request,
                key: None,
                generation,
            }),
        }
    }

    /// The shared writer's connection, opened if need be, with nothing in its cache that was discarded.
    fn writer<'a>(
        self: &Arc<Self>,
        slot: &'a mut Option<Writer>,
        generation: u64,
    ) -> Result<&'a mut Writer, Error> {
        let limits = **self.database.limits.load();
        if slot.as_ref().is_some_and(|writer| writer.limits != limits) {
            *slot = None;
        }
        if let Some(writer) = slot.as_mut().filter(|writer| writer.generation != generation) {
            match writer.connection.forget_cached_pages() {
                Ok(()) => writer.generation = generation,
                Err(_) => *slot = None,
            }
        }
        if slot.is_none() {
            let backend = ConnectionBackend::new(Arc::clone(self));
            backend.set_turn(true);
            let mut options = self.options.connection(Role::Writer, &limits);
            options.observer = Some(self.observer());
            let connection =
                Connection::open(Arc::clone(&backend) as _, options).map_err(|error| Error::sql(&error))?;
            *slot = Some(Writer {
                connection,
                backend,
                generation,
                limits,
            });
        }
        slot.as_mut()
            .ok_or_else(|| Error::new(Code::Internal, "no writer"))
    }

    /// Runs one request, as long as `pace` allows.
    ///
    /// INVARIANT: what was not brief is undone before it begins anew, so that nothing runs twice.
    fn run_on(
        self: &Arc<Self>,
        writer: &mut Writer,
        mut request: Box<dyn Erased>,
        key: Option<IdempotencyKey>,
        pace: Pace,
    ) -> Ran {
        if let Some(key) = &key {
            match self.recorded(key) {
                Ok(None) => {
                    if let Err(error) = self.check_room_for_a_key() {
                        request.reply(Err(error), None);
                        return Ran::Done;
                    }
                }
                Ok(Some(recorded)) => {
                    self.counters.keys_reused.fetch_add(1, Ordering::Relaxed);
                    request.keep();
                    self.answer_when_visible(
                        Holder::Request,
                        Box::new(move |at| request.reply(at, Some(recorded))),
                    );
                    return Ran::Done;
                }
                Err(error) => {
                    let is_conflict = error.code == Code::IdempotencyConflict;
                    let conflicts = &self.counters.keys_conflicts;
                    conflicts.fetch_add(is_conflict.into(), Ordering::Relaxed);
                    request.reply(Err(error), None);
                    return Ran::Done;
                }
            }
        }
        let before = self.state.lock().head.mark();
        writer.connection.begin_unit();
        let progress = writer.resume(&mut *request, pace);
        debug_assert_ne!(progress, Progress::NeedsTurn, "the shared writer has the turn");
        if progress == Progress::NeedsPatience {
            request.begin_anew();
            return if self.state.lock().head.step == before.step {
                Ran::Unfinished(request)
            } else {
                self.undo(before);
                Ran::Undone(Some(request))
            };
        }
        if !request.keep() {
            // Its client left. What it committed is in no entry: nobody saw it but this connection.
            self.counters.given_up.fetch_add(1, Ordering::Relaxed);
            self.undo(before);
            return Ran::Undone(None);
        }
        let recorded = key.map(|key| self.record(&key, before.step, &*request));
        drop(before);
        self.answer_when_visible(Holder::Request, Box::new(move |at| request.reply(at, recorded)));
        self.state.lock().head.fresh_requests += 1;
        self.counters.units.fetch_add(1, Ordering::Relaxed);
        Ran::Done
    }

    fn undo(&self, mark: Mark) {
        let state = &mut *self.state.lock();
        state.head.undo(mark);
        if state.head.fresh.is_none() {
            state.first_fresh = None;
        }
    }

    /// What was kept under the key: on its way, in the overlay or in the base.
    fn recorded(&self, key: &IdempotencyKey) -> Result<Option<Recorded>, Error> {
        let record_key = idempotency::record_key(key);
        let (on_its_way, snapshot) = {
            let state = self.state.lock();
            (
                state.head.record(&record_key),
                self.database.published.load_full(),
            )
        };
        let stored = match on_its_way {
            Some(value) => Some(value),
            None => {
                let read = self.group.pages.record(&snapshot, &record_key);
                read.map_err(|error| Error::read(&error))?
            }
        };
        stored
            .map(|value| idempotency::recall(key, &value))
            .transpose()
            .map(Option::flatten)
    }

    /// INVARIANT: what is refused is a new key, and never is a key dropped early to make room
    /// (`keys_beyond_the_limit_are_refused_until_the_time_of_others_is_over`).
    fn check_room_for_a_key(&self) -> Result<(), Error> {
        let state = self.state.lock();
        let published = self.database.published.load();
        let kept = published.expiries.live(now_ms()) + state.head.records_above(published.version);
        if kept < self.options.keys_max {
            return Ok(());
        }
        let message = format!(
            "{kept} idempotency keys of this database are kept already; no more are taken until some are over"
        );
        Err(Error::new(Code::Quota, message))
    }

    /// Keeps the reply with the request's commits, if it committed anything.
    fn record(&self, key: &IdempotencyKey, step_before: u64, request: &dyn Erased) -> Recorded {
        let state = &mut *self.state.lock();
        if state.head.step == step_before {
            return Recorded::Nothing;
        }
        let (record, recorded) = idempotency::remember(key, request.record(), self.options.keys_kept_for);
        state.head.remember(record);
        recorded
    }

    fn prepare_takeoff(&self, state: &mut State) -> Option<Takeoff> {
        let published = self.database.published.load_full();
        if state.head.failed.is_some() {
            let in_the_air = state.head.flights.iter().any(|waiting| !waiting.landed);
            if !in_the_air && !state.turn_is_taken {
                state.head.fresh_answers.send(&Err(not_applied(&self.group)));
                state.head.discard(published);
                state.first_fresh = None;
            }
            return None;
        }
        if state.is_in_parts {
            return None;
        }
        state.head.rebase(published);
        let in_the_air = state
            .head
            .flights
            .iter()
            .filter(|waiting| !waiting.landed)
            .count();
        let is_due = state.jobs.is_empty()
            || state.turn_is_taken
            || state.head.fresh_requests >= self.options.merge_requests
            || state.head.fresh_bytes >= self.options.entry_bytes
            || state
                .first_fresh
                .is_some_and(|first| first.elapsed() >= self.options.merge_time);
        if in_the_air >= self.options.flights_max || !is_due {
            return None;
        }
        // A stream that holds the turn may be about to add to it; each of its commits is complete in itself.
        let mut layer = state.head.fresh.take()?;
        layer.fill_gap(state.head.extent());
        state.first_fresh = None;
        self.counters
            .entry_requests
            .observe(state.head.fresh_requests as f64);
        let takeoff = self.takeoff(&mut state.head, layer);
        state.is_in_parts = !takeoff.parts.is_empty();
        Some(takeoff)
    }

    fn takeoff(&self, head: &mut Head, layer: Layer) -> Takeoff {
        let mut pages = Vec::with_capacity(layer.images.len());
        let mut depths = BTreeMap::new();
        for (no, image) in &layer.images {
            let Some(no) = PageNo::new(*no) else { continue };
            let (content, depth) = self.content(head, no, image);
            depths.insert(no.get(), depth);
            let checksum = checksum(self.database.id, no, image).0;
            pages.push(PageChange {
                number: no.get(),
                checksum,
                content: Some(content),
            });
        }
        let images = layer
            .images
            .iter()
            .filter_map(|(no, image)| Some((PageNo::new(*no)?, image.clone())))
            .collect();
        let mut body = CommitBody {
            database: Bytes::copy_from_slice(self.database.id.as_bytes()),
            epoch: self.database.epoch.0,
            base_version: head.version().0,
            page_count: layer.page_count(),
            page_size: layer.page_size(),
            pages,
            records: head.fresh_records.clone(),
            ..CommitBody::default()
        };
        let parts = self.split(&mut body);
        let (commit, chain) = Commit::link(head.chain(), &body);
        let flight = head.take_off(layer, depths, chain);
        Takeoff {
            version: flight.version,
            parts,
            commit,
            images,
        }
    }

    /// A difference where it is shorter, and where what was before is at hand.
    fn content(&self, head: &Head, no: PageNo, image: &Image) -> (PageContent, u8) {
        let whole = || (PageContent::Image(image.clone()), 0);
        let Some((before, depth)) = head.prior(no, image.len(), &self.group.pages) else {
            return whole();
        };
        if depth >= CHAIN_MAX {
            return whole();
        }
        match Delta::between(&before, image, image.len() / 2) {
            Some(delta) => (PageContent::Delta(Bytes::from(delta)), depth + 1),
            None => whole(),
        }
    }

    /// Moves the pages of a commit that is too large for one entry into parts.
    fn split(&self, body: &mut CommitBody) -> Vec<Part> {
        let size = |page: &PageChange| page.content.as_ref().map_or(0, PageContent::len) as u64 + 32;
        if body.pages.iter().map(size).sum::<u64>() <= self.options.entry_bytes {
            return Vec::new();
        }
        let transaction = self.transactions.fetch_add(1, Ordering::Relaxed);
        let mut parts: Vec<Part> = Vec::new();
        let mut bytes = u64::MAX;
        for page in body.pages.drain(..) {
            bytes = bytes.saturating_add(size(&page));
            if bytes > self.options.entry_bytes {
                bytes = size(&page);
                parts.push(Part {
                    database: body.database.clone(),
                    epoch: body.epoch,
                    transaction,
                    part: parts.len() as u32,
                    pages: Vec::new(),
                });
            }
            if let Some(part) = parts.last_mut() {
                part.pages.push(page);
            }
        }
        body.transaction = transaction;
        body.parts = parts.len() as u32;
        body.parts_hash = Bytes::copy_from_slice(&PartsHash::of(&parts).finish());
        parts
    }

    fn take_off(self: &Arc<Self>, takeoff: Takeoff) {
        let Takeoff {
            version,
            parts,
            commit,
            images,
        } = takeoff;
        fail::fail_point!("queue::propose");
        if parts.is_empty() {
            return self.propose(version, commit, images);
        }
        let queue = Arc::clone(self);
        let arrivals = Arc::clone(&self.parts_arrived);
        Convoy::set_out(Arc::clone(&self.group), arrivals, parts, move |way| {
            match way {
                Ok(()) => queue.propose(version, commit, images),
                Err(error) => queue.landed(version, Err(error)),
            }
            queue.state.lock().is_in_parts = false;
            queue.wake();
        });
    }

    fn propose(self: &Arc<Self>, version: Version, commit: Commit, images: Vec<(PageNo, Image)>) {
        let (queue, proposed_at) = (Arc::clone(self), Instant::now());
        let proposal = Proposal::with_images(Kind::Commit(commit), Some(images));
        let proposed = self.group.propose(proposal, move |outcome| {
            queue
                .counters
                .commit_seconds
                .observe(proposed_at.elapsed().as_secs_f64());
            queue.landed(version, landing(&queue.group, outcome));
        });
        if let Err(why) = proposed {
            self.landed(version, Err(not_proposed(&self.group, why)));
        }
    }

    /// An entry has its outcome.
    fn landed(self: &Arc<Self>, version: Version, result: Result<(), Error>) {
        let mut answers = {
            let state = &mut *self.state.lock();
            let head = &mut state.head;
            let Some(waiting) = head
                .flights
                .iter_mut()
                .find(|waiting| waiting.flight.version == version)
            else {
                return;
            };
            waiting.landed = true;
            let answers = std::mem::take(&mut waiting.answers);
            if let Err(error) = &result {
                head.failed.get_or_insert_with(|| error.clone());
                // Steps that are in no entry are certainly not applied, and never will be.
                head.fresh_answers.send(&Err(not_applied(&self.group)));
            }
            answers
        };
        fail::fail_point!("queue::answer");
        answers.send(&result.map(|()| self.position(version)));
        self.wake();
    }

    fn position(&self, version: Version) -> Position {
        Position {
            database: self.database.id,
            epoch: self.database.epoch,
            version,
        }
    }
}

fn not_applied(group: &Group) -> Error {
    Error::not_leader(group, "an earlier commit was not applied; nothing of this was")
}

/// What an outcome means for those who wait.
pub(super) fn landing(group: &Group, outcome: Outcome) -> Result<(), Error> {
    match outcome {
        Outcome::Applied(Applied::Done(_) | Applied::Nothing) => Ok(()),
        Outcome::Applied(Applied::Refused(Refused::NoDatabase)) => Err(Error::new(
            Code::DatabaseNotFound,
            "the database was dropped; nothing was applied",
        )),
        Outcome::Applied(Applied::Refused(refused)) => Err(Error::not_leader(
            group,
            format!("{refused}; nothing was applied"),
        )),
        Outcome::NotLeader => Err(Error::not_leader(
            group,
            "this node does not lead the group any more; nothing was applied",
        )),
        Outcome::Unknown => Err(Error::new(
            Code::CommitUnknown,
            "the node stopped before the outcome of the commit was known; it may or may not have been applied",
        )),
    }
}

pub(super) fn disk_full() -> Error {
    Error::new(
        Code::Overloaded,
        "the log cannot grow: its disk is full, or no file can be made there (this node's own log says which). Writes are refused until it can; nothing was applied",
    )
}

pub(super) fn not_proposed(group: &Group, why: NotProposed) -> Error {
    match why {
        NotProposed::NotLeader => {
            Error::not_leader(group, "this node does not lead the group; nothing was applied")
        }
        NotProposed::DiskFull => disk_full(),
        NotProposed::Overloaded => Error::new(
            Code::Overloaded,
            "the group has more to do than it can queue; nothing was applied",
        ),
    }
}
