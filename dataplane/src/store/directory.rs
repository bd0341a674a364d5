//! A local directory with the one thing that it lacks beside other stores: replacing an object under a condition.
//!
//! SlateDB's garbage collection moves a boundary with it, below which manifests were deleted. Without the boundary a
//! writer that has not looked for a while writes its next manifest under a number that was used and deleted since, takes
//! that for success, and what others wrote meanwhile (checkpoints given to the log!) is lost.
//!
//! Put-if-match here: an exclusive `flock` on the directory, compare the tag, replace, unlock. The lock holds
//! between processes too, and ends with the process. All other requests go through unchanged, fsynced, without the lock:
//! an object that is replaced under a condition is never replaced otherwise.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UpdateVersion,
};
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

#[derive(Debug)]
pub(super) struct Directory {
    inner: LocalFileSystem,
    root: PathBuf,
}

impl Directory {
    /// `root` exists.
    pub(super) fn new(root: PathBuf) -> Result<Directory> {
        let inner = LocalFileSystem::new_with_prefix(&root)?.with_fsync(true);
        Ok(Directory { inner, root })
    }

    async fn replace(&self, path: &Path, payload: PutPayload, expected: UpdateVersion) -> Result<PutResult> {
        let lock = self.lock().await.map_err(|source| object_store::Error::Generic {
            store: "directory",
            source: Box::new(source),
        })?;
        let found = self.inner.head(path).await;
        let found = match found {
            Ok(found) => found.e_tag,
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        if found.is_none() || found != expected.e_tag {
            return Err(object_store::Error::Precondition {
                path: path.to_string(),
                source: "the object is not the one that was read".into(),
            });
        }
        let replaced = self.inner.put(path, payload).await;
        drop(lock);
        replaced
    }

    /// Unlocked when the returned file is closed.
    async fn lock(&self) -> io::Result<File> {
        let root = self.root.clone();
        let locked = tokio::task::spawn_blocking(move || {
            let directory = File::open(root)?;
            rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive)?;
            Ok(directory)
        });
        locked.await.map_err(io::Error::other)?
    }
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Directory {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match options.mode {
            PutMode::Update(expected) => self.replace(path, payload, expected).await,
            _ => self.inner.put_opts(path, payload, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(path, options).await
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(path, ranges).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}
