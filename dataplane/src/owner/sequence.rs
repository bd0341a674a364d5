//! Numbered objects below one path, each written once: what both kinds of chain are made of.

use super::{Error, record};
use crate::store::{PutOutcome, Store};
use object_store::path::Path;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// One chain of entries of type `T`.
pub(super) struct Sequence<'a, T> {
    store: &'a Store,
    path: Path,
    entries: std::marker::PhantomData<T>,
}

/// What happened to an entry that was to be added.
pub(super) enum Added<T> {
    /// It is there, by this call.
    Now,
    /// It is there, by an earlier call or attempt; there may be higher ones by now.
    Before,
    /// Another one has the number.
    Occupied(T),
}

impl<'a, T: Serialize + DeserializeOwned> Sequence<'a, T> {
    pub(super) fn new(store: &'a Store, path: Path) -> Sequence<'a, T> {
        Sequence {
            store,
            path,
            entries: std::marker::PhantomData,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// One request if the number is free.
    pub(super) async fn add(&self, number: u64, entry: &T) -> Result<Added<T>, Error> {
        let path = self.entry(number);
        let content = record::encode(&path, entry);
        match self.store.put_if_absent(&path, content).await? {
            PutOutcome::Created => Ok(Added::Now),
            PutOutcome::Ours => Ok(Added::Before),
            PutOutcome::Exists(found) => Ok(Added::Occupied(record::decode(&path, &found)?)),
        }
    }

    /// One request.
    pub(super) async fn get(&self, number: u64) -> Result<Option<T>, Error> {
        let path = self.entry(number);
        match self.store.get(&path).await? {
            Some(found) => Ok(Some(record::decode(&path, &found)?)),
            None => Ok(None),
        }
    }

    /// The highest entry and its number: a list (one request up to 1,000 entries) and a read.
    pub(super) async fn highest(&self) -> Result<Option<(u64, T)>, Error> {
        let paths = self.store.list(&self.path).await?;
        let numbers = paths.iter().filter_map(|path| path.filename()?.parse().ok());
        let Some(number) = numbers.max() else {
            return Ok(None);
        };
        // Listed and gone: a purge is under way.
        Ok(self.get(number).await?.map(|entry| (number, entry)))
    }

    /// The highest entry above `number`, if there is one: one request if there is none, which is the usual answer.
    pub(super) async fn above(&self, number: u64) -> Result<Option<T>, Error> {
        let mut found = None;
        let mut next = number + 1;
        while let Some(entry) = self.get(next).await? {
            found = Some(entry);
            next += 1;
        }
        Ok(found)
    }

    fn entry(&self, number: u64) -> Path {
        self.path.clone().join(format!("{number:020}"))
    }
}
