//! The objects of one incarnation, as a chain.

use super::Error;
use super::object::{self, Life, Object};
use crate::store::{PutOutcome, Store};
use bytes::Bytes;
use object_store::path::Path;

/// One incarnation's objects in one store. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) store: Store,
    pub(crate) life: Life,
}

impl Chain {
    /// First indexes of the objects that begin at `from` or later and that `keep` takes, in order. A list.
    pub(crate) async fn firsts(
        &self,
        from: u64,
        keep: impl Fn(u64) -> bool + Send + Sync,
    ) -> Result<Vec<u64>, Error> {
        let root = self.life.path();
        // What begins at `from` comes after this; 0 has nothing before it.
        let after = match from.checked_sub(1) {
            Some(before) => self.life.object(before),
            None => root.clone(),
        };
        let depth = root.parts().count() + 1;
        let first = |path: &Path| match path.parts().count() == depth {
            true => path.filename()?.parse().ok(),
            false => None,
        };
        let is_kept = |path: &Path| first(path).is_some_and(&keep);
        let paths = self.store.list_after(&root, &after, is_kept).await?;
        Ok(paths.iter().filter_map(first).collect())
    }

    /// The object that begins at `first`, if there is one.
    pub(crate) async fn get(&self, first: u64) -> Result<Option<Object>, Error> {
        match self.store.get(&self.life.object(first)).await? {
            Some(found) => self.decode(first, found).await.map(Some),
            None => Ok(None),
        }
    }

    /// Puts an object that begins at `first`; answers what was there before it, if anything other was.
    pub(crate) async fn put(&self, first: u64, content: Bytes) -> Result<Option<Object>, Error> {
        match self
            .store
            .put_if_absent(&self.life.object(first), content)
            .await?
        {
            PutOutcome::Created | PutOutcome::Ours => Ok(None),
            PutOutcome::Exists(found) => self.decode(first, found).await.map(Some),
        }
    }

    /// Checksums of megabytes are not for a thread that serves connections.
    async fn decode(&self, first: u64, found: Bytes) -> Result<Object, Error> {
        let life = self.life.clone();
        let decoded = tokio::task::spawn_blocking(move || object::decode(&life, first, &found));
        decoded.await.map_err(|_| Error::Stopped)?
    }

    /// Lets objects go that hold nothing behind `index`.
    pub(crate) async fn delete_upto(&self, index: u64) -> Result<u64, Error> {
        let next = index.saturating_add(1);
        let mut firsts = self.firsts(0, |first| first <= next).await?;
        // The newest of these may reach beyond: unless one begins right behind the index.
        if firsts.last() != Some(&next) {
            firsts.pop();
        }
        firsts.retain(|first| *first < next);
        let many = firsts.len() as u64;
        let paths = firsts.into_iter().map(|first| self.life.object(first)).collect();
        self.store.delete_all(paths).await?;
        Ok(many)
    }
}
