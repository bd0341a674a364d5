//! The way to the API server: every request is counted, and writes wait for their turn and for the [`Gate`].
//!
//! INVARIANT: nothing but reads is sent while the Gate is closed. Tested by `a_closed_gate_lets_only_reads_through`.

use crate::lease::Gate;
use crate::metrics::{Metrics, Requests};
use http::{Method, Request, Response, StatusCode, header};
use kube::Client;
use kube::client::Body;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tower::{BoxError, Service};

/// How long all writes rest when the server has too much to do and does not say how long.
const REST: Duration = Duration::from_secs(1);

/// The longest rest that a server may ask for.
const REST_MAX: Duration = Duration::from_secs(30);

/// A server that says nothing for so long is taken as gone.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// One bucket of tokens for all writes. Each write takes one; they come back at an even pace.
pub struct Bucket {
    interval: Duration,
    burst: u32,
    /// When the bucket is full again. Everything else follows from it.
    full: Mutex<Instant>,
}

impl Bucket {
    /// So many writes in a second, and a second's worth at once.
    pub fn new(writes_per_second: u32) -> Bucket {
        let rate = writes_per_second.max(1);
        Bucket {
            interval: Duration::from_secs(1) / rate,
            burst: rate,
            full: Mutex::new(Instant::now()),
        }
    }

    /// Takes a token, and says from when on it counts.
    fn take(&self, now: Instant) -> Instant {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        *full = (*full).max(now) + self.interval;
        let waits = full
            .saturating_duration_since(now)
            .saturating_sub(self.interval * self.burst);
        now + waits
    }

    /// Nothing for so long: the server said so.
    fn rest(&self, now: Instant, time: Duration) {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        *full = (*full).max(now + time + self.interval * self.burst);
    }
}

/// Writes that must not go on.
#[derive(Debug, thiserror::Error)]
#[error("this replica does not lead any more: nothing is written")]
struct Closed;

/// A client whose requests are counted, and whose writes wait for `bucket` and need `gate` to be open.
pub fn measured(client: &Client, metrics: Arc<Metrics>, bucket: Arc<Bucket>, gate: Gate) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = Measured {
        inner: client.clone(),
        metrics,
        bucket: Some((bucket, gate)),
    };
    Client::new(service, namespace)
}

/// A client whose requests are only counted: for the Lease, which must not wait.
pub fn counted(client: &Client, metrics: Arc<Metrics>) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = Measured {
        inner: client.clone(),
        metrics,
        bucket: None,
    };
    Client::new(service, namespace)
}

#[derive(Clone)]
struct Measured {
    inner: Client,
    metrics: Arc<Metrics>,
    bucket: Option<(Arc<Bucket>, Gate)>,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

impl Service<Request<Body>> for Measured {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let own = self.clone();
        Box::pin(async move { own.send(request).await })
    }
}

impl Measured {
    async fn send(self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let verb = verb(&request);
        // An eviction that a budget refuses is no sign of too much work.
        let is_eviction = request.uri().path().ends_with("/eviction");
        if verb != "GET" && verb != "WATCH" {
            self.wait().await?;
        }
        // An answer begins soon; what comes after its head, such as a watch, has its own time.
        let answer = tokio::time::timeout(ANSWER_TIME_MAX, self.inner.send(request)).await;
        let answer = answer.unwrap_or_else(|late| Err(kube::Error::Service(late.into())));
        let code = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
        self.metrics
            .requests
            .get_or_create(&Requests { verb, code })
            .inc();
        if let (Ok(answer), Some((bucket, _))) = (&answer, &self.bucket)
            && answer.status() == StatusCode::TOO_MANY_REQUESTS
            && !is_eviction
        {
            let asked = answer.headers().get(header::RETRY_AFTER);
            let seconds = asked.and_then(|value| value.to_str().ok()?.parse().ok());
            bucket.rest(
                Instant::now(),
                seconds.map_or(REST, Duration::from_secs).min(REST_MAX),
            );
        }
        Ok(answer?)
    }

    async fn wait(&self) -> Result<(), BoxError> {
        let Some((bucket, gate)) = &self.bucket else {
            return Ok(());
        };
        let waiting = Waiting::new(&self.metrics);
        tokio::time::sleep_until(bucket.take(Instant::now()).into()).await;
        drop(waiting);
        match gate.is_open() {
            true => Ok(()),
            false => Err(Closed.into()),
        }
    }
}

/// Counted while it lives: who waits may be given up.
struct Waiting<'a>(&'a Metrics);

impl<'a> Waiting<'a> {
    fn new(metrics: &'a Metrics) -> Waiting<'a> {
        metrics.writes_waiting.inc();
        Waiting(metrics)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.writes_waiting.dec();
    }
}

fn verb(request: &Request<Body>) -> &'static str {
    let is_watch = request
        .uri()
        .query()
        .is_some_and(|query| query.contains("watch=true"));
    match *request.method() {
        Method::GET if is_watch => "WATCH",
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_an_even_pace() {
        let bucket = Bucket::new(100);
        let now = Instant::now();
        let waits: Vec<Duration> = (0..150).map(|_| bucket.take(now) - now).collect();
        assert!(waits[..100].iter().all(Duration::is_zero), "{waits:?}");
        assert_eq!(waits[149], Duration::from_millis(500));
        // After a rest of the writers there is a burst again, and not more than one.
        let later = now + Duration::from_secs(60);
        let waits: Vec<Duration> = (0..101).map(|_| bucket.take(later) - later).collect();
        assert_eq!(waits[99..], [Duration::ZERO, Duration::from_millis(10)]);
    }

    #[test]
    fn a_server_that_has_too_much_to_do_is_left_alone() {
        let bucket = Bucket::new(100);
        let now = Instant::now();
        bucket.rest(now, Duration::from_secs(3));
        let wait = bucket.take(now) - now;
        assert!(wait >= Duration::from_secs(3), "{wait:?}");
    }

    #[tokio::test]
    async fn a_closed_gate_lets_only_reads_through() {
        let answer = tower::service_fn(|_: Request<Body>| async {
            Ok::<_, BoxError>(Response::new(Body::from(b"{}".to_vec())))
        });
        let metrics = Arc::new(Metrics::default());
        let bucket = Arc::new(Bucket::new(100));
        let client = Client::new(answer, "default");
        let send = |client: Client, method| async move {
            let request = Request::builder().method(method).uri("/api").body(Body::empty());
            client.send(request.expect("a request")).await
        };
        let closed = measured(&client, Arc::clone(&metrics), Arc::clone(&bucket), Gate::closed());
        assert!(send(closed.clone(), Method::GET).await.is_ok());
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            assert!(send(closed.clone(), method).await.is_err());
        }
        let open = measured(&client, metrics, bucket, Gate::always());
        assert!(send(open, Method::POST).await.is_ok());
    }
}
