//! The owner chain of a database.

use super::sequence::{Added, Sequence};
use super::{Chains, Error};
use crate::base::Checkpoint;
use crate::page::Chain;
use object_store::path::Path;
use orion_api::{DatabaseId, Epoch, GroupName, Version};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Which life of a group's log: recovery of a group begins a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

/// Why an epoch began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The database was created empty.
    Created,
    /// It was made as a branch of another database.
    Branched,
    /// It was restored from an earlier state.
    Restored,
    /// A move handed it over.
    Moved,
    /// A move was cancelled: the same group goes on.
    Cancelled,
    /// A standby took it over from a group that is gone.
    Promoted,
    /// Its group was recovered after all disks were lost.
    Recovered,
    /// It was dropped. No epoch comes after this one.
    Dropped,
}

/// One entry of an owner chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// Whose chain.
    pub database: DatabaseId,
    /// Which place in it.
    pub epoch: Epoch,
    /// Who owns the database in this epoch.
    pub group: GroupName,
    /// Which life of that group's log.
    pub incarnation: Incarnation,
    /// The version with which the epoch begins: of earlier epochs' versions only those up to it count.
    pub start_version: Version,
    /// Where the pages as of `start_version` are, if anything was ever materialized.
    pub checkpoint: Option<Checkpoint>,
    /// The chain hash at `start_version`.
    #[serde(with = "chain_text")]
    pub chain: Chain,
    /// Why it began.
    pub cause: Cause,
    /// The operation that claimed it. A claim repeated with the same operation succeeds again.
    pub operation: Uuid,
}

/// What came of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The epoch is ours.
    Won,
    /// The same operation had won it before, perhaps with other details: these. Later epochs may exist.
    AlreadyOurs(Owner),
    /// Someone else owns it, or the database is dropped (the tombstone).
    Lost(Owner),
}

impl Owner {
    /// Whether this is the tombstone of a dropped database.
    pub fn is_dropped(&self) -> bool {
        self.cause == Cause::Dropped
    }
}

impl Chains {
    /// Claims `next.epoch` of `next.database`. The first epoch costs one request, a later one reads its predecessor
    /// too: an epoch follows without a gap, and none follows a tombstone.
    ///
    /// After an error the outcome is unknown; the same claim may be repeated until it is known.
    pub async fn claim(&self, next: &Owner) -> Result<Claim, Error> {
        let chain = self.owners(next.database);
        if let Some(last) = self.predecessor(&chain, next).await? {
            return Ok(Claim::Lost(last));
        }
        Ok(outcome(next, chain.add(next.epoch.0, next).await?))
    }

    /// The owner, or `None` if there never was one or the database was purged. Two requests.
    pub async fn current(&self, database: DatabaseId) -> Result<Option<Owner>, Error> {
        let highest = self.owners(database).highest().await?;
        Ok(highest.map(|(_, owner)| owner))
    }

    /// The newest owner after `known`, or `None` if `known` is still the newest: one request then.
    pub async fn newer(&self, database: DatabaseId, known: Epoch) -> Result<Option<Owner>, Error> {
        self.owners(database).above(known.0).await
    }

    /// The tombstone that forbids `next`, if its predecessor is one.
    async fn predecessor(&self, chain: &Sequence<'_, Owner>, next: &Owner) -> Result<Option<Owner>, Error> {
        let last = match next.epoch.0 {
            0 | 1 => None,
            epoch => chain.get(epoch - 1).await?,
        };
        follows(next, last)
    }

    fn owners(&self, database: DatabaseId) -> Sequence<'_, Owner> {
        Sequence::new(self.store(), Path::from(format!("db/{database}/owner")))
    }
}

/// Whether an epoch may follow its predecessor: the tombstone that forbids it, or an error if there is none before it.
pub(super) fn follows(next: &Owner, last: Option<Owner>) -> Result<Option<Owner>, Error> {
    match (next.epoch.0, last) {
        (1, _) => Ok(None),
        (2.., Some(last)) => Ok(last.is_dropped().then_some(last)),
        _ => Err(Error::Gap {
            database: next.database,
            epoch: next.epoch,
        }),
    }
}

/// What it means for a claim how its object was put.
pub(super) fn outcome(next: &Owner, added: Added<Owner>) -> Claim {
    match added {
        Added::Now => Claim::Won,
        Added::Before => Claim::AlreadyOurs(next.clone()),
        Added::Occupied(found) if found.operation == next.operation => Claim::AlreadyOurs(found),
        Added::Occupied(found) => Claim::Lost(found),
    }
}

/// A chain hash as 32 hexadecimal digits.
mod chain_text {
    use crate::page::Chain;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(chain: &Chain, serializer: S) -> Result<S::Ok, S::Error> {
        let number = u128::from_be_bytes(*chain.as_bytes());
        serializer.collect_str(&format_args!("{number:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Chain, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = u128::from_str_radix(&text, 16).map_err(D::Error::custom)?;
        Ok(Chain::from(number.to_be_bytes()))
    }
}
