//! How nodes speak with each other: gRPC, for all groups that two nodes share.
//!
//! To each peer there are three connections, so that what is urgent never stands behind what is large: *control* (heartbeats,
//! votes, read indexes, hand-overs), *log* (streams of entries), and *bulk* (snapshots, forwarded requests).
//!
//! Peers are known by their ids. An id belongs to a disk and never changes, the address of a node may: it comes from the
//! group's membership, and from the node itself when it greets (`links.rs`). Each call names the node that it means.
//!
//! INVARIANT: a node answers only calls that are meant for it. An address that another node has now would otherwise give
//! its votes and its log positions for those of the one that was there. Tested by `a_call_for_another_node_is_refused`.
//! INVARIANT: members of different incarnations of a group refuse each other: to one that was recovered the old members are
//! strangers. Tested by `a_call_of_another_incarnation_is_refused`.

mod counters;
mod forward;
mod generated;
mod links;
mod member;
mod network;
mod service;
mod snapshot;
#[cfg(test)]
mod tests;
mod tls;
pub(crate) mod wire;

pub(crate) use counters::Counters;
pub use forward::Elsewhere;
pub(crate) use forward::{Forwarded, NotDone, PassError, pass_on};
pub(crate) use links::{Link, Links};
pub(crate) use member::{Gone, Member};
pub(crate) use network::Network;
pub use tls::{Tls, TlsError};

use orion_api::{GroupName, NodeId};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::{Hello, KnownGroup, PROTOCOL};

/// Whose threads do what.
#[derive(Clone, Debug)]
pub(crate) struct Threads {
    /// Entries, heartbeats, votes: a connection of another runtime would be one more hand-over between threads each way.
    pub(crate) raft: Handle,
    /// Requests of clients, which must not keep heartbeats waiting.
    pub(crate) requests: Handle,
}

/// This node among its peers: what it answers, and its connections.
pub(crate) struct Peers {
    own: Hello,
    members: RwLock<BTreeMap<String, Arc<dyn Member>>>,
    /// Connections to the others.
    pub(crate) links: Links,
    /// Where snapshots lie while they arrive.
    incoming: PathBuf,
    /// Answers requests of clients that other nodes pass on.
    router: OnceLock<axum::Router>,
    /// Those that are being answered; closed when the node stops.
    forwarded: TaskTracker,
    threads: Threads,
    pub(crate) counters: Counters,
    tls: Option<Tls>,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers")
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

/// Why nodes cannot speak with each other.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address for peers cannot be listened on.
    #[error("cannot listen for peers on {address}; is another server running there?")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The certificates do not serve.
    #[error("the certificates for peers")]
    Tls(#[from] TlsError),
    /// A call did not come through.
    #[error("{address}: {detail}")]
    Call {
        /// Who was called.
        address: String,
        /// What came back instead of an answer.
        detail: String,
    },
}

/// What this release says of the node that it runs: `address` is where peers reach it.
pub(crate) fn own(node: NodeId, address: String, format_level: u32) -> Hello {
    Hello {
        protocol: PROTOCOL,
        node: node.0,
        address,
        release: env!("CARGO_PKG_VERSION").to_owned(),
        format_level,
    }
}

impl Peers {
    /// Nobody is connected yet. `source` is whence this node calls its peers, `incoming` a folder of its own.
    pub(crate) fn new(
        own: Hello,
        source: Option<IpAddr>,
        incoming: PathBuf,
        threads: Threads,
        tls: Option<Tls>,
    ) -> Result<Arc<Peers>, Error> {
        Ok(Arc::new(Peers {
            links: Links::new(own.clone(), source, threads.clone(), tls.clone()),
            own,
            members: RwLock::default(),
            incoming,
            router: OnceLock::new(),
            forwarded: TaskTracker::new(),
            threads,
            counters: Counters::default(),
            tls,
        }))
    }

    /// Calls about this group are answered by `member` from now on.
    pub(crate) fn register(&self, group: &GroupName, member: Arc<dyn Member>) {
        self.members.write().insert(group.to_string(), member);
    }

    /// Requests of clients that other nodes pass on are answered by `router` from now on.
    pub(crate) fn set_router(&self, router: axum::Router) {
        // Once, at the start of the server.
        let _ = self.router.set(router);
    }

    /// No more requests of clients are taken from other nodes; waits until those that were taken are answered.
    pub(crate) async fn finish_forwarded(&self) {
        self.forwarded.close();
        self.forwarded.wait().await;
    }

    /// Answers peers until `stop`.
    pub(crate) async fn serve(self: Arc<Peers>, listener: TcpListener, stop: CancellationToken) {
        if let Err(error) = service::serve(self, listener, stop).await {
            tracing::error!(
                error = crate::causes::text(&error),
                "peers are not answered any more"
            );
        }
    }

    fn member(&self, group: &str) -> Option<Arc<dyn Member>> {
        self.members.read().get(group).cloned()
    }

    fn known(&self) -> Vec<KnownGroup> {
        self.members
            .read()
            .values()
            .map(|member| member.known())
            .collect()
    }
}
