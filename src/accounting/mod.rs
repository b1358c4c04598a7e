//! Privacy accounting: what a charge is, what a grant can bear, and the proof that something was paid.
//!
//! An account keeps two ledgers, one in pure epsilon and one in zCDP, and takes a charge while either
//! still holds after it. Both are always debited. See [`filter`](Spent::accepts) for the argument.
//! Pure: no I/O, no clock.

mod charge;
mod conversion;
mod filter;
mod reservation;

pub use charge::{Charge, pure_of_rho, rho_of_pure};
pub use conversion::{zcdp_delta, zcdp_epsilon, zcdp_limit};
pub use filter::{Grant, Spent};
pub use reservation::{Reservation, Token};
