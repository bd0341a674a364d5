//! Greetings, who is meant, and certificates.

use super::wire::{FROM, Join, Joined, KnownGroup, ReadAt, ReadIndex, TO};
use super::{Error, Gone, Member, Peers, Threads, Tls, own};
use crate::owner::Incarnation;
use crate::raft::{SnapshotFile, Types, Vote};
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use orion_api::NodeId;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A node that answers until the token is dropped, and where.
async fn peer(node: u64, dir: &Path, tls: Option<Tls>) -> (Arc<Peers>, String, tokio_util::sync::DropGuard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let own = own(NodeId(node), address.clone(), crate::entry::FORMAT_LEVEL);
    let here = tokio::runtime::Handle::current();
    let threads = Threads {
        raft: here.clone(),
        requests: here,
    };
    let peers = Peers::new(own, None, dir.join("incoming"), threads, tls).expect("peers");
    let stop = CancellationToken::new();
    tokio::spawn(Arc::clone(&peers).serve(listener, stop.clone()));
    (peers, address, stop.drop_guard())
}

#[tokio::test]
async fn peers_that_greet_know_where_the_other_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let (one, at_one, _stop) = peer(1, dir.path(), None).await;
    let (two, at_two, _stop) = peer(2, dir.path(), None).await;
    let known = one.links.greet(&at_two).await.expect("an answer");
    assert_eq!(known.own.expect("itself").node, 2);
    assert_eq!(one.links.to(NodeId(2)).expect("known").address, at_two);
    assert_eq!(two.links.to(NodeId(1)).expect("known").address, at_one);
    // What the membership said before does not take it back; what it says anew does.
    two.links.learn_from_membership(NodeId(1), "old:1");
    assert_eq!(two.links.to(NodeId(1)).expect("known").address, "old:1");
    two.links.learn_from_itself(NodeId(1), &at_one);
    two.links.learn_from_membership(NodeId(1), "old:1");
    assert_eq!(two.links.to(NodeId(1)).expect("known").address, at_one);
}

#[tokio::test]
async fn a_call_for_another_node_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let (one, _, _stop) = peer(1, dir.path(), None).await;
    let (_two, at_two, _stop) = peer(2, dir.path(), None).await;
    // Node 3 was there before, as far as node 1 knows.
    one.links.learn_from_membership(NodeId(3), &at_two);
    let link = one.links.to(NodeId(3)).expect("known");
    let group = "default".parse().expect("a name");
    let request = link.request(Some((&group, Incarnation(1))), ReadIndex::default());
    assert!(request.metadata().contains_key(FROM) && request.metadata().contains_key(TO));
    let refused = link
        .control
        .clone()
        .read_index(request)
        .await
        .expect_err("refused");
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "{refused}");
    one.links.learn_from_itself(NodeId(2), &at_two);
    let link = one.links.to(NodeId(2)).expect("known");
    let request = link.request(Some((&group, Incarnation(1))), ReadIndex::default());
    let unknown = link
        .control
        .clone()
        .read_index(request)
        .await
        .expect_err("no such group");
    assert_eq!(unknown.code(), tonic::Code::NotFound, "{unknown}");
}

/// An authority and a node's certificate of it.
fn certificates(dir: &Path, name: &str) -> Tls {
    let own = |what: &str| dir.join(format!("{name}-{what}.pem"));
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().expect("a key");
    let authority = params.self_signed(&authority_key).expect("an authority");
    let issuer = Issuer::new(params, authority_key);
    let key = KeyPair::generate().expect("a key");
    let node = CertificateParams::new(vec!["orion-peer".to_owned()]).expect("parameters");
    let node = node.signed_by(&key, &issuer).expect("a certificate");
    for (what, pem) in [
        ("ca", authority.pem()),
        ("node", node.pem()),
        ("key", key.serialize_pem()),
    ] {
        std::fs::write(own(what), pem).expect("written");
    }
    Tls::read(&own("ca"), &own("node"), &own("key")).expect("read")
}

#[tokio::test]
async fn only_nodes_of_the_same_authority_speak_with_each_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let (ours, theirs) = (
        certificates(dir.path(), "ours"),
        certificates(dir.path(), "theirs"),
    );
    let (one, _, _stop) = peer(1, dir.path(), Some(ours.clone())).await;
    let (_two, at_two, _stop) = peer(2, dir.path(), Some(ours)).await;
    let (other, at_other, _stop) = peer(3, dir.path(), Some(theirs)).await;
    let (plain, _, _stop) = peer(4, dir.path(), None).await;
    one.links.greet(&at_two).await.expect("the same authority");
    let refused = |answer: Result<super::wire::Known, Error>| assert!(answer.is_err(), "{answer:?}");
    refused(one.links.greet(&at_other).await);
    refused(other.links.greet(&at_two).await);
    refused(plain.links.greet(&at_two).await);
}

#[tokio::test]
async fn a_call_of_another_incarnation_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let (one, _, _stop) = peer(1, dir.path(), None).await;
    let (two, at_two, _stop) = peer(2, dir.path(), None).await;
    let group = "default".parse().expect("a name");
    two.register(&group, Arc::new(InIncarnation(2)));
    one.links.learn_from_itself(NodeId(2), &at_two);
    let link = one.links.to(NodeId(2)).expect("known");
    let own = link.request(Some((&group, Incarnation(2))), ReadIndex::default());
    let answered = link.control.clone().read_index(own).await;
    assert_eq!(
        answered.expect_err("it has no leader").code(),
        tonic::Code::Unavailable
    );
    let request = link.request(Some((&group, Incarnation(1))), ReadIndex::default());
    let refused = link
        .control
        .clone()
        .read_index(request)
        .await
        .expect_err("refused");
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "{refused}");
}

/// A member of a group in this incarnation, which answers nothing else.
struct InIncarnation(u64);

fn nothing<T>() -> Result<T, Gone> {
    Err(Gone("it only has an incarnation".into()))
}

#[async_trait]
impl Member for InIncarnation {
    fn incarnation(&self) -> Incarnation {
        Incarnation(self.0)
    }

    fn known(&self) -> KnownGroup {
        KnownGroup::default()
    }

    fn append(
        &self,
        _: BoxStream<'static, AppendEntriesRequest<Types>>,
    ) -> BoxStream<'static, Result<StreamAppendResult<Types>, Gone>> {
        futures::stream::empty().boxed()
    }

    async fn append_one(&self, _: AppendEntriesRequest<Types>) -> Result<AppendEntriesResponse<Types>, Gone> {
        nothing()
    }

    async fn vote(&self, _: VoteRequest<Types>, _: bool) -> Result<VoteResponse<Types>, Gone> {
        nothing()
    }

    async fn transfer(&self, _: TransferLeaderRequest<Types>) -> Result<TransferLeaderResponse<Types>, Gone> {
        nothing()
    }

    async fn install(&self, _: Vote, _: SnapshotFile) -> Result<SnapshotResponse<Types>, Gone> {
        nothing()
    }

    async fn read_index(&self, _: ReadIndex) -> Result<ReadAt, Gone> {
        nothing()
    }

    async fn join(&self, _: Join) -> Result<Joined, Gone> {
        nothing()
    }
}
