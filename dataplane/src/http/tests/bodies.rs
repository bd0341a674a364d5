//! Many large bodies at once: more than there is room for.

use super::client::{Client, post, until};
use super::fixture::{Server, closed, serve_impatiently};
use crate::http::{HttpSettings, Pace};
use futures::future::join_all;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const MIB: usize = 1 << 20;
/// Two and a half times as many as there is room for.
const MANY: usize = 40;

async fn server(body_pace: Pace, wait: Duration) -> Server {
    let settings = HttpSettings {
        default_database: Some("main".into()),
        body_bytes_max: MIB,
        body_pace,
        ..HttpSettings::default()
    };
    serve_impatiently(settings, wait).await
}

/// A pipeline of just under a MiB.
fn large() -> String {
    let mut pipeline = closed(&["SELECT 1"]);
    pipeline["padding"] = "x".repeat(MIB - 1000).into();
    post(&pipeline)
}

#[tokio::test]
async fn large_bodies_that_come_by_halves_are_all_answered() {
    let server = server(Pace::default(), Duration::from_secs(30)).await;
    let text = large();
    let (first, second) = text.split_at(MIB * 2 / 3);
    let line = || server.http.bodies.line() > 0;
    let clients = (0..MANY).map(|_| async {
        let mut client = Client::connect(&server).await;
        // Where the server has no room it stops reading: the rest waits in the socket.
        client.send(first).await;
        until("there is no room for all the halves", line).await;
        client.send(second).await;
        client.status().await
    });
    for status in join_all(clients).await {
        assert_eq!(status, "http/1.1 200 ok");
    }
    assert_eq!(server.http.bodies.used(), 0);
    assert!(server.http.bodies.counts().0 > 0, "some had to wait");
}

#[tokio::test]
async fn half_bodies_hold_up_no_small_request_and_all_end() {
    let stall = Duration::from_millis(700);
    let pace = Pace {
        stall,
        ..Pace::default()
    };
    let server = server(pace, Duration::from_millis(200)).await;
    let text = large();
    let half = &text[..MIB * 2 / 3];
    let halves = (0..MANY).map(|_| async {
        let mut client = Client::connect(&server).await;
        // What the server did not read before it answered may be lost with the connection.
        client.0.write_all(half.as_bytes()).await.expect("sent");
        let (status, _, body) = client.reply().await;
        (status, body)
    });
    let others = async {
        until("there is no room", || server.http.bodies.line() > 0).await;
        let small = post(&closed(&["SELECT 1"]));
        let status = Client::with(&server, &small).await.status().await;
        (status, server.http.bodies.used())
    };
    let (ends, (small, used)) = tokio::join!(join_all(halves), others);
    assert_eq!(small, "http/1.1 200 ok");
    assert!(used > 0, "it was answered while the halves held their room");
    let mut refused = 0;
    for (status, body) in ends {
        match status.as_str() {
            "http/1.1 408 request timeout" => assert!(body.contains("REQUEST_TIMEOUT"), "{body}"),
            "http/1.1 503 service unavailable" => {
                assert!(body.contains("ORION_OVERLOADED"), "{body}");
                assert!(body.contains("limits.body_bytes_total"), "{body}");
                refused += 1;
            }
            other => panic!("{other}: {body}"),
        }
    }
    assert!(refused > 0, "not all had room");
    until("all of it comes back", || server.http.bodies.used() == 0).await;
}
