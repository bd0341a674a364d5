//! Where a database is, and what it is called there.

use orion_crds::Database;
use orion_crds::reference::GroupRef;

/// The group of a database, with its namespace always said.
pub fn group_of(database: &Database) -> GroupRef {
    let wished = &database.spec.group_ref;
    let namespace = wished
        .namespace
        .clone()
        .or_else(|| database.metadata.namespace.clone());
    GroupRef {
        name: wished.name.clone(),
        namespace,
    }
}

/// The group that a database is in as far as is known: the one that was handled last, not the one that is wished for. To
/// make it anew elsewhere would be an empty database under the name of a full one.
pub fn present_group(database: &Database) -> GroupRef {
    let handled = database
        .status
        .as_ref()
        .and_then(|status| status.handled_group_ref.clone());
    handled.unwrap_or_else(|| group_of(database))
}

/// The name of a database in its group. From another namespace it carries that, so that no two claim one.
pub fn name_in_group(database: &Database) -> String {
    let own = database.metadata.name.as_deref().unwrap_or_default();
    let name = database.spec.name.as_deref().unwrap_or(own);
    let namespace = database.metadata.namespace.as_deref().unwrap_or_default();
    match present_group(database).namespace.as_deref() {
        Some(of_group) if of_group != namespace => format!("{namespace}.{name}"),
        _ => name.to_owned(),
    }
}
