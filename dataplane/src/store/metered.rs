//! An object store that counts what is asked of another one. Changes nothing on the way.

use super::Kind;
use super::metrics::{Area, Metrics, Operation};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug)]
pub(super) struct Metered {
    inner: Arc<dyn ObjectStore>,
    metrics: Arc<Metrics>,
}

impl Metered {
    pub(super) fn new(inner: Arc<dyn ObjectStore>, metrics: Arc<Metrics>) -> Metered {
        Metered { inner, metrics }
    }

    async fn count<T>(
        &self,
        operation: Operation,
        path: &Path,
        request: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        count(&self.metrics, operation, Area::of(path), request).await
    }
}

async fn count<T>(
    metrics: &Metrics,
    operation: Operation,
    area: Area,
    request: impl Future<Output = Result<T>>,
) -> Result<T> {
    let start = Instant::now();
    metrics.begin(operation, area);
    let waiting = metrics.health.asked();
    let outcome = request.await;
    metrics.answered(operation, area, start.elapsed());
    let failure = outcome.as_ref().err().and_then(failure);
    if failure.is_some() {
        metrics.failed(operation, area);
    }
    metrics.health.answered(failure);
    drop(waiting);
    outcome
}

/// An object that is not there or exists already is an answer.
fn failure(error: &object_store::Error) -> Option<Kind> {
    Some(Kind::of(error)).filter(|kind| !matches!(kind, Kind::NotFound | Kind::Conflict))
}

impl fmt::Display for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Metered {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let bytes = payload.content_length() as u64;
        self.metrics.moved(Operation::Put, Area::of(path), bytes);
        let put = self.inner.put_opts(path, payload, options);
        self.count(Operation::Put, path, put).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let begin = self.inner.put_multipart_opts(path, options);
        Ok(Box::new(MeteredUpload {
            inner: self.count(Operation::Put, path, begin).await?,
            area: Area::of(path),
            metrics: self.metrics.clone(),
        }))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = if options.head {
            Operation::Head
        } else {
            Operation::Get
        };
        let get = self.inner.get_opts(path, options);
        let result = self.count(operation, path, get).await?;
        if operation == Operation::Get {
            let bytes = result.range.end - result.range.start;
            self.metrics.moved(operation, Area::of(path), bytes);
        }
        Ok(result)
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let get = self.inner.get_ranges(path, ranges);
        let parts = self.count(Operation::Get, path, get).await?;
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        self.metrics.moved(Operation::Get, Area::of(path), bytes);
        Ok(parts)
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let metrics = self.metrics.clone();
        let counted = paths.inspect(move |path| {
            if let Ok(path) = path {
                metrics.begin(Operation::Delete, Area::of(path));
            }
        });
        self.inner.delete_stream(Box::pin(counted))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.metrics.begin(Operation::List, prefix_area(prefix));
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.metrics.begin(Operation::List, prefix_area(prefix));
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let list = self.inner.list_with_delimiter(prefix);
        count(&self.metrics, Operation::List, prefix_area(prefix), list).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let copy = self.inner.copy_opts(from, to, options);
        self.count(Operation::Copy, from, copy).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let rename = self.inner.rename_opts(from, to, options);
        self.count(Operation::Copy, from, rename).await
    }
}

fn prefix_area(prefix: Option<&Path>) -> Area {
    prefix.map_or(Area::Other, Area::of)
}

/// Parts and the completion of a large object each count as one put.
#[derive(Debug)]
struct MeteredUpload {
    inner: Box<dyn MultipartUpload>,
    area: Area,
    metrics: Arc<Metrics>,
}

#[async_trait]
impl MultipartUpload for MeteredUpload {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        let bytes = payload.content_length() as u64;
        self.metrics.moved(Operation::Put, self.area, bytes);
        let (metrics, area) = (self.metrics.clone(), self.area);
        let part = self.inner.put_part(payload);
        Box::pin(async move { count(&metrics, Operation::Put, area, part).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        count(&self.metrics, Operation::Put, self.area, self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
