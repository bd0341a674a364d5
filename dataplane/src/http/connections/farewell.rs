//! Tells a client that there is no place for its connection.
//!
//! The request's head is read first: many clients take a reply that comes before their request for a fault of the
//! connection. What the client still sends is read and dropped for a moment, because a socket that is closed with
//! bytes unread resets the connection, and the reply with it.
//!
//! LIMIT: so many at a time, for so long; past that connections are closed without a word.

use super::limits::Limits;
use super::served::builder;
use crate::http::HttpError;
use axum::response::{IntoResponse, Response};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use orion_api::Code;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// From the connection to its end.
const TIME: Duration = Duration::from_secs(2);
/// Bytes that are read after the reply.
const DROPPED_BYTES: u64 = 1 << 20;

/// Says farewell.
pub(super) struct Farewells {
    places: Arc<Semaphore>,
    builder: Builder,
    most: usize,
}

impl Farewells {
    pub(super) fn new(limits: Limits) -> Farewells {
        let mut builder = builder(&limits);
        builder.keep_alive(false);
        Farewells {
            places: Arc::new(Semaphore::new(limits.leaving())),
            builder,
            most: limits.most,
        }
    }

    pub(super) fn say<Io>(&self, io: Io, tasks: &TaskTracker)
    where
        Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return;
        };
        let (builder, most) = (self.builder.clone(), self.most);
        tasks.spawn(async move {
            let _place = place;
            // What the client does not take in time it does not want.
            let _ = tokio::time::timeout(TIME, refuse(io, builder, most)).await;
        });
    }
}

async fn refuse<Io>(io: Io, builder: Builder, most: usize)
where
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(|_: Request<Incoming>| async move { Ok::<_, Infallible>(refusal(most)) });
    let connection = builder.serve_connection(TokioIo::new(io), service);
    if let Ok(parts) = connection.without_shutdown().await {
        let mut io = parts.io.into_inner();
        let _ = io.shutdown().await;
        let _ = tokio::io::copy(&mut io.take(DROPPED_BYTES), &mut tokio::io::sink()).await;
    }
}

fn refusal(most: usize) -> Response {
    let message = format!(
        "this node has {most} connections, and all are busy: try again later, use fewer, or raise limits.connections_max"
    );
    HttpError::new(Code::Overloaded, message).into_response()
}
