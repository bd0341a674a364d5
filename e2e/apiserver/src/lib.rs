//! A real API server of Kubernetes for tests: etcd and kube-apiserver, and the controllers where they are wanted, as
//! processes of one program that `e2e/build` makes. No kubelet and no scheduler: pods stay as a test sets them.
//!
//! One server is started for each test binary ([`shared`]) and ends with it, however it ends. Tests keep apart by
//! namespaces of their own ([`ApiServer::namespace`]).
//!
//! LIMIT: etcd does not sync its disk, and the server lets the controllers ask more often than a real one would.

mod guarded;
mod server;

pub use server::{ApiServer, Controllers};

use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The test binary's own server, started at the first call.
///
/// # Panics
/// If it cannot be built or does not start; the message says what is missing.
pub fn shared(controllers: Controllers) -> &'static ApiServer {
    static SERVER: OnceLock<ApiServer> = OnceLock::new();
    SERVER.get_or_init(|| match ApiServer::start(controllers) {
        Ok(server) => server,
        Err(error) => panic!("the API server for tests does not start: {error:#}"),
    })
}

/// The program with all processes of a cluster; built at the first time, which takes minutes.
pub fn program() -> Result<PathBuf> {
    let build = concat!(env!("CARGO_MANIFEST_DIR"), "/../build");
    let output = Command::new(build)
        .arg("cluster")
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot run e2e/build")?;
    anyhow::ensure!(
        output.status.success(),
        "e2e/build failed: it needs Go (see e2e/cluster/go.mod for the version)"
    );
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}
