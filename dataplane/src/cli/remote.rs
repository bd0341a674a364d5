//! Which server a command speaks to.

use std::path::PathBuf;

use anyhow::Context;
use orion_api::client::{Client, Trust};

const DEFAULT_URL: &str = "http://127.0.0.1:8091";

/// Where and as whom.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Remote {
    /// Token to show the server [env: ORION_AUTH_TOKEN, LIBSQL_AUTH_TOKEN].
    #[arg(long, global = true)]
    pub(super) token: Option<String>,
    /// PEM file of certificates to believe for https://, besides the system's [env: ORION_CA_CERT].
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) ca_cert: Option<PathBuf>,
}

impl Remote {
    /// A client for `url`, else for what the environment says, else for a server on this machine.
    pub(super) fn client(&self, url: Option<&str>) -> anyhow::Result<Client> {
        let url = url
            .map(str::to_owned)
            .or_else(|| env(&["ORION_URL", "LIBSQL_URL"]));
        let token = self
            .token
            .clone()
            .or_else(|| env(&["ORION_AUTH_TOKEN", "LIBSQL_AUTH_TOKEN"]));
        let url = url.as_deref().unwrap_or(DEFAULT_URL);
        Ok(Client::trusting(url, token.as_deref(), &self.trust()?)?)
    }

    fn trust(&self) -> anyhow::Result<Trust> {
        let file = self
            .ca_cert
            .clone()
            .or_else(|| env(&["ORION_CA_CERT"]).map(PathBuf::from));
        let Some(file) = file else {
            return Ok(Trust::default());
        };
        let pem = std::fs::read(&file).with_context(|| format!("--ca-cert {}", file.display()))?;
        Trust::with_pem(&pem).with_context(|| format!("--ca-cert {}", file.display()))
    }
}

fn env(names: &[&str]) -> Option<String> {
    names
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

/// A runtime for one command.
pub(super) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
