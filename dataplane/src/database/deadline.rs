//! A deadline for answers that counts only time in which the process ran.
//!
//! Where the whole process stood still (SIGSTOP, a paused machine), timers are over before the answers that came
//! meanwhile are looked at: a commit that is durable would be answered as one whose outcome is not known. So the
//! time is waited for in parts, and a standstill, however long, costs one of them.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

const PARTS: u32 = 8;

/// What `answer` comes to; none if it is not there in time.
pub(super) async fn within<F: Future>(time: Duration, answer: F) -> Option<F::Output> {
    let mut answer = pin!(answer);
    for _ in 0..PARTS {
        if let Ok(answer) = tokio::time::timeout(time / PARTS, &mut answer).await {
            return Some(answer);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_standstill_is_not_held_against_the_answer() {
        let time = Duration::from_millis(400);
        let (answer, waits) = oneshot::channel();
        tokio::spawn(async move {
            // The only thread does nothing else: no timer, no answer.
            let until = Instant::now() + 2 * time;
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            // What the process does next takes a moment too.
            tokio::time::timeout(time / 10, std::future::pending::<()>())
                .await
                .expect_err("nothing comes");
            answer.send(7).expect("it is waited for");
        });
        assert_eq!(within(time, waits).await, Some(Ok(7)));
    }

    #[tokio::test]
    async fn the_time_ends() {
        let began = Instant::now();
        let time = Duration::from_millis(40);
        assert_eq!(within(time, std::future::pending::<()>()).await, None);
        assert!(began.elapsed() >= time);
    }
}
