//! openraft's calls to the other members, over the connections that this node has to them.

use super::wire::{Append, Appended, Ballot, Malformed, SnapshotTaken, Transfer};
use super::{Link, Peers, counters, snapshot};
use crate::clock::Boottime;
use crate::owner::Incarnation;
use crate::raft::{Lease, Place, SnapshotFile, Types, Vote};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::v2::RaftNetworkV2;
use openraft::network::{Backoff, RPCOption, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use openraft::{AnyError, OptionalSend};
use orion_api::{GroupName, NodeId};
use parking_lot::Mutex;
use prost::Message;
use std::collections::VecDeque;
use std::error::Error as StdError;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pause before a peer that could not be reached is called again.
const PAUSE: Duration = Duration::from_millis(100);

/// Makes connections of one group to its members. The lease of its leader is kept here, where requests are sent.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    peers: Arc<Peers>,
    group: GroupName,
    incarnation: Incarnation,
    lease: Arc<Lease>,
}

impl Network {
    pub(crate) fn new(
        peers: Arc<Peers>,
        (group, incarnation): (GroupName, Incarnation),
        lease: Arc<Lease>,
    ) -> Network {
        Network {
            peers,
            group,
            incarnation,
            lease,
        }
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: u64, node: &Place) -> Connection {
        self.peers
            .links
            .learn_from_membership(NodeId(target), &node.address);
        Connection {
            network: self.clone(),
            target: NodeId(target),
            broken: Arc::default(),
        }
    }
}

/// Calls of one group to one member.
#[derive(Debug)]
pub(crate) struct Connection {
    network: Network,
    target: NodeId,
    /// When a stream to it last broke. openraft begins the next one at once.
    broken: Arc<Mutex<Option<Instant>>>,
}

type CallError = RPCError<Types>;

fn unreachable(error: &(impl StdError + 'static)) -> Unreachable<Types> {
    Unreachable::new(error)
}

/// A peer that refused or broke a call: openraft pauses before the next one.
fn refused(status: tonic::Status) -> CallError {
    RPCError::Unreachable(unreachable(&status))
}

/// INVARIANT: no member learns from this one that an entry is committed before the lease knows that it will.
fn tells(lease: &Lease, request: &AppendEntriesRequest<Types>) {
    if let Some(committed) = &request.leader_commit {
        lease.tells(committed.index);
    }
}

fn malformed(error: Malformed) -> CallError {
    RPCError::Network(NetworkError::new(&error))
}

impl Connection {
    /// Asked for at each call, because the address may have changed.
    fn link(&self) -> Result<Arc<Link>, Unreachable<Types>> {
        let link = self.network.peers.links.to(self.target);
        link.ok_or_else(|| {
            let target = self.target;
            Unreachable::new(&AnyError::error(format!(
                "it is not known where node {target} is"
            )))
        })
    }

    /// Waits where a stream broke a moment ago.
    async fn pause(&self) {
        let broken = *self.broken.lock();
        if let Some(at) = broken {
            tokio::time::sleep_until((at + PAUSE).into()).await;
        }
    }

    fn request<T>(&self, link: &Link, message: T) -> tonic::Request<T> {
        link.request(Some((&self.network.group, self.network.incarnation)), message)
    }

    async fn ballot(&self, request: VoteRequest<Types>, pre: bool) -> Result<VoteResponse<Types>, CallError> {
        let link = self.link()?;
        let ballot = self.request(&link, Ballot::new(&request, pre));
        let voted = link.control.clone().vote(ballot).await.map_err(refused)?;
        voted.into_inner().try_into().map_err(malformed)
    }
}

impl RaftNetworkV2<Types> for Connection {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, CallError> {
        let link = self.link()?;
        let term = request.vote.leader_id.term;
        tells(&self.network.lease, &request);
        let message = self.request(&link, Append::from(request));
        let sent = Boottime::now();
        let appended = link.control.clone().heartbeat(message).await.map_err(refused)?;
        let appended: Appended = appended.into_inner();
        if appended.accepts_leader() {
            self.network.lease.accepted(term, self.target.0, sent);
        }
        appended.of_single().map_err(malformed)
    }

    fn stream_append<'s, S>(
        &'s mut self,
        requests: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<Types>, CallError>>, CallError>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            self.pause().await;
            let broken = Arc::clone(&self.broken);
            let note = move |error: CallError| {
                *broken.lock() = Some(Instant::now());
                error
            };
            let link = self.link()?;
            // Answers come in the order of the requests.
            let under_way: Arc<Mutex<VecDeque<(u64, Boottime)>>> = Arc::default();
            let (sent, peers) = (Arc::clone(&under_way), Arc::clone(&self.network.peers));
            let lease = Arc::clone(&self.network.lease);
            let messages = requests.map(move |request| {
                let term = request.vote.leader_id.term;
                tells(&lease, &request);
                sent.lock().push_back((term, Boottime::now()));
                let append = Append::from(request);
                counters::add(&peers.counters.entries, append.encoded_len());
                append
            });
            let message = self.request(&link, messages);
            let answers = link.log.clone().append(message).await;
            let answers = answers.map_err(|status| note(refused(status)))?;
            let (lease, target) = (Arc::clone(&self.network.lease), self.target.0);
            let answers = answers.into_inner().map(move |answer| {
                let appended: Appended = answer.map_err(|status| note(refused(status)))?;
                let asked = under_way.lock().pop_front();
                if let Some((term, sent)) = asked.filter(|_| appended.accepts_leader()) {
                    lease.accepted(term, target, sent);
                }
                appended.of_stream().map_err(malformed)
            });
            Ok(answers.boxed())
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, CallError> {
        self.ballot(request, false).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, CallError> {
        self.ballot(request, true).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<Types, SnapshotFile>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let link = self.link()?;
        let parts = snapshot::parts(&snapshot.snapshot, &vote)
            .await
            .map_err(|error| unreachable(&error))?;
        let peers = Arc::clone(&self.network.peers);
        let parts = parts.inspect(move |part| counters::add(&peers.counters.snapshots, part.encoded_len()));
        let message = self.request(&link, parts);
        let mut client = link.bulk.clone();
        let taken = tokio::select! {
            taken = client.snapshot(message) => taken.map_err(|status| unreachable(&status))?,
            closed = cancel => return Err(closed.into()),
        };
        let SnapshotTaken { vote } = taken.into_inner();
        let vote = vote.ok_or_else(|| NetworkError::new(&Malformed("answer to a snapshot")))?;
        Ok(SnapshotResponse::new(vote.into()))
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, CallError> {
        let link = self.link()?;
        let message = self.request(&link, Transfer::from(&request));
        let transferred = link.control.clone().transfer(message).await.map_err(refused)?;
        Ok(transferred.into_inner().to(&request))
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(PAUSE)))
    }
}
