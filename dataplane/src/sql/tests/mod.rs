//! Laws of the SQL layer, each on a database in memory.

mod denied;
mod dump;
mod fixture;
mod limits;
mod results;
mod transactions;
