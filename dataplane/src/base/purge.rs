//! The end of a dropped database: every object below its path.

use super::Error;
use crate::store::Store;
use object_store::path::Path;
use orion_api::DatabaseId;

/// CRASH: the owner chain, whose last entry is the tombstone, goes last: as long as anything is left, it says
/// why, and the purge is repeated.
pub(super) async fn purge(store: &Store, database: DatabaseId) -> Result<(), Error> {
    let root = Path::from(format!("db/{database}"));
    let owner = root.clone().join("owner");
    let all = store.list(&root).await?;
    let (chain, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|path| path.prefix_matches(&owner));
    store.delete_all(rest).await?;
    Ok(store.delete_all(chain).await?)
}
