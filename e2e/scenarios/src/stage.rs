//! The cluster as scenarios see it: its API, `kubectl` and `helm` as people use them, and the machines where they are ours.

use crate::machines::Machines;
use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use orion_crds::group::Phase;
use orion_crds::{Database, ReplicationGroup};
use std::future::Future;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Namespace of the operator.
pub const OPERATOR: &str = "orion-system";
/// Namespace of the group `main`.
pub const DATA: &str = "data";
/// The group of most scenarios.
pub const GROUP: &str = "main";

/// A cluster, empty at first; scenarios run in it one after the other.
pub struct Stage {
    /// May do everything.
    pub client: Client,
    /// Nodes that can be cut off and processes that can be killed; none where the cluster is somebody else's.
    pub machines: Option<Machines>,
    root: PathBuf,
}

impl Stage {
    /// The cluster of KUBECONFIG.
    pub async fn new() -> Result<Stage> {
        let client = Client::try_default()
            .await
            .context("KUBECONFIG names no cluster")?;
        client
            .apiserver_version()
            .await
            .context("the cluster does not answer")?;
        Ok(Stage {
            client,
            machines: Machines::from_environment(),
            root: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")),
        })
    }

    /// Runs a program in the checkout and returns what it printed.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output = tokio::task::block_in_place(|| {
            Command::new(program)
                .args(arguments)
                .current_dir(&self.root)
                .output()
        });
        let output = output.with_context(|| format!("cannot run {program}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{program} {}: {}",
            arguments.join(" "),
            said.trim()
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// `kubectl`, with arguments between spaces.
    pub fn kubectl(&self, line: &str) -> Result<String> {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        self.run("kubectl", &arguments)
    }

    /// Applies one of `manifests`.
    pub fn apply(&self, name: &str) -> Result<()> {
        self.kubectl(&format!("apply -f e2e/scenarios/manifests/{name}.yaml"))
            .map(drop)
    }

    /// The group.
    pub async fn group(&self) -> Result<ReplicationGroup> {
        let groups: Api<ReplicationGroup> = Api::namespaced(self.client.clone(), DATA);
        Ok(groups.get(GROUP).await?)
    }

    /// Waits until the group says that it is as wished, of the spec as it is now. Returns how long that took.
    pub async fn group_is_ready(&self, members: usize, within: Duration) -> Result<Duration> {
        let wanted = format!("{members}/{members}");
        until("the group is ready", within, || async {
            let group = self.group().await?;
            let status = group.status.clone().unwrap_or_default();
            let is_current = status.observed_generation == group.metadata.generation;
            let pods = self.members().await?.len();
            match is_current
                && status.phase == Some(Phase::Ready)
                && status.ready.as_deref() == Some(&*wanted)
                && pods == members
            {
                true => Ok(()),
                false => bail!(
                    "{:?} {:?} {:?}, {pods} pods",
                    status.phase,
                    status.ready,
                    status.message
                ),
            }
        })
        .await
    }

    /// Waits until a database says that it is ready. Returns how long that took.
    pub async fn database_is_ready(&self, namespace: &str, name: &str, within: Duration) -> Result<Duration> {
        let databases: Api<Database> = Api::namespaced(self.client.clone(), namespace);
        until("the database is ready", within, || async {
            let status = databases.get(name).await?.status.unwrap_or_default();
            match status.phase == Some(orion_crds::database::Phase::Ready) {
                true => Ok(()),
                false => bail!("{:?} {:?}", status.phase, status.message),
            }
        })
        .await
    }

    /// The group's pods.
    pub async fn members(&self) -> Result<Vec<Pod>> {
        self.pods(DATA, "orion-db.dev/group=main").await
    }

    /// Pods by label.
    pub async fn pods(&self, namespace: &str, labels: &str) -> Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        Ok(pods.list(&ListParams::default().labels(labels)).await?.items)
    }

    /// Name and identity of the group's pods: the same as long as none was made anew.
    pub async fn identities(&self) -> Result<Vec<(String, String)>> {
        let pods = self.members().await?;
        let mut identities: Vec<_> = pods
            .iter()
            .map(|pod| (pod.name_any(), pod.uid().unwrap_or_default()))
            .collect();
        identities.sort();
        Ok(identities)
    }

    /// A client of a database of the group, through the group's Service, with the token of its Secret.
    pub async fn database(&self, name: &str) -> Result<orion_api::client::Client> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), DATA);
        let service = services.get(GROUP).await?;
        let address = service
            .spec
            .and_then(|spec| spec.cluster_ip)
            .context("the Service has no address")?;
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), DATA);
        let data = secrets.get(&format!("{name}-db")).await?.data.unwrap_or_default();
        let token = data.get("token").context("the Secret has no token")?;
        let token = String::from_utf8(token.0.clone())?;
        let url = format!("http://{address}:8091/{name}/");
        Ok(orion_api::client::Client::new(&url, Some(&token))?)
    }
}

/// Looks again and again. The last reason why not is in the error.
pub async fn until<T, F>(what: &str, within: Duration, mut look: impl FnMut() -> F) -> Result<Duration>
where
    F: Future<Output = Result<T>>,
{
    let began = Instant::now();
    loop {
        match look().await {
            Ok(_) => return Ok(began.elapsed()),
            Err(error) if began.elapsed() > within => {
                return Err(error.context(format!("not within {within:?}: {what}")));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
