//! Numbers that privacy depends on: fixed-point amounts of privacy loss, exact ratios for noise scales,
//! and the lattice on which values are added up. Nothing here knows what the numbers are used for.

mod amount;
pub mod bits;
mod lattice;
mod ratio;

pub use amount::{Amount, ParseAmountError};
pub use lattice::Lattice;
pub use ratio::Ratio;
