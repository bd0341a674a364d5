//! The key that signs batons and session tokens: random, made once, kept beside the node id, so that tokens
//! outlive a restart.

use crate::hrana::NodeKey;
use std::fs::OpenOptions;
use std::io::{Error, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub(super) fn load_or_make(path: &Path) -> Result<NodeKey, Error> {
    match std::fs::read(path) {
        Ok(bytes) => {
            let bytes = bytes
                .try_into()
                .map_err(|_| Error::new(ErrorKind::InvalidData, "it is not 32 bytes long"))?;
            Ok(NodeKey::from_bytes(bytes))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let bytes: [u8; 32] = rand::random();
            let temporary = path.with_extension("new");
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(&temporary, path)?;
            Ok(NodeKey::from_bytes(bytes))
        }
        Err(error) => Err(error),
    }
}
