//! One thing happens, and what must come of it.

use crate::world::{BROKEN, World, member, voters};
use orion_crds::group::{Phase, reason};
use orion_operator::names;
use orion_operator::plan::{Action, Restart};
use serde_json::json;

fn settled(replicas: u32) -> World {
    let mut world = World::new(json!([voters("a", replicas)]));
    world.settle(40);
    world
}

fn phase(world: &World) -> Option<Phase> {
    world.plan().status.phase
}

fn reason_of(world: &World, type_: &str) -> String {
    let status = world.plan().status;
    let condition = status
        .conditions
        .into_iter()
        .find(|condition| condition.type_ == type_);
    condition.expect("the condition is there").reason
}

#[test]
fn a_group_begins_once_and_becomes_ready() {
    let world = settled(3);
    assert_eq!(phase(&world), Some(Phase::Ready));
    let status = world.plan().status;
    assert_eq!(status.ready.as_deref(), Some("3/3"));
    assert_eq!(status.group_id, world.group.metadata.uid);
    assert_eq!(status.next_member, Some(3));
    assert_eq!(status.members.len(), 3);
    assert!(world.plan().actions.is_empty(), "nothing is to be done any more");
}

#[test]
fn three_five_three_one_three() {
    let mut world = settled(3);
    for replicas in [5, 3, 1, 3] {
        world.change(json!([voters("a", replicas)]));
        world.settle(60);
        assert_eq!(world.voter_ids().len(), replicas as usize);
    }
    assert_eq!(
        world.plan().status.next_member,
        Some(7),
        "no number was used again"
    );
}

#[test]
fn from_one_to_three_goes_by_one_change() {
    let mut world = settled(1);
    world.change(json!([voters("a", 3)]));
    world.done.clear();
    world.settle(40);
    let changes: Vec<&Action> = world
        .done
        .iter()
        .filter(|action| matches!(action, Action::ChangeRoles { .. }))
        .collect();
    assert_eq!(changes.len(), 1, "{changes:?}");
}

#[test]
fn the_leader_is_the_last_to_go() {
    let mut world = settled(3);
    let leader = world.leader.expect("somebody leads");
    world.change(json!([voters("a", 1)]));
    world.settle(40);
    assert_eq!(world.leader, Some(leader), "it never had to hand over");
    assert!(
        !world
            .done
            .iter()
            .any(|action| matches!(action, Action::ChangeLeader { .. }))
    );
}

#[test]
fn what_cannot_be_reached_goes_first() {
    let mut world = settled(5);
    let broken = world
        .raft
        .iter()
        .find(|(id, _)| Some(**id) != world.leader)
        .expect("a follower")
        .1
        .member
        .clone();
    if let Some(pod) = world.pods.get_mut(&broken) {
        pod.image = BROKEN.into();
    }
    world.change(json!([voters("a", 3)]));
    for _ in 0..30 {
        world.step();
        world.reconcile(usize::MAX);
    }
    assert!(
        !world.sets.contains_key(&broken),
        "the unreachable one is among those that went"
    );
    assert_eq!(world.voter_ids().len(), 3);
}

#[test]
fn a_roll_restarts_one_at_a_time_and_the_leader_last() {
    let mut world = settled(3);
    let leader = world
        .leader
        .map(|id| world.raft[&id].member.clone())
        .expect("somebody leads");
    world.group.spec.image = Some("orion:2".into());
    world.done.clear();
    world.settle(60);
    let restarts: Vec<_> = world
        .done
        .iter()
        .filter_map(|action| match action {
            Action::RestartPod { member, how, .. } => Some((member.clone(), *how)),
            _ => None,
        })
        .collect();
    assert_eq!(restarts.len(), 3, "{restarts:?}");
    assert_eq!(restarts[2].0, leader);
    assert!(restarts.iter().all(|(_, how)| *how == Restart::Evict));
    let handed_over = world
        .done
        .iter()
        .position(|action| matches!(action, Action::ChangeLeader { .. }));
    let last = world
        .done
        .iter()
        .rposition(|action| matches!(action, Action::RestartPod { .. }));
    assert!(handed_over.expect("it handed over") < last.expect("it restarted"));
}

#[test]
fn a_bad_image_halts_the_roll_and_can_be_taken_back() {
    let mut world = settled(3);
    world.group.spec.image = Some(BROKEN.into());
    for _ in 0..20 {
        world.step();
        world.reconcile(usize::MAX);
    }
    let broken = world.pods.values().filter(|pod| pod.image == BROKEN).count();
    assert_eq!(broken, 1, "only the first one was touched");
    assert_eq!(reason_of(&world, "Ready"), reason::ROLL_HALTED);
    assert!(world.has_majority());
    world.group.spec.image = Some("orion:1".into());
    world.settle(40);
}

#[test]
fn a_new_image_is_not_called_ready_before_pods_run_it() {
    let mut world = settled(3);
    world.group.spec.image = Some("orion:2".into());
    // The first look: no StatefulSet has the new template yet.
    world.reconcile(usize::MAX);
    assert_eq!(phase(&world), Some(Phase::Updating));
    assert_eq!(reason_of(&world, "Progressing"), reason::ROLLING);
    world.settle(60);
    assert_eq!(phase(&world), Some(Phase::Ready));
}

#[test]
fn a_bad_first_image_can_be_mended() {
    let mut world = World::new(json!([voters("a", 3)]));
    world.group.spec.image = Some(BROKEN.into());
    for _ in 0..10 {
        world.step();
        world.reconcile(usize::MAX);
    }
    assert_eq!(phase(&world), Some(Phase::Bootstrapping));
    world.group.spec.image = Some("orion:1".into());
    world.settle(40);
}

#[test]
fn a_lost_disk_is_replaced_by_another_member() {
    let mut world = settled(3);
    let lost = member("a", 1);
    world.annotate(names::REPLACE, "g-a-1-0");
    world.settle(60);
    assert!(!world.sets.contains_key(&lost));
    assert!(world.sets.contains_key(&member("a", 3)));
    assert!(world.disks.contains_key(&lost), "the old disk is kept");
    let exchanges = world
        .done
        .iter()
        .filter(|action| matches!(action, Action::ChangeRoles { .. }))
        .count();
    assert_eq!(exchanges, 1, "one votes for the other at once");
}

#[test]
fn a_machine_that_is_gone_takes_its_member_with_it() {
    let mut world = settled(3);
    let lost = member("a", 1);
    world.lose_machine(&lost);
    world.settle(60);
    assert!(!world.sets.contains_key(&lost));
    assert!(world.sets.contains_key(&member("a", 3)));
    assert!(world.disks.contains_key(&lost), "the old disk is kept");
    assert_eq!(world.voter_ids().len(), 3);
}

#[test]
fn a_member_that_is_only_not_ready_is_not_replaced() {
    let mut world = settled(3);
    for _ in 0..30 {
        world.pods.remove(&member("a", 1));
        world.elect();
        world.reconcile(usize::MAX);
    }
    assert_eq!(
        world.plan().status.next_member,
        Some(3),
        "no member was made for it"
    );
    world.settle(40);
    assert!(world.sets.contains_key(&member("a", 1)));
}

#[test]
fn nobody_is_replaced_without_a_majority() {
    let mut world = settled(3);
    world.done.clear();
    for lost in [0, 1] {
        world.lose_machine(&member("a", lost));
    }
    for _ in 0..30 {
        world.step();
        world.reconcile(usize::MAX);
    }
    let changes_raft = |action: &&Action| {
        matches!(
            action,
            Action::ChangeRoles { .. } | Action::RemoveNode { .. } | Action::DeleteMember { .. }
        )
    };
    let changes: Vec<&Action> = world.done.iter().filter(changes_raft).collect();
    assert!(changes.is_empty(), "{changes:?}");
    assert_eq!(phase(&world), Some(Phase::Failed));
}

#[test]
fn a_deleted_statefulset_comes_back_as_the_same_member() {
    let mut world = settled(3);
    let node = world.disks[&member("a", 2)].node;
    world.sets.remove(&member("a", 2));
    world.pods.remove(&member("a", 2));
    world.settle(40);
    assert_eq!(world.disks[&member("a", 2)].node, node);
    assert!(world.raft[&node].votes);
    assert_eq!(world.plan().status.next_member, Some(3));
}

#[test]
fn all_deleted_statefulsets_come_back() {
    let mut world = settled(3);
    world.sets.clear();
    world.pods.clear();
    world.elect();
    world.settle(40);
    assert_eq!(world.plan().status.next_member, Some(3));
}

#[test]
fn disks_are_deleted_only_where_the_spec_says_so() {
    for (policy, disks_left) in [("Retain", 3), ("Delete", 1)] {
        let mut world = settled(3);
        let set = |replicas: u32| json!([{"name": "a", "replicas": replicas, "storage": {"size": "1Gi", "onScaleDown": policy}}]);
        world.change(set(3));
        world.settle(40);
        world.change(set(1));
        world.settle(40);
        assert_eq!(world.disks.len(), disks_left, "{policy}");
    }
}

#[test]
fn nothing_is_deleted_while_nobody_knows() {
    let mut world = settled(3);
    world.is_blind = true;
    world.change(json!([voters("a", 1)]));
    world.group.spec.image = Some("orion:2".into());
    world.done.clear();
    for _ in 0..10 {
        world.step();
        world.reconcile(usize::MAX);
    }
    assert!(
        world
            .done
            .iter()
            .all(|action| matches!(action, Action::UpdateMember { .. })),
        "{:?}",
        world.done
    );
    assert_eq!(reason_of(&world, "QuorumHealthy"), reason::UNKNOWN);
    world.is_blind = false;
    world.settle(60);
}

#[test]
fn a_disk_grows_and_its_statefulset_comes_anew_without_a_restart() {
    let mut world = settled(3);
    world.change(json!([{"name": "a", "replicas": 3, "storage": {"size": "2Gi"}}]));
    world.done.clear();
    world.settle(40);
    assert_eq!(world.disk_size_units(&member("a", 0)), Some(2 << 30));
    assert!(
        !world
            .done
            .iter()
            .any(|action| matches!(action, Action::RestartPod { .. })),
        "{:?}",
        world.done
    );
}

#[test]
fn a_paused_group_is_left_alone() {
    let mut world = settled(3);
    world.annotate(names::PAUSED, "true");
    world.change(json!([voters("a", 5)]));
    world.group.spec.image = Some("orion:2".into());
    assert!(world.plan().actions.is_empty());
    assert_eq!(reason_of(&world, "Progressing"), reason::PAUSED);
}

#[test]
fn a_fenced_pod_is_stopped_and_no_roll_takes_another() {
    let mut world = settled(3);
    world.annotate(names::FENCE, "g-a-2-0");
    world.group.spec.image = Some("orion:2".into());
    for _ in 0..20 {
        world.step();
        world.reconcile(usize::MAX);
    }
    assert!(!world.pods.contains_key(&member("a", 2)));
    assert!(world.has_majority());
    world.annotate(names::FENCE, "");
    world.settle(60);
}

#[test]
fn the_asked_pod_leads() {
    let mut world = settled(3);
    world.annotate(names::LEAD, "g-a-2-0");
    world.settle(40);
    let leader = world.leader.map(|id| world.raft[&id].member.clone());
    assert_eq!(leader, Some(member("a", 2)));
}

#[test]
fn voters_move_to_another_set() {
    let mut world = settled(3);
    world.change(json!([voters("a", 0), voters("b", 3)]));
    world.settle(60);
    world.change(json!([voters("b", 3)]));
    world.settle(40);
    assert!(world.raft.values().all(|node| node.member.set == "b"));
}

#[test]
fn readers_and_learners_do_not_vote() {
    let reader = json!({"name": "r", "role": "ReadReplica", "replicas": 2, "storage": {"size": "1Gi"}});
    let learner = json!({"name": "l", "role": "Learner", "replicas": 1, "storage": {"size": "1Gi"}});
    let mut world = World::new(json!([voters("a", 3), reader, learner]));
    world.settle(60);
    assert_eq!(world.voter_ids().len(), 3);
}

#[test]
fn hibernation_stops_all_and_ends() {
    let mut world = settled(3);
    world.group.spec.hibernated = true;
    for _ in 0..5 {
        world.step();
        world.reconcile(usize::MAX);
    }
    assert!(world.pods.is_empty());
    assert_eq!(phase(&world), Some(Phase::Hibernated));
    world.group.spec.hibernated = false;
    world.settle(40);
}

#[test]
fn numbers_are_never_used_again() {
    let mut world = settled(3);
    world.change(json!([voters("a", 1)]));
    world.settle(40);
    // The status is lost: disks, objects and Raft still say which numbers there were.
    if let Some(status) = &mut world.group.status {
        status.next_member = None;
    }
    world.change(json!([voters("a", 3)]));
    world.settle(40);
    assert_eq!(world.plan().status.next_member, Some(5));
}

/// Found by `convergence`.
#[test]
fn a_voter_that_is_too_many_comes_back_until_the_others_can_do_without_it() {
    let mut world = settled(3);
    world.change(json!([voters("a", 1)]));
    for lost in [1, 2] {
        world.sets.remove(&member("a", lost));
        world.pods.remove(&member("a", lost));
    }
    world.elect();
    assert!(!world.has_majority());
    world.settle(60);
}

/// Found by `convergence`.
#[test]
fn a_broken_voter_that_is_too_many_gets_the_mended_template() {
    let mut world = settled(3);
    world.group.spec.image = Some(BROKEN.into());
    for lost in [1, 2] {
        world.sets.remove(&member("a", lost));
        world.pods.remove(&member("a", lost));
    }
    for _ in 0..5 {
        world.step();
        world.reconcile(usize::MAX);
    }
    world.group.spec.image = Some("orion:1".into());
    world.change(json!([voters("a", 1)]));
    world.settle(60);
}
