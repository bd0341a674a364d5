//! Put-if-absent: the one primitive on which ownership rests.
//!
//! Works on every store (a hard link on a local directory, `If-None-Match: *` on S3 and Azure, a generation
//! condition on Google). What makes it usable is the handling of replies that got lost:
//!
//! 1. put under the condition that nothing is there → created.
//! 2. "exists already" → read it. Equal content is ours: an earlier attempt of ours had arrived, a moment ago
//!    (a retry inside the client) or long ago (a repeated operation). Other content → someone else was first.
//! 3. any other failure → the outcome is unknown: read. Something there decides as in 2. Nothing there: the
//!    put may still be on its way, so put again; the condition keeps that safe.
//!
//! INVARIANT: for one path, all callers for ever see the same content win.
//! Content must name its operation (an id of its own), else two callers with equal content both believe to
//! have won. Repeating the call with the same content is always safe, in another process too.

use super::{Error, Kind, Store};
use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, PutMode, PutOptions, PutPayload};

/// Attempts before an unknown outcome is handed to the caller as unavailable.
const ATTEMPTS: usize = 3;

/// What happened to a [`put_if_absent`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// This call wrote it.
    Created,
    /// The object has this content, by an earlier attempt; it cannot be told how much earlier.
    Ours,
    /// Other content was there first.
    Exists(Bytes),
}

pub(super) async fn put_if_absent(store: &Store, path: &Path, content: Bytes) -> Result<PutOutcome, Error> {
    let mut attempt = 1;
    loop {
        let failure = match put(store, path, content.clone()).await {
            Ok(()) => return Ok(PutOutcome::Created),
            Err(error) => error,
        };
        if matches!(failure.kind(), Kind::Denied | Kind::Unsupported) {
            return Err(failure);
        }
        match store.get(path).await {
            Ok(Some(found)) if found == content => return Ok(PutOutcome::Ours),
            Ok(Some(found)) => return Ok(PutOutcome::Exists(found)),
            // S3 answers 409 while a conflicting request is still undecided: "exists", and nothing to read.
            Ok(None) if attempt < ATTEMPTS => attempt += 1,
            Ok(None) if failure.kind() == Kind::Conflict => return Err(failure.into_unavailable()),
            Ok(None) => return Err(failure),
            Err(error) => return Err(error),
        }
    }
}

async fn put(store: &Store, path: &Path, content: Bytes) -> Result<(), Error> {
    let options = PutOptions::from(PutMode::Create);
    let put = store
        .objects
        .put_opts(path, PutPayload::from_bytes(content), options);
    store.bounded(path, put).await.map(|_| ())
}
