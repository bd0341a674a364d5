//! A checksum around the objects that SlateDB keeps without one: manifests and states of compactions.
//!
//! SlateDB checks the blocks of its tables, and pages have a checksum of their own. A manifest has neither: a flipped bit
//! in it can drop a table from the list, and then an *older* image of a page, whose checksum is right, would be served. So
//! these objects get a trailer on the way out, which is checked and cut off on the way in.
//!
//! Format: content, XXH3-64 of path and content (8 bytes, big-endian), `orion-1\n` (8 bytes). The path is in it because
//! manifests are consecutive versions of one thing: one copied under another number would pass otherwise.
//!
//! LIMIT: other tools of SlateDB do not read these manifests. Sizes in lists include the trailer; nobody looks at them.

use crate::store::Corruption;
use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

const MARK: &[u8; 8] = b"orion-1\n";
const TRAILER: usize = 8 + MARK.len();

#[derive(Debug)]
pub(super) struct Sealed(pub(super) Arc<dyn ObjectStore>);

fn is_sealed(path: &Path) -> bool {
    matches!(path.extension(), Some("manifest" | "compactions"))
}

fn seal(path: &Path, payload: PutPayload) -> PutPayload {
    let content = Bytes::from(payload);
    let mut sealed = BytesMut::with_capacity(content.len() + TRAILER);
    sealed.put_slice(&content);
    sealed.put_u64(sum(path, &content));
    sealed.put_slice(MARK);
    sealed.freeze().into()
}

fn unseal(path: &Path, mut sealed: Bytes) -> Result<Bytes, Corruption> {
    let damaged = |what| Corruption {
        path: path.clone(),
        what,
    };
    let end = sealed
        .len()
        .checked_sub(TRAILER)
        .ok_or_else(|| damaged("too short"))?;
    let trailer = sealed.split_off(end);
    if &trailer[8..] != MARK {
        return Err(damaged("no seal"));
    }
    if trailer[..8] != sum(path, &sealed).to_be_bytes() {
        return Err(damaged("checksum"));
    }
    Ok(sealed)
}

fn sum(path: &Path, content: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(path.as_ref().as_bytes());
    hash.update(content);
    hash.digest()
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Sealed {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let payload = match is_sealed(path) {
            true => seal(path, payload),
            false => payload,
        };
        self.0.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let found = self.0.get_opts(path, options.clone()).await?;
        if !is_sealed(path) || options.head {
            return Ok(found);
        }
        if options.range.is_some() {
            let damage = Corruption {
                path: path.clone(),
                what: "a part of it cannot be checked",
            };
            return Err(damage.into_object_store());
        }
        let mut meta = found.meta.clone();
        let (attributes, extensions) = (found.attributes.clone(), found.extensions.clone());
        let content = unseal(path, found.bytes().await?).map_err(Corruption::into_object_store)?;
        meta.size = content.len() as u64;
        Ok(GetResult {
            range: 0..meta.size,
            meta,
            attributes,
            extensions,
            payload: GetResultPayload::Stream(futures::stream::iter([Ok(content)]).boxed()),
        })
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.get_ranges(path, ranges).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(number: u32) -> Path {
        Path::from(format!("db/x/1/manifest/{number:020}.manifest"))
    }

    #[test]
    fn sealed_content_comes_back_and_any_flipped_bit_is_found() {
        let sealed = Bytes::from(seal(&path(1), PutPayload::from_static(b"content")));
        assert_eq!(unseal(&path(1), sealed.clone()).expect("intact"), "content");
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal(&path(1), damaged.into()).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_manifest_under_another_number_is_refused() {
        let sealed = Bytes::from(seal(&path(1), PutPayload::from_static(b"content")));
        assert!(unseal(&path(2), sealed).is_err());
    }
}
