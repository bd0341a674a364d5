//! Recovery of a group that lost every disk: from its archive and the bases' checkpoints to a new incarnation.
//!
//! # Steps (each may be repeated by anyone after a crash; all attempts go on with the operation that `taken` names)
//! 1. `groups/<group>/taken/<n>`: incarnation n is over. Its members find that when they start.
//! 2. The archive of n is replayed through the state machine, to its end or the first gap, and sealed: whoever still leads n
//!    finds the seal with its next object, and serves no more. What it wrote before is replayed too.
//! 3. `groups/<group>/planned/<n+1>`: the checkpoint that each database begins from: the one that the log names, or a newer
//!    one, where the base has it and the archive does not reach so far, or where that one is gone. And which databases have
//!    none of these, and are given up because somebody said so.
//! 4. Each database: its base is cloned at that checkpoint under the next epoch, which copies no page; what the replay has
//!    on top is materialized; the owner chain gets the epoch.
//! 5. The state with these databases becomes the first snapshot in the archive of n + 1: its seed.
//! 6. `groups/<group>/recovered/<n+1>`: from now on a node without data begins n + 1 with the seed.
//!
//! INVARIANT: nothing of incarnation n is changed or deleted. A member of it that still runs writes below other epochs' paths.
//! INVARIANT: whatever two attempts at once do, both write the same: the seal fixes the entries, the plan the checkpoints,
//! the owner chain what came of them, and one `recovered` counts. (Their writers fence each other: one may end with an error.)
//! INVARIANT: nothing is taken while a database has lost its pages, unless it is to be given up; what is given up becomes a tombstone,
//! whose objects stay for the retention of dropped ones. Tested by `a_database_that_lost_its_base_is_given_up_only_by_wish`.
//! CRASH: before 6 no incarnation can begin; the recovery is run again.

use super::chain::Chain;
use super::object::{self, Life, Object};
use super::replayed::{self, End, Replayed};
use super::{Error, Lost, snapshots};
use crate::base::{self, Bases, Checkpoint};
use crate::clock::now_ms;
use crate::group::Database;
use crate::materialize;
use crate::overlay::{Pages, Snapshot};
use crate::owner::{self, Cause, Chains, Claim, Incarnation, Owner, Plan, Recovered, Taking};
use crate::store::Store;
use futures::{StreamExt, TryStreamExt, stream};
use orion_api::{DatabaseId, DatabaseName, Epoch, GroupName, Version};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Looks before a loss is believed, and the pause between two.
const LOOKS: usize = 3;
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

/// Databases that are worked on at once.
const AT_ONCE: usize = 8;

/// Where a recovery reads and writes.
#[derive(Debug)]
pub(crate) struct Recovery {
    pub(crate) store: Store,
    pub(crate) chains: Chains,
    pub(crate) pages: Arc<Pages>,
    pub(crate) group: GroupName,
    /// For files, which may vanish.
    pub(crate) dir: PathBuf,
    /// Databases that are dropped if their pages are lost. Others stop everything before it begins.
    pub(crate) may_drop: BTreeSet<DatabaseName>,
}

/// What came of a recovery.
pub(crate) struct Outcome {
    /// The incarnation that can begin.
    pub(crate) recovered: Recovered,
    /// What the archive held; nothing where an earlier attempt had done everything.
    pub(crate) replayed: Option<Replayed>,
    /// The databases in it, tombstones included.
    pub(crate) databases: Vec<Arc<Database>>,
}

impl Recovery {
    /// The newest incarnation that ever had a log, or is to get one.
    pub(crate) async fn life(&self) -> Result<owner::Life, Error> {
        Ok(self.chains.life(&self.group).await?)
    }

    /// What the archive of an incarnation holds. Changes nothing.
    pub(crate) async fn look(&self, incarnation: Incarnation) -> Result<Replayed, Error> {
        replayed::replay(&self.chain(incarnation), Arc::clone(&self.pages), &self.dir).await
    }

    /// Recovers the newest incarnation. The caller knows that it is lost.
    pub(crate) async fn run(&self) -> Result<Outcome, Error> {
        let taking = match self.life().await? {
            owner::Life::BeingRecovered(taking) => taking,
            newest => {
                let old = newest.incarnation();
                if self.chains.founder(&self.group, old).await?.is_none() {
                    return match newest {
                        owner::Life::Again(recovered) => Ok(done(recovered)),
                        _ => Err(Error::NeverBegun(self.group.clone())),
                    };
                }
                // Before anything is ended: without an archive there is nothing to begin from.
                let replayed = self.look(old).await?;
                self.must_be_archived(&replayed)?;
                self.choose_all(&replayed).await?;
                let taking = Taking {
                    group: self.group.clone(),
                    incarnation: old,
                    operation: Uuid::new_v4(),
                };
                self.chains.take(&taking).await?
            }
        };
        fail::fail_point!("recover::after_take");
        let new = Incarnation(taking.incarnation.0 + 1);
        let replayed = self.replay_and_seal(&taking).await?;
        self.must_be_archived(&replayed)?;
        fail::fail_point!("recover::after_seal");
        let plan = self.plan(&replayed, new, taking.operation).await?;
        fail::fail_point!("recover::after_plan");
        let databases = self.carry_all(&replayed, &plan, new).await?;
        let recovered = self.seed(&replayed, &databases, new, taking.operation).await?;
        fail::fail_point!("recover::after_recovered");
        Ok(Outcome {
            recovered,
            replayed: Some(replayed),
            databases,
        })
    }

    fn chain(&self, incarnation: Incarnation) -> Chain {
        Chain {
            store: self.store.clone(),
            life: Life {
                group: self.group.clone(),
                incarnation,
            },
        }
    }

    fn must_be_archived(&self, replayed: &Replayed) -> Result<(), Error> {
        match replayed.next {
            0 => Err(Error::NothingArchived(self.group.clone())),
            _ => Ok(()),
        }
    }

    /// Step 2. A chain whose end is damaged or gone cannot be sealed: `taken` alone keeps its members away then.
    async fn replay_and_seal(&self, taking: &Taking) -> Result<Replayed, Error> {
        let chain = self.chain(taking.incarnation);
        let mut replayed = self.look(taking.incarnation).await?;
        while replayed.end == End::Newest {
            let seal = object::encode_seal(&chain.life, replayed.next, taking.operation);
            match chain.put(replayed.next, seal).await? {
                None => replayed.end = End::Seal(taking.operation),
                Some(Object::Seal(operation)) => replayed.end = End::Seal(operation),
                // It was faster.
                Some(Object::Entries(_)) => replayed::go_on(&chain, &mut replayed).await?,
            }
        }
        Ok(replayed)
    }

    /// Step 3.
    async fn plan(&self, replayed: &Replayed, new: Incarnation, operation: Uuid) -> Result<Plan, Error> {
        if let Some(plan) = self.chains.planned(&self.group, new).await? {
            return Ok(plan);
        }
        let (checkpoints, lost) = self.choose_all(replayed).await?;
        let plan = Plan {
            operation,
            checkpoints,
            dropped: lost.into_iter().map(|lost| lost.database).collect(),
        };
        Ok(self.chains.plan(&self.group, new, &plan).await?)
    }

    /// The checkpoints that the databases' next epochs begin from, and the databases that are to be given up.
    async fn choose_all(&self, replayed: &Replayed) -> Result<(Vec<Checkpoint>, Vec<Lost>), Error> {
        let active = replayed.state.databases().into_iter();
        let choices = stream::iter(active.filter(|database| database.is_active()))
            .map(|database| async move { self.choose(&database).await });
        let choices: Vec<Choice> = choices.buffered(AT_ONCE).try_collect().await?;
        let (mut checkpoints, mut lost) = (Vec::new(), Vec::new());
        for choice in choices {
            match choice {
                Choice::Nothing => {}
                Choice::From(checkpoint) => checkpoints.push(checkpoint),
                Choice::Lost(one) => lost.push(one),
            }
        }
        match lost.iter().all(|lost| self.may_drop.contains(&lost.name)) {
            true => Ok((checkpoints, lost)),
            false => Err(Error::BasesLost(lost)),
        }
    }

    /// The databases whose pages are lost. Changes nothing.
    pub(crate) async fn lost(&self, replayed: &Replayed) -> Result<Vec<Lost>, Error> {
        match self.choose_all(replayed).await {
            Ok((_, lost)) | Err(Error::BasesLost(lost)) => Ok(lost),
            Err(other) => Err(other),
        }
    }

    /// The checkpoint that a database's next epoch begins from. A loss is believed when it was seen several times: a member that
    /// still runs may have retired a checkpoint between two looks, and a single answer may be damaged on its way.
    async fn choose(&self, database: &Database) -> Result<Choice, Error> {
        let owner = self.chains.current(database.id).await?;
        if owner.is_none_or(|owner| owner.is_dropped()) {
            // Dropped since, perhaps purged: it has no next epoch.
            return Ok(Choice::Nothing);
        }
        let mut choice = self.look_for_base(database).await?;
        for _ in 1..LOOKS {
            let Choice::Lost(_) = choice else { break };
            tokio::time::sleep(BETWEEN_LOOKS).await;
            choice = self.look_for_base(database).await?;
        }
        Ok(choice)
    }

    async fn look_for_base(&self, database: &Database) -> Result<Choice, Error> {
        let snapshot = database.published.load_full();
        let named = snapshot.checkpoint.as_deref().copied();
        let lost = |version| {
            Ok(Choice::Lost(Lost {
                database: database.id,
                name: database.name.clone(),
                version,
            }))
        };
        let there = match self.bases().checkpoints(database.id, database.epoch).await {
            Ok(there) => there,
            Err(error) if is_loss(&error) => return lost(snapshot.version),
            Err(error) => return Err(error.into()),
        };
        let newest = there.iter().max_by_key(|checkpoint| checkpoint.version).copied();
        let from = match (named, newest) {
            (_, Some(newest)) if newest.version > snapshot.version => newest,
            (Some(named), _) if there.contains(&named) => named,
            // The named one was given up, because a newer one had taken its place.
            (Some(named), Some(newest)) if newest.version > named.version => newest,
            (Some(named), _) => return lost(named.version),
            (None, _) => return Ok(Choice::Nothing),
        };
        match self.bases().header(&from).await {
            Ok(_) => Ok(Choice::From(from)),
            Err(error) if is_loss(&error) => {
                self.bases().forget(&from);
                lost(from.version)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Step 4 for all databases.
    async fn carry_all(
        &self,
        replayed: &Replayed,
        plan: &Plan,
        new: Incarnation,
    ) -> Result<Vec<Arc<Database>>, Error> {
        let chosen: HashMap<DatabaseId, Checkpoint> = plan
            .checkpoints
            .iter()
            .map(|checkpoint| (checkpoint.database, *checkpoint))
            .collect();
        let carried = stream::iter(replayed.state.databases()).map(|database| {
            let from = chosen.get(&database.id).copied();
            let is_lost = plan.dropped.contains(&database.id);
            async move {
                match database.is_active() {
                    true if is_lost => self.give_up(&database, new, plan.operation).await,
                    true => self.carry(&database, from, new, plan.operation).await,
                    false => Ok(database),
                }
            }
        });
        carried.buffered(AT_ONCE).try_collect().await
    }

    /// Step 4.
    async fn carry(
        &self,
        database: &Arc<Database>,
        from: Option<Checkpoint>,
        new: Incarnation,
        operation: Uuid,
    ) -> Result<Arc<Database>, Error> {
        let epoch = database.epoch.next();
        match self.chains.current(database.id).await? {
            Some(owner) if owner.is_dropped() => return Ok(database.as_dropped(now_ms())),
            // Purged: nothing of it is there any more.
            None => return Ok(database.as_dropped(0)),
            Some(owner) if owner.epoch == epoch && owner.operation == operation => {
                return self.carried(database, &owner).await;
            }
            Some(owner) if owner.epoch != database.epoch => return Err(Error::Elsewhere(Box::new(owner))),
            Some(_) => {}
        }
        let snapshot = self.at_checkpoint(&database.published.load_full(), from).await?;
        let stored = self.store_in(epoch, &snapshot, from).await?;
        let next = Owner {
            database: database.id,
            epoch,
            group: self.group.clone(),
            incarnation: new,
            start_version: snapshot.version,
            checkpoint: stored,
            chain: snapshot.chain,
            cause: Cause::Recovered,
            operation,
        };
        fail::fail_point!("recover::before_claim");
        match self.chains.claim(&next).await? {
            Claim::Won => self.carried(database, &next).await,
            Claim::AlreadyOurs(owner) => self.carried(database, &owner).await,
            Claim::Lost(owner) if owner.is_dropped() => Ok(database.as_dropped(now_ms())),
            Claim::Lost(owner) => Err(Error::Elsewhere(Box::new(owner))),
        }
    }

    /// Step 4 for a database whose pages are lost. The name is released last: who comes after a crash finds the tombstone
    /// and does the rest.
    async fn give_up(
        &self,
        database: &Arc<Database>,
        new: Incarnation,
        operation: Uuid,
    ) -> Result<Arc<Database>, Error> {
        let snapshot = database.published.load_full();
        let tombstone = Owner {
            database: database.id,
            epoch: database.epoch.next(),
            group: self.group.clone(),
            incarnation: new,
            start_version: snapshot.version,
            checkpoint: snapshot.checkpoint.as_deref().copied(),
            chain: snapshot.chain,
            cause: Cause::Dropped,
            operation,
        };
        if let Claim::Lost(owner) = self.chains.claim(&tombstone).await?
            && !owner.is_dropped()
        {
            return Err(Error::Elsewhere(Box::new(owner)));
        }
        fail::fail_point!("recover::before_release");
        self.chains
            .release_name(&database.name, database.id, operation)
            .await?;
        Ok(database.as_dropped(now_ms()))
    }

    /// The state on top of the checkpoint that was chosen for it.
    async fn at_checkpoint(
        &self,
        snapshot: &Arc<Snapshot>,
        from: Option<Checkpoint>,
    ) -> Result<Arc<Snapshot>, Error> {
        let Some(from) = from.filter(|from| Some(from) != snapshot.checkpoint.as_deref()) else {
            return Ok(Arc::clone(snapshot));
        };
        let header = self.bases().header(&from).await?;
        Ok(Arc::new(match from.version > snapshot.version {
            true => Snapshot::at_checkpoint(Arc::new(from), &header, snapshot.expiries.clone()),
            false => snapshot.materialized(Arc::new(from), header.extent.page_count, 0),
        }))
    }

    /// Makes the base of `epoch` with everything that `snapshot` has. None where nothing was ever written.
    async fn store_in(
        &self,
        epoch: Epoch,
        snapshot: &Arc<Snapshot>,
        from: Option<Checkpoint>,
    ) -> Result<Option<Checkpoint>, Error> {
        if snapshot.version == Version(0) && from.is_none() {
            return Ok(None);
        }
        if let Some(from) = &from {
            self.bases().clone_at(from, epoch).await?;
        }
        fail::fail_point!("recover::after_clone");
        let mut writer = self.bases().writer(snapshot.database, epoch).await?;
        let mut next = Snapshot::clone(snapshot);
        next.epoch = epoch;
        let stored = materialize::store(&self.pages, &Arc::new(next), &mut writer, now_ms()).await?;
        writer.close().await?;
        Ok(Some(stored))
    }

    /// The database in the epoch that the owner chain has for it.
    async fn carried(&self, database: &Arc<Database>, owner: &Owner) -> Result<Arc<Database>, Error> {
        let Some(checkpoint) = owner.checkpoint else {
            return Ok(database.in_epoch(owner.epoch, Snapshot::empty(database.id, owner.epoch)));
        };
        let header = self.bases().header(&checkpoint).await?;
        let mut expiries = database.published.load().expiries.clone();
        expiries.forget(now_ms());
        let snapshot = Snapshot::at_checkpoint(Arc::new(checkpoint), &header, expiries);
        Ok(database.in_epoch(owner.epoch, snapshot))
    }

    /// Steps 5 and 6.
    async fn seed(
        &self,
        replayed: &Replayed,
        databases: &[Arc<Database>],
        new: Incarnation,
        operation: Uuid,
    ) -> Result<Recovered, Error> {
        let index = replayed.next - 1;
        let file = self.dir.join("seed");
        replayed.state.write_seed(index, databases, &file)?;
        let file = File::open(&file).map_err(Error::io("open the seed"))?;
        let life = self.chain(new).life;
        let seed = snapshots::upload(&self.store, &life, file, index, now_ms()).await?;
        fail::fail_point!("recover::after_seed");
        let recovered = Recovered {
            group: self.group.clone(),
            incarnation: new,
            operation,
            seed: seed.folder.to_string(),
            index,
        };
        Ok(self.chains.recover(&recovered).await?)
    }

    fn bases(&self) -> &Bases {
        &self.pages.bases
    }
}

/// What a database's next epoch begins from.
enum Choice {
    /// Nothing was ever materialized.
    Nothing,
    From(Checkpoint),
    Lost(Lost),
}

/// What is gone or damaged stays so; everything else may be otherwise at the next attempt.
fn is_loss(error: &base::Error) -> bool {
    matches!(error.kind(), base::Kind::Corrupt | base::Kind::NotFound)
}

/// An earlier attempt did everything, and nobody began the incarnation yet.
fn done(recovered: Recovered) -> Outcome {
    Outcome {
        recovered,
        replayed: None,
        databases: Vec::new(),
    }
}
