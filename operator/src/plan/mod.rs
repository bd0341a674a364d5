//! Decisions, without I/O: what was seen goes in, what is to be done now comes out. `effects` carries it out and decides
//! nothing; after that everything is looked at anew. What could not be seen is a value too ([`Seen::Unknown`]), and a
//! plan for it does nothing that could hurt if the truth were the worst.
//!
//! A plan holds only actions that may be carried out now, in this order, and any prefix of it may be all that happens:
//! the operator can be killed between two of them. So what must come after something else waits for a later look.
//!
//! INVARIANTS, checked for every plan by `lint` and over random histories by `tests/convergence.rs`:
//! 1. Whoever votes is not removed: first it stops voting, by a joint change that gives the wanted voters at once.
//! 2. No action leaves fewer running voters than a majority, if there was one.
//! 3. One pod is restarted at a time; the leader last, after it handed over.
//! 4. A disk is deleted only when its member is out of Raft and the spec says Delete.
//! 5. A number of a member is never used again.

mod action;
mod databases;
mod group;
mod health;
mod lint;
mod membership;
mod notices;
mod observed;
mod roll;
mod status;
mod view;

pub use action::{Action, Restart};
pub use databases::{
    DatabaseAction, DatabaseObserved, DatabasePlan, GroupSeen, group_of, name_in_group, plan_database,
    present_group, shown_size,
};
pub use group::{Plan, configured, plan_group};
pub use lint::lint;
pub use notices::{Notice, action_notice, database_action_notice, database_notices, group_notices};
pub use observed::{
    Certificates, ClaimSeen, Credentials, DatabasesSeen, MemberSeen, Membership, Observed, PodSeen,
    PodTrouble, PodTroubleKind, RaftMember, Seen,
};
