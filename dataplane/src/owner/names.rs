//! The chain of a name: which database it means, over time.

use super::sequence::{Added, Sequence};
use super::{Chains, Error};
use object_store::path::Path;
use orion_api::{DatabaseId, DatabaseName};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How often others may be faster at extending a chain before we give up.
const ATTEMPTS: usize = 16;

/// One entry: from here on the name means `database`, or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: DatabaseName,
    /// `None`: released.
    database: Option<DatabaseId>,
    operation: Uuid,
    /// In a release: the operation of the claim that it ends. A late repetition of that claim must not take the name
    /// again.
    ends: Option<Uuid>,
}

/// What came of claiming a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameClaim {
    /// The name means the database now, by this claim or an earlier one.
    Won,
    /// It means another one.
    Taken(DatabaseId),
    /// This claim had won and was released since.
    Over,
}

/// What came of releasing a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRelease {
    /// The name is free, by this release or an earlier one.
    Released,
    /// It means another database, which keeps it.
    NotHeld(DatabaseId),
}

impl Chains {
    /// Makes `name` mean `database`. A name that was never used costs one request.
    pub async fn claim_name(
        &self,
        name: &DatabaseName,
        database: DatabaseId,
        operation: Uuid,
    ) -> Result<NameClaim, Error> {
        let chain = self.names(name);
        let entry = Entry {
            name: name.clone(),
            database: Some(database),
            operation,
            ends: None,
        };
        // Straight for the first number: most names were never used.
        let mut number = 1;
        for _ in 0..ATTEMPTS {
            let had_won = match chain.add(number, &entry).await? {
                Added::Now => return Ok(NameClaim::Won),
                Added::Before => true,
                Added::Occupied(_) => false,
            };
            let Some((highest, last)) = chain.highest().await? else {
                continue;
            };
            match last.database {
                Some(holder) if holder == database => return Ok(NameClaim::Won),
                Some(holder) => return Ok(NameClaim::Taken(holder)),
                None if had_won || last.ends == Some(operation) => return Ok(NameClaim::Over),
                None => number = highest + 1,
            }
        }
        Err(contended(&chain))
    }

    /// The database that `name` means. Two requests, one if it was never used.
    pub async fn resolve(&self, name: &DatabaseName) -> Result<Option<DatabaseId>, Error> {
        let highest = self.names(name).highest().await?;
        Ok(highest.and_then(|(_, entry)| entry.database))
    }

    /// Makes `name` free, if it means `database`.
    pub async fn release_name(
        &self,
        name: &DatabaseName,
        database: DatabaseId,
        operation: Uuid,
    ) -> Result<NameRelease, Error> {
        let chain = self.names(name);
        for _ in 0..ATTEMPTS {
            let Some((highest, last)) = chain.highest().await? else {
                return Ok(NameRelease::Released);
            };
            match last.database {
                None => return Ok(NameRelease::Released),
                Some(holder) if holder != database => return Ok(NameRelease::NotHeld(holder)),
                Some(_) => {}
            }
            let entry = Entry {
                name: name.clone(),
                database: None,
                operation,
                ends: Some(last.operation),
            };
            if let Added::Now | Added::Before = chain.add(highest + 1, &entry).await? {
                return Ok(NameRelease::Released);
            }
        }
        Err(contended(&chain))
    }

    fn names(&self, name: &DatabaseName) -> Sequence<'_, Entry> {
        Sequence::new(self.store(), Path::from(format!("names/{name}")))
    }
}

fn contended(chain: &Sequence<'_, Entry>) -> Error {
    Error::Contended {
        path: chain.path().clone(),
    }
}
