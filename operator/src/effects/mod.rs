//! What reaches outside: the API server and the nodes. It looks, lets `plan` decide, and carries out; nothing is decided
//! here. Every call can be made again after a crash in any place.

mod carry_out;
mod catalogs;
mod certificates;
mod clients;
mod database;
mod error;
mod events;
mod group;
mod keys;
mod machines;
mod nodes;
mod objects;
mod observe;
mod secrets;
mod status;
mod trouble;
mod validity;

pub use database::reconcile_database;
pub use error::Error;
pub use events::Events;
pub use group::reconcile_group;

use crate::cache::{Caches, Wake};
use crate::lease::Gate;
use crate::metrics::Metrics;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where a pod's admin API is; None while it has no address. Tests put their own nodes behind it.
pub type Endpoint = Arc<dyn Fn(&Pod) -> Option<String> + Send + Sync>;

/// What all reconciliations share.
pub struct Shared {
    /// The API server.
    pub client: Client,
    /// The image of groups that name none.
    pub image: String,
    /// Where nodes are asked.
    pub endpoint: Endpoint,
    /// What the watches have.
    pub caches: Arc<Caches>,
    /// Asks for a look at an object.
    pub wake: Wake,
    /// Counts what is written.
    pub writes: Arc<Writes>,
    /// Counts what is done.
    pub metrics: Arc<Metrics>,
    /// Tells people.
    pub events: Events,
    pub(crate) kept: Kept,
}

#[cfg(test)]
impl Shared {
    /// With empty caches.
    fn of_tests(client: Client) -> Shared {
        let (events, _) = Events::new(client.clone(), "tests");
        Shared {
            client,
            image: String::new(),
            endpoint: Arc::new(|_| None),
            caches: Arc::default(),
            wake: Arc::new(|_| {}),
            writes: Arc::new(Writes::limited(0)),
            metrics: Arc::default(),
            events,
            kept: Kept::default(),
        }
    }
}

/// What looks keep for those that follow. All of it can be lost.
#[derive(Default)]
pub(crate) struct Kept {
    secrets: secrets::Secrets,
    catalogs: catalogs::Catalogs,
    clients: clients::Clients,
}

/// Counts writes to the API server and to nodes, and lets none pass while the Gate is closed.
pub struct Writes {
    made: AtomicU64,
    most: u64,
    gate: Gate,
}

impl Writes {
    /// After `most` nothing is written any more: as if the operator were dead. 0: no limit.
    pub fn limited(most: u64) -> Writes {
        Writes {
            made: AtomicU64::new(0),
            most,
            gate: Gate::always(),
        }
    }

    /// As long as the Gate is open.
    pub fn through(gate: Gate) -> Writes {
        Writes {
            gate,
            ..Writes::limited(0)
        }
    }

    /// Counts one that is about to be made; an error where no more may be.
    pub(crate) fn next(&self) -> Result<(), Error> {
        let before = self.made.fetch_add(1, Ordering::Relaxed);
        if !self.gate.is_open() || (self.most > 0 && before >= self.most) {
            Err(Error::Stopped)
        } else {
            Ok(())
        }
    }

    /// Whether it was ended.
    pub fn is_over(&self) -> bool {
        self.most > 0 && self.made() > self.most
    }

    /// How many were made or tried.
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }
}

/// The time as conditions have it.
pub(crate) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
