//! The operator's program: `orion-operator run`, with the cluster from its ServiceAccount or from KUBECONFIG.

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use orion_operator::cache::Scope;
use orion_operator::program::{ElectionOptions, Options, operate};
use orion_operator::schema;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// A connection that says nothing for so long is dead: watches get a bookmark about every minute.
const SILENCE_MAX: Duration = Duration::from_secs(100);

/// Keeps a cluster as ReplicationGroups and Databases say. What is logged is chosen by RUST_LOG.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// How lines of the log look.
    #[arg(
        long,
        env = "ORION_LOG_FORMAT",
        value_enum,
        default_value = "json",
        global = true
    )]
    log_format: LogFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Json,
    Text,
}

#[derive(Subcommand)]
enum Command {
    /// Run until SIGTERM. Of several replicas one acts, and the others are ready to take over.
    Run(Run),
    /// The kinds: ReplicationGroup, Database, PlacementMove.
    Crds {
        #[command(subcommand)]
        command: Crds,
    },
}

#[derive(Subcommand)]
enum Crds {
    /// Install the kinds, or bring them up to this release.
    Apply,
}

#[derive(Args)]
struct Run {
    /// Image of groups that name none.
    #[arg(long, env = "ORION_IMAGE")]
    image: String,
    /// Where /livez, /readyz and /metrics are.
    #[arg(long, env = "ORION_OPERATOR_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Namespaces that are looked at, by commas. Default: all.
    #[arg(long, env = "ORION_NAMESPACES", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// Act without a Lease: only where no other replica can run.
    #[arg(long, env = "ORION_NO_LEADER_ELECTION")]
    no_leader_election: bool,
    /// Name of the Lease.
    #[arg(long, env = "ORION_LEASE_NAME", default_value = "orion-operator")]
    lease_name: String,
    /// Namespace of the Lease. Default: that of the pod, or of the kubeconfig's context.
    #[arg(long, env = "POD_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Who holds the Lease: the pod's name. No two replicas may have the same. Default: by chance.
    #[arg(long, env = "POD_NAME")]
    identity: Option<String>,
    /// Most writes to the API server in a second.
    #[arg(long, env = "ORION_WRITES_PER_SECOND", default_value_t = 100)]
    writes_per_second: u32,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    match arguments.log_format {
        LogFormat::Json => log.json().init(),
        LogFormat::Text => log.init(),
    }
    let mut config = kube::Config::infer().await.context("no cluster is known")?;
    config.read_timeout = Some(SILENCE_MAX);
    let client = kube::Client::try_from(config).context("the cluster's configuration is of no use")?;
    match arguments.command {
        Command::Run(run) => operate(client, options(run), stop_on_signal()?).await,
        Command::Crds { command: Crds::Apply } => Ok(schema::apply(&client).await?),
    }
}

fn options(run: Run) -> Options {
    let election = ElectionOptions {
        namespace: run.lease_namespace,
        name: run.lease_name,
        identity: run
            .identity
            .unwrap_or_else(|| format!("orion-operator-{}", uuid::Uuid::new_v4())),
    };
    let mut namespaces = run.namespaces;
    namespaces.retain(|namespace| !namespace.is_empty());
    namespaces.sort();
    namespaces.dedup();
    Options {
        image: run.image,
        listen: run.listen,
        scope: match namespaces.is_empty() {
            true => Scope::Cluster,
            false => Scope::Namespaces(namespaces),
        },
        election: (!run.no_leader_election).then_some(election),
        writes_per_second: run.writes_per_second,
    }
}

fn stop_on_signal() -> Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let asked = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("asked to stop");
        asked.cancel();
    });
    Ok(stop)
}
