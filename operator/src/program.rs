//! The program from its start to its end: kinds are there, caches are filled, the Lease is held, objects are looked at. A
//! stop ends what is under way between two actions, and gives the Lease up.

use crate::api::{Bucket, counted, measured};
use crate::cache::Scope;
use crate::controller::{Controller, Settings, endpoint_by_address};
use crate::effects::Writes;
use crate::lease::{Election, Gate, Times};
use crate::metrics::{Metrics, State};
use crate::names;
use crate::probes::{Readiness, router};
use crate::schema;
use anyhow::{Context, Result};
use kube::{Api, Client};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How often installed kinds are looked at until they are right.
const KINDS_AGAIN: Duration = Duration::from_secs(2);

/// Most Events in a second; what is too much waits, and is left out in the end.
const EVENTS_PER_SECOND: u32 = 25;

/// What the program is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The image of groups that name none.
    pub image: String,
    /// Where the probes are.
    pub listen: SocketAddr,
    /// Which namespaces are looked at.
    pub scope: Scope,
    /// The Lease; None: it is alone.
    pub election: Option<ElectionOptions>,
    /// Most writes to the API server in a second.
    pub writes_per_second: u32,
}

/// Which Lease, and who wants it.
#[derive(Clone, Debug)]
pub struct ElectionOptions {
    /// Namespace of the Lease; None: the client's own.
    pub namespace: Option<String>,
    /// Name of the Lease.
    pub name: String,
    /// Who this is: no two replicas have the same.
    pub identity: String,
}

/// Runs until `stop`. An error where it cannot go on, such as when the Lease is lost: then the process must end.
pub async fn operate(client: Client, options: Options, stop: CancellationToken) -> Result<()> {
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("cannot listen on {}", options.listen))?;
    let address = listener.local_addr()?;
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "the operator has started");
    let metrics = Arc::new(Metrics::default());
    let (readiness, state) = (Readiness::default(), State::default());
    let mut registry = metrics.registry();
    registry.register_collector(Box::new(state.clone()));
    let routes = router(readiness.clone(), registry);
    let work = work(client, &options, metrics, (readiness, state), &stop);
    // Until the very end: who stops is alive.
    tokio::select! {
        worked = work => worked,
        ended = axum::serve(listener, routes).into_future() => Ok(ended?),
    }
}

async fn work(
    client: Client,
    options: &Options,
    metrics: Arc<Metrics>,
    (readiness, state): (Readiness, State),
    stop: &CancellationToken,
) -> Result<()> {
    let counted = counted(&client, Arc::clone(&metrics));
    if !kinds_are_right(&counted, &readiness, stop).await {
        return Ok(());
    }
    let gate = match options.election {
        Some(_) => Gate::closed(),
        None => Gate::always(),
    };
    let bucket = Arc::new(Bucket::new(options.writes_per_second));
    let pace = Arc::new(Bucket::new(EVENTS_PER_SECOND));
    let events = measured(&client, Arc::clone(&metrics), pace, gate.clone());
    let measured = measured(&client, Arc::clone(&metrics), bucket, gate.clone());
    let identity = options
        .election
        .as_ref()
        .map(|election| election.identity.clone());
    let settings = Settings {
        image: options.image.clone(),
        scope: options.scope.clone(),
        endpoint: Arc::new(endpoint_by_address),
        writes: Arc::new(Writes::through(gate.clone())),
        metrics: Arc::clone(&metrics),
        events,
        identity: identity.unwrap_or_else(|| names::MANAGER.to_owned()),
    };
    let controller = Controller::start(measured, settings);
    state.shows(controller.caches(), controller.queues());
    readiness.set(Some("the first lists have not ended yet".into()));
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        () = controller.synced() => readiness.set(None),
    }
    let Some(wish) = &options.election else {
        metrics.leader.set(1);
        controller.work(stop).await;
        return Ok(());
    };
    let namespace = wish.namespace.as_deref().unwrap_or(client.default_namespace());
    let election = Election {
        api: Api::namespaced(counted, namespace),
        name: wish.name.clone(),
        identity: wish.identity.clone(),
        times: Times::default(),
        gate,
    };
    let Some(mut held) = election.acquire(stop).await else {
        return Ok(());
    };
    metrics.leader.set(1);
    // Renewed until all that is under way has ended.
    tokio::select! {
        lost = held.keep() => return Err(lost.into()),
        () = controller.work(stop) => {}
    }
    metrics.leader.set(0);
    held.release().await;
    Ok(())
}

/// Waits until the installed kinds are those of this release. False: stopped before.
async fn kinds_are_right(client: &Client, readiness: &Readiness, stop: &CancellationToken) -> bool {
    loop {
        match schema::trouble(client).await {
            Ok(None) => return true,
            Ok(Some(trouble)) => {
                tracing::warn!(trouble, "waiting for the kinds");
                readiness.set(Some(trouble));
            }
            Err(error) => {
                tracing::warn!(%error, "the installed kinds could not be looked at");
                readiness.set(Some(format!("the API server: {error}")));
            }
        }
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(KINDS_AGAIN) => {}
        }
    }
}
