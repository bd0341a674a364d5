//! A real S3 server in this process, with a layer in front that makes trouble on purpose.
//!
//! The server is `s3s` over a directory (`s3s-fs`), reached over HTTP on a port of 127.0.0.1 with signatures checked, so that
//! the whole client is under test: signing, conditions, retries, XML. `s3s-fs` looks for the object and writes it without a
//! lock in between; conditional puts are therefore serialized here, as S3 guarantees them to be.
//!
//! Trouble comes from a seeded generator: the same seed and order of requests give the same trouble.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use orion::store::{Config, Credentials, Retry, Secret};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub const BUCKET: &str = "bucket";
pub const KEY_ID: &str = "key-id";
pub const SECRET: &str = "secret";

/// How many of 1,000 requests meet which trouble.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trouble {
    /// Refused with 503 SlowDown.
    pub throttled: u32,
    /// Refused with 500.
    pub failed: u32,
    /// Answered after a pause.
    pub slow: u32,
    /// A body with flipped bytes.
    pub garbage: u32,
    /// The connection breaks before the request is done.
    pub lost_request: u32,
    /// The request is done, and then the connection breaks.
    pub lost_reply: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Normal,
    Throttled,
    Failed,
    Slow,
    Garbage,
    LostRequest,
    LostReply,
}

/// The server; it ends when this is dropped.
pub struct S3Server {
    pub address: SocketAddr,
    trouble: Arc<Mutex<(Trouble, StdRng)>>,
    requests: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
    _temporary: Option<TempDir>,
}

impl S3Server {
    /// On a free port, over a directory that goes with it.
    pub async fn start(seed: u64) -> io::Result<S3Server> {
        let directory = tempfile::tempdir()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut server = S3Server::serve(seed, listener, directory.path())?;
        server._temporary = Some(directory);
        Ok(server)
    }

    /// Over a directory that stays: what a server before this one stored in it is there.
    pub fn serve(seed: u64, listener: TcpListener, directory: &Path) -> io::Result<S3Server> {
        std::fs::create_dir_all(directory.join(BUCKET))?;
        let files =
            s3s_fs::FileSystem::new(directory).map_err(|error| io::Error::other(format!("{error:?}")))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
        let address = listener.local_addr()?;
        let trouble = Arc::new(Mutex::new((Trouble::default(), StdRng::seed_from_u64(seed))));
        let requests = Arc::default();
        let front = Front {
            service: builder.build(),
            trouble: trouble.clone(),
            requests: Arc::clone(&requests),
            conditional: Arc::default(),
        };
        let accepting = tokio::spawn(accept(listener, front));
        Ok(S3Server {
            address,
            trouble,
            requests,
            accepting,
            _temporary: None,
        })
    }

    /// From the next request on.
    pub fn make(&self, trouble: Trouble) {
        self.trouble.lock().expect("nobody panics with it").0 = trouble;
    }

    /// Method, path and query of all requests since the last call, as they came.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().expect("nobody panics with it"))
    }

    /// How the server's bucket is reached, by a client that does not give up soon nor wait for long.
    pub fn store_config(&self) -> Config {
        let mut config = Config::new(format!("s3://{BUCKET}/root").parse().expect("a URL"));
        config.endpoint = Some(self.endpoint());
        config.path_style = true;
        config.allow_http = true;
        config.credentials = Credentials::Keys {
            id: KEY_ID.to_owned(),
            secret: Secret(SECRET.to_owned()),
        };
        config.retry = Retry {
            attempts: 2,
            pause: Duration::from_millis(1),
            attempt: Duration::from_secs(2),
            total: Duration::from_secs(5),
        };
        config
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, front: Front) {
    while let Ok((stream, _)) = listener.accept().await {
        let front = front.clone();
        tokio::spawn(async move {
            let serve = service_fn(move |request| {
                let answer = front.clone().answer(request);
                async move { Ok::<_, io::Error>(answer.await?.map(Full::new)) }
            });
            // An error is a broken connection: the client's affair, or ours on purpose.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), serve)
                .await;
        });
    }
}

#[derive(Clone)]
struct Front {
    service: S3Service,
    trouble: Arc<Mutex<(Trouble, StdRng)>>,
    requests: Arc<Mutex<Vec<String>>>,
    conditional: Arc<tokio::sync::Mutex<()>>,
}

impl Front {
    async fn answer(self, request: http::Request<Incoming>) -> io::Result<Response<Bytes>> {
        self.requests.lock().expect("nobody panics with it").push(format!(
            "{} {}",
            request.method(),
            request.uri()
        ));
        match self.fate() {
            Fate::Throttled => Ok(refusal(StatusCode::SERVICE_UNAVAILABLE, "SlowDown")),
            Fate::Failed => Ok(refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError")),
            Fate::LostRequest => Err(io::ErrorKind::ConnectionReset.into()),
            Fate::Slow => {
                tokio::time::sleep(Duration::from_millis(30)).await;
                self.serve(request).await
            }
            Fate::LostReply => {
                self.serve(request).await?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
            Fate::Garbage => Ok(self.garble(self.serve(request).await?)),
            Fate::Normal => self.serve(request).await,
        }
    }

    async fn serve(&self, request: http::Request<Incoming>) -> io::Result<Response<Bytes>> {
        let is_conditional = request.method() == Method::PUT
            && (request.headers().contains_key(header::IF_NONE_MATCH)
                || request.headers().contains_key(header::IF_MATCH));
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let guard = match is_conditional {
            true => Some(self.conditional.lock().await),
            false => None,
        };
        let request = http::Request::from_parts(parts, s3s::Body::from(body));
        let answer = self.service.call(request).await;
        let answer = answer.map_err(|error| io::Error::other(format!("{error:?}")))?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        drop(guard);
        Ok(Response::from_parts(parts, body))
    }

    fn fate(&self) -> Fate {
        let mut guard = self.trouble.lock().expect("nobody panics with it");
        let (trouble, random) = &mut *guard;
        let mut dice = random.random_range(0..1000u32);
        for (share, fate) in [
            (trouble.throttled, Fate::Throttled),
            (trouble.failed, Fate::Failed),
            (trouble.slow, Fate::Slow),
            (trouble.garbage, Fate::Garbage),
            (trouble.lost_request, Fate::LostRequest),
            (trouble.lost_reply, Fate::LostReply),
        ] {
            if dice < share {
                return fate;
            }
            dice -= share;
        }
        Fate::Normal
    }

    /// Flips a byte in each 512 or so of the body.
    fn garble(&self, answer: Response<Bytes>) -> Response<Bytes> {
        let mut guard = self.trouble.lock().expect("nobody panics with it");
        answer.map(|body| {
            let mut bytes = body.to_vec();
            for _ in 0..bytes.len().div_ceil(512) {
                let place = guard.1.random_range(0..bytes.len());
                bytes[place] ^= guard.1.random_range(1..=255u8);
            }
            bytes.into()
        })
    }
}

fn refusal(status: StatusCode, code: &str) -> Response<Bytes> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>trouble</Message></Error>");
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    answer
}
