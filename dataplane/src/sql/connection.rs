//! One connection to one database: runs statements, one at a time, within policy and limits.

use super::arguments::{self, Args};
use super::budget::{Budget, Watch};
use super::error::Circumstances;
use super::options::{Options, Role};
use super::policy::{Classification, Facts, Policy};
use super::result::{Description, Parameter, StatementResult};
use super::statement::{For, RowsWanted, columns};
use super::{Code, Error, Kind, Limits, functions};
use crate::vfs::{self, Backend, Counters, Link, Settings};
use rusqlite::config::DbConfig;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::limits::Limit;
use rusqlite::{Batch, TransactionState};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// Steps of the virtual machine between two looks at the clock: about 10 to 100 µs.
const OPERATIONS_BETWEEN_LOOKS: i32 = 1000;

/// A connection. Used by one thread at a time.
pub struct Connection {
    pub(super) inner: rusqlite::Connection,
    pub(super) link: Arc<Link>,
    pub(super) policy: Arc<Policy>,
    pub(super) watch: Arc<Watch>,
    pub(super) options: Options,
    pub(super) facts: RefCell<HashMap<Box<str>, Facts>>,
    pub(super) marked: Cell<bool>,
    counters: Counters,
}

/// Cancels what runs on a connection, from any thread.
pub struct InterruptHandle {
    sqlite: rusqlite::InterruptHandle,
    watch: Arc<Watch>,
}

impl InterruptHandle {
    /// The running statement ends with `SQLITE_INTERRUPT`, and so does each one after it, until
    /// [`Connection::clear_interrupt`].
    pub fn interrupt(&self) {
        self.watch.set_cancelled(true);
        self.sqlite.interrupt();
    }
}

impl Connection {
    /// Opens a connection on `backend`.
    pub fn open(backend: Arc<dyn Backend>, options: Options) -> Result<Connection, Error> {
        let link = Link::new(
            backend,
            Settings {
                transaction_bytes: options.limits.transaction_bytes,
                cache_bytes: options.limits.cache_bytes,
                heap_bytes: options.limits.heap_bytes,
                temp: options.temp.clone(),
            },
        );
        link.set_read_only(options.role == Role::Reader);
        let opened = vfs::open(&link).map_err(|error| failure(error, &link))?;
        let counters = Counters::install(&opened).map_err(|error| failure(error, &link))?;
        let policy = Policy::new(Arc::clone(&link));
        let mut connection = Connection {
            inner: opened,
            policy,
            watch: Watch::new(),
            options,
            facts: RefCell::default(),
            marked: Cell::new(false),
            counters,
            link: Arc::clone(&link),
        };
        let prepared = link.run(|| connection.guard());
        prepared.map_err(|error| failure(error, &link))?;
        Ok(connection)
    }

    /// Puts policy and limits in place.
    fn guard(&mut self) -> rusqlite::Result<()> {
        let limits = &self.options.limits;
        self.inner
            .set_prepared_statement_cache_capacity(limits.cached_statements);
        for (option, value) in [
            (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
            (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
        ] {
            self.inner.set_db_config(option, value)?;
        }
        set_limits(&self.inner, limits)?;
        functions::install(&self.inner, &self.watch)?;
        // The originals of changed pages count too, and the cache itself.
        let most_bytes = limits.transaction_bytes.saturating_add(limits.cache_bytes);
        let watch = Arc::clone(&self.watch);
        vfs::watch(&mut self.inner, OPERATIONS_BETWEEN_LOOKS, move |cached_bytes| {
            watch.ends(cached_bytes, most_bytes)
        })?;
        let policy = Arc::clone(&self.policy);
        self.inner
            .authorizer(Some(move |context: rusqlite::hooks::AuthContext<'_>| {
                policy.authorize(&context)
            }))
    }

    /// Adds tables of the service's own.
    pub fn add_tables(&mut self, tables: &[vfs::Table]) -> Result<(), Error> {
        let added = self.link.run(|| {
            tables
                .iter()
                .try_for_each(|table| vfs::add_table(&self.inner, table.clone()))
        });
        added.map_err(|error| failure(error, &self.link))
    }

    /// Runs exactly one statement. With `want_rows` false its rows are counted in nothing and dropped.
    ///
    /// A result larger than the budget ends a writing statement as an interrupt would: its whole transaction
    /// is rolled back.
    pub fn execute(
        &mut self,
        sql: &str,
        args: &Args,
        want_rows: bool,
        budget: &mut Budget,
    ) -> Result<StatementResult, Error> {
        let began = Instant::now();
        let result = self.enter(|connection| {
            let read_only = is_begin_read_only(sql);
            connection.arm(budget);
            let mut prepared = connection.prepare(sql, For::Running)?;
            let facts = prepared.facts;
            arguments::bind(&mut prepared, args, |error| connection.failed(error))?;
            let rows = if want_rows {
                RowsWanted::Yes
            } else {
                RowsWanted::No
            };
            let result = connection.run_prepared(&mut prepared, facts, rows, budget)?;
            if read_only {
                connection.link.set_read_only(true);
            }
            Ok(result)
        });
        let rows = |result: &StatementResult| result.rows.len() as u64;
        self.ended(sql, began, result.as_ref().map(rows));
        result
    }

    /// Counts what ended. What will go on elsewhere has not.
    fn ended(&self, sql: &str, began: Instant, outcome: Result<u64, &Error>) {
        let goes_on = |error: &Error| error.kind() == Kind::NeedsTurn || self.link.wants_patience();
        if let Some(observer) = &self.options.observer
            && !outcome.is_err_and(goes_on)
        {
            observer.ended(sql, began.elapsed(), outcome);
        }
    }

    /// Runs all statements of a script, dropping their rows.
    pub fn sequence(&mut self, sql: &str, budget: &mut Budget) -> Result<(), Error> {
        let began = Instant::now();
        let result = self.enter(|connection| {
            connection.admit_text(sql)?;
            let mut batch = Batch::new(&connection.inner, sql);
            loop {
                connection.arm(budget);
                connection.policy.begin_prepare();
                let next = batch.next();
                let facts = connection.policy.end_prepare().unwrap_or_default();
                connection.mark(facts);
                let Some(mut statement) = next.map_err(|error| connection.failed(error).while_preparing())?
                else {
                    return Ok(());
                };
                if statement.parameter_count() > 0 {
                    return Err(Error::arguments("a script cannot have parameters"));
                }
                connection.run_prepared(&mut statement, facts, RowsWanted::No, budget)?;
            }
        });
        self.ended(sql, began, result.as_ref().map(|()| 0));
        result
    }

    /// INVARIANT: no long text is prepared where only what is brief may run. Tested by
    /// `what_may_take_long_in_one_call_is_not_brief`.
    pub(super) fn admit_text(&self, sql: &str) -> Result<(), Error> {
        if sql.len() > BRIEF_SQL_BYTES && self.watch.is_brief() {
            self.link.set_wants_patience();
            return Err(Error::interrupted());
        }
        Ok(())
    }

    /// What the statement is and asks for, without running it.
    pub fn describe(&mut self, sql: &str) -> Result<Description, Error> {
        self.enter(|connection| {
            let statement = connection.prepare(sql, For::Looking)?;
            let params = (1..=statement.parameter_count())
                .map(|index| Parameter {
                    name: statement.parameter_name(index).map(str::to_owned),
                })
                .collect();
            Ok(Description {
                params,
                cols: columns(&statement),
                is_explain: statement.is_explain() != 0,
                is_readonly: statement.readonly(),
            })
        })
    }

    /// What SQLite says of the statement, without running it.
    pub fn classify(&mut self, sql: &str) -> Result<Classification, Error> {
        self.enter(|connection| {
            let prepared = connection.prepare(sql, For::Looking)?;
            Ok(Classification {
                writes: !prepared.readonly(),
                transaction: prepared.facts.transaction,
                touches_connection: prepared.facts.touches_connection || prepared.facts.asks_counters,
            })
        })
    }

    /// Another client uses it from now on: it sees no count and no rowid of the one before.
    pub fn begin_unit(&mut self) {
        self.counters.restart(&self.inner);
    }

    /// No explicit transaction is open.
    pub fn is_autocommit(&self) -> bool {
        self.inner.is_autocommit()
    }

    /// Inside of a transaction that has read or written: it sees one version to its end.
    pub fn has_begun_to_read(&self) -> bool {
        let state = self.inner.transaction_state(None::<&str>);
        !self.is_autocommit() && !matches!(state, Ok(TransactionState::None))
    }

    /// The last call failed because the backend answered `Refusal::NoTurn`; reading it clears it.
    pub fn take_wants_turn(&mut self) -> bool {
        self.link.take_wants_turn()
    }

    /// Until it is called with `None`: a statement that is not over by then, that needs a page from the object
    /// store, a value of more than `BRIEF_VALUE_BYTES` or a function that may take long in one call, or whose text
    /// has more than `BRIEF_SQL_BYTES`, is ended, and [`Connection::take_wants_patience`] says so. Ending a write ends its transaction.
    ///
    /// INVARIANT: nothing that a statement can do holds up a thread that serves others for long. SQLite looks at
    /// its clock between operations only; a function's call is one, also in a CHECK or an index where nobody sees
    /// it coming. Tested by `what_may_take_long_in_one_call_is_not_brief`.
    pub fn set_brief(&mut self, until: Option<Instant>) {
        self.watch.set_brief(until);
        let bytes = match until {
            Some(_) => BRIEF_VALUE_BYTES.min(self.options.limits.value_bytes),
            None => self.options.limits.value_bytes,
        };
        // It fails for a number that SQLite does not know as a limit.
        let _ = self.inner.set_limit(
            Limit::SQLITE_LIMIT_LENGTH,
            i32::try_from(bytes).unwrap_or(i32::MAX),
        );
    }

    /// The last call failed because it was not brief; reading it clears it.
    pub fn take_wants_patience(&mut self) -> bool {
        self.link.take_wants_patience()
    }

    /// An explicit transaction has taken its snapshot.
    pub fn has_read(&self) -> bool {
        !self.is_autocommit() && self.link.is_pinned()
    }

    /// A following user of this connection could see what this one left: it must not be shared any more.
    pub fn is_marked(&self) -> bool {
        self.marked.get()
    }

    /// A panic went through one of its callbacks: close it.
    pub fn is_poisoned(&self) -> bool {
        self.link.is_poisoned()
    }

    /// Ends the transaction, if one is open, undoing it.
    pub fn rollback(&mut self) {
        let link = Arc::clone(&self.link);
        link.run(|| {
            self.policy.begin_internal();
            self.watch.disarm();
            if !self.inner.is_autocommit() && self.inner.execute_batch("ROLLBACK").is_err() {
                // Only a statement that still runs can be in the way, and none outlives a call.
                self.inner.flush_prepared_statement_cache();
                let _ = self.inner.execute_batch("ROLLBACK");
            }
            self.after_statement();
        });
        debug_assert!(self.inner.is_autocommit());
    }

    /// Drops cached pages and schema: after pending versions were discarded, or another node's commits took
    /// their place. Without it, a commit with the same change counter leaves stale pages in the cache, and the
    /// next write puts them back. Both parts are needed; only outside of a transaction.
    pub fn forget_cached_pages(&mut self) -> Result<(), Error> {
        let link = Arc::clone(&self.link);
        link.run(|| {
            self.policy.begin_internal();
            self.watch.disarm();
            vfs::reset_cache(&self.inner)?;
            self.inner.execute_batch("PRAGMA writable_schema=RESET")
        })
        .map_err(|error| failure(error, &link))
    }

    /// For other threads, to cancel what runs here.
    pub fn interrupt_handle(&self) -> InterruptHandle {
        InterruptHandle {
            sqlite: self.inner.get_interrupt_handle(),
            watch: Arc::clone(&self.watch),
        }
    }

    /// Takes an interrupt back. Nobody may interrupt any more whom it was not meant for.
    pub fn clear_interrupt(&mut self) {
        self.watch.set_cancelled(false);
    }

    /// Bytes of heap that SQLite holds for this connection.
    pub fn memory_used(&self) -> u64 {
        self.link.heap_used().max(vfs::memory_used(&self.inner))
    }

    /// Time and result bytes of the statements from now on. The other limits stay as they were when it was
    /// opened.
    pub fn set_limits(&mut self, limits: &Limits) {
        self.options.limits.statement_time = limits.statement_time;
        self.options.limits.result_bytes = limits.result_bytes;
    }

    /// How it was opened.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Runs `work` with this connection's temporary files, forgetting what failed before.
    fn enter<R>(&mut self, work: impl FnOnce(&Connection) -> Result<R, Error>) -> Result<R, Error> {
        let link = Arc::clone(&self.link);
        link.run(|| {
            link.take_fault();
            link.take_wants_turn();
            link.take_wants_patience();
            if link.is_poisoned() {
                return Err(poisoned());
            }
            let result = work(self);
            let swallowed = result.is_ok().then(|| self.swallowed_fault()).flatten();
            self.after_statement();
            match swallowed {
                Some(error) => Err(error),
                None => result,
            }
        })
    }

    /// A page that could not be read although the statement succeeded: `integrity_check` makes text of it.
    /// What it says is then no answer about the database.
    fn swallowed_fault(&self) -> Option<Error> {
        let fault = self.link.take_fault()?;
        matches!(fault, vfs::Fault::Read(_)).then(|| Error::from_fault(&fault))
    }

    fn after_statement(&self) {
        self.watch.disarm();
        if self.link.take_commit_failed() && !self.inner.is_autocommit() {
            // After a RELEASE that could not commit, SQLite has rolled back but still calls it a transaction: what
            // came next would run outside of the one that the client believes in.
            self.policy.begin_internal();
            let _ = self.inner.execute_batch("ROLLBACK");
        }
        if self.inner.is_autocommit() {
            self.link.set_read_only(self.options.role == Role::Reader);
        }
    }
}

/// Bytes of a value where only what is brief may run: the square of it takes SQLite less than a second.
const BRIEF_VALUE_BYTES: u32 = 16 << 10;
/// Bytes of a text that is prepared there. A megabyte takes SQLite up to a second, and it never looks at its clock.
const BRIEF_SQL_BYTES: usize = 16 << 10;

fn poisoned() -> Error {
    Error::new(
        Code::Sqlite(rusqlite::ffi::SQLITE_INTERNAL),
        Kind::Internal,
        "the connection failed and must be closed",
    )
}

/// An error of the service's own work on `link`.
fn failure(error: rusqlite::Error, link: &Link) -> Error {
    Error::from_sqlite(
        error,
        Circumstances {
            fault: link.take_fault(),
            ..Circumstances::default()
        },
    )
}

fn set_limits(connection: &rusqlite::Connection, limits: &Limits) -> rusqlite::Result<()> {
    for (limit, value) in [
        (Limit::SQLITE_LIMIT_LENGTH, limits.value_bytes),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, limits.sql_bytes),
        (Limit::SQLITE_LIMIT_COLUMN, limits.columns),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, limits.expression_depth),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, limits.compound_terms),
        (Limit::SQLITE_LIMIT_VDBE_OP, limits.vdbe_operations),
        (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, limits.variables),
        (Limit::SQLITE_LIMIT_FUNCTION_ARG, limits.arguments),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, limits.trigger_depth),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, limits.like_pattern_bytes),
        // One, for VACUUM's own copy; the policy denies every ATTACH of a client.
        (Limit::SQLITE_LIMIT_ATTACHED, 1),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, i32::try_from(value).unwrap_or(i32::MAX))?;
    }
    Ok(())
}

/// How a read transaction begins, in words that SQLite takes: READONLY is only the transaction's name to it.
pub(super) const BEGIN_READ_ONLY: &str = "BEGIN TRANSACTION READONLY";

/// What libSQL's clients send for a read transaction: `BEGIN TRANSACTION READONLY` those in TypeScript,
/// `BEGIN READONLY` those on top of the Rust crate. To SQLite the one is a name and the other no SQL, so this
/// one statement is known by its tokens: it may not write.
pub(super) fn is_begin_read_only(sql: &str) -> bool {
    let mut words = sql.trim().trim_end_matches(';').split_ascii_whitespace();
    if !words
        .next()
        .is_some_and(|word| word.eq_ignore_ascii_case("BEGIN"))
    {
        return false;
    }
    let rest: Vec<&str> = words.take(3).collect();
    [
        &["TRANSACTION", "READONLY"][..],
        &["READONLY"],
        &["READONLY", "TRANSACTION"],
    ]
    .iter()
    .any(|form| {
        form.len() == rest.len()
            && form
                .iter()
                .zip(&rest)
                .all(|(expected, word)| word.eq_ignore_ascii_case(expected))
    })
}
