//! A database's plan: made or adopted in its group, with a Secret and a Service; dropped when its object goes and Delete
//! says so.
//!
//! INVARIANT: a database is dropped only if the object is being deleted, its policy is Delete, and the database is the very
//! one that this object made or adopted (by id). Tested by `only_the_own_database_is_dropped_and_only_by_wish`.

use super::observed::Seen;
use super::status::{Finding, shortened, timed};
use crate::names;
use crate::render::endpoint;
use orion_api::admin::{ChangeDatabase, CreateDatabase, Database as Made, DatabaseState, LimitsChange};
use orion_api::{DatabaseId, DatabaseName};
use orion_crds::condition::Status;
use orion_crds::database::{DatabaseStatus, Phase, condition, reason};
use orion_crds::group::DeletionPolicy;
use orion_crds::reference::GroupRef;
use orion_crds::{Database, Duration, Quantity};

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

/// Plans one step of a database.
pub fn plan_database(observed: &DatabaseObserved, now: &str) -> DatabasePlan {
    let mut planner = Planner {
        observed,
        actions: Vec::new(),
        findings: Vec::new(),
        phase: Phase::Ready,
    };
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

struct Planner<'a> {
    observed: &'a DatabaseObserved,
    actions: Vec<DatabaseAction>,
    findings: Vec<Finding>,
    phase: Phase,
}

impl Planner<'_> {
    fn has_finalizer(&self) -> bool {
        let finalizers = self.observed.database.metadata.finalizers.iter().flatten();
        finalizers
            .into_iter()
            .any(|finalizer| finalizer == names::FINALIZER)
    }

    fn known_id(&self) -> Option<DatabaseId> {
        let status = self.observed.database.status.as_ref()?;
        status.database_id.as_ref()?.parse().ok()
    }

    fn say(&mut self, type_: &'static str, is_so: bool, reason: &'static str, message: impl Into<String>) {
        let status = if is_so { Status::True } else { Status::False };
        self.findings.push(Finding::new(type_, status, reason, message));
    }

    fn stop(&mut self, phase: Phase, type_: &'static str, reason: &'static str, message: impl Into<String>) {
        self.phase = phase;
        self.say(type_, false, reason, message);
    }

    /// Returns the database as it is, once it is ours.
    fn reconcile(&mut self) -> Option<Made> {
        let observed = self.observed;
        let database = &observed.database;
        // Where the data stays nothing is to be done when the object goes: then it needs no finalizer, and no write for it.
        if !self.has_finalizer() && database.spec.deletion_policy == DeletionPolicy::Delete {
            self.actions.push(DatabaseAction::AddFinalizer);
        }
        self.say_placement();
        if !self.group_accepts() {
            return None;
        }
        if database.spec.source.is_some() {
            let message =
                "source is not carried out by this version; leave it out and load the data yourself";
            self.stop(
                Phase::Failed,
                condition::SOURCE_LOADED,
                reason::NOT_SUPPORTED,
                message,
            );
            return None;
        }
        let Seen::Known(found) = &observed.made else {
            let message = "the group could not be asked for the database";
            self.stop(
                Phase::Unavailable,
                condition::NAME_ACCEPTED,
                reason::GROUP_NOT_READY,
                message,
            );
            return None;
        };
        let found = found.as_ref().filter(|made| made.state != DatabaseState::Dropped);
        match found {
            Some(made) if self.is_ours(made) => {
                self.keep(made);
                Some(made.clone())
            }
            Some(made) => {
                self.claim_or_refuse(made);
                None
            }
            None => {
                self.create();
                None
            }
        }
    }

    fn say_placement(&mut self) {
        let wished = group_of(&self.observed.database);
        let present = present_group(&self.observed.database);
        match wished == present {
            true => self.say(
                condition::PLACEMENT_MATCHES_SPEC,
                true,
                reason::AS_WISHED,
                "it is where the spec says",
            ),
            false => {
                let message = format!(
                    "it stays in {}: this version does not carry out moves by spec.groupRef",
                    present.name
                );
                self.say(
                    condition::PLACEMENT_MATCHES_SPEC,
                    false,
                    reason::NOT_SUPPORTED,
                    message,
                );
            }
        }
    }

    fn group_accepts(&mut self) -> bool {
        let name = present_group(&self.observed.database).name;
        match self.observed.group {
            GroupSeen::Missing => {
                let message = format!("there is no ReplicationGroup {name}");
                self.stop(
                    Phase::Pending,
                    condition::GROUP_ACCEPTED,
                    reason::GROUP_MISSING,
                    message,
                );
                false
            }
            GroupSeen::Refuses => {
                let message = format!("allowedNamespaces of {name} does not let this namespace in");
                self.stop(
                    Phase::Pending,
                    condition::GROUP_ACCEPTED,
                    reason::NAMESPACE_REFUSED,
                    message,
                );
                false
            }
            GroupSeen::There {
                is_deleting: true, ..
            } if self.known_id().is_none() => {
                let message = format!("{name} is being deleted");
                self.stop(
                    Phase::Pending,
                    condition::GROUP_ACCEPTED,
                    reason::GROUP_CLOSED,
                    message,
                );
                false
            }
            GroupSeen::There {
                is_schedulable: false,
                ..
            } if self.known_id().is_none() => {
                let message = format!("spec.schedulable of {name} is false: it takes no new databases");
                self.stop(
                    Phase::Pending,
                    condition::GROUP_ACCEPTED,
                    reason::GROUP_CLOSED,
                    message,
                );
                false
            }
            GroupSeen::There { is_ready: false, .. } => {
                let phase = if self.known_id().is_some() {
                    Phase::Unavailable
                } else {
                    Phase::Pending
                };
                let message = format!("{name} does not serve now");
                self.stop(phase, condition::GROUP_ACCEPTED, reason::GROUP_NOT_READY, message);
                false
            }
            GroupSeen::There { .. } => {
                self.say(
                    condition::GROUP_ACCEPTED,
                    true,
                    reason::AS_WISHED,
                    "the group lets it in",
                );
                true
            }
        }
    }

    /// By id: a database of the same name that somebody made after ours was dropped is not ours.
    fn is_ours(&self, made: &Made) -> bool {
        let adopts = self
            .observed
            .database
            .spec
            .adopt
            .as_ref()
            .and_then(|id| id.parse().ok());
        match self.known_id() {
            Some(id) => made.id == id,
            None => adopts == Some(made.id),
        }
    }

    fn keep(&mut self, made: &Made) {
        self.say(
            condition::NAME_ACCEPTED,
            true,
            reason::AS_WISHED,
            "the name is its own",
        );
        if made.state != DatabaseState::Active {
            self.phase = Phase::Degraded;
        }
        if let Some(change) = limits_change(&self.observed.database, made) {
            self.actions
                .push(DatabaseAction::Change(made.name.clone(), change));
        }
        self.keep_objects();
    }

    fn keep_objects(&mut self) {
        if let Some(name) = self.observed.foreign.first() {
            let message = format!(
                "{name} belongs to somebody else; delete it or choose another name in spec.connection"
            );
            self.stop(
                Phase::Degraded,
                condition::SECRET_READY,
                reason::NAME_TAKEN,
                message,
            );
            return;
        }
        if !self.observed.objects_are_right {
            self.actions.push(DatabaseAction::ApplyObjects);
        }
        self.say(
            condition::SECRET_READY,
            true,
            reason::AS_WISHED,
            "the Secret is there",
        );
        self.say(
            condition::SERVICE_READY,
            true,
            reason::AS_WISHED,
            "the Service is as spec.connection says",
        );
    }

    /// There is a database of this name. One that this object's own creation made, before it could be written down, is
    /// known by its idempotency key: creating it again answers with it. Any other is somebody else's.
    fn claim_or_refuse(&mut self, made: &Made) {
        if self.known_id().is_none() && self.observed.database.spec.adopt.is_none() {
            self.create();
            return;
        }
        let message = match &self.observed.database.spec.adopt {
            Some(id) if self.known_id().is_none() => {
                self.stop(
                    Phase::Failed,
                    condition::NAME_ACCEPTED,
                    reason::ADOPTION_REFUSED,
                    format!("the database {} has the id {}, not {id}", made.name, made.id),
                );
                return;
            }
            _ => format!(
                "the name {} is another database's now, with the id {}",
                made.name, made.id
            ),
        };
        self.stop(
            Phase::Failed,
            condition::NAME_ACCEPTED,
            reason::NAME_TAKEN,
            message,
        );
    }

    fn create(&mut self) {
        let database = &self.observed.database;
        if let Some(id) = self.known_id() {
            // INVARIANT: what was there and is gone is not made anew: an empty database under an old name hides a loss.
            let message = format!("the database {id} is not in the group any more; it was dropped there");
            self.stop(Phase::Failed, condition::NAME_ACCEPTED, reason::REFUSED, message);
            return;
        }
        if let Some(id) = &database.spec.adopt {
            let message = format!("no database of this name with the id {id} is in the group");
            self.stop(
                Phase::Failed,
                condition::NAME_ACCEPTED,
                reason::ADOPTION_REFUSED,
                message,
            );
            return;
        }
        let name = name_in_group(database);
        let Ok(name) = name.parse::<DatabaseName>() else {
            let message = format!("{name} is no name of a database");
            self.stop(Phase::Failed, condition::NAME_ACCEPTED, reason::REFUSED, message);
            return;
        };
        if let Some(why) = &self.observed.refused {
            let message = format!("the group refuses {name}: {why}");
            self.stop(Phase::Failed, condition::NAME_ACCEPTED, reason::REFUSED, message);
        } else {
            self.phase = Phase::Creating;
        }
        let mut wish = CreateDatabase::named(name);
        wish.limits = wished_limits(database);
        // The same object never makes two, however often this is sent; another object never gets this one's.
        wish.idempotency_key = database.metadata.uid.clone();
        self.actions.push(DatabaseAction::Create(wish));
    }

    fn delete(&mut self) -> Option<Made> {
        self.phase = Phase::Deleting;
        if !self.has_finalizer() {
            return None;
        }
        let observed = self.observed;
        let annotations = observed.database.metadata.annotations.as_ref();
        let is_abandoned = annotations.is_some_and(|all| all.contains_key(names::ABANDON));
        let is_gone = matches!(observed.group, GroupSeen::Missing | GroupSeen::Refuses);
        let retains = observed.database.spec.deletion_policy == DeletionPolicy::Retain;
        let was_never_made = self.known_id().is_none();
        if is_abandoned || is_gone || retains || observed.namespace_goes || was_never_made {
            self.actions.push(DatabaseAction::RemoveFinalizer);
            return None;
        }
        match &observed.made {
            Seen::Unknown => {
                let message = "the group could not be asked; the database is dropped when it answers";
                self.stop(
                    Phase::Deleting,
                    condition::GROUP_ACCEPTED,
                    reason::GROUP_NOT_READY,
                    message,
                );
                None
            }
            Seen::Known(Some(made)) if made.state != DatabaseState::Dropped && self.is_ours(made) => {
                self.actions.push(DatabaseAction::Drop(made.name.clone()));
                Some(made.clone())
            }
            // Dropped, or another one's name by now.
            Seen::Known(_) => {
                self.actions.push(DatabaseAction::RemoveFinalizer);
                None
            }
        }
    }

    fn status(&mut self, made: Option<&Made>, now: &str) -> DatabaseStatus {
        let database = &self.observed.database;
        let before = database.status.clone().unwrap_or_default();
        let failing = self.findings.iter().find(|finding| {
            finding.status == Status::False && finding.type_ != condition::PLACEMENT_MATCHES_SPEC
        });
        let ready = match (failing, self.phase) {
            (Some(failing), _) => Finding::new(
                condition::READY,
                Status::False,
                failing.reason,
                failing.message.clone(),
            ),
            (None, Phase::Ready) if made.is_some() => {
                Finding::new(condition::READY, Status::True, reason::AS_WISHED, "it serves")
            }
            (None, Phase::Deleting) => Finding::new(
                condition::READY,
                Status::False,
                reason::DELETING,
                "it is being deleted",
            ),
            (None, _) => Finding::new(
                condition::READY,
                Status::False,
                reason::GROUP_NOT_READY,
                "it is being made",
            ),
        };
        let message = (ready.status != Status::True).then(|| shortened(&ready.message, 256));
        let findings = std::iter::once(ready).chain(self.findings.drain(..)).collect();
        let group = present_group(database);
        let namespace = group.namespace.clone().unwrap_or_default();
        DatabaseStatus {
            phase: Some(self.phase),
            observed_generation: database.metadata.generation,
            message,
            conditions: timed(findings, &before.conditions, database.metadata.generation, now),
            database_id: made.map(|made| made.id.to_string()).or(before.database_id),
            database_name: made.map(|made| made.name.to_string()).or(before.database_name),
            endpoint: made
                .map(|made| endpoint(&group.name, &namespace, made.name.as_str()))
                .or(before.endpoint),
            size: made.map(|made| shown_size(made.size_bytes)).or(before.size),
            epoch: made
                .and_then(|made| i64::try_from(made.epoch.0).ok())
                .or(before.epoch),
            handled_group_ref: match made {
                Some(_) => Some(group.clone()),
                None => before.handled_group_ref,
            },
            group: Some(group),
            token_key_id: before.token_key_id,
            standbys: before.standbys,
        }
    }
}

fn wished_limits(database: &Database) -> orion_api::admin::Limits {
    let limits = &database.spec.limits;
    let millis = |time: &Duration| time.std().and_then(|time| u64::try_from(time.as_millis()).ok());
    orion_api::admin::Limits {
        size_bytes: limits.size.as_ref().and_then(Quantity::units),
        statement_time_ms: limits.statement_timeout.as_ref().and_then(millis),
        streams: limits.connections.map(u64::from),
        ..orion_api::admin::Limits::default()
    }
}

/// Limits that the spec names and that differ. What it does not name stays as it is.
fn limits_change(database: &Database, made: &Made) -> Option<ChangeDatabase> {
    let wished = wished_limits(database);
    let differs =
        |wished: Option<u64>, now: Option<u64>| (wished.is_some() && wished != now).then_some(wished);
    let limits = LimitsChange {
        size_bytes: differs(wished.size_bytes, made.limits.size_bytes),
        statement_time_ms: differs(wished.statement_time_ms, made.limits.statement_time_ms),
        streams: differs(wished.streams, made.limits.streams),
        ..LimitsChange::default()
    };
    (limits != LimitsChange::default()).then_some(ChangeDatabase { limits })
}

/// A size with two digits: a status that changed with every page would be written all the time.
pub fn shown_size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    match size < 10.0 && unit > 0 {
        true => format!("{size:.1} {}", units[unit]),
        false => format!("{size:.0} {}", units[unit]),
    }
}
