//! The lives of a group: `groups/<group>/{begun,taken,planned,recovered}/<incarnation>`, each written once.
//!
//! | object | says |
//! |---|---|
//! | `begun/<n>` | which node is the first member of the n-th incarnation |
//! | `taken/<n>` | the n-th incarnation is over: somebody recovers the group from what it left |
//! | `planned/<n>` | from which checkpoints the n-th incarnation begins; every attempt at that recovery has the same |
//! | `recovered/<n>` | the n-th incarnation can begin, with this seed |
//!
//! INVARIANT: a group is begun once in each incarnation. A node whose log knows nothing of its group, because the disk is new,
//! must not make an empty group of the same name over the databases of the old one.
//! INVARIANT: of any number of recoveries at once one is what counts: the first `recovered/<n>`. All attempts after the same
//! `taken` go on with its operation.
//! INVARIANT: a member of an incarnation that is taken serves no more. It looks when it starts, and while it leads the seal
//! in its archive tells it.

use super::sequence::{Added, Sequence};
use super::{Chains, Error, Incarnation};
use crate::base::Checkpoint;
use object_store::path::Path;
use orion_api::{DatabaseId, GroupName, NodeId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The beginning of an incarnation of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Founding {
    /// Which group.
    pub group: GroupName,
    /// Which life of its log.
    pub incarnation: Incarnation,
    /// The node that is its first member.
    pub founder: NodeId,
}

impl Founding {
    /// The first incarnation.
    pub fn first(group: GroupName, founder: NodeId) -> Founding {
        Founding {
            group,
            incarnation: Incarnation(1),
            founder,
        }
    }
}

/// What came of wanting to begin a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Founded {
    /// It is ours to begin, now or since an earlier attempt.
    Ours,
    /// Another node began it.
    By(NodeId),
}

/// The end of an incarnation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taking {
    /// Which group.
    pub group: GroupName,
    /// The incarnation that is over.
    pub incarnation: Incarnation,
    /// The recovery.
    pub operation: Uuid,
}

/// What a recovery begins from: all that could be different in another attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The recovery.
    pub operation: Uuid,
    /// The checkpoint that each database's new epoch begins from, where it has one.
    pub checkpoints: Vec<Checkpoint>,
    /// Databases whose pages are lost: they become tombstones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<DatabaseId>,
}

/// An incarnation that can begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovered {
    /// Which group.
    pub group: GroupName,
    /// The new incarnation.
    pub incarnation: Incarnation,
    /// The recovery that made it.
    pub operation: Uuid,
    /// Folder of the snapshot in the archive that it begins with.
    pub seed: String,
    /// The seed holds everything up to this index.
    pub index: u64,
}

/// Which life of a group is the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Life {
    /// The first: nobody ever recovered the group.
    First,
    /// It was recovered.
    Again(Recovered),
    /// A recovery began and did not get to its end.
    BeingRecovered(Taking),
}

impl Life {
    /// Its number.
    pub fn incarnation(&self) -> Incarnation {
        match self {
            Life::First => Incarnation(1),
            Life::Again(recovered) => recovered.incarnation,
            Life::BeingRecovered(taking) => Incarnation(taking.incarnation.0 + 1),
        }
    }
}

impl Chains {
    /// Claims the beginning of an incarnation. One request; may be repeated.
    pub async fn found(&self, founding: &Founding) -> Result<Founded, Error> {
        let begun: Sequence<'_, Founding> = self.group(&founding.group, "begun");
        Ok(match begun.add(founding.incarnation.0, founding).await? {
            Added::Now | Added::Before => Founded::Ours,
            Added::Occupied(other) if other.founder == founding.founder => Founded::Ours,
            Added::Occupied(other) => Founded::By(other.founder),
        })
    }

    /// Who began an incarnation, if anybody did. One request.
    pub async fn founder(&self, group: &GroupName, of: Incarnation) -> Result<Option<NodeId>, Error> {
        let begun: Sequence<'_, Founding> = self.group(group, "begun");
        Ok(begun.get(of.0).await?.map(|founding| founding.founder))
    }

    /// The newest life of a group: a list, and two reads where it was ever recovered.
    pub async fn life(&self, group: &GroupName) -> Result<Life, Error> {
        let taken: Sequence<'_, Taking> = self.group(group, "taken");
        let Some((number, taking)) = taken.highest().await? else {
            return Ok(Life::First);
        };
        let recovered = self.recovered(group, Incarnation(number + 1)).await?;
        Ok(recovered.map_or(Life::BeingRecovered(taking), Life::Again))
    }

    /// Who ended an incarnation, if anybody did. One request.
    pub async fn taken(&self, group: &GroupName, of: Incarnation) -> Result<Option<Taking>, Error> {
        self.group(group, "taken").get(of.0).await
    }

    /// Ends an incarnation; answers the recovery that ended it, which may be an earlier one.
    pub async fn take(&self, taking: &Taking) -> Result<Taking, Error> {
        let taken = self.group(&taking.group, "taken");
        Ok(first(taken.add(taking.incarnation.0, taking).await?, taking))
    }

    /// Writes down what `incarnation` begins from; answers what counts, which an earlier attempt may have written.
    pub async fn plan(
        &self,
        group: &GroupName,
        incarnation: Incarnation,
        plan: &Plan,
    ) -> Result<Plan, Error> {
        let planned = self.group(group, "planned");
        Ok(first(planned.add(incarnation.0, plan).await?, plan))
    }

    /// What an incarnation begins from, if that was decided.
    pub async fn planned(&self, group: &GroupName, of: Incarnation) -> Result<Option<Plan>, Error> {
        self.group(group, "planned").get(of.0).await
    }

    /// Says that an incarnation can begin; answers what counts, which an earlier attempt may have written.
    pub async fn recover(&self, recovered: &Recovered) -> Result<Recovered, Error> {
        let done = self.group(&recovered.group, "recovered");
        Ok(first(
            done.add(recovered.incarnation.0, recovered).await?,
            recovered,
        ))
    }

    /// How an incarnation can begin, if it can. One request.
    pub async fn recovered(&self, group: &GroupName, of: Incarnation) -> Result<Option<Recovered>, Error> {
        self.group(group, "recovered").get(of.0).await
    }

    fn group<T: Serialize + DeserializeOwned>(&self, group: &GroupName, what: &str) -> Sequence<'_, T> {
        Sequence::new(self.store(), Path::from_iter(["groups", group.as_str(), what]))
    }
}

/// What counts after an attempt to write `ours`.
fn first<T: Clone>(added: Added<T>, ours: &T) -> T {
    match added {
        Added::Now | Added::Before => ours.clone(),
        Added::Occupied(theirs) => theirs,
    }
}
