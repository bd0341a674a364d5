//! What groups answered to `list databases`: one list for each look at a group, and none for each of its databases.

use crate::cache::ObjectKey;
use orion_api::admin::Database as Made;
use orion_api::client::{Client, Error};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Groups that are ready are looked at more often: an older list is of one that does not answer.
const AGE_MAX: Duration = Duration::from_secs(60);

/// The databases of one group by their names.
#[derive(Debug)]
pub(super) struct Catalog {
    listed: Instant,
    databases: Mutex<HashMap<String, Arc<Made>>>,
}

impl Catalog {
    async fn list(client: &Client, group: &str) -> Result<Catalog, Error> {
        let listed = Instant::now();
        let all = client.all_databases(false).await?;
        let of_group = all.into_iter().filter(|made| made.group.as_str() == group);
        let by_name = of_group.map(|made| (made.name.to_string(), Arc::new(made)));
        Ok(Catalog {
            listed,
            databases: Mutex::new(by_name.collect()),
        })
    }

    /// One of them.
    pub(super) fn get(&self, name: &str) -> Option<Arc<Made>> {
        let databases = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        databases.get(name).cloned()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<Made>> {
        let databases = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        databases.values().cloned().collect()
    }

    /// One that the group answered with since.
    pub(super) fn note(&self, made: &Made) {
        let mut databases = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        databases.insert(made.name.to_string(), Arc::new(made.clone()));
    }
}

type Slot = Arc<tokio::sync::Mutex<Option<Arc<Catalog>>>>;

/// Of all groups.
#[derive(Default)]
pub(super) struct Catalogs {
    slots: Mutex<HashMap<ObjectKey, Slot>>,
}

impl Catalogs {
    fn slot(&self, group: &ObjectKey) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(group.clone()).or_default())
    }

    /// Lists anew. Returns what was known before, too.
    pub(super) async fn refresh(
        &self,
        group: &ObjectKey,
        client: &Client,
    ) -> Result<(Arc<Catalog>, Option<Arc<Catalog>>), Error> {
        let slot = self.slot(group);
        let mut slot = slot.lock().await;
        let catalog = Arc::new(Catalog::list(client, &group.name).await?);
        let before = slot.replace(Arc::clone(&catalog));
        Ok((catalog, before))
    }

    /// The last list, if it is not old; else it is listed, by one of those who ask.
    pub(super) async fn get(&self, group: &ObjectKey, client: &Client) -> Result<Arc<Catalog>, Error> {
        let slot = self.slot(group);
        let mut slot = slot.lock().await;
        if let Some(catalog) = slot.as_ref().filter(|catalog| catalog.listed.elapsed() < AGE_MAX) {
            return Ok(Arc::clone(catalog));
        }
        let catalog = Arc::new(Catalog::list(client, &group.name).await?);
        *slot = Some(Arc::clone(&catalog));
        Ok(catalog)
    }

    /// Of a group that is gone.
    pub(super) fn forget(&self, group: &ObjectKey) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.remove(group);
    }
}
