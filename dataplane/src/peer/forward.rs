//! A client's request that another node can answer: passed on over the bulk connection, and answered there by the
//! same routes. One hop: whoever gets a request that was forwarded never forwards it again.

use super::Link;
use super::wire::{Chunk, Header, Part, ReplyHead, RequestHead, part};
use axum::Router;
use axum::body::{Body, BodyDataStream, Bytes};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt, future, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use orion_api::{GroupName, NodeId};
use std::convert::Infallible;
use tonic::{Code, Status, Streaming};
use tower::ServiceExt;

/// In the extensions of a request that came over another node: which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forwarded(pub(crate) NodeId);

/// In the extensions of a reply: nothing was done here, and this node may do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// Whoever leads this group.
    Leader(GroupName),
    /// The one that has the request's stream.
    Node(NodeId),
}

/// In the extensions of a reply that came back: nothing was done there either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotDone;

/// Why a request that was passed on has no reply.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassError {
    /// It did not get there: certainly not done.
    #[error("{0} cannot be reached: {1}")]
    NotSent(String, String),
    /// It may have been done.
    #[error("{0} did not answer: {1}")]
    Broken(String, String),
}

/// Headers that belong to a connection, or that the sender makes itself.
const OF_CONNECTION: &[HeaderName] = &[
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::EXPECT,
];

fn headers(map: &HeaderMap) -> Vec<Header> {
    let kept = map.iter().filter(|(name, _)| !OF_CONNECTION.contains(name));
    kept.map(|(name, value)| Header {
        name: name.as_str().to_owned(),
        value: Bytes::copy_from_slice(value.as_bytes()),
    })
    .collect()
}

fn header_map(headers: Vec<Header>) -> Option<HeaderMap> {
    let mut map = HeaderMap::new();
    for Header { name, value } in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        map.append(name, HeaderValue::from_maybe_shared(value).ok()?);
    }
    Some(map)
}

fn chunk(bytes: Bytes) -> Part {
    Part {
        kind: Some(part::Kind::Chunk(Chunk { bytes })),
    }
}

fn malformed() -> Status {
    Status::invalid_argument("a forwarded request or its reply makes no sense")
}

/// Passes a request on, and answers what came back.
pub(crate) async fn pass_on(link: &Link, request: Request<Body>) -> Result<Response<Body>, PassError> {
    let broken = |detail: &str| PassError::Broken(link.address.clone(), detail.to_owned());
    let failed = |status: Status| match never_sent(&status) {
        true => PassError::NotSent(link.address.clone(), status.message().to_owned()),
        false => broken(status.message()),
    };
    let (parts, body) = request.into_parts();
    let head = RequestHead {
        method: parts.method.to_string(),
        uri: parts
            .uri
            .path_and_query()
            .map_or("/", |path| path.as_str())
            .to_owned(),
        headers: headers(&parts.headers),
    };
    let head = Part {
        kind: Some(part::Kind::Request(head)),
    };
    // A body that breaks off ends the stream; over there it is a body that is too short, which no reader takes.
    let body = body
        .into_data_stream()
        .scan((), |(), bytes| future::ready(bytes.ok().map(chunk)));
    let outgoing = stream::iter([head]).chain(body);
    let mut bulk = link.bulk.clone();
    let answer = bulk.forward(link.request(None, outgoing)).await;
    let mut reply = answer.map_err(failed)?.into_inner();
    let first = reply.message().await.map_err(|status| broken(status.message()))?;
    let Some(part::Kind::Reply(head)) = first.and_then(|part| part.kind) else {
        return Err(broken("the reply has no head"));
    };
    let status = u16::try_from(head.status)
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok());
    let (Some(status), Some(map)) = (status, header_map(head.headers)) else {
        return Err(broken("the reply's head makes no sense"));
    };
    let mut response = Response::new(Body::from_stream(chunks(reply)));
    *response.status_mut() = status;
    *response.headers_mut() = map;
    if head.not_done {
        response.extensions_mut().insert(NotDone);
    }
    Ok(response)
}

/// The peer refused the call before it took any of it, or there was no connection to send it over.
fn never_sent(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    matches!(status.code(), Code::FailedPrecondition | Code::NotFound)
}

/// The body's pieces.
fn chunks(parts: Streaming<Part>) -> impl Stream<Item = Result<Bytes, Status>> + Send {
    parts.map(|part| match part?.kind {
        Some(part::Kind::Chunk(chunk)) => Ok(chunk.bytes),
        _ => Err(malformed()),
    })
}

/// Answers a request that `from` passed on.
pub(super) async fn answer(
    router: Router,
    from: NodeId,
    mut parts: Streaming<Part>,
) -> Result<BoxStream<'static, Result<Part, Status>>, Status> {
    let Some(part::Kind::Request(head)) = parts.message().await?.and_then(|part| part.kind) else {
        return Err(malformed());
    };
    let request = Request::builder()
        .method(head.method.as_str())
        .uri(head.uri.as_str());
    let mut request = request
        .body(Body::from_stream(chunks(parts)))
        .map_err(|_| malformed())?;
    *request.headers_mut() = header_map(head.headers).ok_or_else(malformed)?;
    request.extensions_mut().insert(Forwarded(from));
    let Ok::<_, Infallible>(response) = router.oneshot(request).await;
    let (head, body) = response.into_parts();
    let head = Part {
        kind: Some(part::Kind::Reply(ReplyHead {
            status: head.status.as_u16().into(),
            headers: headers(&head.headers),
            not_done: head.extensions.get::<Elsewhere>().is_some(),
        })),
    };
    let body: BodyDataStream = body.into_data_stream();
    let body = body
        .map_ok(chunk)
        .map_err(|error| Status::aborted(error.to_string()));
    Ok(stream::iter([Ok(head)]).chain(body).boxed())
}
