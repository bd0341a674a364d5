//! Who began a group: `groups/<group>/begun/<incarnation>`, written once.
//!
//! INVARIANT: a group is begun once in each incarnation. A node whose log knows nothing of its group, because the disk is new,
//! must not make an empty group of the same name over the databases of the old one.

use super::sequence::{Added, Sequence};
use super::{Chains, Error, Incarnation};
use object_store::path::Path;
use orion_api::{GroupName, NodeId};
use serde::{Deserialize, Serialize};

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

impl Chains {
    /// Claims the beginning of an incarnation. One request; may be repeated.
    pub async fn found(&self, founding: &Founding) -> Result<Founded, Error> {
        let path = Path::from_iter(["groups", founding.group.as_str(), "begun"]);
        let begun: Sequence<'_, Founding> = Sequence::new(self.store(), path);
        Ok(match begun.add(founding.incarnation.0, founding).await? {
            Added::Now | Added::Before => Founded::Ours,
            Added::Occupied(other) if other.founder == founding.founder => Founded::Ours,
            Added::Occupied(other) => Founded::By(other.founder),
        })
    }
}
