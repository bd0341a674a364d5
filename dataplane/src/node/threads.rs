//! Threads of a node beside those that serve clients and run SQLite.

use std::io;
use tokio::runtime::{Builder, Handle, Runtime};

/// Share of a core that upkeep gets on a full machine, as a nice value (setpriority(2)): a tenth of what others get. It must go on,
/// because writes wait where it does not keep up, and it must not take the cores from whoever writes little.
const UPKEEP: i32 = 10;

/// A runtime of its own. Dropped, it ends, and nobody waits for it.
pub(super) struct Threads(Option<Runtime>);

impl Threads {
    /// Raft's, so that a heartbeat never waits behind queries. Few: an entry goes through a dozen tasks, and each that
    /// runs on another thread than the one before costs more than what it does.
    pub(super) fn of_raft() -> io::Result<Threads> {
        let mut builder = builder("orion-raft", (cores() / 4).clamp(1, 4));
        Ok(Threads(Some(builder.build()?)))
    }

    /// Those that bring pages and the log into the object store, with what SlateDB does there.
    pub(super) fn of_upkeep() -> io::Result<Threads> {
        let mut builder = builder("orion-upkeep", cores().clamp(1, 4));
        builder.on_thread_start(|| {
            if let Err(error) = rustix::process::setpriority_process(None, UPKEEP) {
                tracing::warn!(%error, "the priority of a thread that materializes cannot be lowered");
            }
        });
        Ok(Threads(Some(builder.build()?)))
    }

    pub(super) fn handle(&self) -> Handle {
        // It is there until this is dropped.
        self.0
            .as_ref()
            .map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn builder(name: &str, workers: usize) -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(workers).thread_name(name).enable_all();
    builder
}
