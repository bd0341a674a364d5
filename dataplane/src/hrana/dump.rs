//! A dump as work: `sql::dump` in one unit, so in one read transaction.
//!
//! LIMIT: the text is held in memory until it is sent; a slow client must not hold an SQL thread.

use crate::database::{Progress, Work};
use crate::sql::{self, Budget, Connection, DumpError};
use orion_api::Code;
use std::io::{self, Write};
use std::time::Duration;

/// The largest text.
const BYTES_MAX: usize = 128 << 20;
/// A dump reads everything: more than a statement may take.
const TIME: Duration = Duration::from_secs(300);

/// The work, and what came of it.
#[derive(Debug, Default)]
pub struct Dump {
    text: Text,
    error: Option<DumpError>,
}

#[derive(Debug, Default)]
struct Text(Vec<u8>);

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Dump {
    /// The text, or why there is none.
    pub fn into_text(self) -> Result<Vec<u8>, (Code, String)> {
        match self.error {
            None => Ok(self.text.0),
            Some(DumpError::Write(_)) => Err((
                Code::ResponseTooLarge,
                format!("the dump would be larger than {BYTES_MAX} bytes"),
            )),
            Some(DumpError::Sql(error)) => Err((Code::Unavailable, error.to_string())),
        }
    }
}

impl Work for Dump {
    fn statements(&self, _visit: &mut dyn FnMut(&str)) {}

    fn resume(&mut self, connection: &mut Connection) -> Progress {
        let budget = Budget::lasting(TIME, connection.options().limits.result_bytes);
        self.error = sql::dump(connection, &budget, &mut self.text).err();
        if connection.take_wants_patience() {
            // It only read, and its transaction is over: it begins anew where it may take its time.
            self.restart();
            return Progress::NeedsPatience;
        }
        Progress::Done
    }

    fn restart(&mut self) {
        *self = Dump::default();
    }
}
