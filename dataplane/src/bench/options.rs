//! The command line of `orion bench`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;

use super::load::Load;
use super::suite::SuiteOptions;
use super::target::Target;
use super::workload::Workload;

/// Measure a server.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Insert a row of about 100 bytes a request.
    Insert(Settings),
    /// Select a row of 100,000 by its rowid, strongly consistent; loads the rows first.
    Select(Settings),
    /// Nine selects to one insert.
    Mixed(Settings),
    /// Insert many rows a transaction.
    Bulk {
        /// Rows of a transaction.
        #[arg(long, default_value_t = 1000)]
        rows: u32,
        /// One INSERT statement with all the rows instead of a batch of single ones.
        #[arg(long)]
        values: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// Insert round-robin over many databases; creates them first.
    Databases {
        /// How many databases.
        #[arg(long, short = 'n', default_value_t = 200)]
        databases: u32,
        #[command(flatten)]
        settings: Settings,
    },
    /// Create databases.
    Create(Settings),
    /// Measure the whole table of docs/benchmarks.md against servers that are started for it.
    Suite(SuiteOptions),
}

/// What to do.
#[derive(Clone, Debug)]
pub(crate) enum Plan<'a> {
    /// One workload.
    One(Workload, &'a Settings),
    /// All of them.
    Suite(&'a SuiteOptions),
}

/// What all workloads share.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Settings {
    /// The server, with the database as its path if not the default one.
    #[arg(long, env = "ORION_URL", default_value = "http://127.0.0.1:8091")]
    pub(crate) url: String,
    /// Database to use, in place of the path of the URL.
    #[arg(long)]
    pub(crate) database: Option<String>,
    /// Bearer token.
    #[arg(long, env = "ORION_AUTH_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Keep-alive connections.
    #[arg(long, short, default_value_t = 1)]
    pub(crate) connections: usize,
    /// Threads of the client.
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
    /// Seconds to measure.
    #[arg(long, short, default_value_t = 10.0)]
    pub(crate) duration: f64,
    /// Seconds before that which are not measured.
    #[arg(long, default_value_t = 2.0)]
    pub(crate) warm_up: f64,
    /// Open loop: requests a second over all connections, with latency from when each was due.
    #[arg(long, short)]
    pub(crate) rate: Option<f64>,
    /// Directory on the disk to measure with 4 KiB append + fdatasync.
    #[arg(long, default_value = ".")]
    pub(crate) disk: PathBuf,
    /// Seconds to measure the disk; 0 leaves it out.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) disk_seconds: f64,
    /// Format of the result.
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

/// Format of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

impl Options {
    /// What the line asks for.
    pub(crate) fn plan(&self) -> anyhow::Result<Plan<'_>> {
        let (workload, settings) = match &self.command {
            Command::Suite(options) => return Ok(Plan::Suite(options)),
            Command::Insert(settings) => (Workload::Insert, settings),
            Command::Select(settings) => (Workload::Select, settings),
            Command::Mixed(settings) => (Workload::Mixed, settings),
            Command::Bulk { rows: 0, .. } => bail!("--rows must be at least 1"),
            Command::Bulk {
                rows,
                values: true,
                settings,
            } => (Workload::BulkValues(*rows), settings),
            Command::Bulk {
                rows,
                values: false,
                settings,
            } => (Workload::Bulk(*rows), settings),
            Command::Databases { databases: 0, .. } => bail!("--databases must be at least 1"),
            Command::Databases { databases, settings } => (Workload::Databases(*databases), settings),
            Command::Create(settings) => (Workload::Create, settings),
        };
        Ok(Plan::One(workload, settings))
    }
}

impl Settings {
    /// A run of `workload` with these settings.
    pub(crate) fn load(&self, workload: Workload) -> anyhow::Result<Load> {
        if self.connections == 0 || self.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
            bail!("--connections and --rate must be more than 0");
        }
        let url = match &self.database {
            None => self.url.clone(),
            Some(name) => {
                let mut url = url::Url::parse(&self.url)?;
                url.set_path(name);
                url.to_string()
            }
        };
        Ok(Load {
            target: Target::new(&url, self.token.clone())?,
            workload,
            connections: self.connections,
            threads: self.threads,
            warm_up: Duration::try_from_secs_f64(self.warm_up)?,
            duration: Duration::try_from_secs_f64(self.duration)?,
            rate: self.rate,
        })
    }

    pub(crate) fn disk_time(&self) -> Duration {
        Duration::try_from_secs_f64(self.disk_seconds).unwrap_or_default()
    }
}
