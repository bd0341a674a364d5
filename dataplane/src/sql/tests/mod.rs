//! Laws of the SQL layer, each on a database in memory.

mod denied;
mod dump;
mod fixture;
mod functions;
mod limits;
mod pragmas;
mod properties;
mod results;
mod scripts;
mod speed;
mod transactions;
