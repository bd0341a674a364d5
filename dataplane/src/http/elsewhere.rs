//! Requests that another node must answer: they are passed on to it, and the client does not notice.
//!
//! A request is tried here first. Where nothing was done because somebody else leads, it goes there, and where
//! nobody leads right now, it waits: an election is over in well under a second. One hop: whoever gets a
//! request that was passed on answers it or says that it did nothing.
//!
//! INVARIANT: a request is tried again only while it is certain that nothing of it was done, or where doing it twice is the
//! same as once (an idempotency key, a read). A reply that got lost is `ORION_COMMIT_UNKNOWN`.

use super::headers::IDEMPOTENCY_KEY;
use super::status::{CODE, HttpError};
use crate::peer::{Elsewhere, Link, NotDone, PassError, pass_on};
use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use http::request::Parts;
use http::{Request, StatusCode};
use orion_api::{Code, GroupName, NodeId};
use parking_lot::Mutex;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tower::ServiceExt;

/// How long a request waits for somebody who leads.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often it looks, besides when this node hears of a change.
const LOOK: Duration = Duration::from_millis(25);

/// Who can answer what only the leader can.
pub(crate) enum Leader {
    /// This node.
    Here,
    /// The one behind this link.
    There(Arc<Link>),
    /// Nobody, as far as is known here.
    Nobody,
}

/// Where the other nodes are.
#[async_trait]
pub(crate) trait Leaders: Send + Sync {
    /// The groups that this node is a member of.
    fn groups(&self) -> Vec<GroupName>;
    /// Who leads a group now.
    fn leader(&self, group: &GroupName) -> Leader;
    /// The way to a node.
    fn node(&self, node: NodeId) -> Option<Arc<Link>>;
    /// Waits until somebody else leads a group.
    async fn changed(&self, group: &GroupName);
}

/// Answers a request, here or there.
pub(super) async fn answer(here: &Router, leaders: &Arc<dyn Leaders>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let (response, replay) = try_here(here, &parts, body).await;
    match is_wanted(&response, leaders) {
        true => go_on(here, leaders, &parts, replay.body(), response).await,
        false => response,
    }
}

async fn try_here(here: &Router, parts: &Parts, body: Body) -> (Response, Replay) {
    let (recorded, replay) = record(body);
    let Ok::<_, Infallible>(response) = here.clone().oneshot(again(parts, recorded)).await;
    (response, replay)
}

/// Whether a request that was tried here, and came to this, is another node's.
pub(super) fn is_wanted(response: &Response, leaders: &Arc<dyn Leaders>) -> bool {
    wants(response, &**leaders, &[]).is_some()
}

/// The answer to a request that was tried here, and came to this; `body` is its whole body.
pub(super) async fn go_on(
    here: &Router,
    leaders: &Arc<dyn Leaders>,
    parts: &Parts,
    mut body: Body,
    mut response: Response,
) -> Response {
    let until = Instant::now() + PATIENCE;
    let mut asked = Vec::new();
    while let Some(elsewhere) = wants(&response, &**leaders, &asked) {
        let link = match &elsewhere {
            Elsewhere::Node(node) => leaders.node(*node),
            Elsewhere::Leader(group) => match leaders.leader(group) {
                Leader::There(link) => Some(link),
                Leader::Here | Leader::Nobody => None,
            },
        };
        if let Some(link) = link {
            let (recorded, replay) = record(body);
            match pass_on(&link, again(parts, recorded)).await {
                Ok(reply) if reply.extensions().get::<NotDone>().is_none() => {
                    // Who leads another group may know the database.
                    asked.push(link);
                    if wants(&reply, &**leaders, &asked).is_none() {
                        return reply;
                    }
                    (response, body) = (reply, replay.body());
                    continue;
                }
                Ok(reply) => {
                    // It knows more, and leads another group: who leads the database's is asked next.
                    if is_unknown(&response) {
                        asked.push(link);
                    }
                    response = reply;
                }
                Err(PassError::Broken(..)) if !may_be_repeated(parts) => return unknown(),
                Err(error) => tracing::debug!(%error, "a request was not passed on; it is tried again"),
            }
            body = replay.body();
        }
        let Elsewhere::Leader(group) = elsewhere else {
            return response;
        };
        if Instant::now() >= until {
            return response;
        }
        // Whichever comes first: news, or the next look.
        let _ = tokio::time::timeout(LOOK, leaders.changed(&group)).await;
        let replay;
        (response, replay) = try_here(here, parts, body).await;
        body = replay.body();
    }
    response
}

/// Who else might answer, if this is no answer. A database that is not known here may be one that was made a moment ago in a
/// group whose leader was not asked yet.
fn wants(response: &Response, leaders: &dyn Leaders, asked: &[Arc<Link>]) -> Option<Elsewhere> {
    if let Some(elsewhere) = response.extensions().get::<Elsewhere>() {
        return Some(elsewhere.clone());
    }
    if !is_unknown(response) {
        return None;
    }
    let is_new = |link: &Arc<Link>| !asked.iter().any(|asked| asked.address == link.address);
    let mut groups = leaders.groups().into_iter();
    let group = groups.find(|group| matches!(leaders.leader(group), Leader::There(link) if is_new(&link)))?;
    Some(Elsewhere::Leader(group))
}

fn is_unknown(response: &Response) -> bool {
    let code = response.headers().get(CODE);
    response.status() == StatusCode::NOT_FOUND
        && code.is_some_and(|code| code == Code::DatabaseNotFound.as_str())
}

/// By its method (RFC 9110, 9.2.2), which the admin API keeps to, or by its key.
fn may_be_repeated(parts: &Parts) -> bool {
    parts.method.is_idempotent() || parts.headers.contains_key(IDEMPOTENCY_KEY)
}

fn unknown() -> Response {
    let message = "the node that leads did not answer; the request may or may not have been done";
    HttpError::new(Code::CommitUnknown, message).into_response()
}

fn again(parts: &Parts, body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = parts.uri.clone();
    *request.headers_mut() = parts.headers.clone();
    request
}

/// A body as far as it was read, and the rest of it.
struct Recording {
    read: Vec<Bytes>,
    rest: BodyDataStream,
}

/// The same body once more.
struct Replay(Arc<Mutex<Recording>>);

/// A body that is read once now and can be had again.
fn record(body: Body) -> (Body, Replay) {
    let recording = Arc::new(Mutex::new(Recording {
        read: Vec::new(),
        rest: body.into_data_stream(),
    }));
    let shared = Arc::clone(&recording);
    let recorded = stream::poll_fn(move |context| {
        let Recording { read, rest } = &mut *shared.lock();
        let polled = rest.poll_next_unpin(context);
        if let std::task::Poll::Ready(Some(Ok(bytes))) = &polled {
            read.push(bytes.clone());
        }
        polled
    });
    (Body::from_stream(recorded), Replay(recording))
}

impl Replay {
    /// From its beginning. Whoever read it before gets nothing more.
    fn body(self) -> Body {
        let recording = &mut *self.0.lock();
        let read = std::mem::take(&mut recording.read);
        let rest = std::mem::replace(&mut recording.rest, Body::empty().into_data_stream());
        let read = stream::iter(read).map(Ok::<_, axum::Error>);
        Body::from_stream(read.chain(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_comes_again_from_its_beginning_however_far_it_was_read() {
        let chunks = ["one ", "two ", "three"];
        for read in 0..=chunks.len() {
            let body =
                Body::from_stream(stream::iter(chunks).map(|chunk| Ok::<_, Infallible>(Bytes::from(chunk))));
            let (recorded, replay) = record(body);
            let mut recorded = recorded.into_data_stream();
            for chunk in &chunks[..read] {
                assert_eq!(recorded.next().await.expect("a chunk").expect("read"), *chunk);
            }
            let (recorded, replay) = record(replay.body());
            drop(recorded);
            let whole = axum::body::to_bytes(replay.body(), 100).await.expect("read");
            assert_eq!(whole, "one two three");
        }
    }
}
