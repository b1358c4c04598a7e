//! The proof that a question was paid for.
//!
//! Only the ledger mints a [`Reservation`], after the charge is durable; it splits into one [`Token`]
//! per release, and `mechanism::release` takes a token by value. Neither has a public constructor or a
//! `Clone`, so unpaid noise, or two draws for one charge, do not compile:
//!
//! ```compile_fail
//! let forged = undertone::accounting::Reservation::mint(1);
//! ```
//! ```compile_fail
//! fn twice(token: undertone::accounting::Token) { (token.clone(), token); }
//! ```

/// A durable charge for one question with a fixed number of releases.
#[derive(Debug)]
pub struct Reservation {
    releases: usize,
}

/// The right to draw the noise of one release, once.
#[derive(Debug)]
pub struct Token {
    _private: (),
}

impl Reservation {
    /// For the ledger alone, once the charge is on disk.
    pub(crate) fn mint(releases: usize) -> Reservation {
        Reservation { releases }
    }

    /// One token per release that was paid for.
    pub fn split(self) -> Vec<Token> {
        (0..self.releases).map(|_| Token { _private: () }).collect()
    }
}
