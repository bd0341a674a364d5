//! The object store of a group: the lasting home of all its data.

use crate::reference::LocalRef;
use crate::schema::{Rule, rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const RULES: [Rule; 2] = [
    rule(
        "self.url == oldSelf.url",
        "objectStore.url: cannot change; make a group at the new URL and move the databases",
    ),
    rule(
        "[has(self.credentialsSecret), has(self.workloadIdentity), self.url.startsWith('file:')].filter(x, x).size() == 1",
        "objectStore: set exactly one of credentialsSecret and workloadIdentity (neither for file://)",
    ),
];

/// Where the data lies, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = RULES))]
pub struct ObjectStore {
    /// Bucket and prefix: s3://, gs://, az://, or file:// for a folder that all nodes see.
    #[schemars(
        length(max = 1024),
        regex(pattern = r"^((s3|gs|az)://[^/]+(/.*)?|file:///.+)$")
    )]
    pub url: String,
    /// URL of a server that is not the cloud's own. With http:// nothing is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub endpoint: Option<String>,
    /// Region of the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub region: Option<String>,
    /// Whether the bucket stands in the path and not in the host's name, as MinIO wants it.
    #[serde(default)]
    pub path_style: bool,
    /// Secret with `ca.crt`: authorities that are believed beside the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle_secret: Option<LocalRef>,
    /// Secret whose keys are the store's variables, such as AWS_ACCESS_KEY_ID. Changes need no restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret: Option<LocalRef>,
    /// A ServiceAccount that the cloud knows, instead of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<WorkloadIdentity>,
}

/// A ServiceAccount that the cloud knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadIdentity {
    /// Its name, in the group's namespace; a person makes it.
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: String,
}
