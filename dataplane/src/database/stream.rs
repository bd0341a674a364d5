//! A stream: a connection of its own, for transactions that last longer than one request.
//!
//! # Turns
//! A stream reads published versions. When a statement writes, the stream waits for the writer's turn and
//! runs it then. Outside a transaction the turn is given back at once; inside one it is kept to the end.
//! What had read before it wanted to write may go on only if its version is still the newest one; otherwise
//! SQLite answers `SQLITE_BUSY_SNAPSHOT`, the only BUSY there is.
//!
//! # Time
//! A transaction that waits too long for its next request, or is open for too long, is rolled back by a
//! watchdog, which also gives the turn back. The next request of the stream learns it.
//!
//! INVARIANT: whatever ran with the turn is answered when everything it could see is applied.

use super::backend::ConnectionBackend;
use super::deadline;
use super::handle::{Database, connect, deadline_passed, stopped};
use super::interrupt::interruptible;
use super::queue::{Holder, Turn};
use super::{Access, Error, Finished, Position, Progress, RequestOptions, Work, WorkResult};
use crate::sql::Connection;
use orion_api::Code;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A client's own connection.
pub struct Stream {
    database: Arc<Database>,
    slot: Arc<Mutex<Slot>>,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("database", &self.database.id())
            .finish_non_exhaustive()
    }
}

/// Where the session rests between units.
#[derive(Default)]
struct Slot {
    session: Option<Box<Session>>,
    is_running: bool,
    timed_out: bool,
    closed: bool,
    /// Units run so far: a watchdog acts only if none came since it was set.
    units: u64,
}

/// The connection and what belongs to it. The connection goes first: it rolls back before the turn is free.
struct Session {
    connection: Connection,
    backend: Arc<ConnectionBackend>,
    turn: Option<Turn>,
    /// Discards that the connection's cache knows of.
    generation: u64,
    /// When the open transaction began.
    began: Option<Instant>,
}

impl Stream {
    pub(super) fn open(database: &Arc<Database>) -> Result<Stream, Error> {
        let max = match database.entry.limits.load().streams {
            0 => database.options.streams_max,
            streams => streams as usize,
        };
        if database.streams.fetch_add(1, Ordering::AcqRel) >= max {
            database.streams.fetch_sub(1, Ordering::AcqRel);
            let message = format!("{max} streams of this database are open already; close some");
            return Err(Error::new(Code::Quota, message));
        }
        Ok(Stream {
            database: Arc::clone(database),
            slot: Arc::default(),
        })
    }

    /// True outside of a transaction.
    pub fn is_autocommit(&self) -> bool {
        let slot = self.slot.lock();
        slot.session
            .as_ref()
            .is_none_or(|session| session.connection.is_autocommit())
    }

    fn has_begun_to_read(&self) -> bool {
        let slot = self.slot.lock();
        slot.session
            .as_ref()
            .is_some_and(|session| session.connection.has_begun_to_read())
    }

    /// Ends the stream; an open transaction is rolled back.
    pub fn close(self) {
        drop(self);
    }

    /// Runs a unit on the stream's connection.
    pub async fn run<W: Work>(&self, work: W, options: &RequestOptions) -> WorkResult<W> {
        // A transaction that has read shows its version to its end, whatever became of the group since.
        if !self.has_begun_to_read() {
            let waited = self.database.wait_for_policy(options).await;
            waited.map_err(Error::of_stream)?;
        }
        let session = self.take()?;
        let (mut session, mut work, mut progress) = self.step(session, work).await?;
        while progress == Progress::NeedsTurn {
            let turn = self.turn(options).await;
            match turn {
                Ok(turn) => session.take_turn(turn),
                Err(error) => {
                    self.put_back(session);
                    return Err(error);
                }
            }
            (session, work, progress) = self.step(Some(session), work).await?;
        }
        self.finish(session, work).await
    }

    fn take(&self) -> Result<Option<Box<Session>>, Error> {
        let mut slot = self.slot.lock();
        if std::mem::take(&mut slot.timed_out) {
            let message = "the transaction was open for too long and was rolled back; begin it again";
            return Err(Error::new(Code::TransactionTimeout, message));
        }
        if std::mem::replace(&mut slot.is_running, true) {
            return Err(Error::new(
                Code::HranaProtoError,
                "a request of this stream is still running",
            ));
        }
        slot.units += 1;
        Ok(slot.session.take())
    }

    fn put_back(&self, session: Box<Session>) {
        let mut slot = self.slot.lock();
        slot.is_running = false;
        slot.session = (!slot.closed).then_some(session);
    }

    /// One go on an SQL thread. A stream that fails here has lost its connection: it begins anew.
    async fn step<W: Work>(
        &self,
        session: Option<Box<Session>>,
        mut work: W,
    ) -> Result<(Box<Session>, W, Progress), Error> {
        let (reply, receiver) = oneshot::channel();
        let database = Arc::clone(&self.database);
        let (_waiter, interruptible) = interruptible();
        let submitted = self.database.threads.submit(&self.database.stream_lane, move || {
            let session = session.map_or_else(|| Session::open(&database), Ok);
            let result = session.and_then(|mut session| {
                session.prepare(database.queue.generation())?;
                let limits = database.options.sql_limits(&database.entry.limits.load());
                session.connection.set_limits(&limits);
                let is_awaited = || !reply.is_closed();
                let run = |connection: &mut Connection| work.resume(connection);
                let progress = interruptible.run(&mut session.connection, is_awaited, run);
                let progress = progress.ok_or_else(stopped)?;
                session.connection.take_wants_turn();
                Ok((session, work, progress))
            });
            drop(reply.send(result));
        });
        let result = match submitted {
            Ok(()) => receiver.await.unwrap_or_else(|_| Err(stopped())),
            Err(full) => Err(Error::new(Code::Overloaded, full.to_string())),
        };
        if result.is_err() {
            self.slot.lock().is_running = false;
        }
        result
    }

    /// Waits for the writer's turn.
    async fn turn(&self, options: &RequestOptions) -> Result<Turn, Error> {
        if options.access == Access::Read {
            return Err(Error::new(
                Code::AuthForbidden,
                "this token may only read; use one that may write",
            ));
        }
        self.database.wait_for_room().await?;
        let granted = self.database.queue.turn()?;
        match deadline::within(self.database.options.commit_deadline, granted).await {
            Some(turn) => turn.map_err(|_| stopped()),
            None => {
                let message = "other writers of this database took too long; nothing was done, try again";
                Err(Error::new(Code::TransactionBusy, message))
            }
        }
    }

    /// Waits for the outcome of a commit; the parts that it is behind are not held against it.
    async fn visible(
        &self,
        mut outcome: oneshot::Receiver<Result<Position, Error>>,
    ) -> Result<Position, Error> {
        let queue = &self.database.queue;
        let mut arrived = queue.parts_arrived();
        loop {
            if let Some(at) = deadline::within(self.database.options.commit_deadline, &mut outcome).await {
                return at.unwrap_or_else(|_| Err(stopped())).map_err(Error::of_stream);
            }
            let before = std::mem::replace(&mut arrived, queue.parts_arrived());
            if arrived == before {
                return Err(deadline_passed());
            }
        }
    }

    /// Gives the session its rest, and answers when what it saw is applied.
    async fn finish<W: Work>(&self, mut session: Box<Session>, work: W) -> WorkResult<W> {
        let is_autocommit = session.connection.is_autocommit();
        let had_turn = session.turn.is_some();
        let read = session.backend.read_version();
        let (sender, visible) = oneshot::channel();
        if had_turn {
            self.database
                .queue
                .answer_when_visible(Holder::Stream, Box::new(move |at| drop(sender.send(at))));
        }
        if is_autocommit {
            session.end_transaction();
        } else {
            session.began.get_or_insert_with(Instant::now);
        }
        let began = session.began;
        self.put_back(session);
        if let Some(began) = began {
            self.watch(began);
        }
        let seen = if had_turn {
            self.visible(visible).await?
        } else {
            let position = self.database.position();
            Position {
                version: read.unwrap_or(position.version),
                ..position
            }
        };
        Ok(Finished {
            work,
            seen,
            staleness: Duration::ZERO,
            idempotency: None,
        })
    }

    /// Rolls the transaction back if its next request does not come in time.
    fn watch(&self, began: Instant) {
        let options = &self.database.options;
        let deadline = (Instant::now() + options.transaction_idle).min(began + options.transaction_total);
        let (slot, units) = (Arc::clone(&self.slot), self.slot.lock().units);
        let database = Arc::clone(&self.database);
        self.database.tasks.spawn(async move {
            tokio::time::sleep_until(deadline.into()).await;
            let session = {
                let mut slot = slot.lock();
                if slot.units != units || slot.is_running {
                    return;
                }
                slot.timed_out = slot.session.is_some();
                slot.session.take()
            };
            if let Some(session) = session {
                roll_back(&database, session);
            }
        });
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.database.streams.fetch_sub(1, Ordering::AcqRel);
        let session = {
            let mut slot = self.slot.lock();
            slot.closed = true;
            slot.session.take()
        };
        if let Some(session) = session {
            roll_back(&self.database, session);
        }
    }
}

/// Closes a connection, and gives its turn back, on an SQL thread where there is one for it.
fn roll_back(database: &Arc<Database>, session: Box<Session>) {
    // If the lane is full, the task and with it the session are dropped here and now.
    let _ = database
        .threads
        .submit(&database.stream_lane, move || drop(session));
}

impl Session {
    fn open(database: &Arc<Database>) -> Result<Box<Session>, Error> {
        let backend = ConnectionBackend::new(Arc::clone(&database.queue));
        let limits = database.entry.limits.load();
        let connection = connect(&backend, &database.options, &limits, database.tables())?;
        let generation = database.queue.generation();
        Ok(Box::new(Session {
            connection,
            backend,
            turn: None,
            generation,
            began: None,
        }))
    }

    fn take_turn(&mut self, turn: Turn) {
        self.backend.set_turn(true);
        self.turn = Some(turn);
    }

    /// Nothing that was discarded may be in the cache: a later commit can carry the same change counter, and
    /// SQLite would take what it has cached for the newest. While a turn is held nothing is discarded, so
    /// inside a transaction that saw pending pages the generation does not change.
    fn prepare(&mut self, generation: u64) -> Result<(), Error> {
        if generation != self.generation && self.connection.is_autocommit() {
            self.connection
                .forget_cached_pages()
                .map_err(|error| Error::sql(&error))?;
            self.generation = generation;
        }
        Ok(())
    }

    fn end_transaction(&mut self) {
        self.backend.set_turn(false);
        self.turn = None;
        self.began = None;
    }
}
