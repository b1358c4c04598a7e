//! The one task by which a server changes its ledger.
//!
//! It takes whatever has queued up while the disk was busy and commits it as one transaction: under load many charges share one
//! sync. Each change has its own savepoint, so one refusal takes back only itself. A caller is told of its change after the commit,
//! never before.
//!
//! *Faults.* Where a transaction fails, all who wait for it are told that nothing is answered, and the connection is given up: the next group
//! gets a new one. What the failed one had written may be on disk all the same, as a charge without an answer: its query id finds it.
//!
//! *Time.* Windows and expiry go by the ledger's time. It never goes back: small steps of a machine's clock are waited out, and
//! with a clock that is further behind ([`CLOCK_STEP`]) nothing is changed, until it is right or governance accepts it.

use super::statements::{self, Decision};
use super::{Answered, Claim, Location, NewPolicy, Opinion, Proposal, accounts, audit, policies, unavailable};
use crate::error::{Code, Error, Result};
use serde_json::json;
use sqlx::{AnyConnection, Connection};
use std::time::SystemTime;
use tokio::sync::{mpsc, oneshot};

/// Most changes that share one commit.
pub(super) const MAX_GROUP: usize = 256;

/// Seconds by which a clock may be behind the ledger's last entry: what machines that share a ledger may differ by.
const CLOCK_STEP: i64 = 300;

/// A change, and where its outcome goes.
pub struct Work {
    pub change: Change,
    pub reply: oneshot::Sender<Result<Outcome>>,
}

pub enum Change {
    Apply(NewPolicy),
    Reserve(Claim),
    Commit { principal: String, query_id: String, answered: Answered },
    Fail { principal: String, query_id: String, freeze: bool },
    Lost { older_than: i64 },
    Nothing,
    Unfreeze { dataset: String, principal: String, reason: String },
    AcceptClock { reason: String },
    Hold { who: String, dataset: String, holder: String, reason: String, stop: bool },
    Propose(Proposal),
    Judge { proposal: i64, opinion: Opinion },
}

pub enum Outcome {
    Done,
    Decided(Decision),
    Number(i64),
}

/// Seconds since 1970.
pub fn now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64)
}

/// Works until nobody is left who could ask: one transaction for all that is waiting, then the replies.
pub async fn write(location: Location, db: AnyConnection, mut work: mpsc::Receiver<Work>) {
    let mut group = Vec::with_capacity(MAX_GROUP);
    let mut connection = Some(db);
    while work.recv_many(&mut group, MAX_GROUP).await > 0 {
        let (changes, replies): (Vec<_>, Vec<_>) = group.drain(..).map(|w| (w.change, w.reply)).unzip();
        let outcomes = match write_group(&location, &mut connection, changes).await {
            Ok(outcomes) => outcomes,
            Err(e) => {
                connection = None;
                replies.iter().map(|_| Err(e.clone())).collect()
            }
        };
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            // A caller that is gone loses the news, not the change: its query id finds it.
            let _ = reply.send(outcome);
        }
    }
}

async fn write_group(
    location: &Location,
    connection: &mut Option<AnyConnection>,
    changes: Vec<Change>,
) -> Result<Vec<Result<Outcome>>> {
    let db = match connection {
        Some(db) => db,
        None => {
            let again = location.connect().await.map_err(|e| {
                tracing::error!(error = %e, "ledger");
                Error::new(Code::LedgerUnavailable, UNREACHABLE)
            });
            connection.insert(again?)
        }
    };
    let now = now();
    let mut transaction = location.write(db).await.map_err(unavailable)?;
    let mut last = audit::last_at(&mut transaction).await.map_err(unavailable)?;
    let mut outcomes = Vec::with_capacity(changes.len());
    for change in changes {
        let at = match change {
            Change::AcceptClock { .. } => now,
            _ if now + CLOCK_STEP < last => {
                outcomes.push(Err(clock(last - now)));
                continue;
            }
            _ => now.max(last),
        };
        let mut savepoint = transaction.begin().await.map_err(unavailable)?;
        let outcome = apply(&mut savepoint, at, last, change).await;
        match outcome {
            Ok(_) => savepoint.commit().await.map_err(unavailable)?,
            Err(_) => savepoint.rollback().await.map_err(unavailable)?,
        }
        if outcome.is_ok() {
            last = at;
        }
        outcomes.push(outcome);
    }
    transaction.commit().await.map_err(unavailable)?;
    Ok(outcomes)
}

const UNREACHABLE: &str = "the ledger cannot be reached, so nothing is answered; the operator's log has the cause";

fn clock(behind: i64) -> Error {
    let message = format!(
        "this server's clock is {behind} s behind the ledger's last entry, so nothing is answered: set it right, or run `undertone ledger accept-clock` where the earlier one was wrong"
    );
    Error::new(Code::LedgerUnavailable, message)
}

async fn apply(db: &mut AnyConnection, now: i64, last: i64, change: Change) -> Result<Outcome> {
    match change {
        Change::Apply(policy) => policies::apply(db, now, &policy).await.map(|()| Outcome::Done),
        Change::Reserve(claim) => statements::reserve(db, now, &claim).await.map(Outcome::Decided),
        Change::Commit { principal, query_id, answered } => {
            statements::commit(db, now, &principal, &query_id, &answered).await.map(|_| Outcome::Done)
        }
        Change::Fail { principal, query_id, freeze } => {
            statements::fail(db, now, &principal, &query_id, freeze).await.map(|()| Outcome::Done)
        }
        Change::Nothing => Ok(Outcome::Done),
        Change::Lost { older_than } => statements::lost(db, now, older_than).await.map(|()| Outcome::Done),
        Change::Unfreeze { dataset, principal, reason } => {
            statements::unfreeze(db, now, &dataset, &principal, &reason).await.map(|()| Outcome::Done)
        }
        Change::Hold { who, dataset, holder, reason, stop } => {
            accounts::hold(db, now, &who, (&dataset, &holder), &reason, stop).await.map(|()| Outcome::Done)
        }
        Change::Propose(proposal) => policies::propose(db, now, &proposal).await.map(Outcome::Number),
        Change::Judge { proposal, opinion } => {
            policies::judge(db, now, proposal, &opinion).await.map(|()| Outcome::Done)
        }
        Change::AcceptClock { reason } => {
            let body = json!({ "before": last, "reason": reason });
            audit::append(db, now, "clock", &body).await.map_err(unavailable).map(|()| Outcome::Done)
        }
    }
}
