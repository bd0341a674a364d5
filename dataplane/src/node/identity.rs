//! The node id: random, made once, belonging to this disk.
//!
//! INVARIANT: a node that lost its disk is another node. Its votes and its log are gone; under the old id it
//! could break promises that the old one made.

use super::Error;
use orion_api::NodeId;
use std::fs::File;
use std::io::Write;
use std::path::Path;

pub(super) fn load_or_make(path: &Path) -> Result<NodeId, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text).ok_or_else(|| Error::Identity(path.to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make(path),
        Err(source) => Err(Error::Io {
            what: "read",
            path: path.to_owned(),
            source,
        }),
    }
}

fn parse(text: &str) -> Option<NodeId> {
    u64::from_str_radix(text.trim(), 16)
        .ok()
        .filter(|id| *id != 0)
        .map(NodeId)
}

fn make(path: &Path) -> Result<NodeId, Error> {
    let id = NodeId(rand::random::<u64>() | 1);
    let io = |what| {
        move |source| Error::Io {
            what,
            path: path.to_owned(),
            source,
        }
    };
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary).map_err(io("create"))?;
    writeln!(file, "{id}").map_err(io("write"))?;
    file.sync_all().map_err(io("sync"))?;
    std::fs::rename(&temporary, path).map_err(io("rename"))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(io("sync the folder of"))?;
    Ok(id)
}
