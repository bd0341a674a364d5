//! The leader's lease: until when certainly nobody else can lead.
//!
//! A follower that accepted a request of the leader votes for nobody else for [`LEASE`] from then on. So a leader that
//! knows when it sent what a quorum accepted knows a time before which no other leader can be elected. It counts from
//! before it sent, on its own clock, and trusts only a part of it: clocks may run apart by a quarter.
//!
//! INVARIANT: strong reads are answered without asking a quorum only while the lease holds. CLOCK_BOOTTIME goes on while a
//! machine sleeps, so a leader that slept does not trust what it knew before. Tested by
//! `a_lease_counts_from_before_a_quorum_was_asked` and by the chaos tests' strong reads.
//!
//! Not promised: a virtual machine that its host pauses between the look at the clock and the answer. For that there is
//! the read policy `revocation_safe`.
//!
//! Source: Ongaro, "Consensus: bridging theory and practice", 6.4.1.

use crate::clock::Boottime;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// How long a follower keeps its vote after it heard from the leader: openraft's `election_timeout_max`.
pub(crate) const LEASE: Duration = Duration::from_millis(300);

/// How long a voter that was started again gives no vote and asks for none: the lease of a leader that it may have
/// promised not to replace, and a quarter for clocks that run apart.
pub(crate) const FORGOTTEN_VOTE: Duration = Duration::from_millis(LEASE.as_millis() as u64 * 5 / 4);

/// What the leader trusts of it, in nanoseconds: 0.8, so that clocks may run apart by a quarter.
pub(super) const TRUSTED: u64 = LEASE.as_nanos() as u64 / 10 * 8;

/// What a leader knows of its followers, and what follows from it.
#[derive(Debug)]
pub(crate) struct Lease {
    own: u64,
    state: Mutex<State>,
    /// The lease holds before this, in nanoseconds of [`Boottime`].
    until: AtomicU64,
    /// The term of `until`, stored before it.
    term: AtomicU64,
    /// The newest index that another member may know to be committed.
    told: AtomicU64,
    /// Somebody accepted something, or the voters changed.
    heard: Notify,
}

#[derive(Debug, Default)]
struct State {
    term: u64,
    /// One set, or two while the membership changes.
    voters: Vec<BTreeSet<u64>>,
    /// When the newest request that a member accepted in this term was sent.
    accepted: BTreeMap<u64, Boottime>,
    /// The leader of this term authorized an election: followers may vote at once.
    given_away: bool,
}

impl Lease {
    pub(crate) fn new(own: u64) -> Lease {
        Lease {
            own,
            state: Mutex::default(),
            until: AtomicU64::new(0),
            term: AtomicU64::new(0),
            told: AtomicU64::new(0),
            heard: Notify::new(),
        }
    }

    /// What is committed up to `index` is about to be told to another member, which may apply and show it before this one
    /// does.
    pub(crate) fn tells(&self, index: u64) {
        self.told.fetch_max(index, Ordering::SeqCst);
    }

    /// Nobody shows anything of this leader's term that is newer.
    pub(crate) fn told(&self) -> u64 {
        self.told.load(Ordering::SeqCst)
    }

    /// True if this node leads `term`, and no other leader can have been elected before now.
    pub(crate) fn holds(&self, term: u64) -> bool {
        // In this order: of a later term's lease the later term is seen.
        let until = self.until.load(Ordering::Acquire);
        if self.term.load(Ordering::Acquire) != term {
            return false;
        }
        // An only voter need not look at the clock.
        until == u64::MAX || Boottime::now().0 < until
    }

    /// `member` accepted, in `term`, what was sent to it at `sent`.
    pub(crate) fn accepted(&self, term: u64, member: u64, sent: Boottime) {
        let state = &mut *self.state.lock();
        if !state.enter(term) {
            return;
        }
        let newest = state.accepted.entry(member).or_insert(sent);
        *newest = sent.max(*newest);
        self.publish(state);
    }

    /// The group's voters, in `term`.
    pub(crate) fn set_voters(&self, term: u64, voters: Vec<BTreeSet<u64>>) {
        let state = &mut *self.state.lock();
        if state.enter(term) {
            state.voters = voters;
            self.publish(state);
        }
    }

    /// The leader of `term` lets another one be elected at once: its lease never holds again in this term, not
    /// even if nobody is elected, because the permission may still be on its way.
    pub(crate) fn give_away(&self, term: u64) {
        let state = &mut *self.state.lock();
        if state.enter(term) {
            state.given_away = true;
            self.publish(state);
        }
    }

    /// Waits until a majority has accepted, in `term`, what was sent to it after `asked`: then nobody else was leading at
    /// `asked`. False if the term is over.
    ///
    /// INVARIANT: an answer counts for the very request that it answers. openraft's own round of heartbeats does not keep to that:
    /// it takes the acknowledgement of an earlier append for that of a later one that ends at the same entry, and so a
    /// leader that was stopped confirmed itself by what was said before. Tested by
    /// `an_answer_to_an_earlier_append_confirms_no_leader`.
    pub(crate) async fn confirmed(&self, term: u64, asked: Boottime) -> bool {
        loop {
            let heard = self.heard.notified();
            {
                let state = self.state.lock();
                if state.term > term {
                    return false;
                }
                let since = since(self.own, &state.voters, &state.accepted);
                if state.term == term && since.is_some_and(|since| since > asked) {
                    return true;
                }
            }
            heard.await;
        }
    }

    fn publish(&self, state: &State) {
        self.term.store(state.term, Ordering::Release);
        self.until.store(state.until(self.own), Ordering::Release);
        self.heard.notify_waiters();
    }
}

impl State {
    /// False if `term` is over.
    fn enter(&mut self, term: u64) -> bool {
        if term > self.term {
            *self = State {
                term,
                voters: std::mem::take(&mut self.voters),
                ..State::default()
            };
        }
        term == self.term
    }

    fn until(&self, own: u64) -> u64 {
        if self.given_away || self.voters.is_empty() {
            return 0;
        }
        until(own, &self.voters, &self.accepted, TRUSTED)
    }
}

/// Before when nobody else can have been elected, in nanoseconds of [`Boottime`], if promises of followers are trusted for
/// `trusted`; 0 where that is not known.
pub(super) fn until(
    own: u64,
    voters: &[BTreeSet<u64>],
    accepted: &BTreeMap<u64, Boottime>,
    trusted: u64,
) -> u64 {
    since(own, voters, accepted).map_or(0, |since| since.0.saturating_add(trusted))
}

/// The newest time since which each set of voters has a majority that accepted `own` as its leader.
fn since(own: u64, voters: &[BTreeSet<u64>], accepted: &BTreeMap<u64, Boottime>) -> Option<Boottime> {
    let quorums = voters.iter().map(|set| quorum_since(set, own, accepted));
    quorums.min().flatten()
}

/// The newest time since which a majority of `voters` has accepted `own` as their leader.
fn quorum_since(voters: &BTreeSet<u64>, own: u64, accepted: &BTreeMap<u64, Boottime>) -> Option<Boottime> {
    let mut times: Vec<Option<Boottime>> = voters
        .iter()
        .map(|voter| match *voter == own {
            true => Some(Boottime(u64::MAX)),
            false => accepted.get(voter).copied(),
        })
        .collect();
    times.sort_unstable_by(|a, b| b.cmp(a));
    times[voters.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(voters: &[&[u64]]) -> Lease {
        let lease = Lease::new(1);
        let voters = voters.iter().map(|set| set.iter().copied().collect()).collect();
        lease.set_voters(1, voters);
        lease
    }

    fn until(lease: &Lease) -> Option<u64> {
        lease.until.load(Ordering::Acquire).checked_sub(TRUSTED)
    }

    #[test]
    fn a_lease_counts_from_before_a_quorum_was_asked() {
        let lease = lease(&[&[1, 2, 3, 4, 5]]);
        lease.accepted(1, 2, Boottime(70));
        assert_eq!(until(&lease), None, "two of five");
        lease.accepted(1, 3, Boottime(50));
        assert_eq!(until(&lease), Some(50));
        lease.accepted(1, 4, Boottime(90));
        assert_eq!(until(&lease), Some(70), "the second newest of the others");
        lease.accepted(1, 4, Boottime(60));
        assert_eq!(until(&lease), Some(70), "an older answer takes nothing back");
        lease.accepted(1, 9, Boottime(99));
        assert_eq!(until(&lease), Some(70), "no voter");
    }

    #[tokio::test]
    async fn only_what_was_sent_after_the_question_confirms_a_leader() {
        let lease = lease(&[&[1, 2, 3]]);
        let mut confirmed = std::pin::pin!(lease.confirmed(1, Boottime(50)));
        lease.accepted(1, 2, Boottime(50));
        assert!(futures::poll!(confirmed.as_mut()).is_pending(), "sent before");
        lease.accepted(1, 3, Boottime(51));
        assert!(confirmed.await);
        let mut over = std::pin::pin!(lease.confirmed(1, Boottime(60)));
        assert!(futures::poll!(over.as_mut()).is_pending());
        lease.accepted(2, 3, Boottime(70));
        assert!(!over.await, "the term is over");
    }

    #[test]
    fn an_only_voter_needs_nobody() {
        let lease = lease(&[&[1]]);
        assert!(lease.holds(1));
        assert!(!lease.holds(2), "another term");
    }

    #[test]
    fn both_sets_of_a_joint_membership_must_agree() {
        let lease = lease(&[&[1, 2, 3], &[1, 4, 5]]);
        lease.accepted(1, 2, Boottime(70));
        assert_eq!(until(&lease), None);
        lease.accepted(1, 5, Boottime(40));
        assert_eq!(until(&lease), Some(40));
    }

    #[test]
    fn another_term_begins_with_nothing() {
        let lease = lease(&[&[1, 2, 3]]);
        lease.accepted(1, 2, Boottime(70));
        lease.accepted(2, 3, Boottime(80));
        assert_eq!(until(&lease), Some(80));
        lease.accepted(1, 2, Boottime(99));
        assert_eq!(until(&lease), Some(80), "an answer of a term that is over");
    }

    #[test]
    fn a_lease_that_was_given_away_never_holds_again_in_its_term() {
        let lease = lease(&[&[1, 2, 3]]);
        lease.accepted(1, 2, Boottime(70));
        lease.give_away(1);
        lease.accepted(1, 3, Boottime(u64::MAX / 2));
        assert!(!lease.holds(1));
        lease.accepted(2, 3, Boottime(u64::MAX / 2));
        assert!(lease.holds(2));
        assert!(!lease.holds(1), "of the term that is over");
    }
}
