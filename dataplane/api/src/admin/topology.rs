//! Groups, their members, and nodes.

use crate::{GroupName, LogIndex, NodeId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A replication group as one of its members sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// Its name.
    #[schema(value_type = String, example = "default")]
    pub name: GroupName,
    /// Life of its log: a recovery begins a new one.
    pub incarnation: u64,
    /// What this member is in it now.
    pub state: RaftState,
    /// Raft's term.
    pub term: u64,
    /// The leader, if one is known here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub leader: Option<NodeId>,
    /// All members.
    pub members: Vec<Member>,
    /// Newest entry in this member's log.
    #[schema(value_type = u64)]
    pub last_log_index: LogIndex,
    /// Newest entry that a quorum has.
    #[schema(value_type = u64)]
    pub committed_index: LogIndex,
    /// Newest entry applied here.
    #[schema(value_type = u64)]
    pub applied_index: LogIndex,
    /// The local snapshot holds all up to this one.
    #[schema(value_type = u64)]
    pub snapshot_index: LogIndex,
    /// The log holds nothing up to this one.
    #[schema(value_type = u64)]
    pub purged_index: LogIndex,
    /// Formats up to this level are written: an older release that reads less cannot be started again.
    pub format_level: u32,
    /// Databases that it owns.
    pub databases: u64,
    /// What keeps this member from doing its part; nothing where all is well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<Trouble>,
}

/// Something that a person, or the operator, has to mend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trouble {
    /// For programs.
    pub kind: TroubleKind,
    /// For people.
    pub message: String,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TroubleKind {
    /// The object store does not answer.
    ObjectStoreUnavailable,
    /// The object store refuses the credentials.
    ObjectStoreDenied,
    /// The disk has no room for the log.
    DiskFull,
    /// The group of this name in the object store was begun by a node that nobody here knows.
    GroupElsewhere,
    /// This node is not in its group yet.
    NotInGroup,
    /// What a newer release knows.
    #[serde(other)]
    Other,
}

/// What a member is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RaftState {
    /// Takes writes.
    Leader,
    /// Follows a leader.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Has no vote.
    Learner,
    /// Stopped, after a fault.
    Stopped,
}

/// A node in a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// Which node.
    #[schema(value_type = String, example = "96f67897ef193d31")]
    pub node: NodeId,
    /// What it is there for.
    pub role: Role,
    /// Whether it votes. A voter that has not caught up does not yet.
    pub votes: bool,
    /// Where peers reach it; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The newest format level that its release reads.
    pub format_level: u32,
    /// Newest entry that it has; known to the leader only, and not of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub matched_index: Option<LogIndex>,
}

/// What a member is there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Counts for the quorum.
    #[default]
    Voter,
    /// Gets the log.
    Learner,
    /// A learner that serves reads.
    ReadReplica,
}

/// Answer of `GET /groups`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GroupList {
    /// Groups with a member on this node, by name.
    pub groups: Vec<Group>,
}

/// One `orion server` process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// Random, belongs to its disk.
    #[schema(value_type = String, example = "96f67897ef193d31")]
    pub id: NodeId,
    /// Release that it runs.
    pub version: String,
    /// URL of its SQL side.
    pub url: String,
    /// Unix time in milliseconds.
    pub started_at_ms: u64,
    /// Groups that it is a member of.
    #[schema(value_type = Vec<String>)]
    pub groups: Vec<GroupName>,
}

/// Answer of `GET /nodes`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeList {
    /// Nodes known here, by id.
    pub nodes: Vec<Node>,
}

/// Body of `PUT /groups/{name}/members`: what members are to be. Those that are not named stay what they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeMembers {
    /// Roles by node id. All changes are made at once, by one joint change of the membership.
    #[schema(value_type = std::collections::BTreeMap<String, Role>)]
    pub roles: BTreeMap<NodeId, Role>,
}

/// Body of `PUT /groups/{name}/format-level`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeFormatLevel {
    /// The level; all members must read it. It is never lowered.
    pub level: u32,
}

/// Body of `PUT /groups/{name}/leader`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeLeader {
    /// Who is to lead.
    #[schema(value_type = String, example = "96f67897ef193d31")]
    pub node: NodeId,
}
