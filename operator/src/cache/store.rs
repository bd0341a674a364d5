//! Objects of one kind as the watch has them, and as this process wrote them itself.
//!
//! INVARIANT: what this process wrote is seen by its next look: the server's answer to a write goes into the store, and an
//! older version that the watch brings later does not replace it. So a number that was written into a status is never
//! read back as free. Tested by `an_own_write_is_not_undone_by_an_older_event`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::watcher::Event;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Name of an object in its namespace; the namespace is empty for objects of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// From both.
    pub fn new(namespace: &str, name: &str) -> ObjectKey {
        ObjectKey {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Of an object.
    pub fn of(metadata: &ObjectMeta) -> ObjectKey {
        ObjectKey::new(
            metadata.namespace.as_deref().unwrap_or_default(),
            metadata.name.as_deref().unwrap_or_default(),
        )
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Hash of what an object is to be.
pub type Content = [u8; 16];

/// An object, or what is kept of it.
#[derive(Debug)]
pub struct Entry<T> {
    /// Identity.
    pub uid: String,
    /// The server's version of it.
    pub version: u64,
    /// Identity of its controller.
    pub owner: Option<String>,
    /// Whether it is being deleted.
    pub is_terminating: bool,
    /// What is kept.
    pub value: Arc<T>,
    /// What this very version was found to hold.
    holds: Mutex<Option<Content>>,
}

impl<T> Entry<T> {
    /// Of an object's metadata.
    pub fn new(metadata: &ObjectMeta, value: T) -> Entry<T> {
        let owners = metadata.owner_references.iter().flatten();
        let mut owners = owners.filter(|owner| owner.controller == Some(true));
        Entry {
            uid: metadata.uid.clone().unwrap_or_default(),
            version: version(metadata),
            owner: owners.next().map(|owner| owner.uid.clone()),
            is_terminating: metadata.deletion_timestamp.is_some(),
            value: Arc::new(value),
            holds: Mutex::new(None),
        }
    }

    /// Whether this very version is known to hold that content.
    pub fn holds(&self, content: &Content) -> bool {
        *self.holds.lock().unwrap_or_else(PoisonError::into_inner) == Some(*content)
    }

    fn is_replaced_by(&self, other: &Entry<T>) -> bool {
        self.uid != other.uid || self.version < other.version || self.version == 0
    }
}

/// The server's version as a number. It grows with each write of the whole cluster.
pub fn version(metadata: &ObjectMeta) -> u64 {
    let version = metadata.resource_version.as_deref();
    version.and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// All objects of a kind.
#[derive(Debug)]
pub struct Store<T> {
    entries: RwLock<HashMap<ObjectKey, Arc<Entry<T>>>>,
}

impl<T> Default for Store<T> {
    fn default() -> Store<T> {
        Store {
            entries: RwLock::default(),
        }
    }
}

impl<T> Store<T> {
    fn read(&self) -> RwLockReadGuard<'_, HashMap<ObjectKey, Arc<Entry<T>>>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<ObjectKey, Arc<Entry<T>>>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of them.
    pub fn entry(&self, key: &ObjectKey) -> Option<Arc<Entry<T>>> {
        self.read().get(key).cloned()
    }

    /// What is kept of one of them.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<T>> {
        self.read().get(key).map(|entry| Arc::clone(&entry.value))
    }

    /// All that are wanted, in no order.
    pub fn all(&self, mut is_wanted: impl FnMut(&ObjectKey, &T) -> bool) -> Vec<(ObjectKey, Arc<T>)> {
        let entries = self.read();
        let wanted = entries.iter().filter(|(key, entry)| is_wanted(key, &entry.value));
        wanted
            .map(|(key, entry)| (key.clone(), Arc::clone(&entry.value)))
            .collect()
    }

    /// Looks at each of them.
    pub fn for_each(&self, mut look: impl FnMut(&ObjectKey, &T)) {
        for (key, entry) in self.read().iter() {
            look(key, &entry.value);
        }
    }

    /// An object as the watch has it, or as the server answered to a write.
    pub fn put(&self, key: ObjectKey, entry: Entry<T>) {
        let mut entries = self.write();
        if entries.get(&key).is_none_or(|there| there.is_replaced_by(&entry)) {
            entries.insert(key, Arc::new(entry));
        }
    }

    /// An object that is gone. Another one of its name stays.
    pub fn gone(&self, key: &ObjectKey, uid: &str) {
        let mut entries = self.write();
        if entries.get(key).is_some_and(|there| there.uid == uid) {
            entries.remove(key);
        }
    }

    /// Notes that this version of an object holds that content.
    pub fn verified(&self, key: &ObjectKey, version: u64, content: Content) {
        if let Some(entry) = self.read().get(key).filter(|entry| entry.version == version) {
            *entry.holds.lock().unwrap_or_else(PoisonError::into_inner) = Some(content);
        }
    }
}

/// What a watch of one namespace, or of all, has listed so far: what is not among it at its end is gone.
#[derive(Debug, Default)]
pub struct Listing {
    seen: Option<Vec<ObjectKey>>,
}

impl Listing {
    /// Takes an event of a watch of `namespace` (None: all). Returns whether a list has ended with it.
    pub fn apply<K, T>(
        &mut self,
        store: &Store<T>,
        namespace: Option<&str>,
        event: Event<K>,
        keep: impl Fn(K) -> (ObjectKey, Entry<T>),
    ) -> bool {
        match event {
            Event::Init => self.seen = Some(Vec::new()),
            Event::InitApply(object) => {
                let (key, entry) = keep(object);
                self.seen.get_or_insert_default().push(key.clone());
                store.put(key, entry);
            }
            Event::InitDone => {
                let seen: std::collections::HashSet<ObjectKey> =
                    self.seen.take().unwrap_or_default().into_iter().collect();
                let is_ours = |key: &ObjectKey| namespace.is_none_or(|namespace| key.namespace == namespace);
                store.write().retain(|key, _| !is_ours(key) || seen.contains(key));
                return true;
            }
            Event::Apply(object) => {
                let (key, entry) = keep(object);
                store.put(key, entry);
            }
            Event::Delete(object) => {
                let (key, entry) = keep(object);
                store.gone(&key, &entry.uid);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(uid: &str, version: u64) -> (ObjectKey, Entry<u64>) {
        let metadata = ObjectMeta {
            name: Some("x".into()),
            namespace: Some("ns".into()),
            uid: Some(uid.into()),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        };
        (ObjectKey::of(&metadata), Entry::new(&metadata, version))
    }

    fn seen(store: &Store<u64>) -> Option<u64> {
        store.get(&ObjectKey::new("ns", "x")).map(|value| *value)
    }

    #[test]
    fn an_own_write_is_not_undone_by_an_older_event() {
        let (store, mut listing) = (Store::default(), Listing::default());
        let (key, written) = entry("a", 7);
        store.put(key.clone(), written);
        listing.apply(&store, None, Event::Apply(("a", 6)), |(uid, version)| {
            entry(uid, version)
        });
        assert_eq!(seen(&store), Some(7));
        listing.apply(&store, None, Event::Apply(("a", 8)), |(uid, version)| {
            entry(uid, version)
        });
        assert_eq!(seen(&store), Some(8));
        // The end of an earlier one of this name is not the end of this one.
        listing.apply(&store, None, Event::Delete(("z", 3)), |(uid, version)| {
            entry(uid, version)
        });
        assert_eq!(seen(&store), Some(8));
        listing.apply(&store, None, Event::Delete(("a", 9)), |(uid, version)| {
            entry(uid, version)
        });
        assert_eq!(seen(&store), None);
    }

    #[test]
    fn what_a_new_list_does_not_have_is_gone_in_its_namespace_only() {
        let (store, mut listing) = (Store::default(), Listing::default());
        let (key, there) = entry("a", 1);
        store.put(key, there);
        for (namespace, left) in [(Some("other"), Some(1)), (Some("ns"), None)] {
            assert!(!listing.apply(&store, namespace, Event::Init, |(): ()| entry("a", 1)));
            assert!(listing.apply(&store, namespace, Event::InitDone, |(): ()| entry("a", 1)));
            assert_eq!(seen(&store), left, "{namespace:?}");
        }
    }

    #[test]
    fn what_was_verified_is_forgotten_with_the_next_version() {
        let store = Store::default();
        let (key, first) = entry("a", 1);
        store.put(key.clone(), first);
        store.verified(&key, 1, [1; 16]);
        assert!(store.entry(&key).is_some_and(|entry| entry.holds(&[1; 16])));
        assert!(!store.entry(&key).is_some_and(|entry| entry.holds(&[2; 16])));
        store.put(key.clone(), entry("a", 2).1);
        assert!(!store.entry(&key).is_some_and(|entry| entry.holds(&[1; 16])));
        store.verified(&key, 1, [1; 16]);
        assert!(
            !store.entry(&key).is_some_and(|entry| entry.holds(&[1; 16])),
            "of an older version"
        );
    }
}
