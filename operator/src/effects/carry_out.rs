//! A group's actions, one by one: each as the plan says, of the very object that was seen.

use super::Error;
use super::group::Look;
use super::nodes::{settled, wire_role};
use crate::metrics::Kind;
use crate::names::{self, MANAGER, MemberName};
use crate::plan::{Action, MemberSeen, Restart};
use crate::render::{MemberTemplate, claim_growth, statefulset};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, EvictParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::{Api, ResourceExt};
use orion_api::admin::ChangeMembers;
use serde_json::json;

/// What came of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is done, or begun.
    Done,
    /// Nothing was done: it is not possible now, or somebody was first. The next look plans anew.
    Nothing,
}

impl Look<'_> {
    pub(super) async fn carry_out(&self, action: &Action) -> Result<Outcome, Error> {
        tracing::info!(group = self.group.name_any(), ?action, "carried out");
        self.shared.metrics.acts(Kind::Group, action.name());
        match action {
            Action::CreateMember {
                member,
                joins_as_voter,
            } => {
                self.write_member(member, *joins_as_voter, !self.group.spec.hibernated, false)
                    .await?;
                Ok(Outcome::Done)
            }
            Action::UpdateMember {
                member,
                runs,
                is_leaving,
            } => {
                let joins = self.seen(member).is_some_and(|seen| seen.joins_as_voter);
                self.write_member(member, joins, *runs, *is_leaving).await?;
                Ok(Outcome::Done)
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
                Ok(Outcome::Done)
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

    async fn change_raft(&self, action: &Action) -> Result<Outcome, Error> {
        let Some(leader) = &self.leader else {
            return Ok(Outcome::Nothing);
        };
        let Ok(name) = self.group.name_any().parse() else {
            return Ok(Outcome::Nothing);
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
            _ => Ok(Outcome::Nothing),
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
        .map(drop)
    }

    async fn delete_member(&self, member: &MemberName, parameters: &DeleteParams) -> Result<Outcome, Error> {
        let object = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {
                "name": member.statefulset(&self.group.name_any()),
                "namespace": self.group.namespace(),
                "ownerReferences": [{ "controller": true, "uid": self.group.metadata.uid }]
            }
        });
        Ok(match self.objects().remove(&object, parameters).await? {
            true => Outcome::Done,
            false => Outcome::Nothing,
        })
    }

    async fn delete_claim(&self, member: &MemberName) -> Result<Outcome, Error> {
        let name = member.claim(&self.group.name_any());
        self.shared.writes.next()?;
        gone_is_well(
            self.api::<PersistentVolumeClaim>()
                .delete(&name, &DeleteParams::default())
                .await,
        )
    }

    /// Only the pod that was seen. A refused eviction is a reason to wait, not an error.
    async fn restart(&self, member: &MemberName, uid: &str, how: Restart) -> Result<Outcome, Error> {
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
                    Err(kube::Error::Api(status)) if status.code == 429 => Ok(Outcome::Nothing),
                    other => gone_is_well(other),
                }
            }
        }
    }
}

/// What was to be changed is not there any more, or is another one: the next look sees it.
fn gone_is_well<T>(answer: kube::Result<T>) -> Result<Outcome, Error> {
    match answer {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {
            Ok(Outcome::Nothing)
        }
        other => Ok(other.map(|_| Outcome::Done)?),
    }
}
