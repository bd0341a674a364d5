//! What SQL may do: SQLite's authorizer, and what it tells about each statement.
//!
//! SQLite asks the authorizer while it prepares a statement: ours, or one that SQLite itself runs inside of a
//! step (VACUUM copies into an attached file without a name). That difference is the [`Phase`]: a client's
//! ATTACH is prepared in `Prepare` and always denied; in `Step` only the empty name passes, which no client can
//! get there, because its ATTACH was already denied.

use super::pragmas::{self, Rule};
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
    /// It calls a function that may take long in one call, in which nothing can end it.
    pub(super) may_hold: bool,
    pub(super) inserts: bool,
    /// A PRAGMA. Many act when they are prepared, not when they run, so that one must never come out of a cache.
    pub(super) is_pragma: bool,
    /// What answers in place of the statement.
    pub(super) instead: Option<Instead>,
    /// SQLite would answer it without columns, the file with one.
    pub(super) without_columns: bool,
}

/// What answers in place of a pragma that changes nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instead {
    /// The same pragma without its argument.
    Asking(&'static str),
    /// The number that is kept.
    BusyTimeout,
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
        if let AuthAction::Pragma {
            pragma_name,
            pragma_value,
        } = context.action
            && phase != Phase::Step
            && self.takes_without_effect(phase, pragma_name, pragma_value)
        {
            return Authorization::Ignore;
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

    /// Whether a client's pragma is SQLite's no more; what answers it is noted.
    fn takes_without_effect(&self, phase: Phase, name: &str, value: Option<&str>) -> bool {
        let (name, rule) = pragmas::rule(name);
        let facts = &mut self.state.lock().facts;
        match (rule, value) {
            (Rule::Kept, Some(_)) => true,
            (Rule::Off, Some(value)) => pragmas::is_off(value),
            (Rule::Told, Some(_)) => {
                facts.instead = Some(Instead::Asking(name));
                true
            }
            (Rule::File, Some(_)) => {
                facts.without_columns = true;
                false
            }
            (Rule::BusyTimeout, value) => {
                if let Some(value) = value.filter(|_| phase == Phase::Prepare) {
                    self.link.set_busy_timeout_ms(value.trim().parse().unwrap_or(0));
                }
                facts.instead = Some(Instead::BusyTimeout);
                true
            }
            _ => false,
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
            } if matches!(pragmas::rule(pragma_name).1, Rule::Refused | Rule::Off) => Some(format!(
                "PRAGMA {pragma_name} cannot be set here: it reaches past what a database's SQL may do"
            )),
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
        AuthAction::Function { function_name } => facts.may_hold |= !is_prompt(function_name),
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

/// Functions whose time grows no faster than their arguments, some because they are ours (`sql::functions`). Others
/// may take the square, and look at no interrupt meanwhile.
fn is_prompt(function: &str) -> bool {
    const PROMPT: &[&str] = &[
        "->",
        "->>",
        "abs",
        "avg",
        "ceil",
        "changes",
        "char",
        "coalesce",
        "concat",
        "count",
        "cume_dist",
        "current_date",
        "current_time",
        "current_timestamp",
        "date",
        "datetime",
        "dense_rank",
        "exp",
        "first_value",
        "floor",
        "format",
        "group_concat",
        "hex",
        "if",
        "ifnull",
        "iif",
        "instr",
        "json_array",
        "json_extract",
        "json_object",
        "julianday",
        "lag",
        "last_insert_rowid",
        "last_value",
        "lead",
        "length",
        "likelihood",
        "likely",
        "lower",
        "ltrim",
        "max",
        "min",
        "mod",
        "nth_value",
        "ntile",
        "nullif",
        "octet_length",
        "pow",
        "power",
        "printf",
        "quote",
        "random",
        "randomblob",
        "rank",
        "replace",
        "round",
        "row_number",
        "rtrim",
        "sign",
        "sqrt",
        "strftime",
        "substr",
        "substring",
        "sum",
        "time",
        "total",
        "total_changes",
        "trim",
        "typeof",
        "unhex",
        "unicode",
        "unixepoch",
        "unlikely",
        "upper",
        "zeroblob",
    ];
    PROMPT.iter().any(|known| function.eq_ignore_ascii_case(known))
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
        } => pragmas::touches_connection(pragma_name, pragma_value.is_some()),
        _ => false,
    }
}

fn acts_when_prepared(action: &AuthAction<'_>) -> bool {
    match *action {
        AuthAction::Pragma {
            pragma_name,
            pragma_value: Some(_),
        } => pragmas::acts_when_prepared(pragma_name),
        _ => false,
    }
}

fn is_denied_function(name: &str) -> bool {
    const DENIED: [&str; 3] = ["fts3_tokenizer", "load_extension", "sqlite_log"];
    DENIED.iter().any(|denied| name.eq_ignore_ascii_case(denied))
}
