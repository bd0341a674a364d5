//! The server: its processes, its configuration, and clients of it.

use crate::guarded::Guarded;
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Known to this server only, which listens on this machine only.
const TOKEN: &str = "orion-tests";

/// Generous, because other work may keep the machine busy; it is over as soon as the server answers.
const START_TIME_MAX: Duration = Duration::from_secs(120);

/// Whether the controllers run: those of StatefulSets, of garbage, of namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controllers {
    /// Objects stay as they are written.
    Off,
    /// Pods are made for StatefulSets, and what has no owner any more is deleted.
    On,
}

/// A running server.
pub struct ApiServer {
    url: String,
    kubeconfig: PathBuf,
    namespaces: AtomicU32,
    /// In this order: clients of a process end before it.
    _processes: Vec<Guarded>,
}

impl ApiServer {
    /// Starts one and waits until it is ready.
    pub fn start(controllers: Controllers) -> Result<ApiServer> {
        let program = crate::program()?;
        let directory = tempfile::Builder::new()
            .prefix("orion-apiserver-")
            .tempdir()?
            .keep();
        let at = directory.as_path();
        let [etcd_port, peer_port, port, controllers_port] = free_ports()?;
        let kubeconfig = at.join("kubeconfig");
        let url = format!("https://127.0.0.1:{port}");
        std::fs::write(&kubeconfig, kubeconfig_text(&url))?;
        std::fs::write(
            at.join("tokens.csv"),
            format!("{TOKEN},admin,admin,system:masters\n"),
        )?;
        let key = rcgen::KeyPair::generate()?;
        std::fs::write(at.join("sa.key"), key.serialize_pem())?;
        std::fs::write(at.join("sa.pub"), key.public_key_pem())?;
        let start = |name: &str, arguments: Vec<String>| {
            let arguments: Vec<String> = [name.to_owned()].into_iter().chain(arguments).collect();
            // etcd ends last.
            let remove = (name == "etcd").then_some(at);
            Guarded::start(&program, &arguments, &at.join(format!("{name}.log")), remove)
        };
        let etcd = start("etcd", etcd_arguments(at, etcd_port, peer_port))?;
        let server = start("kube-apiserver", server_arguments(at, etcd_port, port))?;
        wait_for_port(port).with_context(|| tail(&at.join("kube-apiserver.log")))?;
        let mut processes = vec![server, etcd];
        if controllers == Controllers::On {
            // They wait ten seconds for a healthy server, and then end for good.
            wait_until_ready(&url)?;
            let arguments = controllers_arguments(at, &kubeconfig, controllers_port);
            processes.insert(0, start("kube-controller-manager", arguments)?);
        }
        Ok(ApiServer {
            url,
            kubeconfig,
            namespaces: AtomicU32::new(0),
            _processes: processes,
        })
    }

    /// For kubectl.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A client that may do everything; of the runtime that it is made in. Waits until the server is ready.
    pub async fn client(&self) -> Result<Client> {
        ready_client(&self.url).await
    }

    /// Makes a namespace that no other test has and returns its name.
    pub async fn namespace(&self, client: &Client) -> Result<String> {
        let number = self.namespaces.fetch_add(1, Ordering::Relaxed);
        let name = format!("test-{number}");
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        Api::<Namespace>::all(client.clone())
            .create(&PostParams::default(), &namespace)
            .await?;
        Ok(name)
    }
}

async fn ready_client(url: &str) -> Result<Client> {
    let mut config = kube::Config::new(url.parse()?);
    config.accept_invalid_certs = true;
    config.auth_info.token = Some(TOKEN.to_owned().into());
    let client = Client::try_from(config)?;
    let end = Instant::now() + START_TIME_MAX;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    // The namespace is made by the server itself, after all that admission needs is there.
    while let Err(error) = namespaces.get("default").await {
        anyhow::ensure!(Instant::now() < end, "the API server is not ready: {error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(client)
}

/// On a thread of its own: who starts a server may be within a runtime.
fn wait_until_ready(url: &str) -> Result<()> {
    let url = url.to_owned();
    let waiting = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(ready_client(&url)).map(drop)
    });
    waiting
        .join()
        .unwrap_or_else(|_| anyhow::bail!("the wait for the API server ended with a panic"))
}

fn kubeconfig_text(url: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "tests",
        "clusters": [{"name": "tests", "cluster": {"server": url, "insecure-skip-tls-verify": true}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "admin"}}],
        "users": [{"name": "admin", "user": {"token": TOKEN}}]
    })
    .to_string()
}

fn etcd_arguments(at: &Path, port: u16, peer_port: u16) -> Vec<String> {
    let (client, peer) = (
        format!("http://127.0.0.1:{port}"),
        format!("http://127.0.0.1:{peer_port}"),
    );
    vec![
        format!("--data-dir={}", at.join("etcd").display()),
        "--unsafe-no-fsync".into(),
        "--logger=zap".into(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
    ]
}

fn server_arguments(at: &Path, etcd_port: u16, port: u16) -> Vec<String> {
    vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
        "--bind-address=127.0.0.1".into(),
        format!("--secure-port={port}"),
        format!("--cert-dir={}", at.join("certificates").display()),
        format!("--token-auth-file={}", at.join("tokens.csv").display()),
        "--authorization-mode=RBAC".into(),
        format!("--service-account-key-file={}", at.join("sa.pub").display()),
        format!(
            "--service-account-signing-key-file={}",
            at.join("sa.key").display()
        ),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
        "--service-cluster-ip-range=10.96.0.0/16".into(),
        "--disable-admission-plugins=ServiceAccount".into(),
        "--endpoint-reconciler-type=none".into(),
    ]
}

fn controllers_arguments(at: &Path, kubeconfig: &Path, port: u16) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        "--bind-address=127.0.0.1".into(),
        format!("--secure-port={port}"),
        format!("--cert-dir={}", at.join("controllers").display()),
        "--leader-elect=false".into(),
        "--kube-api-qps=300".into(),
        "--kube-api-burst=600".into(),
        "--controllers=statefulset-controller,garbage-collector-controller,namespace-controller,persistentvolumeclaim-protection-controller,endpointslice-controller,disruption-controller".into(),
    ]
}

/// Held all at once, so that they differ; free again when this returns.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let held = (0..N)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<Vec<_>, _>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

fn wait_for_port(port: u16) -> Result<()> {
    let end = Instant::now() + START_TIME_MAX;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        anyhow::ensure!(Instant::now() < end, "nobody listens on port {port}");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(20).collect();
    let newest: Vec<&str> = lines.into_iter().rev().collect();
    newest.join("\n")
}
