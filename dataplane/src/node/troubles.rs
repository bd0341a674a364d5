//! What keeps a node from doing its part, for those who run it: what it knows already, no request is made for it.

use super::{Hosted, Node};
use crate::store::Kind;
use orion_api::admin::{Trouble, TroubleKind};
use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// What a start has to wait for anyway is no trouble yet.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why this node is not settled in its group, and since when.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    why: Mutex<Option<(Instant, Trouble)>>,
}

impl Unsettled {
    /// It is settled.
    pub(super) fn clear(&self) {
        *self.why.lock() = None;
    }

    /// It is not, because of this.
    pub(super) fn note(&self, trouble: Trouble) {
        let mut why = self.why.lock();
        let since = why.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        *why = Some((since, trouble));
    }

    fn trouble(&self, now: Instant) -> Option<Trouble> {
        let why = self.why.lock();
        let (since, trouble) = why.as_ref()?;
        (now.saturating_duration_since(*since) >= PATIENCE).then(|| trouble.clone())
    }
}

impl Node {
    /// All that is known to be wrong here with a group.
    pub(crate) fn troubles(&self, hosted: &Hosted) -> Vec<Trouble> {
        let of_store = self.store().metrics().trouble().map(|kind| match kind {
            Kind::Denied => trouble(
                TroubleKind::ObjectStoreDenied,
                "the object store refuses the credentials",
            ),
            _ => trouble(
                TroubleKind::ObjectStoreUnavailable,
                "the object store does not answer",
            ),
        });
        let of_disk = (!self.disk().is_writable()).then(|| {
            trouble(
                TroubleKind::DiskFull,
                "the disk has no room for the log: nothing is written",
            )
        });
        let of_group = hosted.unsettled.trouble(Instant::now());
        of_store.into_iter().chain(of_disk).chain(of_group).collect()
    }
}

fn trouble(kind: TroubleKind, message: &str) -> Trouble {
    Trouble {
        kind,
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_start_waits_for_is_trouble_only_when_it_lasts() {
        let (unsettled, now) = (Unsettled::default(), Instant::now());
        let why = trouble(TroubleKind::NotInGroup, "nobody leads");
        unsettled.note(why.clone());
        assert_eq!(unsettled.trouble(now), None);
        let other = trouble(TroubleKind::GroupElsewhere, "begun by another one");
        unsettled.note(other.clone());
        let late = Instant::now() + PATIENCE;
        assert_eq!(unsettled.trouble(late), Some(other), "since it was not settled");
        unsettled.clear();
        assert_eq!(unsettled.trouble(late), None);
    }
}
