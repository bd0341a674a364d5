//! A dump as work: `sql::dump` in one unit, so in one read transaction.
//!
//! LIMIT: the text is held in memory until it is sent; a slow client must not hold an SQL thread.

use super::unit::no_room;
use crate::database::{Progress, Work};
use crate::room::{Room, Share};
use crate::sql::{self, Budget, Connection, DumpError};
use orion_api::Code;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

/// The largest text.
const BYTES_MAX: usize = 128 << 20;
/// A dump reads everything: more than a statement may take.
const TIME: Duration = Duration::from_secs(300);

/// The work, and what came of it.
#[derive(Debug)]
pub struct Dump {
    room: Arc<Room>,
    text: Text,
    error: Option<DumpError>,
}

#[derive(Debug)]
struct Text {
    bytes: Vec<u8>,
    share: Share,
    found_no_room: bool,
}

impl Text {
    fn new(room: &Arc<Room>) -> Text {
        Text {
            bytes: Vec::new(),
            share: Share::of(room),
            found_no_room: false,
        }
    }
}

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.found_no_room = !self.share.try_take(bytes.len() as u64);
        if self.found_no_room {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Dump {
    /// A dump whose text takes its bytes from `room`.
    pub fn new(room: &Arc<Room>) -> Dump {
        Dump {
            room: Arc::clone(room),
            text: Text::new(room),
            error: None,
        }
    }

    /// The text and what holds its bytes, or why there is none.
    pub fn into_text(self) -> Result<(Vec<u8>, Share), (Code, String)> {
        match self.error {
            None => Ok((self.text.bytes, self.text.share)),
            Some(DumpError::Write(_)) if self.text.found_no_room => {
                Err((Code::Overloaded, no_room(&self.room)))
            }
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
        *self = Dump::new(&self.room);
    }
}
