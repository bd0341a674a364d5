//! What the watches have: the objects of our kinds, and what belongs to them. A look reads here and asks the API server for
//! nothing that is known. Of most kinds only who owns an object and its version are kept: whether it is as it is to be is
//! found out once for each version (`effects/objects.rs`).
//!
//! LIMIT: a look sees the world as it was some milliseconds ago. What this process wrote is always seen (`store`); what
//! others did comes as another look; deletions and evictions name the identity that was seen, and Raft's membership is asked
//! for anew each time.

mod store;
mod watches;

pub use store::{Content, Entry, ObjectKey, Store, version};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use orion_crds::{Database, ReplicationGroup};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Which namespaces are looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All.
    #[default]
    Cluster,
    /// These only: a Role in each is enough.
    Namespaces(Vec<String>),
}

/// What is to be looked at because something changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A group.
    Group(ObjectKey),
    /// A database.
    Database(ObjectKey),
}

/// Told of each change.
pub type Wake = Arc<dyn Fn(Target) + Send + Sync>;

/// What is kept of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceSeen {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it is being deleted.
    pub is_terminating: bool,
}

/// What is kept of a Node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineSeen {
    /// Whether somebody said that it does not come back.
    pub is_out_of_service: bool,
}

impl MachineSeen {
    /// Of a Node, by the taint that Kubernetes has for it.
    pub fn of(node: &Node) -> MachineSeen {
        let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
        let mut taints = taints.into_iter().flatten();
        MachineSeen {
            is_out_of_service: taints.any(|taint| taint.key == OUT_OF_SERVICE),
        }
    }
}

/// Taint of a machine that does not come back.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// All that is watched.
#[derive(Default)]
pub struct Caches {
    /// Which namespaces.
    pub scope: Scope,
    /// Groups.
    pub groups: Store<ReplicationGroup>,
    /// Databases.
    pub databases: Store<Database>,
    /// StatefulSets of members, without their templates.
    pub sets: Store<StatefulSet>,
    /// Pods of members, without their specs but for the machine.
    pub pods: Store<Pod>,
    /// Disks of members.
    pub claims: Store<PersistentVolumeClaim>,
    /// Who owns the Services that are ours.
    pub services: Store<()>,
    /// Who owns the ConfigMaps that are ours.
    pub config_maps: Store<()>,
    /// Who owns the ServiceAccounts that are ours.
    pub accounts: Store<()>,
    /// Who owns the PodDisruptionBudgets that are ours.
    pub budgets: Store<()>,
    /// Who owns the NetworkPolicies that are ours.
    pub policies: Store<()>,
    /// Who owns each Secret: all of them, because people name their own ones.
    pub secrets: Store<()>,
    /// Machines; none where only some namespaces are looked at.
    pub machines: Store<MachineSeen>,
    /// Namespaces; none where only some are looked at.
    pub namespaces: Store<NamespaceSeen>,
    /// Objects of kinds that are not watched, and when they were found to be right.
    unwatched: Mutex<HashMap<Content, Instant>>,
}

/// For so long an object that is not watched is taken to be as it was found.
const UNWATCHED: Duration = Duration::from_secs(300);

/// What is kept of an object of which only the version matters.
pub enum Owned {
    /// It is not watched.
    Unwatched,
    /// There is none.
    Missing,
    /// It is there.
    There(Arc<Entry<()>>),
}

impl Caches {
    /// For these namespaces; empty until [`Caches::run`] has filled them.
    pub fn of(scope: Scope) -> Caches {
        Caches {
            scope,
            ..Caches::default()
        }
    }

    /// Watches for ever. `synced` becomes true when every first list has ended.
    pub async fn run(self: Arc<Self>, client: Client, wake: Wake, synced: watch::Sender<bool>) {
        watches::run(self, client, wake, synced).await;
    }

    fn owned(&self, kind: &str) -> Option<&Store<()>> {
        match kind {
            "Service" => Some(&self.services),
            "ConfigMap" => Some(&self.config_maps),
            "ServiceAccount" => Some(&self.accounts),
            "PodDisruptionBudget" => Some(&self.budgets),
            "NetworkPolicy" => Some(&self.policies),
            "Secret" => Some(&self.secrets),
            _ => None,
        }
    }

    /// What is known of an object of a kind of which only the version matters.
    pub(crate) fn look(&self, kind: &str, key: &ObjectKey) -> Owned {
        match self.owned(kind).map(|store| store.entry(key)) {
            None => Owned::Unwatched,
            Some(None) => Owned::Missing,
            Some(Some(entry)) => Owned::There(entry),
        }
    }

    /// An object as the server answered to a write of it, which holds that content. False: its kind is not watched.
    pub(crate) fn wrote(&self, kind: &str, metadata: &ObjectMeta, content: Content) -> bool {
        let Some(store) = self.owned(kind) else {
            return false;
        };
        let key = ObjectKey::of(metadata);
        store.put(key.clone(), Entry::new(metadata, ()));
        store.verified(&key, version(metadata), content);
        true
    }

    /// A StatefulSet as the server answered to a write of it.
    pub(crate) fn wrote_set(&self, written: serde_json::Value) -> serde_json::Result<()> {
        let mut set: StatefulSet = serde_json::from_value(written)?;
        watches::strip_set(&mut set);
        self.sets.put(
            ObjectKey::of(&set.metadata),
            Entry::new(&set.metadata.clone(), set),
        );
        Ok(())
    }

    /// A group as the server answered to a write of it.
    pub(crate) fn wrote_group(&self, mut group: ReplicationGroup) {
        watches::strip(&mut group);
        self.groups.put(
            ObjectKey::of(&group.metadata),
            Entry::new(&group.metadata.clone(), group),
        );
    }

    /// A Database as the server answered to a write of it.
    pub(crate) fn wrote_database(&self, mut database: Database) {
        watches::strip(&mut database);
        let metadata = database.metadata.clone();
        self.databases
            .put(ObjectKey::of(&metadata), Entry::new(&metadata, database));
    }

    /// Notes that an object that is not watched holds what it is to hold. The content has its name in it.
    pub(crate) fn is_right(&self, content: Content) {
        let mut unwatched = self.unwatched.lock().unwrap_or_else(PoisonError::into_inner);
        unwatched.retain(|_, time| time.elapsed() < UNWATCHED);
        unwatched.insert(content, Instant::now());
    }

    /// Whether that was noted not long ago.
    pub(crate) fn was_right(&self, content: Content) -> bool {
        let unwatched = self.unwatched.lock().unwrap_or_else(PoisonError::into_inner);
        let time = unwatched.get(&content);
        time.is_some_and(|time| time.elapsed() < UNWATCHED)
    }

    /// Databases that are in a group, or are to be.
    pub fn databases_of(&self, group: &ObjectKey) -> Vec<(ObjectKey, Arc<Database>)> {
        self.databases
            .all(|key, database| refers_to(database, &key.namespace, group))
    }
}

/// Whether a Database is in a group as far as is known: see `plan::present_group`.
fn refers_to(database: &Database, own_namespace: &str, group: &ObjectKey) -> bool {
    let status = database.status.as_ref();
    let handled = status.and_then(|status| status.handled_group_ref.as_ref());
    let present = handled.unwrap_or(&database.spec.group_ref);
    let namespace = present.namespace.as_deref().unwrap_or(own_namespace);
    present.name == group.name && namespace == group.namespace
}
