//! The node's table of open streams.
//!
//! A stream is known by a number and a sequence. At most one request has it at a time: [`Streams::take`]
//! lends it out, [`Lease::give_back`] makes the next baton. A lease that is dropped (the client went away,
//! the request failed) ends the stream: nobody has a baton for it any more.
//!
//! Streams that hold a connection are limited by `seats`: past the limit the one of its database that rested
//! outside of a transaction for longest makes room ([`Streams::make_room`]), because clients that never close
//! would lock everybody out; else one whose transaction was rolled back; else, if it is the node that is full,
//! one of the database that has the most at rest. Where there is none, a new one is refused. A stream that
//! holds no connection is a number and costs about two hundred bytes: past their limit the one that was idle
//! for longest goes.
//!
//! INVARIANT: a stale, replayed or forged baton changes nothing.
//! Time comes in from outside. Streams that were idle for too long are found by `take` and by
//! [`Streams::expire`]; time-outs of open transactions are the database's.

use super::baton::Baton;
use crate::secret::Secret;
use orion_api::{Code, DatabaseId, NodeId};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a stream keeps between two requests.
pub trait Kept: Send {
    /// How it rests.
    fn rest(&self) -> Rest;
}

/// How a stream rests between two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Without a connection.
    Unconnected,
    /// With a connection, outside of a transaction.
    Connected,
    /// Within a transaction.
    Transaction,
}

/// How many streams, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Streams with a connection, on the node.
    pub connected_per_node: usize,
    /// Streams with a connection, of one database.
    pub connected_per_database: usize,
    /// Idle streams without a connection, on the node.
    pub unconnected_per_node: usize,
    /// Idle time after which a stream goes.
    pub idle: Duration,
    /// The same of one within a transaction. The database has rolled it back long before; this is how long
    /// its client can still learn why.
    pub idle_transaction: Duration,
}

impl Default for StreamLimits {
    fn default() -> StreamLimits {
        StreamLimits {
            // A connection costs 50 to 100 KiB: this many are some 200 MiB.
            connected_per_node: 2048,
            connected_per_database: 256,
            // Clients that never close get one with each request.
            unconnected_per_node: 65536,
            // ORMs keep a stream while their user thinks; 10 s, as others have it, breaks them.
            idle: Duration::from_secs(300),
            idle_transaction: Duration::from_secs(60),
        }
    }
}

impl StreamLimits {
    fn is_over<S>(&self, idle: &Idle<S>, now: Instant) -> bool {
        let most = match idle.rest {
            Rest::Unconnected | Rest::Connected => self.idle,
            Rest::Transaction => self.idle_transaction,
        };
        now.saturating_duration_since(idle.since) > most
    }
}

/// Why a baton does not give a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Not a baton of this node and database.
    #[error("the baton was not given by this node for this database")]
    Forged,
    /// The stream is on another node.
    #[error("the stream of the baton is on node {0}, which cannot be reached now")]
    Elsewhere(NodeId),
    /// A baton that was used before.
    #[error("the baton was used before: each reply gives a new one")]
    Replayed,
    /// Closed, or idle for too long.
    #[error("the stream has expired: begin again without a baton")]
    Expired,
}

impl StreamError {
    /// The code for clients.
    pub fn code(self) -> Code {
        match self {
            StreamError::Forged | StreamError::Replayed => Code::HranaProtoError,
            StreamError::Expired | StreamError::Elsewhere(_) => Code::StreamExpired,
        }
    }
}

/// The table.
pub struct Streams<S: Kept> {
    node: NodeId,
    limits: StreamLimits,
    table: Arc<Mutex<Table<S>>>,
}

struct Table<S> {
    next: u64,
    streams: HashMap<u64, Entry<S>>,
    /// Idle streams without a connection, the longest idle first.
    unconnected: BTreeMap<u64, u64>,
    /// Idle streams with a connection but no transaction, by database, the longest idle first.
    connected: BTreeMap<(DatabaseId, u64), u64>,
    /// Idle streams that were within a transaction, likewise.
    transactions: BTreeMap<(DatabaseId, u64), u64>,
    ticks: u64,
}

/// A stream. INVARIANT: `sequence` is that of the last baton given, if it is idle; while a request has the
/// stream it is one more already, so that no baton fits.
struct Entry<S> {
    sequence: u64,
    idle: Option<Idle<S>>,
}

struct Idle<S> {
    state: S,
    since: Instant,
    rest: Rest,
    /// Its place in `unconnected`, `connected` or `transactions`.
    place: (DatabaseId, u64),
}

impl<S: Kept> Streams<S> {
    /// An empty table.
    pub fn new(node: NodeId, limits: StreamLimits) -> Streams<S> {
        let table = Table {
            // At random, so that batons of an earlier life of the process do not fit by chance.
            next: rand::random::<u64>() >> 1,
            streams: HashMap::new(),
            unconnected: BTreeMap::new(),
            connected: BTreeMap::new(),
            transactions: BTreeMap::new(),
            ticks: 0,
        };
        Streams {
            node,
            limits,
            table: Arc::new(Mutex::new(table)),
        }
    }

    /// A new stream, lent to the caller; its batons are signed with the secret of the database's group.
    pub fn open(&self, database: DatabaseId, secret: &Secret) -> Lease<S> {
        let mut table = self.table.lock();
        let stream = table.next;
        table.next += 1;
        table.streams.insert(
            stream,
            Entry {
                sequence: 0,
                idle: None,
            },
        );
        self.lease(stream, database, secret)
    }

    /// Lends out the stream of a baton, with its state.
    pub fn take(
        &self,
        baton: &str,
        database: DatabaseId,
        secret: &Secret,
        now: Instant,
    ) -> Result<(Lease<S>, S), StreamError> {
        let baton = Baton::verify(baton, database, secret).map_err(|_| StreamError::Forged)?;
        if baton.node != self.node {
            return Err(StreamError::Elsewhere(baton.node));
        }
        let idle = self.table.lock().take(baton)?;
        // From here on a dropped lease ends the stream.
        let lease = self.lease(baton.stream, database, secret);
        if self.limits.is_over(&idle, now) {
            return Err(StreamError::Expired);
        }
        Ok((lease, idle.state))
    }

    /// Ends the streams that were idle for too long; answers how many.
    pub fn expire(&self, now: Instant) -> usize {
        let over = |entry: &Entry<S>| {
            let idle = entry.idle.as_ref();
            idle.is_some_and(|idle| self.limits.is_over(idle, now))
        };
        let mut table = self.table.lock();
        let expired: Vec<u64> = table
            .streams
            .iter()
            .filter(|(_, entry)| over(entry))
            .map(|(stream, _)| *stream)
            .collect();
        let ended: Vec<_> = expired.iter().filter_map(|stream| table.end(*stream)).collect();
        // Closing a connection is not for under the lock.
        drop(table);
        ended.len()
    }

    /// Ends the stream of this database that rests with its connection for longest, else one whose transaction the
    /// database has rolled back since; whether there was one.
    pub fn make_room(&self, database: DatabaseId) -> bool {
        let mut table = self.table.lock();
        let of_database = (database, 0)..=(database, u64::MAX);
        let longest = table.connected.range(of_database.clone()).next();
        let mut transactions = table.transactions.range(of_database);
        let stream = longest
            .or_else(|| transactions.find(|(_, stream)| table.is_rolled_back(**stream)))
            .map(|(_, stream)| *stream);
        let ended = stream.and_then(|stream| table.end(stream));
        drop(table);
        ended.is_some()
    }

    /// The same where the node is full: for a stream of the database that has the most of them at rest.
    pub fn make_room_on_node(&self) -> bool {
        let mut at_rest: HashMap<DatabaseId, usize> = HashMap::new();
        for (database, _) in self.table.lock().connected.keys() {
            *at_rest.entry(*database).or_default() += 1;
        }
        let most = at_rest.into_iter().max_by_key(|(_, count)| *count);
        most.is_some_and(|(database, _)| self.make_room(database))
    }

    /// Streams that are open, lent out or idle.
    pub fn count(&self) -> usize {
        self.table.lock().streams.len()
    }

    fn lease(&self, stream: u64, database: DatabaseId, secret: &Secret) -> Lease<S> {
        Lease {
            table: self.table.clone(),
            node: self.node,
            secret: secret.clone(),
            unconnected_max: self.limits.unconnected_per_node,
            stream,
            database,
            returned: false,
        }
    }
}

impl<S: Kept> Table<S> {
    fn take(&mut self, baton: Baton) -> Result<Idle<S>, StreamError> {
        let entry = self.streams.get_mut(&baton.stream).ok_or(StreamError::Expired)?;
        if entry.sequence != baton.sequence {
            return Err(StreamError::Replayed);
        }
        let idle = entry.idle.take().ok_or(StreamError::Replayed)?;
        entry.sequence += 1;
        self.forget_place(idle.place);
        Ok(idle)
    }

    fn give_back(&mut self, stream: u64, database: DatabaseId, state: S, now: Instant) -> Option<u64> {
        self.ticks += 1;
        let (rest, place) = (state.rest(), (database, self.ticks));
        match rest {
            Rest::Unconnected => self.unconnected.insert(self.ticks, stream),
            Rest::Connected => self.connected.insert(place, stream),
            Rest::Transaction => self.transactions.insert(place, stream),
        };
        let entry = self.streams.get_mut(&stream)?;
        entry.idle = Some(Idle {
            state,
            since: now,
            rest,
            place,
        });
        Some(entry.sequence)
    }

    /// Whether an idle stream that was within a transaction is not any more.
    fn is_rolled_back(&self, stream: u64) -> bool {
        let idle = self.streams.get(&stream).and_then(|entry| entry.idle.as_ref());
        idle.is_some_and(|idle| idle.state.rest() != Rest::Transaction)
    }

    fn forget_place(&mut self, place: (DatabaseId, u64)) {
        self.unconnected.remove(&place.1);
        self.connected.remove(&place);
        self.transactions.remove(&place);
    }

    fn end(&mut self, stream: u64) -> Option<Entry<S>> {
        let entry = self.streams.remove(&stream)?;
        if let Some(idle) = &entry.idle {
            self.forget_place(idle.place);
        }
        Some(entry)
    }
}

/// A stream while a request has it. Dropped, it ends the stream.
pub struct Lease<S: Kept> {
    table: Arc<Mutex<Table<S>>>,
    node: NodeId,
    secret: Secret,
    unconnected_max: usize,
    stream: u64,
    database: DatabaseId,
    returned: bool,
}

impl<S: Kept> Lease<S> {
    /// Puts the stream back and answers the baton for its next request.
    pub fn give_back(mut self, state: S, now: Instant) -> String {
        let mut table = self.table.lock();
        let sequence = table
            .give_back(self.stream, self.database, state, now)
            .unwrap_or_default();
        let evicted = (table.unconnected.len() > self.unconnected_max)
            .then(|| table.unconnected.pop_first())
            .flatten()
            .and_then(|(_, oldest)| table.end(oldest));
        drop(table);
        drop(evicted);
        let baton = Baton {
            node: self.node,
            stream: self.stream,
            sequence,
        };
        let text = baton.sign(self.database, &self.secret);
        self.returned = true;
        text
    }
}

impl<S: Kept> Drop for Lease<S> {
    fn drop(&mut self) {
        if !self.returned {
            let ended = self.table.lock().end(self.stream);
            drop(ended);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret::from_bytes([1; 32])
    }

    struct State(Rest);

    impl Kept for State {
        fn rest(&self) -> Rest {
            self.0
        }
    }

    const IDLE: Duration = Duration::from_secs(300);

    fn streams(unconnected: usize) -> Streams<State> {
        let limits = StreamLimits {
            unconnected_per_node: unconnected,
            idle: IDLE,
            ..StreamLimits::default()
        };
        Streams::new(NodeId(1), limits)
    }

    #[test]
    fn each_baton_works_once() {
        let (streams, database, now) = (streams(9), DatabaseId::random(), Instant::now());
        let first = streams
            .open(database, &secret())
            .give_back(State(Rest::Connected), now);
        let (lease, state) = streams.take(&first, database, &secret(), now).expect("new");
        let second = lease.give_back(state, now);
        assert_ne!(first, second);
        let replayed = streams.take(&first, database, &secret(), now).err();
        assert_eq!(replayed, Some(StreamError::Replayed));
        assert!(
            streams.take(&second, database, &secret(), now).is_ok(),
            "a replay disturbed the stream"
        );
    }

    #[test]
    fn a_baton_is_refused_while_its_request_runs() {
        let (streams, database, now) = (streams(9), DatabaseId::random(), Instant::now());
        let first = streams
            .open(database, &secret())
            .give_back(State(Rest::Connected), now);
        let running = streams.take(&first, database, &secret(), now).expect("new");
        let again = streams.take(&first, database, &secret(), now).err();
        assert_eq!(again, Some(StreamError::Replayed));
        let (lease, state) = running;
        let second = lease.give_back(state, now);
        assert!(streams.take(&second, database, &secret(), now).is_ok());
    }

    #[test]
    fn batons_of_another_node_or_database_are_refused() {
        let (streams, database, now) = (streams(9), DatabaseId::random(), Instant::now());
        let other = Streams::<State>::new(NodeId(1), StreamLimits::default());
        let baton = other
            .open(database, &Secret::from_bytes([2; 32]))
            .give_back(State(Rest::Connected), now);
        assert_eq!(
            streams.take(&baton, database, &secret(), now).err(),
            Some(StreamError::Forged)
        );
        let baton = streams
            .open(database, &secret())
            .give_back(State(Rest::Connected), now);
        let elsewhere = streams.take(&baton, DatabaseId::random(), &secret(), now).err();
        assert_eq!(elsewhere, Some(StreamError::Forged));
        assert!(streams.take(&baton, database, &secret(), now).is_ok());
    }

    #[test]
    fn an_idle_stream_expires() {
        let (streams, database, now) = (streams(9), DatabaseId::random(), Instant::now());
        let one = streams
            .open(database, &secret())
            .give_back(State(Rest::Connected), now);
        let two = streams
            .open(database, &secret())
            .give_back(State(Rest::Unconnected), now);
        let late = now + IDLE + Duration::from_millis(1);
        assert_eq!(
            streams.take(&one, database, &secret(), late).err(),
            Some(StreamError::Expired)
        );
        assert_eq!(streams.expire(now + IDLE), 0);
        assert_eq!(streams.expire(late), 1);
        assert!(streams.count() == 0);
        assert_eq!(
            streams.take(&two, database, &secret(), now).err(),
            Some(StreamError::Expired)
        );
    }

    #[test]
    fn a_dropped_lease_ends_the_stream() {
        let (streams, database, now) = (streams(9), DatabaseId::random(), Instant::now());
        let baton = streams
            .open(database, &secret())
            .give_back(State(Rest::Connected), now);
        drop(streams.take(&baton, database, &secret(), now));
        assert_eq!(
            streams.take(&baton, database, &secret(), now).err(),
            Some(StreamError::Expired)
        );
        assert!(streams.count() == 0);
    }

    #[test]
    fn the_longest_idle_stream_without_connection_makes_room() {
        let (streams, database, now) = (streams(2), DatabaseId::random(), Instant::now());
        let connected = streams
            .open(database, &secret())
            .give_back(State(Rest::Connected), now);
        let batons: Vec<_> = (0..3)
            .map(|_| {
                streams
                    .open(database, &secret())
                    .give_back(State(Rest::Unconnected), now)
            })
            .collect();
        assert_eq!(
            streams.take(&batons[0], database, &secret(), now).err(),
            Some(StreamError::Expired)
        );
        assert!(streams.take(&batons[1], database, &secret(), now).is_ok());
        assert!(streams.take(&batons[2], database, &secret(), now).is_ok());
        assert!(streams.take(&connected, database, &secret(), now).is_ok());
    }

    #[test]
    fn a_transaction_expires_earlier() {
        let (streams, database, now) = (streams(9), DatabaseId::random(), Instant::now());
        streams
            .open(database, &secret())
            .give_back(State(Rest::Transaction), now);
        let limits = StreamLimits::default();
        assert_eq!(streams.expire(now + limits.idle_transaction), 0);
        let late = now + limits.idle_transaction + Duration::from_millis(1);
        assert_eq!(streams.expire(late), 1);
    }

    #[test]
    fn only_a_resting_connection_of_the_same_database_makes_room() {
        let (streams, database, now) = (streams(9), DatabaseId::random(), Instant::now());
        let other = DatabaseId::random();
        for rest in [Rest::Unconnected, Rest::Transaction] {
            streams.open(database, &secret()).give_back(State(rest), now);
        }
        streams
            .open(other, &secret())
            .give_back(State(Rest::Connected), now);
        assert!(!streams.make_room(database));
        let oldest = streams
            .open(database, &secret())
            .give_back(State(Rest::Connected), now);
        let newer = streams
            .open(database, &secret())
            .give_back(State(Rest::Connected), now);
        assert!(streams.make_room(database));
        assert_eq!(
            streams.take(&oldest, database, &secret(), now).err(),
            Some(StreamError::Expired)
        );
        let lent = streams
            .take(&newer, database, &secret(), now)
            .expect("still there");
        assert!(!streams.make_room(database), "a lent stream is not at rest");
        drop(lent);
        assert!(streams.make_room(other));
    }

    #[test]
    fn a_transaction_that_was_rolled_back_makes_room() {
        struct Shared(Arc<Mutex<Rest>>);
        impl Kept for Shared {
            fn rest(&self) -> Rest {
                *self.0.lock()
            }
        }
        let (database, now) = (DatabaseId::random(), Instant::now());
        let streams = Streams::new(NodeId(1), StreamLimits::default());
        let rests = [(); 3].map(|()| Arc::new(Mutex::new(Rest::Transaction)));
        let batons = rests
            .clone()
            .map(|rest| streams.open(database, &secret()).give_back(Shared(rest), now));
        assert!(!streams.make_room(database), "nobody loses an open transaction");
        *rests[1].lock() = Rest::Connected;
        assert!(streams.make_room(database));
        assert!(!streams.make_room(database));
        let alive = batons.map(|baton| streams.take(&baton, database, &secret(), now).is_ok());
        assert_eq!(alive, [true, false, true]);
    }

    #[test]
    fn a_full_node_takes_from_the_database_with_the_most() {
        let (streams, now) = (streams(9), Instant::now());
        let (few, many) = (DatabaseId::random(), DatabaseId::random());
        assert!(!streams.make_room_on_node());
        let open = |database| {
            streams
                .open(database, &secret())
                .give_back(State(Rest::Connected), now)
        };
        let (one, oldest, newer) = (open(few), open(many), open(many));
        assert!(streams.make_room_on_node());
        assert!(streams.take(&oldest, many, &secret(), now).is_err());
        assert!(streams.take(&newer, many, &secret(), now).is_ok());
        assert!(streams.take(&one, few, &secret(), now).is_ok());
    }
}
