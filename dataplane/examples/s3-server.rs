//! An S3 server over a directory, with one bucket and one key. Prints endpoint, bucket, key and secret in one line.
//!
//! `s3-server` alone has a directory of its own on a free port of 127.0.0.1 and ends with its input: what `orion bench suite
//! --s3-server` starts to measure reads of cold databases. `s3-server ADDRESS DIRECTORY` listens there, keeps what it stored,
//! and ends by SIGTERM: the object store of the tests on a Kubernetes cluster.

#[allow(dead_code, unused_imports, reason = "the tests make trouble with it")]
#[path = "../tests/support/s3.rs"]
mod s3;

use std::io::{Error, Read, Write};
use std::path::Path;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => {
            let server = s3::S3Server::start(0).await?;
            announce(&server)?;
            let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
            ended.await.map_err(Error::other)??;
        }
        [address, directory] => {
            let listener = TcpListener::bind(address).await?;
            let server = s3::S3Server::serve(0, listener, Path::new(directory))?;
            announce(&server)?;
            signal(SignalKind::terminate())?.recv().await;
        }
        _ => return Err(Error::other("usage: s3-server [ADDRESS DIRECTORY]")),
    }
    Ok(())
}

fn announce(server: &s3::S3Server) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    let endpoint = server.endpoint();
    writeln!(out, "{endpoint} {} {} {}", s3::BUCKET, s3::KEY_ID, s3::SECRET)?;
    out.flush()
}
