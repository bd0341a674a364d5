//! Whether the object store answers, from the requests that are made anyway: it is not asked for this.
//!
//! The newest answer counts. A request that waits while nothing else is answered counts after a while too: one to an address
//! that swallows everything ends by a time-out of half a minute only.
//!
//! LIMIT: who asks for nothing learns nothing: an idle node knows of the last time that it wanted something.

use super::Kind;
use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// Requests that wait for so long, with no answer to any of them, are not answered.
const SILENCE: Duration = Duration::from_secs(8);

#[derive(Debug, Default)]
struct State {
    /// What the newest answer was a failure of.
    failure: Option<Kind>,
    waiting: usize,
    /// Since when requests wait and none was answered.
    silent_since: Option<Instant>,
}

/// Of one object store.
#[derive(Debug, Default)]
pub(super) struct Health {
    state: Mutex<State>,
}

impl Health {
    /// A request is made.
    pub(super) fn asked(&self) -> Waiting<'_> {
        let mut state = self.state.lock();
        state.waiting += 1;
        state.silent_since.get_or_insert_with(Instant::now);
        Waiting { health: self }
    }

    /// A request was answered, or failed in this way.
    pub(super) fn answered(&self, failure: Option<Kind>) {
        let mut state = self.state.lock();
        state.failure = failure;
        state.silent_since = (state.waiting > 0).then(Instant::now);
    }

    /// What is wrong, if anything is.
    pub(super) fn trouble(&self, now: Instant) -> Option<Kind> {
        let state = self.state.lock();
        let is_silent = |since: Instant| now.saturating_duration_since(since) >= SILENCE;
        state.failure.or_else(|| {
            state
                .silent_since
                .filter(|since| is_silent(*since))
                .map(|_| Kind::Unavailable)
        })
    }
}

/// Held while a request waits; who asked may give it up.
pub(super) struct Waiting<'a> {
    health: &'a Health,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.health.state.lock();
        state.waiting -= 1;
        if state.waiting == 0 {
            state.silent_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_answer_counts() {
        let (health, now) = (Health::default(), Instant::now());
        assert_eq!(health.trouble(now), None);
        let waiting = health.asked();
        health.answered(Some(Kind::Denied));
        drop(waiting);
        assert_eq!(health.trouble(now), Some(Kind::Denied));
        health.answered(None);
        assert_eq!(health.trouble(now), None);
    }

    #[test]
    fn silence_is_a_failure_only_while_somebody_waits_and_nobody_is_answered() {
        let health = Health::default();
        let waiting = health.asked();
        let late = Instant::now() + SILENCE;
        assert_eq!(health.trouble(late), Some(Kind::Unavailable));
        let other = health.asked();
        drop(other);
        assert_eq!(health.trouble(late), Some(Kind::Unavailable), "one still waits");
        let other = health.asked();
        health.answered(None);
        drop(other);
        assert_eq!(health.trouble(late), None, "it answered another one since");
        assert_eq!(health.trouble(late + SILENCE), Some(Kind::Unavailable));
        drop(waiting);
        assert_eq!(health.trouble(late + SILENCE), None, "nobody waits");
    }
}
