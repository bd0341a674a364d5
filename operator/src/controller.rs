//! The loops: objects change, and are looked at anew.

use crate::effects::{Endpoint, Error, Shared, Writes, reconcile_database, reconcile_group};
use crate::metrics::{Kind, Metrics};
use crate::names;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use orion_crds::{Database, ReplicationGroup};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Objects of a kind that are looked at at a time.
const CONCURRENCY: u16 = 16;

/// What the operator is started with.
pub struct Settings {
    /// The image of groups that name none.
    pub image: String,
    /// Where nodes are asked.
    pub endpoint: Endpoint,
    /// Counts what is written; tests limit it.
    pub writes: Arc<Writes>,
    /// Counts what is done.
    pub metrics: Arc<Metrics>,
}

/// The admin API of a pod, by its address.
pub fn endpoint_by_address(pod: &Pod) -> Option<String> {
    let address = pod.status.as_ref()?.pod_ip.as_ref()?;
    let host = if address.contains(':') {
        format!("[{address}]")
    } else {
        address.clone()
    };
    Some(format!("http://{host}:{}", names::HTTP_PORT))
}

/// Runs until `stop`; what is under way is ended first.
pub async fn run(client: Client, settings: Settings, stop: CancellationToken) {
    let groups = Controller::new(
        Api::<ReplicationGroup>::all(client.clone()),
        watcher::Config::default(),
    );
    let databases = Controller::new(Api::<Database>::all(client.clone()), watcher::Config::default());
    let shared = Arc::new(Shared {
        client: client.clone(),
        image: settings.image,
        endpoint: settings.endpoint,
        databases: databases.store(),
        groups: groups.store(),
        writes: settings.writes,
        metrics: settings.metrics,
    });
    let ours = watcher::Config::default().labels(names::GROUP);
    let of_databases = watcher::Config::default().labels(names::DATABASE);
    let of_group = Arc::clone(&shared);
    let groups = groups
        .with_config(Config::default().concurrency(CONCURRENCY))
        .owns(Api::<StatefulSet>::all(client.clone()), ours.clone())
        .owns(Api::<Service>::all(client.clone()), ours.clone())
        .watches(Api::<Pod>::all(client.clone()), ours, |pod: Pod| {
            let group = pod.labels().get(names::GROUP)?;
            Some(ObjectRef::new(group).within(pod.namespace().as_deref()?))
        })
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(group_step, again_group, Arc::clone(&shared))
        .for_each(|_| futures::future::ready(()));
    let databases = databases
        .with_config(Config::default().concurrency(CONCURRENCY))
        // Not Secrets: a watch of them would need the right to read all of the cluster's. They are put right at the next look.
        .owns(Api::<Service>::all(client.clone()), of_databases)
        .watches(
            Api::<ReplicationGroup>::all(client),
            watcher::Config::default(),
            move |group: ReplicationGroup| refer_to(&of_group, &group),
        )
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(database_step, again_database, shared)
        .for_each(|_| futures::future::ready(()));
    futures::future::join(groups.boxed(), databases.boxed()).await;
}

/// The databases that are not ready, of a group that changed: they may wait for it.
fn refer_to(shared: &Shared, group: &ReplicationGroup) -> Vec<ObjectRef<Database>> {
    let (name, namespace) = (group.name_any(), group.namespace());
    let databases = shared.databases.state();
    let waiting = databases.iter().filter(|database| {
        let present = crate::plan::present_group(database);
        let phase = database.status.as_ref().and_then(|status| status.phase);
        present.name == name
            && present.namespace == namespace
            && phase != Some(orion_crds::database::Phase::Ready)
    });
    waiting
        .map(|database| ObjectRef::from_obj(database.as_ref()))
        .collect()
}

async fn group_step(group: Arc<ReplicationGroup>, shared: Arc<Shared>) -> Result<Action, Error> {
    let begun = Instant::now();
    let done = reconcile_group(&shared, &group).await;
    shared.metrics.looked(Kind::Group, begun.elapsed(), done.is_ok());
    Ok(Action::requeue(done?))
}

async fn database_step(database: Arc<Database>, shared: Arc<Shared>) -> Result<Action, Error> {
    let begun = Instant::now();
    let done = reconcile_database(&shared, &database).await;
    shared
        .metrics
        .looked(Kind::Database, begun.elapsed(), done.is_ok());
    Ok(Action::requeue(done?))
}

fn again_group(group: Arc<ReplicationGroup>, error: &Error, _: Arc<Shared>) -> Action {
    tracing::warn!(%error, group = group.name_any(), "not carried out; it is tried again");
    Action::requeue(Duration::from_secs(1))
}

fn again_database(database: Arc<Database>, error: &Error, _: Arc<Shared>) -> Action {
    tracing::warn!(%error, database = database.name_any(), "not carried out; it is tried again");
    Action::requeue(Duration::from_secs(1))
}
