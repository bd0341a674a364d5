//! Replaying the archive of an incarnation: reads only.

use super::chain::Chain;
use super::object::Object;
use super::snapshots::{self, Stored};
use super::{Error, object};
use crate::causes;
use crate::group::Replay;
use crate::overlay::Pages;
use futures::{StreamExt, stream};
use openraft::entry::RaftEntry;
use orion_api::DatabaseId;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

/// Objects that are fetched ahead.
const AHEAD: usize = 4;

/// What the archive holds.
pub(crate) struct Replayed {
    /// The state at its end.
    pub(crate) state: Replay,
    /// The index behind its end.
    pub(crate) next: u64,
    /// Everything that was acknowledged before this is in it: ms since 1970, 0 if nobody knows.
    pub(crate) complete_until_ms: u64,
    /// For each database the same of the object with its last commit.
    pub(crate) committed_ms: HashMap<DatabaseId, u64>,
    /// The snapshot that it began with.
    pub(crate) snapshot: Option<Stored>,
    /// Why it ends there.
    pub(crate) end: End,
}

/// Why a replay ends where it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing is behind it.
    Newest,
    /// A recovery sealed it.
    Seal(Uuid),
    /// The next object begins later: what is behind is lost.
    Gap {
        /// Where it begins.
        found: u64,
    },
    /// The next object is damaged: it and what is behind are lost.
    Damaged(String),
}

/// Replays the newest snapshot that is whole, and the chain behind it to the first gap. `dir` is for its file.
pub(crate) async fn replay(chain: &Chain, pages: Arc<Pages>, dir: &Path) -> Result<Replayed, Error> {
    let mut replayed = begin(chain, pages, dir).await?;
    go_on(chain, &mut replayed).await?;
    Ok(replayed)
}

/// Replays what is in the chain behind the end.
pub(crate) async fn go_on(chain: &Chain, replayed: &mut Replayed) -> Result<(), Error> {
    let mut firsts = chain.firsts(0, |_| true).await?;
    // The last one that begins at the next entry or before may reach beyond it.
    let before = firsts.partition_point(|first| *first <= replayed.next);
    firsts.drain(..before.saturating_sub(1));
    let fetched = stream::iter(firsts).map(|first| async move { (first, chain.get(first).await) });
    let mut fetched = std::pin::pin!(fetched.buffered(AHEAD));
    replayed.end = End::Newest;
    // Of an object that begins in what is there already, nobody knows whether it reaches beyond, until the next one is seen.
    let mut damaged = None;
    while let Some((first, object)) = fetched.next().await {
        if first == replayed.next {
            damaged = None;
        }
        if first > replayed.next {
            replayed.end = End::Gap { found: first };
            break;
        }
        match object {
            // Listed and gone: it was older than the retention.
            Ok(None) => {}
            Ok(Some(Object::Seal(operation))) => replayed.end = End::Seal(operation),
            Ok(Some(Object::Entries(entries))) => apply(replayed, &entries)?,
            Err(error @ (Error::Damaged { .. } | Error::Format { .. })) => {
                damaged = Some(causes::text(&error));
                if first == replayed.next {
                    break;
                }
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(what) = damaged {
        replayed.end = End::Damaged(what);
    }
    Ok(())
}

fn apply(replayed: &mut Replayed, object: &object::Entries) -> Result<(), Error> {
    let mut is_new = false;
    for entry in &object.entries {
        if entry.index() >= replayed.next {
            replayed.state.apply(entry)?;
            replayed.next = entry.index() + 1;
            is_new = true;
        }
    }
    if !is_new {
        return Ok(());
    }
    replayed.complete_until_ms = replayed.complete_until_ms.max(object.complete_until_ms);
    for block in object.blocks.iter().filter(|block| block.last_version.0 > 0) {
        if let Some(database) = block.database {
            replayed.committed_ms.insert(database, object.complete_until_ms);
        }
    }
    Ok(())
}

async fn begin(chain: &Chain, pages: Arc<Pages>, dir: &Path) -> Result<Replayed, Error> {
    let mut stored = snapshots::list(&chain.store, &chain.life).await?;
    let file = dir.join("snapshot");
    while let Some(newest) = stored.pop() {
        let mut state = Replay::new(Arc::clone(&pages));
        let loaded = match snapshots::download(&chain.store, &newest, &file).await {
            Ok(_) => state.load(&file).map_err(Error::from),
            Err(error) => Err(error),
        };
        match loaded {
            Ok(()) => {
                return Ok(Replayed {
                    state,
                    next: newest.index + 1,
                    complete_until_ms: newest.taken_at_ms,
                    committed_ms: HashMap::new(),
                    snapshot: Some(newest),
                    end: End::Newest,
                });
            }
            Err(error @ Error::Store(_)) => return Err(error),
            Err(error) => {
                tracing::warn!(
                    error = causes::text(&error),
                    "a snapshot in the archive cannot be used; the one before is"
                )
            }
        }
    }
    Ok(Replayed {
        state: Replay::new(pages),
        next: 0,
        complete_until_ms: 0,
        committed_ms: HashMap::new(),
        snapshot: None,
        end: End::Newest,
    })
}
