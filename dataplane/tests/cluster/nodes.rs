//! Processes of a group, and what can happen to them.

use crate::ground::{Ground, Place};
use crate::links::{Links, own_ip};
use crate::port::free_port;
use crate::s3::Trouble;
use orion_api::admin::{Group, RaftState};
use orion_api::client::Client;
use rustix::process::{Pid, Signal, kill_process};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard};

/// How long anything that is waited for may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One node: its folder, its addresses, and its process while it has one.
pub struct Node {
    /// Position in the group, from 0.
    pub number: usize,
    /// Where clients reach it.
    pub url: String,
    /// Where it listens for its peers, behind the links.
    pub peers_at: SocketAddr,
    /// What it stands on.
    pub place: Place,
    /// What its next process finds in its environment: orders to its failpoints.
    pub orders: Vec<(&'static str, String)>,
    config: PathBuf,
    child: Option<Child>,
}

/// A group on one object store.
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub links: Arc<Links>,
    pub ground: Ground,
    dir: PathBuf,
    /// Nodes die before the next cluster begins.
    _alone: MutexGuard<'static, ()>,
}

/// One cluster at a time: three nodes are load enough for a small machine, and elections are a matter of time.
static ALONE: Mutex<()> = Mutex::const_new(());

impl Cluster {
    /// `many` nodes, all started at once, and waits until each serves.
    pub async fn start(dir: &Path, many: usize) -> Cluster {
        Cluster::start_on(Ground::default(), dir, many).await
    }

    /// The same, on this ground.
    pub async fn start_on(ground: Ground, dir: &Path, many: usize) -> Cluster {
        let mut cluster = Cluster::prepare_on(ground, dir, many).await;
        cluster.nodes.iter_mut().for_each(Node::start);
        cluster.wait_until_ready().await;
        let all_vote = |group: &Group| group.members.iter().filter(|member| member.votes).count() == many;
        for number in 0..many {
            cluster.wait_for_group(number, "every node votes", all_vote).await;
        }
        cluster
    }

    /// `many` nodes that are not started yet.
    pub async fn prepare(dir: &Path, many: usize) -> Cluster {
        Cluster::prepare_on(Ground::default(), dir, many).await
    }

    /// The same, on this ground.
    pub async fn prepare_on(ground: Ground, dir: &Path, many: usize) -> Cluster {
        let alone = ALONE.lock().await;
        let links = Links::new();
        let mut cluster = Cluster {
            nodes: Vec::new(),
            links,
            ground,
            dir: dir.to_owned(),
            _alone: alone,
        };
        let mut addresses = Vec::new();
        for number in 0..many {
            addresses.push(cluster.address(number).await);
        }
        for address in &addresses {
            cluster.configure(address, &addresses);
            cluster.nodes.push(Node {
                number: address.number,
                url: address.url(),
                peers_at: address.listen,
                place: Place::new(&cluster.ground, &cluster.data(address.number)),
                orders: Vec::new(),
                config: cluster.config(address.number),
                child: None,
            });
        }
        cluster
    }

    fn data(&self, number: usize) -> PathBuf {
        self.dir.join(format!("node{number}"))
    }

    /// New addresses for a node.
    async fn address(&self, number: usize) -> Address {
        let listen = SocketAddr::new(own_ip(number), free_port(own_ip(number)));
        Address {
            number,
            listen,
            advertise: match self.ground.without_links {
                true => listen,
                false => self.links.before(number, listen).await,
            },
            clients: free_port([127, 0, 0, 1].into()),
        }
    }

    /// Writes the configuration of a node.
    fn configure(&self, address: &Address, all: &[Address]) {
        let (dir, number) = (&self.dir, address.number);
        let peers: Vec<String> = all.iter().map(|address| address.advertise.to_string()).collect();
        let text = format!(
            "data_dir: {data}\nlisten: 127.0.0.1:{clients}\nobject_store:\n{objects}materialize:\n  flush_bytes: 65536\n  age_seconds: 1\n  snapshot_log_bytes: 262144\ncluster:\n  listen: {listen}\n  advertise: {advertise}\n  peers: [{peers}]\n{cluster}log:\n  filter: {filter}\n{more}",
            data = self.data(number).display(),
            clients = address.clients,
            objects = self.ground.object_store(dir),
            listen = address.listen,
            advertise = address.advertise,
            cluster = self.ground.cluster.get(number).map_or("", String::as_str),
            more = self.ground.more,
            filter = std::env::var("ORION_CLUSTER_LOG").unwrap_or_else(|_| "warn,openraft=error".into()),
            peers = peers.join(", "),
        );
        std::fs::write(self.config(number), text).expect("the configuration is written");
    }

    fn config(&self, number: usize) -> PathBuf {
        self.dir.join(format!("node{number}.yaml"))
    }

    /// Gives all nodes other addresses. They must be stopped.
    pub async fn move_all(&mut self) {
        let mut addresses = Vec::new();
        for number in 0..self.nodes.len() {
            addresses.push(self.address(number).await);
        }
        for address in &addresses {
            self.configure(address, &addresses);
            self.nodes[address.number].url = address.url();
            self.nodes[address.number].peers_at = address.listen;
        }
    }

    /// The data of a node is lost.
    pub fn lose_disk(&self, number: usize) {
        std::fs::remove_dir_all(self.data(number)).expect("its folder is gone");
    }

    /// Waits until every node that runs serves.
    pub async fn wait_until_ready(&mut self) {
        for node in &mut self.nodes {
            if node.child.is_some() {
                node.wait_until_ready().await;
            }
        }
    }

    /// The number of the node that leads, by what it says itself, in the newest term that anybody knows.
    pub async fn leader(&self) -> Option<usize> {
        let mut leaders = Vec::new();
        for node in &self.nodes {
            if let Ok(group) = node.group().await
                && group.state == RaftState::Leader
            {
                leaders.push((group.term, node.number));
            }
        }
        leaders.into_iter().max().map(|(_, number)| number)
    }

    /// Waits for a leader.
    pub async fn wait_for_leader(&self) -> usize {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(leader) = self.leader().await {
                return leader;
            }
            assert!(Instant::now() < until, "nobody leads");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until what a node says of its group is as wished.
    pub async fn wait_for_group(&self, number: usize, what: &str, wished: impl Fn(&Group) -> bool) -> Group {
        let until = Instant::now() + PATIENCE;
        loop {
            let group = self.nodes[number].group().await;
            if let Ok(group) = &group
                && wished(group)
            {
                return group.clone();
            }
            assert!(Instant::now() < until, "not in {PATIENCE:?}: {what}; {group:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Links, disks and the object store work again.
    pub fn mend(&self) {
        self.links.heal();
        if let Some(server) = &self.ground.s3 {
            server.make(Trouble::default());
        }
        self.nodes.iter().for_each(|node| node.place.empty());
    }

    /// Everything works, and every process runs and serves.
    pub async fn repair(&mut self) {
        self.mend();
        for node in &mut self.nodes {
            node.wake();
            if !node.is_running() {
                node.start();
            }
        }
        self.wait_until_ready().await;
    }
}

struct Address {
    number: usize,
    listen: SocketAddr,
    advertise: SocketAddr,
    clients: u16,
}

impl Address {
    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.clients)
    }
}

impl Node {
    /// Starts its process.
    pub fn start(&mut self) {
        let mut command = self.place.command(&binary());
        command
            .arg("server")
            .arg("--config")
            .arg(&self.config)
            .envs(self.orders.iter().map(|(name, order)| (name, order)))
            .stdout(Stdio::null());
        self.child = Some(command.spawn().expect("the server starts"));
    }

    /// `orion recover` with its configuration.
    pub fn recover(&self) -> std::process::Command {
        let mut command = self.place.command(&binary());
        command.arg("recover").arg("--config").arg(&self.config);
        command
    }

    /// Starts its process and waits for its end.
    pub async fn refuses_to_start(&mut self) {
        self.start();
        let until = Instant::now() + PATIENCE;
        while self.is_running() {
            assert!(Instant::now() < until, "node {} starts", self.number);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.child = None;
    }

    /// A client of its default database.
    pub fn client(&self) -> Client {
        Client::new(&self.url, None).expect("a client")
    }

    /// What it says of its group, within a second.
    pub async fn group(&self) -> Result<Group, String> {
        let client = self.client();
        let name = "default".parse().expect("a name");
        let asked = tokio::time::timeout(Duration::from_secs(1), client.get_group(&name)).await;
        match asked {
            Ok(Ok(group)) => Ok(group),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer".into()),
        }
    }

    async fn wait_until_ready(&mut self) {
        let client = self.client();
        let until = Instant::now() + PATIENCE;
        while client.text("/readyz").await.is_err() {
            assert!(Instant::now() < until, "node {} did not get ready", self.number);
            assert!(self.is_running(), "node {} ended while it started", self.number);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// True while its process lives, stopped or not.
    pub fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| child.try_wait().expect("its state").is_none())
    }

    /// Of its process, which it must have.
    pub fn pid(&self) -> Pid {
        let child = self.child.as_ref().expect("it runs");
        Pid::from_raw(child.id() as i32).expect("a process id")
    }

    fn signal(&self, signal: Signal) {
        if self.child.is_some() {
            let pid = self.pid();
            // One that has ended needs no signal.
            let _ = kill_process(pid, signal);
        }
    }

    /// SIGSTOP.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn wake(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGTERM; waits for its end.
    pub async fn terminate(&mut self) {
        self.signal(Signal::TERM);
        let until = Instant::now() + PATIENCE;
        while self.is_running() {
            assert!(Instant::now() < until, "node {} does not end", self.number);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.child = None;
    }

    /// kill -9; waits for its end.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Dead already is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `ORION_CLUSTER_BIN` names another one, for long runs beside a tree that is being built.
fn binary() -> PathBuf {
    let other = std::env::var_os("ORION_CLUSTER_BIN").map(PathBuf::from);
    other.unwrap_or_else(|| env!("CARGO_BIN_EXE_orion").into())
}
