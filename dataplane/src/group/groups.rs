//! The groups that this node is a member of. The first is its home: the one that its configuration names `group`.
//!
//! INVARIANT: a name means one database. Names are given out by the object store, for all groups that share it
//! ([`crate::owner`]), so at most one group has a database of a name that is served.

use super::{Database, Group};
use arc_swap::ArcSwap;
use futures::future;
use orion_api::GroupName;
use parking_lot::Mutex;
use std::sync::Arc;

/// All of them. They come while the node starts and when somebody makes one, and stay until it stops.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    all: ArcSwap<Vec<Arc<Group>>>,
    adding: Mutex<()>,
}

impl Groups {
    /// One more.
    pub(crate) fn add(&self, group: Arc<Group>) {
        let _one = self.adding.lock();
        let mut all = self.all().to_vec();
        all.push(group);
        self.all.store(Arc::new(all));
    }

    /// The home first.
    pub(crate) fn all(&self) -> Arc<Vec<Arc<Group>>> {
        self.all.load_full()
    }

    /// A served database by name, and its group.
    pub(crate) fn find(&self, name: &str) -> Option<(Arc<Group>, Arc<Database>)> {
        let all = self.all.load();
        all.iter().find_map(|group| {
            let database = group.catalog.find(name)?;
            Some((Arc::clone(group), database))
        })
    }

    /// A group by name.
    pub(crate) fn get(&self, name: &GroupName) -> Option<Arc<Group>> {
        self.all.load().iter().find(|group| group.name == *name).cloned()
    }

    /// Bytes of all overlays of all groups.
    pub(crate) fn overlay_bytes(&self) -> u64 {
        let all = self.all.load();
        all.iter().map(|group| group.catalog.overlay_bytes()).sum()
    }

    /// Of those that this node leads: only their overlays it can make smaller. Those of the others are bounded where they are led.
    pub(crate) fn led_overlay_bytes(&self) -> u64 {
        let all = self.all.load();
        let led = all.iter().filter(|group| group.serves());
        led.map(|group| group.catalog.overlay_bytes()).sum()
    }

    /// Waits until `condition` holds; looks whenever any of the groups applied something.
    pub(crate) async fn wait_applied(&self, condition: impl Fn() -> bool) {
        let all = self.all();
        let waits = all.iter().map(|group| Box::pin(group.wait_applied(&condition)));
        future::select_all(waits).await;
    }
}
