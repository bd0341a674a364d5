//! Nodes that speak the admin API and share one idea of Raft's membership and of the databases.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, put};
use axum::{Json, Router};
use orion_api::admin::{
    ChangeLeader, ChangeMembers, CreateDatabase, Database, DatabaseList, DatabaseState, Group, Member,
    RaftState, Role, Trouble,
};
use orion_api::{DatabaseId, Epoch, LogIndex, NodeId, Version};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// What all nodes of a group know.
#[derive(Default)]
pub struct Shared {
    pub members: BTreeMap<NodeId, Member>,
    pub leader: Option<NodeId>,
    pub term: u64,
    /// Nodes that run.
    pub up: BTreeSet<NodeId>,
    /// Each address has a disk, and each disk a node.
    disks: BTreeMap<String, NodeId>,
    /// Ids that were in the group once.
    were_in: BTreeSet<NodeId>,
    pub databases: BTreeMap<String, Database>,
    keys: BTreeMap<String, DatabaseId>,
    /// How often a group was begun: never twice.
    pub begun: u32,
    pub violations: Vec<String>,
    /// What every node says to be wrong with it.
    pub troubles: Vec<Trouble>,
    /// Machines that pods are bound to; none: they run without.
    pub machines: Vec<String>,
    /// Those of them that do not run any more.
    pub dead: BTreeSet<String>,
    /// What keeps pods that do not run yet from running.
    pub mishap: Option<Mishap>,
}

/// What a kubelet or the scheduler says of a pod that does not run.
#[derive(Clone, Debug)]
pub enum Mishap {
    /// No machine takes it.
    Unschedulable,
    /// Its image cannot be had.
    Image,
    /// Its node ends with this number and these last words, again and again.
    Ends(u8, &'static str),
    /// Its node runs and does not get into its group.
    Stays,
}

pub type Cluster = Arc<Mutex<Shared>>;

impl Shared {
    pub fn voters(&self) -> Vec<NodeId> {
        self.members
            .values()
            .filter(|member| member.votes)
            .map(|member| member.node)
            .collect()
    }

    fn has_majority(&self) -> bool {
        let voters = self.voters();
        2 * voters.iter().filter(|voter| self.up.contains(voter)).count() > voters.len()
    }

    fn elect(&mut self) {
        let votes = |node: &NodeId| self.members.get(node).is_some_and(|member| member.votes);
        let is_good = self
            .leader
            .is_some_and(|leader| self.up.contains(&leader) && votes(&leader));
        if is_good && self.has_majority() {
            return;
        }
        self.leader = self
            .voters()
            .into_iter()
            .find(|node| self.up.contains(node))
            .filter(|_| self.has_majority());
        self.term += 1;
    }

    /// A node comes with its disk.
    pub fn start(&mut self, address: &str, votes: bool) -> NodeId {
        let fresh = NodeId(0x1000 + self.disks.len() as u64);
        let node = *self.disks.entry(address.to_owned()).or_insert(fresh);
        self.up.insert(node);
        self.elect();
        if self.members.contains_key(&node) {
            return node;
        }
        let begins = self.begun == 0 && votes;
        if begins {
            self.begun += 1;
        } else if self.were_in.contains(&node) {
            return node;
        }
        let role = if votes { Role::Voter } else { Role::ReadReplica };
        self.were_in.insert(node);
        let member = Member {
            node,
            role,
            votes,
            address: Some(address.to_owned()),
            format_level: 1,
            matched_index: None,
        };
        self.members.insert(node, member);
        self.elect();
        node
    }

    /// A node comes and finds no group.
    pub fn start_outside(&mut self, address: &str) -> NodeId {
        let fresh = NodeId(0x1000 + self.disks.len() as u64);
        *self.disks.entry(address.to_owned()).or_insert(fresh)
    }

    pub fn stop(&mut self, node: NodeId) {
        self.up.remove(&node);
        self.elect();
    }

    fn group(&self, name: &str, own: NodeId) -> Group {
        let state = match self.leader == Some(own) {
            true => RaftState::Leader,
            false => RaftState::Follower,
        };
        let index = LogIndex(100);
        Group {
            name: name.parse().expect("a name"),
            incarnation: 1,
            state,
            term: self.term,
            leader: self.leader,
            members: self.members.values().cloned().collect(),
            last_log_index: index,
            committed_index: index,
            applied_index: index,
            snapshot_index: index,
            purged_index: index,
            format_level: 1,
            databases: 0,
            troubles: self.troubles.clone(),
        }
    }

    fn change(&mut self, roles: &BTreeMap<NodeId, Role>) {
        for (node, role) in roles {
            if let Some(member) = self.members.get_mut(node) {
                member.role = *role;
                member.votes = *role == Role::Voter;
            }
        }
        if !self.has_majority() {
            self.violations.push(format!("{roles:?} left no majority"));
        }
        self.elect();
    }
}

#[derive(Clone)]
struct Node {
    own: NodeId,
    cluster: Cluster,
}

type Own = State<Node>;
type Answer = Result<Json<Value>, (StatusCode, Json<Value>)>;

fn ok<T: serde::Serialize>(value: &T) -> Answer {
    Ok(Json(serde_json::to_value(value).expect("an answer is JSON")))
}

fn refuse(status: StatusCode, code: &str) -> Answer {
    Err((status, Json(json!({ "error": code, "code": code }))))
}

/// Serves a node until it is aborted, and returns its URL.
pub async fn serve(
    own: NodeId,
    cluster: Cluster,
    listen: (IpAddr, u16),
) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind(listen).await.expect("the port is free");
    let url = format!("http://{}", listener.local_addr().expect("it has an address"));
    let routes = Router::new()
        .route("/_orion/v1/groups/{name}", get(group))
        .route("/_orion/v1/groups/{name}/members", put(members))
        .route("/_orion/v1/groups/{name}/members/{node}", delete(remove))
        .route("/_orion/v1/groups/{name}/leader", put(lead))
        .route("/_orion/v1/databases", get(list).post(create))
        .route("/_orion/v1/databases/{name}", get(one).delete(drop_one))
        .with_state(Node { own, cluster });
    let task = tokio::spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
    (url, task)
}

async fn group(State(node): Own, Path(name): Path<String>) -> Answer {
    ok(&node.cluster.lock().expect("no panic").group(&name, node.own))
}

async fn members(State(node): Own, Path(name): Path<String>, Json(change): Json<ChangeMembers>) -> Answer {
    let mut cluster = node.cluster.lock().expect("no panic");
    if !cluster.has_majority() {
        return refuse(StatusCode::CONFLICT, "CONFLICT");
    }
    cluster.change(&change.roles);
    ok(&cluster.group(&name, node.own))
}

async fn remove(State(node): Own, Path((name, gone)): Path<(String, String)>) -> Answer {
    let mut cluster = node.cluster.lock().expect("no panic");
    let gone: NodeId = gone.parse().expect("an id");
    if cluster.members.get(&gone).is_some_and(|member| member.votes) {
        cluster.violations.push(format!("{gone} votes and was removed"));
    }
    cluster.members.remove(&gone);
    ok(&cluster.group(&name, node.own))
}

async fn lead(State(node): Own, Path(name): Path<String>, Json(change): Json<ChangeLeader>) -> Answer {
    let mut cluster = node.cluster.lock().expect("no panic");
    if cluster.up.contains(&change.node) {
        cluster.leader = Some(change.node);
        cluster.term += 1;
    }
    ok(&cluster.group(&name, node.own))
}

async fn list(State(node): Own) -> Answer {
    let cluster = node.cluster.lock().expect("no panic");
    let live = cluster
        .databases
        .values()
        .filter(|database| database.state != DatabaseState::Dropped);
    ok(&DatabaseList {
        databases: live.cloned().collect(),
        next: None,
    })
}

async fn create(State(node): Own, Json(wish): Json<CreateDatabase>) -> Answer {
    let mut cluster = node.cluster.lock().expect("no panic");
    let name = wish.name.to_string();
    let key = wish.idempotency_key.clone().unwrap_or_default();
    if let Some(there) = cluster
        .databases
        .get(&name)
        .filter(|there| there.state != DatabaseState::Dropped)
    {
        return match cluster.keys.get(&key) == Some(&there.id) {
            true => ok(there),
            false => refuse(StatusCode::CONFLICT, "DATABASE_EXISTS"),
        };
    }
    let id: DatabaseId = format!("67e55044-10b1-426f-9247-{:012x}", cluster.keys.len())
        .parse()
        .expect("an id");
    let made = Database {
        id,
        name: wish.name,
        state: DatabaseState::Active,
        group: "main".parse().expect("a name"),
        epoch: Epoch(1),
        version: Version(0),
        size_bytes: 4096,
        created_at_ms: 1,
        deleted_at_ms: None,
        limits: wish.limits,
        endpoint: None,
    };
    cluster.keys.insert(key, id);
    cluster.databases.insert(name, made.clone());
    ok(&made)
}

async fn one(State(node): Own, Path(name): Path<String>) -> Answer {
    match node.cluster.lock().expect("no panic").databases.get(&name) {
        Some(there) => ok(there),
        None => refuse(StatusCode::NOT_FOUND, "DATABASE_NOT_FOUND"),
    }
}

async fn drop_one(State(node): Own, Path(name): Path<String>) -> Answer {
    let mut cluster = node.cluster.lock().expect("no panic");
    match cluster.databases.get_mut(&name) {
        Some(there) => {
            there.state = DatabaseState::Dropped;
            ok(there)
        }
        None => refuse(StatusCode::NOT_FOUND, "DATABASE_NOT_FOUND"),
    }
}
