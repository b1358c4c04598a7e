//! Scalar functions of plans that read private rows. Each has a result for every input: none errors, panics or
//! allocates by value.

mod apply;
mod arithmetic;
mod cast;
mod cell;
mod lattice;
mod rank;
mod weight;

pub use apply::apply;
pub use arithmetic::arithmetic;
pub use cast::cast;
pub use cell::cell;
pub use lattice::{clamp, quantise, value, weigh};
pub use rank::{Secret, rank};
pub use weight::spread;

use datafusion::arrow::datatypes::DataType;

/// The integers in which contributions are summed: 128 bits.
pub const STEPS: DataType = DataType::Decimal128(38, 0);
