//! What kubelets would do: each pod runs at once, and its node with it; one that is gone is stopped.

use crate::nodes::{Cluster, serve};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use orion_api::NodeId;
use orion_operator::names::{self, MemberName};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;

/// URLs of the nodes by their pods' uid.
pub type Urls = Arc<Mutex<BTreeMap<String, String>>>;

struct Running {
    node: NodeId,
    server: JoinHandle<()>,
}

/// Runs for ever: looks at the pods of a namespace again and again.
pub async fn run(pods: Api<Pod>, namespace: String, cluster: Cluster, urls: Urls) {
    let mut running: BTreeMap<String, Running> = BTreeMap::new();
    loop {
        // Answers of a server that ends with the test are of no use.
        let Ok(found) = pods.list(&ListParams::default()).await else {
            return;
        };
        let there: BTreeMap<String, &Pod> = found.iter().filter_map(|pod| Some((pod.uid()?, pod))).collect();
        running.retain(|uid, node| {
            let stays = there.contains_key(uid);
            if !stays {
                node.server.abort();
                cluster.lock().expect("no panic").stop(node.node);
                urls.lock().expect("no panic").remove(uid);
            }
            stays
        });
        for (uid, pod) in there {
            if running.contains_key(&uid) || image(pod).contains("broken") {
                continue;
            }
            let group = pod.labels().get(names::GROUP).cloned().unwrap_or_default();
            let name = pod.name_any();
            let member = MemberName::of_statefulset(&group, name.strip_suffix("-0").unwrap_or(&name))
                .expect("a member");
            let votes = pod
                .annotations()
                .get(names::JOINS)
                .is_some_and(|joins| joins == "voter");
            let node = cluster
                .lock()
                .expect("no panic")
                .start(&member.address(&group, &namespace), votes);
            let (url, server) = serve(node, Arc::clone(&cluster)).await;
            urls.lock().expect("no panic").insert(uid.clone(), url);
            running.insert(uid, Running { node, server });
            let status = json!({"status": {
                "phase": "Running",
                "conditions": [{ "type": "Ready", "status": "True" }],
                "containerStatuses": [{
                    "name": "orion", "ready": true, "image": image(pod), "imageID": "", "restartCount": 0,
                    "state": { "running": {} }
                }]
            }});
            // It may be gone again.
            let _ = pods
                .patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
                .await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn image(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    spec.and_then(|spec| spec.containers.first()?.image.clone())
        .unwrap_or_default()
}
