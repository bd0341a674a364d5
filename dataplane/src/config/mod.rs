//! The server's configuration, in two steps: `raw` is the YAML as people write it (unknown keys refused, every
//! key optional), [`Config`] is what the server uses (types, units, checked against each other), made once, at
//! the start. `orion init-config` prints [`template`], which a test reads back to the defaults.
//!
//! Defaults that belong to one part are that part's (`node::Options`, `database::Options`, `store::Retry`), with their reasons
//! there; those of the process stand in `defaults`.

mod archive;
mod auth;
mod cluster;
mod defaults;
mod error;
mod http;
mod raw;
mod template;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use orion_api::{DatabaseName, GroupName};
use url::Url;

use crate::auth::Auth;
use crate::node::Cluster;
use crate::store;

pub use error::Error;
pub use http::Http;
pub use template::template;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Log, snapshots, overlay, temporary files; of this process alone.
    pub data_dir: PathBuf,
    /// Where HTTP is served.
    pub listen: SocketAddr,
    /// What clients are told to connect to, where it is not the listen address.
    pub public_url: Option<Url>,
    /// The database of requests that name none; made at the start if it is not there.
    pub default_database: Option<DatabaseName>,
    /// The node's home: the group where databases are made if nothing else is said.
    pub group: GroupName,
    /// Other groups that it is a member of.
    pub more_groups: Vec<GroupName>,
    /// The data's lasting home.
    pub object_store: store::Config,
    /// Pages kept in memory, of all databases.
    pub page_cache_bytes: u64,
    /// Limits of a database that has none of its own.
    pub limits: Limits,
    /// What connects.
    pub http: Http,
    /// Open transactions.
    pub transactions: Transactions,
    /// When pages go to the object store.
    pub materialize: Materialize,
    /// How the log is archived; none: it is not.
    pub archive: Option<crate::archive::Options>,
    /// Who may do what; everybody everything where nothing is configured.
    pub auth: Auth,
    /// Whether `/metrics` is served without a token.
    pub metrics_public: bool,
    /// Other nodes of the group; none: this node is alone in it.
    pub cluster: Option<Cluster>,
    /// The group writes newer formats as soon as all members read them; else when an operator says so.
    pub raise_format: bool,
    /// What the process tells of itself.
    pub log: Log,
}

/// Limits of one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pages times page size.
    pub size_bytes: u64,
    /// Changed pages of one transaction.
    pub transaction_bytes: u64,
    /// Time of one statement.
    pub statement_time: Duration,
    /// Result of one request.
    pub result_bytes: u64,
    /// Open streams.
    pub streams: usize,
}

/// Times of open transactions and of commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transactions {
    /// An open transaction waits at most so long for its next request.
    pub idle: Duration,
    /// And is open at most so long.
    pub total: Duration,
    /// A write whose outcome is not known by then is answered with `ORION_COMMIT_UNKNOWN`.
    pub commit_deadline: Duration,
}

/// When pages go to the object store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Materialize {
    /// Bytes of committed pages of one database, at which it is due.
    pub flush_bytes: u64,
    /// Age of its oldest commit, at which a database is due.
    pub age: Duration,
    /// Bytes of committed pages of one database, at which its writes wait.
    pub database_overlay_bytes: u64,
    /// Bytes of committed pages of all databases, at which writes wait; from three quarters of it on the largest
    /// are due.
    pub node_overlay_bytes: u64,
    /// Bytes of log after which there is a local snapshot, and the log up to it is let go.
    pub snapshot_log_bytes: u64,
    /// A dropped database's objects are purged after that.
    pub dropped_retention: Duration,
}

/// What the process tells of itself, on standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// As of `tracing_subscriber::EnvFilter`: `info`, `orion=debug,warn`.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What the command line may say instead of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Instead of `data_dir`.
    pub data_dir: Option<PathBuf>,
    /// Instead of `listen`.
    pub listen: Option<String>,
}

impl Config {
    /// From a file, or the defaults; what the command line says wins.
    pub fn load(path: Option<&Path>, overrides: Overrides) -> Result<Config, Error> {
        let text = match path {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path).map_err(|source| Error::Read {
                path: path.to_owned(),
                source,
            })?,
        };
        raw::Config::parse(&text)?.with(overrides).check()
    }

    /// From YAML.
    pub fn parse(text: &str) -> Result<Config, Error> {
        raw::Config::parse(text)?.check()
    }

    /// Base URL for clients, without a path.
    pub fn client_url(&self) -> String {
        match &self.public_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => format!("http://{}", self.listen),
        }
    }

    /// How the node is run.
    pub fn node_options(&self) -> crate::node::Options {
        let (data_dir, store) = (self.data_dir.clone(), self.object_store.clone());
        let mut options = crate::node::Options::new(data_dir, self.group.clone(), store);
        options.more_groups = self.more_groups.clone();
        options.page_cache_bytes = self.page_cache_bytes;
        options.drop_retention = self.materialize.dropped_retention;
        options.database = self.database_options();
        options.overlay_node_bytes = self.materialize.node_overlay_bytes;
        options.flush_bytes = self.materialize.flush_bytes;
        options.flush_age = self.materialize.age;
        options.snapshot_log_bytes = self.materialize.snapshot_log_bytes;
        options.archive = self.archive.clone();
        options.cluster = self.cluster.clone();
        options.raise_format = self.raise_format;
        options
    }

    /// How databases are run, with temporary files below the data directory.
    fn database_options(&self) -> crate::database::Options {
        let mut options = crate::database::Options::new(self.data_dir.join("temp"));
        options.database_bytes = self.limits.size_bytes;
        options.sql.transaction_bytes = self.limits.transaction_bytes;
        options.sql.statement_time = self.limits.statement_time;
        options.sql.result_bytes = self.limits.result_bytes;
        options.streams_max = self.limits.streams;
        options.transaction_idle = self.transactions.idle;
        options.transaction_total = self.transactions.total;
        options.commit_deadline = self.transactions.commit_deadline;
        options.overlay_bytes = self.materialize.database_overlay_bytes;
        options.overlay_node_bytes = self.materialize.node_overlay_bytes;
        options
    }
}
