//! What a leader writes into its group's log before anybody asks: the secret that signs, and the format level.

use crate::causes;
use crate::entry::{Kind, SetSigningKey};
use crate::group::Group;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Pause before a leader tries again.
const AGAIN: Duration = Duration::from_secs(1);

/// As long as this node leads a group without a secret, gives it one.
pub(super) async fn keep_secret(group: Arc<Group>, stop: CancellationToken) {
    let mut changes = group.leadership_changes();
    while !group.catalog.secret().is_known() {
        if group.serves() {
            let key = SetSigningKey {
                key: Bytes::copy_from_slice(&rand::random::<[u8; 32]>()),
            };
            match group.write(Kind::SetSigningKey(key)).await {
                Ok(_) => return,
                Err(error) => tracing::debug!(%error, "the group has no secret yet"),
            }
        }
        // A leader whose write failed tries again.
        let next = tokio::time::timeout(AGAIN, changes.changed());
        match stop.run_until_cancelled(next).await {
            Some(Ok(Ok(())) | Err(_)) => {}
            Some(Ok(Err(_))) | None => return,
        }
    }
}

/// As the leader, notes which formats this node reads, and with `raises` raises the group's level to what all members read.
pub(super) async fn keep_format_level(group: Arc<Group>, raises: bool, stop: CancellationToken) {
    let mut serving = group.leadership_changes();
    loop {
        let change = group.members_changed();
        if group.serves()
            && let Err(error) = keep(&group, raises).await
        {
            let error = causes::text(&error);
            tracing::info!(group = %group.name, error, "the format level stays as it is");
        }
        let either = async {
            tokio::select! {
                changed = serving.changed() => changed.is_ok(),
                () = change => true,
            }
        };
        if stop.run_until_cancelled(either).await != Some(true) {
            return;
        }
    }
}

async fn keep(group: &Group, raises: bool) -> Result<(), crate::group::Error> {
    group.note_own_format().await?;
    let level = group.readable_format();
    if raises && level > group.catalog.format_level() {
        group.raise_format(level).await?;
        tracing::info!(group = %group.name, level, "all members read this format level: it is the group's from now on");
    }
    Ok(())
}
