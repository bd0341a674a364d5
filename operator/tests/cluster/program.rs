//! The operator's program as a process, and a way to the API server that can be cut.

use crate::stage::{install, until};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use orion_apiserver::{ApiServer, Controllers};
use orion_crds::ReplicationGroup;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// A server with the kinds and without controllers, and a namespace.
pub struct Ground {
    pub client: Client,
    pub namespace: String,
    pub server: ApiServer,
}

impl Ground {
    pub async fn new() -> Ground {
        Ground::with(Controllers::Off).await
    }

    pub async fn with(controllers: Controllers) -> Ground {
        let server = ApiServer::start(controllers).expect("the API server starts");
        let client = server.client().await.expect("it answers");
        install(&client).await;
        let namespace = server.namespace(&client).await.expect("a namespace can be made");
        Ground {
            client,
            namespace,
            server,
        }
    }

    pub fn program(&self, name: &str, kubeconfig: &Path) -> Program {
        self.program_with(name, kubeconfig, &[])
    }

    pub fn program_with(&self, name: &str, kubeconfig: &Path, options: &[&str]) -> Program {
        let mut child = Command::new(env!("CARGO_BIN_EXE_orion-operator"))
            .args(["run", "--image", "orion:1", "--listen", "127.0.0.1:0"])
            .args(options)
            .envs([("POD_NAME", name), ("POD_NAMESPACE", &self.namespace)])
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let address = loop {
            let line = lines.next().expect("it says where it is").expect("text");
            let line: Value = serde_json::from_str(&line).expect("a line of the log is JSON");
            if let Some(address) = line["fields"]["address"].as_str() {
                break address.to_owned();
            }
        };
        let url = format!("http://{address}");
        // A full pipe would stop it.
        let name = name.to_owned();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                eprintln!("{name}: {line}");
            }
        });
        Program { child, url }
    }

    pub async fn holder(&self) -> Option<String> {
        self.lease().await?.spec?.holder_identity
    }

    pub async fn lease(&self) -> Option<Lease> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        leases
            .get_opt("orion-operator")
            .await
            .expect("the server answers")
    }

    pub async fn is_held_by(&self, name: &str) {
        until(name, || async {
            let holder = self.holder().await;
            if holder.as_deref() == Some(name) {
                Ok(())
            } else {
                Err(holder)
            }
        })
        .await;
    }

    /// Makes a group, and waits until somebody said something of it.
    pub async fn is_served(&self, name: &str) {
        let groups: Api<ReplicationGroup> = Api::namespaced(self.client.clone(), &self.namespace);
        let group = json!({
            "apiVersion": "orion-db.dev/v1alpha1", "kind": "ReplicationGroup", "metadata": {"name": name},
            "spec": {
                "memberSets": [{"name": "a", "replicas": 1, "storage": {"size": "1Gi"}}],
                "objectStore": {"url": "file:///objects"}
            }
        });
        let group = serde_json::from_value(group).expect("a group");
        groups
            .create(&PostParams::default(), &group)
            .await
            .expect("it is taken");
        until("the group has a status", || async {
            let status = groups.get(name).await.expect("it is there").status;
            if status.is_some() { Ok(()) } else { Err(status) }
        })
        .await;
    }
}

/// A replica of the operator.
pub struct Program {
    pub child: Child,
    url: String,
}

impl Program {
    /// The body of a page; None while its status is an error.
    pub async fn page(&self, path: &str) -> Option<String> {
        let client = orion_api::client::Client::new(&self.url, None).expect("a URL");
        client.text(path).await.ok()
    }

    pub async fn is_ready(&self) {
        until("it is ready", || async {
            self.page("/readyz").await.map(drop).ok_or("not yet")
        })
        .await;
    }

    /// The sum of a metric over all labels that contain `label`.
    pub async fn metric(&self, name: &str, label: &str) -> f64 {
        let page = self.page("/metrics").await.expect("there are metrics");
        let values = page
            .lines()
            .filter(|line| !line.starts_with('#') && line.contains(label))
            .filter_map(|line| line.strip_prefix(name)?.rsplit_once(' ')?.1.parse::<f64>().ok());
        values.sum()
    }

    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(sent.expect("kill runs").success());
    }

    pub async fn end(&mut self) -> ExitStatus {
        let child = Mutex::new(&mut self.child);
        until("it ends", || async {
            let ended = child
                .lock()
                .expect("no panic")
                .try_wait()
                .expect("it can be waited for");
            ended.ok_or("it runs")
        })
        .await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes connections on, until it is cut: then they stay open and silent, and so do new ones.
pub struct Way {
    pub kubeconfig: PathBuf,
    pub cut: CancellationToken,
    _directory: tempfile::TempDir,
}

impl Way {
    pub async fn to(server: &ApiServer) -> Way {
        let text = std::fs::read_to_string(server.kubeconfig()).expect("a kubeconfig");
        let mut config: Value = serde_json::from_str(&text).expect("JSON");
        let url = config["clusters"][0]["cluster"]["server"]
            .as_str()
            .expect("a URL")
            .to_owned();
        let target = url.strip_prefix("https://").expect("it has TLS").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let own = listener.local_addr().expect("it has an address");
        config["clusters"][0]["cluster"]["server"] = json!(format!("https://{own}"));
        let directory = tempfile::tempdir().expect("a directory");
        let kubeconfig = directory.path().join("kubeconfig");
        std::fs::write(&kubeconfig, config.to_string()).expect("it is written");
        let cut = CancellationToken::new();
        let is_cut = cut.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(pass(near, target.clone(), is_cut.clone()));
            }
        });
        Way {
            kubeconfig,
            cut,
            _directory: directory,
        }
    }
}

async fn pass(mut near: TcpStream, target: String, is_cut: CancellationToken) {
    let Ok(mut far) = TcpStream::connect(target).await else {
        return;
    };
    let both = async {
        // Whoever ends it, it has ended.
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    };
    tokio::select! {
        () = is_cut.cancelled() => {}
        () = both => return,
    }
    // Held open: silence is worse than a refusal.
    std::future::pending::<()>().await;
}
