//! One look at a group, and what comes of it.

use super::nodes::{Nodes, settled, wire_role};
use super::objects::{Ensured, Objects, title};
use super::{Error, Shared, certificates, keys, now, observe, status};
use crate::metrics::Kind;
use crate::names::{self, MANAGER, MemberName};
use crate::plan::{
    Action, DatabasesSeen, MemberSeen, Observed, Plan, Restart, Seen, configured, lint, plan_group,
    present_group,
};
use crate::render::{
    Context, MemberTemplate, TEMPLATE_REVISION, claim_growth, group_objects, keys_secret, peers_secret,
    statefulset,
};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, EvictParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::{Api, ResourceExt};
use orion_api::admin::ChangeMembers;
use orion_api::client::Client;
use orion_crds::ReplicationGroup;
use orion_crds::condition::Status;
use orion_crds::group::{AuthMode, Issuer, TlsPolicy};
use serde_json::{Value, json};
use std::time::Duration;

/// Looks, plans, writes the status, and does what is planned. Returns when to look again at the latest.
pub async fn reconcile_group(shared: &Shared, group: &ReplicationGroup) -> Result<Duration, Error> {
    let api: Api<ReplicationGroup> =
        Api::namespaced(shared.client.clone(), &group.namespace().unwrap_or_default());
    if group.metadata.deletion_timestamp.is_none() {
        status::finalize(&api, &shared.writes, group, true).await?;
    }
    let mut look = Look::new(shared, group).await?;
    let mut plan = look.plan()?;
    if look.may_write() {
        look.apply_objects(&plan).await?;
        // What is in the way is known now.
        plan = look.plan()?;
    }
    let before = group.status.as_ref();
    status::write(&api, &shared.writes, group, before, &plan.status).await?;
    if plan.may_go {
        status::finalize(&api, &shared.writes, group, false).await?;
        return Ok(Duration::from_secs(60));
    }
    if look.observed.foreign.is_empty() && look.observed.refused.is_none() {
        for action in &plan.actions {
            look.carry_out(action).await?;
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
        (true, true) => Duration::from_secs(15),
    })
}

struct Look<'a> {
    shared: &'a Shared,
    group: &'a ReplicationGroup,
    image: String,
    public_key: Option<String>,
    observed: Observed,
    leader: Option<Client>,
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
        let mut found = observe::members(shared, group).await?;
        let (key, taken) = secrets(shared, group, &image).await?;
        found.foreign.extend(taken);
        let namespace = group.namespace().unwrap_or_default();
        let token = match group.spec.auth.mode {
            AuthMode::Token => key.as_ref().map(|key| key.admin_token(unix_seconds())),
            AuthMode::None => None,
        };
        let (membership, leader) = match group.name_any().parse() {
            Ok(name) => {
                let nodes = Nodes::new(name, &found.pods, &shared.endpoint, token.as_deref());
                nodes.membership(&namespace).await
            }
            Err(_) => (Seen::Unknown, None),
        };
        let databases = match &leader {
            Some(leader) => databases(shared, group, leader).await,
            None => Seen::Unknown,
        };
        let observed = Observed {
            group: group.clone(),
            members: found.members,
            membership,
            credentials: observe::credentials(shared, group).await,
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
            leader,
        })
    }

    fn context(&self) -> Context<'_> {
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

    fn objects(&self) -> Objects<'_> {
        Objects {
            client: &self.shared.client,
            writes: &self.shared.writes,
        }
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

    async fn carry_out(&self, action: &Action) -> Result<(), Error> {
        tracing::info!(group = self.group.name_any(), ?action, "carried out");
        self.shared.metrics.acts(Kind::Group, action.name());
        match action {
            Action::CreateMember {
                member,
                joins_as_voter,
            } => {
                self.write_member(member, *joins_as_voter, !self.group.spec.hibernated, false)
                    .await
            }
            Action::UpdateMember {
                member,
                runs,
                is_leaving,
            } => {
                let joins = self.seen(member).is_some_and(|seen| seen.joins_as_voter);
                self.write_member(member, joins, *runs, *is_leaving).await
            }
            Action::DeleteMember { member } => self.delete_member(member, &DeleteParams::background()).await,
            Action::OrphanMember { member } => {
                let parameters = DeleteParams {
                    propagation_policy: Some(PropagationPolicy::Orphan),
                    ..DeleteParams::default()
                };
                self.delete_member(member, &parameters).await
            }
            Action::DeleteClaim { member } => self.delete_claim(member).await,
            Action::GrowClaim { member, size } => {
                let name = member.claim(&self.group.name_any());
                let patch = Patch::Merge(claim_growth(size));
                self.shared.writes.next()?;
                self.api::<PersistentVolumeClaim>()
                    .patch(&name, &PatchParams::default(), &patch)
                    .await?;
                Ok(())
            }
            Action::RestartPod { member, uid, how } => self.restart(member, uid, *how).await,
            Action::LabelPod { member, role, leads } => {
                let labels = json!({
                    (names::ROLE): names::role_label(*role), (names::LEADER): leads.to_string()
                });
                let patch = json!({ "metadata": { "labels": labels } });
                self.shared.writes.next()?;
                let name = member.pod(&self.group.name_any());
                let parameters = PatchParams {
                    field_manager: Some(MANAGER.into()),
                    ..PatchParams::default()
                };
                gone_is_well(
                    self.api::<Pod>()
                        .patch(&name, &parameters, &Patch::Merge(patch))
                        .await,
                )
            }
            Action::ChangeRoles { .. } | Action::RemoveNode { .. } | Action::ChangeLeader { .. } => {
                self.change_raft(action).await
            }
        }
    }

    async fn change_raft(&self, action: &Action) -> Result<(), Error> {
        let Some(leader) = &self.leader else { return Ok(()) };
        let Ok(name) = self.group.name_any().parse() else {
            return Ok(());
        };
        self.shared.writes.next()?;
        match action {
            Action::ChangeRoles { roles } => {
                let roles = roles
                    .iter()
                    .map(|(node, role)| (*node, wire_role(*role)))
                    .collect();
                settled(leader.change_members(&name, &ChangeMembers { roles }).await)
            }
            Action::RemoveNode { node } => settled(leader.remove_member(&name, *node).await),
            Action::ChangeLeader { node } => settled(leader.change_leader(&name, *node).await),
            _ => Ok(()),
        }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(
            self.shared.client.clone(),
            &self.group.namespace().unwrap_or_default(),
        )
    }

    fn seen(&self, member: &MemberName) -> Option<&MemberSeen> {
        self.observed.members.get(member)
    }

    async fn write_member(
        &self,
        member: &MemberName,
        joins_as_voter: bool,
        runs: bool,
        is_leaving: bool,
    ) -> Result<(), Error> {
        let set = self
            .group
            .spec
            .member_sets
            .iter()
            .find(|set| set.name == member.set);
        let Some(set) = set else {
            return self.mark_leaving(member, runs).await;
        };
        let template = MemberTemplate {
            set,
            member,
            joins_as_voter,
            runs,
            is_leaving,
        };
        let mut object = statefulset(&self.context(), template);
        // A claim template cannot change; a disk that is to grow grows by itself.
        if let Some(size) = self
            .seen(member)
            .and_then(|seen| seen.claim_template_size.as_ref())
        {
            object["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] =
                json!(size);
        }
        self.objects().ensure(&object).await.map(drop)
    }

    /// Of a set that the spec has no more nothing can be rendered.
    async fn mark_leaving(&self, member: &MemberName, runs: bool) -> Result<(), Error> {
        let name = member.statefulset(&self.group.name_any());
        let patch = json!({
            "metadata": { "annotations": { (names::LEAVING): "true" } },
            "spec": { "replicas": if runs { 1 } else { 0 } }
        });
        self.shared.writes.next()?;
        let api = self.api::<k8s_openapi::api::apps::v1::StatefulSet>();
        gone_is_well(
            api.patch(&name, &PatchParams::default(), &Patch::Merge(patch))
                .await,
        )
    }

    async fn delete_member(&self, member: &MemberName, parameters: &DeleteParams) -> Result<(), Error> {
        let object = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {
                "name": member.statefulset(&self.group.name_any()),
                "namespace": self.group.namespace(),
                "ownerReferences": [{ "controller": true, "uid": self.group.metadata.uid }]
            }
        });
        self.objects().remove(&object, parameters).await
    }

    async fn delete_claim(&self, member: &MemberName) -> Result<(), Error> {
        let name = member.claim(&self.group.name_any());
        self.shared.writes.next()?;
        gone_is_well(
            self.api::<PersistentVolumeClaim>()
                .delete(&name, &DeleteParams::default())
                .await,
        )
    }

    /// Only the pod that was seen. A refused eviction is a reason to wait, not an error.
    async fn restart(&self, member: &MemberName, uid: &str, how: Restart) -> Result<(), Error> {
        let name = member.pod(&self.group.name_any());
        let preconditions = Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        });
        let parameters = DeleteParams {
            preconditions,
            ..DeleteParams::default()
        };
        let pods = self.api::<Pod>();
        self.shared.writes.next()?;
        match how {
            Restart::Delete => gone_is_well(pods.delete(&name, &parameters).await),
            Restart::Evict => {
                let eviction = EvictParams {
                    delete_options: Some(parameters),
                    ..EvictParams::default()
                };
                match pods.evict(&name, &eviction).await {
                    Err(kube::Error::Api(status)) if status.code == 429 => Ok(()),
                    other => gone_is_well(other),
                }
            }
        }
    }
}

/// What was to be changed is not there any more, or is another one: the next look sees it.
fn gone_is_well<T>(answer: kube::Result<T>) -> Result<(), Error> {
    match answer {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

pub(super) fn unix_seconds() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or(0)
}

/// The group's own Secrets: made at the first look, and kept. Returns the key, and the names that somebody else has.
async fn secrets(
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
    let objects = Objects {
        client: &shared.client,
        writes: &shared.writes,
    };
    let mut foreign = Vec::new();
    let is_going = group.metadata.deletion_timestamp.is_some();
    let fresh = keys::Key::generate()?;
    let wanted = keys_secret(&context, &fresh.to_pem(), &fresh.public());
    let (ensured, found) = once(&objects, &wanted, is_going).await?;
    let key = match (ensured, found.is_object()) {
        (Ensured::Right, true) => Some(keys::Key::of_secret(&found)?),
        (Ensured::Right, false) => None,
        (Ensured::Foreign, _) => {
            foreign.push(title(&wanted));
            None
        }
    };
    let makes_certificates = group.spec.tls.issuer == Issuer::Operator;
    if group.spec.tls.peers == TlsPolicy::Required && makes_certificates && !is_going {
        let wanted = peers_secret(&context, &[]);
        if objects.get(&wanted).await?.is_none() {
            let files = certificates::make(&group.name_any())?;
            objects.create_once(&peers_secret(&context, &files)).await?;
        } else if objects.create_once(&wanted).await?.0 == Ensured::Foreign {
            foreign.push(title(&wanted));
        }
    }
    Ok((key, foreign))
}

async fn once(objects: &Objects<'_>, wanted: &Value, is_going: bool) -> Result<(Ensured, Value), Error> {
    match is_going {
        // Nothing is made for what goes.
        true => Ok((Ensured::Right, objects.get(wanted).await?.unwrap_or_default())),
        false => objects.create_once(wanted).await,
    }
}

/// Database objects that refer to the group, or that it still serves.
fn referring(shared: &Shared, group: &ReplicationGroup) -> Vec<String> {
    let (name, namespace) = (group.name_any(), group.namespace());
    let databases = shared.databases.state();
    let refers = databases.iter().filter(|database| {
        let present = present_group(database);
        present.name == name && present.namespace == namespace
    });
    refers
        .map(|database| {
            format!(
                "{}/{}",
                database.namespace().unwrap_or_default(),
                database.name_any()
            )
        })
        .collect()
}

async fn databases(shared: &Shared, group: &ReplicationGroup, leader: &Client) -> Seen<DatabasesSeen> {
    let all = match leader.all_databases(false).await {
        Ok(all) => all,
        Err(error) => {
            tracing::info!(%error, group = group.name_any(), "databases could not be listed");
            return Seen::Unknown;
        }
    };
    let objects = shared.databases.state();
    let managed: std::collections::BTreeSet<&str> = objects
        .iter()
        .filter_map(|object| object.status.as_ref()?.database_id.as_deref())
        .collect();
    let of_group: Vec<_> = all
        .iter()
        .filter(|made| made.group.as_str() == group.name_any())
        .collect();
    let is_unmanaged = |made: &&&orion_api::admin::Database| !managed.contains(made.id.to_string().as_str());
    let unmanaged = of_group
        .iter()
        .filter(is_unmanaged)
        .map(|made| made.name.to_string());
    Seen::Known(DatabasesSeen {
        total: u32::try_from(of_group.len()).unwrap_or(u32::MAX),
        unmanaged: unmanaged.collect(),
    })
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
