//! The envelope of an entry: format, content, checksum.

use super::Error;
use bytes::Bytes;
use object_store::path::Path;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::Xxh3;

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Envelope {
    format: u32,
    content: Box<RawValue>,
    checksum: String,
}

/// What is read first, of any format.
#[derive(Deserialize)]
struct Mark {
    format: u32,
}

pub(super) fn encode<T: Serialize>(path: &Path, content: &T) -> Bytes {
    let content = serde_json::value::to_raw_value(content)
        .expect("entries are structs of numbers, ids and names, which always have a JSON text");
    let envelope = Envelope {
        format: FORMAT,
        checksum: checksum(path, content.get()),
        content,
    };
    let text = serde_json::to_vec(&envelope).expect("as above");
    text.into()
}

pub(super) fn decode<T: DeserializeOwned>(path: &Path, text: &[u8]) -> Result<T, Error> {
    let damaged = || Error::Damaged { path: path.clone() };
    let mark: Mark = serde_json::from_slice(text).map_err(|_| damaged())?;
    if mark.format != FORMAT {
        return Err(Error::Format {
            path: path.clone(),
            format: mark.format,
        });
    }
    let envelope: Envelope = serde_json::from_slice(text).map_err(|_| damaged())?;
    if envelope.checksum != checksum(path, envelope.content.get()) {
        return Err(damaged());
    }
    serde_json::from_str(envelope.content.get()).map_err(|_| damaged())
}

/// The path is covered: an entry copied under another epoch or name does not pass.
fn checksum(path: &Path, content: &str) -> String {
    let mut hash = Xxh3::new();
    hash.update(path.as_ref().as_bytes());
    hash.update(content.as_bytes());
    format!("{:016x}", hash.digest())
}
