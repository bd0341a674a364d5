//! Which server a command speaks to.

use orion_api::client::{Client, Error};

const DEFAULT_URL: &str = "http://127.0.0.1:8091";

/// Where and as whom.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Remote {
    /// Token to show the server [env: ORION_AUTH_TOKEN, LIBSQL_AUTH_TOKEN].
    #[arg(long, global = true)]
    pub(super) token: Option<String>,
}

impl Remote {
    /// A client for `url`, else for what the environment says, else for a server on this machine.
    pub(super) fn client(&self, url: Option<&str>) -> Result<Client, Error> {
        let url = url
            .map(str::to_owned)
            .or_else(|| env(&["ORION_URL", "LIBSQL_URL"]));
        let token = self
            .token
            .clone()
            .or_else(|| env(&["ORION_AUTH_TOKEN", "LIBSQL_AUTH_TOKEN"]));
        Client::new(url.as_deref().unwrap_or(DEFAULT_URL), token.as_deref())
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
