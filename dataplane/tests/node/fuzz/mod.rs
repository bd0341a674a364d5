//! A fuzzer of HTTP, JSON and batons against a whole server. Laws: no reply of a server's fault without a code, no
//! panic, nothing hangs, and who asks rightly is answered rightly, during and after. What bodies and replies held is
//! given back.
//!
//! `ORION_SEED` and `ORION_ROUNDS` order another run, or a long one.

mod generate;

use super::running::{PATIENCE, Running, config};
use super::seeded;
use generate::Words;
use orion_api::{Code, Value};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const WORKERS: u64 = 4;
const PATHS: &[&str] = &[
    "/fuzzed/v2/pipeline",
    "/fuzzed/v2/pipeline",
    "/fuzzed/v2/pipeline",
    "/fuzzed/v2/pipeline",
    "/fuzzed/v3/pipeline",
    "/fuzzed/v3/pipeline",
    "/fuzzed/v3/cursor",
    "/fuzzed/v3/pipeline",
    "/other/v2/pipeline",
    "/fuzzed/v3/cursor",
    "/fuzzed",
    "/fuzzed/dump",
    "/%ff/v2/pipeline",
    "/_orion/v2/pipeline",
    "/_orion/v1/databases/%ff",
    "/_orion/v1/databases/nobody",
    "/_orion/v1/databases?limit=x",
    "/metrics",
    "/v9/nothing",
];

static PANICS: AtomicU64 = AtomicU64::new(0);

/// What came back.
struct Reply {
    status: u16,
    body: Vec<u8>,
}

/// A connection, with what was read ahead: one request may get two replies, `100 Continue` and its own.
struct Wire {
    stream: TcpStream,
    ahead: Vec<u8>,
}

impl Wire {
    /// The next reply; none if the connection is closed before.
    async fn reply(&mut self) -> Option<Reply> {
        let mut chunk = [0; 4096];
        loop {
            if let Some(reply) = self.whole() {
                return Some(reply);
            }
            match tokio::time::timeout(PATIENCE, self.stream.read(&mut chunk)).await {
                Err(_) => panic!("nothing comes, and the connection is not closed"),
                Ok(Ok(0) | Err(_)) => return None,
                Ok(Ok(many)) => self.ahead.extend_from_slice(&chunk[..many]),
            }
        }
    }

    fn whole(&mut self) -> Option<Reply> {
        let end = self.ahead.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&self.ahead[..end]).to_ascii_lowercase();
        let length = head
            .split_once("content-length: ")
            .and_then(|(_, rest)| rest.lines().next()?.trim().parse().ok());
        let all = end + length.unwrap_or(0);
        if self.ahead.len() < all {
            return None;
        }
        let bytes: Vec<u8> = self.ahead.drain(..all).collect();
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        Some(Reply {
            status: status.unwrap_or_else(|| panic!("a status line: {head}")),
            body: bytes[end..].to_vec(),
        })
    }
}

/// One client of many, with the batons that it was given.
struct Fuzzer {
    address: String,
    random: SmallRng,
    batons: Vec<String>,
    codes: BTreeMap<String, u64>,
}

impl Fuzzer {
    async fn round(&mut self) {
        let mut wire = Wire {
            stream: TcpStream::connect(&self.address).await.expect("it listens"),
            ahead: Vec::new(),
        };
        if Words(&mut self.random).one_in(15) {
            let noise = Words(&mut self.random).noise();
            let _ = wire.stream.write_all(&noise).await;
            let _ = wire.stream.shutdown().await;
            if let Some(reply) = wire.reply().await {
                self.judge("noise", &reply);
            }
            return;
        }
        for _ in 0..self.random.random_range(1..5) {
            let path = *Words(&mut self.random).pick(PATHS);
            let bytes = self.request(path);
            let leaves = Words(&mut self.random).one_in(12);
            if wire.stream.write_all(&bytes).await.is_err() || leaves {
                return;
            }
            // What may be shorter than it says is ended, so that the server knows.
            let is_last = Words(&mut self.random).one_in(4);
            if is_last {
                let _ = wire.stream.shutdown().await;
            }
            match wire.reply().await {
                None => return,
                Some(reply) => self.judge(path, &reply),
            }
            if is_last {
                return;
            }
        }
    }

    fn request(&mut self, path: &str) -> Vec<u8> {
        let baton = match self.random.random_range(0..4) {
            0 | 1 => self.batons.pop(),
            2 => self.batons.last().cloned(),
            _ => None,
        };
        let mut words = Words(&mut self.random);
        let baton = match baton {
            Some(good) if words.one_in(5) => Some(words.baton(good)),
            baton => baton,
        };
        let body = words.body(path, baton);
        let right = match path {
            path if path.contains("/_orion/v1") || path.ends_with("dump") || path == "/metrics" => "GET",
            _ => "POST",
        };
        let method = match words.one_in(10) {
            true => *words.pick(&["GET", "POST", "PATCH", "DELETE", "BREW"]),
            false => right,
        };
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n");
        for (name, values) in [
            ("x-orion-read-policy", ["strong", "session", "weak"]),
            ("x-orion-session-token", ["", "abc", "AAAA"]),
            ("x-orion-idempotency-key", ["k", "", "\u{7f}"]),
            ("x-namespace-bin", ["Zg", "%%%", "ZnV6emVk"]),
            ("expect", ["100-continue", "x", "100-continue"]),
        ] {
            if words.one_in(25) {
                head.push_str(&format!("{name}: {}\r\n", words.pick(&values)));
            }
        }
        let chunked = words.one_in(6);
        match chunked {
            true => head.push_str("transfer-encoding: chunked\r\n\r\n"),
            false => head.push_str(&format!("content-length: {}\r\n\r\n", body.len())),
        }
        let mut bytes = head.into_bytes();
        if words.one_in(20) {
            words.damage(&mut bytes);
        }
        match chunked {
            true => {
                bytes.extend(format!("{:x}\r\n", body.len()).into_bytes());
                bytes.extend(body);
                bytes.extend(b"\r\n0\r\n\r\n");
            }
            false => bytes.extend(body),
        }
        bytes
    }

    /// The laws of a reply.
    fn judge(&mut self, path: &str, reply: &Reply) {
        let text = String::from_utf8_lossy(&reply.body);
        let json: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let code = json["code"].as_str().unwrap_or_default();
        let known = Code::from_name(code);
        match reply.status {
            100 | 200..300 => {}
            500.. => {
                assert!(known.is_some(), "{path}: {} {text}", reply.status);
                assert_ne!(known, Some(Code::Internal), "{path}: {text}");
            }
            // Below the routes, HTTP's own.
            400 | 414 | 431 if reply.body.is_empty() => {}
            _ => assert!(known.is_some(), "{path}: {} {text}", reply.status),
        }
        *self.codes.entry(format!("{} {code}", reply.status)).or_default() += 1;
        if let Some(baton) = json["baton"].as_str() {
            self.batons.push(baton.to_owned());
            if self.batons.len() > 20 {
                self.batons.remove(0);
            }
        }
    }
}

/// Somebody who asks rightly, beside all that.
async fn honest(running: &Running, number: i64) {
    let insert = format!("INSERT INTO law VALUES ({number}) RETURNING a + 1");
    let rows = running.run("honest", &insert).await.expect("it is done");
    assert_eq!(rows, [[Value::Integer(number + 1)]]);
}

async fn count(running: &Running, metric: &str) -> u64 {
    let text = running.client.text("/metrics").await.expect("metrics");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    line.expect("the metric").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_is_answered_and_hurts_nobody() {
    let (mut random, rounds) = seeded(400);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        before(panic);
    }));
    let dir = tempfile::tempdir().expect("a folder");
    // Short, so that what ends by them ends within the run.
    let short = "http: {head_timeout_ms: 200, stall_timeout_ms: 200}\ntransactions: {idle_timeout_ms: 300}\n";
    let running = Running::start(config(dir.path(), short)).await.expect("starts");
    for name in ["fuzzed", "other", "honest"] {
        running.create(name).await;
    }
    running.run("honest", "CREATE TABLE law(a)").await.expect("made");
    let workers = (0..WORKERS).map(|_| {
        let mut fuzzer = Fuzzer {
            address: running.client.root().replace("http://", ""),
            random: SmallRng::seed_from_u64(random.random()),
            batons: Vec::new(),
            codes: BTreeMap::new(),
        };
        tokio::spawn(async move {
            for _ in 0..rounds {
                fuzzer.round().await;
            }
            fuzzer.codes
        })
    });
    let workers: Vec<_> = workers.collect();
    let mut asked = 0;
    while !workers.iter().all(tokio::task::JoinHandle::is_finished) {
        honest(&running, asked).await;
        asked += 1;
    }
    let mut codes: BTreeMap<String, u64> = BTreeMap::new();
    for worker in workers {
        for (code, many) in worker.await.expect("the laws hold") {
            *codes.entry(code).or_default() += many;
        }
    }
    println!("{asked} honest requests beside {codes:#?}");
    honest(&running, asked).await;
    let rows = running
        .run("honest", "SELECT count(*) FROM law")
        .await
        .expect("read");
    assert_eq!(rows, [[Value::Integer(asked + 1)]]);
    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
    let given_back = async {
        for metric in ["orion_http_body_bytes", "orion_http_reply_bytes"] {
            while count(&running, metric).await > 0 {
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, given_back)
        .await
        .expect("all room comes back");
    tokio::time::timeout(Duration::from_secs(30), running.stop())
        .await
        .expect("it stops");
}
