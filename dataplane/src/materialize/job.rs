//! One materialization of one database.

use super::Error;
use crate::base::{self, Checkpoint, Header, Writer};
use crate::clock::now_ms;
use crate::entry::{self, Kind};
use crate::group::{self, Group};
use crate::overlay::{Content, Pages, Snapshot};
use crate::page::{Image, PageNo};
use bytes::Bytes;
use orion_api::Version;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Pages resolved at once: bounds what a large overlay takes in memory.
const PAGES_AT_ONCE: usize = 1024;

/// How long a checkpoint stays after a newer one: longer than any read transaction may last.
const RETIRED_FOR: Duration = Duration::from_secs(15 * 60);

/// A base that is kept open between materializations.
pub(crate) struct OpenBase {
    pub(crate) writer: Writer,
    pub(crate) used: Instant,
    /// When a checkpoint was first seen to be outdated.
    retired: HashMap<Uuid, Instant>,
}

/// Runs steps 1 to 6 for one database. Answers the version that is materialized now.
pub(crate) async fn materialize(
    group: &Arc<Group>,
    database: &Arc<group::Database>,
    open: &mut Option<OpenBase>,
) -> Result<Version, Error> {
    let result = attempt(group, database, open).await;
    if result.is_err() {
        // Fenced, or of unknown state: begin again with the open.
        *open = None;
    }
    result
}

async fn attempt(
    group: &Arc<Group>,
    database: &Arc<group::Database>,
    open: &mut Option<OpenBase>,
) -> Result<Version, Error> {
    let base = match open {
        Some(base) => base,
        None => {
            let writer = group.pages.bases.writer(database.id, database.epoch).await?;
            open.insert(OpenBase {
                writer,
                used: Instant::now(),
                retired: HashMap::new(),
            })
        }
    };
    fail::fail_point!("materialize::after_open");
    group.barrier().await?;
    let snapshot = database.published.load_full();
    let done = snapshot
        .checkpoint
        .as_ref()
        .map_or(Version(0), |checkpoint| checkpoint.version);
    if snapshot.version <= done || !database.is_active() {
        return Ok(done);
    }
    must_have_checkpoint(&snapshot, &base.writer)?;
    let now_ms = now_ms();
    let checkpoint = store(&group.pages, &snapshot, &mut base.writer, now_ms).await?;
    fail::fail_point!("materialize::before_propose");
    let materialized = entry::Materialized {
        database: Bytes::copy_from_slice(database.id.as_bytes()),
        epoch: snapshot.epoch.0,
        version: snapshot.version.0,
        checkpoint: Bytes::copy_from_slice(checkpoint.id.as_bytes()),
        page_count: snapshot.extent.page_count,
        records_expired_ms: now_ms,
    };
    group.write(Kind::Materialized(materialized)).await?;
    base.used = Instant::now();
    retire(group, database, base, &checkpoint).await?;
    if base.writer.needs_compaction() {
        base.writer.compact().await?;
        base.writer.collect_garbage().await?;
    }
    Ok(snapshot.version)
}

/// INVARIANT: changes are written only on top of the checkpoint that the log names. Into a base that lost it (an
/// empty bucket, a file system that is not mounted) they would be a base of their own, in which every page that
/// did not change is missing, and would be read as zeros. Tested by `a_lost_base_is_not_begun_anew`.
fn must_have_checkpoint(snapshot: &Snapshot, writer: &Writer) -> Result<(), base::Error> {
    let named = snapshot.checkpoint.as_deref();
    match named.filter(|named| !writer.checkpoints().contains(named)) {
        None => Ok(()),
        Some(lost) => Err(base::Error::Corrupt {
            database: lost.database,
            epoch: lost.epoch,
            what: format!(
                "checkpoint {} of version {} is not in the object store",
                lost.id, lost.version
            ),
            source: None,
        }),
    }
}

/// Steps 4 and 5: the snapshot's changes, without the records whose time is over, and a checkpoint of them.
pub(crate) async fn store(
    pages: &Arc<Pages>,
    snapshot: &Arc<Snapshot>,
    writer: &mut Writer,
    now_ms: u64,
) -> Result<Checkpoint, Error> {
    write_pages(pages, snapshot, writer).await?;
    if snapshot.expiries.over(now_ms) > 0 {
        writer.delete_expired_records(now_ms).await?;
    }
    write_records(snapshot, writer, now_ms).await?;
    let header = Header {
        database: snapshot.database,
        epoch: snapshot.epoch,
        version: snapshot.version,
        extent: snapshot.extent,
        chain: snapshot.chain,
    };
    writer.put_header(&header).await?;
    fail::fail_point!("materialize::before_checkpoint");
    Ok(writer.checkpoint(snapshot.version).await?)
}

/// What changed, and what is gone.
async fn write_pages(pages: &Arc<Pages>, snapshot: &Arc<Snapshot>, writer: &mut Writer) -> Result<(), Error> {
    fail::fail_point!("materialize::before_pages");
    let changed: Vec<(PageNo, Version)> = snapshot
        .slots()
        .filter(|(_, slot)| !matches!(slot.content, Content::Stored))
        .map(|(no, slot)| (no, slot.version))
        .collect();
    for part in changed.chunks(PAGES_AT_ONCE) {
        let images = resolve(pages, snapshot, part.to_vec()).await?;
        writer.put_pages(images).await?;
    }
    // Up to the page count, not only to that of the last checkpoint: an attempt that nobody heard of may have
    // written pages above it.
    let end = snapshot.base_page_count.max(snapshot.extent.page_count);
    let gone = (snapshot.base_limit.saturating_add(1)..=end).filter_map(PageNo::new);
    let unwritten: Vec<PageNo> = gone.filter(|no| snapshot.slot(*no).is_none()).collect();
    writer.delete_pages(unwritten).await?;
    Ok(())
}

/// Differences are resolved, which may read the base, on a thread where waiting is allowed.
async fn resolve(
    pages: &Arc<Pages>,
    snapshot: &Arc<Snapshot>,
    part: Vec<(PageNo, Version)>,
) -> Result<Vec<(PageNo, Version, Image)>, Error> {
    let (pages, snapshot) = (Arc::clone(pages), Arc::clone(snapshot));
    let resolved = tokio::task::spawn_blocking(move || {
        let image = |(no, version)| Ok((no, version, pages.page(&snapshot, no)?));
        part.into_iter().map(image).collect::<Result<Vec<_>, Error>>()
    });
    resolved.await.map_err(|_| Error::Stopped)?
}

async fn write_records(snapshot: &Snapshot, writer: &mut Writer, now_ms: u64) -> Result<(), Error> {
    for (key, record) in snapshot.records() {
        let is_over = (1..=now_ms).contains(&record.expires_at_ms);
        if record.value.is_empty() || is_over {
            writer.delete_record(key).await?;
        } else {
            writer
                .put_record(key, record.expires_at_ms, &record.value)
                .await?;
        }
    }
    Ok(())
}

/// Deletes checkpoints that were outdated for long enough that no reader can have them.
async fn retire(
    group: &Arc<Group>,
    database: &Arc<group::Database>,
    base: &mut OpenBase,
    newest: &Checkpoint,
) -> Result<(), Error> {
    let now = Instant::now();
    let outdated: Vec<Checkpoint> = base
        .writer
        .checkpoints()
        .into_iter()
        .filter(|checkpoint| checkpoint.id != newest.id)
        .collect();
    base.retired
        .retain(|id, _| outdated.iter().any(|checkpoint| checkpoint.id == *id));
    for checkpoint in outdated {
        let since = *base.retired.entry(checkpoint.id).or_insert(now);
        if now.duration_since(since) < RETIRED_FOR {
            continue;
        }
        let unpin = entry::Unpin {
            database: Bytes::copy_from_slice(database.id.as_bytes()),
            epoch: checkpoint.epoch.0,
            checkpoint: Bytes::copy_from_slice(checkpoint.id.as_bytes()),
        };
        group.write(Kind::Unpin(unpin)).await?;
        base.writer.delete_checkpoint(&checkpoint).await?;
        base.retired.remove(&checkpoint.id);
    }
    Ok(())
}
