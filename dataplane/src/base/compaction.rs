//! Merging the tables of a base, once, when the caller says so.
//!
//! SlateDB's compactor is a pair of loops that poll for work for ever. Here it runs until its scheduler has
//! nothing left to propose and nothing is under way, and is then stopped; that is told by the scheduler itself, which
//! sees the state at every poll. Which tables to merge is SlateDB's size-tiered choice: a page is rewritten a number
//! of times that grows with the logarithm of the database's size, not at each merge.

use super::bases::{Bases, bounded};
use super::writer::BLOCK_SIZE;
use super::{Error, Options};
use orion_api::{DatabaseId, Epoch};
use slatedb::CompactorBuilder;
use slatedb::compactor::{
    CompactionScheduler, CompactionSchedulerSupplier, CompactionSpec, CompactorStateView,
    SizeTieredCompactionSchedulerSupplier,
};
use slatedb::config::{
    CompactionWorkerOptions, CompactorOptions, CompressionCodec, SizeTieredCompactionSchedulerOptions,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// How often the two loops look at the object store while a compaction runs.
const POLL: Duration = Duration::from_millis(50);

pub(super) async fn compact(bases: &Bases, database: DatabaseId, epoch: Epoch) -> Result<(), Error> {
    let idle = Arc::new(Notify::new());
    let compactor = CompactorBuilder::new(Bases::path(database, epoch), bases.0.objects.clone())
        .with_options(options(&bases.0.options))
        .with_sst_block_size(BLOCK_SIZE)
        .with_scheduler_supplier(Arc::new(UntilIdle(idle.clone())))
        .build();
    let run = async {
        tokio::select! {
            ended = compactor.run() => ended,
            () = idle.notified() => Ok(()),
        }
    };
    let timeout = bases.0.options.compaction_timeout;
    let outcome = bounded((database, epoch), "a compaction", timeout, run).await;
    let stop = compactor.stop();
    let stopped = bounded((database, epoch), "stopping a compaction", timeout, stop).await;
    outcome.and(stopped)
}

fn options(options: &Options) -> CompactorOptions {
    let tiers = SizeTieredCompactionSchedulerOptions {
        min_compaction_sources: options.tables_max.clamp(2, 4),
        max_compaction_sources: 64,
        ..SizeTieredCompactionSchedulerOptions::default()
    };
    CompactorOptions {
        poll_interval: POLL,
        commit_compacted_interval: POLL,
        max_concurrent_compactions: 1,
        scheduler_options: tiers.into(),
        checkpoint_lifetime: options.garbage_age.max(Duration::from_secs(1)),
        object_store_max_retries: Some(options.retries),
        worker: Some(CompactionWorkerOptions {
            compactions_poll_interval: POLL,
            max_concurrent_compactions: 1,
            max_subcompactions: 1,
            compression_codec: Some(CompressionCodec::Lz4),
            object_store_max_retries: Some(options.retries),
            ..CompactionWorkerOptions::default()
        }),
        ..CompactorOptions::default()
    }
}

/// Tells when there is nothing left to do.
struct UntilIdle(Arc<Notify>);

impl CompactionSchedulerSupplier for UntilIdle {
    fn compaction_scheduler(&self, options: &CompactorOptions) -> Box<dyn CompactionScheduler + Send + Sync> {
        let choice = SizeTieredCompactionSchedulerSupplier::new().compaction_scheduler(options);
        Box::new(Scheduler {
            choice,
            idle: self.0.clone(),
        })
    }
}

struct Scheduler {
    choice: Box<dyn CompactionScheduler + Send + Sync>,
    idle: Arc<Notify>,
}

impl CompactionScheduler for Scheduler {
    fn propose(&self, state: &CompactorStateView) -> Vec<CompactionSpec> {
        let proposed = self.choice.propose(state);
        let active = state
            .compactions()
            .is_some_and(|all| all.recent_compactions().any(|one| one.active()));
        if proposed.is_empty() && !active {
            self.idle.notify_one();
        }
        proposed
    }

    fn validate(&self, state: &CompactorStateView, spec: &CompactionSpec) -> Result<(), slatedb::Error> {
        self.choice.validate(state, spec)
    }
}
