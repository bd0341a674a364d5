//! All chains of one object store, and the making of a database's first entries.

use super::{Claim, Error, NameClaim, Owner};
use crate::store::Store;
use orion_api::DatabaseName;

/// The owner and name chains of one object store. Cheap to clone, keeps nothing in memory.
#[derive(Clone, Debug)]
pub struct Chains(Store);

/// What came of creating a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Decides: anything but [`NameClaim::Won`] means that there is no new database.
    pub name: NameClaim,
    /// The first epoch. Always won or already ours for an id that is fresh.
    pub owner: Claim,
}

impl Chains {
    /// Sends nothing.
    pub fn new(store: Store) -> Chains {
        Chains(store)
    }

    /// Claims the name and the first epoch of a new database, both at once: see the head of this module. May be
    /// repeated with the same id and operation until its outcome is known.
    pub async fn create(&self, name: &DatabaseName, first: &Owner) -> Result<Created, Error> {
        let named = self.claim_name(name, first.database, first.operation);
        let (name, owner) = tokio::try_join!(named, self.claim(first))?;
        Ok(Created { name, owner })
    }

    pub(super) fn store(&self) -> &Store {
        &self.0
    }
}
