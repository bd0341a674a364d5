//! Two nodes that both think they lead, one database and its base: commits, elections, deaths and materializations in
//! every order. Steps the state machine's own rules (`group::rules`); the steps of a materialization stand here in the
//! order that the head of this module's parent gives.
//!
//! A page's content is the number of commits that changed it: each commit reads one and writes one more, so a commit that
//! is lost or applied on top of something else shows. Raft is modelled as it promises: what the leader of the newest
//! term proposes is appended to one log, what any other one proposes is lost; who leads a new term has applied everything
//! before it serves. A node that was replaced goes on as if it were not, for ever: nothing worse can happen. SlateDB is
//! modelled as it promises, with every write durable at once, which is the worst it may do: who opens last is the only
//! one whose writes and checkpoints succeed.

use crate::group::rules::{self, Position};
use orion_api::{Epoch, Version};
use stateright::{Checker, HasDiscoveries, Model, Property};

const PAGES: usize = 2;
const EPOCH: Epoch = Epoch(1);

/// How far it goes: enough for each rule's absence to show.
const COMMITS: usize = 2;
const OPENS: u8 = 3;
const CHECKPOINTS: usize = 2;

/// When a quorum is asked whether this node leads.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Barrier {
    AfterOpening,
    BeforeOpening,
    Never,
}

#[derive(Clone, Copy, Debug)]
struct Rules {
    /// Elections and deaths that happen at most.
    terms: u8,
    crashes: u8,
    barrier: Barrier,
    /// A writer that is not the last who opened is refused.
    fences: bool,
    /// A commit is applied only on top of the version that it was made on.
    checks_base: bool,
    /// A checkpoint is named only if it is newer than the one before.
    checks_checkpoint: bool,
}

const OURS: Rules = Rules {
    terms: 3,
    crashes: 1,
    barrier: Barrier::AfterOpening,
    fences: true,
    checks_base: true,
    checks_checkpoint: true,
};

type Pages = [u64; PAGES];

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
enum Entry {
    Blank,
    Commit { base: u64, page: usize, content: u64 },
    Materialized { version: u64, checkpoint: usize },
}

/// What a node makes of the log: as `overlay::Snapshot`, without the bytes.
#[derive(Clone, Debug, Default)]
struct Applied {
    version: u64,
    materialized: u64,
    checkpoint: Option<usize>,
    /// Version and content.
    overlay: [Option<(u64, u64)>; PAGES],
    /// What each page must be: how many commits of it were applied, which is how many were acknowledged.
    truth: Pages,
}

#[derive(Clone, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
enum Job {
    #[default]
    Idle,
    /// The first of opening and asking whether it leads is done.
    Begun,
    /// Writes what was applied then, from this page on.
    Writes { applied: usize, page: usize },
    /// Has a checkpoint of this version.
    Has { version: u64, checkpoint: usize },
}

#[derive(Clone, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
struct Node {
    /// The term in which it thinks it leads.
    leads: Option<u8>,
    /// Position of that term's first entry.
    since: usize,
    /// So many entries of the log.
    applied: usize,
    /// Its place in the order of those who opened the base.
    writer: Option<u8>,
    job: Job,
}

#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
struct State {
    log: Vec<Entry>,
    term: u8,
    nodes: [Node; 2],
    opened: u8,
    head: Pages,
    checkpoints: Vec<Pages>,
    crashes: u8,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Action {
    Elect(usize),
    Crash(usize),
    /// All there is: what it has applied in between is where it stopped earlier.
    Apply(usize),
    /// On top of what it has applied.
    Commit(usize, usize),
    /// The next step of its materialization.
    Step(usize),
}

impl Applied {
    fn of(log: &[Entry], rules: &Rules) -> Applied {
        let mut applied = Applied::default();
        log.iter().for_each(|entry| applied.apply(entry, rules));
        applied
    }

    fn apply(&mut self, entry: &Entry, rules: &Rules) {
        let at = Position {
            epoch: EPOCH,
            version: Version(self.version),
            materialized: Version(self.materialized),
        };
        match *entry {
            Entry::Blank => {}
            Entry::Commit { base, page, content } => {
                if rules.checks_base && rules::commit(&at, EPOCH, Version(base)).is_err() {
                    return;
                }
                self.version += 1;
                self.overlay[page] = Some((self.version, content));
                self.truth[page] += 1;
            }
            Entry::Materialized { version, checkpoint } => {
                if rules.checks_checkpoint && rules::materialized(&at, EPOCH, Version(version)).is_err() {
                    return;
                }
                self.materialized = version;
                self.checkpoint = Some(checkpoint);
                for slot in &mut self.overlay {
                    *slot = slot.filter(|(changed, _)| *changed > version);
                }
            }
        }
    }

    /// A page as it is read.
    fn page(&self, checkpoints: &[Pages], page: usize) -> u64 {
        let below = || self.checkpoint.map_or(0, |at| checkpoints[at][page]);
        self.overlay[page].map_or_else(below, |(_, content)| content)
    }
}

impl State {
    fn applied(&self, node: usize, rules: &Rules) -> Applied {
        Applied::of(&self.log[..self.nodes[node].applied], rules)
    }

    fn serves(&self, node: usize) -> bool {
        let node = &self.nodes[node];
        node.leads.is_some() && node.applied > node.since
    }

    /// A proposal: it is in the log, or lost.
    fn propose(&mut self, node: usize, entry: Entry) -> bool {
        let leads = self.nodes[node].leads == Some(self.term);
        if leads {
            self.log.push(entry);
        }
        leads
    }

    fn commits(&self) -> usize {
        let is_commit = |entry: &&Entry| matches!(entry, Entry::Commit { .. });
        self.log.iter().filter(is_commit).count()
    }

    /// True if this node's writer is refused.
    fn is_fenced(&self, node: usize, rules: &Rules) -> bool {
        rules.fences && self.nodes[node].writer != Some(self.opened)
    }

    /// It failed: what comes next begins with opening.
    fn give_up(&mut self, node: usize) {
        self.nodes[node].writer = None;
        self.nodes[node].job = Job::Idle;
    }

    /// A quorum says whether it leads; if not it gives up. `None` while it has not applied what the quorum has.
    fn confirm(&mut self, node: usize) -> Option<bool> {
        if self.nodes[node].leads != Some(self.term) {
            self.give_up(node);
            return Some(false);
        }
        (self.nodes[node].applied == self.log.len()).then_some(true)
    }

    fn open(&mut self, node: usize) -> Option<()> {
        if self.nodes[node].writer.is_none() {
            if self.opened == OPENS {
                return None;
            }
            self.opened += 1;
            self.nodes[node].writer = Some(self.opened);
        }
        Some(())
    }

    /// Takes what is applied now, if it is newer than what is named.
    fn take(&mut self, node: usize, rules: &Rules) {
        let applied = self.applied(node, rules);
        self.nodes[node].job = match applied.version > applied.materialized {
            true => Job::Writes {
                applied: self.nodes[node].applied,
                page: 0,
            },
            false => Job::Idle,
        };
    }

    /// `None` if nothing can happen now.
    fn step(&mut self, node: usize, rules: &Rules) -> Option<()> {
        match self.nodes[node].job.clone() {
            Job::Idle if !self.serves(node) => return None,
            Job::Idle => {
                match rules.barrier {
                    Barrier::BeforeOpening if !self.confirm(node)? => return Some(()),
                    Barrier::BeforeOpening => {}
                    Barrier::AfterOpening | Barrier::Never => self.open(node)?,
                }
                self.nodes[node].job = Job::Begun;
            }
            Job::Begun => {
                match rules.barrier {
                    Barrier::AfterOpening if !self.confirm(node)? => return Some(()),
                    Barrier::AfterOpening | Barrier::Never => {}
                    Barrier::BeforeOpening => self.open(node)?,
                }
                self.take(node, rules);
            }
            Job::Writes { .. } if self.is_fenced(node, rules) => self.give_up(node),
            Job::Writes { applied, page } => self.write(node, rules, applied, page)?,
            Job::Has { version, checkpoint } => {
                let named = self.propose(node, Entry::Materialized { version, checkpoint });
                match named {
                    true => self.nodes[node].job = Job::Idle,
                    false => self.give_up(node),
                }
            }
        }
        Some(())
    }

    /// The next page that changed, or the checkpoint.
    fn write(&mut self, node: usize, rules: &Rules, applied: usize, page: usize) -> Option<()> {
        let snapshot = Applied::of(&self.log[..applied], rules);
        let next = (page..PAGES).find(|page| snapshot.overlay[*page].is_some());
        if let Some((page, (_, content))) = next.and_then(|page| Some((page, snapshot.overlay[page]?))) {
            self.head[page] = content;
            self.nodes[node].job = Job::Writes {
                applied,
                page: page + 1,
            };
            return Some(());
        }
        if self.checkpoints.len() == CHECKPOINTS {
            return None;
        }
        self.checkpoints.push(self.head);
        self.nodes[node].job = Job::Has {
            version: snapshot.version,
            checkpoint: self.checkpoints.len() - 1,
        };
        Some(())
    }
}

impl Model for Rules {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (number, node) in state.nodes.iter().enumerate() {
            if state.term < self.terms && node.leads != Some(state.term) {
                actions.push(Action::Elect(number));
            }
            if state.crashes < self.crashes && node.writer.is_some() {
                actions.push(Action::Crash(number));
            }
            if node.applied < state.log.len() && node.leads.is_some() {
                actions.push(Action::Apply(number));
            }
            let commits = state.serves(number) && node.leads == Some(state.term);
            if commits && state.commits() < COMMITS {
                // The first is of the first page: which is which makes no difference before.
                let pages = if state.commits() == 0 { 1 } else { PAGES };
                (0..pages).for_each(|page| actions.push(Action::Commit(number, page)));
            }
            actions.push(Action::Step(number));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Elect(node) => {
                next.term += 1;
                next.nodes[node].leads = Some(next.term);
                next.nodes[node].since = next.log.len();
                next.log.push(Entry::Blank);
            }
            Action::Crash(node) => {
                next.crashes += 1;
                next.nodes[node] = Node::default();
            }
            Action::Apply(node) => next.nodes[node].applied = state.log.len(),
            Action::Commit(node, page) => {
                let applied = state.applied(node, self);
                next.log.push(Entry::Commit {
                    base: applied.version,
                    page,
                    content: applied.page(&state.checkpoints, page) + 1,
                });
            }
            Action::Step(node) => next.step(node, self)?,
        }
        // Which node is which makes no difference.
        next.nodes.sort();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Rules>> {
        vec![
            Property::always(LAW, |rules: &Rules, state: &State| {
                let applied = Applied::of(&state.log, rules);
                (0..PAGES).all(|page| applied.page(&state.checkpoints, page) == applied.truth[page])
            }),
            Property::always(KEPT, |rules: &Rules, state: &State| {
                let named = Applied::of(&state.log, rules).checkpoint;
                let named = named.map_or(Pages::default(), |at| state.checkpoints[at]);
                (0..PAGES).all(|page| state.head[page] >= named[page])
            }),
            Property::sometimes("a fenced writer has a checkpoint", |_, state: &State| {
                state.nodes.iter().any(|node| {
                    matches!(node.job, Job::Has { .. })
                        && node.writer.is_some_and(|writer| writer < state.opened)
                })
            }),
            Property::sometimes("both nodes named a checkpoint", |rules: &Rules, state: &State| {
                let is_named = |entry: &&Entry| matches!(entry, Entry::Materialized { .. });
                let named = state.log.iter().filter(is_named).count();
                named >= 2 && Applied::of(&state.log, rules).version == COMMITS as u64
            }),
        ]
    }
}

/// No acknowledged commit is lost, and no page of a writer that was fenced or is stale is in what is named.
const LAW: &str = "every page is what the acknowledged commits made it";

/// The next checkpoint, which has only what changed since the named one written anew, would name such a page.
const KEPT: &str = "no page of the base is older than in the checkpoint that is named";

#[test]
fn two_who_think_they_lead_lose_no_commit_and_name_no_wrong_page() {
    let checked = OURS.checker().threads(2).spawn_bfs().join();
    println!("{} states", checked.unique_state_count());
    checked.assert_properties();
}

#[test]
fn each_rule_of_a_materialization_is_needed() {
    let without = [
        Rules {
            barrier: Barrier::Never,
            ..OURS
        },
        Rules {
            barrier: Barrier::BeforeOpening,
            ..OURS
        },
        Rules {
            fences: false,
            ..OURS
        },
        Rules {
            checks_base: false,
            ..OURS
        },
        Rules {
            checks_checkpoint: false,
            ..OURS
        },
    ];
    for rules in without {
        let first = HasDiscoveries::AnyFailures;
        let checked = rules.checker().threads(2).finish_when(first).spawn_bfs().join();
        let found = [LAW, KEPT].map(|law| checked.discovery(law));
        let path = found.into_iter().flatten().next().expect("a counterexample");
        println!("{rules:?}: {:?}", path.into_actions());
    }
}
