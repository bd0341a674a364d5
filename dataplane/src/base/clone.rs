//! A base that begins as another epoch's base at a checkpoint: no page is copied.
//!
//! The new base's manifest names the old one's tables, and the old one's manifest gets a checkpoint of its own that keeps them
//! (it has no name, so that nobody takes it for one of a version). What is compacted later lies below the new path alone.
//!
//! CRASH: SlateDB writes the new manifest, the old one's checkpoint, and then says in the new manifest that it is whole: done
//! again with the same checkpoint it goes on where it stopped, and with another one it refuses.

use super::bases::{Bases, bounded};
use super::{Checkpoint, Error};
use orion_api::Epoch;
use slatedb::CloneSourceSpec;
use slatedb::admin::AdminBuilder;

pub(super) async fn clone_at(bases: &Bases, at: &Checkpoint, epoch: Epoch) -> Result<(), Error> {
    let path = Bases::path(at.database, epoch);
    let admin = AdminBuilder::new(path, bases.0.objects.clone()).build();
    let source = CloneSourceSpec::with_checkpoint(Bases::path(at.database, at.epoch), at.id);
    let clone = admin.create_clone_builder_from_source(source).build();
    let timeout = bases.0.options.write_timeout;
    bounded((at.database, epoch), "cloning a base", timeout, clone).await
}
