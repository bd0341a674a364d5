//! Connections: counted, timed, and ended when they hold what others need.
//!
//! A connection is in one of four phases ([`Phase`](slot::Phase)):
//!
//! ```text
//! Idle ──first byte──▶ Head ──head complete──▶ Request ──handler answered──▶ Reply ──all written──▶ Idle
//! ```
//!
//! | phase | ends it |
//! |---|---|
//! | Idle | [`Limits::idle`]; or another connection needs its place |
//! | Head | [`Limits::head`], counted from its first byte: a byte now and then is not enough |
//! | Request | nothing here: a body that arrives has its own [`Pace`](super::Pace), statements have their limits |
//! | Reply | [`Limits::reply`]: a client that does not read |
//!
//! `slot` is what a connection shows of itself: two numbers that its task writes and others read, so that a
//! request costs no clock and no timer. `table` looks at all of them several times a second and remembers since
//! when it sees what it sees. `stream` and `served` are between hyper and the socket, and between hyper and the
//! routes, and notice the phases. `accept` lets connections in; `farewell` tells those without a place.
//!
//! Past [`Limits::most`] an idle connection makes room, one that never sent anything first: clients open a
//! connection again without a word, and one that is refused is an error to its user. Only if all are busy the new
//! one hears `ORION_OVERLOADED`.
//!
//! INVARIANT: a connection is ended by its own task, which looks whether the phase is still the one that was seen
//! to last too long: a request that arrives at that moment is answered. Test: `a_request_in_the_last_moment_is_answered`.

mod accept;
mod farewell;
mod limits;
mod served;
mod slot;
mod stream;
mod table;
#[cfg(test)]
mod tests;

pub use accept::{Accept, serve};
pub use limits::Limits;
pub use served::Routes;
pub use table::Connections;
