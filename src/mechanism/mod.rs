//! Noise: exact integer samplers, the one function that turns exact aggregates into released ones, and
//! the intervals that follow from the same distributions.
//!
//! The only source of randomness is the operating system's, through a cryptographic generator seeded
//! afresh for every release. No float takes part in sampling.

#[cfg(test)]
mod audits;
mod bounds;
mod calibrate;
mod choice;
mod coins;
pub mod consistent;
mod drawn;
mod interval;
mod mean;
mod noise;
mod part;
mod release;
mod sampler;
mod selection;
mod split;
mod sums;
mod tail;
mod tree;
mod whole;

pub use bounds::{Chosen, Found, check, open_totals, part, provisional, settle};
pub use calibrate::{Calibrated, Price, Uncalibrated, calibrate, calibrate_to};
pub use coins::Coins;
pub use drawn::{Draw, Drawn};
pub use mean::Mean;
pub use noise::Noise;
pub use release::{Detail, Exact, ExactAggregates, LEVELS, Released, release};
pub use selection::{MAX_KEYS, Selection, UNIT_WEIGHT, keys_only, threshold, weight};
#[cfg(test)]
pub use split::weights;
pub use tail::Tail;
