//! Data of Secrets: read by name, once for each version that the watch of their metadata shows; never listed.

use super::objects::{Objects, owner};
use super::{Error, Shared, certificates as peers, keys, validity};
use crate::cache::{ObjectKey, version};
use crate::plan::{Certificates, Credentials};
use crate::render::{Context, TEMPLATE_REVISION, keys_secret, peers_secret};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use orion_crds::ReplicationGroup;
use orion_crds::group::{AuthMode, Issuer, TlsPolicy};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// A Secret as it was read.
#[derive(Debug)]
pub(super) struct SecretSeen {
    version: u64,
    /// Identity of its controller.
    pub(super) owner: Option<String>,
    /// Its data, decoded.
    pub(super) data: BTreeMap<String, Vec<u8>>,
}

/// Secrets that were read.
#[derive(Default)]
pub(super) struct Secrets {
    read: Mutex<HashMap<ObjectKey, Arc<SecretSeen>>>,
}

impl Secrets {
    fn known(&self, key: &ObjectKey, version: u64) -> Option<Arc<SecretSeen>> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.get(key).filter(|seen| seen.version == version).cloned()
    }

    fn keep(&self, key: ObjectKey, seen: Arc<SecretSeen>) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.insert(key, seen);
    }

    fn forget(&self, key: &ObjectKey) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.remove(key);
    }
}

/// A Secret by its name; None where there is none.
pub(super) async fn read(shared: &Shared, key: &ObjectKey) -> Result<Option<Arc<SecretSeen>>, Error> {
    let Some(entry) = shared.caches.secrets.entry(key) else {
        shared.kept.secrets.forget(key);
        return Ok(None);
    };
    match shared.kept.secrets.known(key, entry.version) {
        Some(known) => Ok(Some(known)),
        None => ask(shared, key).await,
    }
}

async fn ask(shared: &Shared, key: &ObjectKey) -> Result<Option<Arc<SecretSeen>>, Error> {
    let api = Api::<Secret>::namespaced(shared.client.clone(), &key.namespace);
    let Some(found) = api.get_opt(&key.name).await? else {
        return Ok(None);
    };
    let mut owners = found
        .owner_references()
        .iter()
        .filter(|owner| owner.controller == Some(true));
    let seen = Arc::new(SecretSeen {
        version: version(&found.metadata),
        owner: owners.next().map(|owner| owner.uid.clone()),
        data: found
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|(name, value)| (name, value.0))
            .collect(),
    });
    shared.kept.secrets.keep(key.clone(), Arc::clone(&seen));
    Ok(Some(seen))
}

/// What came of a Secret that is made once.
enum Once {
    There(Arc<SecretSeen>),
    Missing,
    Foreign(String),
}

/// Makes a Secret if there is none; what is there stays as it is.
///
/// INVARIANT: nothing is ever written over it, whatever the caches have: another key would make all tokens worthless. Tested
/// by `a_key_is_made_once_whatever_the_cache_says`.
async fn once(
    shared: &Shared,
    group: &ReplicationGroup,
    key: &ObjectKey,
    make: impl FnOnce() -> Result<Value, Error>,
) -> Result<Once, Error> {
    let seen = match read(shared, key).await? {
        Some(seen) => Some(seen),
        // Nothing is made for what goes.
        None if group.metadata.deletion_timestamp.is_some() => None,
        None => {
            let wanted = make()?;
            debug_assert_eq!(owner(&wanted), group.metadata.uid.as_deref());
            Objects::of(shared).create(&wanted).await?;
            ask(shared, key).await?
        }
    };
    Ok(match seen {
        None => Once::Missing,
        Some(seen) if seen.owner == group.metadata.uid => Once::There(seen),
        Some(_) => Once::Foreign(format!("Secret {}", key.name)),
    })
}

/// The key that signs a group's tokens; None where nobody needs one, or there is none yet.
pub(super) async fn key_of(shared: &Shared, group: &ReplicationGroup) -> Result<Option<keys::Key>, Error> {
    if group.spec.auth.mode == AuthMode::None {
        return Ok(None);
    }
    let seen = read(shared, &named(group, "keys")).await?;
    seen.map(|seen| keys::Key::of_data(&seen.data)).transpose()
}

fn named(group: &ReplicationGroup, what: &str) -> ObjectKey {
    let name = format!("{}-{what}", group.name_any());
    ObjectKey::new(&group.namespace().unwrap_or_default(), &name)
}

/// The group's own Secrets: made at the first look, and kept. Returns the key, and the names that somebody else has.
pub(super) async fn of_group(
    shared: &Shared,
    group: &ReplicationGroup,
    image: &str,
) -> Result<(Option<keys::Key>, Vec<String>), Error> {
    let context = Context {
        group,
        image,
        public_key: None,
        revision: TEMPLATE_REVISION,
    };
    let mut foreign = Vec::new();
    let make_key = || {
        let fresh = keys::Key::generate()?;
        Ok(keys_secret(&context, &fresh.to_pem(), &fresh.public()))
    };
    let key = match once(shared, group, &named(group, "keys"), make_key).await? {
        Once::There(seen) => Some(keys::Key::of_data(&seen.data)?),
        Once::Missing => None,
        Once::Foreign(title) => {
            foreign.push(title);
            None
        }
    };
    if group.spec.tls.peers == TlsPolicy::Required && group.spec.tls.issuer == Issuer::Operator {
        let make_certificates = || Ok(peers_secret(&context, &peers::make(&group.name_any())?));
        if let Once::Foreign(title) = once(shared, group, &named(group, "peers"), make_certificates).await? {
            foreign.push(title);
        }
    }
    Ok((key, foreign))
}

/// What a Secret of the object store must hold, by the store's scheme.
fn store_keys(url: &str) -> &'static [&'static str] {
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("s3") => &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
        Some("gs") => &["GOOGLE_SERVICE_ACCOUNT_KEY"],
        Some("az") => &["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"],
        _ => &[],
    }
}

/// Whether the Secrets that the spec names are there and have what they must. Whether that is good the object store says.
pub(super) async fn credentials(shared: &Shared, group: &ReplicationGroup) -> Credentials {
    let namespace = group.namespace().unwrap_or_default();
    let store = &group.spec.object_store;
    let needed = [
        (store.credentials_secret.as_ref(), store_keys(&store.url)),
        (store.ca_bundle_secret.as_ref(), &["ca.crt"][..]),
    ];
    for (reference, keys) in needed {
        let Some(reference) = reference else { continue };
        match holding(shared, &ObjectKey::new(&namespace, &reference.name), keys).await {
            Ok(_) => {}
            Err(Lacking::Secret) => return Credentials::Missing(reference.name.clone()),
            Err(Lacking::Key(why)) => return Credentials::Invalid(why),
            Err(Lacking::Answer) => return Credentials::Unknown,
        }
    }
    Credentials::Valid
}

/// The peers' certificates: whose Secret it is the spec says.
pub(super) async fn certificates(shared: &Shared, group: &ReplicationGroup) -> Certificates {
    if group.spec.tls.peers == TlsPolicy::Disabled {
        return Certificates::Unwanted;
    }
    let key = match (&group.spec.tls.secret, group.spec.tls.issuer) {
        (Some(secret), Issuer::Secret) => {
            ObjectKey::new(&group.namespace().unwrap_or_default(), &secret.name)
        }
        (_, Issuer::Operator) => named(group, "peers"),
        _ => return Certificates::Unknown,
    };
    let seen = match holding(shared, &key, &["ca.crt", "tls.crt", "tls.key"]).await {
        Ok(seen) => seen,
        Err(Lacking::Secret) => return Certificates::Missing(key.name),
        Err(Lacking::Key(why)) => return Certificates::Invalid(why),
        Err(Lacking::Answer) => return Certificates::Unknown,
    };
    let ends = ["ca.crt", "tls.crt"].map(|name| match validity::expires(&seen.data[name]) {
        Some(end) => Ok(end),
        None => Err(format!("{name} of the Secret {} is no certificate", key.name)),
    });
    match ends {
        [Ok(authority), Ok(certificate)] => Certificates::Until(authority.min(certificate)),
        [Err(why), _] | [_, Err(why)] => Certificates::Invalid(why),
    }
}

/// What is missing.
enum Lacking {
    Secret,
    /// And which, for people.
    Key(String),
    /// The Secret could not be read.
    Answer,
}

/// A Secret in which none of these keys is missing or empty.
async fn holding(shared: &Shared, key: &ObjectKey, wanted: &[&str]) -> Result<Arc<SecretSeen>, Lacking> {
    let seen = match read(shared, key).await {
        Ok(Some(seen)) => seen,
        Ok(None) => return Err(Lacking::Secret),
        Err(error) => {
            tracing::warn!(%error, secret = key.name, "a Secret could not be read");
            return Err(Lacking::Answer);
        }
    };
    let is_missing = |key: &&&str| seen.data.get(**key).is_none_or(Vec::is_empty);
    match wanted.iter().find(is_missing) {
        Some(missing) => Err(Lacking::Key(format!("the Secret {} has no {missing}", key.name))),
        None => Ok(seen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Method, Request, Response};
    use kube::client::Body;
    use serde_json::json;

    /// Another key than any that is made.
    const THERE: &str = "of another replica";

    #[tokio::test]
    async fn a_key_is_made_once_whatever_the_cache_says() {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&sent);
        let server = tower::service_fn(move |request: Request<Body>| {
            log.lock().expect("no panic").push(request.method().clone());
            let (status, body) = match *request.method() {
                Method::POST => (
                    409,
                    json!({"kind": "Status", "code": 409, "reason": "AlreadyExists"}),
                ),
                _ => (
                    200,
                    json!({
                        "apiVersion": "v1", "kind": "Secret",
                        "metadata": {
                            "name": "main-keys", "namespace": "ns", "resourceVersion": "5",
                            "ownerReferences": [{"apiVersion": "v1", "kind": "x", "name": "x", "uid": "u", "controller": true}]
                        },
                        "data": {"token.key": k8s_openapi::ByteString(THERE.into())}
                    }),
                ),
            };
            let answer = Response::builder()
                .status(status)
                .body(Body::from(body.to_string().into_bytes()));
            futures::future::ready(Ok::<_, tower::BoxError>(answer.expect("an answer")))
        });
        // The caches have nothing of it yet.
        let shared = Shared::of_tests(kube::Client::new(server, "ns"));
        let group: ReplicationGroup = serde_json::from_value(json!({
            "apiVersion": "orion-db.dev/v1alpha1", "kind": "ReplicationGroup",
            "metadata": {"name": "main", "namespace": "ns", "uid": "u"},
            "spec": {"memberSets": [], "objectStore": {"url": "file:///x"}}
        }))
        .expect("a group");
        let context = Context {
            group: &group,
            image: "",
            public_key: None,
            revision: TEMPLATE_REVISION,
        };
        let make = || Ok(keys_secret(&context, "fresh", "fresh"));
        let made = once(&shared, &group, &named(&group, "keys"), make)
            .await
            .expect("it is there");
        let Once::There(seen) = made else {
            panic!("it is this group's")
        };
        assert_eq!(seen.data["token.key"], THERE.as_bytes());
        let sent = sent.lock().expect("no panic");
        let writes: Vec<&Method> = sent.iter().filter(|method| **method != Method::GET).collect();
        assert_eq!(writes, [Method::POST], "nothing is written over it");
    }
}
