//! What was seen of a group: its objects, and what its nodes say of Raft.

use crate::names::MemberName;
use orion_api::NodeId;
use orion_api::admin::Trouble;
use orion_crds::ReplicationGroup;
use orion_crds::group::Role;
use std::collections::BTreeMap;

/// What was seen of something, or that nobody could see it.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen<T> {
    /// It was asked for and not answered: anything may be true.
    Unknown,
    /// As it was a moment ago.
    Known(T),
}

impl<T> Seen<T> {
    /// The value, if there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Seen::Unknown => None,
            Seen::Known(value) => Some(value),
        }
    }
}

/// All that a group's plan is made from.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The object, with its spec and the status that was written last.
    pub group: ReplicationGroup,
    /// Members that have a StatefulSet of the group's own, a pod, or a disk.
    pub members: BTreeMap<MemberName, MemberSeen>,
    /// What Raft's leader, or else the newest answer, says.
    pub membership: Seen<Membership>,
    /// What each node that answers says to be wrong with it; nothing where all is well.
    pub answers: BTreeMap<MemberName, Vec<Trouble>>,
    /// Whether the Secrets that the spec names hold what they must.
    pub credentials: Credentials,
    /// The peers' certificates.
    pub certificates: Certificates,
    /// Databases of the group.
    pub databases: Seen<DatabasesSeen>,
    /// Names of Database objects that refer to the group, as `namespace/name`.
    pub referring: Vec<String>,
    /// Names of objects that are in the way and somebody else's.
    pub foreign: Vec<String>,
    /// What the API server refused at the last attempt.
    pub refused: Option<String>,
}

/// What there is of a member.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemberSeen {
    /// Whether it has a StatefulSet.
    pub has_statefulset: bool,
    /// Whether the StatefulSet is being deleted.
    pub is_terminating: bool,
    /// Whether the StatefulSet wants a pod.
    pub runs: bool,
    /// Whether its node asks to vote by itself when it comes first.
    pub joins_as_voter: bool,
    /// Whether it was chosen to leave.
    pub is_leaving: bool,
    /// Hash of the StatefulSet's template.
    pub template: Option<String>,
    /// Size that the StatefulSet asks for new disks.
    pub claim_template_size: Option<String>,
    /// The pod.
    pub pod: Option<PodSeen>,
    /// The disk.
    pub claim: Option<ClaimSeen>,
    /// Whether its machine is gone for good: its Node is deleted, or tainted as out of service. Only of a member that does not
    /// run elsewhere by now.
    pub machine_is_gone: bool,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodSeen {
    /// Identity: another pod of the same name has another one.
    pub uid: String,
    /// Whether it is ready.
    pub is_ready: bool,
    /// Whether its container runs. If not, deleting the pod takes nothing away.
    pub is_running: bool,
    /// Whether it is being deleted.
    pub is_terminating: bool,
    /// Hash of the template that it was made from.
    pub template: Option<String>,
    /// Role by its label.
    pub role: Option<String>,
    /// Leader by its label.
    pub leader: Option<String>,
    /// Zone of its machine.
    pub zone: Option<String>,
    /// Why it does not run or is not ready.
    pub trouble: Option<PodTrouble>,
    /// Its machine, once it has one.
    pub machine: Option<String>,
    /// What it runs.
    pub version: Option<String>,
}

/// Why a pod does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodTrouble {
    /// For programs.
    pub kind: PodTroubleKind,
    /// In the kubelet's, the scheduler's or the node's own words.
    pub message: String,
}

/// What keeps a pod from running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodTroubleKind {
    /// No machine takes it.
    Unschedulable,
    /// Its image cannot be had.
    Image,
    /// Its node ended because the object store did not answer.
    ObjectStoreUnavailable,
    /// Its node ended because the object store refused the credentials.
    ObjectStoreDenied,
    /// Its node ended because another group has the name in the object store.
    GroupElsewhere,
    /// Its node ended otherwise.
    Crash,
    /// Anything else that the kubelet waits for.
    Other,
}

/// A disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimSeen {
    /// Whether its volume is gone for ever.
    pub is_lost: bool,
    /// Whether it is being deleted.
    pub is_terminating: bool,
    /// The size that it asks for.
    pub size: Option<String>,
    /// The machine that it was made for.
    pub machine: Option<String>,
}

/// Raft's membership, as the newest answer of a node has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Membership {
    /// Raft's term.
    pub term: u64,
    /// Who leads. None: nobody, as far as is known.
    pub leader: Option<NodeId>,
    /// All members.
    pub members: BTreeMap<NodeId, RaftMember>,
    /// The format that is written.
    pub format_level: u32,
    /// The newest format that all members read.
    pub reads_level: u32,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftMember {
    /// The member whose address it has; None for a stranger.
    pub member: Option<MemberName>,
    /// What it is there for.
    pub role: Role,
    /// Whether it votes.
    pub votes: bool,
    /// Whether it has nearly all that is committed. None: nobody knows.
    pub is_caught_up: Option<bool>,
}

impl Membership {
    /// The node of a member.
    pub fn node_of(&self, member: &MemberName) -> Option<(NodeId, &RaftMember)> {
        let mut nodes = self
            .members
            .iter()
            .filter(|(_, node)| node.member.as_ref() == Some(member));
        // Two have one address only while the one replaces the other: the newer one learns first.
        let first = nodes.next()?;
        let chosen = nodes.find(|(_, node)| node.votes).unwrap_or(first);
        Some((*chosen.0, chosen.1))
    }
}

/// Whether the Secrets that a spec names hold what they must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// They do, or none is named.
    Valid,
    /// One is not there.
    Missing(String),
    /// One lacks something.
    Invalid(String),
    /// They could not be read.
    Unknown,
}

/// The peers' certificates, as the nodes find them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// Nobody wants any.
    Unwanted,
    /// There are none yet.
    Missing(String),
    /// They cannot be read.
    Invalid(String),
    /// They are good until then, by the clock; in seconds of Unix.
    Until(i64),
    /// They could not be looked at.
    Unknown,
}

/// Databases of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabasesSeen {
    /// All that are not dropped.
    pub total: u32,
    /// Those without a Database object, by name.
    pub unmanaged: Vec<String>,
}
