//! The loops: what changes is queued, and looked at anew. The watches run from the start, so that a replica that takes over
//! has everything; looks are made only by the one that acts.

mod queue;

use crate::cache::{Caches, ObjectKey, Scope, Target, Wake};
use crate::effects::{Endpoint, Error, Events, Shared, Writes, reconcile_database, reconcile_group};
use crate::metrics::{Kind, Metrics};
use crate::names;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use orion_crds::database::Phase;
use queue::{Outcome, Queue};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Objects of a kind that are looked at at a time.
const CONCURRENCY: usize = 16;

/// What is under way when a stop is asked for has so long to end.
const END_TIME_MAX: Duration = Duration::from_secs(20);

/// What the operator is started with.
pub struct Settings {
    /// The image of groups that name none.
    pub image: String,
    /// Which namespaces are looked at.
    pub scope: Scope,
    /// Where nodes are asked.
    pub endpoint: Endpoint,
    /// Counts what is written; tests limit it.
    pub writes: Arc<Writes>,
    /// Counts what is done.
    pub metrics: Arc<Metrics>,
    /// The way for Events: with a pace of its own, so that they take nothing from the writes that make objects.
    pub events: Client,
    /// Who this is, in Events.
    pub identity: String,
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

/// Objects that wait for a look.
#[derive(Default)]
pub struct Queues {
    groups: Queue<ObjectKey>,
    databases: Queue<ObjectKey>,
}

impl Queues {
    /// How many of a kind wait and could be looked at now.
    pub fn depth(&self, kind: Kind) -> usize {
        match kind {
            Kind::Group => self.groups.depth(),
            Kind::Database => self.databases.depth(),
        }
    }
}

/// The operator, which watches from its start.
pub struct Controller {
    shared: Arc<Shared>,
    queues: Arc<Queues>,
    synced: watch::Receiver<bool>,
    watching: JoinHandle<()>,
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl Controller {
    /// Begins to watch.
    pub fn start(client: Client, settings: Settings) -> Controller {
        let caches = Arc::new(Caches::of(settings.scope));
        let queues = Arc::new(Queues::default());
        let wake = wake(&caches, &queues);
        let (sender, synced) = watch::channel(false);
        let filling = Arc::clone(&caches).run(client.clone(), Arc::clone(&wake), sender);
        let (events, telling) = Events::new(settings.events, &settings.identity);
        let watching = tokio::spawn(async move {
            tokio::join!(filling, telling);
        });
        let shared = Shared {
            client,
            image: settings.image,
            endpoint: settings.endpoint,
            caches,
            wake,
            writes: settings.writes,
            metrics: settings.metrics,
            events,
            kept: Default::default(),
        };
        Controller {
            shared: Arc::new(shared),
            queues,
            synced,
            watching,
        }
    }

    /// What the watches have.
    pub fn caches(&self) -> &Arc<Caches> {
        &self.shared.caches
    }

    /// What waits.
    pub fn queues(&self) -> &Arc<Queues> {
        &self.queues
    }

    /// Waits until everything was listed once.
    pub async fn synced(&self) {
        // The sender lives as long as the watches.
        let _ = self.synced.clone().wait_for(|is_synced| *is_synced).await;
    }

    /// Looks at objects until `stop`; what is under way is ended first, between two actions at the latest.
    pub async fn work(&self, stop: &CancellationToken) {
        self.synced().await;
        let groups = Worker {
            kind: Kind::Group,
            queue: &self.queues.groups,
            metrics: &self.shared.metrics,
        };
        let databases = Worker {
            kind: Kind::Database,
            queue: &self.queues.databases,
            metrics: &self.shared.metrics,
        };
        let looks_at_groups = groups.run(stop, |key| group(Arc::clone(&self.shared), key));
        let looks_at_databases = databases.run(stop, |key| database(Arc::clone(&self.shared), key));
        tokio::join!(looks_at_groups, looks_at_databases);
    }
}

/// A change of an object asks for a look at it, and one of a group for a look at those that wait for it.
fn wake(caches: &Arc<Caches>, queues: &Arc<Queues>) -> Wake {
    let (caches, queues) = (Arc::downgrade(caches), Arc::clone(queues));
    Arc::new(move |target| match target {
        Target::Database(key) => queues.databases.add(key),
        Target::Group(key) => {
            let caches = caches.upgrade();
            for (database, object) in caches.iter().flat_map(|caches| caches.databases_of(&key)) {
                let phase = object.status.as_ref().and_then(|status| status.phase);
                if phase != Some(Phase::Ready) {
                    queues.databases.add(database);
                }
            }
            queues.groups.add(key);
        }
    })
}

async fn group(shared: Arc<Shared>, key: ObjectKey) -> Result<Option<Duration>, Error> {
    match shared.caches.groups.get(&key) {
        Some(group) => reconcile_group(&shared, &group).await.map(Some),
        None => Ok(None),
    }
}

async fn database(shared: Arc<Shared>, key: ObjectKey) -> Result<Option<Duration>, Error> {
    match shared.caches.databases.get(&key) {
        Some(database) => reconcile_database(&shared, &database).await.map(Some),
        None => Ok(None),
    }
}

/// Looks at the objects of one kind.
struct Worker<'a> {
    kind: Kind,
    queue: &'a Queue<ObjectKey>,
    metrics: &'a Metrics,
}

type Looked = (ObjectKey, Duration, Result<Option<Duration>, Error>);

impl Worker<'_> {
    async fn run<F>(&self, stop: &CancellationToken, look: impl Fn(ObjectKey) -> F)
    where
        F: Future<Output = Result<Option<Duration>, Error>> + Send + 'static,
    {
        // Those that are under way end with this future.
        let mut under_way: JoinSet<Looked> = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(looked) = under_way.join_next() => self.ended(looked),
                (key, waited) = self.queue.next(), if under_way.len() < CONCURRENCY => {
                    self.metrics.waited(self.kind, waited);
                    let (begun, looks) = (Instant::now(), look(key.clone()));
                    under_way.spawn(async move {
                        let result = looks.await;
                        (key, begun.elapsed(), result)
                    });
                }
            }
        }
        let end = async {
            while let Some(looked) = under_way.join_next().await {
                self.ended(looked);
            }
        };
        if tokio::time::timeout(END_TIME_MAX, end).await.is_err() {
            tracing::warn!(kind = ?self.kind, "looks did not end in time and were given up");
        }
    }

    fn ended(&self, looked: Result<Looked, tokio::task::JoinError>) {
        let (key, time, result) = match looked {
            Ok(looked) => looked,
            // Which object it was is lost with it. To go on would be to leave that one alone for ever, without a word.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => return,
            },
        };
        self.metrics.looked(self.kind, time, result.is_ok());
        let outcome = match result {
            Ok(Some(again)) => Outcome::Again(again),
            Ok(None) => Outcome::Gone,
            Err(error) => {
                tracing::warn!(%error, kind = ?self.kind, object = %key, "not carried out; it is tried again");
                Outcome::Failed
            }
        };
        self.queue.done(&key, outcome);
    }
}
