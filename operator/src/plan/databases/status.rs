//! What is said of a database.

use super::limits::shown_size;
use super::place::present_group;
use super::steps::Planner;
use crate::plan::status::{Finding, shortened, timed};
use crate::render::endpoint;
use orion_api::admin::Database as Made;
use orion_crds::condition::Status;
use orion_crds::database::{DatabaseStatus, Phase, condition, reason};

impl Planner<'_> {
    pub(super) fn status(&mut self, made: Option<&Made>, now: &str) -> DatabaseStatus {
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
