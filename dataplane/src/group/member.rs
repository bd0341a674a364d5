//! What this member answers the others.

use super::{Error, Group};
use crate::causes;
use crate::owner::Incarnation;
use crate::peer::wire::{Join, Joined, KnownGroup, KnownMember, ReadAt, ReadIndex};
use crate::peer::{Gone, Member};
use crate::raft::{SnapshotFile, Types, Vote};
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use std::error::Error as StdError;
use std::time::Instant;

fn gone(error: &(dyn StdError + 'static)) -> Gone {
    Gone(causes::text(error))
}

#[async_trait]
impl Member for Group {
    fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    fn known(&self) -> KnownGroup {
        let metrics = self.metrics();
        let membership = metrics.membership_config.membership().clone();
        let votes = |id: &u64| membership.voter_ids().any(|voter| voter == *id);
        let members = membership.nodes().map(|(id, node)| KnownMember {
            node: *id,
            address: node.address.clone(),
            votes: votes(id),
        });
        KnownGroup {
            name: self.name.to_string(),
            leader: metrics.current_leader.unwrap_or(0),
            members: members.collect(),
            incarnation: self.incarnation.0,
        }
    }

    fn append(
        &self,
        requests: BoxStream<'static, AppendEntriesRequest<Types>>,
    ) -> BoxStream<'static, Result<StreamAppendResult<Types>, Gone>> {
        let answers = self.raft.stream_append(requests);
        answers.map(|answer| answer.map_err(|error| gone(&error))).boxed()
    }

    async fn append_one(
        &self,
        request: AppendEntriesRequest<Types>,
    ) -> Result<AppendEntriesResponse<Types>, Gone> {
        self.raft
            .append_entries(request)
            .await
            .map_err(|error| gone(&error))
    }

    /// INVARIANT: a voter that was started again votes for nobody as long as a leader may count on a vote that it gave
    /// before: openraft keeps the vote over a restart, but not until when it is good. A leader that asks for its own
    /// replacement counts on nothing. Tested by `a_voter_that_was_started_again_waits`.
    async fn vote(&self, request: VoteRequest<Types>, pre: bool) -> Result<VoteResponse<Types>, Gone> {
        if Instant::now() < self.votes_from && !request.leadership_transfer {
            return Err(Gone("this voter was started again and does not vote yet".into()));
        }
        let voted = match pre {
            true => self.raft.pre_vote(request).await,
            false => self.raft.vote(request).await,
        };
        voted.map_err(|error| gone(&error))
    }

    async fn transfer(
        &self,
        request: TransferLeaderRequest<Types>,
    ) -> Result<TransferLeaderResponse<Types>, Gone> {
        let transferred = self.raft.handle_transfer_leader(request).await;
        transferred.map_err(|error| gone(&error))
    }

    async fn install(&self, vote: Vote, file: SnapshotFile) -> Result<SnapshotResponse<Types>, Gone> {
        let meta = file.meta().map_err(|error| gone(&error))?;
        let snapshot = SnapshotOf::<Types, SnapshotFile> { meta, snapshot: file };
        let installed = self.raft.install_full_snapshot(vote, snapshot).await;
        installed.map_err(|error| gone(&error))
    }

    async fn read_index(&self, question: ReadIndex) -> Result<ReadAt, Gone> {
        self.read_at(question).await.map_err(|error: Error| gone(&error))
    }

    async fn join(&self, join: Join) -> Result<Joined, Gone> {
        self.take_in(join).await.map_err(|error| gone(&error))
    }
}
