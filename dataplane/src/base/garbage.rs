//! Giving up checkpoints, and deleting what then nothing needs.

use super::bases::{Bases, bounded};
use super::{Checkpoint, Error, checkpoint};
use orion_api::{DatabaseId, Epoch};
use slatedb::admin::{Admin, AdminBuilder};
use slatedb::config::{GarbageCollectorDirectoryOptions, GarbageCollectorOptions};

pub(super) async fn delete_checkpoint(bases: &Bases, at: &Checkpoint) -> Result<(), Error> {
    let admin = admin(bases, at.database, at.epoch);
    let delete = admin.delete_checkpoint(at.id);
    let timeout = bases.0.options.write_timeout;
    match bounded((at.database, at.epoch), "deleting a checkpoint", timeout, delete).await {
        // Damage to SlateDB is also a manifest that is not there: the whole base was purged.
        Err(error @ Error::Corrupt { .. }) => match checkpoint_exists(bases, at).await {
            Ok(false) => Ok(()),
            Ok(true) | Err(_) => Err(error),
        },
        outcome => outcome,
    }
}

pub(super) async fn checkpoint_exists(bases: &Bases, at: &Checkpoint) -> Result<bool, Error> {
    let all = checkpoints(bases, at.database, at.epoch).await?;
    Ok(all.iter().any(|one| one.id == at.id))
}

/// Asks the newest manifest. One that is not there has no checkpoints.
pub(super) async fn checkpoints(
    bases: &Bases,
    database: DatabaseId,
    epoch: Epoch,
) -> Result<Vec<Checkpoint>, Error> {
    let admin = admin(bases, database, epoch);
    let read = admin.read_manifest(None);
    let timeout = bases.0.options.read_timeout;
    let manifest = bounded((database, epoch), "reading a manifest", timeout, read).await?;
    Ok(manifest.map_or(Vec::new(), |manifest| {
        checkpoint::all_in(&manifest, database, epoch)
    }))
}

/// CRASH: deletions are independent of each other; the next collection does the rest.
pub(super) async fn collect(bases: &Bases, database: DatabaseId, epoch: Epoch) -> Result<(), Error> {
    let directory = Some(GarbageCollectorDirectoryOptions {
        interval: None,
        min_age: bases.0.options.garbage_age,
        dry_run: false,
    });
    let options = GarbageCollectorOptions {
        manifest_options: directory,
        compacted_options: directory,
        compactions_options: directory,
        wal_options: None,
        wal_fence_options: None,
        detach_options: None,
        // Without them a writer that looks away for longer than the age limit overwrites history unnoticed.
        boundary_files_enabled: true,
        ..GarbageCollectorOptions::default()
    };
    let admin = admin(bases, database, epoch);
    let timeout = bases.0.options.compaction_timeout;
    bounded(
        (database, epoch),
        "collecting garbage",
        timeout,
        admin.run_gc_once(options),
    )
    .await
}

/// Whether the manifest of this number is there. One request.
pub(super) async fn manifest_exists(
    bases: &Bases,
    base: (DatabaseId, Epoch),
    number: u64,
) -> Result<bool, Error> {
    let admin = admin(bases, base.0, base.1);
    let read = admin.read_manifest(Some(number));
    let found = bounded(base, "reading a manifest", bases.0.options.read_timeout, read).await?;
    Ok(found.is_some())
}

fn admin(bases: &Bases, database: DatabaseId, epoch: Epoch) -> Admin {
    AdminBuilder::new(Bases::path(database, epoch), bases.0.objects.clone()).build()
}
