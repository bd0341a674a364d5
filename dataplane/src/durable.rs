//! Small files that are there whole after a crash, or as they were before.

use std::fs::File;
use std::io::{Error, ErrorKind, Result, Write};
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

/// Renames what was written and synced to where it belongs, and makes the name durable.
pub(crate) fn install(written: &Path, path: &Path) -> Result<()> {
    std::fs::rename(written, path)?;
    sync_name(path)
}

/// Makes a file's name durable.
pub(crate) fn sync_name(path: &Path) -> Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// A file of one line that holds a number: `<format> <number> <XXH3-64 of the number's digits>`, both as 16 hexadecimal digits.
///
/// Without the sum a flipped bit would make another number of it.
pub(crate) struct NumberFile<'a> {
    /// First word of the line.
    pub(crate) format: &'static str,
    /// Where it lies.
    pub(crate) path: &'a Path,
}

impl NumberFile<'_> {
    /// `None` if there is no file; [`ErrorKind::InvalidData`] if it is damaged.
    pub(crate) fn read(&self) -> Result<Option<u64>> {
        match std::fs::read(self.path) {
            Ok(found) => self
                .parse(&found)
                .map(Some)
                .ok_or(Error::from(ErrorKind::InvalidData)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Durable when it returns. Makes its folder.
    pub(crate) fn write(&self, number: u64) -> Result<()> {
        if let Some(dir) = self.path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let temporary = self.path.with_extension("new");
        let mut file = File::create(&temporary)?;
        file.write_all(self.line(number).as_bytes())?;
        file.sync_all()?;
        install(&temporary, self.path)
    }

    fn line(&self, number: u64) -> String {
        let digits = format!("{number:016x}");
        format!("{} {digits} {:016x}\n", self.format, xxh3_64(digits.as_bytes()))
    }

    fn parse(&self, found: &[u8]) -> Option<u64> {
        let text = std::str::from_utf8(found).ok()?;
        let digits = text.split(' ').nth(1)?;
        let number = u64::from_str_radix(digits, 16).ok()?;
        (self.line(number) == text).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_any_flipped_bit_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("groups/x/number");
        let file = NumberFile {
            format: "orion-number-1",
            path: &path,
        };
        assert_eq!(file.read().expect("nothing there"), None);
        file.write(3).expect("written");
        assert_eq!(file.read().expect("read"), Some(3));
        let whole = std::fs::read(&path).expect("the file");
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, damaged).expect("damaged");
            let refused = file.read().expect_err("damaged");
            assert_eq!(refused.kind(), ErrorKind::InvalidData, "bit {bit}");
        }
    }
}
