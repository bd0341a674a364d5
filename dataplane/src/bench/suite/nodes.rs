//! Several servers of the suite that replicate one group, with one object store in a folder.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use orion_api::admin::{Group, RaftState};
use orion_api::client::Client;
use orion_api::{GroupName, NodeId};
use tokio::runtime::Runtime;

use super::Suite;
use super::child::{Child, free_address};
use crate::bench::runtime;
use crate::bench::session::Session;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks; part of the error of measured times.
const PAUSE: Duration = Duration::from_millis(5);

/// A running group.
pub(super) struct Nodes {
    pub(super) children: Vec<Child>,
    /// Where they look for each other.
    addresses: Vec<String>,
    config: String,
    runtime: Runtime,
    /// Removed at the end.
    objects: tempfile::TempDir,
}

impl Nodes {
    /// Three that all vote; `config` is more of each one's configuration.
    pub(super) fn start(suite: &Suite, config: &str) -> anyhow::Result<Nodes> {
        let objects = tempfile::Builder::new()
            .prefix("orion-bench-objects-")
            .tempdir_in(&suite.options.dir)?;
        let mut nodes = Nodes {
            children: Vec::new(),
            addresses: (0..3).map(|_| free_address()).collect::<Result<_, _>>()?,
            config: config.to_owned(),
            runtime: runtime()?,
            objects,
        };
        for address in nodes.addresses.clone() {
            nodes.add(suite, &address)?;
        }
        nodes.until("all vote", |group| votes(group) == 3)?;
        Ok(nodes)
    }

    /// One more, with an empty disk.
    pub(super) fn add_one(&mut self, suite: &Suite) -> anyhow::Result<()> {
        let address = free_address()?;
        self.add(suite, &address)
    }

    fn add(&mut self, suite: &Suite, address: &str) -> anyhow::Result<()> {
        let objects = Path::new(".").join(self.objects.path()).canonicalize()?;
        let config = format!(
            "object_store:\n  url: file://{}\ncluster:\n  listen: {address}\n  peers: [{}]\n{}",
            objects.display(),
            self.addresses.join(", "),
            self.config
        );
        self.children.push(suite.server_with(&config, &[])?);
        Ok(())
    }

    fn client(&self, node: usize) -> anyhow::Result<Client> {
        Ok(Client::new(
            &format!("http://{}", self.children[node].target.address),
            None,
        )?)
    }

    /// The group as a node sees it.
    fn group(&self, node: usize) -> anyhow::Result<Group> {
        let client = self.client(node)?;
        let groups = self.runtime.block_on(client.list_groups())?.groups;
        groups.into_iter().next().context("it has no group")
    }

    /// Waits until the first node sees the group as wanted.
    pub(super) fn until(&self, what: &str, is_wanted: impl Fn(&Group) -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.group(0).is_ok_and(|group| is_wanted(&group)) {
            if Instant::now() >= deadline {
                bail!("not in {} s: {what}", PATIENCE.as_secs());
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Waits until all nodes answer and one of them leads; which.
    pub(super) fn leader(&self) -> anyhow::Result<usize> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let groups: Vec<Option<Group>> = (0..self.children.len())
                .map(|node| self.group(node).ok())
                .collect();
            let leads = |group: &Option<Group>| {
                let group = group.as_ref();
                group.is_some_and(|group| group.state == RaftState::Leader)
            };
            let settled = groups
                .iter()
                .all(|group| group.as_ref().is_some_and(|group| group.leader.is_some()));
            match groups.iter().position(leads) {
                Some(leader) if settled => return Ok(leader),
                _ if Instant::now() >= deadline => bail!("nobody leads in {} s", PATIENCE.as_secs()),
                _ => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Lets the next node lead.
    pub(super) fn hand_over(&self) -> anyhow::Result<()> {
        let leader = self.leader()?;
        let next = (leader + 1) % self.children.len();
        let id: NodeId = {
            let client = self.client(next)?;
            let nodes = self.runtime.block_on(client.list_nodes())?.nodes;
            nodes.first().context("it does not know itself")?.id
        };
        let name: GroupName = self.group(leader)?.name;
        let client = self.client(leader)?;
        self.runtime.block_on(client.change_leader(&name, id))?;
        Ok(())
    }

    /// Writes a row at a node until it is acknowledged.
    pub(super) fn write(&self, node: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut session = Session::new(&self.children[node].target);
        loop {
            let insert = session.execute(None, "INSERT INTO bench_start VALUES (datetime())");
            match self.runtime.block_on(insert) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Runs a statement at a node.
    pub(super) fn execute(&self, node: usize, sql: &str) -> anyhow::Result<()> {
        let mut session = Session::new(&self.children[node].target);
        self.runtime.block_on(session.execute(None, sql)).map(drop)
    }

    /// Databases more.
    pub(super) fn create_databases(&self, many: u32) -> anyhow::Result<()> {
        let target = &self.children[self.leader()?].target;
        self.runtime
            .block_on(crate::bench::session::create_databases(target, many))
    }

    /// Sum of a metric over all nodes.
    pub(super) fn metric(&self, name: &str) -> anyhow::Result<f64> {
        self.children.iter().map(|child| child.metric(name)).sum()
    }

    /// CPU time of all nodes since their starts.
    pub(super) fn cpu_time(&self) -> anyhow::Result<Duration> {
        self.children.iter().map(Child::cpu_time).sum()
    }
}

/// How many members vote.
pub(super) fn votes(group: &Group) -> usize {
    let voters = group.members.iter().filter(|member| member.votes);
    match group.leader {
        Some(_) => voters.count(),
        None => 0,
    }
}
