//! Names of the objects that belong to a group or a database, their labels, and the annotations that people use. Names
//! are made here only: one that is spelled twice is one that differs one day.

use orion_crds::group::Role;
use std::fmt;

/// Field manager of all objects that the operator writes.
pub const MANAGER: &str = "orion-operator";

/// Field manager of status.
pub const STATUS_MANAGER: &str = "orion-operator-status";

/// Port of the SQL side, of the admin API and of the probes.
pub const HTTP_PORT: u16 = 8091;

/// Port that nodes speak to each other on.
pub const PEER_PORT: u16 = 8191;

/// Label: the group's name, on everything that belongs to it.
pub const GROUP: &str = "orion-db.dev/group";
/// Label: the member set.
pub const SET: &str = "orion-db.dev/set";
/// Label: the member, which is its StatefulSet's name.
pub const MEMBER: &str = "orion-db.dev/member";
/// Label of pods: what it is in Raft now. The PodDisruptionBudget counts voters by it.
pub const ROLE: &str = "orion-db.dev/role";
/// Label of pods: `true` on the one that leads. An optimisation: every node passes requests on.
pub const LEADER: &str = "orion-db.dev/leader";
/// Label: the Database object that a Secret or Service belongs to.
pub const DATABASE: &str = "orion-db.dev/database";

/// Annotation of a StatefulSet and its pod: hash of what needs a restart.
pub const TEMPLATE: &str = "orion-db.dev/template";
/// Annotation of a StatefulSet: `voter` or `read_replica`, what its node asks to be when it comes first.
pub const JOINS: &str = "orion-db.dev/joins";
/// Annotation of a StatefulSet: the member goes. Written before anything else is done for it, so that the choice stays.
pub const LEAVING: &str = "orion-db.dev/leaving";

/// Annotation that people set on a group: `true` stops all changes of its objects.
pub const PAUSED: &str = "orion-db.dev/paused";
/// Annotation that people set on a group: another value restarts all pods, one at a time.
pub const RESTART: &str = "orion-db.dev/restart";
/// Annotation that people set on a group: pods that are held stopped, by commas.
pub const FENCE: &str = "orion-db.dev/fence";
/// Annotation that people set on a group: the pod that is to lead.
pub const LEAD: &str = "orion-db.dev/leader";
/// Annotation that people set on a group: pods whose disks are given up, by commas.
pub const REPLACE: &str = "orion-db.dev/replace";
/// Annotation that people set on an object that is being deleted: let it go, the data stays.
pub const ABANDON: &str = "orion-db.dev/abandon";
/// Annotation that people set on a Database: another value makes its tokens anew.
pub const ROTATE_TOKEN: &str = "orion-db.dev/rotate-token";

/// Finalizer of groups and databases.
pub const FINALIZER: &str = "orion-db.dev/finalizer";

/// A member: its set and its number, which no other member of the group ever has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberName {
    /// Name of its set.
    pub set: String,
    /// Its number in the group.
    pub number: u32,
}

impl MemberName {
    /// The StatefulSet, and the label of all that is the member's.
    pub fn statefulset(&self, group: &str) -> String {
        format!("{group}-{self}")
    }

    /// The one pod of it.
    pub fn pod(&self, group: &str) -> String {
        format!("{group}-{self}-0")
    }

    /// The pod's disk.
    pub fn claim(&self, group: &str) -> String {
        format!("data-{group}-{self}-0")
    }

    /// Where other nodes reach it: the same for ever.
    pub fn address(&self, group: &str, namespace: &str) -> String {
        format!("{}.{group}-peers.{namespace}.svc:{PEER_PORT}", self.pod(group))
    }

    /// From a StatefulSet's name. None where it is not one of this group's.
    pub fn of_statefulset(group: &str, name: &str) -> Option<MemberName> {
        let (set, number) = name.strip_prefix(group)?.strip_prefix('-')?.rsplit_once('-')?;
        let member = MemberName {
            set: set.to_owned(),
            number: number.parse().ok()?,
        };
        // Numbers such as 007, and sets that no schema admits, are somebody else's.
        let is_ours = !set.is_empty() && set.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        (is_ours && member.statefulset(group) == name).then_some(member)
    }

    /// From an address in Raft's membership. None where it is not one of this group's.
    pub fn of_address(group: &str, namespace: &str, address: &str) -> Option<MemberName> {
        let pod = address.split_once('.')?.0;
        let member = MemberName::of_statefulset(group, pod.strip_suffix("-0")?)?;
        (member.address(group, namespace) == address).then_some(member)
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.set, self.number)
    }
}

/// Value of the label [`ROLE`].
pub fn role_label(role: Role) -> &'static str {
    match role {
        Role::Voter => "voter",
        Role::Learner => "learner",
        Role::ReadReplica => "read-replica",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_members_names_lead_back_to_it() {
        let member = MemberName {
            set: "a".into(),
            number: 12,
        };
        assert_eq!(
            MemberName::of_statefulset("my-group", "my-group-a-12"),
            Some(member.clone())
        );
        let address = member.address("my-group", "ns");
        assert_eq!(address, "my-group-a-12-0.my-group-peers.ns.svc:8191");
        assert_eq!(MemberName::of_address("my-group", "ns", &address), Some(member));
    }

    #[test]
    fn names_of_others_lead_nowhere() {
        for name in [
            "g", "g-", "g-a", "g-a-x", "g-a-01", "g-a-b-1", "h-a-1", "g--1", "g-A-1",
        ] {
            assert_eq!(MemberName::of_statefulset("g", name), None, "{name}");
        }
        for address in [
            "g-a-1-0.g-peers.other.svc:8191",
            "10.0.0.1:8191",
            "",
            "g-a-1-1.g-peers.ns.svc:8191",
        ] {
            assert_eq!(MemberName::of_address("g", "ns", address), None, "{address}");
        }
    }
}
