//! `/metrics` for Prometheus: read from the counters that the parts keep, when somebody asks.
//!
//! Names: `orion_<part>_<noun>_<unit>[_total]`. Labels are bounded: operation, area, code; never a database.

mod archive;
mod group;
mod transport;

use crate::database::Databases;
use crate::http::Http;
use crate::http::connections::Connections;
use crate::node::Node;
use crate::store::{Area, Operation};
use axum::Router;
use axum::routing::get;
use http::header;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The route.
pub(crate) fn router(
    node: Arc<Node>,
    http: Arc<Http<Arc<Databases>>>,
    connections: Arc<Connections>,
) -> Router {
    let mut registry = Registry::default();
    let counters = Arc::clone(node.databases.counters());
    let histograms = [
        (
            "orion_commit_seconds",
            "From the proposal of an entry to its outcome",
            counters.commit_seconds.clone(),
        ),
        (
            "orion_commit_entry_requests",
            "Requests merged into an entry",
            counters.entry_requests.clone(),
        ),
    ];
    for (name, help, histogram) in histograms {
        registry.register(name, help, histogram);
    }
    let help = "Requests that ended with an error of the database layer, by code";
    registry.register("orion_database_errors", help, counters.errors.clone());
    let (bodies, replies) = (Arc::clone(&http.bodies), Arc::clone(http.service.replies()));
    registry.register_collector(Box::new(group::Group {
        node: Arc::clone(&node),
    }));
    registry.register_collector(Box::new(Numbers { node, http }));
    registry.register_collector(Box::new(transport::Transport {
        connections,
        bodies,
        replies,
    }));
    let registry = Arc::new(registry);
    Router::new().route(
        "/metrics",
        get(move || {
            let mut text = String::new();
            let encoded = prometheus_client::encoding::text::encode(&mut text, &registry);
            let status = if encoded.is_ok() {
                http::StatusCode::OK
            } else {
                http::StatusCode::INTERNAL_SERVER_ERROR
            };
            let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            async move { (status, [(header::CONTENT_TYPE, format)], text) }
        }),
    )
}

/// Numbers that are somebody's state, not counted for metrics alone.
struct Numbers {
    node: Arc<Node>,
    http: Arc<Http<Arc<Databases>>>,
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Numbers")
    }
}

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let encoder = &mut encoder;
        self.log(encoder)?;
        self.databases(encoder)?;
        archive::encode(&self.node, encoder)?;
        self.object_store(encoder)
    }
}

impl Numbers {
    fn log(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let log = self.node.disk().counters();
        counter(
            encoder,
            "orion_log_flushes",
            "Frames written, each with one fdatasync",
            log.flushes.load(Relaxed),
        )?;
        counter(
            encoder,
            "orion_log_written_bytes",
            "Bytes of frames",
            log.bytes.load(Relaxed),
        )?;
        counter(
            encoder,
            "orion_log_entries",
            "Entries in frames",
            log.entries.load(Relaxed),
        )?;
        let nanos = log.flush_nanos.load(Relaxed);
        counter(
            encoder,
            "orion_log_flush_microseconds",
            "Time in write and fdatasync",
            nanos / 1000,
        )?;
        gauge(
            encoder,
            "orion_log_disk_bytes",
            "Bytes of all segments",
            self.node.disk().disk_bytes(),
        )?;
        let is_writable = u64::from(self.node.disk().is_writable());
        gauge(
            encoder,
            "orion_log_writable",
            "0 while the disk has no room for another segment",
            is_writable,
        )?;
        let is_serving = u64::from(self.node.is_ready());
        gauge(
            encoder,
            "orion_node_ready",
            "1 while strong reads and writes are served",
            is_serving,
        )
    }

    fn databases(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let node = &self.node;
        let counters = node.databases.counters();
        counter(
            encoder,
            "orion_database_writes",
            "Units run on a writer",
            counters.units.load(Relaxed),
        )?;
        counter(
            encoder,
            "orion_database_reads",
            "Units run on a reader",
            counters.reads.load(Relaxed),
        )?;
        counter(
            encoder,
            "orion_database_writes_given_up",
            "Units undone because their client left or they took too long",
            counters.given_up.load(Relaxed),
        )?;
        counter(
            encoder,
            "orion_sql_heavy_tasks",
            "Statements that used so much CPU that they had to give way to others",
            node.threads.gave_way(),
        )?;
        errors(encoder, &counters.statements.errors())?;
        gauge(
            encoder,
            "orion_reader_connections",
            "SQLite connections that only read, busy or idle",
            counters.readers.load(Relaxed) as u64,
        )?;
        gauge(
            encoder,
            "orion_databases_open",
            "Databases in use",
            node.databases.open_count() as u64,
        )?;
        gauge(
            encoder,
            "orion_streams_open",
            "Open streams",
            self.http.service.stream_count() as u64,
        )?;
        gauge(
            encoder,
            "orion_sql_threads_busy",
            "SQL threads that run something",
            node.threads.busy() as u64,
        )?;
        let groups = node.groups.all();
        let dirty: Vec<_> = groups.iter().flat_map(|group| group.catalog.dirty()).collect();
        let oldest = dirty
            .iter()
            .filter_map(|database| database.published.load().changed_since)
            .min();
        let lag = oldest.map_or(0, |since| since.elapsed().as_millis() as u64);
        gauge(
            encoder,
            "orion_overlay_bytes",
            "Committed, not yet in the object store",
            node.groups.overlay_bytes(),
        )?;
        gauge(
            encoder,
            "orion_overlay_databases",
            "Databases with such changes",
            dirty.len() as u64,
        )?;
        gauge(
            encoder,
            "orion_materialization_lag_milliseconds",
            "Age of the oldest such change",
            lag,
        )?;
        let (hits, misses) = node.pages().cache.counts();
        counter(
            encoder,
            "orion_page_cache_hits",
            "Look-ups that found the page",
            hits,
        )?;
        counter(
            encoder,
            "orion_page_cache_misses",
            "Look-ups that did not",
            misses,
        )?;
        gauge(
            encoder,
            "orion_page_cache_bytes",
            "Bytes in the page cache",
            node.pages().cache.bytes(),
        )
    }

    fn object_store(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let metrics = self.node.store().metrics();
        type Read = fn(crate::store::Count) -> u64;
        let kinds: [(&str, &str, Read); 3] = [
            ("orion_object_store_requests", "Requests begun", |count| {
                count.requests
            }),
            ("orion_object_store_errors", "Requests that failed", |count| {
                count.errors
            }),
            ("orion_object_store_bytes", "Bytes of content", |count| {
                count.bytes
            }),
        ];
        for (name, help, read) in kinds {
            let metric = ConstCounter::new(0u64);
            let mut family = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
            for operation in Operation::ALL {
                for area in Area::ALL {
                    let value = read(metrics.count(operation, area));
                    if value > 0 {
                        let labels = [("operation", operation.name()), ("area", area.name())];
                        ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The codes are SQLite's primary ones and a few of ours: some forty at most.
fn errors(encoder: &mut DescriptorEncoder<'_>, by_code: &BTreeMap<&'static str, u64>) -> fmt::Result {
    let (name, help) = ("orion_statement_errors", "Statements that failed, by code");
    let kind = ConstCounter::new(0u64).metric_type();
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    for (code, many) in by_code {
        ConstCounter::new(*many).encode(family.encode_family(&[("code", *code)])?)?;
    }
    Ok(())
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = ConstCounter::new(value);
    let encoder = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
    metric.encode(encoder)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = ConstGauge::new(value as i64);
    let encoder = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
    metric.encode(encoder)
}
