//! Laws of the SQL layer, each on a database in memory.

mod fixture;
mod results;
