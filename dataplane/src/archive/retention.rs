//! What of an archive may go: a pure function of its snapshots.

use std::time::Duration;

/// A snapshot in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// It holds everything up to this index.
    pub(crate) index: u64,
    /// When it was taken, ms since 1970.
    pub(crate) taken_at_ms: u64,
}

/// Snapshots that stay, however old they are: should the newest be damaged, there is one more.
const KEPT: usize = 2;

/// The index up to which a snapshot that stays holds everything: entries up to it, and snapshots before it, may go.
///
/// Of the snapshots that are at least `retention` old the newest, but none of the newest [`KEPT`] but their oldest. A
/// snapshot holds everything of each database that no checkpoint covers, so what goes is covered by both.
pub(crate) fn cut(snapshots: &[Mark], now_ms: u64, retention: Duration) -> Option<u64> {
    let mut newest_first = snapshots.to_vec();
    newest_first.sort_by_key(|mark| std::cmp::Reverse(mark.index));
    let retention = u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
    let is_old = |mark: &&Mark| now_ms.saturating_sub(mark.taken_at_ms) >= retention;
    let old = newest_first.iter().skip(KEPT - 1).find(is_old);
    old.map(|mark| mark.index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn marks() -> impl Strategy<Value = Vec<Mark>> {
        prop::collection::vec((1u64..50, 0u64..100), 0..12).prop_map(|steps| {
            let (mut index, mut taken_at_ms) = (0, 1000);
            let step = |(entries, millis)| {
                index += entries;
                taken_at_ms += millis;
                Mark { index, taken_at_ms }
            };
            steps.into_iter().map(step).collect()
        })
    }

    proptest! {
        #[test]
        fn each_moment_within_the_retention_can_still_be_restored(
            all in marks(), retention in 0u64..600, later in 0u64..300, shuffled in any::<bool>()
        ) {
            let newest = all.last().map_or(1000, |mark| mark.taken_at_ms);
            let now = newest + later;
            let mut given = all.clone();
            if shuffled {
                given.reverse();
            }
            let cut = cut(&given, now, Duration::from_millis(retention));
            let kept: Vec<&Mark> = all.iter().filter(|mark| cut.is_none_or(|cut| mark.index >= cut)).collect();
            // Two stay for certain, and whatever stays has all entries behind it.
            prop_assert!(kept.len() >= all.len().min(KEPT));
            if let Some(cut) = cut {
                let first = kept[0];
                prop_assert_eq!(first.index, cut);
                // A moment within the retention is at or after the oldest that stays.
                prop_assert!(first.taken_at_ms <= now - retention);
            }
        }

        #[test]
        fn nothing_that_is_not_needed_stays(all in marks(), retention in 0u64..600) {
            let now = all.last().map_or(1000, |mark| mark.taken_at_ms);
            let cut = cut(&all, now, Duration::from_millis(retention)).unwrap_or(0);
            let newest_kept = all.len().saturating_sub(KEPT);
            for mark in all.iter().take(newest_kept + 1).filter(|mark| mark.index > cut) {
                let is_within = now - mark.taken_at_ms < retention;
                prop_assert!(is_within || all.len() < KEPT, "{:?} stays and need not", mark);
            }
        }
    }
}
