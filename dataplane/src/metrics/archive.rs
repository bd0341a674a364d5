//! Numbers of the log archive. All are 0 on a node that does not lead, or has no archive.

use super::{counter, gauge};
use crate::archive::Counters;
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

pub(super) fn encode(archived: &Counters, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    gauge(
        encoder,
        "orion_archive_loss_window_milliseconds",
        "What would be lost with all disks: time since everything was archived, 0 if nothing waits",
        archived.loss_window().as_millis() as u64,
    )?;
    let counters = [
        (
            "orion_archive_objects",
            "Objects of log entries written",
            &archived.objects,
        ),
        ("orion_archive_bytes", "Their bytes", &archived.bytes),
        (
            "orion_archive_failures",
            "Attempts that failed",
            &archived.failures,
        ),
        (
            "orion_archive_gaps",
            "Times that the log was let go before it was archived",
            &archived.gaps,
        ),
        (
            "orion_archive_snapshots",
            "Snapshots written, all of whose parts arrived",
            &archived.snapshots,
        ),
        (
            "orion_archive_deleted_objects",
            "Objects deleted because they were older than the retention",
            &archived.deleted,
        ),
    ];
    for (name, help, value) in counters {
        counter(encoder, name, help, value.load(Relaxed))?;
    }
    Ok(())
}
