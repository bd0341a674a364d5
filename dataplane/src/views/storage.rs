//! `storage_pressure`: what waits for the object store, and what the node holds.

use super::integer;
use crate::node::Node;
use rusqlite::types::Value;

pub(super) const COLUMNS: &str = "databases INTEGER, overlay_pages INTEGER, overlay_bytes INTEGER, \
    unmaterialized_age_ms INTEGER, open_databases INTEGER, page_cache_bytes INTEGER, log_bytes INTEGER";

pub(super) fn rows(node: &Node) -> Vec<Vec<Value>> {
    let groups = node.groups.all();
    let dirty = groups.iter().flat_map(|group| group.catalog.dirty());
    let (mut pages, mut bytes, mut oldest) = (0, 0, None);
    for database in dirty {
        let snapshot = database.published.load();
        pages += snapshot.slots().count() as u64;
        bytes += snapshot.overlay_bytes;
        oldest = oldest.into_iter().chain(snapshot.changed_since).min();
    }
    vec![vec![
        integer(node.list(false).len() as u64),
        integer(pages),
        integer(bytes),
        integer(oldest.map_or(0, |since| since.elapsed().as_millis() as u64)),
        integer(node.databases.open_count() as u64),
        integer(node.pages().cache.bytes()),
        integer(node.disk().disk_bytes()),
    ]]
}
