//! The node id: random, made once, belonging to this disk.
//!
//! INVARIANT: a node that lost its disk is another node. Its votes and its log are gone; under the old id it
//! could break promises that the old one made.
//!
//! The file is one line: `orion-node-1 <id> <XXH3-64 of the id's digits>`, both as 16 hexadecimal digits. Without
//! the sum, a flipped bit would make another node of this one, which waits for ever for votes of itself.

use super::Error;
use orion_api::NodeId;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

pub(super) fn load_or_make(path: &Path) -> Result<NodeId, Error> {
    match std::fs::read(path) {
        Ok(line) => parse(&line).ok_or_else(|| Error::Identity(path.to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make(path),
        Err(source) => Err(Error::Io {
            what: "read",
            path: path.to_owned(),
            source,
        }),
    }
}

const FORMAT: &str = "orion-node-1";

fn line(id: NodeId) -> String {
    let digits = format!("{:016x}", id.0);
    format!("{FORMAT} {digits} {:016x}\n", xxh3_64(digits.as_bytes()))
}

fn parse(found: &[u8]) -> Option<NodeId> {
    let text = std::str::from_utf8(found).ok()?;
    let digits = text.split(' ').nth(1)?;
    let id = NodeId(u64::from_str_radix(digits, 16).ok()?);
    (id.0 != 0 && line(id) == text).then_some(id)
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
    file.write_all(line(id).as_bytes()).map_err(io("write"))?;
    file.sync_all().map_err(io("sync"))?;
    std::fs::rename(&temporary, path).map_err(io("rename"))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(io("sync the folder of"))?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_with_any_flipped_bit_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("node-id");
        let id = load_or_make(&path).expect("made");
        assert_eq!(load_or_make(&path).expect("read"), id);
        let whole = std::fs::read(&path).expect("the file");
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&damaged), None, "bit {bit}");
        }
    }
}
