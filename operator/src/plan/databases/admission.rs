//! Whether a database's group lets it in, and whether it is where the spec says.

use super::GroupSeen;
use super::place::{group_of, present_group};
use super::steps::Planner;
use orion_crds::database::{Phase, condition, reason};

impl Planner<'_> {
    pub(super) fn say_placement(&mut self) {
        let wished = group_of(&self.observed.database);
        let present = present_group(&self.observed.database);
        let (reason, message) = match wished == present {
            true => (reason::AS_WISHED, "it is where the spec says".to_owned()),
            false => (
                reason::NOT_SUPPORTED,
                format!(
                    "it stays in {}: this version does not carry out moves by spec.groupRef",
                    present.name
                ),
            ),
        };
        self.say(
            condition::PLACEMENT_MATCHES_SPEC,
            wished == present,
            reason,
            message,
        );
    }

    /// Whether anything can be done in the group; what is in the way is said.
    pub(super) fn group_accepts(&mut self) -> bool {
        match self.hindrance() {
            Some((phase, reason, message)) => {
                self.stop(phase, condition::GROUP_ACCEPTED, reason, message);
                false
            }
            None => {
                let message = "the group lets it in";
                self.say(condition::GROUP_ACCEPTED, true, reason::AS_WISHED, message);
                true
            }
        }
    }

    fn hindrance(&self) -> Option<(Phase, &'static str, String)> {
        let name = present_group(&self.observed.database).name;
        let is_new = self.known_id().is_none();
        let pending = |reason, message| Some((Phase::Pending, reason, message));
        let (is_ready, is_schedulable, is_deleting) = match self.observed.group {
            GroupSeen::Missing => {
                return pending(
                    reason::GROUP_MISSING,
                    format!("there is no ReplicationGroup {name}"),
                );
            }
            GroupSeen::Refuses => {
                let message = format!("allowedNamespaces of {name} does not let this namespace in");
                return pending(reason::NAMESPACE_REFUSED, message);
            }
            GroupSeen::There {
                is_ready,
                is_schedulable,
                is_deleting,
            } => (is_ready, is_schedulable, is_deleting),
        };
        if is_new && is_deleting {
            return pending(reason::GROUP_CLOSED, format!("{name} is being deleted"));
        }
        if is_new && !is_schedulable {
            let message = format!("spec.schedulable of {name} is false: it takes no new databases");
            return pending(reason::GROUP_CLOSED, message);
        }
        if is_ready {
            return None;
        }
        let phase = if is_new {
            Phase::Pending
        } else {
            Phase::Unavailable
        };
        Some((
            phase,
            reason::GROUP_NOT_READY,
            format!("{name} does not serve now"),
        ))
    }
}
