//! The YAML file as it is written. Nothing is checked here but the shape.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use orion_api::GroupName;
use serde::Deserialize;
use url::Url;

use super::http::NodeWide;
use super::{Error, Limits, Log, LogFormat, Materialize, Transactions, defaults};
use crate::store;

/// Each has heartbeats, a task that archives, one that materializes: more than this is a matter for more nodes.
const GROUPS_MAX: usize = 64;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Config {
    data_dir: Option<PathBuf>,
    listen: Option<String>,
    public_url: Option<String>,
    default_database: Option<String>,
    group: Option<String>,
    more_groups: Vec<String>,
    object_store: ObjectStore,
    page_cache_bytes: Option<u64>,
    limits: RawLimits,
    http: super::http::RawHttp,
    transactions: RawTransactions,
    materialize: RawMaterialize,
    archive: super::archive::RawArchive,
    auth: super::auth::RawAuth,
    cluster: super::cluster::RawCluster,
    upgrade: RawUpgrade,
    log: RawLog,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ObjectStore {
    url: Option<String>,
    endpoint: Option<String>,
    region: Option<String>,
    path_style: Option<bool>,
    allow_http: Option<bool>,
    ca_bundle: Option<PathBuf>,
    credentials_dir: Option<PathBuf>,
    attempts: Option<usize>,
    attempt_timeout_ms: Option<u64>,
    total_timeout_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawUpgrade {
    finalize: Finalize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Finalize {
    #[default]
    Automatic,
    Manual,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLimits {
    size_bytes: Option<u64>,
    transaction_bytes: Option<u64>,
    statement_time_ms: Option<u64>,
    result_bytes: Option<u64>,
    streams: Option<usize>,
    connections_max: Option<usize>,
    streams_total: Option<usize>,
    body_bytes_total: Option<u64>,
    reply_bytes_total: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTransactions {
    idle_timeout_ms: Option<u64>,
    total_timeout_ms: Option<u64>,
    commit_deadline_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawMaterialize {
    flush_bytes: Option<u64>,
    database_overlay_bytes: Option<u64>,
    node_overlay_bytes: Option<u64>,
    age_seconds: Option<u64>,
    snapshot_log_bytes: Option<u64>,
    dropped_retention_seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLog {
    filter: Option<String>,
    format: Option<LogFormat>,
}

impl Config {
    pub(super) fn parse(text: &str) -> Result<Config, Error> {
        // An empty file, or one with comments only, is no document: all defaults.
        let is_empty = text
            .lines()
            .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        if is_empty {
            return Ok(Config::default());
        }
        serde_saphyr::from_str(text).map_err(|error| Error::Parse(Box::new(error)))
    }

    pub(super) fn with(self, overrides: super::Overrides) -> Config {
        Config {
            data_dir: overrides.data_dir.or(self.data_dir),
            listen: overrides.listen.or(self.listen),
            ..self
        }
    }

    pub(super) fn check(self) -> Result<super::Config, Error> {
        let data_dir = self.data_dir.unwrap_or_else(|| defaults::DATA_DIR.into());
        let listen = self.listen.as_deref().unwrap_or(defaults::LISTEN);
        let listen: SocketAddr = listen
            .parse()
            .map_err(|error| Error::value("listen", format!("{listen:?} is not address:port: {error}")))?;
        let public_url = self
            .public_url
            .map(|text| http_url("public_url", &text))
            .transpose()?;
        let default_database = match self.default_database.as_deref().unwrap_or(defaults::DATABASE) {
            "" => None,
            name => Some(
                name.parse()
                    .map_err(|error| Error::value("default_database", error))?,
            ),
        };
        let group = self.group.as_deref().unwrap_or(defaults::GROUP);
        let group: GroupName = group.parse().map_err(|error| Error::value("group", error))?;
        let more_groups = more_groups(&group, &self.more_groups)?;
        let object_store = self.object_store.check(&data_dir)?;
        let node_wide = self.limits.node_wide();
        let limits = self.limits.check()?;
        let http = self.http.check(node_wide, limits.result_bytes)?;
        Ok(super::Config {
            listen,
            public_url,
            default_database,
            group,
            more_groups,
            object_store,
            page_cache_bytes: at_least(
                "page_cache_bytes",
                self.page_cache_bytes.unwrap_or(defaults::node().page_cache_bytes),
                1 << 20,
            )?,
            http,
            limits,
            transactions: self.transactions.check()?,
            materialize: self.materialize.check()?,
            archive: self.archive.check()?,
            metrics_public: self.auth.metrics_public(),
            auth: self.auth.check()?,
            cluster: self.cluster.check()?,
            raise_format: self.upgrade.finalize == Finalize::Automatic,
            log: self.log.check(),
            data_dir,
        })
    }
}

impl ObjectStore {
    fn check(self, data_dir: &std::path::Path) -> Result<store::Config, Error> {
        let url = match &self.url {
            Some(text) => Url::parse(text).map_err(|error| Error::value("object_store.url", error))?,
            None => {
                let path = std::path::absolute(data_dir.join("objects"))
                    .map_err(|error| Error::value("data_dir", error))?;
                Url::from_directory_path(path)
                    .map_err(|()| Error::value("data_dir", "it is no path of a file:// URL"))?
            }
        };
        let mut config = store::Config::new(url);
        config.endpoint = self.endpoint;
        config.region = self.region;
        config.path_style = self.path_style.unwrap_or(config.path_style);
        config.allow_http = self.allow_http.unwrap_or(config.allow_http);
        config.ca_bundle = self.ca_bundle;
        if let Some(directory) = self.credentials_dir {
            config.credentials = store::Credentials::Directory(directory);
        }
        let retry = &mut config.retry;
        retry.attempts = self.attempts.unwrap_or(retry.attempts);
        retry.attempt = time(
            "object_store.attempt_timeout_ms",
            self.attempt_timeout_ms,
            retry.attempt,
        )?;
        retry.total = time(
            "object_store.total_timeout_ms",
            self.total_timeout_ms,
            retry.total,
        )?;
        if retry.total < retry.attempt {
            return Err(Error::value(
                "object_store.total_timeout_ms",
                "must be at least `object_store.attempt_timeout_ms`",
            ));
        }
        Ok(config)
    }
}

impl RawLimits {
    /// Those that are not of a database.
    fn node_wide(&self) -> NodeWide {
        NodeWide {
            connections_max: self.connections_max,
            streams_total: self.streams_total,
            body_bytes_total: self.body_bytes_total,
            reply_bytes_total: self.reply_bytes_total,
        }
    }

    fn check(self) -> Result<Limits, Error> {
        let default = defaults::limits();
        let limits = Limits {
            // SQLite's smallest page size is 512; a schema needs some pages.
            size_bytes: at_least(
                "limits.size_bytes",
                self.size_bytes.unwrap_or(default.size_bytes),
                64 << 10,
            )?,
            transaction_bytes: at_least(
                "limits.transaction_bytes",
                self.transaction_bytes.unwrap_or(default.transaction_bytes),
                64 << 10,
            )?,
            statement_time: time(
                "limits.statement_time_ms",
                self.statement_time_ms,
                default.statement_time,
            )?,
            result_bytes: at_least(
                "limits.result_bytes",
                self.result_bytes.unwrap_or(default.result_bytes),
                4 << 10,
            )?,
            streams: self.streams.unwrap_or(default.streams),
        };
        at_least("limits.streams", limits.streams as u64, 1)?;
        Ok(limits)
    }
}

impl RawTransactions {
    fn check(self) -> Result<Transactions, Error> {
        let default = defaults::transactions();
        let times = Transactions {
            idle: time("transactions.idle_timeout_ms", self.idle_timeout_ms, default.idle)?,
            total: time(
                "transactions.total_timeout_ms",
                self.total_timeout_ms,
                default.total,
            )?,
            commit_deadline: time(
                "transactions.commit_deadline_ms",
                self.commit_deadline_ms,
                default.commit_deadline,
            )?,
        };
        if times.total < times.idle {
            return Err(Error::value(
                "transactions.total_timeout_ms",
                "must be at least `transactions.idle_timeout_ms`",
            ));
        }
        Ok(times)
    }
}

impl RawMaterialize {
    fn check(self) -> Result<Materialize, Error> {
        let default = defaults::materialize();
        let materialize = Materialize {
            flush_bytes: at_least(
                "materialize.flush_bytes",
                self.flush_bytes.unwrap_or(default.flush_bytes),
                4 << 10,
            )?,
            database_overlay_bytes: at_least(
                "materialize.database_overlay_bytes",
                self.database_overlay_bytes
                    .unwrap_or(default.database_overlay_bytes),
                1 << 20,
            )?,
            node_overlay_bytes: self.node_overlay_bytes.unwrap_or(default.node_overlay_bytes),
            age: seconds("materialize.age_seconds", self.age_seconds, default.age)?,
            snapshot_log_bytes: at_least(
                "materialize.snapshot_log_bytes",
                self.snapshot_log_bytes.unwrap_or(default.snapshot_log_bytes),
                4 << 10,
            )?,
            dropped_retention: seconds(
                "materialize.dropped_retention_seconds",
                self.dropped_retention_seconds,
                default.dropped_retention,
            )?,
        };
        if materialize.node_overlay_bytes < materialize.database_overlay_bytes {
            return Err(Error::value(
                "materialize.node_overlay_bytes",
                "must be at least `materialize.database_overlay_bytes`",
            ));
        }
        if materialize.database_overlay_bytes < materialize.flush_bytes {
            return Err(Error::value(
                "materialize.database_overlay_bytes",
                "must be at least `materialize.flush_bytes`: writes would wait for what is not due",
            ));
        }
        Ok(materialize)
    }
}

impl RawLog {
    fn check(self) -> Log {
        let default = defaults::log();
        Log {
            filter: self.filter.unwrap_or(default.filter),
            format: self.format.unwrap_or(default.format),
        }
    }
}

/// The other groups of the node, each once.
fn more_groups(home: &GroupName, names: &[String]) -> Result<Vec<GroupName>, Error> {
    let mut groups: Vec<GroupName> = Vec::new();
    for name in names {
        let group: GroupName = name.parse().map_err(|error| Error::value("more_groups", error))?;
        if group == *home || groups.contains(&group) {
            return Err(Error::value("more_groups", format!("{group} is there twice")));
        }
        groups.push(group);
    }
    match groups.len() < GROUPS_MAX {
        true => Ok(groups),
        false => Err(Error::value(
            "more_groups",
            format!("a node has at most {GROUPS_MAX} groups"),
        )),
    }
}

fn http_url(key: &'static str, text: &str) -> Result<Url, Error> {
    let url = Url::parse(text).map_err(|error| Error::value(key, error))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(Error::value(
            key,
            format!("must begin with http:// or https://, not {other}://"),
        )),
    }
}

pub(super) fn at_least(key: &'static str, value: u64, least: u64) -> Result<u64, Error> {
    match value >= least {
        true => Ok(value),
        false => Err(Error::value(key, format!("{value} is less than {least}"))),
    }
}

pub(super) fn time(key: &'static str, millis: Option<u64>, default: Duration) -> Result<Duration, Error> {
    Ok(match millis {
        None => default,
        Some(millis) => Duration::from_millis(at_least(key, millis, 1)?),
    })
}

fn seconds(key: &'static str, seconds: Option<u64>, default: Duration) -> Result<Duration, Error> {
    Ok(match seconds {
        None => default,
        Some(seconds) => Duration::from_secs(at_least(key, seconds, 1)?),
    })
}
