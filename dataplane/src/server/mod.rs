//! `orion server`: the node, and HTTP in front of it.
//!
//! Start: node → routes → listen → say where. Stop (SIGTERM, SIGINT): no new connections, requests in flight
//! are answered, then the node stops.

mod admin;
mod descriptors;
mod keys;
mod leaders;

use crate::auth::{Auth, SharedAuth};
use crate::config::{self, Config};
use crate::database::Databases;
use crate::hrana::{Service, StreamLimits};
use crate::http::connections::{self, Connections};
use crate::http::{Front, Http, HttpSettings};
use crate::node::{self, Node};
use crate::room::{GRAIN, Room};
use crate::store::{ConfigError, Kind};
use crate::{causes, http, metrics, views};
use leaders::NodeLeaders;
use orion_api::exit;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Why the server does not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The node.
    #[error(transparent)]
    Node(#[from] node::Error),
    /// The default database could not be made.
    #[error("the default database")]
    DefaultDatabase(#[from] node::LifecycleError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}; is another server running there?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// More connections are wished than there are file descriptors for.
    #[error(
        "limits.connections_max: {wish} is more than {room}, all that {descriptors} file descriptors have room for; raise the hard limit (ulimit -Hn) or lower the key"
    )]
    Descriptors {
        /// What is configured.
        wish: usize,
        /// What the process may have.
        descriptors: u64,
        /// What fits beside everything else.
        room: usize,
    },
    /// Signals cannot be received.
    #[error("signals")]
    Signals(#[source] std::io::Error),
}

impl Error {
    /// How the process ends, for whoever starts it: see [`exit`].
    pub fn exit_code(&self) -> u8 {
        use node::Error as N;
        let of_store = |kind| match kind {
            Kind::Denied => exit::OBJECT_STORE_DENIED,
            Kind::Unavailable => exit::OBJECT_STORE_UNAVAILABLE,
            _ => OTHER_FAILURE,
        };
        match self {
            Error::Node(N::Owner(error)) => of_store(error.kind()),
            Error::Node(N::Store(ConfigError::Credentials(_))) => exit::OBJECT_STORE_DENIED,
            Error::Node(N::OtherFounder { .. } | N::Over { .. }) => exit::GROUP_ELSEWHERE,
            _ => OTHER_FAILURE,
        }
    }
}

/// How the process ends after any other error.
const OTHER_FAILURE: u8 = 1;

/// How long requests in flight have to end at a stop.
const DRAIN: Duration = Duration::from_secs(10);

/// How long bodies and results wait for room: as long as clients wait for other writers.
const ROOM_WAIT: Duration = Duration::from_secs(10);

/// Runs until SIGTERM or SIGINT, or until its group has outgrown this release.
///
/// `load` reads the configuration again: keys of tokens change without a restart.
pub async fn run<L>(config: Config, load: L) -> Result<(), Error>
where
    L: Fn() -> Result<Config, config::Error> + Clone + Send + 'static,
{
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    let server = Server::start(config, stop.clone()).await?;
    server.announce();
    tokio::spawn(keys::keep(server.auth.clone(), load, stop.clone()));
    let node = Arc::clone(&server.node);
    let ended = tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
        error = node.outgrown() => Err(Error::Node(error)),
    };
    if let Ok(signal) = ended {
        tracing::info!("{signal}: stopping");
    }
    server.stop().await;
    ended.map(drop)
}

/// A running server.
pub struct Server {
    node: Arc<Node>,
    config: Config,
    address: SocketAddr,
    /// Base URL for clients.
    url: String,
    stop: CancellationToken,
    auth: SharedAuth,
    serving: tokio::task::JoinHandle<()>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Starts and listens.
    pub async fn start(config: Config, stop: CancellationToken) -> Result<Server, Error> {
        let address = config.listen;
        let most = descriptors::connections(config.http.connections_max, descriptors::raise())?;
        // First, so that a second server on the same address does not get as far as the data.
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| Error::Listen { address, source })?;
        let address = listener
            .local_addr()
            .map_err(|source| Error::Listen { address, source })?;
        let node = Node::start(config.node_options()).await?;
        let default = config.default_database.as_ref().map(ToString::to_string);
        if node.peers().is_some() {
            // Whoever leads then makes it; the others have nothing to wait for.
            if let Some(name) = default {
                tokio::spawn(
                    stop.clone()
                        .run_until_cancelled_owned(make_default(Arc::clone(&node), name)),
                );
            }
        } else {
            node.wait_for_secrets().await;
            if let Some(name) = default.filter(|name| !node.databases.exists(name)) {
                node.create(None, &name, crate::entry::Limits::default(), None)
                    .await?;
            }
        }
        let url = match config.public_url {
            Some(_) => config.client_url(),
            None => format!("http://{address}"),
        };
        views::install(&node, &url);
        let connections = Connections::new(config.http.connection_limits(most));
        let auth = SharedAuth::new(config.auth.clone());
        let front = front(&node, &config, (url.clone(), auth.clone()), &connections, &stop);
        let serving = tokio::spawn(connections::serve(listener, front, connections, stop.clone()));
        Ok(Server {
            node,
            config,
            address,
            url,
            stop,
            auth,
            serving,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The node behind it.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Tells people where everything is and how to connect.
    #[expect(
        clippy::print_stdout,
        reason = "what a person who starts the server needs to see"
    )]
    fn announce(&self) {
        let url = &self.url;
        println!("Orion {} is ready", env!("CARGO_PKG_VERSION"));
        println!("  endpoint      {url}");
        println!("  data          {}", self.config.data_dir.display());
        println!("  object store  {}", self.config.object_store.url);
        match &self.config.cluster {
            None => println!("  group         {} (this node leads)", self.config.group),
            Some(cluster) => println!(
                "  group         {}, for other nodes at {}",
                self.config.group, cluster.advertise
            ),
        }
        for group in &self.config.more_groups {
            println!("                {group}");
        }
        if let Some(name) = &self.config.default_database {
            println!("  database      {name}: {url}/{name}/");
        }
        if let Auth::Enabled(_) = self.config.auth {
            println!(
                "  auth          a token is needed; `orion token create` makes one, ORION_AUTH_TOKEN holds it"
            );
        }
        println!("Connect:");
        println!("  orion cli {url}");
        let (token, header) = match self.config.auth {
            Auth::Enabled(_) => (
                ", authToken: \"…\"",
                " -H \"authorization: Bearer $ORION_AUTH_TOKEN\"",
            ),
            Auth::Disabled => ("", ""),
        };
        println!("  createClient({{ url: \"{url}/<database>/\"{token} }})   // @libsql/client");
        println!(
            "  curl{header} {url}/v2/pipeline -d '{{\"requests\":[{{\"type\":\"execute\",\"stmt\":{{\"sql\":\"SELECT 1\"}}}},{{\"type\":\"close\"}}]}}'"
        );
    }

    /// Stops in order.
    pub async fn stop(self) {
        // First: while another node begins to lead, requests go on to be passed to it.
        self.node.hand_over().await;
        self.stop.cancel();
        if tokio::time::timeout(DRAIN, self.serving).await.is_err() {
            tracing::warn!("some requests did not end in time");
        }
        self.node.stop().await;
    }
}

fn front(
    node: &Arc<Node>,
    config: &Config,
    (url, auth): (String, SharedAuth),
    connections: &Arc<Connections>,
    stop: &CancellationToken,
) -> Arc<Front<Arc<Databases>>> {
    let streams = StreamLimits {
        connected_per_node: config.http.streams_total,
        // Each database has its own limit, and keeps it.
        connected_per_database: config.http.streams_total,
        ..StreamLimits::default()
    };
    let service = Service::new(
        node.id(),
        streams,
        Room::new(config.http.reply_bytes_total, 0, ROOM_WAIT),
    );
    let ready = Arc::clone(node);
    let default = config.default_database.as_ref().map(ToString::to_string);
    let body_bytes_max = HttpSettings::default().body_bytes_max;
    let shared = Arc::new(Http::<Arc<Databases>> {
        databases: Arc::clone(&node.databases),
        service,
        auth,
        readiness: Arc::new(move || {
            if !ready.is_ready() {
                return Err("this node is not in its group, or the group has no leader now".to_owned());
            }
            match default.as_ref().filter(|name| !ready.databases.exists(name)) {
                Some(name) => Err(format!("the default database {name} is not there yet")),
                None => Ok(()),
            }
        }),
        bodies: Room::new(
            config.http.body_bytes_total,
            body_bytes_max as u64 + GRAIN,
            ROOM_WAIT,
        ),
        settings: HttpSettings {
            body_bytes_max,
            body_pace: config.http.pace,
            node: node.id().to_string(),
            default_database: config.default_database.as_ref().map(ToString::to_string),
            ..HttpSettings::default()
        },
    });
    let (expiring, stopped) = (Arc::clone(&shared), stop.clone());
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_secs(5));
        while stopped.run_until_cancelled(ticks.tick()).await.is_some() {
            expiring.service.expire(Instant::now());
        }
    });
    let admin = http::admin::router(Arc::new(admin::NodeAdmin::new(Arc::clone(node), url)));
    let metrics = metrics::router(Arc::clone(node), Arc::clone(&shared), Arc::clone(connections));
    let metrics = match config.metrics_public {
        true => metrics,
        false => shared.guard_admin(metrics),
    };
    let others = shared.guard_admin(admin).merge(metrics);
    let router = http::router(Arc::clone(&shared), others);
    let leaders = node.peers().map(|peers| {
        peers.set_router(router.clone());
        Arc::new(NodeLeaders::new(Arc::clone(node), Arc::clone(peers))) as _
    });
    Front::new(shared, router, leaders)
}

/// Makes the default database when this node first leads, if it is not there.
async fn make_default(node: Arc<Node>, name: String) {
    let home = Arc::clone(&node.home);
    let mut changes = home.group.leadership_changes();
    loop {
        if home.group.serves() {
            if node.databases.exists(&name) {
                return;
            }
            match node
                .create(None, &name, crate::entry::Limits::default(), None)
                .await
            {
                Ok(_) => return,
                Err(error) => tracing::warn!(
                    database = name,
                    error = causes::text(&error),
                    "the default database was not made"
                ),
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}
