//! The rules between a question and its answer: what it may ask for, what it costs, and what the receipt says.

mod accuracy;
mod balance;
mod calibration;
mod choice;
mod consistency;
mod explain;
mod names;
mod open;
mod pricing;
mod receipt;
mod refine;

pub use accuracy::Case;
pub use balance::{balance_message, shared_message};
pub use calibration::calibration;
pub use choice::Why;
pub use explain::steps;
pub use names::{Names, literal_in_words};
pub use open::{Asked, Bought, Known, OpenRelease};
pub use pricing::{Ask, Priced, epsilon, price};
pub use receipt::{bound_in_words, columns, number_in_words, price_message, releases};
pub use refine::{Refinement, refine};

/// Probability that an interval misses the exact value.
pub const ALPHA: f64 = 0.05;

/// What the promise covers and what it does not; printed on every receipt.
pub const PROMISE: &str = "Everything this account ever learns from the dataset is differentially private at the account's granted epsilon and delta, \
for all rows of one privacy unit together; everything all accounts learn together, at the pool's. \
How long an answer takes, which is told in coarse steps, and whether a charged question fails are not covered; \
what the pool's balance shows of others' questions is covered by the pool's promise alone.";
