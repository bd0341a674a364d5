//! Lets connections in, and looks after them until the server stops.

use super::farewell::Farewells;
use super::served::{self, Routes};
use super::table::{Connections, count};
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Pause after the system had no descriptor or memory for a connection: some may be free by then, and the
/// connections that wait are kept in the listener's queue.
const PAUSE: Duration = Duration::from_millis(100);

/// Where connections come from.
pub trait Accept: Send + 'static {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// The next one. Dropping the future loses none.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Io>> + Send;
}

impl Accept for TcpListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<TcpStream> {
        let (stream, _) = TcpListener::accept(self).await?;
        // Small replies must not wait for more to send.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        Ok(stream)
    }
}

/// Serves `routes` until `stop`; then lets the requests in flight end, and ends with the last connection.
pub async fn serve<A: Accept, R: Routes>(
    mut listener: A,
    routes: R,
    connections: Arc<Connections>,
    stop: CancellationToken,
) {
    let door = Door {
        routes,
        tasks: TaskTracker::new(),
        farewells: Farewells::new(connections.limits),
        connections,
    };
    let mut looks = interval(door.connections.pause());
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut closed_until: Option<Instant> = None;
    loop {
        let opens = sleep_until(closed_until.unwrap_or_else(Instant::now).into());
        tokio::select! {
            () = stop.cancelled() => break,
            _ = looks.tick() => door.connections.look(Instant::now()),
            () = opens, if closed_until.is_some() => closed_until = None,
            accepted = listener.accept(), if closed_until.is_none() => match accepted {
                Ok(io) => door.open(io),
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    door.failed(&error);
                    closed_until = Some(Instant::now() + PAUSE);
                }
            },
        }
    }
    drop(listener);
    door.close(looks).await;
}

/// The client left before it was let in.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, TimedOut};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | TimedOut
    )
}

struct Door<R> {
    routes: R,
    connections: Arc<Connections>,
    tasks: TaskTracker,
    farewells: Farewells,
}

impl<R: Routes> Door<R> {
    fn open<Io: AsyncRead + AsyncWrite + Send + Unpin + 'static>(&self, io: Io) {
        let counters = self.connections.counters();
        let Some(place) = self.connections.enter(Instant::now()) else {
            count(&counters.refused);
            return self.farewells.say(io, &self.tasks);
        };
        count(&counters.accepted);
        let (routes, limits) = (self.routes.clone(), self.connections.limits);
        self.tasks.spawn(async move {
            let end = served::serve(io, routes, Arc::clone(&place.slot), limits).await;
            place.leave(end);
        });
    }

    fn failed(&self, error: &io::Error) {
        let failed = &self.connections.counters().failed;
        count(failed);
        // Once, and again each minute that it lasts.
        if failed.load(std::sync::atomic::Ordering::Relaxed) % 600 == 1 {
            tracing::error!(%error, "no connection can be accepted; idle ones are closed to make room");
        }
        self.connections.make_room(Instant::now());
    }

    /// Waits for the last connection, and goes on looking: one that is slow must not hold up the end.
    async fn close(self, mut looks: tokio::time::Interval) {
        self.connections.stop();
        self.tasks.close();
        let mut all = std::pin::pin!(self.tasks.wait());
        loop {
            tokio::select! {
                () = &mut all => return,
                _ = looks.tick() => self.connections.look(Instant::now()),
            }
        }
    }
}
