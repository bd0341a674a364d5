//! What is to be done for a database: one step, from what was seen.

use super::limits::{limits_change, wished_limits};
use super::place::name_in_group;
use super::{DatabaseAction, DatabaseObserved, GroupSeen};
use crate::names;
use crate::plan::observed::Seen;
use crate::plan::status::Finding;
use orion_api::admin::{CreateDatabase, Database as Made, DatabaseState};
use orion_api::{DatabaseId, DatabaseName};
use orion_crds::condition::Status;
use orion_crds::database::{Phase, condition, reason};
use orion_crds::group::DeletionPolicy;

/// A plan in the making.
pub(super) struct Planner<'a> {
    pub(super) observed: &'a DatabaseObserved,
    pub(super) actions: Vec<DatabaseAction>,
    pub(super) findings: Vec<Finding>,
    pub(super) phase: Phase,
}

impl<'a> Planner<'a> {
    pub(super) fn new(observed: &'a DatabaseObserved) -> Planner<'a> {
        Planner {
            observed,
            actions: Vec::new(),
            findings: Vec::new(),
            phase: Phase::Ready,
        }
    }

    fn has_finalizer(&self) -> bool {
        let finalizers = self.observed.database.metadata.finalizers.iter().flatten();
        finalizers
            .into_iter()
            .any(|finalizer| finalizer == names::FINALIZER)
    }

    pub(super) fn known_id(&self) -> Option<DatabaseId> {
        let status = self.observed.database.status.as_ref()?;
        status.database_id.as_ref()?.parse().ok()
    }

    pub(super) fn say(
        &mut self,
        type_: &'static str,
        is_so: bool,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        let status = if is_so { Status::True } else { Status::False };
        self.findings.push(Finding::new(type_, status, reason, message));
    }

    pub(super) fn stop(
        &mut self,
        phase: Phase,
        type_: &'static str,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        self.phase = phase;
        self.say(type_, false, reason, message);
    }

    /// Returns the database as it is, once it is ours.
    pub(super) fn reconcile(&mut self) -> Option<Made> {
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

    pub(super) fn delete(&mut self) -> Option<Made> {
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
}
