//! Which life of its group a data directory belongs to, and the beginning of one that was recovered.
//!
//! The file `groups/<group>/incarnation` is written before the log begins; a log without it is of the first incarnation.
//!
//! INVARIANT: a member of an incarnation that is over does not serve. Here it does not start; where the object store does not
//! answer at the start, the seal in the archive tells it when it leads ([`crate::archive`]). Tested by
//! `old_members_of_a_recovered_group_do_not_start`.

use super::Error;
use super::options::Options;
use crate::archive;
use crate::causes;
use crate::durable::NumberFile;
use crate::group;
use crate::owner::{Chains, Founded, Founding, Incarnation, Life, Recovered};
use crate::raft::Place;
use crate::store::Store;
use orion_api::admin::Role;
use orion_api::{GroupName, NodeId};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

/// How long a node that has a log waits for the object store to say whether its incarnation is over.
const LOOK: Duration = Duration::from_secs(2);

/// What the start of a group's member looks at.
pub(super) struct Start<'a> {
    pub(super) options: &'a Options,
    pub(super) group: &'a GroupName,
    pub(super) node: NodeId,
    pub(super) chains: &'a Chains,
    pub(super) store: &'a Store,
    /// The log has something.
    pub(super) is_begun: bool,
}

impl Start<'_> {
    /// The incarnation that this node is in, or is to be in. A new one begins here if this node is the first to claim it.
    pub(super) async fn incarnation(&self) -> Result<Incarnation, Error> {
        let group = self.group;
        let dir = self.options.group_dir(group);
        let path = dir.join("incarnation");
        let file = NumberFile {
            format: "orion-incarnation-1",
            path: &path,
        };
        if self.is_begun {
            let own = file.read().map_err(|source| match source.kind() {
                ErrorKind::InvalidData => Error::Identity(path.clone()),
                _ => io("read", &path)(source),
            })?;
            let own = own.map_or(Incarnation(1), Incarnation);
            self.must_not_be_over(own).await?;
            return Ok(own);
        }
        let life = self.chains.life(group).await?;
        let own = life.incarnation();
        match &life {
            Life::BeingRecovered(_) => return Err(Error::BeingRecovered(group.clone())),
            Life::First => {}
            Life::Again(recovered) => self.begin(recovered, &dir).await?,
        }
        if own != Incarnation(1) {
            file.write(own.0).map_err(io("write", &path))?;
        }
        Ok(own)
    }

    async fn must_not_be_over(&self, own: Incarnation) -> Result<(), Error> {
        let group = self.group;
        match tokio::time::timeout(LOOK, self.chains.taken(group, own)).await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(_))) => {
                return Err(Error::Over {
                    group: group.clone(),
                    incarnation: own.0,
                });
            }
            Ok(Err(error)) => {
                tracing::warn!(%group, error = causes::text(&error), "the object store does not say whether the group was recovered elsewhere")
            }
            Err(_) => {
                tracing::warn!(%group, "the object store does not say whether the group was recovered elsewhere")
            }
        }
        Ok(())
    }

    /// Makes this node the first member of a recovered incarnation, unless another one is, or it is not to vote.
    async fn begin(&self, recovered: &Recovered, dir: &Path) -> Result<(), Error> {
        if self
            .options
            .cluster
            .as_ref()
            .is_some_and(|cluster| !cluster.votes)
        {
            return Ok(());
        }
        let founding = Founding {
            group: recovered.group.clone(),
            incarnation: recovered.incarnation,
            founder: self.node,
        };
        match (self.chains.found(&founding).await?, &self.options.cluster) {
            (Founded::Ours, _) => {}
            (Founded::By(_), Some(_)) => return Ok(()),
            (Founded::By(founder), None) => {
                return Err(Error::OtherFounder {
                    group: recovered.group.clone(),
                    founder,
                });
            }
        }
        std::fs::create_dir_all(dir).map_err(io("create", dir))?;
        let seed = dir.join("seed");
        archive::fetch_seed(self.store, recovered, &seed).await?;
        let cluster = self.options.cluster.as_ref();
        let place = Place {
            address: cluster.map_or_else(String::new, |cluster| cluster.advertise.clone()),
            role: Role::Voter,
            format_level: self.options.format_level,
        };
        group::found(&seed, dir, self.node, place)?;
        // Not missed if it stays.
        let _ = std::fs::remove_file(&seed);
        tracing::info!(group = %recovered.group, incarnation = recovered.incarnation.0, "begins with what was recovered");
        Ok(())
    }
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { what, path, source }
}
