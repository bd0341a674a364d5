//! Connections to peers, and where the peers are.
//!
//! An address is known from the group's membership, and from the node itself, which greets its peers when it starts. What the
//! node says counts until the membership says something new: after all nodes were started again with other
//! addresses, the membership is out of date, and a leader who could change it cannot be elected over it.
//!
//! A connection is made when it is needed, and again when it broke; the name in its address is resolved anew each time.

use super::generated::peer_client::PeerClient;
use super::wire::{FROM, GROUP, Hello, INCARNATION, Known, PROTOCOL, TO};
use super::{Error, Threads, Tls};
use crate::owner::Incarnation;
use orion_api::{GroupName, NodeId};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(1);

/// A connection with calls under way is probed so often, and is lost without an answer in twice that time: TCP alone would wait
/// for minutes for a peer that was cut off. Connections for requests are probed also while idle, so that none is sent
/// where nobody can say whether it arrived; those of Raft have heartbeats.
const PROBE: Duration = Duration::from_millis(500);

/// What may be under way on a log connection before the follower takes it.
const WINDOW: u32 = 4 << 20;

/// The largest message. An entry is at most a bit more than 1 MiB, unless a keyed request makes a larger one.
pub(super) const MESSAGE_BYTES_MAX: usize = 320 << 20;

/// Connections of this node to the others.
#[derive(Debug)]
pub(crate) struct Links {
    own: Hello,
    /// Where connections come from; none: as the system has it.
    source: Option<IpAddr>,
    threads: Threads,
    tls: Option<Tls>,
    known: Mutex<HashMap<u64, Place>>,
}

/// Where a peer is.
#[derive(Debug, Default)]
struct Place {
    /// By the group's membership, when it last said something new.
    in_membership: String,
    link: Option<Arc<Link>>,
}

/// Connections to one peer at one address.
#[derive(Debug)]
pub(crate) struct Link {
    /// Where it is.
    pub(crate) address: String,
    from: AsciiMetadataValue,
    to: AsciiMetadataValue,
    /// For what is urgent and small.
    pub(crate) control: PeerClient<Channel>,
    /// For entries.
    pub(crate) log: PeerClient<Channel>,
    /// For what is large.
    pub(crate) bulk: PeerClient<Channel>,
}

impl Links {
    pub(super) fn new(own: Hello, source: Option<IpAddr>, threads: Threads, tls: Option<Tls>) -> Links {
        Links {
            own,
            source,
            threads,
            tls,
            known: Mutex::default(),
        }
    }

    /// The connections to a peer, if it is known where that is.
    pub(crate) fn to(&self, node: NodeId) -> Option<Arc<Link>> {
        self.known.lock().get(&node.0)?.link.clone()
    }

    /// The group's membership says where a node is.
    pub(crate) fn learn_from_membership(&self, node: NodeId, address: &str) {
        let known = &mut *self.known.lock();
        let place = known.entry(node.0).or_default();
        if place.in_membership != address {
            place.in_membership = address.to_owned();
            self.place(place, node, address);
        }
    }

    /// A node says where it is.
    pub(crate) fn learn_from_itself(&self, node: NodeId, address: &str) {
        let known = &mut *self.known.lock();
        self.place(known.entry(node.0).or_default(), node, address);
    }

    fn place(&self, place: &mut Place, node: NodeId, address: &str) {
        if node.0 == self.own.node || address.is_empty() {
            return;
        }
        if place.link.as_ref().is_some_and(|link| link.address == address) {
            return;
        }
        match self.link(Some(node), address) {
            Ok(link) => {
                tracing::info!(peer = %node, address, "a peer is here");
                place.link = Some(Arc::new(link));
            }
            Err(error) => {
                tracing::warn!(peer = %node, address, %error, "the address of a peer is not usable")
            }
        }
    }

    /// Greets whoever is at `address`, and remembers it.
    pub(crate) async fn greet(&self, address: &str) -> Result<Known, Error> {
        let link = self.link(None, address)?;
        let call = |detail: String| Error::Call {
            address: address.to_owned(),
            detail,
        };
        let greeting = link.request(None, self.own.clone());
        let answer = tokio::time::timeout(CONNECT, link.control.clone().hello(greeting))
            .await
            .map_err(|_| call("no answer in time".into()))?
            .map_err(|status| call(status.message().to_owned()))?;
        let known = answer.into_inner();
        let own = known
            .own
            .as_ref()
            .ok_or_else(|| call("it does not say who it is".into()))?;
        if own.protocol != PROTOCOL {
            let detail = format!(
                "release {} speaks protocol {}, this one {PROTOCOL}",
                own.release, own.protocol
            );
            return Err(call(detail));
        }
        self.learn_from_itself(NodeId(own.node), &own.address);
        Ok(known)
    }

    fn link(&self, node: Option<NodeId>, address: &str) -> Result<Link, Error> {
        let unusable = |error: tonic::transport::Error| Error::Call {
            address: address.to_owned(),
            detail: crate::causes::text(&error),
        };
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
            .map_err(unusable)?
            .connect_timeout(CONNECT)
            .local_address(self.source)
            .tcp_nodelay(true)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .http2_keep_alive_interval(PROBE)
            .keep_alive_timeout(PROBE);
        if let Some(tls) = &self.tls {
            endpoint = endpoint.tls_config(tls.client()).map_err(unusable)?;
        }
        let always_probed = endpoint.clone().keep_alive_while_idle(true);
        let client = |threads: &Handle, endpoint: &Endpoint| {
            // A connection belongs to the threads that made it.
            let _on_these = threads.enter();
            PeerClient::new(endpoint.connect_lazy())
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX)
        };
        Ok(Link {
            address: address.to_owned(),
            from: id_text(self.own.node),
            to: id_text(node.map_or(0, |node| node.0)),
            control: client(&self.threads.raft, &endpoint),
            log: client(&self.threads.raft, &endpoint),
            bulk: client(&self.threads.requests, &always_probed),
        })
    }
}

impl Link {
    /// A call about `group` for this very peer.
    pub(crate) fn request<T>(
        &self,
        group: Option<(&GroupName, Incarnation)>,
        message: T,
    ) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert(FROM, self.from.clone());
        metadata.insert(TO, self.to.clone());
        if let Some((group, incarnation)) = group
            && let Ok(group) = AsciiMetadataValue::try_from(group.as_str())
        {
            metadata.insert(GROUP, group);
            metadata.insert(INCARNATION, AsciiMetadataValue::from(incarnation.0));
        }
        request
    }
}

/// A node id as it stands in metadata.
fn id_text(node: u64) -> AsciiMetadataValue {
    let text = NodeId(node).to_string();
    // Sixteen digits are ASCII.
    AsciiMetadataValue::try_from(text).unwrap_or_else(|_| AsciiMetadataValue::from(node))
}
