//! Numbers of the groups: how far its members are, and what they are sent.

use crate::node::Node;
use openraft::ServerState;
use orion_api::NodeId;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Reads them when somebody asks.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) node: Arc<Node>,
}

impl Collector for Group {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        self.members(&mut encoder)?;
        self.sent(&mut encoder)
    }
}

impl Group {
    /// Only the leader knows; others show nothing.
    fn members(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (name, help) = (
            "orion_group_member_lacks_entries",
            "Entries that the leader has and another member has not confirmed",
        );
        let metric = ConstGauge::new(0u64);
        let mut family = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
        for group in self.node.groups.all().iter() {
            let metrics = group.metrics();
            let leads = metrics.state == ServerState::Leader;
            let newest = metrics.last_log_index.unwrap_or(0);
            let progress = metrics.replication.filter(|_| leads).unwrap_or_default();
            for (member, matched) in progress {
                if member != self.node.id().0 {
                    let lacks = newest.saturating_sub(matched.map_or(0, |id| id.index));
                    let labels = [
                        ("group", group.name.to_string()),
                        ("member", NodeId(member).to_string()),
                    ];
                    ConstGauge::new(lacks).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }

    fn sent(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(peers) = self.node.peers() else {
            return Ok(());
        };
        let (name, help) = ("orion_peer_sent_bytes", "Bytes of messages to other members");
        let metric = ConstCounter::new(0u64);
        let mut family = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
        for (kind, bytes) in [
            ("entries", &peers.counters.entries),
            ("snapshots", &peers.counters.snapshots),
        ] {
            let labels = [("kind", kind)];
            ConstCounter::new(bytes.load(Relaxed)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
