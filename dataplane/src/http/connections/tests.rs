//! The table with a clock that the test holds, and the listener with a system that fails.

use super::slot::{Phase, Slot};
use super::table::Place;
use super::*;
use crate::http::Pace;
use axum::Router;
use axum::routing::get;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> Limits {
    Limits {
        most: 2,
        idle: 60 * SECOND,
        head: 10 * SECOND,
        reply: Pace {
            stall: 20 * SECOND,
            bytes_per_second: 1000,
        },
        ..Limits::default()
    }
}

/// The phase that the connection is told to end.
fn ended(place: &Place) -> Option<Phase> {
    place.slot.ended()
}

#[test]
fn a_head_that_drips_is_over_as_one_that_stops() {
    let (connections, start) = (Connections::new(limits()), Instant::now());
    let place = connections.enter(start).expect("room");
    place.slot.read(1);
    for second in 0..=10 {
        connections.look(start + second * SECOND);
        assert_eq!(ended(&place), None, "{second}");
        place.slot.read(1);
    }
    connections.look(start + 11 * SECOND);
    assert_eq!(ended(&place), Some(Phase::Head));
}

#[test]
fn a_reply_must_go_on_and_be_fast_enough() {
    let start = Instant::now();
    // Bytes a second, and the second in which that is over: a mean of 500 has 20 s, and half a second more with each.
    for (bytes, expected) in [(0, Some(21)), (500, Some(41)), (10_000, None)] {
        let connections = Connections::new(limits());
        let place = connections.enter(start).expect("room");
        place.slot.enter(Phase::Reply);
        let over = (0..1000).find(|second| {
            connections.look(start + *second * SECOND);
            place.slot.wrote(bytes);
            ended(&place).is_some()
        });
        assert_eq!(over, expected, "{bytes} bytes a second");
    }
}

#[test]
fn a_request_has_no_limit_here() {
    let (connections, start) = (Connections::new(limits()), Instant::now());
    let place = connections.enter(start).expect("room");
    place.slot.enter(Phase::Request);
    connections.look(start);
    connections.look(start + 3600 * SECOND);
    assert_eq!(ended(&place), None);
}

#[test]
fn a_request_in_the_last_moment_is_answered() {
    let (connections, start) = (Connections::new(limits()), Instant::now());
    let place = connections.enter(start).expect("room");
    connections.look(start + 61 * SECOND);
    assert_eq!(ended(&place), Some(Phase::Idle));
    place.slot.read(1);
    assert_eq!(ended(&place), None);
    place.slot.enter(Phase::Request);
    place.slot.enter(Phase::Reply);
    place.slot.end_reply();
    place.slot.flushed();
    assert_eq!(place.slot.phase(), Phase::Idle);
    assert_eq!(ended(&place), None, "an order is for one stay");
}

/// A request and its reply.
fn served(slot: &Slot) {
    slot.read(1);
    slot.enter(Phase::Request);
    slot.enter(Phase::Reply);
    slot.end_reply();
    slot.flushed();
}

#[test]
fn room_is_made_by_those_who_never_asked_then_by_the_longest_idle() {
    let limits = Limits { most: 4, ..limits() };
    let (connections, start) = (Connections::new(limits), Instant::now());
    let places: Vec<Place> = (0..4).map(|_| connections.enter(start).expect("room")).collect();
    let [silent, old, young, busy] = &places[..] else {
        panic!("four places");
    };
    served(&old.slot);
    connections.look(start);
    served(&young.slot);
    busy.slot.read(1);
    connections.look(start + SECOND);
    let now = start + 2 * SECOND;
    for expected in [Some(silent), Some(old), Some(young), None] {
        connections.make_room(now);
        let Some(expected) = expected else { break };
        assert_eq!(ended(expected), Some(Phase::Idle));
    }
    assert_eq!(ended(busy), None);
}

#[test]
fn those_who_make_room_are_bounded() {
    let limits = Limits { most: 16, ..limits() };
    let (connections, start) = (Connections::new(limits), Instant::now());
    let mut places: Vec<Place> = std::iter::from_fn(|| connections.enter(start)).collect();
    assert_eq!(places.len(), 16, "they may be about to ask");
    places.extend(std::iter::from_fn(|| connections.enter(start + SECOND)));
    assert_eq!(places.len(), 16 + limits.leaving());
    assert_eq!(connections.count(), places.len());
    drop(places);
    assert_eq!(connections.count(), 0);
    assert!(connections.enter(start).is_some());
}

/// Fails as often as it is told to, then accepts.
struct Failing {
    errors: VecDeque<i32>,
    listener: TcpListener,
}

impl Accept for Failing {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<TcpStream> {
        match self.errors.pop_front() {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Accept::accept(&mut self.listener).await,
        }
    }
}

#[tokio::test]
async fn a_system_without_descriptors_does_not_end_the_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let errors = ["EMFILE", "ECONNABORTED", "ENFILE"].map(|name| match name {
        "EMFILE" => rustix::io::Errno::MFILE,
        "ENFILE" => rustix::io::Errno::NFILE,
        _ => rustix::io::Errno::CONNABORTED,
    });
    let failing = Failing {
        errors: errors.map(rustix::io::Errno::raw_os_error).into(),
        listener,
    };
    let (connections, stop) = (Connections::new(Limits::default()), CancellationToken::new());
    let idle = connections.enter(Instant::now()).expect("room");
    served(&idle.slot);
    let routes = Router::new().route("/", get(async || "here"));
    let began = Instant::now();
    let serving = tokio::spawn(serve(failing, routes, Arc::clone(&connections), stop.clone()));
    let mut client = TcpStream::connect(address).await.expect("listening");
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .expect("sent");
    let mut reply = String::new();
    client.read_to_string(&mut reply).await.expect("a reply");
    assert!(reply.ends_with("here"), "{reply}");
    // Each failure is followed by a pause, so that there are no more of them than the time has room for.
    assert_eq!(connections.counters().failed.load(Relaxed), 2);
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert_eq!(ended(&idle), Some(Phase::Idle), "its descriptor is needed");
    drop(idle);
    stop.cancel();
    serving.await.expect("it ends");
}
