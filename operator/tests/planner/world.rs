//! A small world: StatefulSets make pods and disks, pods become ready, nodes join Raft and catch up, and leaders are
//! elected where a majority runs. Time is steps. Every plan is linted before it is carried out, and what it does to the
//! majority is checked where it happens.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use orion_api::NodeId;
use orion_api::admin::Trouble;
use orion_crds::group::{ReplicationGroupSpec, Role};
use orion_crds::{Quantity, ReplicationGroup};
use orion_operator::names::{self, MemberName};
use orion_operator::plan::{
    Action, Certificates, ClaimSeen, Credentials, DatabasesSeen, MemberSeen, Membership, Notice, Observed,
    Plan, PodSeen, PodTrouble, PodTroubleKind, RaftMember, Seen, action_notice, group_notices, lint,
    plan_group,
};
use orion_operator::render::{Context, MemberTemplate, TEMPLATE_REVISION, template_hash};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// An image that does not start.
pub const BROKEN: &str = "orion:broken";

#[derive(Clone, Debug, Default)]
pub struct StatefulSet {
    pub template: String,
    pub image: String,
    pub runs: bool,
    pub joins_as_voter: bool,
    pub is_leaving: bool,
    pub claim_size: String,
}

#[derive(Clone, Debug)]
pub struct Pod {
    pub uid: u64,
    pub template: String,
    pub image: String,
    pub joins_as_voter: bool,
    /// Steps since it began; it is ready at two.
    pub age: u32,
    pub labels: (Option<String>, Option<String>),
}

#[derive(Clone, Debug)]
pub struct Disk {
    pub node: NodeId,
    pub size: String,
    /// Whether its node was ever in Raft: then it does not come in again.
    pub was_member: bool,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub member: MemberName,
    pub role: Role,
    pub votes: bool,
    pub lacks: u32,
}

pub struct World {
    pub group: ReplicationGroup,
    pub sets: BTreeMap<MemberName, StatefulSet>,
    pub pods: BTreeMap<MemberName, Pod>,
    pub disks: BTreeMap<MemberName, Disk>,
    pub raft: BTreeMap<NodeId, Node>,
    pub leader: Option<NodeId>,
    pub term: u64,
    /// Members whose machines are gone for good.
    pub gone: BTreeSet<MemberName>,
    /// Whether nodes can be asked.
    pub is_blind: bool,
    pub done: Vec<Action>,
    /// What people were told.
    pub told: Vec<Notice>,
    /// Numbers of members that ever had a disk.
    numbers_used: BTreeSet<u32>,
    next_uid: u64,
}

pub fn member(set: &str, number: u32) -> MemberName {
    MemberName {
        set: set.into(),
        number,
    }
}

pub fn voters(name: &str, replicas: u32) -> Value {
    json!({"name": name, "replicas": replicas, "storage": {"size": "1Gi"}})
}

impl World {
    pub fn new(sets: Value) -> World {
        let spec: ReplicationGroupSpec = serde_json::from_value(json!({
            "image": "orion:1", "memberSets": sets, "objectStore": {"url": "file:///objects"}
        }))
        .expect("a spec");
        let mut group = ReplicationGroup::new("g", spec);
        group.metadata = ObjectMeta {
            name: Some("g".into()),
            namespace: Some("ns".into()),
            uid: Some("5d0f5b6e-0000-4000-8000-000000000001".into()),
            generation: Some(1),
            ..ObjectMeta::default()
        };
        World {
            group,
            sets: BTreeMap::new(),
            pods: BTreeMap::new(),
            disks: BTreeMap::new(),
            raft: BTreeMap::new(),
            leader: None,
            term: 0,
            gone: BTreeSet::new(),
            is_blind: false,
            done: Vec::new(),
            told: Vec::new(),
            numbers_used: BTreeSet::new(),
            next_uid: 1,
        }
    }

    pub fn change(&mut self, sets: Value) {
        self.group.spec.member_sets = serde_json::from_value(sets).expect("member sets");
    }

    pub fn annotate(&mut self, name: &str, value: &str) {
        let annotations = self.group.metadata.annotations.get_or_insert_default();
        annotations.insert(name.into(), value.into());
    }

    fn image(&self) -> String {
        self.group.spec.image.clone().unwrap_or_default()
    }

    pub fn is_ready(&self, member: &MemberName) -> bool {
        self.pods
            .get(member)
            .is_some_and(|pod| pod.age >= 2 && pod.image != BROKEN && self.leader.is_some())
    }

    fn is_running(&self, member: &MemberName) -> bool {
        self.pods
            .get(member)
            .is_some_and(|pod| pod.age >= 1 && pod.image != BROKEN)
    }

    /// The node of a member's disk, where it is in Raft.
    fn node_up(&self, id: &NodeId) -> bool {
        self.raft.get(id).is_some_and(|node| {
            let disk = self.disks.get(&node.member);
            disk.is_some_and(|disk| disk.node == *id) && self.is_running(&node.member)
        })
    }

    pub fn voter_ids(&self) -> BTreeSet<NodeId> {
        self.raft
            .iter()
            .filter(|(_, node)| node.votes)
            .map(|(id, _)| *id)
            .collect()
    }

    pub fn has_majority(&self) -> bool {
        let voters = self.voter_ids();
        2 * voters.iter().filter(|id| self.node_up(id)).count() > voters.len()
    }

    pub fn observed(&self) -> Observed {
        let mut members: BTreeMap<MemberName, MemberSeen> = BTreeMap::new();
        for (name, set) in &self.sets {
            let seen = members.entry(name.clone()).or_default();
            seen.has_statefulset = true;
            seen.runs = set.runs;
            seen.joins_as_voter = set.joins_as_voter;
            seen.is_leaving = set.is_leaving;
            seen.template = Some(set.template.clone());
            seen.claim_template_size = Some(set.claim_size.clone());
        }
        for (name, pod) in &self.pods {
            let seen = members.entry(name.clone()).or_default();
            if !seen.has_statefulset {
                seen.joins_as_voter = pod.joins_as_voter;
            }
            seen.pod = Some(PodSeen {
                uid: pod.uid.to_string(),
                is_ready: self.is_ready(name),
                is_running: self.is_running(name),
                template: Some(pod.template.clone()),
                role: pod.labels.0.clone(),
                leader: pod.labels.1.clone(),
                trouble: (pod.image == BROKEN).then(|| PodTrouble {
                    kind: PodTroubleKind::Image,
                    message: "ErrImagePull".into(),
                }),
                ..PodSeen::default()
            });
        }
        for (name, disk) in &self.disks {
            let seen = members.entry(name.clone()).or_default();
            seen.claim = Some(ClaimSeen {
                size: Some(disk.size.clone()),
                ..ClaimSeen::default()
            });
        }
        for (name, seen) in &mut members {
            seen.machine_is_gone = self.gone.contains(name) && !self.is_ready(name);
        }
        let can_ask = !self.is_blind && self.pods.keys().any(|member| self.is_running(member));
        let raft = self.raft.iter().map(|(id, node)| {
            let seen = RaftMember {
                member: Some(node.member.clone()),
                role: node.role,
                votes: node.votes,
                is_caught_up: self.leader.map(|_| node.lacks == 0),
            };
            (*id, seen)
        });
        Observed {
            group: self.group.clone(),
            members,
            membership: match can_ask && !self.raft.is_empty() {
                false => Seen::Unknown,
                true => Seen::Known(Membership {
                    term: self.term,
                    leader: self.leader,
                    members: raft.collect(),
                    format_level: 1,
                    reads_level: 1,
                }),
            },
            answers: self.answers(),
            credentials: Credentials::Valid,
            certificates: Certificates::Unwanted,
            databases: Seen::Known(DatabasesSeen::default()),
            referring: Vec::new(),
            foreign: Vec::new(),
            refused: None,
        }
    }

    /// Who answers, and has nothing to complain of.
    fn answers(&self) -> BTreeMap<MemberName, Vec<Trouble>> {
        let runs = self
            .pods
            .keys()
            .filter(|member| !self.is_blind && self.is_running(member));
        runs.map(|member| (member.clone(), Vec::new())).collect()
    }

    pub fn plan(&self) -> Plan {
        let observed = self.observed();
        let image = self.image();
        let context = Context {
            group: &self.group,
            image: &image,
            public_key: Some("key"),
            revision: TEMPLATE_REVISION,
        };
        let plan = plan_group(&observed, &context, "2026-01-01T00:00:00Z");
        let objections = lint(&observed, &plan.actions);
        assert!(
            objections.is_empty(),
            "{objections:?} in {:?} for {observed:#?}",
            plan.actions
        );
        plan
    }

    /// A machine is gone: its pod is made anew, and finds no place.
    pub fn lose_machine(&mut self, member: &MemberName) {
        self.gone.insert(member.clone());
        self.pods.remove(member);
        self.elect();
    }

    /// Plans and does the first `most` actions: the operator is killed after them.
    pub fn reconcile(&mut self, most: usize) -> usize {
        let (observed, plan) = (self.observed(), self.plan());
        let before = self.group.status.clone().unwrap_or_default();
        self.told.extend(group_notices(&before, &plan.status));
        self.group.status = Some(plan.status);
        let count = plan.actions.len();
        for action in plan.actions.into_iter().take(most) {
            let had_majority = self.has_majority();
            let is_of_a_person = matches!(&action, Action::UpdateMember { runs: false, .. });
            let is_alone = self.voter_ids().len() == 1;
            self.apply(&action);
            if had_majority && !is_of_a_person && !is_alone {
                assert!(self.has_majority(), "{action:?} took the majority away");
            }
            self.told.extend(action_notice(&observed, &action));
            self.done.push(action);
        }
        count
    }

    fn apply(&mut self, action: &Action) {
        let image = self.image();
        match action {
            Action::CreateMember {
                member,
                joins_as_voter,
            } => {
                match self.disks.get(member) {
                    None => assert!(
                        !self.numbers_used.contains(&member.number),
                        "{member} is used again"
                    ),
                    Some(disk) => {
                        let was_removed = disk.was_member && !self.raft.contains_key(&disk.node);
                        assert!(!was_removed, "{member} comes back and was removed from Raft");
                    }
                }
                self.put_set(member, *joins_as_voter, true, false, &image);
            }
            Action::UpdateMember {
                member,
                runs,
                is_leaving,
            } => {
                let Some(set) = self.sets.get(member).cloned() else {
                    return;
                };
                self.put_set(member, set.joins_as_voter, *runs, *is_leaving, &image);
                if !*runs {
                    self.pods.remove(member);
                }
            }
            Action::DeleteMember { member } => {
                self.assert_out_of_raft(member);
                self.sets.remove(member);
                self.pods.remove(member);
            }
            Action::OrphanMember { member } => drop(self.sets.remove(member)),
            Action::DeleteClaim { member } => {
                self.assert_out_of_raft(member);
                self.disks.remove(member);
            }
            Action::GrowClaim { member, size } => {
                if let Some(disk) = self.disks.get_mut(member) {
                    disk.size = size.clone();
                }
            }
            Action::RestartPod { member, uid, .. } => {
                if self
                    .pods
                    .get(member)
                    .is_some_and(|pod| pod.uid.to_string() == *uid)
                {
                    self.pods.remove(member);
                }
            }
            Action::ChangeRoles { roles } => self.change_roles(roles),
            Action::RemoveNode { node } => {
                let gone = self.raft.remove(node);
                assert!(gone.is_none_or(|node| !node.votes), "a voter was removed");
            }
            Action::ChangeLeader { node } => {
                if self.node_up(node) && self.raft[node].votes {
                    self.leader = Some(*node);
                    self.term += 1;
                }
            }
            Action::LabelPod { member, role, leads } => {
                if let Some(pod) = self.pods.get_mut(member) {
                    pod.labels = (Some(names::role_label(*role).into()), Some(leads.to_string()));
                }
            }
        }
    }

    fn assert_out_of_raft(&self, member: &MemberName) {
        let is_in = self.raft.values().any(|node| node.member == *member);
        assert!(!is_in, "{member} is deleted and still in Raft");
    }

    fn put_set(
        &mut self,
        member: &MemberName,
        joins_as_voter: bool,
        runs: bool,
        is_leaving: bool,
        image: &str,
    ) {
        let before = self.sets.get(member).cloned();
        let Some(set) = self
            .group
            .spec
            .member_sets
            .iter()
            .find(|set| set.name == member.set)
        else {
            // Of a set that is gone: only the mark and whether it runs change.
            if let Some(set) = self.sets.get_mut(member) {
                (set.runs, set.is_leaving) = (runs, is_leaving);
            }
            return;
        };
        let context = Context {
            group: &self.group,
            image,
            public_key: Some("key"),
            revision: TEMPLATE_REVISION,
        };
        let template = MemberTemplate {
            set,
            member,
            joins_as_voter,
            runs,
            is_leaving,
        };
        let set = StatefulSet {
            template: template_hash(&context, template),
            image: image.into(),
            runs,
            joins_as_voter,
            is_leaving,
            claim_size: before.map_or_else(|| set.storage.size.0.clone(), |set| set.claim_size),
        };
        self.sets.insert(member.clone(), set);
    }

    fn change_roles(&mut self, roles: &BTreeMap<NodeId, Role>) {
        // As the data plane: who is to vote must have caught up, and a majority must carry it.
        let may = roles.iter().all(|(id, role)| {
            self.raft
                .get(id)
                .is_some_and(|node| *role != Role::Voter || node.votes || node.lacks == 0)
        });
        if !may || self.leader.is_none() || !self.has_majority() {
            return;
        }
        for (id, role) in roles {
            if let Some(node) = self.raft.get_mut(id) {
                node.role = *role;
                node.votes = *role == Role::Voter;
            }
        }
        assert!(!self.voter_ids().is_empty(), "nobody votes");
        self.elect();
    }

    /// One step of everybody but the operator.
    pub fn step(&mut self) {
        for (member, set) in &self.sets {
            if !set.runs {
                continue;
            }
            self.numbers_used.insert(member.number);
            let node = NodeId(1000 + u64::from(member.number) * 10 + self.next_uid % 10);
            self.disks.entry(member.clone()).or_insert_with(|| Disk {
                node,
                size: set.claim_size.clone(),
                was_member: false,
            });
            if !self.pods.contains_key(member) {
                self.next_uid += 1;
                let pod = Pod {
                    uid: self.next_uid,
                    template: set.template.clone(),
                    image: set.image.clone(),
                    joins_as_voter: set.joins_as_voter,
                    age: 0,
                    labels: (None, None),
                };
                self.pods.insert(member.clone(), pod);
            }
        }
        let gone = &self.gone;
        let running = self.pods.iter_mut().filter(|(member, _)| !gone.contains(member));
        running.for_each(|(_, pod)| pod.age += 1);
        self.elect();
        self.join();
    }

    pub fn elect(&mut self) {
        let is_good = self
            .leader
            .is_some_and(|leader| self.node_up(&leader) && self.raft[&leader].votes);
        if is_good && self.has_majority() {
            return;
        }
        let up = self.voter_ids().into_iter().find(|id| self.node_up(id));
        self.leader = up.filter(|_| self.has_majority());
        self.term += u64::from(self.leader.is_some());
    }

    fn join(&mut self) {
        let running: Vec<MemberName> = self
            .pods
            .keys()
            .filter(|member| self.is_running(member))
            .cloned()
            .collect();
        for member in running {
            let joins_as_voter = self.pods[&member].joins_as_voter;
            let Some(disk) = self.disks.get_mut(&member) else {
                continue;
            };
            let id = disk.node;
            if let Some(node) = self.raft.get_mut(&id) {
                if self.leader.is_some() {
                    node.lacks = node.lacks.saturating_sub(1);
                    // As the data plane does by itself.
                    node.votes |= node.role == Role::Voter && node.lacks == 0;
                }
            } else if self.raft.is_empty()
                && joins_as_voter
                && self.group.status.as_ref().is_none_or(|s| s.group_id.is_none())
            {
                disk.was_member = true;
                let node = Node {
                    member: member.clone(),
                    role: Role::Voter,
                    votes: true,
                    lacks: 0,
                };
                self.raft.insert(id, node);
                self.elect();
            } else if self.leader.is_some() && !disk.was_member {
                disk.was_member = true;
                let role = if joins_as_voter {
                    Role::Voter
                } else {
                    Role::ReadReplica
                };
                // Whoever has its address is replaced once this one votes, or at once if it does not.
                let node = Node {
                    member: member.clone(),
                    role,
                    votes: false,
                    lacks: 2,
                };
                self.raft.insert(id, node);
            }
        }
    }

    /// Until nothing is to be done, at most so many steps.
    pub fn settle(&mut self, steps_max: usize) {
        for _ in 0..steps_max {
            self.step();
            if self.reconcile(usize::MAX) == 0 && self.is_as_wished() {
                return;
            }
        }
        panic!(
            "not settled: {:#?}\n{:#?}\n{:#?}\n{:#?}\nlast actions: {:?}",
            self.group.status,
            self.sets,
            self.pods,
            self.raft,
            self.done.iter().rev().take(10).collect::<Vec<_>>()
        );
    }

    /// The wish is fulfilled: members, votes, templates, disks.
    pub fn is_as_wished(&self) -> bool {
        let spec = &self.group.spec;
        let counts = spec.member_sets.iter().all(|set| {
            let of_set = self.sets.keys().filter(|member| member.set == set.name).count();
            let nodes = self.raft.values().filter(|node| {
                node.member.set == set.name
                    && node.role == set.role
                    && node.votes == (set.role == Role::Voter)
            });
            of_set == set.replicas as usize && nodes.count() == of_set
        });
        let wanted: u32 = spec.member_sets.iter().map(|set| set.replicas).sum();
        counts
            && self.sets.len() == wanted as usize
            && self.raft.len() == wanted as usize
            && self.sets.iter().all(|(member, set)| {
                self.is_ready(member)
                    && self
                        .pods
                        .get(member)
                        .is_some_and(|pod| pod.template == set.template)
            })
    }

    pub fn disk_size_units(&self, member: &MemberName) -> Option<u64> {
        Quantity::from(self.disks.get(member)?.size.as_str()).units()
    }
}
