//! Object stores: opened by URL, counted, with errors as kinds and a put-if-absent that survives lost replies.
//!
//! What it is not: it knows no layout of objects beyond the names of areas, which metrics need. `base` keeps
//! pages in it, `owner` keeps the chains in it, the log archive will keep entries in it.
//!
//! INVARIANT: no decision here or above is taken from the text of an error. What the stores report is mapped
//! to a [`Kind`] from types alone; what no type tells apart counts as unavailable, because asking again is safe
//! for every operation of this module and wrong data is not.

mod config;
mod credentials;
mod directory;
mod error;
mod health;
mod metered;
mod metrics;
mod put_if_absent;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::sync::Arc;
use std::time::Duration;

pub use config::{Config, ConfigError, Credentials, Retry, Secret};
pub use credentials::CredentialsError;
pub use error::{Corruption, Error, Kind};
pub use metrics::{Area, Count, Metrics, Operation};
pub use put_if_absent::PutOutcome;

use metered::Metered;

/// How long the object store has to say why a list failed.
const EXPLANATION: Duration = Duration::from_secs(2);

/// A handle to one root in one object store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    metrics: Arc<Metrics>,
    timeout: Duration,
}

impl Store {
    /// Opens the store that `config` names. Sends no request, except that `file://` creates its directory.
    pub fn open(config: &Config) -> Result<Store, ConfigError> {
        let mut store = Store::wrap(config::open(config)?);
        store.timeout = config.retry.total;
        Ok(store)
    }

    /// A new, empty store in memory: for tests and for servers whose data may vanish.
    pub fn memory() -> Store {
        Store::wrap(Arc::new(object_store::memory::InMemory::new()))
    }

    /// Counts what goes to `objects`, which must be able to put if absent and to put if matching.
    pub fn wrap(objects: Arc<dyn ObjectStore>) -> Store {
        let metrics = Arc::new(Metrics::default());
        Store {
            objects: Arc::new(Metered::new(objects, metrics.clone())),
            metrics,
            timeout: Retry::default().total,
        }
    }

    /// The counted object store itself.
    pub fn objects(&self) -> Arc<dyn ObjectStore> {
        self.objects.clone()
    }

    /// What was asked of this store so far.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The whole object, or `None` if there is none. One request.
    pub async fn get(&self, path: &Path) -> Result<Option<Bytes>, Error> {
        let read = async {
            match self.objects.get(path).await {
                Ok(found) => found.bytes().await.map(Some),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.bounded(path, read).await
    }

    /// Paths of the objects directly or indirectly below `prefix`, ordered. One request per 1,000 objects.
    pub async fn list(&self, prefix: &Path) -> Result<Vec<Path>, Error> {
        let list = async {
            let listed = self.objects.list(Some(prefix));
            listed.map_ok(|meta| meta.location).try_collect().await
        };
        let mut paths: Vec<Path> = self.listed(prefix, list).await?;
        paths.sort();
        Ok(paths)
    }

    /// Paths below `prefix` that come after `after` and that `keep` takes, ordered. One request per 1,000 objects behind
    /// `after`; a local directory is walked as a whole.
    pub async fn list_after(
        &self,
        prefix: &Path,
        after: &Path,
        keep: impl Fn(&Path) -> bool + Send,
    ) -> Result<Vec<Path>, Error> {
        let list = async {
            let listed = self.objects.list_with_offset(Some(prefix), after);
            let paths = listed.map_ok(|meta| meta.location);
            paths
                .try_filter(|path| std::future::ready(keep(path)))
                .try_collect()
                .await
        };
        let mut paths: Vec<Path> = self.listed(prefix, list).await?;
        paths.sort();
        Ok(paths)
    }

    /// Writes `content` unless the object exists; see [`PutOutcome`]. Safe to repeat with the same content.
    pub async fn put_if_absent(&self, path: &Path, content: Bytes) -> Result<PutOutcome, Error> {
        put_if_absent::put_if_absent(self, path, content).await
    }

    /// Deletes these objects, those that are gone already too; S3 takes 1,000 a request, others ten at a time.
    pub async fn delete_all(&self, paths: Vec<Path>) -> Result<(), Error> {
        let Some(first) = paths.first().cloned() else {
            return Ok(());
        };
        let paths = futures::stream::iter(paths.into_iter().map(Ok));
        let mut deleted = self.objects.delete_stream(Box::pin(paths));
        loop {
            match deleted.try_next().await {
                Ok(Some(_)) | Err(object_store::Error::NotFound { .. }) => {}
                Ok(None) => return Ok(()),
                Err(error) => return Err(Error::new(&first, error)),
            }
        }
    }

    /// What a list gave. Clients do not say of a list that it was refused, only that it failed; a read is refused by type. So
    /// after a list that failed one object is asked for, which need not be there.
    async fn listed<T>(
        &self,
        prefix: &Path,
        list: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Error> {
        let failure = match self.bounded(prefix, list).await {
            Err(failure) if failure.kind() == Kind::Unavailable => failure,
            other => return other,
        };
        let asked = tokio::time::timeout(EXPLANATION, self.objects.get(&prefix.clone().join("any"))).await;
        match asked {
            Ok(Err(error)) if Kind::of(&error) == Kind::Denied => Err(failure.of_kind(Kind::Denied)),
            _ => Err(failure),
        }
    }

    /// LIMIT: a local directory and the memory store have no time-out of their own, and a remote one has only
    /// that of single attempts; this bounds the whole operation with its retries.
    async fn bounded<T>(
        &self,
        path: &Path,
        operation: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.timeout, operation).await {
            Ok(outcome) => outcome.map_err(|error| Error::new(path, error)),
            Err(_) => Err(Error::timed_out(path, self.timeout)),
        }
    }
}

#[cfg(test)]
mod tests;
