//! What each PRAGMA may do, as a table.
//!
//! Drivers and ORMs set what they know from files on disk before anything else (`journal_mode=WAL`,
//! `synchronous=NORMAL`, `mmap_size`, …). Where such a wish has no meaning here it is taken without effect, and
//! answered in the shape in which SQLite answers when it cannot fulfil it: the value that holds, or nothing.
//! What would reach past the database is refused.
//!
//! SQLite's authorizer says which pragma it is and whether it has an argument; no text is looked at.

/// What giving a pragma an argument does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// SQLite does it: the argument only asks, or what changes is the database.
    Database,
    /// SQLite does it, and the connection is not the same afterwards.
    Connection,
    /// The file takes what it can (`vfs::pragma`). SQLite's answer has no columns.
    File,
    /// Nothing changes. SQLite's answer has no columns.
    Kept,
    /// Nothing changes. The answer is the value that holds.
    Told,
    /// Kept as a number, because it has no effect: nobody waits for locks here. The answer is the number.
    BusyTimeout,
    /// Off is taken, which it is. On reaches past what SQL may do.
    Off,
    /// It reaches past the database: to files, or to the whole process.
    Refused,
}

/// All pragmas of this build of SQLite (`every_pragma_answers_in_the_shape_of_stock_sqlite`), and those of
/// others that must never pass.
const RULES: [(&str, Rule); 69] = [
    ("analysis_limit", Rule::Connection),
    ("application_id", Rule::Database),
    ("auto_vacuum", Rule::Database),
    ("automatic_index", Rule::Connection),
    ("busy_timeout", Rule::BusyTimeout),
    ("cache_size", Rule::File),
    ("cache_spill", Rule::Kept),
    ("case_sensitive_like", Rule::Connection),
    ("cell_size_check", Rule::Connection),
    ("checkpoint_fullfsync", Rule::Kept),
    ("collation_list", Rule::Database),
    ("compile_options", Rule::Database),
    ("count_changes", Rule::Connection),
    ("data_store_directory", Rule::Refused),
    ("data_version", Rule::Connection),
    ("database_list", Rule::Database),
    ("default_cache_size", Rule::Kept),
    ("defer_foreign_keys", Rule::Connection),
    ("empty_result_callbacks", Rule::Connection),
    ("encoding", Rule::Database),
    ("foreign_key_check", Rule::Database),
    ("foreign_key_list", Rule::Database),
    ("foreign_keys", Rule::Connection),
    ("freelist_count", Rule::Database),
    ("full_column_names", Rule::Connection),
    ("fullfsync", Rule::Kept),
    ("function_list", Rule::Database),
    ("hard_heap_limit", Rule::Refused),
    ("ignore_check_constraints", Rule::Connection),
    ("incremental_vacuum", Rule::Database),
    ("index_info", Rule::Database),
    ("index_list", Rule::Database),
    ("index_xinfo", Rule::Database),
    ("integrity_check", Rule::Database),
    ("journal_mode", Rule::Told),
    ("journal_size_limit", Rule::Told),
    ("legacy_alter_table", Rule::Connection),
    ("lock_proxy_file", Rule::Refused),
    ("locking_mode", Rule::Told),
    ("max_page_count", Rule::Connection),
    ("mmap_size", Rule::Told),
    ("module_list", Rule::Database),
    ("optimize", Rule::Database),
    ("page_count", Rule::Database),
    ("page_size", Rule::File),
    ("pragma_list", Rule::Database),
    ("query_only", Rule::Connection),
    ("quick_check", Rule::Database),
    ("read_uncommitted", Rule::Connection),
    ("recursive_triggers", Rule::Connection),
    ("reverse_unordered_selects", Rule::Connection),
    ("schema_version", Rule::Database),
    ("secure_delete", Rule::Connection),
    ("short_column_names", Rule::Connection),
    ("shrink_memory", Rule::Database),
    ("soft_heap_limit", Rule::Refused),
    ("synchronous", Rule::Kept),
    ("table_info", Rule::Database),
    ("table_list", Rule::Database),
    ("table_xinfo", Rule::Database),
    ("temp_store", Rule::Kept),
    ("temp_store_directory", Rule::Refused),
    ("threads", Rule::Told),
    ("trusted_schema", Rule::Off),
    ("user_version", Rule::Database),
    ("wal_autocheckpoint", Rule::Told),
    ("wal_checkpoint", Rule::Database),
    ("writable_schema", Rule::Off),
    // Of builds for other systems.
    ("activate_extensions", Rule::Refused),
];

#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|(name, _)| *name)
}

/// The rule of a pragma, with its name as in the table. One that is not known is SQLite's to ignore.
pub(super) fn rule(name: &str) -> (&'static str, Rule) {
    RULES
        .iter()
        .find(|(known, _)| name.eq_ignore_ascii_case(known))
        .copied()
        .unwrap_or(("", Rule::Connection))
}

/// Whether the next user of the connection could see that this one used the pragma.
pub(super) fn touches_connection(name: &str, is_set: bool) -> bool {
    let (name, rule) = rule(name);
    let is_of_the_connection = rule == Rule::Connection || name == "cache_size";
    (is_set && is_of_the_connection) || name == "data_version"
}

/// Whether it acts when SQLite prepares it, so that describing it must not prepare it as it stands.
pub(super) fn acts_when_prepared(name: &str) -> bool {
    let (name, rule) = rule(name);
    matches!(rule, Rule::Connection | Rule::File) || ["auto_vacuum", "encoding"].contains(&name)
}

/// The ways to say "off" that are taken.
pub(super) fn is_off(value: &str) -> bool {
    ["0", "off", "no", "false"]
        .iter()
        .any(|off| value.trim().eq_ignore_ascii_case(off))
}
