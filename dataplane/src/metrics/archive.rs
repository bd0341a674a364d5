//! Numbers of the log archive, of all groups together; of the time, the longest. All are 0 on a node that does not lead, or has no
//! archive.

use super::{counter, gauge};
use crate::archive::Counters;
use crate::node::Node;
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// A counter of the archive.
type Read = fn(&Counters) -> &AtomicU64;

pub(super) fn encode(node: &Node, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let hosted = node.hosted();
    let windows = hosted.iter().map(|hosted| hosted.archived.loss_window());
    gauge(
        encoder,
        "orion_archive_loss_window_milliseconds",
        "What would be lost with all disks: time since everything was archived, 0 if nothing waits",
        windows.max().unwrap_or_default().as_millis() as u64,
    )?;
    let counters: [(&str, &str, Read); 6] = [
        (
            "orion_archive_objects",
            "Objects of log entries written",
            |archived| &archived.objects,
        ),
        ("orion_archive_bytes", "Their bytes", |archived| &archived.bytes),
        ("orion_archive_failures", "Attempts that failed", |archived| {
            &archived.failures
        }),
        (
            "orion_archive_gaps",
            "Times that the log was let go before it was archived",
            |archived| &archived.gaps,
        ),
        (
            "orion_archive_snapshots",
            "Snapshots written, all of whose parts arrived",
            |archived| &archived.snapshots,
        ),
        (
            "orion_archive_deleted_objects",
            "Objects deleted because they were older than the retention",
            |archived| &archived.deleted,
        ),
    ];
    for (name, help, value) in counters {
        let of_all = hosted.iter().map(|hosted| value(&hosted.archived).load(Relaxed));
        counter(encoder, name, help, of_all.sum())?;
    }
    Ok(())
}
