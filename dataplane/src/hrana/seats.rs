//! Counts connections that streams hold, by database and in all, against their limits.

use orion_api::{Code, DatabaseId};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// The counters.
#[derive(Clone)]
pub struct Seats(Arc<Mutex<Counts>>);

struct Counts {
    by_database: HashMap<DatabaseId, usize>,
    total: usize,
    per_database: usize,
    per_node: usize,
}

/// Leave to hold one connection; given back when dropped.
pub struct Seat {
    seats: Seats,
    database: DatabaseId,
}

/// There is no room for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The database has as many as it may.
    #[error("the database has {0} open streams, as many as it may: close some")]
    Database(usize),
    /// The node has as many as it may.
    #[error("the node has {0} open streams, as many as it may")]
    Node(usize),
}

impl Full {
    /// The code for clients.
    pub fn code(self) -> Code {
        match self {
            Full::Database(_) => Code::Quota,
            Full::Node(_) => Code::Overloaded,
        }
    }
}

impl Seats {
    /// No connection is held.
    pub fn new(per_node: usize, per_database: usize) -> Seats {
        Seats(Arc::new(Mutex::new(Counts {
            by_database: HashMap::new(),
            total: 0,
            per_database,
            per_node,
        })))
    }

    /// A seat for one more connection of a database.
    pub fn take(&self, database: DatabaseId) -> Result<Seat, Full> {
        let mut counts = self.0.lock();
        if counts.total >= counts.per_node {
            return Err(Full::Node(counts.total));
        }
        let taken = counts.by_database.get(&database).copied().unwrap_or(0);
        if taken >= counts.per_database {
            return Err(Full::Database(taken));
        }
        counts.by_database.insert(database, taken + 1);
        counts.total += 1;
        Ok(Seat {
            seats: self.clone(),
            database,
        })
    }

    /// Connections held in all.
    pub fn total(&self) -> usize {
        self.0.lock().total
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.seats.0.lock();
        counts.total -= 1;
        if let Some(taken) = counts.by_database.get_mut(&self.database) {
            *taken -= 1;
            if *taken == 0 {
                counts.by_database.remove(&self.database);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_cannot_take_the_seats_of_others() {
        let seats = Seats::new(3, 2);
        let (one, two) = (DatabaseId::random(), DatabaseId::random());
        let held = [seats.take(one).ok(), seats.take(one).ok()];
        assert_eq!(seats.take(one).err(), Some(Full::Database(2)));
        let third = seats.take(two).expect("the third of the node");
        assert_eq!(seats.take(two).err(), Some(Full::Node(3)));
        drop(third);
        drop(held);
        assert_eq!(seats.total(), 0);
        assert!(seats.take(one).is_ok());
    }
}
