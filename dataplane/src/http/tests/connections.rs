//! What a connection may hold and for how long, over sockets.

use super::client::{Client, post, until};
use super::fixture::{closed, serve_within};
use crate::http::Pace;
use crate::http::connections::Limits;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(100);
const PROBE: &str = "GET /health HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn half_a_head_is_not_waited_for() {
    let limits = Limits {
        head: SHORT,
        ..Limits::default()
    };
    let server = serve_within(limits).await;
    Client::with(&server, "POST /v2/pipe").await.closes().await;
    assert_eq!(server.connections.counters().slow.load(Relaxed), 1);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let limits = Limits {
        idle: SHORT,
        ..Limits::default()
    };
    let server = serve_within(limits).await;
    let mut silent = Client::connect(&server).await;
    let mut client = Client::with(&server, PROBE).await;
    assert_eq!(client.status().await, "http/1.1 200 ok");
    client.closes().await;
    silent.closes().await;
    until("they are counted", || server.connections.count() == 0).await;
    assert_eq!(server.connections.counters().idle.load(Relaxed), 2);
}

#[tokio::test]
async fn an_idle_connection_makes_room_for_another() {
    let limits = Limits {
        most: 2,
        ..Limits::default()
    };
    let server = serve_within(limits).await;
    let mut idle = Client::with(&server, PROBE).await;
    assert_eq!(idle.status().await, "http/1.1 200 ok");
    let (half, rest) = PROBE.split_at(20);
    let mut busy = Client::with(&server, half).await;
    until("both are in", || server.connections.count() == 2).await;
    let mut third = Client::with(&server, PROBE).await;
    assert_eq!(third.status().await, "http/1.1 200 ok");
    idle.closes().await;
    busy.send(rest).await;
    assert_eq!(busy.status().await, "http/1.1 200 ok");
    assert_eq!(server.connections.counters().refused.load(Relaxed), 0);
}

#[tokio::test]
async fn where_all_are_busy_a_newcomer_hears_why() {
    let limits = Limits {
        most: 2,
        ..Limits::default()
    };
    let server = serve_within(limits).await;
    let (half, rest) = PROBE.split_at(20);
    let mut busy = [
        Client::with(&server, half).await,
        Client::with(&server, half).await,
    ];
    // Connected is not yet read: one that said nothing would make room.
    until("both are heard", || server.connections.busy() == 2).await;
    let mut third = Client::with(&server, &post(&closed(&["SELECT 1"]))).await;
    let (status, headers, body) = third.reply().await;
    assert_eq!(status, "http/1.1 503 service unavailable");
    assert!(headers.contains("retry-after: 1"), "{headers}");
    assert!(
        body.contains("ORION_OVERLOADED") && body.contains("limits.connections_max"),
        "{body}"
    );
    third.closes().await;
    for client in &mut busy {
        client.send(rest).await;
        assert_eq!(client.status().await, "http/1.1 200 ok");
    }
    let mut fourth = Client::with(&server, PROBE).await;
    assert_eq!(fourth.status().await, "http/1.1 200 ok");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go() {
    let limits = Limits {
        reply: Pace {
            stall: SHORT,
            bytes_per_second: 1,
        },
        ..Limits::default()
    };
    let server = serve_within(limits).await;
    // More than the sockets' buffers take.
    let _client = Client::with(&server, &post(&closed(&["SELECT zeroblob(30000000)"]))).await;
    until("its reply begins", || server.connections.busy() == 1).await;
    until("it is gone", || server.connections.count() == 0).await;
    assert_eq!(server.connections.counters().slow.load(Relaxed), 1);
}

#[tokio::test]
async fn requests_in_one_packet_are_answered_in_their_order() {
    let server = serve_within(Limits::default()).await;
    let many: Vec<String> = (0..40)
        .map(|number| post(&closed(&[&format!("SELECT {number}")])))
        .collect();
    let text = many.concat();
    let (first, second) = text.split_at(text.len() - 30);
    let mut client = Client::with(&server, first).await;
    for number in 0..40 {
        if number == 39 {
            client.send(second).await;
        }
        let (status, _, body) = client.reply().await;
        assert_eq!(status, "http/1.1 200 ok");
        let reply: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        let value = &reply["results"][0]["response"]["result"]["rows"][0][0]["value"];
        assert_eq!(value, &number.to_string());
    }
}

#[tokio::test]
async fn heads_are_limited_in_bytes_and_lines() {
    let server = serve_within(Limits::default()).await;
    let long = format!(
        "GET /health HTTP/1.1\r\nhost: x\r\na: {}\r\n\r\n",
        "a".repeat(40 << 10)
    );
    let many = format!(
        "GET /health HTTP/1.1\r\nhost: x\r\n{}\r\n",
        "a: b\r\n".repeat(101)
    );
    for head in [long, many] {
        let mut client = Client::connect(&server).await;
        // The server may close before it has read all of it.
        let _ = client.0.write_all(head.as_bytes()).await;
        assert!(client.status().await.contains(" 431 "));
    }
    let most = format!(
        "GET /health HTTP/1.1\r\nhost: x\r\na: {}\r\n\r\n",
        "a".repeat(24 << 10)
    );
    assert_eq!(
        Client::with(&server, &most).await.status().await,
        "http/1.1 200 ok"
    );
}

#[tokio::test]
async fn a_stop_ends_what_is_idle_and_answers_what_runs() {
    let server = serve_within(Limits::default()).await;
    let mut idle = Client::with(&server, PROBE).await;
    assert_eq!(idle.status().await, "http/1.1 200 ok");
    let request = post(&closed(&["SELECT 1"]));
    let (head, body) = request.split_at(request.len() - 5);
    let mut busy = Client::with(&server, head).await;
    until("it is heard", || server.connections.busy() == 1).await;
    server.stop.cancel();
    idle.closes().await;
    busy.send(body).await;
    let (status, headers, _) = busy.reply().await;
    assert_eq!(status, "http/1.1 200 ok");
    assert!(headers.contains("connection: close"), "{headers}");
    busy.closes().await;
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "nobody listens any more"
    );
}
