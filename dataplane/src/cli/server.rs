//! `orion server`: reads the configuration and hands over.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::config::{self, Config, Log, LogFormat, Overrides};

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
    let load = move || Config::load(options.config.as_deref(), overrides.clone());
    serve(load()?, load)
}

fn serve(
    config: Config,
    load: impl Fn() -> Result<Config, config::Error> + Clone + Send + 'static,
) -> anyhow::Result<()> {
    init_log(&config.log)?;
    #[cfg(feature = "failpoints")]
    crate::failpoints::arm()?;
    small_pages();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("orion-io")
        .build()?;
    let result = runtime.block_on(crate::server::run(config, load));
    // Whatever still waits for an object store must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(5));
    Ok(result?)
}

/// Memory in pages of 4 KiB. The allocator asks for 2 MiB at once, and many small databases fill such a page badly:
/// an idle server holds 27 MiB less without.
fn small_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay on");
    }
}

/// Lines on standard error from now on.
pub(super) fn init_log(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter).with_context(|| format!("log.filter {:?}", log.filter))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}
