//! Leader election by a Lease of `coordination.k8s.io`: of several replicas of the operator one acts.
//!
//! The holder renews the Lease every [`Times::retry`]. It acts until [`Times::renewal`] after it *began to send* the last
//! renewal that was answered: then the [`Gate`] closes, which every write passes, and the process ends. Others take the Lease
//! when they themselves saw it unchanged for [`Times::duration`], which is longer. So the one has stopped before the other
//! begins, whatever their clocks say, as long as they run at about the same speed.
//!
//! LIMIT: a write that was sent before the Gate closed may arrive later. Objects are written under preconditions or as a whole,
//! so that it is a write of the old plan, not a mixture.

mod gate;
mod record;

pub use gate::Gate;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::PostParams;
use record::{Step, Watched};
use std::time::{Duration, Instant};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// After so long without a renewal another one takes it.
    pub duration: Duration,
    /// So long after the last renewal its holder acts. Shorter than `duration`.
    pub renewal: Duration,
    /// Between two attempts.
    pub retry: Duration,
}

impl Default for Times {
    fn default() -> Times {
        Times {
            duration: Duration::from_secs(15),
            renewal: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// A candidate for a Lease.
pub struct Election {
    /// Leases of the namespace.
    pub api: Api<Lease>,
    /// Name of the Lease.
    pub name: String,
    /// Who this is: the pod's name.
    pub identity: String,
    /// How long things take.
    pub times: Times,
    /// Opens with the Lease.
    pub gate: Gate,
}

/// The Lease could not be renewed in time, or another one has it.
#[derive(Debug, thiserror::Error)]
#[error("the Lease is lost: nothing may be done any more")]
pub struct Lost;

/// A Lease that is held.
pub struct Held {
    election: Election,
    /// As it was written last.
    lease: Lease,
}

impl Election {
    /// Waits until it is held. None: stopped before.
    pub async fn acquire(self, stop: &CancellationToken) -> Option<Held> {
        let mut watched = Watched::default();
        loop {
            let begun = Instant::now();
            let attempt = timeout(self.times.renewal, self.attempt(&mut watched)).await;
            match attempt {
                Ok(Ok(Some(lease))) => {
                    self.gate.open_until(begun + self.times.renewal);
                    tracing::info!(identity = self.identity, "the Lease is held");
                    let election = self;
                    return Some(Held { election, lease });
                }
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the Lease could not be asked for"),
                Err(_) => tracing::warn!("the Lease could not be asked for: no answer"),
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = sleep_until((begun + self.times.retry).into()) => {}
            }
        }
    }

    /// Looks, and takes it if it may be taken.
    async fn attempt(&self, watched: &mut Watched) -> kube::Result<Option<Lease>> {
        let Some(lease) = self.api.get_opt(&self.name).await? else {
            let mut lease = record::held(&Lease::default(), &self.identity, self.times.duration);
            lease.metadata.name = Some(self.name.clone());
            return if_first(self.api.create(&PostParams::default(), &lease).await);
        };
        match watched.step(&lease, &self.identity, Instant::now()) {
            Step::Wait => Ok(None),
            Step::Take | Step::Renew => self.write(&lease).await,
        }
    }

    /// Only over the version that was seen.
    async fn write(&self, seen: &Lease) -> kube::Result<Option<Lease>> {
        let lease = record::held(seen, &self.identity, self.times.duration);
        if_first(self.api.replace(&self.name, &PostParams::default(), &lease).await)
    }
}

impl Held {
    /// Renews it, and returns at the moment from which nothing may be done.
    pub async fn keep(&mut self) -> Lost {
        let Times { renewal, retry, .. } = self.election.times;
        let mut renewed = Instant::now();
        loop {
            let next = (Instant::now() + retry).min(self.election.gate.until());
            sleep_until(next.into()).await;
            let begun = Instant::now();
            // One that hangs leaves time for another, over another connection.
            let left = self.election.gate.until().saturating_duration_since(begun);
            match timeout(left.min(renewal / 2), self.renew()).await {
                Ok(Ok(Renewal::Done)) => {
                    renewed = begun;
                    self.election.gate.open_until(begun + renewal);
                }
                Ok(Ok(Renewal::Raced)) => {}
                Ok(Ok(Renewal::Taken)) => return self.lose("another one has it"),
                Ok(Err(error)) => tracing::warn!(%error, "the Lease could not be renewed"),
                Err(_) => tracing::warn!("the Lease could not be renewed: no answer"),
            }
            if !self.election.gate.is_open() {
                let since = renewed.elapsed();
                tracing::error!(?since, "the Lease was not renewed in time");
                return self.lose("it was not renewed in time");
            }
        }
    }

    fn lose(&self, why: &'static str) -> Lost {
        self.election.gate.close();
        tracing::error!(why, "the Lease is lost");
        Lost
    }

    async fn renew(&mut self) -> kube::Result<Renewal> {
        if let Some(lease) = self.election.write(&self.lease).await? {
            self.lease = lease;
            return Ok(Renewal::Done);
        }
        // Another version is there: of an own renewal whose answer was lost, or of another one.
        let Some(found) = self.election.api.get_opt(&self.election.name).await? else {
            return Ok(Renewal::Taken);
        };
        let holder = found.spec.as_ref().and_then(|spec| spec.holder_identity.as_ref());
        if holder != Some(&self.election.identity) {
            return Ok(Renewal::Taken);
        }
        self.lease = found;
        match self.election.write(&self.lease).await? {
            Some(lease) => {
                self.lease = lease;
                Ok(Renewal::Done)
            }
            None => Ok(Renewal::Raced),
        }
    }

    /// Gives it up at once, after everything has ended. That it fails is no error: it ends by itself.
    pub async fn release(self) {
        self.election.gate.close();
        let released = record::released(&self.lease);
        let parameters = PostParams::default();
        let written = self
            .election
            .api
            .replace(&self.election.name, &parameters, &released);
        match timeout(self.election.times.retry, written).await {
            Ok(Ok(_)) => tracing::info!("the Lease is released"),
            Ok(Err(error)) => tracing::warn!(%error, "the Lease is not released; it ends by itself"),
            Err(_) => tracing::warn!("the Lease is not released, no answer; it ends by itself"),
        }
    }
}

/// What came of a renewal.
enum Renewal {
    Done,
    /// It changed in between: the next attempt sees by whom.
    Raced,
    /// It is another one's, or was deleted.
    Taken,
}

/// None where another one was first.
fn if_first(written: kube::Result<Lease>) -> kube::Result<Option<Lease>> {
    match written {
        Ok(lease) => Ok(Some(lease)),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(None),
        Err(error) => Err(error),
    }
}
