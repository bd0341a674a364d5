//! A database's plan: made or adopted in its group, with a Secret and a Service; dropped when its object goes and Delete
//! says so.
//!
//! INVARIANT: a database is dropped only if the object is being deleted, its policy is Delete, and the database is the very
//! one that this object made or adopted (by id). Tested by `only_the_own_database_is_dropped_and_only_by_wish`.

mod admission;
mod limits;
mod place;
mod status;
mod steps;

pub use limits::shown_size;
pub use place::{group_of, name_in_group, present_group};

use super::observed::Seen;
use orion_api::DatabaseName;
use orion_api::admin::{ChangeDatabase, CreateDatabase, Database as Made};
use orion_crds::Database;
use orion_crds::database::DatabaseStatus;
use steps::Planner;

/// All that a database's plan is made from.
#[derive(Clone, Debug)]
pub struct DatabaseObserved {
    /// The object, with its spec and the status that was written last.
    pub database: Database,
    /// Its group.
    pub group: GroupSeen,
    /// What its group has under the name that it would get.
    pub made: Seen<Option<Made>>,
    /// Objects that are in the way and somebody else's, by kind and name.
    pub foreign: Vec<String>,
    /// Whether its Secret and Service are as they are to be.
    pub objects_are_right: bool,
    /// Whether its namespace is being deleted.
    pub namespace_goes: bool,
    /// What the group refused at the last attempt.
    pub refused: Option<String>,
}

/// What was seen of a database's group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupSeen {
    /// There is none.
    Missing,
    /// It does not let the namespace in.
    Refuses,
    /// It is there.
    There {
        /// Whether it serves.
        is_ready: bool,
        /// Whether it takes new databases.
        is_schedulable: bool,
        /// Whether it goes.
        is_deleting: bool,
    },
}

/// One thing to do for a database.
#[derive(Clone, Debug, PartialEq)]
pub enum DatabaseAction {
    /// Put the finalizer on: before the database is made.
    AddFinalizer,
    /// Make it in its group.
    Create(CreateDatabase),
    /// Change its limits.
    Change(DatabaseName, ChangeDatabase),
    /// Apply its Secrets and its Service.
    ApplyObjects,
    /// Drop it in its group.
    Drop(DatabaseName),
    /// Let the object go.
    RemoveFinalizer,
}

impl DatabaseAction {
    /// In one word, for people and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            DatabaseAction::AddFinalizer => "AddFinalizer",
            DatabaseAction::Create(_) => "Create",
            DatabaseAction::Change(..) => "Change",
            DatabaseAction::ApplyObjects => "ApplyObjects",
            DatabaseAction::Drop(_) => "Drop",
            DatabaseAction::RemoveFinalizer => "RemoveFinalizer",
        }
    }
}

/// What is to be done now, and what is said.
#[derive(Clone, Debug, PartialEq)]
pub struct DatabasePlan {
    /// In this order.
    pub actions: Vec<DatabaseAction>,
    /// Written after them.
    pub status: DatabaseStatus,
}

/// Plans one step of a database.
pub fn plan_database(observed: &DatabaseObserved, now: &str) -> DatabasePlan {
    let mut planner = Planner::new(observed);
    let made = match observed.database.metadata.deletion_timestamp.is_some() {
        true => planner.delete(),
        false => planner.reconcile(),
    };
    let status = planner.status(made.as_ref(), now);
    DatabasePlan {
        actions: planner.actions,
        status,
    }
}
