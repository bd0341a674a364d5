//! A database for tests: real SQL connections over pages in memory, and the database layer's promises in
//! their plainest form (one writer at a time, units restarted on it, streams with a connection).

use super::target::{StreamTarget, Target};
use crate::database::{Error, Finished, Position, Progress, Recorded, RequestOptions, Work, WorkResult};
use crate::secret::Secret;
use crate::sql::{Connection, Options, Role};
use crate::vfs::memory::Memory;
use bytes::Bytes;
use orion_api::{Code, DatabaseId, Epoch, Version};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[derive(Clone)]
pub(crate) struct Fake {
    id: DatabaseId,
    secret: Secret,
    memory: Memory,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    writing: tokio::sync::Mutex<()>,
    records: Mutex<HashMap<String, ([u8; 32], Bytes)>>,
    fail_next: Mutex<Option<Error>>,
    units: AtomicU64,
    streams: AtomicU64,
}

pub(crate) struct FakeStream {
    database: Fake,
    connection: Mutex<Connection>,
}

impl Fake {
    pub(crate) fn new() -> Fake {
        Fake {
            id: DatabaseId::random(),
            secret: Secret::random(),
            memory: Memory::new(),
            shared: Arc::default(),
        }
    }

    /// The next unit fails with this.
    pub(crate) fn fail_next(&self, error: Error) {
        *self.shared.fail_next.lock() = Some(error);
    }

    /// Units that ran on shared connections, and streams that were opened.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (load(&self.shared.units), load(&self.shared.streams))
    }

    fn connection(&self, role: Role) -> Result<Connection, Error> {
        let (backend, role) = match role {
            // As pooled ones are: they read until they have a turn.
            Role::Reader => (self.memory.reader(), Role::Stream),
            other => (self.memory.writer(), other),
        };
        Connection::open(backend, Options::new(role))
            .map_err(|error| Error::new(Code::Internal, error.to_string()))
    }

    fn finished<W: Work>(&self, work: W, idempotency: Option<Recorded>) -> Finished<W> {
        Finished {
            work,
            seen: Position {
                database: self.id,
                epoch: Epoch(1),
                version: Version(self.shared.units.load(Ordering::Relaxed)),
            },
            staleness: Duration::ZERO,
            idempotency,
        }
    }

    fn recorded(&self, options: &RequestOptions) -> Result<Option<Recorded>, Error> {
        let Some(key) = &options.idempotency else {
            return Ok(None);
        };
        match self.shared.records.lock().get(&key.key) {
            Some((hash, reply)) if *hash == key.request_hash => Ok(Some(Recorded::Replayed(reply.clone()))),
            Some(_) => Err(Error::new(
                Code::IdempotencyConflict,
                "the key was used for another request",
            )),
            None => Ok(None),
        }
    }
}

impl Target for Fake {
    type Stream = FakeStream;

    fn id(&self) -> DatabaseId {
        self.id
    }

    fn secret(&self) -> &Secret {
        &self.secret
    }

    async fn run<W: Work>(&self, mut work: W, options: &RequestOptions) -> WorkResult<W> {
        if let Some(error) = self.shared.fail_next.lock().take() {
            return Err(error);
        }
        let _writing = self.shared.writing.lock().await;
        if let Some(recorded) = self.recorded(options)? {
            return Ok(self.finished(work, Some(recorded)));
        }
        self.shared.units.fetch_add(1, Ordering::Relaxed);
        let wrote = work.resume(&mut self.connection(Role::Reader)?) == Progress::NeedsTurn;
        if wrote {
            work.restart();
            let progress = work.resume(&mut self.connection(Role::Writer)?);
            assert_ne!(progress, Progress::NeedsTurn, "the writer has the turn");
        }
        let recorded = options.idempotency.as_ref().map(|key| match work.record() {
            Some(reply) if wrote => {
                let record = (key.request_hash, reply);
                self.shared.records.lock().insert(key.key.clone(), record);
                Recorded::Stored
            }
            _ => Recorded::Nothing,
        });
        Ok(self.finished(work, recorded))
    }

    async fn open_stream(&self) -> Result<FakeStream, Error> {
        self.shared.streams.fetch_add(1, Ordering::Relaxed);
        Ok(FakeStream {
            database: self.clone(),
            connection: Mutex::new(self.connection(Role::Stream)?),
        })
    }
}

impl StreamTarget for FakeStream {
    async fn run<W: Work>(&self, mut work: W, _options: &RequestOptions) -> WorkResult<W> {
        let progress = work.resume(&mut self.connection.lock());
        assert_eq!(progress, Progress::Done, "a stream runs a unit to its end");
        Ok(self.database.finished(work, None))
    }

    fn is_autocommit(&self) -> bool {
        self.connection.lock().is_autocommit()
    }
}
