//! The `http` section, and the keys of `limits` that are of the node's connections: how many, how fast.

use super::raw::{at_least, time};
use super::{Error, defaults};
use crate::http::connections;
use crate::http::{HttpSettings, Pace};
use serde::Deserialize;
use std::time::Duration;

/// Limits of what connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http {
    /// Connections at a time; without it as many as there is room for, up to the default.
    pub connections_max: Option<usize>,
    /// Time without a request after which a connection is closed.
    pub idle: Duration,
    /// Time for a request's head.
    pub head: Duration,
    /// Streams with a connection of their own, of the node.
    pub streams_total: usize,
    /// Bytes of bodies that arrive or are being answered, of the node.
    pub body_bytes_total: u64,
    /// Bytes of replies that are made or not yet read, of the node.
    pub reply_bytes_total: u64,
    /// How fast bodies must be sent and replies be read.
    pub pace: Pace,
}

impl Http {
    /// What the listener is told.
    pub fn connection_limits(&self, most: usize) -> connections::Limits {
        connections::Limits {
            most,
            idle: self.idle,
            head: self.head,
            reply: self.pace,
            ..connections::Limits::default()
        }
    }
}

/// Keys of `limits` that are of the node and not of a database.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeWide {
    pub connections_max: Option<usize>,
    pub streams_total: Option<usize>,
    pub body_bytes_total: Option<u64>,
    pub reply_bytes_total: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawHttp {
    idle_timeout_ms: Option<u64>,
    head_timeout_ms: Option<u64>,
    stall_timeout_ms: Option<u64>,
    bytes_per_second_min: Option<u64>,
}

impl RawHttp {
    pub(super) fn check(self, limits: NodeWide, result_bytes: u64) -> Result<Http, Error> {
        let default = defaults::http();
        let body_bytes_max = HttpSettings::default().body_bytes_max as u64;
        if let Some(most) = limits.connections_max {
            at_least("limits.connections_max", most as u64, 1)?;
        }
        let streams_total = limits.streams_total.unwrap_or(default.streams_total);
        at_least("limits.streams_total", streams_total as u64, 1)?;
        Ok(Http {
            connections_max: limits.connections_max,
            streams_total,
            // One body of the largest size has room of its own, so that of many at once one comes to its end.
            body_bytes_total: at_least(
                "limits.body_bytes_total",
                limits.body_bytes_total.unwrap_or(default.body_bytes_total),
                2 * body_bytes_max,
            )?,
            // Or a result within its limit could never be had.
            reply_bytes_total: at_least(
                "limits.reply_bytes_total",
                limits.reply_bytes_total.unwrap_or(default.reply_bytes_total),
                result_bytes,
            )?,
            idle: time("http.idle_timeout_ms", self.idle_timeout_ms, default.idle)?,
            head: time("http.head_timeout_ms", self.head_timeout_ms, default.head)?,
            pace: Pace {
                stall: time("http.stall_timeout_ms", self.stall_timeout_ms, default.pace.stall)?,
                bytes_per_second: at_least(
                    "http.bytes_per_second_min",
                    self.bytes_per_second_min.unwrap_or(default.pace.bytes_per_second),
                    1,
                )?,
            },
        })
    }
}
