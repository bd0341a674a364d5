//! A namespace with an operator and nodes of its own, and what tests do with them.

use crate::kubelet::{self, Machine, Urls};
use crate::nodes::Cluster;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use orion_apiserver::{ApiServer, Controllers};
use orion_crds::condition::{Status, find};
use orion_crds::group::condition;
use orion_crds::{Database, ReplicationGroup};
use orion_operator::cache::Scope;
use orion_operator::controller::{Controller, Settings};
use orion_operator::effects::Writes;
use orion_operator::metrics::{Kind, Looks, Metrics};
use serde_json::{Value, json};
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Far longer than anything takes here: a test that comes so far has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running operator.
pub struct Operator {
    pub stop: CancellationToken,
    pub task: tokio::task::JoinHandle<()>,
    pub writes: Arc<Writes>,
    metrics: Arc<Metrics>,
}

impl Operator {
    /// How many looks at groups have ended well.
    pub fn looks(&self) -> u64 {
        let of_groups = Looks {
            kind: Kind::Group,
            result: "ok",
        };
        self.metrics.reconciles.get_or_create(&of_groups).get()
    }
}

/// One test's world, with a server of its own: the operator looks at all namespaces.
pub struct Stage {
    pub client: Client,
    pub namespace: String,
    pub cluster: Cluster,
    urls: Urls,
    _server: ApiServer,
}

impl Stage {
    pub async fn new() -> Stage {
        // Shown where a test fails.
        let _ = tracing_subscriber::fmt()
            .with_test_writer()
            .with_max_level(tracing::Level::INFO)
            .try_init();
        let server = ApiServer::start(Controllers::On).expect("the API server starts");
        let client = server.client().await.expect("it answers");
        install(&client).await;
        let namespace = server.namespace(&client).await.expect("a namespace can be made");
        let (cluster, urls) = (Cluster::default(), Urls::default());
        let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        tokio::spawn(kubelet::run(Machine {
            pods,
            namespace: namespace.clone(),
            cluster: Arc::clone(&cluster),
            urls: Arc::clone(&urls),
            network: None,
            pause: Duration::from_millis(50),
        }));
        Stage {
            client,
            namespace,
            cluster,
            urls,
            _server: server,
        }
    }

    /// Starts an operator that writes at most so often.
    pub fn operator(&self, writes: Writes) -> Operator {
        let stop = CancellationToken::new();
        let urls = Arc::clone(&self.urls);
        let endpoint = move |pod: &Pod| urls.lock().expect("no panic").get(&pod.uid()?).cloned();
        let writes = Arc::new(writes);
        let metrics = Arc::<Metrics>::default();
        let settings = Settings {
            image: "orion:1".into(),
            scope: Scope::Cluster,
            endpoint: Arc::new(endpoint),
            writes: Arc::clone(&writes),
            metrics: Arc::clone(&metrics),
            events: self.client.clone(),
            identity: "tests".into(),
        };
        let controller = Controller::start(self.client.clone(), settings);
        let until = stop.clone();
        let task = tokio::spawn(async move { controller.work(&until).await });
        Operator {
            stop,
            task,
            writes,
            metrics,
        }
    }

    pub fn groups(&self) -> Api<ReplicationGroup> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn databases(&self) -> Api<Database> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub async fn make_group(&self, replicas: u32) {
        let group = json!({
            "apiVersion": "orion-db.dev/v1alpha1", "kind": "ReplicationGroup", "metadata": {"name": "main"},
            "spec": {
                "memberSets": [{"name": "a", "replicas": replicas, "storage": {"size": "1Gi"}}],
                "objectStore": {"url": "file:///objects"}
            }
        });
        let group = serde_json::from_value(group).expect("a group");
        self.groups()
            .create(&PostParams::default(), &group)
            .await
            .expect("it is taken");
    }

    pub async fn make_database(&self, name: &str, spec: Value) {
        let mut object = json!({
            "apiVersion": "orion-db.dev/v1alpha1", "kind": "Database", "metadata": {"name": name}, "spec": spec
        });
        object["spec"]["groupRef"] = json!({"name": "main"});
        let database = serde_json::from_value(object).expect("a database");
        self.databases()
            .create(&PostParams::default(), &database)
            .await
            .expect("it is taken");
    }

    pub async fn change_group(&self, change: Value) {
        let patched = self
            .groups()
            .patch("main", &PatchParams::default(), &Patch::Merge(change))
            .await;
        patched.expect("it is taken");
    }

    pub async fn scale(&self, replicas: u32) {
        let sets = json!([{"name": "a", "replicas": replicas, "storage": {"size": "1Gi"}}]);
        self.change_group(json!({ "spec": { "memberSets": sets } })).await;
    }

    /// Waits until the group is ready with so many voters, all of its last generation.
    pub async fn group_is_ready(&self, voters: usize) -> ReplicationGroup {
        let cluster = Arc::clone(&self.cluster);
        until("the group is ready", || async {
            let group = self.groups().get("main").await.expect("it is there");
            let status = group.status.clone().unwrap_or_default();
            let is_new = status.observed_generation == group.metadata.generation;
            let settled = ["Ready", "Progressing"]
                .map(|type_| find(&status.conditions, type_).map(|found| found.status));
            let votes = cluster.lock().expect("no panic").voters().len() == voters;
            let is_ready = is_new && votes && settled == [Some(Status::True), Some(Status::False)];
            if is_ready { Ok(group) } else { Err(status) }
        })
        .await
    }

    /// Waits for a reason of the group's condition Ready, which is not so.
    pub async fn group_says(&self, reason: &str) {
        self.group_has(condition::READY, Status::False, reason).await;
    }

    /// Waits until a condition of the group is so, for this reason. Returns the message.
    pub async fn group_has(&self, type_: &str, status: Status, reason: &str) -> String {
        until(reason, || async {
            let group = self.groups().get("main").await.expect("it is there");
            let found = find(&group.status.clone().unwrap_or_default().conditions, type_).cloned();
            let found = found.filter(|found| found.status == status && found.reason == reason);
            found.map(|found| found.message).ok_or(group.status)
        })
        .await
    }

    pub async fn get(&self, kind: &str, name: &str) -> Option<DynamicObject> {
        let gvk = match kind {
            "StatefulSet" => kube::core::GroupVersionKind::gvk("apps", "v1", kind),
            _ => kube::core::GroupVersionKind::gvk("", "v1", kind),
        };
        let resource = kube::core::ApiResource::from_gvk(&gvk);
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        api.get_opt(name).await.expect("the server answers")
    }
}

/// Asks again and again; what it saw last is in the failure.
pub async fn until<T, E: Debug, F: Future<Output = Result<T, E>>>(what: &str, ask: impl FnMut() -> F) -> T {
    until_within(PATIENCE, what, ask).await
}

/// The same, for what may take longer.
pub async fn until_within<T, E: Debug, F: Future<Output = Result<T, E>>>(
    patience: Duration,
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let end = Instant::now() + patience;
    loop {
        match ask().await {
            Ok(value) => return value,
            Err(seen) => assert!(Instant::now() < end, "not in time: {what}; seen: {seen:#?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub async fn install(client: &Client) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in orion_crds::schema::crds().expect("the definitions are JSON") {
        let name = definition["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let applied = definitions
            .patch(&name, &PatchParams::apply("tests"), &Patch::Apply(&definition))
            .await;
        applied.expect("it is taken");
        until(&name, || async {
            let found = definitions.get(&name).await.expect("it was just written");
            let conditions = found.status.and_then(|status| status.conditions).unwrap_or_default();
            let is_there = |condition: &&k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionCondition| {
                condition.type_ == "Established" && condition.status == "True"
            };
            if conditions.iter().find(is_there).is_some() { Ok(()) } else { Err(conditions) }
        })
        .await;
    }
}
