//! Events of Kubernetes (events.k8s.io/v1) for people. They hold nobody up: they are sent on the side, at a pace of their own,
//! and what is too much is left out. The same thing again within minutes counts one Event up and makes no other; within
//! seconds it is the same thing still, and is not told.
//!
//! LIMIT: what was told is known to this process only: after a change of the acting replica the same may be told anew.

use crate::names::MANAGER;
use crate::plan::Notice;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Events that wait. More are left out.
const WAITING_MAX: usize = 1000;

/// Within so long the same thing is not told again.
const SAME: Duration = Duration::from_secs(10);

/// Within so long after it was told last the same thing counts its Event up. Servers keep Events for an hour.
const SERIES: Duration = Duration::from_secs(1800);

/// Bytes of a note that the server takes.
const NOTE_BYTES_MAX: usize = 1024;

/// Where looks leave what people are to know.
#[derive(Clone)]
pub struct Events {
    sender: mpsc::Sender<(ObjectReference, Notice)>,
}

impl Events {
    /// The sending side, and what sends until the last of them is gone. Who the `instance` is stands in each Event.
    pub fn new(client: Client, instance: &str) -> (Events, impl Future<Output = ()> + Send + use<>) {
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        let teller = Teller {
            client,
            // The server takes 128 characters.
            instance: instance.chars().take(128).collect(),
            told: HashMap::new(),
        };
        (Events { sender }, teller.run(waiting))
    }

    /// Tells people.
    pub(crate) fn tell(&self, object: &ObjectReference, notices: impl IntoIterator<Item = Notice>) {
        for notice in notices {
            if self.sender.try_send((object.clone(), notice)).is_err() {
                tracing::debug!("too many Events: one is left out");
            }
        }
    }
}

/// An Event that was sent.
struct Told {
    name: String,
    count: i32,
    last: Instant,
}

/// What makes two Events the same: the object, the reason, the sentence.
type Key = (Option<String>, String, String);

struct Teller {
    client: Client,
    instance: String,
    told: HashMap<Key, Told>,
}

impl Teller {
    async fn run(mut self, mut waiting: mpsc::Receiver<(ObjectReference, Notice)>) {
        while let Some((object, notice)) = waiting.recv().await {
            if let Err(error) = self.tell(&object, &notice).await {
                tracing::info!(%error, reason = notice.reason, "an Event could not be written");
            }
        }
    }

    async fn tell(&mut self, object: &ObjectReference, notice: &Notice) -> kube::Result<()> {
        self.told.retain(|_, told| told.last.elapsed() < SERIES);
        let events: Api<Event> = Api::namespaced(
            self.client.clone(),
            object.namespace.as_deref().unwrap_or("default"),
        );
        let key = (object.uid.clone(), notice.reason.clone(), notice.note.clone());
        if let Some(told) = self.told.get_mut(&key) {
            if told.last.elapsed() < SAME {
                return Ok(());
            }
            (told.count, told.last) = (told.count + 1, Instant::now());
            let series = json!({ "series": { "count": told.count, "lastObservedTime": now() } });
            match events
                .patch(&told.name, &PatchParams::default(), &Patch::Merge(series))
                .await
            {
                // The server has forgotten it.
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                other => return other.map(drop),
            }
        }
        let name = format!(
            "{}.{:x}",
            object.name.as_deref().unwrap_or(MANAGER),
            Timestamp::now().as_nanosecond()
        );
        let event = self.event(&name, object, notice);
        let event: Event = serde_json::from_value(event).map_err(kube::Error::SerdeError)?;
        events.create(&PostParams::default(), &event).await?;
        let told = Told {
            name,
            count: 1,
            last: Instant::now(),
        };
        self.told.insert(key, told);
        Ok(())
    }

    fn event(&self, name: &str, object: &ObjectReference, notice: &Notice) -> Value {
        json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": { "name": name, "namespace": object.namespace },
            "eventTime": now(),
            "type": if notice.is_warning { "Warning" } else { "Normal" },
            "reason": notice.reason,
            "action": notice.action,
            "note": shortened(&notice.note),
            "regarding": object,
            "reportingController": MANAGER,
            "reportingInstance": self.instance
        })
    }
}

/// With microseconds, as the server wants it.
fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn shortened(note: &str) -> &str {
    let mut end = note.len().min(NOTE_BYTES_MAX);
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    &note[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        let long = "€".repeat(400);
        assert_eq!(shortened(&long), "€".repeat(341));
    }
}
