//! What a plan can want.

use crate::names::MemberName;
use orion_api::NodeId;
use orion_crds::group::Role;
use std::collections::BTreeMap;

/// One thing to do. All can be done again without harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make a member's StatefulSet.
    CreateMember {
        /// Which.
        member: MemberName,
        /// Whether its node asks to vote by itself.
        joins_as_voter: bool,
    },
    /// Apply a member's StatefulSet: its template, whether it runs, whether it leaves.
    UpdateMember {
        /// Which.
        member: MemberName,
        /// Whether its pod is to run.
        runs: bool,
        /// Whether it is marked as leaving.
        is_leaving: bool,
    },
    /// Delete a member's StatefulSet with its pod; the disk stays.
    DeleteMember {
        /// Which.
        member: MemberName,
    },
    /// Delete a StatefulSet and leave its pod: it comes back with another claim template.
    OrphanMember {
        /// Which.
        member: MemberName,
    },
    /// Delete a member's disk.
    DeleteClaim {
        /// Whose.
        member: MemberName,
    },
    /// Let a disk grow.
    GrowClaim {
        /// Whose.
        member: MemberName,
        /// To this size.
        size: String,
    },
    /// Restart a member's pod.
    RestartPod {
        /// Whose.
        member: MemberName,
        /// That pod only, not its successor.
        uid: String,
        /// How.
        how: Restart,
    },
    /// Say what members are, by one joint change.
    ChangeRoles {
        /// Roles by node; those that are not named stay what they are.
        roles: BTreeMap<NodeId, Role>,
    },
    /// Take a node that does not vote out of Raft, for good.
    RemoveNode {
        /// Which.
        node: NodeId,
    },
    /// Let a node lead.
    ChangeLeader {
        /// Which.
        node: NodeId,
    },
    /// Set the labels of a pod that follow Raft.
    LabelPod {
        /// Whose.
        member: MemberName,
        /// Role.
        role: Role,
        /// Whether it leads.
        leads: bool,
    },
}

impl Action {
    /// In one word, for people and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Action::CreateMember { .. } => "CreateMember",
            Action::UpdateMember { .. } => "UpdateMember",
            Action::DeleteMember { .. } => "DeleteMember",
            Action::OrphanMember { .. } => "OrphanMember",
            Action::DeleteClaim { .. } => "DeleteClaim",
            Action::GrowClaim { .. } => "GrowClaim",
            Action::RestartPod { .. } => "RestartPod",
            Action::ChangeRoles { .. } => "ChangeRoles",
            Action::RemoveNode { .. } => "RemoveNode",
            Action::ChangeLeader { .. } => "ChangeLeader",
            Action::LabelPod { .. } => "LabelPod",
        }
    }
}

/// How a pod is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// By an eviction, which the disruption budget may refuse: then it waits.
    Evict,
    /// At once: it does not run, so nothing is taken away.
    Delete,
}
