//! A point in a database's history whose pages stay readable.

use orion_api::{DatabaseId, Epoch, Version};
use serde::{Deserialize, Serialize};
use slatedb::VersionedManifest;
use uuid::Uuid;

/// Names the pages of `database` exactly as of (`epoch`, `version`), held by a SlateDB checkpoint without expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Whose pages.
    pub database: DatabaseId,
    /// The epoch under whose path they are.
    pub epoch: Epoch,
    /// The last version in them.
    pub version: Version,
    /// SlateDB's id of the checkpoint. Two checkpoints of one version have different ids and equal pages.
    pub id: Uuid,
}

/// `e<epoch>-v<version>`: for people who look into a manifest, and for finding orphans after a crash.
pub(super) fn name(epoch: Epoch, version: Version) -> String {
    format!("e{epoch}-v{version}")
}

/// The checkpoints in a manifest that [`name`] named.
pub(super) fn all_in(manifest: &VersionedManifest, database: DatabaseId, epoch: Epoch) -> Vec<Checkpoint> {
    let ours = manifest.checkpoints().iter().filter_map(|found| {
        Some(Checkpoint {
            database,
            epoch,
            version: version_in(found.name.as_deref()?, epoch)?,
            id: found.id,
        })
    });
    ours.collect()
}

/// The version in a name that [`name`] made for this epoch.
fn version_in(name: &str, epoch: Epoch) -> Option<Version> {
    let version = name.strip_prefix(&format!("e{epoch}-v"))?;
    version.parse().ok().map(Version)
}
