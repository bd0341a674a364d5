//! Clients of nodes, kept with their connections as long as their pods live.

use super::group::unix_seconds;
use super::keys::Key;
use super::nodes::REPLY;
use super::{Endpoint, Error};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use orion_api::client::Client;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Half of the time that an admin token holds.
const AGE_MAX: Duration = Duration::from_secs(1800);

struct Kept {
    url: String,
    /// Of the key that signed its token.
    key: Option<String>,
    made: Instant,
    client: Client,
}

/// By the pods' identities.
#[derive(Default)]
pub(super) struct Clients {
    kept: Mutex<HashMap<String, Kept>>,
}

impl Clients {
    /// The client of a pod that has an address.
    pub(super) fn of(
        &self,
        pod: &Pod,
        endpoint: &Endpoint,
        key: Option<&Key>,
    ) -> Result<Option<Client>, Error> {
        let Some(url) = endpoint(pod) else { return Ok(None) };
        let uid = pod.uid().unwrap_or_default();
        let public = key.map(Key::public);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, kept| kept.made.elapsed() < AGE_MAX);
        if let Some(known) = kept
            .get(&uid)
            .filter(|kept| kept.url == url && kept.key == public)
        {
            return Ok(Some(known.client.clone()));
        }
        let token = key.map(|key| key.admin_token(unix_seconds()));
        let client = Client::new(&url, token.as_deref())?.within(REPLY);
        let fresh = Kept {
            url,
            key: public,
            made: Instant::now(),
            client: client.clone(),
        };
        kept.insert(uid, fresh);
        Ok(Some(client))
    }
}
