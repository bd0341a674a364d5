//! The machines under a cluster that `e2e/up` made on this one: their network, and the processes of their pods.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the parts of the cluster are.
pub struct Machines {
    /// Cgroup of all its processes.
    cgroup: PathBuf,
    /// What the API server logged of requests.
    audit: PathBuf,
    /// Refusals that are no fault, the first so many: its role was not there.
    expected: Cell<usize>,
}

impl Machines {
    /// As `e2e/run` says; None for a cluster that it did not make.
    pub fn from_environment() -> Option<Machines> {
        Some(Machines {
            cgroup: std::env::var_os("ORION_E2E_CGROUP")?.into(),
            audit: std::env::var_os("ORION_E2E_AUDIT")?.into(),
            expected: Cell::new(0),
        })
    }

    /// Cuts a node off, or puts it back.
    pub fn link(&self, node: &str, state: &str) -> Result<()> {
        let status = Command::new("ip")
            .args(["link", "set", node, state])
            .status()
            .context("cannot run ip")?;
        ensure!(status.success(), "ip link set {node} {state}: {status}");
        Ok(())
    }

    /// Ends the processes of a pod's container at once, as a crash would.
    pub fn kill(&self, pod: &Pod) -> Result<()> {
        let uid = pod.uid().context("the pod has no uid")?;
        let container = pod
            .status
            .iter()
            .flat_map(|status| status.container_statuses.iter().flatten())
            .find_map(|container| container.container_id.clone())
            .context("the pod has no container")?;
        let id = container.rsplit('/').next().unwrap_or_default();
        let processes = processes(&self.cgroup, &uid, id)?;
        ensure!(
            !processes.is_empty(),
            "no process of {} was found",
            pod.name_any()
        );
        let status = Command::new("kill").arg("-KILL").args(&processes).status()?;
        ensure!(status.success(), "kill: {status}");
        Ok(())
    }

    /// What was refused until now was refused because the operator's role had been taken away.
    pub fn expect_refusals(&self) -> Result<()> {
        self.expected.set(self.expected.get() + self.refused()?.len());
        Ok(())
    }

    /// Requests of the operator that were refused for want of a right. Admission refuses too, in a namespace that goes.
    pub fn refused(&self) -> Result<Vec<String>> {
        let text = std::fs::read_to_string(&self.audit).context("cannot read the audit log")?;
        let refused = text.lines().filter_map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).ok()?;
            let user = event["user"]["username"].as_str()?;
            let is_refused = user.starts_with("system:serviceaccount:orion-system:")
                && event["annotations"]["authorization.k8s.io/decision"] == "forbid";
            is_refused.then(|| format!("{} {}", event["verb"], event["requestURI"]))
        });
        Ok(refused.skip(self.expected.get()).collect())
    }
}

/// Of the container `id` of the pod `uid`, wherever the kubelet put its group.
fn processes(below: &Path, uid: &str, id: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(below)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !path.is_dir() {
            continue;
        }
        if name == id && path.to_string_lossy().contains(uid) {
            let text = std::fs::read_to_string(path.join("cgroup.procs"))?;
            found.extend(text.lines().map(str::to_owned));
        } else {
            found.extend(processes(&path, uid, id)?);
        }
    }
    Ok(found)
}
