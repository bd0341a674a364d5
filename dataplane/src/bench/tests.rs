//! Whole runs against a server that is only an echo of the protocol: it counts inserts, splits its replies,
//! closes connections and refuses some, so that the counts of the client can be compared with the truth.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What the mock does with its n-th insert.
#[derive(Clone, Copy)]
enum Mood {
    Fine,
    /// Every tenth is refused with a 503 and a code.
    Busy,
    /// Every tenth is applied, and the connection closed instead of an answer.
    Silent,
    /// Every tenth is acknowledged and not applied.
    Liar,
    /// Every reply says `connection: close`.
    Closing,
}

struct Mock {
    address: SocketAddr,
    // Dropped with the mock, which ends its tasks.
    _runtime: tokio::runtime::Runtime,
}

#[derive(Default)]
struct Counts {
    inserts: AtomicU64,
    rows: AtomicU64,
}

impl Mock {
    fn start(mood: Mood) -> Mock {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a port");
        let address = listener.local_addr().expect("bound");
        let counts = Arc::new(Counts::default());
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, mood, counts.clone()));
            }
        });
        Mock {
            address,
            _runtime: runtime,
        }
    }
}

async fn serve(mut stream: TcpStream, mood: Mood, counts: Arc<Counts>) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let body = read_request(&mut stream, &mut buffer).await?;
        let number = if body.contains("INSERT") {
            counts.inserts.fetch_add(1, Ordering::Relaxed)
        } else {
            1
        };
        let tenth = number % 10 == 0;
        let is_applied = body.contains("INSERT") && !(tenth && matches!(mood, Mood::Busy | Mood::Liar));
        counts.rows.fetch_add(u64::from(is_applied), Ordering::Relaxed);
        let reply = match mood {
            Mood::Silent if tenth => return None,
            Mood::Busy if tenth => {
                let body = r#"{"error":"wait","code":"ORION_OVERLOADED"}"#;
                format!("HTTP/1.1 503 x\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            }
            _ => good_reply(&body, mood, counts.rows.load(Ordering::Relaxed)),
        };
        for piece in reply.as_bytes().chunks(reply.len() / 2 + 1) {
            stream.write_all(piece).await.ok()?;
            tokio::task::yield_now().await;
        }
        if matches!(mood, Mood::Closing) {
            return Some(());
        }
    }
}

fn good_reply(body: &str, mood: Mood, rows: u64) -> String {
    let value = if body.contains("bench_select") {
        super::workload::SELECT_ROWS
    } else {
        rows
    };
    let body = format!(
        r#"{{"baton":null,"results":[{{"type":"ok","response":{{"type":"execute","result":{{"rows":[[{{"type":"integer","value":"{value}"}}]]}}}}}},{{"type":"ok","response":{{"type":"close"}}}}]}}"#
    );
    match mood {
        Mood::Closing => format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
        _ => format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        ),
    }
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        let text = String::from_utf8_lossy(buffer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length: usize = head.rsplit_once("content-length:")?.1.trim().parse().ok()?;
            if body.len() >= length {
                buffer.drain(..head.len() + 4 + length);
                return Some(body[..length].to_owned());
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// Runs the command line against a mock; the report, and whether the run succeeded.
fn bench(mood: Mood, words: &str) -> (Report, bool) {
    let mock = Mock::start(mood);
    let url = format!("http://{}", mock.address);
    let directory = tempfile::tempdir().expect("a directory");
    let fixed = [
        "--warm-up",
        "0.05",
        "-d",
        "0.2",
        "--disk-seconds",
        "0.01",
        "-o",
        "json",
    ];
    let line = Line::parse_from(
        ["bench"]
            .into_iter()
            .chain(words.split(' '))
            .chain(["--url", &url, "--disk", directory.path().to_str().expect("UTF-8")])
            .chain(fixed),
    );
    let mut out = Vec::new();
    let result = run(&line.options, &mut out);
    (
        serde_json::from_slice(&out).unwrap_or_else(|_| panic!("no report: {result:?}")),
        result.is_ok(),
    )
}

#[test]
fn a_fine_server_gives_operations_and_no_errors() {
    let (report, ok) = bench(Mood::Fine, "insert -c 4 --threads 2");
    assert!(ok && report.ops_per_second > 0.0 && report.errors.is_empty());
    assert!(report.rows.expect("checked").ok);
    assert!(report.writes.expect("writes").p50_ms > 0.0 && report.reads.is_none());
    assert!(report.disk.expect("measured").count > 0);
}

#[test]
fn refusals_are_errors_and_not_rows() {
    let (report, ok) = bench(Mood::Busy, "insert -c 4");
    let rows = report.rows.expect("checked");
    assert!(ok && rows.ok && rows.unknown == 0);
    assert_eq!(report.errors.keys().collect::<Vec<_>>(), ["ORION_OVERLOADED"]);
}

#[test]
fn lost_connections_are_unknown_and_made_again() {
    let (report, ok) = bench(Mood::Silent, "insert -c 4");
    let rows = report.rows.expect("checked");
    assert!(
        ok && rows.ok && rows.unknown > 0 && rows.found > rows.acknowledged,
        "{rows:?}"
    );
    assert_eq!(report.errors.keys().collect::<Vec<_>>(), ["CONNECTION_LOST"]);
}

#[test]
fn a_server_that_lies_is_caught() {
    let (report, ok) = bench(Mood::Liar, "insert -c 2");
    assert!(!ok && !report.rows.expect("checked").ok);
}

#[test]
fn connection_close_is_no_error() {
    let (report, ok) = bench(Mood::Closing, "mixed -c 2");
    assert!(ok && report.errors.is_empty(), "{:?}", report.errors);
    assert!(report.reads.is_some());
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let (report, ok) = bench(Mood::Fine, "insert -c 8 --rate 1000");
    assert!(ok && report.rate == Some(1000.0));
    let count = report.writes.expect("writes").count;
    assert!((1..=210).contains(&count), "{count} of 200 in 0.2 s");
}

#[test]
fn a_server_that_is_away_is_an_error() {
    let line = Line::parse_from([
        "bench",
        "insert",
        "--url",
        "http://127.0.0.1:1",
        "--disk-seconds",
        "0",
    ]);
    assert!(run(&line.options, &mut Vec::new()).is_err());
}
