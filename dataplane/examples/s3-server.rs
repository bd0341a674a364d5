//! An S3 server over a directory of its own, on a free port of 127.0.0.1: what `orion bench suite --s3-server` starts to
//! measure reads of cold databases. Prints endpoint, bucket, key and secret in one line, and ends with its input.

#[allow(dead_code, unused_imports, reason = "the tests make trouble with it")]
#[path = "../tests/support/s3.rs"]
mod s3;

use std::io::{Read, Write};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let server = s3::S3Server::start(0).await?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{} {} {} {}",
        server.endpoint(),
        s3::BUCKET,
        s3::KEY_ID,
        s3::SECRET
    )?;
    out.flush()?;
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    ended.await.map_err(std::io::Error::other)??;
    Ok(())
}
