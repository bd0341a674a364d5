//! Plans of databases.

use orion_api::admin::{Database as Made, DatabaseState, Limits};
use orion_api::{DatabaseId, Epoch, Version};
use orion_crds::Database;
use orion_crds::database::{Phase, reason};
use orion_operator::names;
use orion_operator::plan::{
    DatabaseAction, DatabaseObserved, DatabasePlan, GroupSeen, Seen, name_in_group, plan_database,
};
use serde_json::{Value, json};

const ID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";
const OTHER: &str = "67e55044-10b1-426f-9247-bb680e5fe0c9";

fn database(spec: Value) -> Database {
    let mut wish = json!({"groupRef": {"name": "main"}});
    for (key, value) in spec.as_object().expect("a map") {
        wish[key] = value.clone();
    }
    serde_json::from_value(json!({
        "apiVersion": "orion-db.dev/v1alpha1", "kind": "Database",
        "metadata": {"name": "app", "namespace": "prod", "uid": "uid-1", "finalizers": [names::FINALIZER]},
        "spec": wish
    }))
    .expect("a database")
}

fn made(id: &str) -> Made {
    Made {
        id: id.parse::<DatabaseId>().expect("an id"),
        name: "app".parse().expect("a name"),
        state: DatabaseState::Active,
        group: "main".parse().expect("a name"),
        epoch: Epoch(1),
        version: Version(7),
        size_bytes: 8192,
        created_at_ms: 5,
        deleted_at_ms: None,
        limits: Limits::default(),
        endpoint: None,
    }
}

fn observed(database: Database, made: Seen<Option<Made>>) -> DatabaseObserved {
    DatabaseObserved {
        database,
        group: GroupSeen::There {
            is_ready: true,
            is_schedulable: true,
            is_deleting: false,
        },
        made,
        foreign: Vec::new(),
        objects_are_right: true,
        namespace_goes: false,
        refused: None,
    }
}

fn plan(observed: &DatabaseObserved) -> DatabasePlan {
    plan_database(observed, "2026-01-01T00:00:00Z")
}

fn with_id(mut database: Database, id: &str) -> Database {
    database.status.get_or_insert_default().database_id = Some(id.into());
    database
}

fn deleting(mut database: Database) -> Database {
    let text = json!("2026-01-01T00:00:00Z");
    database.metadata.deletion_timestamp = serde_json::from_value(text).expect("a time");
    database
}

fn drops(plan: &DatabasePlan) -> bool {
    plan.actions
        .iter()
        .any(|action| matches!(action, DatabaseAction::Drop(_)))
}

fn goes(plan: &DatabasePlan) -> bool {
    plan.actions.contains(&DatabaseAction::RemoveFinalizer)
}

fn ready_reason(plan: &DatabasePlan) -> &str {
    &plan.status.conditions[0].reason
}

#[test]
fn a_database_is_made_once_and_then_kept() {
    let first = plan(&observed(database(json!({})), Seen::Known(None)));
    let [DatabaseAction::Create(wish)] = first.actions.as_slice() else {
        panic!("{:?}", first.actions)
    };
    assert_eq!(wish.idempotency_key.as_deref(), Some("uid-1"));
    assert_eq!(first.status.phase, Some(Phase::Creating));
    let kept = plan(&observed(
        with_id(database(json!({})), ID),
        Seen::Known(Some(made(ID))),
    ));
    assert!(kept.actions.is_empty(), "{:?}", kept.actions);
    assert_eq!(kept.status.phase, Some(Phase::Ready));
    assert_eq!(
        kept.status.endpoint.as_deref(),
        Some("http://main.prod.svc:8091/app/")
    );
    assert_eq!(kept.status.size.as_deref(), Some("8.0 KiB"));
}

#[test]
fn the_finalizer_comes_before_the_database() {
    let mut database = database(json!({"deletionPolicy": "Delete"}));
    database.metadata.finalizers = None;
    let plan = plan(&observed(database, Seen::Known(None)));
    assert_eq!(plan.actions[0], DatabaseAction::AddFinalizer);
}

#[test]
fn a_database_that_stays_when_its_object_goes_needs_no_finalizer() {
    let mut database = database(json!({"deletionPolicy": "Retain"}));
    database.metadata.finalizers = None;
    let made = plan(&observed(database.clone(), Seen::Known(None)));
    assert!(
        matches!(made.actions[..], [DatabaseAction::Create(_)]),
        "{:?}",
        made.actions
    );
    database.metadata.deletion_timestamp =
        serde_json::from_value(json!("2026-01-01T00:00:00Z")).expect("a time");
    let gone = plan(&observed(database, Seen::Known(None)));
    assert!(gone.actions.is_empty(), "{:?}", gone.actions);
}

#[test]
fn what_was_there_and_is_gone_is_not_made_anew() {
    for found in [Seen::Known(None), Seen::Known(Some(made(OTHER)))] {
        let plan = plan(&observed(with_id(database(json!({})), ID), found));
        assert!(plan.actions.is_empty(), "{:?}", plan.actions);
        assert_eq!(plan.status.phase, Some(Phase::Failed));
        assert_eq!(plan.status.database_id.as_deref(), Some(ID));
    }
}

#[test]
fn a_move_by_spec_stays_where_it_is_and_says_so() {
    let mut database = with_id(database(json!({"groupRef": {"name": "other"}})), ID);
    let handled = json!({"name": "main", "namespace": "prod"});
    let status = database.status.get_or_insert_default();
    status.handled_group_ref = serde_json::from_value(handled).expect("a reference");
    let plan = plan(&observed(database, Seen::Known(Some(made(ID)))));
    assert!(plan.actions.is_empty());
    assert_eq!(
        plan.status.group.as_ref().map(|group| group.name.as_str()),
        Some("main")
    );
    assert_eq!(plan.status.phase, Some(Phase::Ready));
    let placement = plan
        .status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "PlacementMatchesSpec");
    assert_eq!(
        placement.map(|condition| condition.reason.as_str()),
        Some(reason::NOT_SUPPORTED)
    );
}

#[test]
fn adoption_takes_only_the_named_one() {
    let adopts = || database(json!({"adopt": ID}));
    let taken = plan(&observed(adopts(), Seen::Known(Some(made(ID)))));
    assert_eq!(taken.status.database_id.as_deref(), Some(ID));
    for found in [None, Some(made(OTHER))] {
        let refused = plan(&observed(adopts(), Seen::Known(found)));
        assert!(refused.actions.is_empty());
        assert_eq!(ready_reason(&refused), reason::ADOPTION_REFUSED);
    }
}

#[test]
fn limits_are_changed_where_the_spec_names_them() {
    let database = with_id(database(json!({"limits": {"size": "1Mi", "connections": 5}})), ID);
    let mut there = made(ID);
    there.limits = Limits {
        streams: Some(5),
        result_bytes: Some(9),
        ..Limits::default()
    };
    let plan = plan(&observed(database, Seen::Known(Some(there))));
    let [DatabaseAction::Change(_, change)] = plan.actions.as_slice() else {
        panic!("{:?}", plan.actions)
    };
    assert_eq!(change.limits.size_bytes, Some(Some(1 << 20)));
    assert_eq!(change.limits.streams, None);
    assert_eq!(change.limits.result_bytes, None);
}

#[test]
fn only_the_own_database_is_dropped_and_only_by_wish() {
    let delete = || deleting(with_id(database(json!({"deletionPolicy": "Delete"})), ID));
    assert!(drops(&plan(&observed(delete(), Seen::Known(Some(made(ID)))))));
    let others = plan(&observed(delete(), Seen::Known(Some(made(OTHER)))));
    assert!(
        !drops(&others) && goes(&others),
        "another database of this name is not ours"
    );
    let retained = plan(&observed(
        deleting(with_id(database(json!({})), ID)),
        Seen::Known(Some(made(ID))),
    ));
    assert!(!drops(&retained) && goes(&retained));
    let unknown = plan(&observed(delete(), Seen::Unknown));
    assert!(unknown.actions.is_empty(), "it waits for the group");
    let never_made = deleting(database(json!({"deletionPolicy": "Delete"})));
    let never_made = plan(&observed(never_made, Seen::Known(Some(made(OTHER)))));
    assert!(!drops(&never_made) && goes(&never_made));
}

#[test]
fn nothing_holds_an_object_whose_group_or_namespace_is_gone() {
    let delete = || deleting(with_id(database(json!({"deletionPolicy": "Delete"})), ID));
    let mut gone = observed(delete(), Seen::Unknown);
    gone.group = GroupSeen::Missing;
    assert!(goes(&plan(&gone)));
    let mut namespace = observed(delete(), Seen::Unknown);
    namespace.namespace_goes = true;
    assert!(goes(&plan(&namespace)));
    let mut abandoned = observed(delete(), Seen::Unknown);
    abandoned.database.metadata.annotations = Some([(names::ABANDON.to_owned(), "true".to_owned())].into());
    assert!(goes(&plan(&abandoned)));
}

#[test]
fn every_obstacle_has_its_reason() {
    let there = |is_ready, is_schedulable, is_deleting| GroupSeen::There {
        is_ready,
        is_schedulable,
        is_deleting,
    };
    let cases = [
        (GroupSeen::Missing, reason::GROUP_MISSING),
        (GroupSeen::Refuses, reason::NAMESPACE_REFUSED),
        (there(true, false, false), reason::GROUP_CLOSED),
        (there(true, true, true), reason::GROUP_CLOSED),
        (there(false, true, false), reason::GROUP_NOT_READY),
    ];
    for (group, reason) in cases {
        let mut observed = observed(database(json!({})), Seen::Known(None));
        observed.group = group;
        let plan = plan(&observed);
        assert!(plan.actions.is_empty());
        assert_eq!(ready_reason(&plan), reason);
        assert_eq!(plan.status.phase, Some(Phase::Pending));
    }
    let mut foreign = observed(with_id(database(json!({})), ID), Seen::Known(Some(made(ID))));
    foreign.foreign = vec!["Secret app-db".into()];
    foreign.objects_are_right = false;
    let plan = plan(&foreign);
    assert!(plan.actions.is_empty(), "a foreign object is never written");
    assert_eq!(ready_reason(&plan), reason::NAME_TAKEN);
}

#[test]
fn names_from_elsewhere_carry_their_namespace() {
    let own = database(json!({"groupRef": {"name": "main", "namespace": "prod"}}));
    assert_eq!(name_in_group(&own), "app");
    let elsewhere = database(json!({"groupRef": {"name": "main", "namespace": "shared"}, "name": "x"}));
    assert_eq!(name_in_group(&elsewhere), "prod.x");
}
