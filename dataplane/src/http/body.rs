//! Reads a request's body within limits of size, speed and of what all bodies of the node may have together.

use super::pace::Pace;
use super::status::HttpError;
use crate::room::{Room, Share};
use axum::body::Body;
use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use orion_api::Code;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many times the largest body is read and dropped, so that its client hears what is wrong.
const DISCARDED_BODIES: u64 = 4;

/// How bodies are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'a> {
    /// The largest body.
    pub bytes_max: u64,
    /// How fast it must come.
    pub pace: Pace,
    /// Where its bytes are taken from.
    pub room: &'a Arc<Room>,
}

/// A body that is all there, and its share of the room; to be kept for as long as what was made of it.
pub(super) type Whole = (Bytes, Share);

/// A request's body on its way to who answers.
pub(super) struct Arrival {
    body: Option<Body>,
    /// Another node may have to answer: the bytes are kept until it is known that none has.
    is_kept: bool,
}

impl Arrival {
    /// For this node only.
    pub(super) fn here(body: Body) -> Arrival {
        Arrival {
            body: Some(body),
            is_kept: false,
        }
    }

    /// For this node or another one.
    pub(super) fn anywhere(body: Body) -> Arrival {
        Arrival {
            body: Some(body),
            is_kept: true,
        }
    }

    /// To be read.
    pub(super) fn read(&mut self) -> Body {
        self.body.take().unwrap_or_default()
    }

    /// What was read, all of it.
    pub(super) fn was(&mut self, bytes: Bytes) {
        self.body = self.is_kept.then(|| Body::from(bytes));
    }

    /// The whole body, for another node; none if it was begun to be read and not ended.
    pub(super) fn whole(self) -> Option<Body> {
        self.body
    }
}

/// A body that arrives.
struct Arriving<'a> {
    body: Body,
    reading: Reading<'a>,
    /// Bytes so far, and how long they were waited for.
    bytes: u64,
    waited: Duration,
}

impl Reading<'_> {
    /// The whole body.
    pub(super) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Whole, HttpError> {
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let mut arriving = Arriving {
            body,
            reading: *self,
            bytes: 0,
            waited: Duration::ZERO,
        };
        if announced.is_some_and(|length| length > self.bytes_max) {
            // A client that asks first need not send it.
            if !headers.contains_key(header::EXPECT) {
                arriving.discard().await;
            }
            return Err(self.too_large());
        }
        match arriving.whole(announced).await {
            Err(Refused::NoRoom) => {
                arriving.discard().await;
                Err(self.no_room())
            }
            Err(Refused::Because(error)) => Err(error),
            Ok(whole) => Ok(whole),
        }
    }

    async fn take(&self, share: &mut Share, bytes: usize) -> Result<(), Refused> {
        let taken = share.take(bytes as u64).await;
        taken.map_err(|_| Refused::NoRoom)
    }

    fn too_large(&self) -> HttpError {
        let message = format!(
            "the body is larger than {} bytes, the most that is taken",
            self.bytes_max
        );
        HttpError::new(Code::RequestTooLarge, message)
    }

    fn no_room(&self) -> HttpError {
        let message = format!(
            "nothing was done: the bodies that arrive at this node fill the {} bytes that it has for them (limits.body_bytes_total); send it again later, or in smaller parts",
            self.room.limit()
        );
        HttpError::new(Code::Overloaded, message)
    }
}

enum Refused {
    NoRoom,
    Because(HttpError),
}

impl From<HttpError> for Refused {
    fn from(error: HttpError) -> Refused {
        Refused::Because(error)
    }
}

impl Arriving<'_> {
    async fn whole(&mut self, announced: Option<u64>) -> Result<Whole, Refused> {
        let mut share = Share::of(self.reading.room);
        let Some(first) = self.next().await? else {
            return Ok((Bytes::new(), share));
        };
        if announced == Some(first.len() as u64) {
            self.reading.take(&mut share, first.len()).await?;
            return Ok((first, share));
        }
        let mut buffer: Vec<u8> = Vec::new();
        let mut next = Some(first);
        while let Some(bytes) = next {
            let needed = buffer.len() + bytes.len();
            if needed as u64 > self.reading.bytes_max {
                return Err(self.reading.too_large().into());
            }
            if needed > buffer.capacity() {
                // As much again, so that bytes are moved once on the average, and never more than will come.
                let most = announced.unwrap_or(self.reading.bytes_max) as usize;
                let capacity = (2 * buffer.capacity()).min(most).max(needed);
                self.reading
                    .take(&mut share, capacity - buffer.capacity())
                    .await?;
                buffer.reserve_exact(capacity - buffer.len());
            }
            buffer.extend_from_slice(&bytes);
            next = self.next().await?;
        }
        Ok((Bytes::from(buffer), share))
    }

    /// The next bytes; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            // Mostly it is there already, and no timer is set.
            let frame = match self.body.frame().now_or_never() {
                Some(frame) => frame,
                None => self.wait().await?,
            };
            match frame {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.bytes += bytes.len() as u64;
                        return Ok(Some(bytes));
                    }
                }
                Some(Err(error)) => {
                    let message = format!("the body did not arrive: {error}");
                    return Err(HttpError::new(Code::InvalidRequest, message));
                }
            }
        }
    }

    /// Waits for the client, and only for it: what waits for room is not its fault.
    async fn wait(&mut self) -> Result<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>, HttpError> {
        let pace = &self.reading.pace;
        let left = pace.allowance(self.bytes).saturating_sub(self.waited);
        let began = Instant::now();
        let frame = tokio::time::timeout(left.min(pace.stall), self.body.frame()).await;
        self.waited += began.elapsed();
        frame.map_err(|_| {
            let message = format!(
                "the body did not arrive: it must come without a pause of {} s, and at {} bytes a second",
                pace.stall.as_secs_f64(),
                pace.bytes_per_second
            );
            HttpError::new(Code::RequestTimeout, message)
        })
    }

    /// Reads and drops what comes. A connection that is closed while its client still sends is reset, and the
    /// client sees that instead of the reply.
    async fn discard(&mut self) {
        let most = self.bytes + self.reading.bytes_max.saturating_mul(DISCARDED_BODIES);
        while self.bytes < most
            && let Ok(Some(_)) = self.next().await
        {}
    }
}
