//! The network between the nodes: a proxy before each, which knows by the address that a connection comes from who is on the
//! other side. What a rule says holds for bytes in their direction, on whichever connection they travel.

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How many nodes there are at most.
pub const NODES: usize = 5;

/// What happens to bytes from one node to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// They do not arrive, as long as this holds: a cable that is pulled, not a connection that is closed.
    pub cut: bool,
    /// The same on connections that the sender opened: what it answers arrives.
    pub calls_cut: bool,
    /// They arrive so much later.
    pub delay: Duration,
    /// So many of 1,000 packets are lost. Under TCP that is a pause until they are sent again, and a connection that breaks
    /// where it happens too often.
    pub lost: u32,
}

/// How long TCP waits before it sends again: the least that Linux does.
const AGAIN: Duration = Duration::from_millis(200);

/// Of so many losses one breaks the connection.
const BREAKS: u32 = 8;

type Rules = [[Rule; NODES]; NODES];

/// All links. Dropping it ends the proxies.
pub struct Links {
    rules: watch::Sender<Rules>,
    /// How often each node has called another one.
    calls: watch::Sender<[usize; NODES]>,
    proxies: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Links {
    fn drop(&mut self) {
        self.proxies.lock().drain(..).for_each(|proxy| proxy.abort());
    }
}

/// Where node `node` listens for its peers, and whence it calls them.
pub fn own_ip(node: usize) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, 11 + node as u8).into()
}

impl Links {
    /// None yet.
    pub fn new() -> Arc<Links> {
        Arc::new(Links {
            rules: watch::channel(Rules::default()).0,
            calls: watch::channel(Default::default()).0,
            proxies: Mutex::default(),
        })
    }

    /// A proxy before `node`, which listens at `target`. Answers where the others reach it.
    pub async fn before(self: &Arc<Links>, node: usize, target: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let rules = self.rules.subscribe();
        let calls = self.calls.clone();
        let proxy = tokio::spawn(async move {
            while let Ok((stream, from)) = listener.accept().await {
                let caller = (0..NODES).find(|caller| own_ip(*caller) == from.ip());
                if let Some(caller) = caller {
                    calls.send_modify(|calls| calls[caller] += 1);
                }
                tokio::spawn(connection(stream, caller, node, target, rules.clone()));
            }
        });
        self.proxies.lock().push(proxy);
        address
    }

    /// Waits until a node has called others so often.
    pub async fn wait_for_calls(&self, node: usize, often: usize) {
        let mut calls = self.calls.subscribe();
        let called = calls.wait_for(|calls| calls[node] >= often);
        let called = tokio::time::timeout(crate::nodes::PATIENCE, called).await;
        called.expect("it calls").expect("the links are there");
    }

    /// Changes what holds from now on.
    pub fn change(&self, change: impl FnOnce(&mut Rules)) {
        self.rules.send_modify(change);
    }

    /// Everything arrives again.
    pub fn heal(&self) {
        self.change(|rules| *rules = Rules::default());
    }

    /// Nobody hears of `node`, and it of nobody.
    pub fn isolate(&self, node: usize) {
        self.change(|rules| {
            for other in (0..NODES).filter(|other| *other != node) {
                rules[node][other].cut = true;
                rules[other][node].cut = true;
            }
        });
    }
}

async fn connection(
    caller_side: TcpStream,
    caller: Option<usize>,
    called: usize,
    target: SocketAddr,
    rules: watch::Receiver<Rules>,
) {
    let Some(caller) = caller else { return };
    let Ok(called_side) = TcpStream::connect(target).await else {
        return;
    };
    for side in [&caller_side, &called_side] {
        // Small messages must not wait for more.
        let _ = side.set_nodelay(true);
    }
    let (from_caller, to_caller) = caller_side.into_split();
    let (from_called, to_called) = called_side.into_split();
    let there = pass(from_caller, to_called, rules.clone(), (caller, called), true);
    let back = pass(from_called, to_caller, rules, (called, caller), false);
    // Whichever ends first ends both, as a connection does that is lost.
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}

/// Passes bytes on as the rule for their direction says.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut rules: watch::Receiver<Rules>,
    (sender, receiver): (usize, usize),
    is_call: bool,
) {
    let is_open = |rule: &Rule| !(rule.cut || is_call && rule.calls_cut);
    let mut buffer = vec![0; 64 << 10];
    let mut dice = SmallRng::seed_from_u64((sender * NODES + receiver) as u64);
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        let Rule { delay, lost, .. } = rules.borrow()[sender][receiver];
        if dice.random_range(0..1000) < lost {
            if dice.random_range(0..BREAKS) == 0 {
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let open = rules
            .wait_for(|rules| is_open(&rules[sender][receiver]))
            .await
            .map(drop);
        if open.is_err() {
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
