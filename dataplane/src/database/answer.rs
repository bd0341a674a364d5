//! Answers that wait for a version to be applied.

use super::{Error, Position};

/// Called once, with where the database is when the request's effects are visible, or with what went wrong.
/// Runs on Raft's task: it must not block.
pub(super) type Answer = Box<dyn FnOnce(Result<Position, Error>) + Send>;

/// Those who wait for the same layer.
#[derive(Default)]
pub(super) struct Answers(Vec<Answer>);

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} answers", self.0.len())
    }
}

impl Answers {
    pub(super) fn push(&mut self, answer: Answer) {
        self.0.push(answer);
    }

    pub(super) fn send(&mut self, result: &Result<Position, Error>) {
        for answer in self.0.drain(..) {
            answer(result.clone());
        }
    }
}
