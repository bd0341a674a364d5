//! The operator's program: `orion-operator run`, with the cluster from its ServiceAccount or from KUBECONFIG.

use anyhow::{Context, Result};
use axum::Router;
use axum::routing::get;
use clap::{Parser, Subcommand};
use orion_operator::controller::{Settings, endpoint_by_address, run};
use orion_operator::effects::Writes;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Keeps a cluster as ReplicationGroups and Databases say.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run until SIGTERM. Only one at a time may run in a cluster.
    Run {
        /// Image of groups that name none.
        #[arg(long, env = "ORION_IMAGE")]
        image: String,
        /// Where /livez and /readyz are.
        #[arg(long, env = "ORION_OPERATOR_LISTEN", default_value = "0.0.0.0:8080")]
        listen: SocketAddr,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_env_filter(filter).init();
    match Arguments::parse().command {
        Command::Run { image, listen } => operate(image, listen).await,
    }
}

async fn operate(image: String, listen: SocketAddr) -> Result<()> {
    let client = kube::Client::try_default().await.context("no cluster is known")?;
    client
        .apiserver_version()
        .await
        .context("the API server does not answer")?;
    let stop = CancellationToken::new();
    let probes = Router::new()
        .route("/livez", get(|| async {}))
        .route("/readyz", get(|| async {}));
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let served = axum::serve(listener, probes).with_graceful_shutdown(stop.clone().cancelled_owned());
    let serving = tokio::spawn(served.into_future());
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let asked = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("asked to stop");
        asked.cancel();
    });
    let settings = Settings {
        image,
        endpoint: Arc::new(endpoint_by_address),
        writes: Arc::new(Writes::limited(0)),
    };
    run(client, settings, stop).await;
    serving.await??;
    Ok(())
}
