//! A client's side of a connection, for tests that care how and when bytes are sent.

use super::fixture::Server;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// So long may anything take before the test says that it hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// A client's side of a connection.
pub(super) struct Client(pub(super) TcpStream);

impl Client {
    pub(super) async fn connect(server: &Server) -> Client {
        Client(TcpStream::connect(server.address).await.expect("listening"))
    }

    /// Connects and sends.
    pub(super) async fn with(server: &Server, text: &str) -> Client {
        let mut client = Client::connect(server).await;
        client.send(text).await;
        client
    }

    pub(super) async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.expect("sent");
    }

    /// The next reply: its status line, its headers, its body.
    pub(super) async fn reply(&mut self) -> (String, String, String) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.byte().await.expect("a reply, not the end"));
        }
        let head = String::from_utf8(head).expect("UTF-8").to_ascii_lowercase();
        let length = head.split_once("content-length: ").map_or(0, |(_, rest)| {
            rest.lines().next().expect("a number").parse().expect("a number")
        });
        let mut body = vec![0; length];
        tokio::time::timeout(PATIENCE, self.0.read_exact(&mut body))
            .await
            .expect("it comes")
            .expect("all of it");
        let (status, headers) = head.split_once("\r\n").expect("a line");
        let body = String::from_utf8(body).expect("UTF-8");
        (status.to_owned(), headers.to_owned(), body)
    }

    pub(super) async fn status(&mut self) -> String {
        self.reply().await.0
    }

    async fn byte(&mut self) -> Option<u8> {
        tokio::time::timeout(PATIENCE, self.0.read_u8())
            .await
            .expect("something happens")
            .ok()
    }

    /// Waits until the server has closed.
    pub(super) async fn closes(&mut self) {
        assert_eq!(self.byte().await, None);
    }
}

/// A request with a body, as text.
pub(super) fn post(body: &serde_json::Value) -> String {
    let body = body.to_string();
    format!(
        "POST /app/v2/pipeline HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(super) async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect(what);
}
