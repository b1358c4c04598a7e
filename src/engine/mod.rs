//! The only place where private rows are read.
//!
//! [`build`] turns algebra into a DataFusion plan, with [`functions`] that make every scalar total; [`bound`] puts the bounding of
//! contributions on top of a release's input; [`run`] executes and returns integers that [`crate::mechanism`] alone can open;
//! [`table`] rebuilds Arrow columns from what was released. [`workers`] has the threads for all of it.
//!
//! The bounding is made of DataFusion's own operators, (unit, group) aggregate, rank, keep k, clamp, aggregate; [`contributions`] does the same in one pass where a
//! release allows it.

mod bound;
mod build;
mod consistent;
mod contributions;
#[cfg(test)]
mod coverage;
mod functions;
mod order;
mod own;
mod quantile;
mod run;
mod table;
#[cfg(test)]
mod tests;
mod window;
mod workers;

pub use consistent::make_consistent;
pub use own::{OwnTables, select};
pub use run::{Engine, Fixed, Prepared};
pub use table::{Confidence, released_table};
pub use workers::Workers;
