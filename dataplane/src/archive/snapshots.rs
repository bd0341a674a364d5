//! Snapshots in the archive: the local snapshot of a leader (catalog and overlays) as objects.
//!
//! ```text
//! archive/<group>/<incarnation>/snapshots/<index>-<time>-<operation>/<part>    8 MiB of the file each, from 0
//! archive/<group>/<incarnation>/snapshots/<index>-<time>-<operation>/head      what it is; written last
//! head  "ORIONSNH" · format u32 · XXH3-64 of the rest · protobuf `Head`          (little-endian)
//! ```
//! The time is in the name, ms since 1970, so that what may go can be told from a list. The operation is a new one for each attempt: two leaders that write one for the same index never mix their parts.
//!
//! CRASH: without a head there is no snapshot; its parts are garbage, which goes with the next that are let go.

use super::Error;
use super::object::Life;
use crate::store::Store;
use bytes::{BufMut, Bytes, BytesMut};
use object_store::path::Path;
use prost::Message;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::Arc;
use uuid::Uuid;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

const MAGIC: &[u8; 8] = b"ORIONSNH";
const FORMAT: u32 = 1;
const PREFIX: usize = 8 + 4 + 8;
const PART_BYTES: usize = 8 << 20;
const HEAD: &str = "head";

/// A snapshot that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// It holds everything up to this index.
    pub(crate) index: u64,
    /// Wall clock of the writer before it was taken, ms since 1970: everything that was acknowledged before is in it.
    pub(crate) taken_at_ms: u64,
    /// Where its objects are.
    pub(crate) folder: Path,
}

/// What a head says.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Head {
    /// It holds everything up to this index.
    #[prost(uint64, tag = "1")]
    pub(crate) index: u64,
    /// Wall clock of the writer before it was taken, ms since 1970: everything that was acknowledged before is in it.
    #[prost(uint64, tag = "2")]
    pub(crate) taken_at_ms: u64,
    /// How many parts.
    #[prost(uint64, tag = "3")]
    pub(crate) parts: u64,
    /// Bytes of all.
    #[prost(uint64, tag = "4")]
    pub(crate) bytes: u64,
    /// XXH3-64 of all.
    #[prost(fixed64, tag = "5")]
    pub(crate) sum: u64,
    /// Its own folder: a copy under another name is not taken.
    #[prost(string, tag = "6")]
    pub(crate) folder: String,
}

/// Where the snapshots of a life are.
pub(crate) fn root(life: &Life) -> Path {
    life.path().join("snapshots")
}

/// Puts the local snapshot `file`, which holds everything up to `index`, into the archive.
pub(crate) async fn upload(
    store: &Store,
    life: &Life,
    file: File,
    index: u64,
    taken_at_ms: u64,
) -> Result<Stored, Error> {
    let operation = Uuid::new_v4().simple();
    let folder = root(life).join(format!("{index:020}-{taken_at_ms:020}-{operation}"));
    let file = Arc::new(parking_lot::Mutex::new(file));
    let (mut parts, mut bytes, mut sum) = (0, 0, Xxh3::new());
    loop {
        let part = next_part(&file)
            .await
            .map_err(Error::io("read the local snapshot"))?;
        if part.is_empty() {
            break;
        }
        sum.update(&part);
        bytes += part.len() as u64;
        let path = folder.clone().join(format!("{parts:020}"));
        store.put_if_absent(&path, part).await?;
        parts += 1;
    }
    fail::fail_point!("archive::before_snapshot_head");
    let head = Head {
        index,
        taken_at_ms,
        parts,
        bytes,
        sum: sum.digest(),
        folder: folder.to_string(),
    };
    let path = folder.clone().join(HEAD);
    store.put_if_absent(&path, encode(&head)).await?;
    Ok(Stored {
        index,
        taken_at_ms,
        folder,
    })
}

async fn next_part(file: &Arc<parking_lot::Mutex<File>>) -> std::io::Result<Bytes> {
    let file = Arc::clone(file);
    let read = tokio::task::spawn_blocking(move || {
        let mut part = Vec::new();
        let mut file = file.lock();
        Read::by_ref(&mut *file)
            .take(PART_BYTES as u64)
            .read_to_end(&mut part)?;
        Ok(Bytes::from(part))
    });
    read.await.map_err(std::io::Error::other)?
}

/// The snapshots that have a head, oldest first. One list.
pub(crate) async fn list(store: &Store, life: &Life) -> Result<Vec<Stored>, Error> {
    let mut found: Vec<Stored> = store
        .list(&root(life))
        .await?
        .into_iter()
        .filter_map(|path| head_of(&path))
        .collect();
    found.sort_by_key(|stored| stored.index);
    Ok(found)
}

/// The snapshot that `path` is the head of.
fn head_of(path: &Path) -> Option<Stored> {
    let (folder, file) = path.as_ref().rsplit_once('/')?;
    (file == HEAD).then(|| Stored::at(Path::from(folder)))?
}

impl Stored {
    /// The snapshot of this folder, by its name.
    pub(super) fn at(folder: Path) -> Option<Stored> {
        let mut numbers = folder.filename()?.split('-');
        let index = numbers.next()?.parse().ok()?;
        let taken_at_ms = numbers.next()?.parse().ok()?;
        Some(Stored {
            index,
            taken_at_ms,
            folder,
        })
    }
}

/// What the head of a snapshot says.
pub(crate) async fn head(store: &Store, stored: &Stored) -> Result<Head, Error> {
    let path = stored.folder.clone().join(HEAD);
    let found = store.get(&path).await?;
    let found = found.ok_or_else(|| Error::damaged(&path, "it is gone"))?;
    let head = decode(&path, &found)?;
    match head.index == stored.index && head.folder == stored.folder.as_ref() {
        true => Ok(head),
        false => Err(Error::damaged(&path, "it is another snapshot's")),
    }
}

/// Writes the file that was uploaded to `file`, and answers what its head says.
///
/// INVARIANT: what is written has the checksum that its head names, or this is an error.
pub(crate) async fn download(store: &Store, stored: &Stored, file: &std::path::Path) -> Result<Head, Error> {
    let head = head(store, stored).await?;
    let mut out = File::create(file).map_err(Error::io("create a file for a snapshot"))?;
    let (mut bytes, mut sum) = (0, Xxh3::new());
    for part in 0..head.parts {
        let path = stored.folder.clone().join(format!("{part:020}"));
        let found = store.get(&path).await?;
        let found = found.ok_or_else(|| Error::damaged(&path, "it is gone"))?;
        bytes += found.len() as u64;
        sum.update(&found);
        out.write_all(&found).map_err(Error::io("write a snapshot"))?;
    }
    if bytes != head.bytes || sum.digest() != head.sum {
        return Err(Error::damaged(
            &stored.folder,
            "its parts do not have its checksum",
        ));
    }
    Ok(head)
}

/// Paths of everything below the snapshots that end before `index`.
pub(crate) async fn older(store: &Store, life: &Life, index: u64) -> Result<Vec<Path>, Error> {
    let all = store.list(&root(life)).await?.into_iter();
    let is_older = |path: &Path| {
        let folder = path.as_ref().rsplit('/').nth(1);
        let of = folder.and_then(|name| name.split_once('-')?.0.parse::<u64>().ok());
        of.is_some_and(|of| of < index)
    };
    Ok(all.filter(is_older).collect())
}

fn encode(head: &Head) -> Bytes {
    let content = head.encode_to_vec();
    let mut out = BytesMut::with_capacity(PREFIX + content.len());
    out.put_slice(MAGIC);
    out.put_u32_le(FORMAT);
    out.put_u64_le(xxh3_64(&content));
    out.put_slice(&content);
    out.freeze()
}

fn decode(path: &Path, found: &Bytes) -> Result<Head, Error> {
    if found.len() < PREFIX || &found[..8] != MAGIC {
        return Err(Error::damaged(path, "it is no head of a snapshot"));
    }
    let format = u32::from_le_bytes([found[8], found[9], found[10], found[11]]);
    if format != FORMAT {
        return Err(Error::Format {
            path: path.clone(),
            format,
        });
    }
    let content = found.slice(PREFIX..);
    if found[12..PREFIX] != xxh3_64(&content).to_le_bytes() {
        return Err(Error::damaged(path, "it does not have its checksum"));
    }
    Head::decode(content).map_err(|_| Error::damaged(path, "it makes no sense"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owner::Incarnation;

    fn life() -> Life {
        Life {
            group: "main".parse().expect("a name"),
            incarnation: Incarnation(1),
        }
    }

    #[tokio::test]
    async fn a_snapshot_comes_back_as_it_went_and_damage_is_found() {
        let (store, dir) = (Store::memory(), tempfile::tempdir().expect("a folder"));
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let content: Vec<u8> = (0..PART_BYTES + 12345).map(|at| (at / 7) as u8).collect();
        std::fs::write(&from, &content).expect("written");
        let stored = upload(&store, &life(), File::open(&from).expect("there"), 77, 5)
            .await
            .expect("uploaded");
        assert_eq!(list(&store, &life()).await.expect("listed"), vec![stored.clone()]);
        let head = download(&store, &stored, &to).await.expect("downloaded");
        assert_eq!((head.index, head.taken_at_ms, head.parts), (77, 5, 2));
        assert!(std::fs::read(&to).expect("there") == content);
        let part = stored.folder.clone().join(format!("{:020}", 1));
        store.delete_all(vec![part.clone()]).await.expect("deleted");
        assert!(download(&store, &stored, &to).await.is_err(), "a part is gone");
        store.put_if_absent(&part, "x".into()).await.expect("put");
        assert!(download(&store, &stored, &to).await.is_err(), "a part is another");
    }

    #[test]
    fn any_flipped_bit_in_a_head_is_found() {
        let head = Head {
            index: 9,
            folder: "a/b".into(),
            ..Head::default()
        };
        let path = Path::from("a/b/head");
        let whole = encode(&head);
        assert_eq!(decode(&path, &whole).expect("intact"), head);
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&path, &damaged.into()).is_err(), "bit {bit}");
        }
    }
}
