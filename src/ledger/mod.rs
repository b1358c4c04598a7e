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
//! the entries alone; see [`Replay`].
//! The ledger fails closed: where it cannot be written, nothing is answered.

mod accounts;
mod anchor;
mod audit;
mod backup;
mod handle;
mod policies;
mod replay;
mod seal;
mod statements;
mod store;
mod verify;
mod window;
mod writer;

pub use accounts::{put_charge, written_terms};
pub use anchor::{Anchor, Head};
use audit::Chain;
pub use audit::Entry;
pub use handle::Ledger;
pub use policies::{NewPolicy, Opinion, PolicyVersion, Proposal, RoleChange};
pub use replay::{Recomputed, Replay};
pub use seal::Keys;
pub use store::Location;
pub use window::Window;

use crate::accounting::{Charge, Grant, Reservation, Spent};
use crate::error::{Code, Error};
use crate::num::Amount;
use std::collections::BTreeMap;
use std::fmt;

fn damaged() -> Error {
    tracing::error!("the ledger holds what cannot be read");
    Error::new(Code::LedgerUnavailable, "the ledger is damaged, so nothing is answered")
}

/// A moment as its day in UTC.
fn date(at: i64) -> String {
    chrono::DateTime::from_timestamp(at, 0).map(|at| at.date_naive().to_string()).unwrap_or_default()
}

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

    /// What all members of a team share. No principal's name has a colon.
    pub fn team(dataset: &str, name: &str) -> Account {
        Account { principal: format!("team:{name}"), ..Account::pool(dataset) }
    }

    /// The cap of all questions that read columns of a tier of sensitivity.
    pub fn tier(dataset: &str, name: &str) -> Account {
        Account { principal: format!("tier:{name}"), ..Account::pool(dataset) }
    }

    pub fn kind(&self) -> Kind<'_> {
        match self.principal.split_once(':') {
            None if self.principal.is_empty() => Kind::Pool,
            Some(("team", name)) => Kind::Team(name),
            Some((_, name)) => Kind::Tier(name),
            None => Kind::Own,
        }
    }
}

/// Whose an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A principal's, for a purpose.
    Own,
    Team(&'a str),
    Tier(&'a str),
    Pool,
}

/// In the words of messages.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Account { dataset, principal, purpose } = self;
        match self.kind() {
            Kind::Own => write!(f, "the account of '{principal}' for purpose '{purpose}' on dataset '{dataset}'"),
            Kind::Team(name) => write!(f, "the account of team '{name}' on dataset '{dataset}'"),
            Kind::Tier(name) => write!(f, "the cap of tier '{name}' of dataset '{dataset}'"),
            Kind::Pool => write!(f, "the pooled cap of dataset '{dataset}'"),
        }
    }
}

/// An account's limits as governance set them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub account: Account,
    pub grant: Grant,
    pub terms: Terms,
}

/// What governance sets beside amounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The team whose account pays too.
    pub team: Option<String>,
    /// The most that one question may ask for.
    pub max_epsilon: Option<Amount>,
    /// What a question asks for that does not say.
    pub default_epsilon: Option<Amount>,
    /// Without one, the grant is there once.
    pub window: Option<Window>,
    /// Seconds since 1970.
    pub expires_at: Option<i64>,
    /// The share of the pool that others leave to it: from 0 to 1.
    pub reserved: Amount,
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
    /// The caps of tiers, which pay the same; so does its team.
    pub tiers: Vec<Account>,
    /// The hash of the policy that it was planned by; another one must not be in force.
    pub policy: Option<String>,
    /// What its dataset's pool pays: less where it has paid for a part of it already.
    pub pool_charge: Charge,
    pub releases: usize,
    /// Whether an earlier answer of the same account to the same question will not do.
    pub fresh: bool,
    /// The call that asks, for the log.
    pub call: &'static str,
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
    pub terms: Terms,
    /// In its window, where it has one.
    pub spent: Spent,
    /// Since it was first granted.
    pub lifetime: Spent,
    /// When its window began, in seconds since 1970; 0 where it has none.
    pub since: i64,
    /// Whether nothing was charged yet in this window.
    renewed: bool,
    /// Whether a failure has to be looked into before anything more is run.
    pub frozen: bool,
    /// Why governance stopped it.
    pub held: Option<String>,
    /// Whether its grant has expired.
    pub expired: bool,
}

/// All accounts that pay for a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    pub own: Balance,
    /// Of its team and tiers.
    pub others: Vec<Balance>,
    /// As this account sees it.
    pub pool: Balance,
}

impl Scope {
    /// Those of an account, out of `all` that are active; None where one is missing.
    pub fn of(all: &[Balance], own: &Balance, tiers: &[Account]) -> Option<Scope> {
        let find = |account: &Account| all.iter().find(|balance| balance.account == *account);
        let dataset = &own.account.dataset;
        let team = own.team();
        let others = team.iter().chain(tiers).map(|account| find(account).cloned()).collect::<Option<Vec<_>>>()?;
        let has_share = |b: &&Balance| b.account.dataset == *dataset && !b.terms.reserved.is_zero();
        let reserved: Vec<Balance> = all.iter().filter(has_share).cloned().collect();
        let pool = find(&Account::pool(dataset))?.clone().beside(own, &reserved);
        Some(Scope { own: own.clone(), others, pool })
    }

    /// Each with what it would pay.
    pub fn payers(&self, charge: Charge, pool_charge: Charge) -> impl Iterator<Item = (&Balance, Charge)> {
        let others = self.others.iter().map(move |balance| (balance, charge));
        [(&self.own, charge)].into_iter().chain(others).chain([(&self.pool, pool_charge)])
    }

    /// Whether all could pay now.
    pub fn affords(&self, charge: Charge, pool_charge: Charge) -> bool {
        self.payers(charge, pool_charge)
            .all(|(balance, charge)| balance.is_open() && balance.spent.accepts(&balance.grant, charge))
    }

    /// The largest epsilon of one more question that all could pay.
    pub fn remaining(&self) -> Amount {
        let each =
            self.payers(Charge::NOTHING, Charge::NOTHING).map(|(balance, _)| balance.spent.remaining(&balance.grant));
        each.min().unwrap_or_default()
    }
}

impl Balance {
    /// The account of its team, where it has one.
    fn team(&self) -> Option<Account> {
        self.terms.team.as_ref().map(|team| Account::team(&self.account.dataset, team))
    }

    /// Whether it may pay at all.
    pub fn is_open(&self) -> bool {
        !self.frozen && self.held.is_none() && !self.expired
    }

    /// This pool as an account sees it, where `reserved` are those of its dataset that have a share of it.
    ///
    /// What is reserved for an account and not spent yet is kept from all others, in each ledger by itself. A member's share is a
    /// part of its team's, and is kept from the other members too: for a team is kept what is left of its share, or of those of its members where that is more.
    /// So whoever has a share can spend it in the ledger in which the pool accepted its last charge: an accepted charge left room for all
    /// shares but its own account's, whose own room it took.
    pub fn beside(self, account: &Balance, reserved: &[Balance]) -> Balance {
        let own_team = account.terms.team.as_deref();
        let share = |other: &Balance| other.unspent_share(&self.grant);
        let mut kept = Charge::NOTHING;
        let mut teams: BTreeMap<&str, [Charge; 2]> = BTreeMap::new();
        for other in reserved.iter().filter(|other| other.account != account.account && !other.expired) {
            match (other.account.kind(), other.terms.team.as_deref()) {
                (Kind::Team(team), _) if Some(team) == own_team => {}
                (Kind::Team(team), _) => teams.entry(team).or_insert([Charge::NOTHING; 2])[0] = share(other),
                (_, Some(team)) if Some(team) != own_team => {
                    let [_, members] = teams.entry(team).or_insert([Charge::NOTHING; 2]);
                    *members = members.plus(share(other));
                }
                _ => kept = kept.plus(share(other)),
            }
        }
        for [team, members] in teams.into_values() {
            kept = kept.plus(Charge {
                epsilon: team.epsilon.max(members.epsilon),
                rho: team.rho.max(members.rho),
                delta: team.delta.max(members.delta),
            });
        }
        Balance { spent: Spent { kept, ..self.spent }, ..self }
    }

    /// What is left of its share of a pool.
    fn unspent_share(&self, pool: &Grant) -> Charge {
        const WHOLE: u128 = Amount::ONE.atto();
        let (share, spent) = (self.terms.reserved.atto(), self.lifetime.total);
        let left = |whole: Amount, spent: Option<Amount>| {
            spent.map_or(Amount::ZERO, |spent| whole.part(share, WHOLE).minus(spent))
        };
        Charge {
            epsilon: Some(left(pool.epsilon, spent.epsilon)),
            rho: left(pool.rho_limit, Some(spent.rho)),
            delta: left(pool.delta_key, Some(spent.delta)),
        }
    }

    /// Whether rho and delta alone are paid: something was charged that has no pure epsilon.
    pub fn pure_is_over(&self) -> bool {
        self.spent.total.epsilon.is_none() || !self.spent.total.delta.is_zero()
    }
}
