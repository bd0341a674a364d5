//! Where the leader of this node's group is, for the requests that only it can answer.

use crate::http::{Leader, Leaders};
use crate::node::Node;
use crate::peer::{Link, Peers};
use async_trait::async_trait;
use orion_api::NodeId;
use std::sync::Arc;

pub(super) struct NodeLeaders {
    node: Arc<Node>,
    peers: Arc<Peers>,
}

impl NodeLeaders {
    pub(super) fn new(node: Arc<Node>, peers: Arc<Peers>) -> NodeLeaders {
        NodeLeaders { node, peers }
    }
}

#[async_trait]
impl Leaders for NodeLeaders {
    fn leader(&self) -> Leader {
        match self.node.group.leader() {
            Some(leader) if leader == self.node.id() => Leader::Here,
            Some(leader) => self.peers.links.to(leader).map_or(Leader::Nobody, Leader::There),
            None => Leader::Nobody,
        }
    }

    fn node(&self, node: NodeId) -> Option<Arc<Link>> {
        self.peers.links.to(node)
    }

    async fn changed(&self) {
        self.node.group.leader_changed().await;
    }
}
