//! The node id: random, made once, belonging to this disk.
//!
//! INVARIANT: a node that lost its disk is another node. Its votes and its log are gone; under the old id it
//! could break promises that the old one made. A damaged id is refused: a flipped bit would make another node of this one,
//! which waits for ever for votes of itself. Tested by `a_number_with_any_flipped_bit_is_refused`.

use super::Error;
use crate::durable::NumberFile;
use orion_api::NodeId;
use std::io::ErrorKind;
use std::path::Path;

pub(super) fn load_or_make(path: &Path) -> Result<NodeId, Error> {
    let file = NumberFile {
        format: "orion-node-1",
        path,
    };
    let io = |what| {
        move |source: std::io::Error| match source.kind() {
            ErrorKind::InvalidData => Error::Identity(path.to_owned()),
            _ => Error::Io {
                what,
                path: path.to_owned(),
                source,
            },
        }
    };
    match file.read().map_err(io("read"))? {
        Some(0) => Err(Error::Identity(path.to_owned())),
        Some(id) => Ok(NodeId(id)),
        None => {
            let id = rand::random::<u64>() | 1;
            file.write(id).map_err(io("write"))?;
            Ok(NodeId(id))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_once_and_a_damaged_one_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("node-id");
        let id = load_or_make(&path).expect("made");
        assert_eq!(load_or_make(&path).expect("read"), id);
        std::fs::write(&path, "orion-node-1 00").expect("damaged");
        assert!(matches!(load_or_make(&path), Err(Error::Identity(_))));
    }
}
