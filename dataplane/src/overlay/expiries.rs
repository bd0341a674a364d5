//! How many records are still to be relied on: counted by when their time is over.
//!
//! Part of a database's state, the same on every member: a commit adds its records, a materialization that
//! deleted those whose time was over (by the clock of the leader that made it) takes them away. So counting
//! needs neither the records nor the object store.
//!
//! LIMIT: an entry for each time that differs; who writes records rounds their times.

use imbl::OrdMap;

/// Records by the time after which nobody may rely on them, in milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expiries {
    by_time: OrdMap<u64, u64>,
    all: u64,
}

impl Expiries {
    /// A record was written. One without an end is not counted.
    pub(crate) fn add(&mut self, expires_at_ms: u64, many: u64) {
        if expires_at_ms > 0 {
            *self.by_time.entry(expires_at_ms).or_default() += many;
            self.all += many;
        }
    }

    /// Those whose time was over at `now_ms` are gone.
    pub(crate) fn forget(&mut self, now_ms: u64) {
        let (_, at, later) = self.by_time.split_lookup(&now_ms);
        let gone = at.unwrap_or(0) + self.over(now_ms.saturating_sub(1));
        self.by_time = later;
        self.all -= gone;
    }

    /// Records whose time is not over at `now_ms`.
    pub(crate) fn live(&self, now_ms: u64) -> u64 {
        self.all - self.over(now_ms)
    }

    /// Records whose time is over at `now_ms`.
    pub(crate) fn over(&self, now_ms: u64) -> u64 {
        self.by_time.range(..=now_ms).map(|(_, many)| many).sum()
    }

    /// Times with how many records end then.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.by_time.iter().map(|(time, many)| (*time, *many))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_counts_are_those_of_a_plain_list(
            steps in prop::collection::vec((0u64..50, 0u64..60, any::<bool>()), 0..100)
        ) {
            let (mut expiries, mut list) = (Expiries::default(), Vec::new());
            for (time, now, forgets) in steps {
                if forgets {
                    expiries.forget(now);
                    list.retain(|time| *time > now);
                } else {
                    expiries.add(time, 1);
                    list.extend((time > 0).then_some(time));
                }
                let live = list.iter().filter(|time| **time > now).count() as u64;
                prop_assert_eq!(expiries.live(now), live);
                prop_assert_eq!(expiries.over(now), list.len() as u64 - live);
            }
        }
    }
}
