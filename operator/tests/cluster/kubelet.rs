//! What kubelets would do: each pod runs at once, and its node with it; one that is gone is stopped.

use crate::nodes::{Cluster, Mishap, serve};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use orion_api::NodeId;
use orion_operator::names::{self, MemberName};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;

/// URLs of the nodes by their pods' uid.
pub type Urls = Arc<Mutex<BTreeMap<String, String>>>;

struct Running {
    node: NodeId,
    server: JoinHandle<()>,
}

/// Addresses that pods get: each its own, of this machine, so that the operator's program finds them at their usual port.
#[derive(Default)]
pub struct Network;

/// Addresses that were given so far, to pods of all tests of this process: they run at once.
static GIVEN: AtomicU32 = AtomicU32::new(0);

impl Network {
    fn next(&self) -> IpAddr {
        let [_, _, high, low] = GIVEN.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        // Another run at the same time has others.
        let own = u8::try_from(64 + std::process::id() % 128).expect("less than 192");
        IpAddr::from([127, own, high, low.wrapping_add(1)])
    }
}

/// Where the pods of a namespace run.
pub struct Machine {
    pub pods: Api<Pod>,
    pub namespace: String,
    pub cluster: Cluster,
    pub urls: Urls,
    /// None: nodes listen anywhere, and `urls` says where.
    pub network: Option<Arc<Network>>,
    /// Between two looks.
    pub pause: Duration,
}

/// Runs for ever: looks at the pods of a namespace again and again.
pub async fn run(machine: Machine) {
    let Machine {
        pods,
        namespace,
        cluster,
        urls,
        network,
        pause,
    } = machine;
    let mut running: BTreeMap<String, Running> = BTreeMap::new();
    loop {
        // Answers of a server that ends with the test are of no use.
        let Ok(found) = pods.list(&ListParams::default()).await else {
            return;
        };
        let there: BTreeMap<String, &Pod> = found.iter().filter_map(|pod| Some((pod.uid()?, pod))).collect();
        running.retain(|uid, node| {
            let is_dead = |pod: &&Pod| cluster.lock().expect("no panic").dead.contains(&machine_of(pod));
            let stays = there.get(uid).is_some_and(|pod| !is_dead(pod));
            if !stays {
                node.server.abort();
                cluster.lock().expect("no panic").stop(node.node);
                urls.lock().expect("no panic").remove(uid);
            }
            stays
        });
        for (uid, pod) in there {
            match has_machine(pod, found.iter(), &pods, &cluster).await {
                Bound::Runs => {}
                Bound::Waits => continue,
                // The next choice needs to know of this one.
                Bound::Now => break,
            }
            if running.contains_key(&uid) || image(pod).contains("broken") {
                continue;
            }
            let group = pod.labels().get(names::GROUP).cloned().unwrap_or_default();
            let name = pod.name_any();
            let mishap = cluster.lock().expect("no panic").mishap.clone();
            if let Some(status) = mishap.as_ref().and_then(hindered) {
                // It may be gone again.
                let _ = pods
                    .patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
                    .await;
                continue;
            }
            let stays_out = matches!(mishap, Some(Mishap::Stays));
            let member = MemberName::of_statefulset(&group, name.strip_suffix("-0").unwrap_or(&name))
                .expect("a member");
            let votes = pod
                .annotations()
                .get(names::JOINS)
                .is_some_and(|joins| joins == "voter");
            let node = {
                let mut shared = cluster.lock().expect("no panic");
                let address = member.address(&group, &namespace);
                match stays_out {
                    true => shared.start_outside(&address),
                    false => shared.start(&address, votes),
                }
            };
            let address = network.as_ref().map(|network| network.next());
            let listen = address.map_or((IpAddr::from([127, 0, 0, 1]), 0), |address| {
                (address, names::HTTP_PORT)
            });
            let (url, server) = serve(node, Arc::clone(&cluster), listen).await;
            urls.lock().expect("no panic").insert(uid.clone(), url);
            running.insert(uid, Running { node, server });
            let status = json!({"status": {
                "phase": "Running",
                "podIP": address, "podIPs": address.iter().map(|ip| json!({ "ip": ip })).collect::<Vec<_>>(),
                "conditions": [{ "type": "Ready", "status": if stays_out { "False" } else { "True" } }],
                "containerStatuses": [{
                    "name": "orion", "ready": !stays_out, "image": image(pod), "imageID": "", "restartCount": 0,
                    "state": { "running": {} }
                }]
            }});
            // It may be gone again.
            let _ = pods
                .patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
                .await;
        }
        tokio::time::sleep(pause).await;
    }
}

fn machine_of(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    spec.and_then(|spec| spec.node_name.clone()).unwrap_or_default()
}

/// What became of a pod that needs a machine.
enum Bound {
    /// It runs there.
    Runs,
    /// It does not run.
    Waits,
    /// It has got one.
    Now,
}

/// What the scheduler and the kubelets of several machines would do.
async fn has_machine<'a>(
    pod: &Pod,
    all: impl Iterator<Item = &'a Pod>,
    pods: &Api<Pod>,
    cluster: &Cluster,
) -> Bound {
    let (machines, dead) = {
        let cluster = cluster.lock().expect("no panic");
        (cluster.machines.clone(), cluster.dead.clone())
    };
    if machines.is_empty() {
        return Bound::Runs;
    }
    let (name, own) = (pod.name_any(), machine_of(pod));
    if dead.contains(&own) {
        let status = json!({"status": { "conditions": [{ "type": "Ready", "status": "False" }] }});
        let parameters = PatchParams::default();
        // All of this may be refused because the pod is gone.
        let _ = pods.patch_status(&name, &parameters, &Patch::Merge(status)).await;
        return Bound::Waits;
    }
    if pod.metadata.deletion_timestamp.is_some() {
        let _ = pods.delete(&name, &DeleteParams::default().grace_period(0)).await;
        return Bound::Waits;
    }
    if !own.is_empty() {
        return Bound::Runs;
    }
    let taken: Vec<String> = all.map(machine_of).collect();
    let load = |machine: &&String| taken.iter().filter(|taken| taken == machine).count();
    let free = machines
        .iter()
        .filter(|machine| !dead.contains(*machine))
        .min_by_key(load);
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name },
        "target": { "apiVersion": "v1", "kind": "Node", "name": free }
    });
    let bound: kube::Result<Value> = pods
        .create_subresource("binding", &name, &PostParams::default(), &binding)
        .await;
    drop(bound);
    Bound::Now
}

/// The status of a pod that does not run; None where it does.
fn hindered(mishap: &Mishap) -> Option<Value> {
    let waits = |reason: &str, message: &str, last: Value| {
        json!({"status": {
            "phase": "Pending",
            "conditions": [{ "type": "Ready", "status": "False" }],
            "containerStatuses": [{
                "name": "orion", "ready": false, "image": "x", "imageID": "", "restartCount": 1,
                "state": { "waiting": { "reason": reason, "message": message } }, "lastState": last
            }]
        }})
    };
    Some(match mishap {
        Mishap::Stays => return None,
        Mishap::Unschedulable => json!({"status": {
            "phase": "Pending",
            "conditions": [{
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                "message": "0/3 nodes are available: 3 Insufficient cpu"
            }]
        }}),
        Mishap::Image => waits("ErrImagePull", "not found", json!({})),
        Mishap::Ends(code, words) => waits(
            "CrashLoopBackOff",
            "back-off 10s restarting failed container",
            json!({ "terminated": { "exitCode": code, "reason": "Error", "message": words } }),
        ),
    })
}

fn image(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    spec.and_then(|spec| spec.containers.first()?.image.clone())
        .unwrap_or_default()
}
