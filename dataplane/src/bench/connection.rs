//! One keep-alive connection: sends a request's bytes, reads and judges the reply, and connects again when the
//! connection is gone. It never sends a request twice: a write whose reply was lost may have been applied.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::outcome::{Expect, Outcome};
use super::reply::{Reader, Status};

/// Longest wait between attempts to connect again.
const BACKOFF_MAX: Duration = Duration::from_millis(100);

/// A connection to the measured server.
#[derive(Debug)]
pub(crate) struct Connection {
    address: String,
    stream: Option<TcpStream>,
    reader: Reader,
    backoff: Duration,
}

impl Connection {
    /// Not connected yet: the first request does that.
    pub(crate) fn new(address: &str) -> Connection {
        Connection {
            address: address.to_owned(),
            stream: None,
            reader: Reader::default(),
            backoff: Duration::ZERO,
        }
    }

    /// Connects unless it is connected.
    pub(crate) async fn connect(&mut self) -> io::Result<()> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            self.reader = Reader::default();
            self.stream = Some(stream);
        }
        Ok(())
    }

    /// Sends one request and says what became of it. A connection that cannot be made is an error like
    /// others, after a growing pause, so that a server that is away is not met with a storm.
    pub(crate) async fn exchange(&mut self, request: &[u8], expect: Expect) -> Outcome {
        if self.connect().await.is_err() {
            self.backoff = (self.backoff * 2).clamp(Duration::from_millis(1), BACKOFF_MAX);
            tokio::time::sleep(self.backoff).await;
            return Outcome::Refused("CONNECT_FAILED".into());
        }
        self.backoff = Duration::ZERO;
        match self.request(request).await {
            Ok(status) => expect.judge(status.code, self.reader.body()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Outcome::Unknown("MALFORMED_REPLY".into())
            }
            Err(_) => Outcome::Unknown("CONNECTION_LOST".into()),
        }
    }

    /// Sends one request and reads the reply, whose body is then in [`Connection::body`].
    pub(crate) async fn request(&mut self, request: &[u8]) -> io::Result<Status> {
        self.connect().await?;
        let Some(stream) = self.stream.as_mut() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let mut sent = stream.write_all(request).await;
        if sent.is_ok() {
            match self.reader.read(stream).await {
                Ok(status) => {
                    if !status.keep_alive {
                        self.stream = None;
                    }
                    return Ok(status);
                }
                Err(error) => sent = Err(error),
            }
        }
        self.stream = None;
        sent.and(Err(io::ErrorKind::Other.into()))
    }

    /// The body of the last reply.
    pub(crate) fn body(&self) -> &[u8] {
        self.reader.body()
    }
}
