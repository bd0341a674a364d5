//! Strong reads of a leader and a follower in every order with commits and their application. Steps the function that
//! says up to where a read must wait.
//!
//! The law: a read that is asked for after another one was answered, or after a write was acknowledged, shows no less.

use super::read_index::newest;
use orion_api::LogIndex;
use stateright::{Checker, Model, Property};

/// Entries that are committed.
const ENTRIES: u64 = 3;
const LEADER: usize = 0;

#[derive(Clone, Copy, Debug)]
struct Rules {
    /// What was told counts, and not only what is applied.
    counts_what_was_told: bool,
}

#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
struct State {
    committed: u64,
    told: u64,
    /// Of the leader and two followers.
    applied: [u64; 3],
    /// The newest that was shown or acknowledged.
    shown: u64,
    /// Of each node's read: up to where it waits, and what it must show at least.
    reads: [Option<(u64, u64)>; 3],
    went_back: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Action {
    Commit,
    Tell,
    Apply(usize),
    Ask(usize),
    Answer(usize),
}

impl Model for Rules {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.committed < ENTRIES {
            actions.push(Action::Commit);
        }
        if state.told < state.committed {
            actions.push(Action::Tell);
        }
        for node in 0..3 {
            let known = if node == LEADER {
                state.committed
            } else {
                state.told
            };
            if state.applied[node] < known {
                actions.push(Action::Apply(node));
            }
            match state.reads[node] {
                None => actions.push(Action::Ask(node)),
                Some((index, _)) if state.applied[node] >= index => actions.push(Action::Answer(node)),
                Some(_) => {}
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Commit => next.committed += 1,
            Action::Tell => next.told = state.committed,
            Action::Apply(node) => {
                next.applied[node] += 1;
                if node == LEADER {
                    // Its writes are acknowledged now.
                    next.shown = state.shown.max(next.applied[node]);
                }
            }
            Action::Ask(node) => {
                let told = if self.counts_what_was_told { state.told } else { 0 };
                let index = newest(LogIndex(state.applied[LEADER]), LogIndex(told));
                next.reads[node] = Some((index.0, state.shown));
            }
            Action::Answer(node) => {
                let (_, least) = next.reads[node].take()?;
                next.went_back |= state.applied[node] < least;
                next.shown = state.shown.max(state.applied[node]);
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Rules>> {
        vec![
            Property::always("no read goes back", |_, state: &State| !state.went_back),
            Property::sometimes("a follower is ahead of the leader", |_, state: &State| {
                state.applied[1] > state.applied[LEADER]
            }),
        ]
    }
}

#[test]
fn strong_reads_never_go_back() {
    let ours = Rules {
        counts_what_was_told: true,
    };
    let checked = ours.checker().threads(2).spawn_bfs().join();
    checked.assert_properties();
    println!("{} states", checked.unique_state_count());
}

#[test]
fn the_leaders_applied_index_alone_is_not_enough() {
    let other = Rules {
        counts_what_was_told: false,
    };
    let checked = other.checker().threads(2).spawn_bfs().join();
    checked.assert_any_discovery("no read goes back");
}
