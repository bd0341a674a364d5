//! A local snapshot's file on its way to another member.

use super::wire::SnapshotPart;
use crate::raft::{SnapshotFile, Vote};
use futures::Stream;
use futures::stream;
use std::io;
use std::path::{Path, PathBuf};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Bytes of one part.
const PART: usize = 1 << 20;

/// The parts of a file, read as they are sent. The file may be replaced meanwhile: what was opened stays. Where it cannot be
/// read any more the stream ends without a last part, which the receiver refuses.
pub(super) async fn parts(
    snapshot: &SnapshotFile,
    vote: &Vote,
) -> io::Result<impl Stream<Item = SnapshotPart> + Send + 'static> {
    let file = File::open(&snapshot.path).await?;
    let state = Some((file, Some(vote.into())));
    Ok(stream::unfold(state, |state| async move {
        let (mut file, vote) = state?;
        let mut bytes = Vec::with_capacity(PART);
        let read = (&mut file).take(PART as u64).read_to_end(&mut bytes).await;
        if let Err(error) = read {
            tracing::error!(%error, "the local snapshot cannot be sent");
            return None;
        }
        let last = bytes.len() < PART;
        let part = SnapshotPart {
            vote,
            bytes: bytes.into(),
            last,
        };
        Some((part, (!last).then_some((file, None))))
    }))
}

/// A file that a snapshot arrives in. Gone again unless it is installed.
pub(super) struct Incoming {
    path: PathBuf,
    file: File,
}

impl Incoming {
    /// A new file in `dir`.
    pub(super) async fn create(dir: &Path) -> io::Result<Incoming> {
        tokio::fs::create_dir_all(dir).await?;
        let path = dir.join(format!("{:016x}", rand::random::<u64>()));
        let file = File::create(&path).await?;
        Ok(Incoming { path, file })
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).await
    }

    /// Everything is there, and durable.
    pub(super) async fn finish(&mut self) -> io::Result<SnapshotFile> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        Ok(SnapshotFile {
            path: self.path.clone(),
        })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Installed, it has another name by now.
        let _ = std::fs::remove_file(&self.path);
    }
}
