//! `orion server`: reads the configuration and hands over.

use std::path::PathBuf;

use crate::config::{Config, Overrides};

/// Options of `orion server`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Configuration file, as `orion init-config` prints it; without one the defaults.
    #[arg(long, short, env = "ORION_CONFIG")]
    config: Option<PathBuf>,
    /// Directory of the log and, by default, of the objects; instead of the file's.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Address to listen on; instead of the file's.
    #[arg(long)]
    listen: Option<String>,
}

/// Runs until it is told to stop.
pub(super) fn run(options: Options) -> anyhow::Result<()> {
    let overrides = Overrides {
        data_dir: options.data_dir,
        listen: options.listen,
    };
    serve(Config::load(options.config.as_deref(), overrides)?)
}

fn serve(config: Config) -> anyhow::Result<()> {
    anyhow::bail!("this build has no server for {}", config.listen)
}
