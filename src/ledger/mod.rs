//! What was granted and what was spent, durably; and the answers that were paid for.
//!
//! A question is *reserved* (its charge debited from every account in scope, in one transaction, on disk) before
//! any private row is read, and *answered* by one transaction that stores the answer's bytes. What was reserved is spent: nothing
//! refunds it. An answer leaves the server only as bytes read back from here, so what was lost in a crash was seen by nobody.
//!
//! *Crashes.* A reservation without an answer is run again when its query id is asked again, on the same charge, at most
//! [`MAX_ATTEMPTS`] times. This is sound because at most one run commits, only committed bytes are seen, and nothing between
//! the draw and the commit depends on the drawn values but their fixed number: whether a run commits is independent of its noise. Bounds that are drawn on
//! the way decide how many of a unit's rows and groups the next release takes, and so a little of its work: as with rows, time is outside of epsilon.
//!
//! *Failures.* A charged question that fails all the same (memory, the deadline, a file that went away) may have failed because of
//! somebody's rows, and that it failed is seen. So a failure freezes the asking principal's accounts of the dataset until someone
//! has looked at it: it cannot be repeated, and what failures tell is a bit for each question that was running. A crash of the whole
//! server may be a failure too: a principal who lost more than [`MAX_LOST`] reservations is frozen at the next start. This is outside
//! epsilon; receipts say so.
//!
//! *The log.* Every change is an entry of a hash chain, written in the transaction of the change itself; see [`audit`]. All balances follow from
//! the entries alone; see [`replay()`].
//! The ledger fails closed: where it cannot be written, nothing is answered.

mod audit;
mod handle;
mod replay;
mod statements;
mod store;
mod writer;

pub use audit::{Chain, Entry};
pub use handle::Ledger;
pub use replay::{Recomputed, replay};
pub use store::Location;

use crate::accounting::{Charge, Grant, Reservation, Spent};
use crate::error::{Code, Error};

/// Every database error means the same to a client: nothing is answered.
fn unavailable(e: sqlx::Error) -> Error {
    tracing::error!(error = %e, "ledger");
    Error::new(
        Code::LedgerUnavailable,
        "the ledger cannot be read or written, so nothing is answered; the operator's log has the cause. Whether this was charged can be found out by asking again under the same query id",
    )
}

/// Runs of one reservation, crashes included.
pub const MAX_ATTEMPTS: i64 = 3;

/// Reservations of one principal that a crash may lose before it is taken for their cause.
pub const MAX_LOST: i64 = 8;

/// Who pays, for what.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Account {
    pub dataset: String,
    pub principal: String,
    pub purpose: String,
}

impl Account {
    /// The cap that all accounts of a dataset share; it has no principal.
    pub fn pool(dataset: &str) -> Account {
        Account { dataset: dataset.to_owned(), principal: String::new(), purpose: String::new() }
    }

    pub fn is_pool(&self) -> bool {
        self.principal.is_empty()
    }
}

/// An account's limits as governance set them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub account: Account,
    pub grant: Grant,
}

/// A question that asks to be paid.
#[derive(Clone, Debug)]
pub struct Claim {
    pub query_id: String,
    pub account: Account,
    /// Digest of everything that the client asked: a query id stands for one request.
    pub request: Vec<u8>,
    /// Digest of everything that the answer depends on: canonical plan, bounds, noise, policy and data version.
    pub question: Vec<u8>,
    /// Another digest under which it may have been answered before.
    pub before: Option<Vec<u8>>,
    pub charge: Charge,
    /// What its dataset's pool pays: less where it has paid for a part of it already.
    pub pool_charge: Charge,
    pub releases: usize,
    /// Whether an earlier answer of the same account to the same question will not do.
    pub fresh: bool,
}

/// What a claim came to.
#[derive(Debug)]
pub enum Reserved {
    /// Charged now, or charged before a crash and not answered: run it.
    Run { reservation: Reservation, charged_at: i64 },
    /// Answered before; nothing was charged now.
    Stored(StoredAnswer),
}

/// What comes of a reservation, stored in one transaction.
#[derive(Clone, Debug, Default)]
pub struct Answered {
    pub bytes: Vec<u8>,
    /// Bounds that were found out on the way.
    pub bounds: Vec<FoundBounds>,
    /// What is needed to make the answer more accurate, where it can be.
    pub drawn: Option<Vec<u8>>,
}

/// Released numbers by which bounds are chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundBounds {
    /// Digest of what was asked.
    pub asked: Vec<u8>,
    /// As JSON.
    pub found: String,
    /// What it cost whoever found it; None where that is from before it was kept.
    pub charge: Option<Charge>,
}

/// An answer as it was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    pub query_id: String,
    pub account: Account,
    pub bytes: Vec<u8>,
}

/// An account with what was spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    pub account: Account,
    pub grant: Grant,
    pub spent: Spent,
    /// Whether a failure has to be looked into before anything more is run.
    pub frozen: bool,
}

impl Balance {
    /// Whether rho and delta alone are paid: something was charged that has no pure epsilon.
    pub fn pure_is_over(&self) -> bool {
        self.spent.total.epsilon.is_none() || !self.spent.total.delta.is_zero()
    }
}
