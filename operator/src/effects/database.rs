//! One look at a database, and what comes of it.

use super::group::unix_seconds;
use super::keys::Key;
use super::objects::{Ensured, Objects, title};
use super::{Error, Shared, now, status};
use crate::plan::{
    DatabaseAction, DatabaseObserved, DatabasePlan, GroupSeen, Seen, name_in_group, plan_database,
    present_group,
};
use crate::render::{TokenSecret, database_objects};
use crate::{metrics, names};
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::api::ListParams;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use orion_api::admin::Database as Made;
use orion_api::client::Client;
use orion_api::{DatabaseName, Kind};
use orion_crds::condition::Status;
use orion_crds::database::Access;
use orion_crds::group::{AuthMode, From};
use orion_crds::{Database, ReplicationGroup};
use std::sync::Arc;
use std::time::Duration;

/// Looks, plans, does what is planned, and writes the status. Returns when to look again at the latest.
pub async fn reconcile_database(shared: &Shared, database: &Database) -> Result<Duration, Error> {
    let api: Api<Database> =
        Api::namespaced(shared.client.clone(), &database.namespace().unwrap_or_default());
    let mut look = Look::new(shared, database).await?;
    let mut plan = plan_database(&look.observed, &now());
    let mut actions = std::mem::take(&mut plan.actions);
    if let Some(position) = actions
        .iter()
        .position(|action| *action == DatabaseAction::AddFinalizer)
    {
        // The next look has the object with it; nothing is made before.
        actions.truncate(position + 1);
    }
    let is_busy = !actions.is_empty();
    for action in actions {
        if action == DatabaseAction::RemoveFinalizer {
            status::finalize(&api, &shared.writes, database, false).await?;
            return Ok(Duration::from_secs(60));
        }
        look.carry_out(&api, action).await?;
    }
    // What was found out on the way is said too.
    let DatabasePlan { status, .. } = plan_database(&look.observed, &now());
    status::write(&api, &shared.writes, database, database.status.as_ref(), &status).await?;
    let is_ready = status
        .conditions
        .first()
        .is_some_and(|ready| ready.status == Status::True);
    Ok(match (is_ready, is_busy) {
        (true, _) => Duration::from_secs(60),
        (false, true) => Duration::from_millis(500),
        (false, false) => Duration::from_secs(2),
    })
}

struct Look<'a> {
    shared: &'a Shared,
    database: &'a Database,
    group: Option<Arc<ReplicationGroup>>,
    key: Option<Key>,
    node: Option<Client>,
    observed: DatabaseObserved,
}

impl<'a> Look<'a> {
    async fn new(shared: &'a Shared, database: &'a Database) -> Result<Look<'a>, Error> {
        let present = present_group(database);
        let namespace = present.namespace.clone().unwrap_or_default();
        let group = shared
            .groups
            .get(&ObjectRef::new(&present.name).within(&namespace));
        let own_namespace = Api::<Namespace>::all(shared.client.clone())
            .get_opt(&database.namespace().unwrap_or_default())
            .await?;
        let seen = match &group {
            None => GroupSeen::Missing,
            Some(group) => see_group(group, database, own_namespace.as_ref()),
        };
        let key = match &group {
            Some(group) if seen != GroupSeen::Refuses => key_of(shared, group).await?,
            _ => None,
        };
        let node = match &group {
            Some(group) if seen != GroupSeen::Refuses => node_of(shared, group, key.as_ref()).await?,
            _ => None,
        };
        let made = match &node {
            Some(node) => found(node, &name_in_group(database)).await,
            None => Seen::Unknown,
        };
        let observed = DatabaseObserved {
            database: database.clone(),
            group: seen,
            made,
            foreign: Vec::new(),
            // Compared when they are applied.
            objects_are_right: false,
            namespace_goes: own_namespace
                .is_none_or(|namespace| namespace.metadata.deletion_timestamp.is_some()),
            refused: None,
        };
        Ok(Look {
            shared,
            database,
            group,
            key,
            node,
            observed,
        })
    }

    async fn carry_out(&mut self, api: &Api<Database>, action: DatabaseAction) -> Result<(), Error> {
        let writes = &self.shared.writes;
        self.shared.metrics.acts(metrics::Kind::Database, action.name());
        match (action, &self.node) {
            (DatabaseAction::AddFinalizer, _) => status::finalize(api, writes, self.database, true).await,
            (DatabaseAction::Create(wish), Some(node)) => {
                writes.next()?;
                let answer = node.create_database(&wish).await;
                self.take(answer).await
            }
            (DatabaseAction::Change(name, change), Some(node)) => {
                writes.next()?;
                let answer = node.change_database(&name, &change).await;
                self.take(answer).await
            }
            (DatabaseAction::Drop(name), Some(node)) => {
                writes.next()?;
                let made = node.drop_database(&name).await?;
                self.observed.made = Seen::Known(Some(made));
                Ok(())
            }
            (DatabaseAction::ApplyObjects, _) => self.apply_objects().await,
            _ => Ok(()),
        }
    }

    /// What a node made of a wish. What it refuses for good is said in the status.
    async fn take(&mut self, answer: Result<Made, orion_api::client::Error>) -> Result<(), Error> {
        match answer {
            Ok(made) => {
                // From now on it is this object's, by its id.
                let status = self.observed.database.status.get_or_insert_default();
                status.database_id = Some(made.id.to_string());
                self.observed.made = Seen::Known(Some(made));
                self.apply_objects().await
            }
            Err(error)
                if matches!(
                    error.kind(),
                    Kind::Invalid | Kind::Conflict | Kind::Quota | Kind::Forbidden
                ) =>
            {
                self.observed.refused = Some(error.to_string());
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn apply_objects(&mut self) -> Result<(), Error> {
        let Seen::Known(Some(made)) = &self.observed.made else {
            return Ok(());
        };
        let Some(group) = &self.group else { return Ok(()) };
        let own = self.database.name_any();
        let main = self
            .database
            .spec
            .connection
            .secret_name
            .clone()
            .unwrap_or_else(|| format!("{own}-db"));
        let further = self
            .database
            .spec
            .tokens
            .iter()
            .map(|token| (token.secret_name.clone(), token.access));
        let wished: Vec<(String, Access)> = std::iter::once((main, Access::ReadWrite))
            .chain(further)
            .collect();
        let tokens: Vec<(String, String)> = wished
            .into_iter()
            .map(|(secret, access)| (secret, self.token(group, made, access)))
            .collect();
        let secrets: Vec<TokenSecret<'_>> = tokens
            .iter()
            .map(|(secret, token)| TokenSecret { secret, token })
            .collect();
        let (name, namespace) = (group.name_any(), group.namespace().unwrap_or_default());
        let objects = database_objects(self.database, (&name, &namespace), made.name.as_str(), &secrets);
        let writer = Objects {
            client: &self.shared.client,
            writes: &self.shared.writes,
        };
        for object in objects.secrets.iter().chain(&objects.service) {
            if writer.ensure(object).await? == Ensured::Foreign {
                self.observed.foreign.push(title(object));
            }
        }
        Ok(())
    }

    fn token(&self, group: &ReplicationGroup, made: &Made, access: Access) -> String {
        let Some(key) = &self.key else {
            return String::new();
        };
        let lifetime = group
            .spec
            .auth
            .token_lifetime
            .as_ref()
            .and_then(|lifetime| lifetime.std());
        // The same for half of a lifetime, so that a Secret is not written at each look; then another one.
        let expires = lifetime.map(|lifetime| {
            let half = (lifetime.as_secs() / 2).max(1);
            (unix_seconds() / half + 2) * half
        });
        let access = if access == Access::ReadWrite { "rw" } else { "ro" };
        key.database_token(&made.id.to_string(), access, expires)
    }
}

fn see_group(group: &ReplicationGroup, database: &Database, own_namespace: Option<&Namespace>) -> GroupSeen {
    let is_same = group.namespace() == database.namespace();
    let allowed = &group.spec.allowed_namespaces;
    let is_let_in = match allowed.from {
        From::Same => is_same,
        From::All => true,
        From::Selector => {
            let labels = own_namespace.map(|namespace| namespace.labels());
            is_same
                || labels.is_some_and(|labels| {
                    allowed
                        .match_labels
                        .iter()
                        .all(|(key, value)| labels.get(key) == Some(value))
                })
        }
    };
    if !is_let_in {
        return GroupSeen::Refuses;
    }
    let conditions = group.status.iter().flat_map(|status| &status.conditions);
    let mut quorum = conditions.filter(|condition| condition.type_ == "QuorumHealthy");
    GroupSeen::There {
        is_ready: quorum.any(|condition| condition.status == Status::True),
        is_schedulable: group.spec.schedulable,
        is_deleting: group.metadata.deletion_timestamp.is_some(),
    }
}

async fn key_of(shared: &Shared, group: &ReplicationGroup) -> Result<Option<Key>, Error> {
    if group.spec.auth.mode == AuthMode::None {
        return Ok(None);
    }
    let secrets = Api::<Secret>::namespaced(shared.client.clone(), &group.namespace().unwrap_or_default());
    let found = secrets.get_opt(&format!("{}-keys", group.name_any())).await?;
    found
        .map(|secret| Key::of_secret(&serde_json::to_value(secret)?))
        .transpose()
}

/// The node that leads, or any that is ready: each passes on what is not its own.
async fn node_of(
    shared: &Shared,
    group: &ReplicationGroup,
    key: Option<&Key>,
) -> Result<Option<Client>, Error> {
    let pods = Api::<Pod>::namespaced(shared.client.clone(), &group.namespace().unwrap_or_default());
    let labelled = ListParams::default().labels(&format!("{}={}", names::GROUP, group.name_any()));
    let pods = pods.list(&labelled).await?;
    let leads = |pod: &&Pod| {
        pod.labels()
            .get(names::LEADER)
            .is_some_and(|leads| leads == "true")
    };
    let is_ready = |pod: &&Pod| {
        let conditions = pod
            .status
            .iter()
            .filter_map(|status| status.conditions.as_ref())
            .flatten();
        conditions
            .into_iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    let pod = pods
        .iter()
        .find(|pod| leads(pod) && is_ready(pod))
        .or_else(|| pods.iter().find(is_ready));
    let token = key.map(|key| key.admin_token(unix_seconds()));
    let url = pod.and_then(|pod| (shared.endpoint)(pod));
    let node = url.map(|url| Client::new(&url, token.as_deref())).transpose()?;
    Ok(node.map(|node| node.within(super::nodes::REPLY)))
}

async fn found(node: &Client, name: &str) -> Seen<Option<Made>> {
    let Ok(name) = name.parse::<DatabaseName>() else {
        return Seen::Known(None);
    };
    match node.get_database(&name).await {
        Ok(made) => Seen::Known(Some(made)),
        Err(error) if error.kind() == Kind::NotFound => Seen::Known(None),
        Err(error) => {
            tracing::info!(%error, %name, "a database could not be asked for");
            Seen::Unknown
        }
    }
}
