//! Keeps one blank segment ready, on a thread of its own.
//!
//! Where the disk has no room for a whole segment it makes a smaller one: writing goes on earlier, and what is purged
//! meanwhile makes room for whole ones. When even that does not fit it says so and tries again once a second, so that
//! writing goes on by itself when there is room again.

use super::disk::SMALL_SEGMENT_BYTES;
use super::{Error, segment};
use crate::causes;
use parking_lot::{Condvar, Mutex};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const RETRY: Duration = Duration::from_secs(1);

/// How long the first spare waits, if nobody needs it before.
const START_DELAY: Duration = Duration::from_secs(1);

/// The spare, or the reason why there is none.
#[derive(Debug)]
pub(super) struct Spare {
    dir: PathBuf,
    len: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ready: Option<Blank>,
    failed: bool,
    stopped: bool,
    /// Somebody needs one now, of at least so many bytes.
    wanted: Option<u64>,
    made: u64,
}

/// A segment without a name.
#[derive(Debug)]
struct Blank {
    path: PathBuf,
    len: u64,
}

impl Spare {
    pub(super) fn start(dir: &Path, len: u64) -> Result<(Arc<Spare>, std::thread::JoinHandle<()>), Error> {
        let spare = Arc::new(Spare {
            dir: dir.to_owned(),
            len,
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
        });
        let maker = Arc::clone(&spare);
        let thread = std::thread::Builder::new()
            .name("orion-log-spare".to_owned())
            .spawn(move || maker.run())
            .map_err(Error::io("start a thread for", dir))?;
        Ok((spare, thread))
    }

    /// True when a spare is there, or is being made and nothing failed so far.
    pub(super) fn is_expected(&self) -> bool {
        let state = self.state.lock();
        state.ready.is_some() || !state.failed
    }

    /// A spare of at least `bytes`; waits while it is being made. `None` if none can be made now.
    pub(super) fn take(&self, bytes: u64) -> Option<PathBuf> {
        let mut state = self.state.lock();
        state.wanted = Some(bytes);
        self.changed.notify_all();
        loop {
            if let Some(small) = state.ready.take_if(|ready| ready.len < bytes) {
                self.remove(&small.path);
                self.changed.notify_all();
            }
            if state.ready.is_some() || state.failed || state.stopped {
                break;
            }
            self.changed.wait(&mut state);
        }
        let ready = state.ready.take();
        if ready.is_some() {
            state.wanted = None;
        }
        self.changed.notify_all();
        ready.map(|ready| ready.path)
    }

    /// Waits a moment, or until a spare was made, or `ends` says so and somebody woke it.
    pub(super) fn pause(&self, ends: impl Fn() -> bool) {
        let deadline = Instant::now() + RETRY;
        let mut state = self.state.lock();
        let had_one = state.ready.is_some();
        while (had_one || state.ready.is_none()) && !state.stopped && !ends() {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
    }

    /// Ends a pause.
    pub(super) fn wake(&self) {
        let _state = self.state.lock();
        self.changed.notify_all();
    }

    /// A segment that is not needed any more; becomes the spare if there is none, else it is removed.
    pub(super) fn give_back(&self, path: &Path, len: u64) {
        let mut state = self.state.lock();
        if state.ready.is_none() && len == self.len {
            state.made += 1;
            let blank = self.blank(state.made);
            if std::fs::rename(path, &blank).is_ok() {
                state.ready = Some(Blank { path: blank, len });
                state.failed = false;
                self.changed.notify_all();
                return;
            }
        }
        self.remove(path);
    }

    fn remove(&self, path: &Path) {
        if let Err(error) = std::fs::remove_file(path) {
            tracing::warn!(path = %path.display(), %error, "a log segment that is not needed any more stays");
        }
    }

    pub(super) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }

    /// A whole one, or one of `wanted` bytes if that is more; where that does not fit, halves of it.
    fn make(&self, path: PathBuf, wanted: u64) -> Result<Blank, Error> {
        let mut len = self.len.max(wanted);
        let least = SMALL_SEGMENT_BYTES.min(self.len).max(wanted);
        loop {
            match segment::make_blank(&path, len) {
                Ok(()) => return Ok(Blank { path, len }),
                Err(Error::Full(_)) if len > least => len = (len / 2).max(least),
                Err(error) => return Err(error),
            }
        }
    }

    fn blank(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number}.blank"))
    }

    fn run(&self) {
        let mut state = self.state.lock();
        // What the process writes and syncs while it starts must not queue behind megabytes of zeros.
        while state.wanted.is_none() && !state.stopped {
            if self.changed.wait_for(&mut state, START_DELAY).timed_out() {
                break;
            }
        }
        while !state.stopped {
            if state.ready.is_some() {
                self.changed.wait(&mut state);
                continue;
            }
            state.made += 1;
            let path = self.blank(state.made);
            let wanted = state.wanted.unwrap_or(0);
            let made = parking_lot::MutexGuard::unlocked(&mut state, || {
                fail::fail_point!("log::spare", crate::failpoints::strikes(&path), |_| Err(
                    Error::Poisoned
                ));
                self.make(path.clone(), wanted)
            });
            match made {
                Ok(blank) if state.ready.is_none() && blank.len >= state.wanted.unwrap_or(0) => {
                    if blank.len < self.len {
                        tracing::warn!(
                            bytes = blank.len,
                            "the disk has no room for a whole log segment: this one is smaller"
                        );
                    }
                    state.ready = Some(blank);
                    state.failed = false;
                }
                Ok(blank) => self.remove(&blank.path),
                Err(error) => {
                    if !state.failed {
                        tracing::error!(error = %causes::text(&error), "the next log segment cannot be made: writes are refused until it can");
                    }
                    state.failed = true;
                }
            }
            self.changed.notify_all();
            if state.failed && !state.stopped {
                self.changed.wait_for(&mut state, RETRY);
            }
        }
    }
}
