//! A unit: one pipeline (or cursor) as work for the database layer.
//!
//! It walks its plan and stops at a statement where the connection is not the right one:
//!
//! - `NeedsTurn`: the statement writes and this connection has no turn. The database gives it one and
//!   resumes, or restarts the unit on the writer.
//! - `NeedsOwnConnection`: the unit belongs to a stream that the client did not close, runs on a shared
//!   connection, and the next statement would leave something behind that the stream's later requests may
//!   see: an open transaction, `changes()`, `last_insert_rowid()`, a pragma, a TEMP table. Until then a
//!   stream is only a number. What ran before stays done: between two statements, outside a transaction, a
//!   connection that only read is like any other.
//!
//! INVARIANT: a statement is run at most once, unless `restart` was called in between.

use super::plan::{BatchStep, Call, Plan, Task};
use super::result;
use crate::database::{Access, Progress, Work};
use crate::room::{Room, Share};
use crate::sql::{Budget, Connection, Role};
use bytes::Bytes;
use orion_api::Code;
use orion_api::hrana::{BatchResult, Condition, Error, Outcome, Response, StatementResult};
use std::sync::Arc;

/// Whose connection a unit runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// One that other clients' units use too.
    Shared,
    /// The stream's.
    Own,
}

/// The work of one pipeline.
pub struct Unit {
    plan: Plan,
    access: Access,
    placement: Placement,
    budget: Option<Budget>,
    /// Of the tasks before the present one.
    outcomes: Vec<Outcome>,
    /// Of the present task, if it is a batch.
    batch: BatchResult,
    moves: bool,
    /// Where the bytes of its results are taken from.
    room: Arc<Room>,
    /// Bytes that it was given in advance, and how many those are.
    given: Option<Share>,
    given_bytes: u64,
    /// A reader found no room for a result; so many bytes it may have at most.
    starved: Option<u64>,
}

/// Why the walk stops before the statement at hand.
struct Stop(Progress);

impl Unit {
    /// A unit that has not begun, on a shared connection. Its results take their bytes from `room`.
    pub fn new(plan: Plan, access: Access, room: Arc<Room>) -> Unit {
        let outcomes = Vec::with_capacity(plan.tasks.len());
        Unit {
            plan,
            access,
            placement: Placement::Shared,
            budget: None,
            outcomes,
            batch: BatchResult::default(),
            moves: false,
            room,
            given: None,
            given_bytes: 0,
            starved: None,
        }
    }

    /// If all that it did was to read on a shared connection, and a result found no room: how many bytes it could
    /// need. It may be run again then.
    pub fn starved(&self) -> Option<u64> {
        self.starved
    }

    /// Begins anew with bytes that are its own already.
    pub fn feed(&mut self, share: Share, bytes: u64) {
        self.restart();
        (self.given, self.given_bytes) = (Some(share), bytes);
    }

    /// Where it runs from now on.
    pub fn place(&mut self, placement: Placement) {
        self.placement = placement;
        self.moves = false;
    }

    /// Whether it stopped because it must go on on a connection of its own.
    pub fn needs_own_connection(&self) -> bool {
        self.moves
    }

    /// Whether it closes its stream.
    pub fn closes(&self) -> bool {
        self.plan.closes
    }

    /// What came of it so far, one for each request.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// What came of it, and what holds its bytes.
    pub fn into_outcomes(self) -> (Vec<Outcome>, Option<Share>) {
        (self.outcomes, self.budget.and_then(Budget::into_share))
    }

    fn task(&mut self, connection: &mut Connection) -> Result<Outcome, Stop> {
        // The task is taken out for the time that it runs, so that its texts need no copies.
        let index = self.outcomes.len();
        let task = std::mem::replace(&mut self.plan.tasks[index], Task::GetAutocommit);
        let outcome = self.run(&task, connection);
        self.plan.tasks[index] = task;
        outcome
    }

    fn run(&mut self, task: &Task, connection: &mut Connection) -> Result<Outcome, Stop> {
        Ok(match task {
            Task::Answered(outcome) => outcome.clone(),
            Task::Execute(call) => match self.call(call, connection)? {
                Ok(result) => Outcome::Ok(Response::Execute(result)),
                Err(error) => Outcome::Error(error),
            },
            Task::Batch(steps) => {
                self.batch(steps, connection)?;
                Outcome::Ok(Response::Batch(std::mem::take(&mut self.batch)))
            }
            Task::Sequence(sql) => match self.sequence(sql, connection)? {
                Ok(()) => Outcome::Ok(Response::Sequence),
                Err(error) => Outcome::Error(error),
            },
            Task::Describe(sql) => match connection.describe(sql) {
                Ok(description) => Outcome::Ok(Response::Describe(result::description(description))),
                Err(error) => Outcome::Error(self.turn_or(&error, connection)?),
            },
            Task::GetAutocommit => Outcome::Ok(Response::GetAutocommit {
                is_autocommit: connection.is_autocommit(),
            }),
            Task::Close => {
                connection.rollback();
                Outcome::Ok(Response::Close)
            }
        })
    }

    fn batch(&mut self, steps: &[BatchStep], connection: &mut Connection) -> Result<(), Stop> {
        for step in &steps[self.batch.step_results.len()..] {
            let runs = step
                .condition
                .as_ref()
                .is_none_or(|condition| holds(condition, &self.batch, connection));
            let (result, error) = match (&step.call, runs) {
                (_, false) => (None, None),
                (Err(error), true) => (None, Some(error.clone())),
                (Ok(call), true) => match self.call(call, connection)? {
                    Ok(result) => (Some(result), None),
                    Err(error) => (None, Some(error)),
                },
            };
            self.batch.step_results.push(result);
            self.batch.step_errors.push(error);
        }
        Ok(())
    }

    fn call(
        &mut self,
        call: &Call,
        connection: &mut Connection,
    ) -> Result<Result<StatementResult, Error>, Stop> {
        if let Err(error) = self.admit(&call.sql, connection)? {
            return Ok(Err(error));
        }
        let budget = self.budget(connection);
        match connection.execute(&call.sql, &call.args, call.want_rows, budget) {
            Ok(result) => Ok(Ok(result::statement(result))),
            Err(_) if budget.take_found_no_room() => Ok(Err(self.starve(connection))),
            Err(error) => self.turn_or(&error, connection).map(Err),
        }
    }

    /// The statement was undone, because the node has no room for its result.
    fn starve(&mut self, connection: &Connection) -> Error {
        let options = connection.options();
        // A shared connection that is not the writer has no turn, so nothing was written.
        if self.placement == Placement::Shared && options.role != Role::Writer {
            self.starved = Some(options.limits.result_bytes);
        }
        Error::new(Code::Overloaded, no_room(&self.room))
    }

    /// One budget for all statements of a unit, counted from the first.
    fn budget(&mut self, connection: &Connection) -> &mut Budget {
        let limits = &connection.options().limits;
        self.budget.get_or_insert_with(|| {
            let share = self.given.take().unwrap_or_else(|| Share::of(&self.room));
            Budget::lasting(limits.statement_time, limits.result_bytes).out_of(share)
        })
    }

    fn sequence(&mut self, sql: &Arc<str>, connection: &mut Connection) -> Result<Result<(), Error>, Stop> {
        if self.stays_open() {
            return Err(Stop(Progress::NeedsOwnConnection));
        }
        if self.access == Access::Read
            && let Err(error) = self.admit(sql, connection)?
        {
            return Ok(Err(error));
        }
        let budget = self.budget(connection);
        match connection.sequence(sql, budget) {
            Ok(()) => Ok(Ok(())),
            Err(error) => self.turn_or(&error, connection).map(Err),
        }
    }

    /// Whether a statement may run here. SQLite says what it is; nothing is asked for the common case of a
    /// unit that closes its stream and may write.
    fn admit(&self, sql: &str, connection: &mut Connection) -> Result<Result<(), Error>, Stop> {
        if !self.stays_open() && self.access == Access::Write {
            return Ok(Ok(()));
        }
        let class = match connection.classify(sql) {
            Ok(class) => class,
            Err(error) => return self.turn_or(&error, connection).map(Err),
        };
        if self.access == Access::Read && class.writes {
            return Ok(Err(read_only()));
        }
        if self.stays_open() && (class.writes || class.transaction.is_some() || class.touches_connection) {
            return Err(Stop(Progress::NeedsOwnConnection));
        }
        Ok(Ok(()))
    }

    fn stays_open(&self) -> bool {
        self.placement == Placement::Shared && !self.plan.closes
    }

    fn turn_or(&self, error: &crate::sql::Error, connection: &mut Connection) -> Result<Error, Stop> {
        if connection.take_wants_patience() {
            return Err(Stop(Progress::NeedsPatience));
        }
        if !connection.take_wants_turn() {
            return Ok(result::error(error));
        }
        match self.access {
            Access::Write => Err(Stop(Progress::NeedsTurn)),
            Access::Read => Ok(read_only()),
        }
    }
}

impl Work for Unit {
    fn statements(&self, visit: &mut dyn FnMut(&str)) {
        self.plan.texts(visit);
    }

    fn resume(&mut self, connection: &mut Connection) -> Progress {
        while self.outcomes.len() < self.plan.tasks.len() {
            match self.task(connection) {
                Ok(outcome) => self.outcomes.push(outcome),
                Err(Stop(progress)) => {
                    self.moves = progress == Progress::NeedsOwnConnection;
                    return progress;
                }
            }
        }
        if self.plan.closes {
            // Nobody can end what is still open.
            connection.rollback();
        }
        Progress::Done
    }

    fn restart(&mut self) {
        self.outcomes.clear();
        self.batch = BatchResult::default();
        if let Some(mut share) = self.budget.take().and_then(Budget::into_share)
            && self.given_bytes > 0
        {
            share.refill(self.given_bytes);
            self.given = Some(share);
        }
        self.moves = false;
        self.starved = None;
    }

    fn record(&self) -> Option<Bytes> {
        // Serializing our own types cannot fail; without a reply only the fact is kept.
        serde_json::to_vec(&self.outcomes).ok().map(Bytes::from)
    }
}

/// What to tell whom the node has no room for.
pub(super) fn no_room(room: &Room) -> String {
    format!(
        "this was not done: replies that clients have not read yet fill the {} bytes that this node has for them (limits.reply_bytes_total); ask for fewer rows at a time, or again later",
        room.limit()
    )
}

fn read_only() -> Error {
    Error::new(
        Code::AuthForbidden,
        "the token allows reading only, and this statement writes",
    )
}

/// Evaluates a condition; `plan` has made sure that it asks only about steps that are over.
fn holds(condition: &Condition, batch: &BatchResult, connection: &Connection) -> bool {
    match condition {
        Condition::Ok(step) => succeeded(batch, *step),
        Condition::Error(step) => !succeeded(batch, *step),
        Condition::Not(condition) => !holds(condition, batch, connection),
        Condition::And(all) => all.iter().all(|condition| holds(condition, batch, connection)),
        Condition::Or(any) => any.iter().any(|condition| holds(condition, batch, connection)),
        Condition::IsAutocommit => connection.is_autocommit(),
    }
}

fn succeeded(batch: &BatchResult, step: u32) -> bool {
    batch.step_results.get(step as usize).is_some_and(Option::is_some)
}

#[cfg(test)]
mod tests;
