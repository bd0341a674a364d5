//! What a group on this node answers its other members.

use super::wire::{Join, Joined, KnownGroup, ReadAt, ReadIndex};
use crate::owner::Incarnation;
use crate::raft::{SnapshotFile, Types, Vote};
use async_trait::async_trait;
use futures::stream::BoxStream;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};

/// The group cannot answer: it stopped, or it must not yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Gone(pub(crate) String);

/// A member of a group, as its peers see it.
#[async_trait]
pub(crate) trait Member: Send + Sync {
    /// Which life of the group's log it is in.
    fn incarnation(&self) -> Incarnation;

    /// The group as this member knows it.
    fn known(&self) -> KnownGroup;

    /// Appends one request after the other; the answers have their order.
    fn append(
        &self,
        requests: BoxStream<'static, AppendEntriesRequest<Types>>,
    ) -> BoxStream<'static, Result<StreamAppendResult<Types>, Gone>>;

    /// Appends a single request.
    async fn append_one(
        &self,
        request: AppendEntriesRequest<Types>,
    ) -> Result<AppendEntriesResponse<Types>, Gone>;

    /// Votes, or says how it would (`pre`).
    async fn vote(&self, request: VoteRequest<Types>, pre: bool) -> Result<VoteResponse<Types>, Gone>;

    /// Leads in the caller's place, or lets another one do so.
    async fn transfer(
        &self,
        request: TransferLeaderRequest<Types>,
    ) -> Result<TransferLeaderResponse<Types>, Gone>;

    /// Takes over a snapshot that arrived in `file`.
    async fn install(&self, vote: Vote, file: SnapshotFile) -> Result<SnapshotResponse<Types>, Gone>;

    /// As the leader: up to where a follower must have applied to answer a strong read that is asked now.
    async fn read_index(&self, question: ReadIndex) -> Result<ReadAt, Gone>;

    /// As the leader: takes a node in. May be repeated until it answers that it is done.
    async fn join(&self, join: Join) -> Result<Joined, Gone>;
}
