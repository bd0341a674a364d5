//! What people are told: each thing once, and nothing when nothing happens.

use crate::world::{BROKEN, World, voters};
use orion_crds::Condition;
use orion_crds::condition::Status;
use orion_crds::database::DatabaseStatus;
use orion_crds::group::condition;
use orion_operator::names;
use orion_operator::plan::{Notice, database_notices, group_notices};
use serde_json::json;
use std::collections::BTreeMap;

fn counted(told: &[Notice]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for notice in told {
        *counts.entry(notice.reason.clone()).or_default() += 1;
    }
    counts
}

fn counts(wanted: &[(&str, usize)]) -> BTreeMap<String, usize> {
    wanted
        .iter()
        .map(|(reason, count)| ((*reason).to_owned(), *count))
        .collect()
}

fn begun(replicas: u32) -> World {
    let mut world = World::new(json!([voters("a", replicas)]));
    world.settle(40);
    world
}

#[test]
fn a_beginning_is_told_once() {
    let mut world = begun(3);
    let wanted = counts(&[("Bootstrapped", 1), ("MemberAdded", 3), ("Ready", 1)]);
    assert_eq!(counted(&world.told), wanted, "{:#?}", world.told);
    world.told.clear();
    for _ in 0..10 {
        world.step();
        world.reconcile(usize::MAX);
    }
    assert_eq!(world.told, [], "nothing happened");
}

#[test]
fn a_roll_is_told_from_its_begin_to_its_end() {
    let mut world = begun(3);
    world.told.clear();
    world.group.spec.image = Some("orion:2".into());
    world.settle(60);
    let wanted = counts(&[
        ("RollBegun", 1),
        ("PodRestarted", 3),
        ("HandOver", 1),
        ("LeaderChanged", 1),
        ("RollDone", 1),
    ]);
    assert_eq!(counted(&world.told), wanted, "{:#?}", world.told);
}

#[test]
fn a_bad_image_is_told_as_a_halted_roll_that_ends_when_it_is_taken_back() {
    let mut world = begun(3);
    world.told.clear();
    world.group.spec.image = Some(BROKEN.into());
    for _ in 0..20 {
        world.step();
        world.reconcile(usize::MAX);
    }
    let halted: Vec<&Notice> = world.told.iter().filter(|notice| notice.is_warning).collect();
    let [halted] = halted.as_slice() else {
        panic!("{:#?}", world.told)
    };
    assert_eq!(halted.reason, "RollHalted");
    assert!(halted.note.contains("ErrImagePull"), "{halted:?}");
    world.told.clear();
    world.group.spec.image = Some("orion:1".into());
    world.settle(40);
    let told = counted(&world.told);
    assert_eq!(told.get("RollDone"), Some(&1), "{told:?}");
    assert!(world.told.iter().all(|notice| !notice.is_warning), "{told:?}");
}

#[test]
fn a_lost_member_is_told_with_its_successor() {
    let mut world = begun(3);
    world.told.clear();
    world.annotate(names::REPLACE, "g-a-1-0");
    world.settle(60);
    let told = counted(&world.told);
    for reason in ["MemberLost", "MemberAdded", "MemberRemoved", "Ready"] {
        assert_eq!(told.get(reason), Some(&1), "{reason}: {told:?}");
    }
}

fn said(type_: &str, status: Status, reason: &str) -> Condition {
    Condition {
        type_: type_.into(),
        status,
        reason: reason.into(),
        message: format!("because of {reason}"),
        last_transition_time: "2026-01-01T00:00:00Z".into(),
        observed_generation: None,
    }
}

#[test]
fn each_condition_is_told_when_it_turns_bad_and_when_it_is_good_again() {
    use condition as of;
    let (yes, no) = (Status::True, Status::False);
    for (type_, good, bad) in [
        (of::QUORUM_HEALTHY, yes, no),
        (of::OBJECT_STORE_REACHABLE, yes, no),
        (of::CREDENTIALS_VALID, yes, no),
        (of::CERTIFICATES_VALID, yes, no),
        (of::PLACEMENT_SATISFIED, yes, no),
        (of::DISK_PRESSURE, no, yes),
        (of::DELETION_BLOCKED, no, yes),
    ] {
        let mut world = begun(1);
        let mut status = world.group.status.take().expect("it was planned");
        let mut tell = |status_now: Status, reason: &str| {
            let before = status.clone();
            status.conditions.retain(|condition| condition.type_ != type_);
            status.conditions.push(said(type_, status_now, reason));
            let told = group_notices(&before, &status);
            told.into_iter()
                .map(|notice| (notice.is_warning, notice.reason))
                .collect::<Vec<_>>()
        };
        tell(good, "AsWished");
        let worse = |reason: &str| vec![(true, reason.to_owned())];
        assert_eq!(tell(bad, "Bad"), worse("Bad"), "{type_}");
        assert_eq!(tell(bad, "Bad"), [], "{type_}: the same again");
        assert_eq!(tell(bad, "Worse"), worse("Worse"), "{type_}");
        let well = tell(good, "AsWished");
        assert!(matches!(well.as_slice(), [(false, _)]), "{type_}: {well:?}");
        assert_eq!(tell(Status::Unknown, "Unknown"), [], "{type_}: nobody knows");
        assert_eq!(tell(good, "AsWished"), [], "{type_}");
    }
}

#[test]
fn a_database_whose_group_does_not_serve_is_not_told_of() {
    let status = |status, reason: &str, id: Option<&str>| DatabaseStatus {
        conditions: vec![said(condition::READY, status, reason)],
        database_id: id.map(str::to_owned),
        ..DatabaseStatus::default()
    };
    let reasons = |before: &DatabaseStatus, now: &DatabaseStatus| counted(&database_notices(before, now));
    let (nothing, made) = (
        DatabaseStatus::default(),
        status(Status::True, "AsWished", Some("x")),
    );
    assert_eq!(reasons(&nothing, &made), counts(&[("DatabaseMade", 1)]));
    assert_eq!(reasons(&made, &made), counts(&[]));
    let waits = status(Status::False, "GroupNotReady", Some("x"));
    assert_eq!(reasons(&made, &waits), counts(&[]));
    assert_eq!(reasons(&waits, &made), counts(&[]));
    let taken = status(Status::False, "NameTaken", Some("x"));
    assert_eq!(reasons(&made, &taken), counts(&[("NameTaken", 1)]));
    assert_eq!(reasons(&taken, &taken), counts(&[]));
    assert_eq!(reasons(&taken, &made), counts(&[("Ready", 1)]));
}
