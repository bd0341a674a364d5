//! Which object is looked at when. Each object is in it once, at the earliest time that anybody asked for, and is never
//! looked at twice at the same time: what comes while it is looked at makes it come again.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// After the first failure; each further one in a row doubles it.
const BACK_OFF: Duration = Duration::from_millis(500);

/// The longest time between two attempts.
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// What came of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Again then, at the latest.
    Again(Duration),
    /// It failed: again soon, and later each time.
    Failed,
    /// The object is gone.
    Gone,
}

/// Objects that wait.
pub(super) struct Queue<K> {
    inner: Mutex<Inner<K>>,
    changed: Notify,
}

struct Inner<K> {
    /// By time; the number keeps those of one time apart, and in order.
    due: BTreeMap<(Instant, u64), K>,
    places: HashMap<K, Place>,
    next: u64,
}

#[derive(Default)]
struct Place {
    due: Option<(Instant, u64)>,
    is_running: bool,
    failures: u32,
}

impl<K> Default for Queue<K> {
    fn default() -> Queue<K> {
        let inner = Inner {
            due: BTreeMap::new(),
            places: HashMap::new(),
            next: 0,
        };
        Queue {
            inner: Mutex::new(inner),
            changed: Notify::new(),
        }
    }
}

impl<K: Clone + Eq + Hash> Queue<K> {
    fn lock(&self) -> MutexGuard<'_, Inner<K>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a look now.
    pub(super) fn add(&self, key: K) {
        self.lock().add(key, Instant::now());
        self.changed.notify_one();
    }

    /// How many are due.
    pub(super) fn depth(&self) -> usize {
        let now = Instant::now();
        self.lock().due.range(..(now, u64::MAX)).count()
    }

    /// Waits for the next one, and says how long its time had come.
    pub(super) async fn next(&self) -> (K, Duration) {
        loop {
            let changed = self.changed.notified();
            let time = match self.lock().take(Instant::now()) {
                Ok(taken) => return taken,
                Err(time) => time,
            };
            match time {
                None => changed.await,
                Some(time) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(time.into()) => {}
                    }
                }
            }
        }
    }

    /// A look has ended.
    pub(super) fn done(&self, key: &K, outcome: Outcome) {
        self.lock().done(key, outcome, Instant::now());
        self.changed.notify_one();
    }
}

impl<K: Clone + Eq + Hash> Inner<K> {
    fn add(&mut self, key: K, time: Instant) {
        let place = self.places.entry(key.clone()).or_default();
        if let Some(due) = place.due {
            if due.0 <= time {
                return;
            }
            self.due.remove(&due);
        }
        let due = (time, self.next);
        self.next += 1;
        place.due = Some(due);
        // One that runs comes back when it is done.
        if !place.is_running {
            self.due.insert(due, key);
        }
    }

    fn take(&mut self, now: Instant) -> Result<(K, Duration), Option<Instant>> {
        let Some(first) = self.due.first_entry() else {
            return Err(None);
        };
        let time = first.key().0;
        if time > now {
            return Err(Some(time));
        }
        let key = first.remove();
        let place = self.places.entry(key.clone()).or_default();
        place.is_running = true;
        place.due = None;
        Ok((key, now - time))
    }

    fn done(&mut self, key: &K, outcome: Outcome, now: Instant) {
        let Some(place) = self.places.get_mut(key) else {
            return;
        };
        place.is_running = false;
        let asked = place.due;
        place.failures = match outcome {
            Outcome::Failed => place.failures.saturating_add(1),
            Outcome::Again(_) | Outcome::Gone => 0,
        };
        let again = match outcome {
            Outcome::Again(time) => Some(now + time),
            Outcome::Failed => Some(now + back_off(place.failures)),
            Outcome::Gone => None,
        };
        // What was asked for meanwhile does not shorten a back-off: it would be no back-off.
        let next = match (outcome, asked, again) {
            (Outcome::Failed, _, again) => again.map(|time| (time, self.next)),
            (_, Some(asked), Some(again)) if asked.0 > again => Some((again, self.next)),
            (_, Some(asked), _) => Some(asked),
            (_, None, again) => again.map(|time| (time, self.next)),
        };
        self.next += 1;
        place.due = next;
        match next {
            Some(due) => drop(self.due.insert(due, key.clone())),
            None => drop(self.places.remove(key)),
        }
    }
}

fn back_off(failures: u32) -> Duration {
    let factor = 2u32.saturating_pow(failures.saturating_sub(1).min(16));
    (BACK_OFF * factor).min(BACK_OFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn inner() -> (Inner<&'static str>, Instant) {
        let queue = Queue::default();
        (queue.inner.into_inner().expect("no panic"), Instant::now())
    }

    #[test]
    fn an_object_is_there_once_at_its_earliest_time() {
        let (mut queue, now) = inner();
        queue.add("a", now + 5 * SECOND);
        queue.add("b", now + SECOND);
        queue.add("a", now);
        queue.add("a", now + 9 * SECOND);
        assert_eq!(queue.take(now), Ok(("a", Duration::ZERO)));
        assert_eq!(queue.take(now), Err(Some(now + SECOND)));
        assert_eq!(queue.take(now + 3 * SECOND), Ok(("b", 2 * SECOND)));
        assert_eq!(queue.take(now + 3 * SECOND), Err(None), "both are looked at");
    }

    #[test]
    fn what_comes_during_a_look_makes_it_come_again_and_not_twice_at_a_time() {
        let (mut queue, now) = inner();
        queue.add("a", now);
        assert!(queue.take(now).is_ok());
        queue.add("a", now);
        assert_eq!(queue.take(now), Err(None));
        queue.done(&"a", Outcome::Again(60 * SECOND), now);
        assert_eq!(queue.take(now), Ok(("a", Duration::ZERO)));
        queue.done(&"a", Outcome::Again(60 * SECOND), now);
        assert_eq!(queue.take(now), Err(Some(now + 60 * SECOND)));
    }

    #[test]
    fn failures_in_a_row_wait_longer_each_time_and_a_success_ends_it() {
        let (mut queue, now) = inner();
        let mut waits = Vec::new();
        let mut time = now;
        queue.add("a", now);
        for _ in 0..8 {
            assert!(queue.take(time).is_ok());
            queue.add("a", time);
            queue.done(&"a", Outcome::Failed, time);
            let next = queue.take(time).expect_err("not yet").expect("later");
            waits.push((next - time).as_millis());
            time = next;
        }
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
        assert!(queue.take(time).is_ok());
        queue.done(&"a", Outcome::Gone, time);
        assert!(queue.places.is_empty(), "nothing is kept of what is gone");
    }
}
