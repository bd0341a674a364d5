//! PlacementMove.

use super::{Case, Kind};
use serde_json::{Value, json};

const WHICH: &str = "set exactly one of databaseRef and unmanaged";
const FIXED: &str = "a move cannot be changed into another; make a new PlacementMove";
const PROMOTE: &str = "force and maxStaleness: only with type Promote";

async fn kind() -> Kind {
    let spec = json!({"databaseRef": {"name": "app"}, "target": {"name": "other"}});
    Kind::installed("PlacementMove", "placementmoves", spec).await
}

fn spec(spec: Value) -> Value {
    json!({ "spec": spec })
}

#[tokio::test]
async fn moves_are_taken_or_refused_with_a_sentence() {
    let unmanaged = json!({"group": "main", "databaseId": "67e55044-10b1-426f-9247-bb680e5fe0c8"});
    let cases: Vec<Case> = vec![
        (json!({}), None),
        (spec(json!({"databaseRef": null, "unmanaged": unmanaged})), None),
        (spec(json!({"unmanaged": unmanaged})), Some(WHICH)),
        (spec(json!({"databaseRef": null})), Some(WHICH)),
        (spec(json!({"target": null})), Some("target: Required value")),
        (
            spec(json!({"type": "Promote", "force": true, "maxStaleness": "10s"})),
            None,
        ),
        (spec(json!({"force": true})), Some(PROMOTE)),
        (spec(json!({"maxStaleness": "10s"})), Some(PROMOTE)),
        (
            spec(json!({"repair": {"id": "1", "phase": "Completed"}})),
            Some("Unsupported value: \"Completed\""),
        ),
        (spec(json!({"drainTimeout": "soon"})), Some("drainTimeout")),
    ];
    kind().await.check_creation(&cases).await;
}

#[tokio::test]
async fn a_move_stays_the_same_move() {
    let kind = kind().await;
    kind.create(&json!({})).await;
    let cases: Vec<Case> = vec![
        (spec(json!({"target": {"name": "third"}})), Some(FIXED)),
        (spec(json!({"type": "Promote"})), Some(FIXED)),
        (spec(json!({"databaseRef": {"name": "b"}})), Some(FIXED)),
        (spec(json!({"cancel": true})), None),
        (spec(json!({"timeout": "2h"})), None),
    ];
    kind.check_change("one", &cases).await;
    kind.create(&json!({"metadata": {"name": "two"}, "spec": {"cancel": true}}))
        .await;
    let back: Case = (
        spec(json!({"cancel": false})),
        Some("cancel: cannot be taken back; make a new PlacementMove"),
    );
    kind.check_change("two", &[back]).await;
}
