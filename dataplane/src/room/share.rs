//! What one request has of a room.

use super::{Asked, Full, GRAIN, Room};
use std::sync::Arc;

/// Bytes of one request; given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    room: Arc<Room>,
    /// Its number in the room; none as long as the free bytes are enough.
    number: Option<u64>,
    /// Bytes that were taken and not yet used.
    left: u64,
}

impl Share {
    /// A share with the free bytes.
    pub fn of(room: &Arc<Room>) -> Share {
        Share {
            room: Arc::clone(room),
            number: None,
            left: GRAIN,
        }
    }

    /// Takes bytes if they are there; waits for nothing.
    pub fn try_take(&mut self, bytes: u64) -> bool {
        if let Some(left) = self.left.checked_sub(bytes) {
            self.left = left;
            return true;
        }
        let (number, more) = (self.number(), self.more(bytes));
        let granted = self.room.try_take(number, more);
        if granted {
            self.left = self.left + more - bytes;
        }
        granted
    }

    /// Takes bytes; waits in line for them, as long as the room has it.
    pub async fn take(&mut self, bytes: u64) -> Result<(), Full> {
        if let Some(left) = self.left.checked_sub(bytes) {
            self.left = left;
            return Ok(());
        }
        let (number, more) = (self.number(), self.more(bytes));
        if let Asked::Waits(granted) = self.room.take(number, more) {
            let in_time = tokio::time::timeout(self.room.wait, granted).await;
            if in_time.is_err() && self.room.withdraw(number) {
                return Err(Full);
            }
        }
        self.left = self.left + more - bytes;
        Ok(())
    }

    /// What used the bytes is gone: so many can be used anew, all that were taken.
    pub fn refill(&mut self, bytes: u64) {
        self.left = bytes;
    }

    /// The bytes that are really there: counted even where there is no room.
    pub fn cover(&mut self, bytes: u64) {
        let held = bytes.saturating_sub(GRAIN);
        if held > 0 || self.number.is_some() {
            let number = self.number();
            self.room.set(number, held);
        }
        self.left = GRAIN.saturating_sub(bytes);
    }

    /// Nothing but the free bytes.
    pub fn is_free(&self) -> bool {
        self.number.is_none()
    }

    fn more(&self, bytes: u64) -> u64 {
        (bytes - self.left).max(GRAIN)
    }

    fn number(&mut self) -> u64 {
        *self.number.get_or_insert_with(|| self.room.number())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.room.give_back(number);
        }
    }
}
