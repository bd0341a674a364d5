//! One look at a group, and what comes of it.

use super::carry_out::Outcome;
use super::nodes::{Nodes, Said};
use super::objects::{Ensured, Objects, title};
use super::{Error, Shared, machines, now, observe, secrets, status};
use crate::cache::{ObjectKey, Target};
use crate::names;
use crate::plan::{
    DatabasesSeen, Notice, Observed, Plan, Seen, action_notice, configured, group_notices, lint, plan_group,
    shown_size,
};
use crate::render::{Context, TEMPLATE_REVISION, group_objects};
use k8s_openapi::jiff::Timestamp;
use kube::api::DeleteParams;
use kube::{Api, Resource, ResourceExt};
use orion_api::admin::Database as Made;
use orion_api::client::Client;
use orion_crds::ReplicationGroup;
use orion_crds::condition::Status;
use orion_crds::group::{AuthMode, Issuer, ReplicationGroupStatus, TlsPolicy};
use std::collections::BTreeSet;
use std::time::Duration;

/// Looks, plans, writes the status, and does what is planned. Returns when to look again at the latest.
pub async fn reconcile_group(shared: &Shared, group: &ReplicationGroup) -> Result<Duration, Error> {
    let api: Api<ReplicationGroup> =
        Api::namespaced(shared.client.clone(), &group.namespace().unwrap_or_default());
    if group.metadata.deletion_timestamp.is_none()
        && let Some(written) = status::finalize(&api, &shared.writes, group, true).await?
    {
        shared.caches.wrote_group(written);
    }
    let mut look = Look::new(shared, group).await?;
    let mut plan = look.plan()?;
    if look.may_write() {
        look.apply_objects(&plan).await?;
        // What is in the way is known now.
        plan = look.plan()?;
    }
    let before = group.status.as_ref();
    let written = status::write(&api, &shared.writes, group, before, &plan.status).await?;
    if plan.may_go {
        status::finalize(&api, &shared.writes, written.as_ref().unwrap_or(group), false).await?;
        shared.kept.catalogs.forget(&ObjectKey::of(&group.metadata));
        return Ok(Duration::from_secs(60));
    }
    let tell = |notices: Vec<Notice>| shared.events.tell(&group.object_ref(&()), notices);
    if let Some(written) = written {
        let nothing = ReplicationGroupStatus::default();
        tell(group_notices(before.unwrap_or(&nothing), &plan.status));
        shared.caches.wrote_group(written);
    }
    if look.observed.foreign.is_empty() && look.observed.refused.is_none() {
        for action in &plan.actions {
            if look.carry_out(action).await? == Outcome::Done {
                tell(action_notice(&look.observed, action).into_iter().collect());
            }
        }
    }
    let is_ready = plan
        .status
        .conditions
        .first()
        .is_some_and(|ready| ready.status == Status::True);
    Ok(match (plan.actions.is_empty(), is_ready) {
        (false, _) => Duration::from_millis(500),
        (true, false) => Duration::from_secs(2),
        // What only nodes know is said within ten seconds.
        (true, true) => Duration::from_secs(8),
    })
}

pub(super) struct Look<'a> {
    pub(super) shared: &'a Shared,
    pub(super) group: &'a ReplicationGroup,
    image: String,
    public_key: Option<String>,
    pub(super) observed: Observed,
    pub(super) leader: Option<Client>,
}

impl<'a> Look<'a> {
    async fn new(shared: &'a Shared, group: &'a ReplicationGroup) -> Result<Look<'a>, Error> {
        let written = group.status.as_ref().and_then(|status| status.image.clone());
        let image = group
            .spec
            .image
            .clone()
            .or(written)
            .unwrap_or_else(|| shared.image.clone());
        let mut found = observe::members(shared, group);
        machines::look(shared, &mut found.members).await;
        let (key, taken) = secrets::of_group(shared, group, &image).await?;
        found.foreign.extend(taken);
        let namespace = group.namespace().unwrap_or_default();
        let signs = key.as_ref().filter(|_| group.spec.auth.mode == AuthMode::Token);
        let said = match group.name_any().parse() {
            Ok(name) => {
                let nodes = Nodes::new(name, &found.pods, shared, signs);
                nodes.ask(&namespace).await
            }
            Err(_) => Said::nothing(),
        };
        let databases = match &said.leader {
            Some(leader) => databases(shared, group, leader).await,
            None => Seen::Unknown,
        };
        let observed = Observed {
            group: group.clone(),
            members: found.members,
            membership: said.membership,
            answers: said.troubles,
            credentials: secrets::credentials(shared, group).await,
            certificates: secrets::certificates(shared, group).await,
            databases,
            referring: referring(shared, group),
            foreign: found.foreign,
            refused: unsupported(group),
        };
        let public_key = key.map(|key| key.public());
        Ok(Look {
            shared,
            group,
            image,
            public_key,
            observed,
            leader: said.leader,
        })
    }

    pub(super) fn context(&self) -> Context<'_> {
        Context {
            group: self.group,
            image: &self.image,
            public_key: self.public_key.as_deref(),
            revision: TEMPLATE_REVISION,
        }
    }

    fn plan(&self) -> Result<Plan, Error> {
        let plan = plan_group(&self.observed, &self.context(), &now());
        let objections = lint(&self.observed, &plan.actions);
        match objections.is_empty() {
            true => Ok(plan),
            false => Err(Error::Plan(objections.join("; "))),
        }
    }

    fn may_write(&self) -> bool {
        let is_paused = self
            .group
            .annotations()
            .get(names::PAUSED)
            .is_some_and(|value| value == "true");
        self.group.metadata.deletion_timestamp.is_none() && !is_paused
    }

    pub(super) fn objects(&self) -> Objects<'_> {
        Objects::of(self.shared)
    }

    /// Services, ConfigMap and the like. The ConfigMap comes before the pods that mount it.
    async fn apply_objects(&mut self, plan: &Plan) -> Result<(), Error> {
        let objects = group_objects(&self.context(), &configured(&self.observed, &plan.actions));
        for object in &objects.wanted {
            match self.objects().ensure(object).await {
                Ok(Ensured::Right) => {}
                Ok(Ensured::Foreign) => self.observed.foreign.push(title(object)),
                Err(error) => match error.refusal() {
                    Some(why) => self.observed.refused = Some(format!("{}: {why}", title(object))),
                    None => return Err(error),
                },
            }
        }
        for object in &objects.unwanted {
            // Kinds of others may not be installed.
            if object["kind"] != "ServiceMonitor" {
                self.objects().remove(object, &DeleteParams::default()).await?;
            }
        }
        Ok(())
    }
}

pub(super) fn unix_seconds() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or(0)
}

/// Database objects that refer to the group, or that it still serves.
fn referring(shared: &Shared, group: &ReplicationGroup) -> Vec<String> {
    let databases = shared.caches.databases_of(&ObjectKey::of(&group.metadata));
    let mut names: Vec<String> = databases.iter().map(|(key, _)| key.to_string()).collect();
    names.sort();
    names
}

/// Lists the databases of the group, and wakes those that changed.
async fn databases(shared: &Shared, group: &ReplicationGroup, leader: &Client) -> Seen<DatabasesSeen> {
    let key = ObjectKey::of(&group.metadata);
    let (catalog, before) = match shared.kept.catalogs.refresh(&key, leader).await {
        Ok(lists) => lists,
        Err(error) => {
            tracing::info!(%error, group = group.name_any(), "databases could not be listed");
            return Seen::Unknown;
        }
    };
    let objects = shared.caches.databases_of(&key);
    let id = |database: &orion_crds::Database| database.status.as_ref()?.database_id.clone();
    let managed: BTreeSet<String> = objects.iter().filter_map(|(_, object)| id(object)).collect();
    let made = catalog.all();
    let now: BTreeSet<String> = made.iter().map(|made| shown(made)).collect();
    let then: BTreeSet<String> = before
        .iter()
        .flat_map(|before| before.all())
        .map(|made| shown(&made))
        .collect();
    if before.is_some() && now != then {
        let changed: BTreeSet<&str> = now
            .symmetric_difference(&then)
            .filter_map(|shown| shown.split(' ').next())
            .collect();
        for (key, object) in &objects {
            if id(object).is_some_and(|id| changed.contains(id.as_str())) {
                (shared.wake)(Target::Database(key.clone()));
            }
        }
    }
    let unmanaged = made.iter().filter(|made| !managed.contains(&made.id.to_string()));
    let mut unmanaged: Vec<String> = unmanaged.map(|made| made.name.to_string()).collect();
    unmanaged.sort();
    Seen::Known(DatabasesSeen {
        total: u32::try_from(made.len()).unwrap_or(u32::MAX),
        unmanaged,
    })
}

/// What a Database's status shows of it, after its id.
fn shown(made: &Made) -> String {
    let size = shown_size(made.size_bytes);
    format!(
        "{} {} {:?} {} {size} {:?}",
        made.id, made.name, made.state, made.epoch.0, made.limits
    )
}

/// What the kinds can say and this version cannot do. Better no group than one that lacks what was asked for.
fn unsupported(group: &ReplicationGroup) -> Option<String> {
    let spec = &group.spec;
    let wishes = [
        (spec.tls.issuer == Issuer::CertManager, "tls.issuer: CertManager"),
        (spec.tls.clients == TlsPolicy::Required, "tls.clients: Required"),
        (!spec.auth.trusted_keys.is_empty(), "auth.trustedKeys"),
        (spec.failover.automatic, "failover.automatic"),
        (spec.drain, "drain"),
        (
            spec.bootstrap.policy == orion_crds::group::BootstrapPolicy::Recover,
            "bootstrap.policy: Recover",
        ),
    ];
    let wish = wishes.into_iter().find(|(is_wished, _)| *is_wished)?.1;
    Some(format!("{wish} is not carried out by this version"))
}
