//! The watches that fill the caches, one for each kind and namespace. What comes of them wakes the object that it belongs to,
//! by its labels.

use super::store::{Entry, Listing, ObjectKey, Store};
use super::{Caches, MachineSeen, NamespaceSeen, Scope, Target, Wake};
use crate::names;
use futures::StreamExt;
use futures::future::BoxFuture;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    ConfigMap, Namespace, Node, PersistentVolumeClaim, Pod, PodSpec, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use orion_crds::{Database, ReplicationGroup};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

/// Objects in one answer of a list.
const PAGE: u32 = 500;

/// Annotation of kubectl: the whole object once more.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

struct Watches {
    caches: Arc<Caches>,
    client: Client,
    wake: Wake,
    /// Watches whose first list has not ended.
    missing: Arc<AtomicUsize>,
    synced: Arc<watch::Sender<bool>>,
    running: Vec<BoxFuture<'static, ()>>,
}

pub(super) async fn run(caches: Arc<Caches>, client: Client, wake: Wake, synced: watch::Sender<bool>) {
    let mut watches = Watches {
        caches: Arc::clone(&caches),
        client,
        wake,
        missing: Arc::default(),
        synced: Arc::new(synced),
        running: Vec::new(),
    };
    let members = watcher::Config::default().labels(names::GROUP).page_size(PAGE);
    let ours = format!("app.kubernetes.io/managed-by={}", names::MANAGER);
    let ours = watcher::Config::default().labels(&ours).page_size(PAGE);
    let all = watcher::Config::default().page_size(PAGE);
    watches.full(&all, |caches| &caches.groups, strip::<ReplicationGroup>);
    watches.full(&all, |caches| &caches.databases, strip::<Database>);
    watches.full(&members, |caches| &caches.sets, strip_set);
    watches.full(&members, |caches| &caches.pods, strip_pod);
    watches.full(&members, |caches| &caches.claims, strip::<PersistentVolumeClaim>);
    watches.metadata::<Service>(&ours, |caches| &caches.services);
    watches.metadata::<ConfigMap>(&ours, |caches| &caches.config_maps);
    watches.metadata::<ServiceAccount>(&ours, |caches| &caches.accounts);
    watches.metadata::<PodDisruptionBudget>(&ours, |caches| &caches.budgets);
    watches.metadata::<NetworkPolicy>(&ours, |caches| &caches.policies);
    watches.metadata::<Secret>(&all, |caches| &caches.secrets);
    if caches.scope == Scope::Cluster {
        watches.namespaces(&all);
        watches.machines(&all);
    }
    futures::future::join_all(watches.running).await;
}

impl Watches {
    fn scopes(&self) -> Vec<Option<String>> {
        match &self.caches.scope {
            Scope::Cluster => vec![None],
            Scope::Namespaces(names) => names.iter().cloned().map(Some).collect(),
        }
    }

    fn api<K>(&self, namespace: Option<&str>) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match namespace {
            None => Api::all(self.client.clone()),
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
        }
    }

    /// Keeps whole objects, but for what `strip` takes away.
    fn full<K>(&mut self, config: &watcher::Config, store: fn(&Caches) -> &Store<K>, strip: fn(&mut K))
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + Sync
            + 'static,
    {
        for namespace in self.scopes() {
            let events = watcher(self.api::<K>(namespace.as_deref()), config.clone());
            let keep = move |mut object: K| {
                strip(&mut object);
                let key = ObjectKey::of(object.meta());
                (key, Entry::new(&object.meta().clone(), object))
            };
            self.follow(events, namespace, store, keep, target::<K>);
        }
    }

    /// Keeps who owns an object, and its version.
    fn metadata<K>(&mut self, config: &watcher::Config, store: fn(&Caches) -> &Store<()>)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + Sync
            + 'static,
    {
        for namespace in self.scopes() {
            let events = watcher(
                self.api::<PartialObjectMeta<K>>(namespace.as_deref()),
                config.clone(),
            );
            let keep = |object: PartialObjectMeta<K>| {
                let metadata = object.meta();
                (ObjectKey::of(metadata), Entry::new(metadata, ()))
            };
            self.follow(events, namespace, store, keep, |object| labelled(object.meta()));
        }
    }

    fn namespaces(&mut self, config: &watcher::Config) {
        let events = watcher(
            Api::<PartialObjectMeta<Namespace>>::all(self.client.clone()),
            config.clone(),
        );
        let keep = |object: PartialObjectMeta<Namespace>| {
            let metadata = object.meta();
            let seen = NamespaceSeen {
                labels: metadata.labels.clone().unwrap_or_default(),
                is_terminating: metadata.deletion_timestamp.is_some(),
            };
            (ObjectKey::of(metadata), Entry::new(metadata, seen))
        };
        self.follow(events, None, |caches| &caches.namespaces, keep, |_| None);
    }

    /// Who is on a machine that goes is looked at soon: its pods are not ready.
    fn machines(&mut self, config: &watcher::Config) {
        let events = watcher(Api::<Node>::all(self.client.clone()), config.clone());
        let keep = |node: Node| {
            let seen = MachineSeen::of(&node);
            (ObjectKey::of(&node.metadata), Entry::new(&node.metadata, seen))
        };
        self.follow(events, None, |caches| &caches.machines, keep, |_| None);
    }

    fn follow<K, T>(
        &mut self,
        events: impl futures::Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
        namespace: Option<String>,
        store: fn(&Caches) -> &Store<T>,
        keep: impl Fn(K) -> (ObjectKey, Entry<T>) + Send + 'static,
        target: fn(&K) -> Option<Target>,
    ) where
        K: Resource<DynamicType = ()> + Clone + Send + 'static,
        T: Send + Sync + 'static,
    {
        let (caches, wake) = (Arc::clone(&self.caches), Arc::clone(&self.wake));
        let (missing, synced) = (Arc::clone(&self.missing), Arc::clone(&self.synced));
        missing.fetch_add(1, Ordering::SeqCst);
        self.running.push(Box::pin(async move {
            let mut events = Box::pin(events.default_backoff());
            let (mut listing, mut is_first) = (Listing::default(), true);
            while let Some(event) = events.next().await {
                let event = match event {
                    Ok(event) => event,
                    Err(error) => {
                        tracing::warn!(%error, kind = %K::kind(&()), "a watch failed; it begins anew");
                        continue;
                    }
                };
                let concerned = match &event {
                    Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) => target(object),
                    Event::Init | Event::InitDone => None,
                };
                let has_listed = listing.apply(store(&caches), namespace.as_deref(), event, &keep);
                if let Some(target) = concerned {
                    wake(target);
                }
                if has_listed && std::mem::take(&mut is_first) && missing.fetch_sub(1, Ordering::SeqCst) == 1
                {
                    // Nobody may be interested any more.
                    let _ = synced.send(true);
                }
            }
        }));
    }
}

/// Whose look it concerns.
fn target<K: Resource<DynamicType = ()>>(object: &K) -> Option<Target> {
    match K::kind(&()).as_ref() {
        "ReplicationGroup" => Some(Target::Group(ObjectKey::of(object.meta()))),
        "Database" => Some(Target::Database(ObjectKey::of(object.meta()))),
        _ => labelled(object.meta()),
    }
}

fn labelled(metadata: &ObjectMeta) -> Option<Target> {
    let labels = metadata.labels.as_ref()?;
    let namespace = metadata.namespace.as_deref()?;
    let named = |label: &str| Some(ObjectKey::new(namespace, labels.get(label)?));
    named(names::GROUP)
        .map(Target::Group)
        .or_else(|| named(names::DATABASE).map(Target::Database))
}

pub(super) fn strip<K: Resource<DynamicType = ()>>(object: &mut K) {
    let metadata = object.meta_mut();
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
}

pub(super) fn strip_set(set: &mut StatefulSet) {
    strip(set);
    if let Some(spec) = &mut set.spec {
        spec.template = Default::default();
    }
}

fn strip_pod(pod: &mut Pod) {
    strip(pod);
    let machine = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    pod.spec = Some(PodSpec {
        node_name: machine,
        ..PodSpec::default()
    });
}
