//! The admin API on a node.

use crate::causes;
use crate::clock::now_ms;
use crate::http::admin::{Admin, Created, Error};
use crate::node::{DatabaseInfo, Hosted, LifecycleError, Node};
use crate::peer::Elsewhere;
use crate::store::{Area, Operation};
use crate::{entry, group};
use async_trait::async_trait;
use openraft::ServerState;
use orion_api::admin::{
    BlobMetrics, ChangeDatabase, ChangeFormatLevel, ChangeLeader, ChangeMembers, CreateDatabase, Database,
    DatabaseChecksum, DatabaseList, DatabaseState, Group, GroupList, Limits, ListDatabases, Member, Metrics,
    Node as NodeObject, NodeList, RaftMetrics, RaftState, Role, StorageMetrics,
};
use orion_api::{Code, DatabaseName, GroupName, LogIndex, NodeId};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

/// Databases in one page of a list, if the request says nothing, and at most.
const PAGE: u32 = 1000;

/// Names whose creates may wait for each other: those of one name must, of others it costs a moment.
const TURNS: usize = 256;

pub(super) struct NodeAdmin {
    node: Arc<Node>,
    /// Base URL for clients.
    url: String,
    started_at_ms: u64,
    /// Creates of one name, one after the other. INVARIANT: one of them answers that it is new, the others find
    /// what it made, whole. Test: `of_creates_of_one_name_at_once_one_is_new`.
    turns: Vec<Mutex<()>>,
}

impl NodeAdmin {
    pub(super) fn new(node: Arc<Node>, url: String) -> NodeAdmin {
        NodeAdmin {
            node,
            url,
            started_at_ms: now_ms(),
            turns: std::iter::repeat_with(Mutex::default).take(TURNS).collect(),
        }
    }

    async fn turn(&self, name: &DatabaseName) -> MutexGuard<'_, ()> {
        let hash = xxhash_rust::xxh3::xxh3_64(name.as_str().as_bytes());
        self.turns[(hash % TURNS as u64) as usize].lock().await
    }

    fn database(&self, info: DatabaseInfo) -> Database {
        let is_active = info.dropped_at_ms.is_none();
        Database {
            endpoint: is_active.then(|| format!("{}/{}/", self.url, info.name)),
            id: info.id,
            name: info.name,
            state: if is_active {
                DatabaseState::Active
            } else {
                DatabaseState::Dropped
            },
            group: info.group,
            epoch: info.epoch,
            version: info.version,
            size_bytes: info.size_bytes,
            created_at_ms: info.created_at_ms,
            deleted_at_ms: info.dropped_at_ms,
            limits: limits_of(&info.limits),
        }
    }

    /// What was tried with this database, and failed.
    fn error(&self, name: &DatabaseName, why: LifecycleError) -> Error {
        error(&self.node.of(name.as_str()).group.name, why)
    }

    fn find(&self, name: &DatabaseName) -> Option<DatabaseInfo> {
        let mut named: Vec<DatabaseInfo> = self
            .node
            .list(true)
            .into_iter()
            .filter(|info| info.name == *name)
            .collect();
        named.sort_by_key(|info| info.dropped_at_ms.unwrap_or(u64::MAX));
        named.pop()
    }

    fn hosted(&self, name: &GroupName) -> Result<Arc<Hosted>, Error> {
        let hosted = self.node.hosted_named(name);
        hosted.ok_or_else(|| error(name, LifecycleError::NoGroup(name.clone())))
    }

    fn group(&self, hosted: &Hosted) -> Group {
        let group = &hosted.group;
        let metrics = group.metrics();
        let index = |id: Option<crate::raft::LogId>| LogIndex(id.map_or(0, |id| id.index));
        let membership = metrics.membership_config.membership().clone();
        let voters: Vec<u64> = membership.voter_ids().collect();
        let matched = |member: u64| {
            let of_others = metrics.replication.as_ref()?.get(&member)?;
            (member != self.node.id().0).then_some(index(*of_others))
        };
        let members = membership.nodes().map(|(id, node)| Member {
            node: NodeId(*id),
            role: node.role,
            votes: voters.contains(id),
            address: (!node.address.is_empty()).then(|| node.address.clone()),
            format_level: node.format_level,
            matched_index: matched(*id),
        });
        Group {
            name: group.name.clone(),
            incarnation: group.incarnation.0,
            state: match metrics.state {
                ServerState::Leader => RaftState::Leader,
                ServerState::Candidate => RaftState::Candidate,
                ServerState::Learner => RaftState::Learner,
                ServerState::Shutdown => RaftState::Stopped,
                ServerState::Follower => RaftState::Follower,
            },
            term: metrics.current_term,
            leader: metrics.current_leader.map(NodeId),
            members: members.collect(),
            last_log_index: LogIndex(metrics.last_log_index.unwrap_or(0)),
            committed_index: index(metrics.local_committed),
            applied_index: index(metrics.last_applied),
            snapshot_index: index(metrics.snapshot),
            purged_index: index(metrics.purged),
            format_level: group.catalog.format_level(),
            databases: hosted.list(false).len() as u64,
            troubles: self.node.troubles(hosted),
        }
    }
}

#[async_trait]
impl Admin for NodeAdmin {
    async fn list_databases(&self, query: ListDatabases) -> Result<DatabaseList, Error> {
        let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE) as usize;
        let after = query.after.unwrap_or_default();
        let all = self.node.list(query.include_deleted).into_iter();
        let mut databases: Vec<Database> = all
            .filter(|info| info.name.as_str() > after.as_str())
            .take(limit + 1)
            .map(|info| self.database(info))
            .collect();
        let has_more = databases.len() > limit;
        databases.truncate(limit);
        let next = databases
            .last()
            .filter(|_| has_more)
            .map(|last| last.name.to_string());
        Ok(DatabaseList { databases, next })
    }

    async fn create_database(&self, wish: CreateDatabase) -> Result<Created, Error> {
        let hosted = match &wish.group {
            None => Arc::clone(&self.node.home),
            Some(group) => self.hosted(group)?,
        };
        let group = &hosted.group.name;
        let limits = wished(&wish.limits);
        let operation = wish
            .idempotency_key
            .as_ref()
            .map(|key| operation(&wish.name, key));
        let existing = || {
            let info = self.node.get(wish.name.as_str()).ok()?;
            let is_same = info.group == *group
                && match operation {
                    Some(operation) => info.id.as_bytes() == operation.as_bytes(),
                    None => info.limits == limits,
                };
            Some(match is_same {
                true => Ok(Created::Existing(self.database(info))),
                false => Err(error(group, LifecycleError::Exists(wish.name.clone()))),
            })
        };
        let _turn = self.turn(&wish.name).await;
        if let Some(existing) = existing() {
            return existing;
        }
        let name = wish.name.as_str();
        match self.node.create(Some(group), name, limits, operation).await {
            Ok(info) => Ok(Created::New(self.database(info))),
            // Another node was faster.
            Err(taken @ LifecycleError::Exists(_)) => existing().unwrap_or_else(|| Err(error(group, taken))),
            Err(other) => Err(error(group, other)),
        }
    }

    async fn get_database(&self, name: DatabaseName) -> Result<Database, Error> {
        let info = self
            .find(&name)
            .ok_or_else(|| self.error(&name, LifecycleError::NotFound(name.to_string())))?;
        Ok(self.database(info))
    }

    async fn checksum(&self, name: DatabaseName) -> Result<DatabaseChecksum, Error> {
        let summed = self.node.checksum(name.as_str()).await.map_err(|error| {
            let code = if error.is_damage() {
                Code::Corrupt
            } else {
                Code::Unavailable
            };
            Error::new(code, causes::text(&error))
        })?;
        let summed = summed.ok_or_else(|| self.error(&name, LifecycleError::NotFound(name.to_string())))?;
        Ok(DatabaseChecksum {
            id: summed.snapshot.database,
            node: self.node.id(),
            epoch: summed.snapshot.epoch,
            version: summed.snapshot.version,
            page_count: summed.snapshot.extent.page_count,
            checksum: format!("{:016x}", summed.checksum.0),
            chain: format!("{:?}", summed.snapshot.chain),
        })
    }

    async fn change_database(&self, name: DatabaseName, change: ChangeDatabase) -> Result<Database, Error> {
        let change = |before: &entry::Limits| wished(&change.limits.of(&limits_of(before)));
        let info = self.node.change_limits(name.as_str(), change).await;
        Ok(self.database(info.map_err(|why| self.error(&name, why))?))
    }

    async fn drop_database(&self, name: DatabaseName) -> Result<Database, Error> {
        match self.node.drop_database(name.as_str()).await {
            Ok(info) => Ok(self.database(info)),
            Err(LifecycleError::NotFound(_)) => {
                let tombstone = self.get_database(name.clone()).await?;
                // The name may be another's by now, of a group that has not said so here.
                match self.node.holder(&name).await {
                    Ok(Some(id)) if id != tombstone.id => {
                        Err(self.error(&name, LifecycleError::NotFound(name.to_string())))
                    }
                    Ok(_) => Ok(tombstone),
                    Err(why) => Err(self.error(&name, why.into())),
                }
            }
            Err(other) => Err(self.error(&name, other)),
        }
    }

    async fn list_groups(&self) -> Result<GroupList, Error> {
        Ok(GroupList {
            groups: self
                .node
                .hosted()
                .iter()
                .map(|hosted| self.group(hosted))
                .collect(),
        })
    }

    async fn get_group(&self, name: GroupName) -> Result<Group, Error> {
        let hosted = self.hosted(&name)?;
        Ok(self.group(&hosted))
    }

    async fn change_members(&self, name: GroupName, change: ChangeMembers) -> Result<Group, Error> {
        let hosted = self.hosted(&name)?;
        let group = &hosted.group;
        // A leader that is to vote no more lets another one lead, which then does the rest.
        let own = change.roles.get(&self.node.id());
        if own.is_some_and(|role| *role != Role::Voter) && group.hand_over(None).await {
            return Err(error(&name, group::Error::NotLeader.into()));
        }
        let changed = group.set_roles(&change.roles).await;
        changed.map_err(|why| membership(&name, why))?;
        Ok(self.group(&hosted))
    }

    async fn remove_member(&self, name: GroupName, member: NodeId) -> Result<Group, Error> {
        let hosted = self.hosted(&name)?;
        let group = &hosted.group;
        if member == self.node.id() && group.hand_over(None).await {
            return Err(error(&name, group::Error::NotLeader.into()));
        }
        let removed = group.remove_member(member).await;
        removed.map_err(|why| membership(&name, why))?;
        Ok(self.group(&hosted))
    }

    async fn change_leader(&self, name: GroupName, change: ChangeLeader) -> Result<Group, Error> {
        let hosted = self.hosted(&name)?;
        let group = &hosted.group;
        if group.leader() == Some(change.node) {
            return Ok(self.group(&hosted));
        }
        group.check_leads().map_err(|why| membership(&name, why))?;
        // Somebody else may have been elected instead.
        let handed = group.hand_over(Some(change.node)).await;
        match handed && group.leader() == Some(change.node) {
            true => Ok(self.group(&hosted)),
            false => Err(Error::new(
                Code::Unavailable,
                format!(
                    "node {} did not take over; it must vote, and have caught up",
                    change.node
                ),
            )),
        }
    }

    async fn change_format_level(&self, name: GroupName, change: ChangeFormatLevel) -> Result<Group, Error> {
        let hosted = self.hosted(&name)?;
        let group = &hosted.group;
        let raised = group.raise_format(change.level).await;
        raised.map_err(|why| membership(&name, why))?;
        Ok(self.group(&hosted))
    }

    async fn list_nodes(&self) -> Result<NodeList, Error> {
        let node = NodeObject {
            id: self.node.id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            url: self.url.clone(),
            started_at_ms: self.started_at_ms,
            groups: self
                .node
                .groups
                .all()
                .iter()
                .map(|group| group.name.clone())
                .collect(),
        };
        Ok(NodeList { nodes: vec![node] })
    }

    async fn metrics(&self) -> Result<Metrics, Error> {
        let node = &self.node;
        let hosted = node.hosted();
        let raft = hosted.iter().map(|hosted| {
            let group = self.group(hosted);
            RaftMetrics {
                is_leader: hosted.group.serves(),
                term: group.term,
                applied_index: group.applied_index,
                apply_lag: group.committed_index.0.saturating_sub(group.applied_index.0),
                group: group.name,
                // Of all groups: the log and the databases are the node's.
                entries_total: node.disk().counters().entries.load(Ordering::Relaxed),
                transactions_total: node.databases.counters().units.load(Ordering::Relaxed),
            }
        });
        let raft: Vec<RaftMetrics> = raft.collect();
        let groups = node.groups.all();
        let dirty: Vec<_> = groups.iter().flat_map(|group| group.catalog.dirty()).collect();
        let snapshots: Vec<_> = dirty
            .iter()
            .map(|database| database.published.load_full())
            .collect();
        let oldest = snapshots
            .iter()
            .filter_map(|snapshot| snapshot.changed_since)
            .min();
        let storage = StorageMetrics {
            databases: node.list(false).len() as u64,
            open_databases: node.databases.open_count() as u64,
            overlay_pages: snapshots
                .iter()
                .map(|snapshot| snapshot.slots().count() as u64)
                .sum(),
            overlay_bytes: snapshots.iter().map(|snapshot| snapshot.overlay_bytes).sum(),
            unmaterialized_age_ms: oldest.map_or(0, |since| since.elapsed().as_millis() as u64),
            page_cache_bytes: node.pages().cache.bytes(),
            log_bytes: node.disk().disk_bytes(),
        };
        Ok(Metrics {
            raft,
            storage,
            blob: blob(node),
            ..Metrics::default()
        })
    }
}

fn blob(node: &Node) -> BlobMetrics {
    let mut blob = BlobMetrics::default();
    for operation in Operation::ALL {
        for area in Area::ALL {
            let count = node.store().metrics().count(operation, area);
            *blob
                .requests_total
                .entry(operation.name().to_owned())
                .or_default() += count.requests;
            *blob.errors_total.entry(operation.name().to_owned()).or_default() += count.errors;
            match operation {
                Operation::Put => blob.written_bytes_total += count.bytes,
                Operation::Get => blob.read_bytes_total += count.bytes,
                _ => {}
            }
        }
    }
    blob
}

/// The operation that an idempotency key means: the same key for the same name is the same operation.
fn operation(name: &DatabaseName, key: &str) -> Uuid {
    let hash = blake3::hash(format!("create\0{name}\0{key}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

fn wished(limits: &Limits) -> entry::Limits {
    entry::Limits {
        database_bytes: limits.size_bytes.unwrap_or(0),
        transaction_bytes: limits.transaction_bytes.unwrap_or(0),
        statement_ms: limits.statement_time_ms.unwrap_or(0),
        result_bytes: limits.result_bytes.unwrap_or(0),
        streams: limits.streams.unwrap_or(0).try_into().unwrap_or(u32::MAX),
    }
}

fn limits_of(limits: &entry::Limits) -> Limits {
    let said = |value: u64| (value > 0).then_some(value);
    Limits {
        size_bytes: said(limits.database_bytes),
        transaction_bytes: said(limits.transaction_bytes),
        statement_time_ms: said(limits.statement_ms),
        result_bytes: said(limits.result_bytes),
        streams: said(limits.streams.into()),
    }
}

/// Why members were not changed.
fn membership(group: &GroupName, why: group::Error) -> Error {
    match why {
        group::Error::Membership(detail) => Error::new(Code::MembershipConflict, detail),
        other => error(group, other.into()),
    }
}

/// What was tried in this group, and failed.
fn error(group: &GroupName, error: LifecycleError) -> Error {
    let elsewhere = (error.code() == Code::NotLeader).then(|| Elsewhere::Leader(group.clone()));
    Error {
        elsewhere,
        ..Error::new(error.code(), causes::text(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::tests::options;

    #[tokio::test(flavor = "multi_thread")]
    async fn of_creates_of_one_name_at_once_one_is_new() {
        let dir = tempfile::tempdir().expect("a folder");
        let node = Node::start(options(dir.path())).await.expect("starts");
        let admin = Arc::new(NodeAdmin::new(Arc::clone(&node), "http://here".into()));
        let wish = || CreateDatabase::named("app".parse().expect("a name"));
        let creates = (0..16).map(|_| {
            let admin = Arc::clone(&admin);
            tokio::spawn(async move { admin.create_database(wish()).await })
        });
        let mut new = 0;
        for created in futures::future::join_all(creates).await {
            let database = match created.expect("no panic").expect("it is there") {
                Created::New(database) => {
                    new += 1;
                    database
                }
                Created::Existing(database) => database,
            };
            assert_eq!(database.id, node.get("app").expect("there").id);
        }
        assert_eq!(new, 1);
        let mut other = wish();
        other.limits.streams = Some(7);
        let refused = admin.create_database(other).await.expect_err("other wishes");
        assert_eq!(refused.code, Code::DatabaseExists);
        node.stop().await;
    }
}
