//! One database of this node, as the transports use it.

use super::backend::ConnectionBackend;
use super::brief::{BRIEF, briefly};
use super::counters::{CodeLabel, Counted, Counters};
use super::deadline;
use super::hints::{Hints, Unit};
use super::interrupt::interruptible;
use super::queue::{Queue, disk_full};
use super::request::{Erased, GivenUp, Phase, Request, Ticket, Wait};
use super::stream::Stream;
use super::threads::{Lane, SqlThreads};
use super::{
    Access, Elsewhere, Error, Finished, Options, Position, Progress, RequestOptions, Work, WorkResult,
};
use crate::entry::Limits;
use crate::group::{self, Group, Groups};
use crate::secret::Secret;
use crate::sql::{Connection, Role};
use crate::vfs::Table;
use orion_api::hrana::ReadPolicy;
use orion_api::{Code, DatabaseId, Version};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

/// A database that is in use: its queue, its readers, its streams.
pub struct Database {
    pub(super) entry: Arc<group::Database>,
    pub(super) group: Arc<Group>,
    /// All of the node, which its overlays share room with.
    groups: Arc<Groups>,
    pub(super) queue: Arc<Queue>,
    pub(super) threads: Arc<SqlThreads>,
    pub(super) options: Arc<Options>,
    pub(super) stream_lane: Arc<Lane>,
    pub(super) streams: AtomicUsize,
    pub(super) tasks: TaskTracker,
    hints: Arc<Hints>,
    read_lane: Arc<Lane>,
    readers: Mutex<Vec<Reader>>,
    used: Mutex<Instant>,
    counters: Arc<Counters>,
    /// Of `_orion` only: tables of the service's own, instead of data.
    tables: OnceLock<Arc<[Table]>>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database")
            .field("id", &self.entry.id)
            .finish_non_exhaustive()
    }
}

/// A connection that reads published versions.
struct Reader {
    connection: Connection,
    backend: Arc<ConnectionBackend>,
    /// Those that it was opened with.
    limits: Limits,
    _counted: Counted,
}

/// How a read on a reader ended.
enum Read<W> {
    Done(W, Version),
    Writes(W),
}

impl Database {
    pub(super) fn new(
        entry: Arc<group::Database>,
        (group, groups): (Arc<Group>, Arc<Groups>),
        threads: Arc<SqlThreads>,
        hints: Arc<Hints>,
        options: Arc<Options>,
        tasks: TaskTracker,
        counters: Arc<Counters>,
    ) -> Arc<Database> {
        let queue = Queue::new(
            Arc::clone(&entry),
            Arc::clone(&group),
            Arc::clone(&threads),
            Arc::clone(&options),
            Arc::clone(&counters),
        );
        Arc::new(Database {
            entry,
            group,
            groups,
            queue,
            threads,
            stream_lane: Lane::new(options.read_threads_max, options.waiting_max),
            streams: AtomicUsize::new(0),
            tasks,
            hints,
            read_lane: Lane::new(options.read_threads_max, options.waiting_max),
            readers: Mutex::default(),
            used: Mutex::new(Instant::now()),
            counters,
            tables: OnceLock::new(),
            options,
        })
    }

    /// It is one of views: it has these tables and nobody writes it.
    pub(super) fn set_tables(&self, tables: Arc<[Table]>) {
        // Once, before anybody uses it.
        let _ = self.tables.set(tables);
    }

    /// The tables of the views, if it is the database of the views.
    pub(super) fn tables(&self) -> Option<&Arc<[Table]>> {
        self.tables.get()
    }

    /// Its id.
    pub fn id(&self) -> DatabaseId {
        self.entry.id
    }

    /// What signs its batons and session tokens.
    pub fn secret(&self) -> &Secret {
        self.group.catalog.secret()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.entry.name.as_str()
    }

    /// Where the newest published version is.
    pub fn position(&self) -> Position {
        let snapshot = self.entry.published.load();
        Position {
            database: snapshot.database,
            epoch: snapshot.epoch,
            version: snapshot.version,
        }
    }

    /// Runs a whole unit on shared connections and answers when everything that it saw is applied.
    pub async fn run<W: Work>(&self, work: W, options: &RequestOptions) -> WorkResult<W> {
        let result = self.run_uncounted(work, options).await;
        if let Err(error) = &result {
            self.counters
                .errors
                .get_or_create(&CodeLabel {
                    code: error.code.as_str(),
                })
                .inc();
        }
        result
    }

    async fn run_uncounted<W: Work>(&self, mut work: W, options: &RequestOptions) -> WorkResult<W> {
        self.touch();
        self.check_served()?;
        let staleness = self.wait_for_policy(options).await?;
        if self.tables.get().is_some() && options.idempotency.is_some() {
            return Err(Error::new(
                Code::InvalidRequest,
                "the views cannot be written; leave the idempotency key away",
            ));
        }
        let unit = self.hints.unit(self.entry.id, &work);
        if options.idempotency.is_none() && !self.hints.writes(unit) {
            match self.read(work, unit).await? {
                Read::Done(finished, version) => {
                    let seen = Position {
                        version,
                        ..self.position()
                    };
                    return Ok(Finished {
                        work: finished,
                        seen,
                        staleness,
                        idempotency: None,
                    });
                }
                Read::Writes(unfinished) => work = unfinished,
            }
            if options.access == Access::Read {
                return Err(Error::new(
                    Code::AuthForbidden,
                    "this token may only read; use one that may write",
                ));
            }
            self.hints.note_write(unit);
            work.restart();
        }
        if options.access == Access::Read {
            return Err(Error::new(
                Code::AuthForbidden,
                "this token may only read; use one that may write",
            ));
        }
        self.check_leads()?;
        self.wait_for_room().await?;
        self.write(work, unit, options).await
    }

    /// A stream of its own: a connection whose state lasts between units.
    pub fn open_stream(self: &Arc<Self>) -> Result<Stream, Error> {
        self.touch();
        self.check_served()?;
        self.check_leads()?;
        Stream::open(self)
    }

    fn check_served(&self) -> Result<(), Error> {
        if !self.entry.is_active() {
            return Err(Error::new(Code::DatabaseNotFound, "the database was dropped"));
        }
        Ok(())
    }

    /// Writes, and streams that may come to write, are the leader's.
    fn check_leads(&self) -> Result<(), Error> {
        if self.group.serves() || self.tables.get().is_some() {
            return Ok(());
        }
        Err(Error::not_leader(
            &self.group,
            "this node does not lead the database's group; nothing was done",
        ))
    }

    /// Waits until this copy is as fresh as was asked for. Answers how old it may be: the time since it was certainly
    /// the newest, by this node's clock.
    pub(super) async fn wait_for_policy(&self, options: &RequestOptions) -> Result<Duration, Error> {
        self.wait_for_confirmation(options).await?;
        self.wait_for_position(options).await?;
        Ok(match options.read_policy {
            ReadPolicy::Strong | ReadPolicy::RevocationSafe => Duration::ZERO,
            _ => self.group.staleness().unwrap_or(Duration::MAX),
        })
    }

    /// INVARIANT: strong reads see everything that was acknowledged to anybody before they were asked for; reads of bounded
    /// staleness everything that was acknowledged longer ago than the bound. The views show this node, and wait for nobody.
    async fn wait_for_confirmation(&self, options: &RequestOptions) -> Result<(), Error> {
        let by_quorum = match options.read_policy {
            _ if self.tables.get().is_some() => return Ok(()),
            ReadPolicy::Strong if self.group.is_current() => return Ok(()),
            ReadPolicy::Strong => false,
            ReadPolicy::RevocationSafe => true,
            ReadPolicy::BoundedStaleness => {
                let most = options.max_staleness.unwrap_or_default();
                if self.group.staleness().is_some_and(|age| age <= most) {
                    return Ok(());
                }
                false
            }
            ReadPolicy::Session | ReadPolicy::Local => return Ok(()),
        };
        let caught_up = tokio::time::timeout(options.read_timeout, self.group.catch_up(by_quorum)).await;
        match caught_up {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Error::not_leader(
                &self.group,
                "nobody who leads the database's group confirmed how new this copy is",
            )),
            Err(_) => Err(Error {
                elsewhere: Some(Elsewhere::Leader(self.group.name.clone())),
                ..Error::new(
                    Code::StaleRead,
                    "this copy was not confirmed to be the newest within the read time-out",
                )
            }),
        }
    }

    async fn wait_for_position(&self, options: &RequestOptions) -> Result<(), Error> {
        let behind = || {
            let position = self.position();
            let session = options.session.is_some_and(|session| {
                session.database == position.database
                    && session.epoch == position.epoch
                    && session.version > position.version
            });
            let index = self.group.applied_index();
            session || options.min_applied.is_some_and(|wanted| wanted > index)
        };
        if let Some(session) = options.session
            && (session.database != self.entry.id || session.epoch > self.entry.epoch)
        {
            return Err(Error::new(
                Code::StaleRead,
                "the session token is of another database or of a later epoch",
            ));
        }
        if let Some(session) = options.session
            && !self.entry.has(session.epoch, session.version)
        {
            return Err(Error::new(
                Code::StaleRead,
                "what the session token stands for was lost when the database's group was recovered: begin without it",
            ));
        }
        if !behind() {
            return Ok(());
        }
        let wait = self.group.wait_applied(|| !behind());
        tokio::time::timeout(options.read_timeout, wait)
            .await
            .map_err(|_| Error {
                elsewhere: Some(Elsewhere::Leader(self.group.name.clone())),
                ..Error::new(
                    Code::StaleRead,
                    "this copy did not become as fresh as asked within the read time-out",
                )
            })
    }

    /// Waits while the overlay, or those of all databases together, are at their limit. What would only be
    /// refused by the log is refused at once: behind entries that wait for room on the disk it would wait for
    /// its time-out.
    pub(super) async fn wait_for_room(&self) -> Result<(), Error> {
        if !self.group.has_disk_room() {
            return Err(disk_full());
        }
        let is_full = || {
            self.entry.published.load().overlay_bytes >= self.options.overlay_bytes
                || self.groups.led_overlay_bytes() >= self.options.overlay_node_bytes
        };
        if !is_full() {
            return Ok(());
        }
        self.group.catalog.ask_for_materialization(self.entry.id);
        let wait = self.groups.wait_applied(|| !is_full());
        tokio::time::timeout(self.options.overlay_wait, wait)
            .await
            .map_err(|_| {
                let message = "the object store does not keep up with the writes; try again later";
                Error::new(Code::Overloaded, message)
            })
    }

    /// Runs a unit on a reader: briefly here and now if one is idle, else, or if that is not enough, on an
    /// SQL thread.
    ///
    /// A point query takes a few microseconds, a hand-over to another thread and back more than ten times
    /// that. So it is tried where the request is, for at most [`BRIEF`] and without waiting for the object
    /// store; what takes longer goes on, at the statement that it stopped at, on a thread that may wait.
    async fn read<W: Work>(&self, mut work: W, unit: Unit) -> Result<Read<W>, Error> {
        let limits = **self.entry.limits.load();
        let mut reader = self.readers.lock().pop().filter(|reader| reader.limits == limits);
        if let Some(open) = reader.as_mut().filter(|_| self.hints.is_brief(unit)) {
            let progress = open.resume_briefly(&mut work);
            if progress != Progress::NeedsPatience {
                let version = open.backend.read_version();
                self.rest(reader.take());
                return Ok(self.read_ended(work, progress, version));
            }
            self.hints.note_long(unit);
        }
        let (reply, receiver) = oneshot::channel();
        let (queue, options) = (Arc::clone(&self.queue), Arc::clone(&self.options));
        let (_waiter, interruptible) = interruptible();
        let (tables, readers) = (self.tables.get().cloned(), Arc::clone(&self.counters.readers));
        let submitted = self.threads.submit(&self.read_lane, move || {
            let reader = reader.map_or_else(|| Reader::open(&queue, &options, tables.as_ref(), &readers), Ok);
            let result = reader.map(|mut reader| {
                if !reader.connection.is_autocommit() {
                    // The open transaction pinned a view that does not wait. It only read: begin again.
                    reader.connection.rollback();
                    work.restart();
                }
                let is_awaited = || !reply.is_closed();
                let run = |connection: &mut Connection| resume(connection, &mut work);
                let progress = interruptible.run(&mut reader.connection, is_awaited, run);
                // Whoever is not there to take the answer takes any.
                (work, progress.unwrap_or(Progress::Done), reader)
            });
            drop(reply.send(result));
        });
        submitted.map_err(|full| Error::new(Code::Overloaded, full.to_string()))?;
        let (work, progress, reader) = receiver.await.map_err(|_| stopped())??;
        let version = reader.backend.read_version();
        self.rest(Some(reader));
        Ok(self.read_ended(work, progress, version))
    }

    fn read_ended<W: Work>(&self, work: W, progress: Progress, version: Option<Version>) -> Read<W> {
        if progress == Progress::NeedsTurn {
            return Read::Writes(work);
        }
        Read::Done(work, version.unwrap_or_else(|| self.position().version))
    }

    /// Keeps a reader for the next unit, if nothing is left behind on it and there is room.
    fn rest(&self, reader: Option<Reader>) {
        let Some(reader) = reader.filter(Reader::is_shareable) else {
            return;
        };
        if self.counters.readers.load(Ordering::Relaxed) > self.options.readers_node_max {
            return;
        }
        let mut idle = self.readers.lock();
        if idle.len() < self.options.idle_readers_max {
            idle.push(reader);
        }
    }

    async fn write<W: Work>(&self, work: W, unit: Unit, options: &RequestOptions) -> WorkResult<W> {
        let (reply, mut receiver) = oneshot::channel();
        let ticket = Ticket::default();
        let request: Box<dyn Erased> = Box::new(Request {
            work,
            ticket: ticket.clone(),
            reply,
        });
        match &options.idempotency {
            None if self.hints.is_brief(unit) => {
                self.queue.push_briefly(request)?;
                if ticket.was_long() {
                    self.hints.note_long(unit);
                }
            }
            key => self.queue.push(request, key.clone())?,
        }
        let wait = Wait(ticket);
        let deadline = self.options.commit_deadline;
        let runs_until = Instant::now() + deadline + self.statement_time();
        let (mut ran_already, mut arrived) = (false, self.queue.parts_arrived());
        loop {
            if let Some(result) = deadline::within(deadline, &mut receiver).await {
                return result.unwrap_or_else(|_| Err(stopped()));
            }
            match wait.0.phase() {
                // A statement has its own time, which ends it in time.
                Phase::Running if Instant::now() < runs_until => {}
                Phase::Queued | Phase::Running => match wait.0.give_up() {
                    GivenUp::NotBegun => return Err(busy()),
                    GivenUp::Undone => return Err(ran_too_long()),
                    GivenUp::TooLate => {}
                },
                // The wait for its turn and its run are not held against its commit, nor the parts that it is behind.
                Phase::Over => {
                    let before = std::mem::replace(&mut arrived, self.queue.parts_arrived());
                    if ran_already && arrived == before {
                        return Err(deadline_passed());
                    }
                    ran_already = true;
                }
            }
        }
    }

    fn statement_time(&self) -> Duration {
        self.options.sql_limits(&self.entry.limits.load()).statement_time
    }

    fn touch(&self) {
        *self.used.lock() = Instant::now();
    }

    /// True if nothing happened for `time` and nothing is under way.
    pub(super) fn is_idle(&self, time: Duration) -> bool {
        self.used.lock().elapsed() >= time
            && self.streams.load(Ordering::Acquire) == 0
            && self.queue.is_idle()
    }

    /// Closes the idle readers, if nobody asked for anything for `time`.
    pub(super) fn close_idle_readers(&self, time: Duration) {
        if self.used.lock().elapsed() >= time {
            self.readers.lock().clear();
        }
    }

    /// Closes the connections of an idle database.
    pub(super) fn close_connections(&self) {
        self.readers.lock().clear();
        self.queue.close_writer();
    }
}

/// Goes on with a unit on a reader's connection, and leaves no transaction behind.
fn resume<W: Work>(connection: &mut Connection, work: &mut W) -> Progress {
    let progress = work.resume(connection);
    if progress != Progress::NeedsPatience && !connection.is_autocommit() {
        connection.rollback();
    }
    connection.take_wants_turn();
    progress
}

impl Reader {
    fn resume_briefly<W: Work>(&mut self, work: &mut W) -> Progress {
        let until = Instant::now() + BRIEF;
        briefly(&mut self.connection, &self.backend, until, |connection| {
            resume(connection, work)
        })
    }

    /// Nothing is left behind on it that the next user could see.
    fn is_shareable(&self) -> bool {
        !self.connection.is_marked() && !self.connection.is_poisoned()
    }

    fn open(
        queue: &Arc<Queue>,
        options: &Options,
        tables: Option<&Arc<[Table]>>,
        readers: &Arc<AtomicUsize>,
    ) -> Result<Reader, Error> {
        let backend = ConnectionBackend::new(Arc::clone(queue));
        let limits = **queue.database.limits.load();
        let connection = connect(&backend, options, &limits, tables)?;
        Ok(Reader {
            connection,
            backend,
            limits,
            _counted: Counted::new(readers),
        })
    }
}

/// A connection for reading and, with a turn, for writing. One with the views' tables may not write: SQLite
/// refuses it at once, and nothing asks for the writer's turn.
pub(super) fn connect(
    backend: &Arc<ConnectionBackend>,
    options: &Options,
    limits: &Limits,
    tables: Option<&Arc<[Table]>>,
) -> Result<Connection, Error> {
    // A stream's role without a turn: a write is refused, and the refusal says that a turn would help.
    let role = tables.map_or(Role::Stream, |_| Role::Reader);
    let mut sql = options.connection(role, limits);
    sql.observer = Some(backend.observer());
    let mut connection =
        Connection::open(Arc::clone(backend) as _, sql).map_err(|error| Error::sql(&error))?;
    if let Some(tables) = tables {
        connection
            .add_tables(tables)
            .map_err(|error| Error::sql(&error))?;
    }
    Ok(connection)
}

pub(super) fn stopped() -> Error {
    Error::new(
        Code::CommitUnknown,
        "the node stopped while it ran the request; the outcome is not known",
    )
}

fn busy() -> Error {
    let message = "other writers of this database took too long; nothing was done, try again";
    Error::new(Code::TransactionBusy, message)
}

fn ran_too_long() -> Error {
    let message = "the request ran for longer than it may; nothing of it was done";
    Error::new(Code::TransactionTimeout, message)
}

pub(super) fn deadline_passed() -> Error {
    let message = "the commit was not confirmed in time; it may or may not be applied";
    Error::new(Code::CommitUnknown, message)
}
