//! One look at a database, and what comes of it.

use super::catalogs::Catalog;
use super::group::unix_seconds;
use super::keys::Key;
use super::objects::{Ensured, Objects, title};
use super::{Error, Shared, now, secrets, status};
use crate::cache::{NamespaceSeen, ObjectKey, Scope};
use crate::plan::{
    DatabaseAction, DatabaseObserved, DatabasePlan, GroupSeen, Seen, database_action_notice,
    database_notices, name_in_group, plan_database, present_group,
};
use crate::render::{DatabaseObjects, TokenSecret, database_objects};
use crate::{metrics, names};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{Api, Resource, ResourceExt};
use orion_api::admin::Database as Made;
use orion_api::client::Client;
use orion_api::{DatabaseName, Kind};
use orion_crds::condition::Status;
use orion_crds::database::{Access, DatabaseStatus};
use orion_crds::group::From;
use orion_crds::{Database, ReplicationGroup};
use std::sync::Arc;
use std::time::Duration;

/// Changes wake a database; this is for what nobody tells of.
const AGAIN_READY: Duration = Duration::from_secs(600);

/// While it waits for something that does not wake it.
const AGAIN_WAITING: Duration = Duration::from_secs(10);

/// Looks, plans, does what is planned, and writes the status. Returns when to look again at the latest.
pub async fn reconcile_database(shared: &Shared, database: &Database) -> Result<Duration, Error> {
    let api: Api<Database> =
        Api::namespaced(shared.client.clone(), &database.namespace().unwrap_or_default());
    let mut look = Look::new(shared, database).await?;
    let mut plan = plan_database(&look.observed, &now());
    let actions = std::mem::take(&mut plan.actions);
    let is_busy = !actions.is_empty();
    for action in actions {
        if action == DatabaseAction::RemoveFinalizer {
            status::finalize(&api, &shared.writes, database, false).await?;
            return Ok(Duration::from_secs(60));
        }
        let notice = database_action_notice(&action);
        look.carry_out(&api, action).await?;
        shared.events.tell(&database.object_ref(&()), notice);
    }
    // What was found out on the way is said too.
    let DatabasePlan { status, .. } = plan_database(&look.observed, &now());
    let before = database.status.as_ref();
    if let Some(written) = status::write(&api, &shared.writes, database, before, &status).await? {
        let nothing = DatabaseStatus::default();
        let notices = database_notices(before.unwrap_or(&nothing), &status);
        shared.events.tell(&database.object_ref(&()), notices);
        shared.caches.wrote_database(written);
    }
    let is_ready = status
        .conditions
        .first()
        .is_some_and(|ready| ready.status == Status::True);
    let was_unanswered = look.node.is_some() && look.observed.made == Seen::Unknown;
    Ok(match (is_ready, is_busy || was_unanswered) {
        (true, _) => look.again_ready(),
        (false, true) => Duration::from_millis(500),
        (false, false) => AGAIN_WAITING,
    })
}

struct Look<'a> {
    shared: &'a Shared,
    database: &'a Database,
    group: Option<Arc<ReplicationGroup>>,
    key: Option<Key>,
    node: Option<Client>,
    catalog: Option<Arc<Catalog>>,
    observed: DatabaseObserved,
}

impl<'a> Look<'a> {
    async fn new(shared: &'a Shared, database: &'a Database) -> Result<Look<'a>, Error> {
        let present = present_group(database);
        let group_key = ObjectKey::new(present.namespace.as_deref().unwrap_or_default(), &present.name);
        let group = shared.caches.groups.get(&group_key);
        let own_namespace = namespace_of(shared, database, group.as_deref()).await?;
        let seen = match &group {
            None => GroupSeen::Missing,
            Some(group) => see_group(group, database, own_namespace.as_ref()),
        };
        let is_let_in = seen != GroupSeen::Refuses;
        let (mut key, mut node) = (None, None);
        if let Some(group) = group.as_deref().filter(|_| is_let_in) {
            key = secrets::key_of(shared, group).await?;
            node = node_of(shared, &group_key, key.as_ref())?;
        }
        let catalog = match &node {
            Some(node) => shared.kept.catalogs.get(&group_key, node).await.ok(),
            None => None,
        };
        let mut look = Look {
            shared,
            database,
            group,
            key,
            node,
            catalog,
            observed: DatabaseObserved {
                database: database.clone(),
                group: seen,
                made: Seen::Unknown,
                foreign: Vec::new(),
                objects_are_right: false,
                namespace_goes: own_namespace.is_none_or(|namespace| namespace.is_terminating),
                refused: None,
            },
        };
        look.observed.made = look.find().await;
        look.observed.objects_are_right = look.objects_are_right();
        Ok(look)
    }

    /// From the group's list; what is not in it, or is to be dropped, is asked for itself.
    async fn find(&self) -> Seen<Option<Made>> {
        let Some(node) = &self.node else {
            return Seen::Unknown;
        };
        let name = name_in_group(self.database);
        let is_going = self.database.metadata.deletion_timestamp.is_some();
        let listed = self.catalog.as_ref().and_then(|catalog| catalog.get(&name));
        match listed.filter(|_| !is_going) {
            Some(made) => Seen::Known(Some(Made::clone(&made))),
            None => found(node, &name).await,
        }
    }

    fn objects_are_right(&self) -> bool {
        let writer = Objects::of(self.shared);
        let objects = self.objects();
        objects.is_some_and(|objects| {
            let mut all = objects.secrets.iter().chain(&objects.service);
            all.all(|object| writer.is_right(object))
        })
    }

    /// When its tokens need another look; spread, so that not all come at once.
    fn again_ready(&self) -> Duration {
        let lifetime = self
            .group
            .as_ref()
            .and_then(|group| group.spec.auth.token_lifetime.clone());
        let lifetime = lifetime.and_then(|lifetime| lifetime.std());
        let longest = lifetime.map_or(AGAIN_READY, |lifetime| AGAIN_READY.min(lifetime / 4));
        let uid = self.database.metadata.uid.as_deref().unwrap_or_default();
        let share = f64::from(blake3::hash(uid.as_bytes()).as_bytes()[0]) / 255.0;
        longest
            .mul_f64(0.75 + share / 4.0)
            .max(Duration::from_millis(500))
    }

    async fn carry_out(&mut self, api: &Api<Database>, action: DatabaseAction) -> Result<(), Error> {
        let writes = &self.shared.writes;
        self.shared.metrics.acts(metrics::Kind::Database, action.name());
        match (action, &self.node) {
            (DatabaseAction::AddFinalizer, _) => {
                if let Some(written) = status::finalize(api, writes, self.database, true).await? {
                    self.shared.caches.wrote_database(written);
                }
                Ok(())
            }
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
                self.note(&made);
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
                self.note(&made);
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

    fn note(&self, made: &Made) {
        if let Some(catalog) = &self.catalog {
            catalog.note(made);
        }
    }

    async fn apply_objects(&mut self) -> Result<(), Error> {
        let Some(objects) = self.objects() else {
            return Ok(());
        };
        let writer = Objects::of(self.shared);
        for object in objects.secrets.iter().chain(&objects.service) {
            if writer.ensure(object).await? == Ensured::Foreign {
                self.observed.foreign.push(title(object));
            }
        }
        Ok(())
    }

    /// As they are to be, once the database is made.
    fn objects(&self) -> Option<DatabaseObjects> {
        let Seen::Known(Some(made)) = &self.observed.made else {
            return None;
        };
        let group = self.group.as_ref()?;
        let own = self.database.name_any();
        let main = self.database.spec.connection.secret_name.clone();
        let main = main.unwrap_or_else(|| format!("{own}-db"));
        let further = self.database.spec.tokens.iter();
        let further = further.map(|token| (token.secret_name.clone(), token.access));
        let tokens: Vec<(String, String)> = std::iter::once((main, Access::ReadWrite))
            .chain(further)
            .map(|(secret, access)| (secret, self.token(group, made, access)))
            .collect();
        let secrets: Vec<TokenSecret<'_>> = tokens
            .iter()
            .map(|(secret, token)| TokenSecret { secret, token })
            .collect();
        let (name, namespace) = (group.name_any(), group.namespace().unwrap_or_default());
        Some(database_objects(
            self.database,
            (&name, &namespace),
            made.name.as_str(),
            &secrets,
        ))
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

fn see_group(
    group: &ReplicationGroup,
    database: &Database,
    own_namespace: Option<&NamespaceSeen>,
) -> GroupSeen {
    let is_same = group.namespace() == database.namespace();
    let allowed = &group.spec.allowed_namespaces;
    let is_let_in = match allowed.from {
        From::Same => is_same,
        From::All => true,
        From::Selector => {
            let labels = own_namespace.map(|namespace| &namespace.labels);
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

/// The Database's namespace. Where only some are looked at they are not watched, and asked for only when it matters.
async fn namespace_of(
    shared: &Shared,
    database: &Database,
    group: Option<&ReplicationGroup>,
) -> Result<Option<NamespaceSeen>, Error> {
    let name = database.namespace().unwrap_or_default();
    if shared.caches.scope == Scope::Cluster {
        let seen = shared.caches.namespaces.get(&ObjectKey::new("", &name));
        return Ok(seen.map(|seen| NamespaceSeen::clone(&seen)));
    }
    let selects = group.is_some_and(|group| group.spec.allowed_namespaces.from == From::Selector);
    if !selects && database.metadata.deletion_timestamp.is_none() {
        return Ok(Some(NamespaceSeen::default()));
    }
    let found = Api::<Namespace>::all(shared.client.clone())
        .get_opt(&name)
        .await?;
    Ok(found.map(|namespace| NamespaceSeen {
        is_terminating: namespace.metadata.deletion_timestamp.is_some(),
        labels: namespace.metadata.labels.unwrap_or_default(),
    }))
}

/// The node that leads, or any that is ready: each passes on what is not its own.
fn node_of(shared: &Shared, group: &ObjectKey, key: Option<&Key>) -> Result<Option<Client>, Error> {
    let of_group = |pod: &Pod| pod.labels().get(names::GROUP) == Some(&group.name);
    let pods = shared
        .caches
        .pods
        .all(|key, pod| key.namespace == group.namespace && of_group(pod));
    let leads = |pod: &Pod| {
        pod.labels()
            .get(names::LEADER)
            .is_some_and(|leads| leads == "true")
    };
    let is_ready = |pod: &Pod| {
        let conditions = pod
            .status
            .iter()
            .filter_map(|status| status.conditions.as_ref())
            .flatten();
        conditions
            .into_iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    let ready: Vec<&Arc<Pod>> = pods
        .iter()
        .map(|(_, pod)| pod)
        .filter(|pod| is_ready(pod))
        .collect();
    let pod = ready.iter().find(|pod| leads(pod)).or(ready.first());
    match pod {
        Some(pod) => shared.kept.clients.of(pod, &shared.endpoint, key),
        None => Ok(None),
    }
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
