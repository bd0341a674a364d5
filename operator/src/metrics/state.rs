//! Numbers that are somebody's state: read from the caches and the queues when somebody asks.

use super::Kind;
use crate::cache::Caches;
use crate::controller::Queues;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Objects by phase, and what waits. Empty until there is something to show.
#[derive(Clone, Default)]
pub struct State {
    of: Arc<OnceLock<(Arc<Caches>, Arc<Queues>)>>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State")
    }
}

impl State {
    /// Shows these from now on.
    pub fn shows(&self, caches: &Arc<Caches>, queues: &Arc<Queues>) {
        // The first ones stay: there are no others in a process.
        let _ = self.of.set((Arc::clone(caches), Arc::clone(queues)));
    }
}

type Phases = BTreeMap<(&'static str, String), i64>;

fn phases(caches: &Caches) -> Phases {
    let mut phases = Phases::new();
    let mut count = |kind: Kind, phase: Option<String>| {
        let phase = phase.unwrap_or_else(|| "None".into());
        *phases.entry((kind.name(), phase)).or_default() += 1;
    };
    caches.groups.for_each(|_, group| {
        let phase = group.status.as_ref().and_then(|status| status.phase);
        count(Kind::Group, phase.map(|phase| format!("{phase:?}")));
    });
    caches.databases.for_each(|_, database| {
        let phase = database.status.as_ref().and_then(|status| status.phase);
        count(Kind::Database, phase.map(|phase| format!("{phase:?}")));
    });
    phases
}

impl Collector for State {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some((caches, queues)) = self.of.get() else {
            return Ok(());
        };
        let gauge = ConstGauge::new(0i64);
        let help = "Objects by what their status says";
        let mut objects = encoder.encode_descriptor("objects", help, None, gauge.metric_type())?;
        for ((kind, phase), count) in phases(caches) {
            let labels = [("kind", kind), ("phase", phase.as_str())];
            ConstGauge::new(count).encode(objects.encode_family(&labels)?)?;
        }
        let help = "Objects whose time for a look has come";
        let mut depth = encoder.encode_descriptor("queue_depth", help, None, gauge.metric_type())?;
        for kind in [Kind::Group, Kind::Database] {
            let count = i64::try_from(queues.depth(kind)).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(depth.encode_family(&[("kind", kind.name())])?)?;
        }
        Ok(())
    }
}
