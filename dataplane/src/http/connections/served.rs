//! One connection: hyper between the socket and the routes, until it ends or is to end.

use super::limits::Limits;
use super::slot::{Phase, Slot};
use super::stream::Stream;
use axum::Router;
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1::Builder;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite};
use tower::ServiceExt;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself, the client or the network.
    Closed,
    /// It was idle, and told to go.
    Idle,
    /// Its client was too slow.
    Slow,
}

/// Answers requests.
pub trait Routes: Clone + Send + Sync + 'static {
    /// Answers one.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send;
}

impl Routes for Router {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let Ok::<_, Infallible>(response) = self.clone().oneshot(request.map(Body::new)).await;
        response
    }
}

/// Serves a connection to its end.
pub(super) async fn serve<Io>(io: Io, routes: impl Routes, slot: Arc<Slot>, limits: Limits) -> End
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = TokioIo::new(Stream::new(io, Arc::clone(&slot)));
    let service = service(routes, Arc::clone(&slot));
    let connection = builder(&limits).serve_connection(stream, service);
    let mut connection = pin!(connection);
    let (mut is_last, mut is_idle) = (false, false);
    poll_fn(|context| {
        slot.listen(context.waker());
        // What has come is read first: it may be a request, and then the connection is not idle.
        let ended = connection.as_mut().poll(context);
        if ended.is_pending() {
            match slot.ended() {
                Some(Phase::Head | Phase::Reply) => return Poll::Ready(End::Slow),
                Some(Phase::Idle) => is_idle = true,
                Some(Phase::Request) | None if is_last || !slot.is_last() => return Poll::Pending,
                Some(Phase::Request) | None => {}
            }
            is_last = true;
            connection.as_mut().graceful_shutdown();
            ready!(connection.as_mut().poll(context)).unwrap_or_else(|error| gone(&error));
        } else if let Poll::Ready(Err(error)) = ended {
            gone(&error);
        }
        Poll::Ready(if is_idle { End::Idle } else { End::Closed })
    })
    .await
}

fn gone(error: &hyper::Error) {
    tracing::debug!(%error, "a connection ended");
}

/// HTTP/1.1 as it is spoken here.
pub(super) fn builder(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    // Times are the table's: hyper's own would set a timer for each request.
    builder
        .header_read_timeout(None)
        .max_header_size(limits.head_bytes)
        .max_buf_size(limits.read_ahead_bytes);
    builder
}

fn service(
    routes: impl Routes,
    slot: Arc<Slot>,
) -> impl Service<Request<Incoming>, Response = Response<Reply>, Error = Infallible, Future: Send> {
    service_fn(move |request: Request<Incoming>| {
        slot.enter(Phase::Request);
        let (routes, slot) = (routes.clone(), Arc::clone(&slot));
        async move {
            let response = routes.answer(request).await;
            slot.enter(Phase::Reply);
            Ok(response.map(|body| Reply { body, slot }))
        }
    })
}

/// A reply's body; when it is dropped, hyper has all of it.
struct Reply {
    body: Body,
    slot: Arc<Slot>,
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.slot.end_reply();
    }
}

impl HttpBody for Reply {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
