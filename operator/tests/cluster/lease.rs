//! Several replicas as processes: one acts, and another one only after it.

use crate::program::{Ground, Way};
use crate::stage::until;
use k8s_openapi::jiff::Timestamp;
use std::time::{Duration, Instant};

const WRITES: [&str; 4] = ["POST", "PUT", "PATCH", "DELETE"];

#[tokio::test(flavor = "multi_thread")]
async fn of_two_replicas_one_acts_and_the_other_takes_over() {
    let ground = Ground::new().await;
    let kubeconfig = ground.server.kubeconfig();
    let mut first = ground.program("first", kubeconfig);
    ground.is_held_by("first").await;
    let mut second = ground.program("second", kubeconfig);
    second.is_ready().await;
    ground.is_served("one").await;
    assert_eq!(first.metric("orion_operator_leader", "").await, 1.0);
    // A look is counted when it ends, which is after what it made is seen.
    until("the look ends", || async {
        let looks = first
            .metric("orion_operator_reconciles_total", "ReplicationGroup")
            .await;
        if looks > 0.0 { Ok(()) } else { Err(looks) }
    })
    .await;
    assert_eq!(second.metric("orion_operator_leader", "").await, 0.0);
    for verb in WRITES {
        assert_eq!(
            second.metric("orion_operator_api_requests_total", verb).await,
            0.0
        );
    }

    first.child.kill().expect("it is killed");
    let killed = Instant::now();
    ground.is_held_by("second").await;
    assert!(
        killed.elapsed() <= Duration::from_secs(20),
        "{:?}",
        killed.elapsed()
    );
    ground.is_served("two").await;

    let mut third = ground.program("third", kubeconfig);
    third.is_ready().await;
    second.signal("-TERM");
    let asked = Instant::now();
    assert!(second.end().await.success(), "a stop by wish is no failure");
    ground.is_held_by("third").await;
    // The next attempt of who waits takes it: not after its duration.
    assert!(asked.elapsed() <= Duration::from_secs(6), "{:?}", asked.elapsed());
    ground.is_served("three").await;
    third.signal("-TERM");
    assert!(third.end().await.success());
    assert_eq!(ground.holder().await.as_deref(), Some(""), "nobody's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_without_the_server_stops_before_another_begins() {
    let ground = Ground::new().await;
    let way = Way::to(&ground.server).await;
    let mut first = ground.program("first", &way.kubeconfig);
    ground.is_held_by("first").await;
    let second = ground.program("second", ground.server.kubeconfig());
    second.is_ready().await;
    way.cut.cancel();
    assert!(
        !first.end().await.success(),
        "a replica that lost its Lease has failed"
    );
    let ended = Timestamp::now();
    ground.is_held_by("second").await;
    let spec = ground
        .lease()
        .await
        .and_then(|lease| lease.spec)
        .expect("it is there");
    let begun = spec.acquire_time.expect("it was taken").0;
    assert!(
        ended < begun,
        "the first ended at {ended}, the second began at {begun}"
    );
    ground.is_served("one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_waits_for_the_kinds_and_says_so() {
    let server = orion_apiserver::ApiServer::start(orion_apiserver::Controllers::Off).expect("it starts");
    let client = server.client().await.expect("it answers");
    let namespace = server.namespace(&client).await.expect("a namespace can be made");
    let ground = Ground {
        client,
        namespace,
        server,
    };
    let program = ground.program("first", ground.server.kubeconfig());
    until("it has looked", || async {
        let looked = program.metric("orion_operator_api_requests_total", "404").await;
        if looked > 0.0 { Ok(()) } else { Err(looked) }
    })
    .await;
    assert_eq!(program.page("/readyz").await, None, "it is not ready");
    assert!(program.page("/livez").await.is_some());
    assert_eq!(ground.holder().await, None, "it is no candidate");
    let installed = std::process::Command::new(env!("CARGO_BIN_EXE_orion-operator"))
        .args(["crds", "apply"])
        .env("KUBECONFIG", ground.server.kubeconfig())
        .status();
    assert!(installed.expect("it runs").success());
    program.is_ready().await;
    ground.is_held_by("first").await;
    ground.is_served("one").await;
}
