//! The configuration file of one node. All nodes' files are in the group's ConfigMap, under their members' names.

use super::Context;
use crate::names::{HTTP_PORT, MemberName, PEER_PORT};
use orion_crds::group::{AuthMode, Automation, TlsPolicy};
use orion_crds::schema::yaml;
use serde_json::{Value, json};

/// Where a node keeps its disk.
pub(super) const DATA: &str = "/var/lib/orion";
/// Where the configuration is mounted.
pub(super) const CONFIG: &str = "/etc/orion";
/// Where the object store's credentials are mounted.
pub(super) const CREDENTIALS: &str = "/var/run/secrets/orion-db.dev/store";
/// Where the store's authorities are mounted.
pub(super) const STORE_CA: &str = "/var/run/secrets/orion-db.dev/store-ca";
/// Where the peers' certificates are mounted.
pub(super) const PEERS: &str = "/var/run/secrets/orion-db.dev/peers";

/// What differs from node to node.
#[derive(Clone, Copy, Debug)]
pub struct NodeConfig<'a> {
    /// Which member.
    pub member: &'a MemberName,
    /// Whether its node asks to vote by itself: only those of the first hour do. Later ones begin to vote when the
    /// operator says so, several at once, by one joint change.
    pub joins_as_voter: bool,
}

/// The file of a node. `peers` are members that it asks for the group's leader when it comes.
pub fn config_text(context: &Context<'_>, node: NodeConfig<'_>, peers: &[MemberName]) -> String {
    let mut config = lasting(context, node);
    let (group, namespace) = (context.name(), context.namespace());
    let addresses: Vec<String> = peers.iter().map(|peer| peer.address(group, namespace)).collect();
    config["cluster"]["peers"] = json!(addresses);
    yaml::to_text(&config)
}

/// Hash of what a node reads at its start only. The peers' addresses are not in it: a node that was in the group knows
/// them from its membership.
pub fn restart_hash(context: &Context<'_>, node: NodeConfig<'_>) -> String {
    super::statefulset::hash_of(&lasting(context, node))
}

fn lasting(context: &Context<'_>, node: NodeConfig<'_>) -> Value {
    let spec = &context.group.spec;
    let role = if node.joins_as_voter {
        "voter"
    } else {
        "read_replica"
    };
    let mut config = json!({
        "data_dir": DATA,
        "listen": format!("0.0.0.0:{HTTP_PORT}"),
        "default_database": "",
        "group": context.name(),
        "object_store": store(context),
        "materialize": {
            "database_overlay_bytes": spec.overlay.database_bytes.units().unwrap_or(64 << 20),
            "node_overlay_bytes": spec.overlay.node_bytes.units().unwrap_or(512 << 20)
        },
        "cluster": {
            "listen": format!("0.0.0.0:{PEER_PORT}"),
            "advertise": node.member.address(context.name(), context.namespace()),
            "role": role
        },
        "log": { "format": "json" }
    });
    if let Some(bytes) = spec.limits.database_size.as_ref().and_then(|size| size.units()) {
        config["limits"] = json!({ "size_bytes": bytes });
    }
    if spec.tls.peers == TlsPolicy::Required {
        config["cluster"]["tls"] = json!({
            "authority": format!("{PEERS}/ca.crt"),
            "certificate": format!("{PEERS}/tls.crt"),
            "key": format!("{PEERS}/tls.key")
        });
    } else {
        // A node that others reach does not start without certificates, unless it is told that this is meant.
        config["cluster"]["insecure"] = json!(true);
    }
    if spec.update.finalize == Automation::Manual {
        config["upgrade"] = json!({ "finalize": "manual" });
    }
    if spec.auth.mode == AuthMode::Token {
        config["auth"] = json!({ "public_keys": context.public_key.into_iter().collect::<Vec<_>>() });
    }
    config
}

fn store(context: &Context<'_>) -> Value {
    let spec = &context.group.spec.object_store;
    let mut store = json!({ "url": spec.url });
    if let Some(endpoint) = &spec.endpoint {
        store["endpoint"] = json!(endpoint);
        if endpoint.starts_with("http://") {
            store["allow_http"] = json!(true);
        }
    }
    if let Some(region) = &spec.region {
        store["region"] = json!(region);
    }
    if spec.path_style {
        store["path_style"] = json!(true);
    }
    if spec.ca_bundle_secret.is_some() {
        store["ca_bundle"] = json!(format!("{STORE_CA}/ca.crt"));
    }
    if spec.credentials_secret.is_some() {
        store["credentials_dir"] = json!(CREDENTIALS);
    }
    store
}
