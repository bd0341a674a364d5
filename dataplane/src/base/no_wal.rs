//! A write-ahead log that is not there.
//!
//! The Raft log is the WAL: SlateDB runs with its own turned off. Left to itself it still probes `wal/` with
//! HEAD requests that grow with the number of opens and leaves a fence object there at each. Fencing needs
//! neither: without a WAL everything a writer can change goes through the manifest, whose writes are put-if-absent
//! under consecutive numbers and carry the writer's epoch. So the initialization that opens the WAL is replaced by this one,
//! which does nothing, and there never is an object under `wal/`.

use async_trait::async_trait;
use slatedb::RowEntry;
use slatedb::wal::{
    WalError, WalFlushResult, WalIterator, WalObserver, WalRows, WalStatus, WalStatusListener, WalWriter,
    WriterInit, WriterInitResult, WriterManifest,
};

pub(super) struct NoWal;

#[async_trait]
impl WriterInit for NoWal {
    async fn fence_and_init(&self, manifest: &mut WriterManifest) -> Result<WriterInitResult, WalError> {
        // The manifest numbers WAL files and refuses to count backwards, in a cloned base too.
        let last = manifest.manifest().next_wal_sst_id().saturating_sub(1);
        Ok(WriterInitResult {
            replay_iterator: Box::new(Nothing),
            wal_writer: Box::new(Closed { last }),
        })
    }
}

struct Nothing;

#[async_trait]
impl WalIterator for Nothing {
    async fn next(&mut self) -> Result<Option<WalRows>, WalError> {
        Ok(None)
    }
}

/// Closed from the start: SlateDB closes it right after opening and keeps only its status.
#[derive(Clone)]
struct Closed {
    last: u64,
}

impl Closed {
    fn final_status(&self) -> WalStatus {
        WalStatus {
            closed_reason: Some(WalError::Closed),
            estimated_bytes: 0,
            last_flushed_wal_id: self.last,
            last_flushed_seq: None,
            buffered_wal_entries_count: 0,
        }
    }
}

#[async_trait]
impl WalWriter for Closed {
    async fn append(&mut self, _: &[RowEntry]) -> Result<(), WalError> {
        Err(WalError::Closed)
    }

    async fn flush(&mut self) -> Result<WalFlushResult, WalError> {
        Err(WalError::Closed)
    }

    fn observer(&self) -> Box<dyn WalObserver> {
        Box::new(self.clone())
    }

    fn status(&self) -> Result<WalStatus, WalStatus> {
        Err(self.final_status())
    }

    async fn close(&mut self) -> Result<(), WalError> {
        Ok(())
    }
}

#[async_trait]
impl WalObserver for Closed {
    fn status(&self) -> Result<WalStatus, WalStatus> {
        Err(self.final_status())
    }

    fn subscribe(&self, _: WalStatusListener) -> Result<(), WalError> {
        Ok(())
    }
}
