//! Numbers of the connections and of what they bring and take.

use super::{counter, gauge};
use crate::http::connections::Connections;
use crate::room::Room;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Reads them when somebody asks.
#[derive(Debug)]
pub(super) struct Transport {
    pub(super) connections: Arc<Connections>,
    pub(super) bodies: Arc<Room>,
    pub(super) replies: Arc<Room>,
}

impl Collector for Transport {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let encoder = &mut encoder;
        let counters = self.connections.counters();
        gauge(
            encoder,
            "orion_http_connections",
            "Connections now",
            self.connections.count() as u64,
        )?;
        gauge(
            encoder,
            "orion_http_connections_busy",
            "Those of them that are within a request",
            self.connections.busy() as u64,
        )?;
        for (name, help, value) in [
            (
                "orion_http_connections_accepted",
                "Connections taken",
                &counters.accepted,
            ),
            (
                "orion_http_connections_refused",
                "Connections that heard that there is no place",
                &counters.refused,
            ),
            (
                "orion_http_connections_closed_idle",
                "Connections closed because nothing was asked, for too long or while others needed a place",
                &counters.idle,
            ),
            (
                "orion_http_connections_closed_slow",
                "Connections closed because their client sent or read too slowly",
                &counters.slow,
            ),
            (
                "orion_http_accept_failures",
                "Times that the system had no descriptor or memory for a connection",
                &counters.failed,
            ),
        ] {
            counter(encoder, name, help, value.load(Relaxed))?;
        }
        room(encoder, "body", &self.bodies)?;
        room(encoder, "reply", &self.replies)
    }
}

/// What is taken of a room, and who found none.
fn room(encoder: &mut DescriptorEncoder<'_>, of: &str, room: &Room) -> fmt::Result {
    let (waited, refused) = room.counts();
    let name = |what: &str| format!("orion_http_{of}_{what}");
    let help = "Bytes held, without those of small ones";
    gauge(encoder, &name("bytes"), help, room.used())?;
    counter(encoder, &name("waits"), "Times that one waited for room", waited)?;
    counter(encoder, &name("refusals"), "Times that one got no room", refused)
}
