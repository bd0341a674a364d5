//! From the requests of a pipeline to a plan: what to run, with every text looked up and every mistake that
//! needs no database already answered. Pure.
//!
//! Stored texts change while the plan is made and not while it runs: so a unit can be restarted without
//! undoing anything.

use super::{Texts, fault};
use crate::sql::Args;
use orion_api::Code;
use orion_api::hrana::{Batch, Condition, Error, Outcome, Request, Response, Statement};
use std::sync::Arc;

/// What a pipeline comes to.
#[derive(Debug)]
pub struct Plan {
    /// One for each request.
    pub tasks: Vec<Task>,
    /// Whether the stream is closed at the end.
    pub closes: bool,
}

/// One request, ready to run.
#[derive(Debug)]
pub enum Task {
    /// Needs no database.
    Answered(Outcome),
    /// Run one statement.
    Execute(Call),
    /// Run statements by conditions.
    Batch(Vec<BatchStep>),
    /// Run a script.
    Sequence(Arc<str>),
    /// Say what a statement is.
    Describe(Arc<str>),
    /// Is a transaction open?
    GetAutocommit,
    /// Close the stream: what is open is rolled back.
    Close,
}

/// A statement with its arguments.
#[derive(Debug)]
pub struct Call {
    /// The text.
    pub sql: Arc<str>,
    /// Its arguments.
    pub args: Args,
    /// Whether rows are to be sent.
    pub want_rows: bool,
}

/// A step of a batch: its statement may be wrong already.
#[derive(Debug)]
pub struct BatchStep {
    /// Skipped unless this holds.
    pub condition: Option<Condition>,
    /// What to run.
    pub call: Result<Call, Error>,
}

impl Plan {
    /// Makes a plan; `texts` are the stream's and change with `store_sql` and `close_sql`.
    pub fn new(requests: Vec<Request>, texts: &mut Texts) -> Plan {
        let mut closes = false;
        let tasks = requests
            .into_iter()
            .map(|request| {
                if closes {
                    let error =
                        Error::new(Code::StreamExpired, "the stream was closed by an earlier request");
                    return Task::Answered(Outcome::Error(error));
                }
                closes = matches!(request, Request::Close);
                task(request, texts).unwrap_or_else(|error| Task::Answered(Outcome::Error(error)))
            })
            .collect();
        Plan { tasks, closes }
    }

    /// A plan of one batch, as a cursor runs it.
    pub fn of_batch(batch: Batch, texts: &Texts) -> Plan {
        let task = steps(batch, texts)
            .map(Task::Batch)
            .unwrap_or_else(|error| Task::Answered(Outcome::Error(error)));
        Plan {
            tasks: vec![task],
            closes: false,
        }
    }

    /// Shows every text of the plan.
    pub fn texts(&self, visit: &mut dyn FnMut(&str)) {
        for task in &self.tasks {
            match task {
                Task::Execute(call) => visit(&call.sql),
                Task::Batch(steps) => steps
                    .iter()
                    .filter_map(|step| step.call.as_ref().ok())
                    .for_each(|call| visit(&call.sql)),
                Task::Sequence(sql) | Task::Describe(sql) => visit(sql),
                Task::Answered(_) | Task::GetAutocommit | Task::Close => {}
            }
        }
    }
}

fn task(request: Request, texts: &mut Texts) -> Result<Task, Error> {
    Ok(match request {
        Request::Close => Task::Close,
        Request::Execute(statement) => Task::Execute(call(statement, texts)?),
        Request::Batch(batch) => Task::Batch(steps(batch, texts)?),
        Request::Sequence { sql, sql_id } => Task::Sequence(texts.resolve(sql, sql_id)?),
        Request::Describe { sql, sql_id } => Task::Describe(texts.resolve(sql, sql_id)?),
        Request::StoreSql { sql_id, sql } => {
            texts.store(sql_id, sql)?;
            Task::Answered(Outcome::Ok(Response::StoreSql))
        }
        Request::CloseSql { sql_id } => {
            texts.close(sql_id);
            Task::Answered(Outcome::Ok(Response::CloseSql))
        }
        Request::GetAutocommit => Task::GetAutocommit,
    })
}

fn call(statement: Statement, texts: &Texts) -> Result<Call, Error> {
    let named = |arg: orion_api::hrana::NamedArg| (arg.name, arg.value);
    Ok(Call {
        sql: texts.resolve(statement.sql, statement.sql_id)?,
        args: Args {
            positional: statement.args,
            named: statement.named_args.into_iter().map(named).collect(),
        },
        want_rows: statement.want_rows.unwrap_or(true),
    })
}

fn steps(batch: Batch, texts: &Texts) -> Result<Vec<BatchStep>, Error> {
    let steps = batch.steps.into_iter().enumerate().map(|(index, step)| {
        if let Some(condition) = &step.condition {
            check(condition, index)?;
        }
        Ok(BatchStep {
            condition: step.condition,
            call: call(step.stmt, texts),
        })
    });
    steps.collect()
}

/// A condition may only ask about steps before its own.
fn check(condition: &Condition, index: usize) -> Result<(), Error> {
    match condition {
        Condition::Ok(step) | Condition::Error(step) if *step as usize >= index => Err(fault(format!(
            "the condition of step {index} asks about step {step}, which is not before it"
        ))),
        Condition::Ok(_) | Condition::Error(_) | Condition::IsAutocommit => Ok(()),
        Condition::Not(condition) => check(condition, index),
        Condition::And(conditions) | Condition::Or(conditions) => conditions
            .iter()
            .try_for_each(|condition| check(condition, index)),
    }
}
