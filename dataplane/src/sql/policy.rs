//! What SQL may do: SQLite's authorizer, and what it tells about each statement.
//!
//! SQLite asks the authorizer while it prepares a statement: ours, or one that SQLite itself runs inside of a
//! step (VACUUM copies into an attached file without a name). That difference is the [`Phase`]: a client's
//! ATTACH is prepared in `Prepare` and always denied; in `Step` only the empty name passes, which no client can
//! get there, because its ATTACH was already denied.

use crate::vfs::Link;
use parking_lot::Mutex;
use rusqlite::ffi;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization, TransactionOperation};
use std::sync::Arc;

/// A statement that begins or ends a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStep {
    /// BEGIN.
    Begin,
    /// COMMIT or END.
    Commit,
    /// ROLLBACK.
    Rollback,
    /// SAVEPOINT.
    Savepoint,
    /// RELEASE.
    Release,
    /// ROLLBACK TO.
    RollbackTo,
}

/// What SQLite says of a statement, without running it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classification {
    /// It may change the database (`sqlite3_stmt_readonly` says no); BEGIN IMMEDIATE does, BEGIN, COMMIT and
    /// SAVEPOINT do not.
    pub writes: bool,
    /// It begins or ends a transaction.
    pub transaction: Option<TransactionStep>,
    /// It leaves or asks for state of the connection: TEMP objects, pragmas, `last_insert_rowid()`.
    pub touches_connection: bool,
}

/// What was seen while a statement was prepared.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    pub(super) transaction: Option<TransactionStep>,
    /// It leaves or asks for state of the connection that a following user could see.
    pub(super) touches_connection: bool,
    /// It asks for the counters, which begin anew with each user of a shared connection.
    pub(super) asks_counters: bool,
    pub(super) inserts: bool,
    /// A PRAGMA. Many act when they are prepared, not when they run, so that one must never come out of a cache.
    pub(super) is_pragma: bool,
}

/// What SQLite is doing when it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A statement of a client is prepared, to be run.
    Prepare,
    /// A statement of a client is prepared, only to be described: what acts at once must not.
    Look,
    /// A statement runs; what is prepared now is SQLite's own.
    Step,
    /// The service's own statement.
    Internal,
}

/// The authorizer's side of a connection.
pub(super) struct Policy {
    link: Arc<Link>,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    /// The authorizer was asked since `begin_prepare`; false for a statement out of the cache.
    asked: bool,
    facts: Facts,
    denied: Option<String>,
}

impl Policy {
    pub(super) fn new(link: Arc<Link>) -> Arc<Policy> {
        Arc::new(Policy {
            link,
            state: Mutex::new(State {
                phase: Phase::Internal,
                asked: false,
                facts: Facts::default(),
                denied: None,
            }),
        })
    }

    /// A client's statement is prepared next, to be run.
    pub(super) fn begin_prepare(&self) {
        self.begin(Phase::Prepare);
    }

    /// A client's statement is prepared next, only to be described.
    pub(super) fn begin_look(&self) {
        self.begin(Phase::Look);
    }

    fn begin(&self, phase: Phase) {
        *self.state.lock() = State {
            phase,
            asked: false,
            facts: Facts::default(),
            denied: None,
        };
    }

    /// It was prepared. `None` if it came out of the cache, or never asks (VACUUM, REINDEX).
    pub(super) fn end_prepare(&self) -> Option<Facts> {
        let mut state = self.state.lock();
        state.phase = Phase::Step;
        state.asked.then_some(state.facts)
    }

    /// The service's own statements come next.
    pub(super) fn begin_internal(&self) {
        self.state.lock().phase = Phase::Internal;
    }

    /// Takes the reason of the last denial.
    pub(super) fn take_denied(&self) -> Option<String> {
        self.state.lock().denied.take()
    }

    /// SQLite's question.
    pub(super) fn authorize(&self, context: &AuthContext<'_>) -> Authorization {
        let phase = {
            let mut state = self.state.lock();
            state.asked = true;
            note(&mut state.facts, context);
            state.phase
        };
        if phase == Phase::Internal {
            return Authorization::Allow;
        }
        match self.objection(phase, &context.action) {
            None if phase == Phase::Look && acts_when_prepared(&context.action) => Authorization::Ignore,
            None => Authorization::Allow,
            Some(reason) => {
                self.state.lock().denied.get_or_insert(reason);
                Authorization::Deny
            }
        }
    }

    fn objection(&self, phase: Phase, action: &AuthAction<'_>) -> Option<String> {
        match *action {
            AuthAction::Attach { filename: "" } if phase == Phase::Step => self.vacuum_objection(),
            AuthAction::Attach { .. } if phase == Phase::Step => {
                Some("VACUUM INTO is not allowed here".to_owned())
            }
            AuthAction::Attach { .. }
            | AuthAction::Unknown {
                code: ffi::SQLITE_ATTACH,
                ..
            } => Some("ATTACH is not allowed here".to_owned()),
            AuthAction::Detach { .. }
            | AuthAction::Unknown {
                code: ffi::SQLITE_DETACH,
                ..
            } => Some("DETACH is not allowed here".to_owned()),
            AuthAction::Function { function_name } if is_denied_function(function_name) => {
                Some(format!("the function {function_name}() is not allowed here"))
            }
            AuthAction::Pragma {
                pragma_name,
                pragma_value: Some(_),
            } if is_denied_pragma(pragma_name) => Some(format!("PRAGMA {pragma_name} cannot be set here")),
            _ => None,
        }
    }

    /// VACUUM writes every page that is in use in one transaction.
    fn vacuum_objection(&self) -> Option<String> {
        let bytes = self.link.bytes_in_use()?;
        let most = self.link.settings().transaction_bytes;
        (bytes > most).then(|| {
            format!(
                "VACUUM would write {bytes} bytes in one transaction, the limit is {most}; \
                 use PRAGMA incremental_vacuum instead"
            )
        })
    }
}

fn note(facts: &mut Facts, context: &AuthContext<'_>) {
    match context.action {
        AuthAction::Insert { .. } => facts.inserts = true,
        AuthAction::Pragma { .. } => facts.is_pragma = true,
        AuthAction::Transaction { operation } => {
            facts.transaction = Some(match operation {
                TransactionOperation::Begin => TransactionStep::Begin,
                TransactionOperation::Rollback => TransactionStep::Rollback,
                // rusqlite knows no name for "COMMIT".
                _ => TransactionStep::Commit,
            });
        }
        AuthAction::Savepoint { operation, .. } => {
            facts.transaction = Some(match operation {
                TransactionOperation::Begin => TransactionStep::Savepoint,
                TransactionOperation::Rollback => TransactionStep::RollbackTo,
                _ => TransactionStep::Release,
            });
        }
        _ => {}
    }
    facts.touches_connection |= touches_connection(&context.action);
    facts.asks_counters |= asks_counters(&context.action);
}

fn asks_counters(action: &AuthAction<'_>) -> bool {
    const COUNTERS: [&str; 3] = ["last_insert_rowid", "changes", "total_changes"];
    match *action {
        AuthAction::Function { function_name } => COUNTERS
            .iter()
            .any(|name| function_name.eq_ignore_ascii_case(name)),
        _ => false,
    }
}

fn touches_connection(action: &AuthAction<'_>) -> bool {
    match *action {
        AuthAction::CreateTempIndex { .. }
        | AuthAction::CreateTempTable { .. }
        | AuthAction::CreateTempTrigger { .. }
        | AuthAction::CreateTempView { .. } => true,
        AuthAction::Pragma {
            pragma_name,
            pragma_value,
        } => pragma_touches_connection(pragma_name, pragma_value.is_some()),
        _ => false,
    }
}

/// Pragmas whose value SQLite, or our file, takes while it prepares the statement.
fn acts_when_prepared(action: &AuthAction<'_>) -> bool {
    const AT_ONCE: [&str; 9] = [
        "auto_vacuum",
        "busy_timeout",
        "cache_spill",
        "encoding",
        "locking_mode",
        "mmap_size",
        "page_size",
        "synchronous",
        "temp_store",
    ];
    match *action {
        AuthAction::Pragma {
            pragma_name,
            pragma_value: Some(_),
        } => {
            pragma_touches_connection(pragma_name, true)
                || AT_ONCE.iter().any(|name| pragma_name.eq_ignore_ascii_case(name))
        }
        _ => false,
    }
}

/// A pragma is state of the connection when it is set, except those of the database itself, those that only
/// ask with an argument, and those that the file keeps at one value.
fn pragma_touches_connection(name: &str, is_set: bool) -> bool {
    const WITHOUT_STATE: [&str; 26] = [
        "application_id",
        "auto_vacuum",
        "busy_timeout",
        "cache_spill",
        "encoding",
        "foreign_key_check",
        "foreign_key_list",
        "incremental_vacuum",
        "index_info",
        "index_list",
        "index_xinfo",
        "integrity_check",
        "journal_mode",
        "locking_mode",
        "mmap_size",
        "optimize",
        "page_size",
        "quick_check",
        "schema_version",
        "synchronous",
        "table_info",
        "table_list",
        "table_xinfo",
        "temp_store",
        "user_version",
        "wal_checkpoint",
    ];
    let has_name = |known: &&str| name.eq_ignore_ascii_case(known);
    name.eq_ignore_ascii_case("data_version") || (is_set && !WITHOUT_STATE.iter().any(has_name))
}

/// Pragmas that reach past the database: its schema's raw text, files, or the heap of the whole process.
fn is_denied_pragma(name: &str) -> bool {
    const DENIED: [&str; 8] = [
        "data_store_directory",
        "hard_heap_limit",
        "lock_proxy_file",
        "soft_heap_limit",
        "temp_store_directory",
        "threads",
        "trusted_schema",
        "writable_schema",
    ];
    DENIED.iter().any(|denied| name.eq_ignore_ascii_case(denied))
}

fn is_denied_function(name: &str) -> bool {
    const DENIED: [&str; 3] = ["fts3_tokenizer", "load_extension", "sqlite_log"];
    DENIED.iter().any(|denied| name.eq_ignore_ascii_case(denied))
}
