//! Databases of a group come and go: create, list, drop, purge.
//!
//! The owner and name chains in the object store decide; the group's log follows. Each step may be repeated
//! after a crash, by the same request or by another one.
//!
//! CRASH: after the chains and before `Create`, the name is taken by an id that no catalog has: the next
//! create of that name completes it. After the tombstone in the chain and before `Drop`, the next drop does.

use super::Hosted;
use crate::causes;
use crate::clock::now_ms;
use crate::entry::{self, Kind, Limits};
use crate::group::{self, State};
use crate::overlay::{self, Snapshot, SumError};
use crate::owner::{Cause, Claim, NameClaim, Owner};
use crate::page::{Chain, Checksum};
use bytes::Bytes;
use orion_api::{Code, DatabaseId, DatabaseName, Epoch, GroupName, Version};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Names that are not for databases.
const RESERVED: &[&str] = &[
    "v1",
    "v2",
    "v3",
    "v3-protobuf",
    "health",
    "livez",
    "readyz",
    "version",
    "metrics",
    "dump",
    "listen",
];

/// What is known of a database.
#[derive(Clone, Debug)]
pub struct DatabaseInfo {
    /// Its id.
    pub id: DatabaseId,
    /// Its name.
    pub name: DatabaseName,
    /// The group that serves it.
    pub group: GroupName,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its newest version.
    pub version: Version,
    /// Bytes of its file.
    pub size_bytes: u64,
    /// Bytes that are not yet in the object store.
    pub overlay_bytes: u64,
    /// When it was created, by the clock of the node that did it.
    pub created_at_ms: u64,
    /// When it was dropped.
    pub dropped_at_ms: Option<u64>,
    /// When its objects were deleted.
    pub purged_at_ms: Option<u64>,
    /// Its limits; 0 is the node's default.
    pub limits: Limits,
}

/// The pages of a version, summed up.
#[derive(Clone, Debug)]
pub(crate) struct Summed {
    /// The version.
    pub(crate) snapshot: Arc<Snapshot>,
    /// Of all its pages.
    pub(crate) checksum: Checksum,
}

/// Why a database was not created or dropped.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// The name cannot be used.
    #[error("{0}")]
    Name(String),
    /// A database of this name exists.
    #[error("a database named {0} exists")]
    Exists(DatabaseName),
    /// There is none.
    #[error("there is no database {0}")]
    NotFound(String),
    /// This node is not a member of that group.
    #[error("this node has no group {0}")]
    NoGroup(GroupName),
    /// Another group, or another incarnation of this one, owns it.
    #[error("the database {0} is owned elsewhere by now")]
    NotOwner(DatabaseName),
    /// The chains.
    #[error("the object store did not go along")]
    Owner(#[from] crate::owner::Error),
    /// The group.
    #[error("the group did not go along")]
    Group(#[from] group::Error),
}

impl LifecycleError {
    /// The code for clients.
    pub fn code(&self) -> Code {
        match self {
            LifecycleError::Name(_) => Code::InvalidRequest,
            LifecycleError::Exists(_) => Code::DatabaseExists,
            LifecycleError::NotFound(_) => Code::DatabaseNotFound,
            LifecycleError::NoGroup(_) => Code::NotFound,
            LifecycleError::NotOwner(_) => Code::Fenced,
            LifecycleError::Owner(_) => Code::Unavailable,
            LifecycleError::Group(group::Error::NotLeader) => Code::NotLeader,
            LifecycleError::Group(group::Error::Unknown) => Code::CommitUnknown,
            LifecycleError::Group(_) => Code::Unavailable,
        }
    }
}

impl Hosted {
    /// All databases, tombstones included where asked for, in no order.
    pub(crate) fn list(&self, with_dropped: bool) -> Vec<DatabaseInfo> {
        let all = self.group.catalog.all();
        all.iter()
            .filter(|database| with_dropped || database.is_active())
            .map(|database| self.info(database))
            .collect()
    }

    /// A served database by name.
    pub(super) fn get(&self, name: &str) -> Result<DatabaseInfo, LifecycleError> {
        let found = self.group.catalog.find(name);
        found
            .map(|database| self.info(&database))
            .ok_or_else(|| LifecycleError::NotFound(name.to_owned()))
    }

    /// Creates a database. With the same `operation` it may be repeated until its outcome is known.
    pub(super) async fn create(
        &self,
        name: &str,
        limits: Limits,
        operation: Option<Uuid>,
    ) -> Result<DatabaseInfo, LifecycleError> {
        let name: DatabaseName = name
            .parse()
            .map_err(|error: orion_api::InvalidName| LifecycleError::Name(error.to_string()))?;
        if RESERVED.contains(&name.as_str()) || name.as_str().starts_with('_') {
            return Err(LifecycleError::Name(format!(
                "\"{name}\" is a name that the service uses itself; choose another"
            )));
        }
        self.group.check_leads()?;
        // An operation's database has the operation's id, so that a repetition finds what it made.
        let id = operation.map_or_else(DatabaseId::random, |operation| {
            DatabaseId::from_bytes(*operation.as_bytes())
        });
        if let Some(database) = self.group.catalog.find(name.as_str()) {
            return if database.id == id {
                Ok(self.info(&database))
            } else {
                Err(LifecycleError::Exists(name))
            };
        }
        let operation = operation.unwrap_or_else(Uuid::new_v4);
        let first = Owner {
            database: id,
            epoch: Epoch(1),
            group: self.group.name.clone(),
            incarnation: self.group.incarnation,
            start_version: Version(0),
            checkpoint: None,
            chain: Chain::START,
            cause: Cause::Created,
            operation,
        };
        fail::fail_point!("lifecycle::before_claim");
        let created = self.chains.create(&name, &first).await?;
        fail::fail_point!("lifecycle::before_create");
        let id = match created.name {
            NameClaim::Won => id,
            NameClaim::Over => return Err(LifecycleError::NotFound(name.to_string())),
            NameClaim::Taken(holder) => self.orphan(holder, &name).await?,
        };
        // The same operation may have made it in another group.
        if let Claim::AlreadyOurs(owner) | Claim::Lost(owner) = &created.owner
            && (&owner.group, owner.incarnation) != (&self.group.name, self.group.incarnation)
        {
            return Err(LifecycleError::Exists(name));
        }
        self.commit_create(id, &name, limits).await?;
        self.get(name.as_str())
    }

    /// A name that is held by a database of this group that no `Create` followed: it was interrupted.
    async fn orphan(&self, holder: DatabaseId, name: &DatabaseName) -> Result<DatabaseId, LifecycleError> {
        let exists = || LifecycleError::Exists(name.clone());
        if self.group.catalog.get(holder).is_some() {
            return Err(exists());
        }
        let owner = self.chains.current(holder).await?.ok_or_else(exists)?;
        let is_ours =
            owner.group == self.group.name && owner.cause == Cause::Created && owner.epoch == Epoch(1);
        if is_ours { Ok(holder) } else { Err(exists()) }
    }

    async fn commit_create(
        &self,
        id: DatabaseId,
        name: &DatabaseName,
        limits: Limits,
    ) -> Result<(), LifecycleError> {
        let create = entry::Create {
            database: Bytes::copy_from_slice(id.as_bytes()),
            name: name.to_string(),
            epoch: 1,
            created_at_ms: now_ms(),
            limits: Some(limits),
            name_position: 0,
        };
        match self.group.write(Kind::Create(create)).await {
            Ok(_) => Ok(()),
            // Somebody completed the same create meanwhile.
            Err(group::Error::Refused(_)) if self.group.catalog.get(id).is_some() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The checksum of a database's pages as this node has them, at the newest version that is applied here. `None` if
    /// there is no such database.
    pub(super) async fn checksum(&self, name: &str) -> Result<Option<Summed>, SumError> {
        let Some(database) = self.group.catalog.find(name) else {
            return Ok(None);
        };
        let snapshot = database.published.load_full();
        let checksum = overlay::sum(&self.group.pages, &snapshot).await?;
        Ok(Some(Summed { snapshot, checksum }))
    }

    /// Changes a database's limits. Whoever uses it is held to them from its next statement on; a stream to
    /// the bytes of a transaction once it is opened anew.
    pub(super) async fn change_limits(
        &self,
        name: &str,
        change: impl FnOnce(&Limits) -> Limits,
    ) -> Result<DatabaseInfo, LifecycleError> {
        self.group.check_leads()?;
        // One after the other: each entry holds all limits.
        let _one = self.changing_limits.lock().await;
        let database = self
            .group
            .catalog
            .find(name)
            .ok_or_else(|| LifecycleError::NotFound(name.to_owned()))?;
        let limits = change(&database.limits.load());
        if limits != **database.limits.load() {
            let set = entry::SetLimits {
                database: Bytes::copy_from_slice(database.id.as_bytes()),
                limits: Some(limits),
            };
            self.group.write(Kind::SetLimits(set)).await?;
        }
        Ok(self.info(&database))
    }

    /// Drops a database: it is not served any more, and its objects go when retention is over.
    pub(super) async fn drop_database(&self, name: &str) -> Result<DatabaseInfo, LifecycleError> {
        self.group.check_leads()?;
        let database = self
            .group
            .catalog
            .find(name)
            .ok_or_else(|| LifecycleError::NotFound(name.to_owned()))?;
        let snapshot = database.published.load_full();
        let operation = Uuid::new_v4();
        let tombstone = Owner {
            database: database.id,
            epoch: database.epoch.next(),
            group: self.group.name.clone(),
            incarnation: self.group.incarnation,
            start_version: snapshot.version,
            checkpoint: snapshot.checkpoint.as_deref().copied(),
            chain: snapshot.chain,
            cause: Cause::Dropped,
            operation,
        };
        // Lost to an earlier drop that was interrupted: then this one completes it.
        if let Claim::Lost(owner) = self.chains.claim(&tombstone).await?
            && !owner.is_dropped()
        {
            return Err(LifecycleError::NotOwner(database.name.clone()));
        }
        fail::fail_point!("lifecycle::before_drop");
        let drop = entry::Drop {
            database: Bytes::copy_from_slice(database.id.as_bytes()),
            dropped_at_ms: now_ms(),
        };
        match self.group.write(Kind::Drop(drop)).await {
            // Somebody else was faster; what they began is completed here too.
            Err(group::Error::Refused(_)) if !database.is_active() => {}
            written => {
                written?;
            }
        }
        self.chains
            .release_name(&database.name, database.id, operation)
            .await?;
        Ok(self.info(&database))
    }

    /// Deletes the objects of databases that were dropped long enough ago, until `stop`.
    pub(super) async fn purge_dropped(self: Arc<Hosted>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(Duration::from_secs(60));
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            if !self.group.serves() {
                continue;
            }
            for database in self.group.catalog.all() {
                let State::Dropped { at_ms } = *database.state.read() else {
                    continue;
                };
                if now_ms().saturating_sub(at_ms) < self.drop_retention.as_millis() as u64 {
                    continue;
                }
                if let Err(error) = self.purge(&database).await {
                    tracing::warn!(database = %database.id, error = causes::text(&error), "a dropped database was not purged; it will be tried again");
                }
            }
        }
    }

    async fn purge(&self, database: &group::Database) -> Result<(), crate::materialize::Error> {
        self.group.pages.bases.purge(database.id).await?;
        let purged = entry::Purged {
            database: Bytes::copy_from_slice(database.id.as_bytes()),
            purged_at_ms: now_ms(),
        };
        self.group.write(Kind::Purged(purged)).await?;
        Ok(())
    }

    fn info(&self, database: &group::Database) -> DatabaseInfo {
        let snapshot = database.published.load();
        let (dropped_at_ms, purged_at_ms) = match *database.state.read() {
            State::Active => (None, None),
            State::Dropped { at_ms } => (Some(at_ms), None),
            State::Purged { dropped_at_ms, at_ms } => (Some(dropped_at_ms), Some(at_ms)),
        };
        DatabaseInfo {
            id: database.id,
            name: database.name.clone(),
            group: self.group.name.clone(),
            epoch: snapshot.epoch,
            version: snapshot.version,
            size_bytes: snapshot.extent.bytes(),
            overlay_bytes: snapshot.overlay_bytes,
            created_at_ms: database.created_at_ms,
            dropped_at_ms,
            purged_at_ms,
            limits: **database.limits.load(),
        }
    }
}
