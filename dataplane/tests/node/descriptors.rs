//! A process with few file descriptors, and strangers who want all of them.

use super::running::PATIENCE;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The process, killed at the end.
struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(dir: &Path, descriptors: u32) -> Server {
        let line = format!("ulimit -n {descriptors} && ulimit -Sn 64 && exec \"$0\" \"$@\"");
        let mut child = Command::new("sh")
            .args(["-c", &line, env!("CARGO_BIN_EXE_orion"), "server"])
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let address = lines
            .by_ref()
            .map(|line| line.expect("UTF-8"))
            .find_map(|line| {
                Some(
                    line.split_once("endpoint")?
                        .1
                        .trim()
                        .strip_prefix("http://")?
                        .to_owned(),
                )
            })
            .expect("it says where it listens");
        // What else it says must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        Server { child, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("listening");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream
    }
}

fn pipeline(statements: &[&str]) -> String {
    let requests: Vec<_> = statements
        .iter()
        .map(|sql| serde_json::json!({"type": "execute", "stmt": {"sql": sql}}))
        .chain([serde_json::json!({"type": "close"})])
        .collect();
    let body = serde_json::json!({"requests": requests}).to_string();
    format!(
        "POST /v2/pipeline HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The text that arrives until the other side closes.
fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("a reply in time");
    text
}

#[test]
fn connections_leave_descriptors_to_the_log() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path(), 256);
    // More than the segment that is there and the one that is made ahead: the log needs new files.
    let mut statements = vec!["CREATE TABLE t(a)"];
    statements.extend(["INSERT INTO t VALUES (randomblob(8000000))"; 6]);
    statements.push("SELECT count(*) FROM t");
    let text = pipeline(&statements);
    let (first, last) = text.split_at(text.len() - 10);
    let mut client = server.connect();
    client.write_all(first.as_bytes()).expect("sent");
    let strangers: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut stranger = server.connect();
            // It may have been closed already.
            let _ = stranger.write_all(b"POST /v2/pipe");
            stranger
        })
        .collect();
    client.write_all(last.as_bytes()).expect("sent");
    let reply = rest(client);
    assert!(reply.starts_with("HTTP/1.1 200 OK"), "{reply}");
    assert!(!reply.contains("\"error\""), "{reply}");
    assert!(reply.contains(r#"[{"type":"integer","value":"6"}]"#), "{reply}");
    drop(strangers);
}
