//! Where the leaders of this node's groups are, for the requests that only they can answer.

use crate::http::{Leader, Leaders};
use crate::node::Node;
use crate::peer::{Link, Peers};
use async_trait::async_trait;
use orion_api::{GroupName, NodeId};
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
    fn groups(&self) -> Vec<GroupName> {
        let groups = self.node.groups.all();
        groups.iter().map(|group| group.name.clone()).collect()
    }

    fn leader(&self, group: &GroupName) -> Leader {
        let group = self.node.groups.get(group);
        match group.and_then(|group| group.leader()) {
            Some(leader) if leader == self.node.id() => Leader::Here,
            Some(leader) => self.peers.links.to(leader).map_or(Leader::Nobody, Leader::There),
            None => Leader::Nobody,
        }
    }

    fn node(&self, node: NodeId) -> Option<Arc<Link>> {
        self.peers.links.to(node)
    }

    async fn changed(&self, group: &GroupName) {
        match self.node.groups.get(group) {
            Some(group) => group.leader_changed().await,
            None => std::future::pending().await,
        }
    }
}
