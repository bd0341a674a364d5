//! `/metrics` for Prometheus. Names: `orion_operator_<noun>_<unit>[_total]`. Labels are bounded: kind, action, verb, code,
//! phase; never an object's name.

mod state;

pub use state::State;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::fmt;
use std::time::Duration;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// ReplicationGroups.
    Group,
    /// Databases.
    Database,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Group => "ReplicationGroup",
            Kind::Database => "Database",
        }
    }
}

impl EncodeLabelValue for Kind {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        EncodeLabelValue::encode(&self.name(), encoder)
    }
}

/// One kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfKind {
    /// Which.
    pub kind: Kind,
}

/// Looks by what came of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Looks {
    /// Of which kind.
    pub kind: Kind,
    /// `ok` or `error`.
    pub result: &'static str,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Actions {
    /// Of which kind.
    pub kind: Kind,
    /// The action's name in the code.
    pub action: &'static str,
}

/// Requests to the API server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Requests {
    /// The method of HTTP; `WATCH` for those that stay open.
    pub verb: &'static str,
    /// The status; 0 where there was no answer.
    pub code: u16,
}

/// Buckets of seconds: from a look at caches to a server that hardly answers.
#[derive(Clone, Copy, Debug)]
pub struct Seconds;

impl MetricConstructor<Histogram> for Seconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0])
    }
}

/// Seconds by kind.
pub type SecondsOf = Family<OfKind, Histogram, Seconds>;

/// All that is counted.
pub struct Metrics {
    /// Looks that ended.
    pub reconciles: Family<Looks, Counter>,
    /// How long looks took.
    pub reconcile_seconds: SecondsOf,
    /// How long objects waited after their time had come.
    pub queue_seconds: SecondsOf,
    /// Actions that were begun.
    pub actions: Family<Actions, Counter>,
    /// Requests to the API server.
    pub requests: Family<Requests, Counter>,
    /// Writes that wait for their turn.
    pub writes_waiting: Gauge,
    /// 1 on the replica that acts.
    pub leader: Gauge,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            reconciles: Family::default(),
            reconcile_seconds: Family::new_with_constructor(Seconds),
            queue_seconds: Family::new_with_constructor(Seconds),
            actions: Family::default(),
            requests: Family::default(),
            writes_waiting: Gauge::default(),
            leader: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Counts a look that ended.
    pub(crate) fn looked(&self, kind: Kind, time: Duration, is_ok: bool) {
        let result = if is_ok { "ok" } else { "error" };
        self.reconciles.get_or_create(&Looks { kind, result }).inc();
        self.reconcile_seconds
            .get_or_create(&OfKind { kind })
            .observe(time.as_secs_f64());
    }

    /// Counts how long an object waited after its time had come.
    pub(crate) fn waited(&self, kind: Kind, time: Duration) {
        self.queue_seconds
            .get_or_create(&OfKind { kind })
            .observe(time.as_secs_f64());
    }

    /// Counts an action that begins.
    pub(crate) fn acts(&self, kind: Kind, action: &'static str) {
        self.actions.get_or_create(&Actions { kind, action }).inc();
    }

    /// A registry with all of them.
    pub fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("orion_operator");
        registry.register(
            "reconciles",
            "Looks at objects that ended",
            self.reconciles.clone(),
        );
        let seconds = &self.reconcile_seconds;
        registry.register("reconcile_seconds", "How long looks took", seconds.clone());
        let help = "How long objects waited after their time had come";
        registry.register("queue_seconds", help, self.queue_seconds.clone());
        registry.register("actions", "Actions that were begun", self.actions.clone());
        let help = "Requests to the API server, by status; 0 where there was no answer";
        registry.register("api_requests", help, self.requests.clone());
        let help = "Writes to the API server that wait for their turn";
        registry.register("api_writes_waiting", help, self.writes_waiting.clone());
        registry.register("leader", "1 on the replica that acts", self.leader.clone());
        registry
    }
}
