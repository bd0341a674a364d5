//! What this node answers its peers.

use super::generated::peer_server::{Peer, PeerServer};
use super::links::MESSAGE_BYTES_MAX;
use super::member::{Gone, Member};
use super::snapshot::Incoming;
use super::wire::{
    Append, Appended, Ballot, FROM, GROUP, Hello, INCARNATION, Join, Joined, Known, Malformed, PROTOCOL,
    Part, ReadAt, ReadIndex, SnapshotPart, SnapshotTaken, TO, Transfer, Transferred, Voted,
};
use super::{Peers, forward};
use crate::raft::Types;
use futures::stream::BoxStream;
use futures::{StreamExt, future};
use openraft::raft::{AppendEntriesRequest, VoteRequest};
use orion_api::NodeId;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// What may arrive on a stream before it is taken.
const STREAM_WINDOW: u32 = 4 << 20;

/// The same for a connection.
const CONNECTION_WINDOW: u32 = 16 << 20;

/// Connections of peers that are gone are looked for so often. Seldom: each look wakes both sides, also where all is idle.
const PROBE: Duration = Duration::from_secs(5);

/// Calls of one connection at once.
const CALLS_MAX: u32 = 1024;

pub(super) async fn serve(
    peers: Arc<Peers>,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let mut server = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(CALLS_MAX)
        .http2_keepalive_interval(Some(PROBE))
        .http2_keepalive_timeout(Some(PROBE));
    if let Some(tls) = &peers.tls {
        server = server.tls_config(tls.server())?;
    }
    let service = PeerServer::new(Service { peers })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    // Small messages must not wait for more to send.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let serving = server.add_service(service).serve_with_incoming(incoming);
    // Streams of entries never end by themselves: connections are cut.
    match future::select(Box::pin(serving), Box::pin(stop.cancelled())).await {
        future::Either::Left((served, _)) => served,
        future::Either::Right(_) => Ok(()),
    }
}

struct Service {
    peers: Arc<Peers>,
}

/// Node id in metadata.
fn id(metadata: &MetadataMap, key: &str) -> Option<NodeId> {
    metadata.get(key)?.to_str().ok()?.parse().ok()
}

impl Service {
    /// INVARIANT: whoever means another node gets nothing but that.
    fn check_meant(&self, metadata: &MetadataMap) -> Result<NodeId, Status> {
        let own = NodeId(self.peers.own.node);
        if id(metadata, TO) != Some(own) {
            let text = format!("this is node {own}, not the one that is meant");
            return Err(Status::failed_precondition(text));
        }
        id(metadata, FROM).ok_or_else(|| Status::invalid_argument("the call does not say who it is from"))
    }

    fn member(&self, metadata: &MetadataMap) -> Result<Arc<dyn Member>, Status> {
        self.check_meant(metadata)?;
        let group = metadata
            .get(GROUP)
            .and_then(|name| name.to_str().ok())
            .unwrap_or_default();
        let member = self.peers.member(group);
        let member =
            member.ok_or_else(|| Status::not_found(format!("this node is not in group {group:?}")))?;
        let number = |text: &str| text.parse::<u64>().ok();
        let theirs = metadata
            .get(INCARNATION)
            .and_then(|text| number(text.to_str().ok()?));
        let own = member.incarnation().0;
        if theirs != Some(own) {
            let text = format!("this node is in incarnation {own} of the group, the caller in another one");
            return Err(Status::failed_precondition(text));
        }
        Ok(member)
    }
}

fn gone(gone: Gone) -> Status {
    Status::unavailable(gone.0)
}

fn malformed(error: Malformed) -> Status {
    Status::invalid_argument(error.to_string())
}

fn append_request(message: Result<Append, Status>) -> Option<AppendEntriesRequest<Types>> {
    match message {
        Ok(append) => AppendEntriesRequest::try_from(append)
            .inspect_err(|error| tracing::warn!(%error, "a stream of entries is cut"))
            .ok(),
        Err(status) => {
            tracing::debug!(%status, "a stream of entries ended");
            None
        }
    }
}

fn disk(error: std::io::Error) -> Status {
    Status::unavailable(format!("the snapshot could not be kept: {error}"))
}

#[tonic::async_trait]
impl Peer for Service {
    async fn hello(&self, request: Request<Hello>) -> Result<Response<Known>, Status> {
        let hello = request.into_inner();
        if hello.protocol == PROTOCOL && hello.node != self.peers.own.node {
            self.peers
                .links
                .learn_from_itself(NodeId(hello.node), &hello.address);
        }
        Ok(Response::new(Known {
            own: Some(self.peers.own.clone()),
            groups: self.peers.known(),
        }))
    }

    type AppendStream = BoxStream<'static, Result<Appended, Status>>;

    async fn append(
        &self,
        request: Request<Streaming<Append>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let member = self.member(request.metadata())?;
        let messages = request.into_inner();
        // A message that does not come through ends the stream: the leader begins another one.
        let requests = messages.scan((), |(), message| future::ready(append_request(message)));
        let answers = member.append(requests.boxed());
        let answers = answers.map(|answer| answer.map(Appended::from).map_err(gone));
        Ok(Response::new(answers.boxed()))
    }

    async fn heartbeat(&self, request: Request<Append>) -> Result<Response<Appended>, Status> {
        let member = self.member(request.metadata())?;
        let request = AppendEntriesRequest::try_from(request.into_inner()).map_err(malformed)?;
        let prev = request.prev_log_id;
        let response = member.append_one(request).await.map_err(gone)?;
        Ok(Response::new(Appended::single(response, prev)))
    }

    async fn vote(&self, request: Request<Ballot>) -> Result<Response<Voted>, Status> {
        let member = self.member(request.metadata())?;
        let ballot = request.into_inner();
        let pre = ballot.pre;
        let request = VoteRequest::try_from(ballot).map_err(malformed)?;
        Ok(Response::new(
            member.vote(request, pre).await.map_err(gone)?.into(),
        ))
    }

    async fn transfer(&self, request: Request<Transfer>) -> Result<Response<Transferred>, Status> {
        let member = self.member(request.metadata())?;
        let request = request.into_inner().try_into().map_err(malformed)?;
        Ok(Response::new(
            member.transfer(request).await.map_err(gone)?.into(),
        ))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<SnapshotPart>>,
    ) -> Result<Response<SnapshotTaken>, Status> {
        let member = self.member(request.metadata())?;
        let mut parts = request.into_inner();
        let mut incoming = Incoming::create(&self.peers.incoming).await.map_err(disk)?;
        let mut vote = None;
        loop {
            let part = parts.message().await?;
            let part = part.ok_or_else(|| malformed(Malformed("snapshot, which ends too early,")))?;
            vote = vote.or(part.vote);
            incoming.write(&part.bytes).await.map_err(disk)?;
            if part.last {
                break;
            }
        }
        let vote = vote.ok_or_else(|| malformed(Malformed("snapshot")))?;
        let file = incoming.finish().await.map_err(disk)?;
        let taken = member.install(vote.into(), file).await.map_err(gone)?;
        Ok(Response::new(SnapshotTaken {
            vote: Some((&taken.vote).into()),
        }))
    }

    async fn read_index(&self, request: Request<ReadIndex>) -> Result<Response<ReadAt>, Status> {
        let member = self.member(request.metadata())?;
        let at = member.read_index(request.into_inner()).await.map_err(gone)?;
        Ok(Response::new(at))
    }

    async fn join(&self, request: Request<Join>) -> Result<Response<Joined>, Status> {
        let member = self.member(request.metadata())?;
        let joined = member.join(request.into_inner()).await.map_err(gone)?;
        Ok(Response::new(joined))
    }

    type ForwardStream = BoxStream<'static, Result<Part, Status>>;

    async fn forward(
        &self,
        request: Request<Streaming<Part>>,
    ) -> Result<Response<Self::ForwardStream>, Status> {
        let from = self.check_meant(request.metadata())?;
        let router = self.peers.router.get().cloned();
        let router = router.ok_or_else(|| Status::unavailable("this node does not serve clients yet"))?;
        let answering = self.peers.forwarded.token();
        if self.peers.forwarded.is_closed() {
            // Before anything of it is done: the other node asks somebody else.
            return Err(Status::failed_precondition("this node stops"));
        }
        let answering_here = forward::answer(router, from, request.into_inner());
        // Whoever passed it on and leaves takes it along.
        let reply = AbortOnDropHandle::new(self.peers.threads.requests.spawn(answering_here)).await;
        let reply = reply.map_err(|error| Status::aborted(error.to_string()))??;
        // Until the last piece is on its way.
        let reply = reply.inspect(move |_| {
            let _ = &answering;
        });
        Ok(Response::new(reply.boxed()))
    }
}
