//! All that can happen to a lease within its time, step by step: a leader that is cut off, followers whose clocks run fast,
//! that are started again, that elect another one. Steps the lease's own function and constants.
//!
//! What is openraft's is modelled as it says: a follower that accepts a request keeps its vote for [`LEASE`].

use super::lease::{FORGOTTEN_VOTE, LEASE, TRUSTED, until};
use crate::clock::Boottime;
use stateright::{Checker, Model, Property};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Time goes on in fifths of a lease, by the leader's clock.
const TICK: u64 = LEASE.as_nanos() as u64 / 5;
/// After so many ticks everything has happened that can.
const END: u64 = 8;
/// The leader sends nothing after so many: it is cut off then.
const CUT_OFF: u64 = 2;

/// So much time by the clock of a follower that runs fast by a quarter, in the leader's ticks.
fn fast(time: Duration) -> u64 {
    time.as_nanos() as u64 * 4 / 5 / TICK
}

#[derive(Clone, Copy, Debug)]
struct Rules {
    trusted: u64,
    forgotten_vote: Duration,
    counts_from_sending: bool,
    gives_the_lease_away: bool,
}

const OURS: Rules = Rules {
    trusted: TRUSTED,
    forgotten_vote: FORGOTTEN_VOTE,
    counts_from_sending: true,
    gives_the_lease_away: true,
};

#[derive(Clone, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
struct Follower {
    /// When the newest request was sent that the leader knows it accepted.
    known: Option<u64>,
    /// A request is on its way, sent then.
    asked: Option<u64>,
    /// The answer is on its way back.
    accepted: Option<u64>,
    /// It votes for nobody else before.
    keeps_until: u64,
    /// It was started again, and votes for nobody before.
    votes_from: u64,
}

#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
struct State {
    now: u64,
    followers: [Follower; 2],
    restarts: u8,
    /// The leader permitted an election.
    given_away: bool,
    /// Somebody else leads.
    elected: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Action {
    Tick,
    Send(usize),
    Accept(usize),
    Hear(usize),
    Restart(usize),
    GiveAway,
    Elect,
}

impl State {
    fn holds(&self, rules: &Rules) -> bool {
        if self.given_away && rules.gives_the_lease_away {
            return false;
        }
        let voters = [BTreeSet::from([1, 2, 3])];
        let known = self.followers.iter().zip(2..);
        let known = known.filter_map(|(follower, id)| Some((id, Boottime(follower.known? * TICK))));
        self.now * TICK < until(1, &voters, &known.collect::<BTreeMap<_, _>>(), rules.trusted)
    }

    fn votes(&self, follower: &Follower) -> bool {
        self.given_away || self.now >= follower.keeps_until.max(follower.votes_from)
    }
}

impl Model for Rules {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            now: 1,
            ..State::default()
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.now < END {
            actions.push(Action::Tick);
        }
        for (number, follower) in state.followers.iter().enumerate() {
            let is_idle = follower.asked.is_none() && follower.accepted.is_none();
            if is_idle && state.now <= CUT_OFF {
                actions.push(Action::Send(number));
            }
            if follower.asked.is_some() && !state.elected {
                actions.push(Action::Accept(number));
            }
            if follower.accepted.is_some() {
                actions.push(Action::Hear(number));
            }
            if state.restarts < 1 {
                actions.push(Action::Restart(number));
            }
        }
        if !state.given_away {
            actions.push(Action::GiveAway);
        }
        if !state.elected && state.followers.iter().all(|follower| state.votes(follower)) {
            actions.push(Action::Elect);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Tick => next.now += 1,
            Action::Send(to) => next.followers[to].asked = Some(state.now),
            Action::Accept(at) => {
                let follower = &mut next.followers[at];
                follower.accepted = follower.asked.take();
                follower.keeps_until = state.now + fast(LEASE);
            }
            Action::Hear(of) => {
                let sent = next.followers[of].accepted.take()?;
                let since = if self.counts_from_sending { sent } else { state.now };
                let known = &mut next.followers[of].known;
                *known = (*known).max(Some(since));
            }
            Action::Restart(at) => {
                next.restarts += 1;
                next.followers[at] = Follower {
                    // What it answered before may still be on its way.
                    accepted: state.followers[at].accepted,
                    known: state.followers[at].known,
                    votes_from: state.now + fast(self.forgotten_vote),
                    ..Follower::default()
                };
            }
            Action::GiveAway => next.given_away = true,
            Action::Elect => next.elected = true,
        }
        for follower in &mut next.followers {
            // What is over is all the same.
            for time in [&mut follower.keeps_until, &mut follower.votes_from] {
                *time = if *time <= next.now { 0 } else { *time };
            }
        }
        next.followers.sort();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Rules>> {
        vec![
            Property::always(
                "nobody else leads while the lease holds",
                |rules: &Rules, state: &State| !(state.elected && state.holds(rules)),
            ),
            Property::sometimes("the lease holds", |rules: &Rules, state: &State| {
                state.holds(rules)
            }),
            Property::sometimes(
                "another one is elected without being asked to",
                |_, state: &State| state.elected && !state.given_away,
            ),
        ]
    }
}

fn violated(rules: Rules) -> bool {
    let checked = rules.checker().threads(2).spawn_bfs().join();
    checked
        .discovery("nobody else leads while the lease holds")
        .is_some()
}

#[test]
fn a_lease_outlasts_every_order_of_events() {
    let checked = OURS.checker().threads(2).spawn_bfs().join();
    checked.assert_properties();
    println!("{} states", checked.unique_state_count());
}

#[test]
fn each_rule_of_the_lease_is_needed() {
    assert!(violated(Rules {
        trusted: LEASE.as_nanos() as u64,
        ..OURS
    }));
    assert!(violated(Rules {
        forgotten_vote: Duration::ZERO,
        ..OURS
    }));
    assert!(violated(Rules {
        counts_from_sending: false,
        ..OURS
    }));
    assert!(violated(Rules {
        gives_the_lease_away: false,
        ..OURS
    }));
}
