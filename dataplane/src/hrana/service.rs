//! Pipelines and cursors from end to end: takes the stream of a baton, makes the unit, runs it where it
//! must run, and gives the stream back with a new baton.
//!
//! A pipeline without baton that ends in `close` never has a stream. One that does not close gets a number;
//! a connection comes only when a statement would leave something behind that a later request could see
//! (see `unit`). A unit under an idempotency key never has a stream either: it is whole or not at all.
//!
//! An error here ends the stream, as Hrana's specification says of HTTP errors. A client that goes away
//! drops the future, which ends it too.

use super::plan::Plan;
use super::request_hash::request_hash;
use super::seats::{Full, Seat, Seats};
use super::streams::{Kept, Lease, Rest, StreamError, StreamLimits, Streams};
use super::target::{StreamTarget, Target};
use super::texts::Texts;
use super::unit::{Placement, Unit, no_room};
use crate::database::{Elsewhere, Error, IdempotencyKey, Position, Recorded, RequestOptions, WorkResult};
use crate::room::{Room, Share};
use bytes::Bytes;
use orion_api::hrana::{self, Batch, Outcome, PipelineRequest};
use orion_api::{Code, DatabaseId, NodeId};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs pipelines; one for a node.
pub struct Service<T: Target> {
    replies: Arc<Room>,
    streams: Streams<Stream<T::Stream>>,
    seats: Seats,
}

/// What a pipeline comes to.
#[derive(Debug)]
pub struct Answer {
    /// For the next request; none if the stream is closed.
    pub baton: Option<String>,
    /// The results.
    pub outcomes: Outcomes,
    /// The newest state that it saw or made.
    pub seen: Position,
    /// Bound on the age of what was read.
    pub staleness: Duration,
    /// What became of the idempotency key.
    pub idempotency: Option<Recorded>,
    /// What it has of the room for replies.
    pub share: Share,
}

/// Results of a pipeline.
#[derive(Debug)]
pub enum Outcomes {
    /// Of this run, one for each request.
    Fresh(Vec<Outcome>),
    /// Of an earlier run under the same key: a JSON array, as it was sent then.
    Stored(Bytes),
}

/// What a stream keeps.
struct Stream<S> {
    connection: Option<Connected<S>>,
    texts: Texts,
}

struct Connected<S> {
    stream: S,
    _seat: Seat,
}

impl<S: StreamTarget> Kept for Stream<S> {
    fn rest(&self) -> Rest {
        match &self.connection {
            None => Rest::Unconnected,
            Some(connected) if connected.stream.is_autocommit() => Rest::Connected,
            Some(_) => Rest::Transaction,
        }
    }
}

impl<S> Stream<S> {
    fn new() -> Stream<S> {
        Stream {
            connection: None,
            texts: Texts::default(),
        }
    }
}

impl<T: Target> Service<T> {
    /// No stream is open. What is answered has `replies` together.
    pub fn new(node: NodeId, limits: StreamLimits, replies: Arc<Room>) -> Service<T> {
        Service {
            replies,
            streams: Streams::new(node, limits),
            seats: Seats::new(limits.connected_per_node, limits.connected_per_database),
        }
    }

    /// Room of what is answered and not yet read.
    pub fn replies(&self) -> &Arc<Room> {
        &self.replies
    }

    /// Open streams, with and without a connection.
    pub fn stream_count(&self) -> usize {
        self.streams.count()
    }

    /// Streams that hold a connection.
    pub fn connected_count(&self) -> usize {
        self.seats.total()
    }

    /// Ends streams that were idle for too long; answers how many. To be called every few seconds.
    pub fn expire(&self, now: Instant) -> usize {
        self.streams.expire(now)
    }

    /// Runs the requests of a pipeline.
    pub async fn pipeline(
        &self,
        database: &T,
        request: PipelineRequest,
        options: &RequestOptions,
    ) -> Result<Answer, Error> {
        let (lease, mut stream) = self.stream(database, request.baton.as_deref())?;
        let plan = Plan::new(request.requests, &mut stream.texts);
        self.run(database, lease, stream, plan, options).await
    }

    /// Runs the batch of a cursor: one outcome.
    pub async fn cursor(
        &self,
        database: &T,
        baton: Option<&str>,
        batch: Batch,
        options: &RequestOptions,
    ) -> Result<Answer, Error> {
        let (lease, stream) = self.stream(database, baton)?;
        let plan = Plan::of_batch(batch, &stream.texts);
        self.run(database, lease, stream, plan, options).await
    }

    fn stream(&self, database: &T, baton: Option<&str>) -> Result<Lent<T>, StreamError> {
        match baton {
            // The Go client sends an empty baton for none.
            None | Some("") => Ok((None, Stream::new())),
            Some(baton) => {
                let (lease, stream) =
                    self.streams
                        .take(baton, database.id(), database.secret(), Instant::now())?;
                Ok((Some(lease), stream))
            }
        }
    }

    async fn run(
        &self,
        database: &T,
        lease: Option<Lease<Stream<T::Stream>>>,
        mut stream: Stream<T::Stream>,
        mut plan: Plan,
        options: &RequestOptions,
    ) -> Result<Answer, Error> {
        if options.idempotency.is_some() {
            plan.closes = true;
        }
        let (closes, requests) = (plan.closes, plan.tasks.len());
        let unit = Unit::new(plan, options.access, Arc::clone(&self.replies));
        let finished = self.place(database, &mut stream, unit, options).await?;
        let baton = (!closes).then(|| {
            let lease = lease.unwrap_or_else(|| self.streams.open(database.id(), database.secret()));
            lease.give_back(stream, Instant::now())
        });
        let (fresh, share) = finished.work.into_outcomes();
        let outcomes = match &finished.idempotency {
            Some(Recorded::Replayed(reply)) => Outcomes::Stored(reply.clone()),
            Some(Recorded::ReplayedWithoutReply) => Outcomes::Fresh(reply_was_not_kept(requests)),
            _ => Outcomes::Fresh(fresh),
        };
        Ok(Answer {
            baton,
            outcomes,
            seen: finished.seen,
            staleness: finished.staleness,
            idempotency: finished.idempotency,
            share: share.unwrap_or_else(|| Share::of(&self.replies)),
        })
    }

    /// A seat for a connection, if need be that of a stream which rests. Others may take the one that was made free:
    /// then the next goes, until there is none.
    fn seat(&self, database: DatabaseId) -> Result<Seat, Full> {
        loop {
            let full = match self.seats.take(database) {
                Ok(seat) => return Ok(seat),
                Err(full) => full,
            };
            let is_node = matches!(full, Full::Node(_));
            let is_made = self.streams.make_room(database) || (is_node && self.streams.make_room_on_node());
            if !is_made {
                return Err(full);
            }
        }
    }

    /// A connection; if the database has as many as it may, in the place of a stream which rests.
    async fn open(&self, database: &T) -> Result<T::Stream, Error> {
        loop {
            match database.open_stream().await {
                Err(error) if error.code == Code::Quota && self.streams.make_room(database.id()) => {}
                opened => return opened,
            }
        }
    }

    /// So many bytes of the room for replies, as soon as they are there.
    async fn reserve(&self, bytes: u64) -> Result<Share, Error> {
        let mut share = Share::of(&self.replies);
        match share.take(bytes).await {
            Ok(()) => {
                share.refill(bytes);
                Ok(share)
            }
            Err(_) => Err(Error::new(Code::Overloaded, no_room(&self.replies))),
        }
    }

    /// Runs a unit on the stream's connection, or on shared ones until it needs one of its own.
    async fn place(
        &self,
        database: &T,
        stream: &mut Stream<T::Stream>,
        mut unit: Unit,
        options: &RequestOptions,
    ) -> WorkResult<Unit> {
        if stream.connection.is_none() {
            let mut finished = database.run(unit, options).await?;
            if let Some(bytes) = finished.work.starved() {
                // It only read, and what it needs it asks for in line, before it holds anything.
                let bytes = bytes.min(self.replies.limit());
                finished.work.feed(self.reserve(bytes).await?, bytes);
                finished = database.run(finished.work, options).await?;
            }
            if !finished.work.needs_own_connection() {
                return Ok(finished);
            }
            unit = finished.work;
            let seat = self.seat(database.id())?;
            stream.connection = Some(Connected {
                stream: self.open(database).await?,
                _seat: seat,
            });
        }
        let Some(connected) = &stream.connection else {
            return Err(Error::new(Code::Internal, "a stream lost its connection"));
        };
        unit.place(Placement::Own);
        connected.stream.run(unit, options).await
    }
}

type Lent<T> = (
    Option<Lease<Stream<<T as Target>::Stream>>>,
    Stream<<T as Target>::Stream>,
);

/// It was done, but what it answered then is not known any more.
fn reply_was_not_kept(requests: usize) -> Vec<Outcome> {
    let error = hrana::Error::new(
        Code::ResponseTooLarge,
        "this request was committed before, under the same key; its reply was too large to be kept",
    );
    vec![Outcome::Error(error); requests]
}

/// The key of a request, with its hash. Only a pipeline without baton may have one.
pub fn idempotency_key(key: String, request: &PipelineRequest) -> Result<IdempotencyKey, Error> {
    if request.baton.as_deref().is_some_and(|baton| !baton.is_empty()) {
        return Err(Error::new(
            Code::InvalidRequest,
            "an idempotency key is for a pipeline without baton: a stream cannot be run again",
        ));
    }
    Ok(IdempotencyKey {
        key,
        request_hash: request_hash(&request.requests),
    })
}

impl From<StreamError> for Error {
    fn from(error: StreamError) -> Error {
        let elsewhere = match error {
            StreamError::Elsewhere(node) => Some(Elsewhere::Node(node)),
            _ => None,
        };
        Error {
            elsewhere,
            ..Error::new(error.code(), error.to_string())
        }
    }
}

impl From<Full> for Error {
    fn from(error: Full) -> Error {
        Error::new(error.code(), error.to_string())
    }
}
