//! Rivals for the epochs of one database, whose requests and replies get lost, in every order. Steps the functions that
//! say whether an epoch may follow and what an attempt means.
//!
//! The store is modelled as it promises: put-if-absent of one object is atomic, and tells who put it.

use super::owners::{follows, outcome};
use super::sequence::Added;
use super::{Cause, Claim, Incarnation, Owner};
use crate::page::Chain;
use orion_api::{DatabaseId, Epoch, Version};
use stateright::{Checker, Model, Property};
use uuid::Uuid;

const EPOCHS: u64 = 3;
const RIVALS: usize = 3;
/// This one drops the database.
const DROPS: usize = 2;

#[derive(Clone, Copy, Debug)]
struct Rules {
    puts_if_absent: bool,
    looks_before: bool,
    knows_its_own: bool,
}

const OURS: Rules = Rules {
    puts_if_absent: true,
    looks_before: true,
    knows_its_own: true,
};

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
enum Step {
    /// Wants the epoch.
    Wants(u64),
    /// Looked at the one before.
    Looked(u64),
    Owns(u64),
    Lost(u64),
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct State {
    /// Who put each epoch, from the first.
    chain: [Option<usize>; EPOCHS as usize],
    rivals: [Step; RIVALS],
    /// Replies that may still get lost.
    losses: u8,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Action {
    /// Goes for another epoch than that which it lost or has.
    Want(usize, u64),
    Look(usize),
    Put(usize),
    /// The put is done, and its reply lost: the same claim again.
    PutUnheard(usize),
}

fn owner(rival: usize, epoch: u64) -> Owner {
    Owner {
        database: DatabaseId::from_bytes([7; 16]),
        epoch: Epoch(epoch),
        group: "main".parse().expect("a name"),
        incarnation: Incarnation(1),
        start_version: Version(0),
        checkpoint: None,
        chain: Chain::START,
        cause: if rival == DROPS {
            Cause::Dropped
        } else {
            Cause::Moved
        },
        operation: Uuid::from_u128((rival as u128) << 64 | u128::from(epoch)),
    }
}

impl State {
    fn at(&self, epoch: u64) -> Option<Owner> {
        let rival = self.chain[epoch as usize - 1]?;
        Some(owner(rival, epoch))
    }

    fn put(&mut self, rules: &Rules, rival: usize, epoch: u64) -> Added<Owner> {
        match self.at(epoch) {
            Some(found) if rules.puts_if_absent => Added::Occupied(found),
            _ => {
                self.chain[epoch as usize - 1] = Some(rival);
                Added::Now
            }
        }
    }
}

impl Model for Rules {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            chain: [Some(0), None, None],
            rivals: [Step::Owns(1), Step::Wants(2), Step::Wants(2)],
            losses: 2,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (rival, step) in state.rivals.iter().enumerate() {
            match step {
                Step::Wants(_) => actions.push(Action::Look(rival)),
                Step::Looked(_) => {
                    actions.push(Action::Put(rival));
                    if state.losses > 0 {
                        actions.push(Action::PutUnheard(rival));
                    }
                }
                Step::Owns(last) | Step::Lost(last) => {
                    (last + 1..=EPOCHS).for_each(|epoch| actions.push(Action::Want(rival, epoch)));
                }
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Want(rival, epoch) => next.rivals[rival] = Step::Wants(epoch),
            Action::Look(rival) => {
                let Step::Wants(epoch) = state.rivals[rival] else {
                    return None;
                };
                let found = follows(&owner(rival, epoch), state.at(epoch - 1));
                next.rivals[rival] = match found {
                    Ok(None) => Step::Looked(epoch),
                    _ if !self.looks_before => Step::Looked(epoch),
                    Ok(Some(_)) | Err(_) => Step::Lost(epoch),
                };
            }
            Action::Put(rival) => {
                let Step::Looked(epoch) = state.rivals[rival] else {
                    return None;
                };
                let next_owner = owner(rival, epoch);
                let added = match next.put(self, rival, epoch) {
                    Added::Occupied(mut found) if !self.knows_its_own => {
                        found.operation = Uuid::nil();
                        Added::Occupied(found)
                    }
                    added => added,
                };
                next.rivals[rival] = match outcome(&next_owner, added) {
                    Claim::Won | Claim::AlreadyOurs(_) => Step::Owns(epoch),
                    Claim::Lost(_) => Step::Lost(epoch),
                };
            }
            Action::PutUnheard(rival) => {
                let Step::Looked(epoch) = state.rivals[rival] else {
                    return None;
                };
                next.losses -= 1;
                next.put(self, rival, epoch);
                next.rivals[rival] = Step::Wants(epoch);
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Rules>> {
        vec![
            Property::always(
                "whoever thinks that it owns an epoch does, and nobody else",
                |_, state: &State| {
                    state.rivals.iter().enumerate().all(|(rival, step)| match *step {
                        Step::Owns(epoch) => state.chain[epoch as usize - 1] == Some(rival),
                        Step::Lost(epoch) => state.chain[epoch as usize - 1] != Some(rival),
                        Step::Wants(_) | Step::Looked(_) => true,
                    })
                },
            ),
            Property::always(
                "an epoch follows without a gap, and none a tombstone",
                |_, state: &State| {
                    state.chain.windows(2).all(|pair| match pair {
                        [Some(DROPS) | None, next] => next.is_none(),
                        _ => true,
                    })
                },
            ),
            Property::sometimes("all epochs are owned", |_, state: &State| {
                state.chain.iter().all(Option::is_some)
            }),
            Property::sometimes("the database is dropped", |_, state: &State| {
                state.chain.contains(&Some(DROPS))
            }),
        ]
    }
}

#[test]
fn each_epoch_has_one_owner_who_knows_it() {
    let checked = OURS.checker().threads(2).spawn_bfs().join();
    checked.assert_properties();
    println!("{} states", checked.unique_state_count());
}

#[test]
fn each_rule_of_the_chain_is_needed() {
    let violated = |rules: Rules, law| {
        let checked = rules.checker().threads(2).spawn_bfs().join();
        checked.assert_any_discovery(law);
    };
    let owns = "whoever thinks that it owns an epoch does, and nobody else";
    violated(
        Rules {
            puts_if_absent: false,
            ..OURS
        },
        owns,
    );
    violated(
        Rules {
            knows_its_own: false,
            ..OURS
        },
        owns,
    );
    violated(
        Rules {
            looks_before: false,
            ..OURS
        },
        "an epoch follows without a gap, and none a tombstone",
    );
}
