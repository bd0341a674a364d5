//! Several groups in each process, with leaders on different nodes.

use crate::ground::Ground;
use crate::laws::{same_everywhere, surely};
use crate::nodes::{Cluster, PATIENCE};
use orion_api::Code;
use orion_api::admin::{CreateDatabase, Group};
use orion_api::client::{Client, SqlOptions};
use orion_api::hrana::{ReadPolicy, Statement};
use orion_api::{GroupName, NodeId};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The group beside "default".
pub const SECOND: &str = "second";

pub fn second() -> GroupName {
    SECOND.parse().expect("a name")
}

/// Three nodes of two groups.
async fn of_two(dir: &Path) -> Cluster {
    let ground = Ground {
        more: format!("more_groups: [{SECOND}]\n"),
        ..Ground::default()
    };
    let cluster = Cluster::start_on(ground, dir, 3).await;
    wait_until_all_vote(&cluster).await;
    cluster
}

/// In the second group; [`Cluster::start_on`] waits for the first.
pub async fn wait_until_all_vote(cluster: &Cluster) {
    for node in 0..cluster.nodes.len() {
        wait_for(cluster, node, "all vote in the second group too", |group| {
            group.members.iter().filter(|member| member.votes).count() == 3
        })
        .await;
    }
}

/// Waits until what a node says of the second group is as wished.
async fn wait_for(cluster: &Cluster, node: usize, what: &str, wished: impl Fn(&Group) -> bool) -> Group {
    let until = Instant::now() + PATIENCE;
    loop {
        let client = cluster.nodes[node].client().within(Duration::from_secs(1));
        let group = client.get_group(&second()).await;
        if let Ok(group) = &group
            && wished(group)
        {
            return group.clone();
        }
        assert!(Instant::now() < until, "not in {PATIENCE:?}: {what}; {group:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn ids(cluster: &Cluster) -> Vec<NodeId> {
    let mut ids = Vec::new();
    for node in &cluster.nodes {
        let list = node.client().list_nodes().await.expect("itself");
        assert_eq!(list.nodes[0].groups.len(), 2);
        ids.push(list.nodes[0].id);
    }
    ids
}

/// Lets a node that does not lead the default group lead the second one. Answers both leaders' numbers.
async fn lead_apart(cluster: &Cluster) -> (usize, usize) {
    let ids = ids(cluster).await;
    let first = cluster.wait_for_leader().await;
    let wanted = (first + 1) % 3;
    let until = Instant::now() + PATIENCE;
    // At any node: the request is passed on to the second group's leader, not to the first's.
    while let Err(error) = cluster.nodes[first]
        .client()
        .change_leader(&second(), ids[wanted])
        .await
    {
        assert!(Instant::now() < until, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    wait_for(cluster, wanted, "it leads", |group| {
        group.leader == Some(ids[wanted])
    })
    .await;
    (first, wanted)
}

/// Creates a database. By its key it may be asked for again, where an answer got lost.
pub async fn create(client: &Client, name: &str, group: Option<GroupName>) {
    let mut wish = CreateDatabase::named(name.parse().expect("a name"));
    wish.group = group;
    wish.idempotency_key = Some(name.to_owned());
    let until = Instant::now() + PATIENCE;
    while let Err(error) = client.create_database(&wish).await {
        assert_eq!(error.code(), Some(Code::CommitUnknown), "{error}");
        assert!(Instant::now() < until, "{error}");
    }
}

fn urls(cluster: &Cluster, name: &str) -> Vec<String> {
    let nodes = cluster.nodes.iter();
    nodes.map(|node| format!("{}/{name}/", node.url)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_to_the_leader_of_their_databases_group() {
    let dir = tempfile::tempdir().expect("a folder");
    let cluster = of_two(dir.path()).await;
    let (first, other) = lead_apart(&cluster).await;
    let neither = 3 - first - other;
    // By a node that leads neither, which knows the group only by the request.
    let client = cluster.nodes[neither].client();
    create(&client, "one", None).await;
    create(&client, "two", Some(second())).await;
    for name in ["one", "two"] {
        let urls = urls(&cluster, name);
        surely(&urls, "CREATE TABLE t (v)").await;
        let mut written_rows = 0;
        for url in &urls {
            let client = Client::new(url, None).expect("a client");
            let insert = Statement::new("INSERT INTO t VALUES (1)");
            let written = client.execute(insert, &SqlOptions::default()).await;
            written.expect("passed on to whoever leads");
            let options = SqlOptions {
                read_policy: Some(ReadPolicy::Strong),
                ..SqlOptions::default()
            };
            let read = client
                .execute(Statement::new("SELECT count(*) FROM t"), &options)
                .await;
            written_rows += 1;
            assert_eq!(
                crate::laws::integer(&read.expect("read").rows[0], 0),
                written_rows
            );
        }
        let counted = surely(&urls, "SELECT count(*) FROM t").await;
        assert_eq!(crate::laws::integer(&counted.rows[0], 0), 3);
    }
    // A stream within a transaction, begun at a node that leads neither.
    for name in ["one", "two"] {
        let mut stream = Client::new(&urls(&cluster, name)[neither], None)
            .expect("a client")
            .stream();
        for sql in ["BEGIN", "INSERT INTO t VALUES (2)", "COMMIT"] {
            stream.execute(Statement::new(sql)).await.expect(sql);
        }
        stream.close().await.expect("closed");
    }
    // All leaders were asked, and none knows it.
    let began = Instant::now();
    let nobodys = client.with_database("nobodys");
    let unknown = nobodys
        .execute(Statement::new("SELECT 1"), &SqlOptions::default())
        .await;
    assert_eq!(unknown.expect_err("unknown").code(), Some(Code::DatabaseNotFound));
    assert!(began.elapsed() < Duration::from_secs(2), "nobody was waited for");
    // In the wrong group the name is taken all the same.
    let mut wish = CreateDatabase::named("two".parse().expect("a name"));
    wish.group = None;
    let taken = client.create_database(&wish).await.expect_err("taken");
    assert_eq!(taken.code(), Some(Code::DatabaseExists));
    let sums = same_everywhere::check_pages(
        &cluster
            .nodes
            .iter()
            .map(|node| node.url.clone())
            .collect::<Vec<_>>(),
    )
    .await;
    assert!(sums.len() >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_goes_on_while_another_changes_its_leader() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = of_two(dir.path()).await;
    let (first, other) = lead_apart(&cluster).await;
    let client = cluster.nodes[first].client();
    create(&client, "one", None).await;
    create(&client, "two", Some(second())).await;
    for name in ["one", "two"] {
        surely(&urls(&cluster, name), "CREATE TABLE t (v)").await;
    }
    let term = cluster.nodes[first].group().await.expect("the group").term;
    let stop = CancellationToken::new();
    // Writes at the first group's leader, while the second's dies: none may notice.
    let writer = async {
        let client = Client::new(&urls(&cluster, "one")[first], None).expect("a client");
        let mut many = 0;
        while !stop.is_cancelled() {
            let insert = Statement::new("INSERT INTO t VALUES (1)");
            client
                .execute(insert, &SqlOptions::default())
                .await
                .expect("not its leader");
            many += 1;
        }
        many
    };
    let two = urls(&cluster, "two");
    let survivors: Vec<String> = (0..3)
        .filter(|node| *node != other)
        .map(|node| two[node].clone())
        .collect();
    let pid = cluster.nodes[other].pid();
    let dies = async {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it ran");
        surely(&survivors, "INSERT INTO t VALUES (1)").await;
        stop.cancel();
    };
    let (many, ()) = tokio::join!(writer, dies);
    assert!(many > 0);
    cluster.nodes[other].kill();
    cluster.nodes[other].start();
    cluster.wait_until_ready().await;
    let counted = surely(&urls(&cluster, "one"), "SELECT count(*) FROM t").await;
    assert_eq!(crate::laws::integer(&counted.rows[0], 0), many);
    let group = cluster.nodes[first].group().await.expect("the group");
    assert_eq!(group.term, term, "the first group kept its leader");
    let nodes: Vec<String> = cluster.nodes.iter().map(|node| node.url.clone()).collect();
    same_everywhere::check_pages(&nodes).await;
}
