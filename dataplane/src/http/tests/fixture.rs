//! A server with databases in memory, and the plainest client.

use crate::auth::{Auth, SharedAuth};
use crate::database;
use crate::hrana::fake::Fake;
use crate::hrana::{Databases, Service, StreamLimits};
use crate::http::connections::{self, Connections};
use crate::http::{Front, Http, HttpSettings, router};
use crate::room::{GRAIN, Room};
use axum::Router;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than any test may take.
const WAIT: Duration = Duration::from_secs(60);

/// Databases by name.
pub(super) struct Named(Vec<(&'static str, Fake)>);

impl Databases for Named {
    type Database = Fake;

    async fn find(&self, name: &str) -> Result<Option<Fake>, database::Error> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        Ok(found.map(|(_, database)| database.clone()))
    }
}

impl Named {
    /// The database "app".
    pub(super) fn app(&self) -> &Fake {
        &self.0[0].1
    }
}

/// Serves until it is dropped.
pub(super) struct Server<D: Databases = Named> {
    pub(super) address: SocketAddr,
    task: JoinHandle<()>,
    pub(super) connections: Arc<Connections>,
    pub(super) stop: CancellationToken,
    pub(super) http: Arc<Http<D>>,
}

impl<D: Databases> Drop for Server<D> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Reply {
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect(&self.body)
    }

    pub(super) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Databases "app", "other" and the default, "main".
pub(super) async fn serve(settings: HttpSettings, auth: Auth) -> Server {
    serve_these(named(), settings, auth).await
}

fn named() -> Named {
    let names = ["app", "other", "main"];
    Named(names.map(|name| (name, Fake::new())).to_vec())
}

/// The same, where nobody waits for room for longer than this.
pub(super) async fn serve_impatiently(settings: HttpSettings, wait: Duration) -> Server {
    let limits = connections::Limits::default();
    start(named(), settings, Auth::Disabled, limits, wait).await
}

/// The default settings with these limits of connections.
pub(super) async fn serve_within(limits: connections::Limits) -> Server {
    start(named(), HttpSettings::default(), Auth::Disabled, limits, WAIT).await
}

/// Room for sixteen of the largest bodies.
fn bodies(settings: &HttpSettings, wait: Duration) -> Arc<Room> {
    let most = settings.body_bytes_max as u64;
    Room::new(16 * most, most + GRAIN, wait)
}

/// The default limits, with four connections for each database.
fn limits() -> StreamLimits {
    StreamLimits {
        connected_per_database: 4,
        ..StreamLimits::default()
    }
}

/// These databases.
pub(super) async fn serve_these<D: Databases>(databases: D, settings: HttpSettings, auth: Auth) -> Server<D> {
    start(databases, settings, auth, connections::Limits::default(), WAIT).await
}

async fn start<D: Databases>(
    databases: D,
    settings: HttpSettings,
    auth: Auth,
    within: connections::Limits,
    wait: Duration,
) -> Server<D> {
    // Two of the largest results.
    let replies = Room::new(64 << 20, 0, wait);
    let http = Arc::new(Http {
        databases,
        service: Service::new(orion_api::NodeId(1), limits(), replies),
        auth: SharedAuth::new(auth),
        readiness: Arc::new(|| Err("no leader yet".to_owned())),
        bodies: bodies(&settings, wait),
        settings,
    });
    let routes = Front::new(http.clone(), router(http.clone(), Router::new()), None);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (connections, stop) = (Connections::new(within), CancellationToken::new());
    let serving = connections::serve(listener, routes, Arc::clone(&connections), stop.clone());
    Server {
        address,
        task: tokio::spawn(serving),
        connections,
        stop,
        http,
    }
}

/// The embedded defaults with "main" as default database.
pub(super) async fn plain() -> Server {
    let settings = HttpSettings {
        default_database: Some("main".into()),
        ..HttpSettings::default()
    };
    serve(settings, Auth::Disabled).await
}

impl<D: Databases> Server<D> {
    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Reply {
        let body = body.as_ref();
        let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            request.push_str("host: 127.0.0.1\r\n");
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        let length_is_told = ["content-length", "transfer-encoding"];
        if !headers.iter().any(|(name, _)| length_is_told.contains(name)) {
            request.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut stream = TcpStream::connect(self.address).await.expect("listening");
        stream.write_all(request.as_bytes()).await.expect("sent");
        stream.write_all(body).await.expect("sent");
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).await.expect("a reply");
        let reply = String::from_utf8(reply).expect("UTF-8");
        let (head, body) = reply.split_once("\r\n\r\n").expect("a head");
        Reply {
            status: head[9..12].parse().expect("a status"),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    /// A pipeline on "app".
    pub(super) async fn pipeline(&self, body: &serde_json::Value) -> Reply {
        self.send("POST", "/app/v2/pipeline", &[], body.to_string()).await
    }
}

/// An `execute` request.
pub(super) fn execute(sql: &str) -> serde_json::Value {
    serde_json::json!({"type": "execute", "stmt": {"sql": sql}})
}

/// A pipeline of statements that closes.
pub(super) fn closed(statements: &[&str]) -> serde_json::Value {
    let close = serde_json::json!({"type": "close"});
    let requests: Vec<_> = statements.iter().map(|sql| execute(sql)).chain([close]).collect();
    serde_json::json!({"baton": null, "requests": requests})
}

/// A pipeline of statements that stays open.
pub(super) fn open(baton: Option<&str>, statements: &[&str]) -> serde_json::Value {
    let requests: Vec<_> = statements.iter().map(|sql| execute(sql)).collect();
    serde_json::json!({"baton": baton, "requests": requests})
}

/// The baton of a reply.
pub(super) fn baton(reply: &Reply) -> String {
    reply.json()["baton"].as_str().expect("a baton").to_owned()
}

/// The first value of the first row of a result.
pub(super) fn value(reply: &Reply, index: usize) -> serde_json::Value {
    reply.json()["results"][index]["response"]["result"]["rows"][0][0].clone()
}
