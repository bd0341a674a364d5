//! File descriptors: as many as the system gives, and how many of them connections may have.
//!
//! INVARIANT: connections never take the last descriptor. The log makes segments, the base and the object store
//! open files and sockets, statements open temporary files: where they find no descriptor writes are refused, which a
//! stranger's half request must not bring about. Test: `connections_leave_descriptors_to_the_log`.

use super::Error;
use crate::http::connections::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are not for connections: each stream with a temporary table has one, and two thousand streams
/// are open at most.
const OTHERS: u64 = 4096;

/// Raises the soft limit of descriptors to the hard one; answers what is in force. A system that says no leaves
/// the limit as it is.
pub(super) fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wish = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, wish)
    {
        tracing::warn!(%error, "the limit of file descriptors stays at {:?}", limit.current);
    }
    // None is no limit.
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Connections that `descriptors` have room for, besides everything else.
fn room(descriptors: u64) -> usize {
    Limits::most_within(descriptors - OTHERS.min(descriptors / 2))
}

/// How many connections are taken: the wish, or as many as there is room for up to the default.
pub(super) fn connections(wish: Option<usize>, descriptors: u64) -> Result<usize, Error> {
    let room = room(descriptors);
    match wish {
        Some(wish) if wish > room => Err(Error::Descriptors {
            wish,
            descriptors,
            room,
        }),
        Some(wish) => Ok(wish),
        None => Ok(room.min(Limits::default().most)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_for_others_where_there_are_few() {
        assert_eq!(connections(None, 256).expect("room"), 103);
        assert_eq!(connections(None, 1024).expect("room"), 410);
        assert_eq!(connections(None, 1 << 20).expect("room"), Limits::default().most);
        assert_eq!(connections(None, u64::MAX).expect("room"), Limits::default().most);
    }

    #[test]
    fn a_wish_without_room_is_refused_by_its_key() {
        assert_eq!(connections(Some(410), 1024).expect("room"), 410);
        let refused = connections(Some(411), 1024).expect_err("too many");
        assert!(
            refused.to_string().contains("limits.connections_max"),
            "{refused}"
        );
    }
}
