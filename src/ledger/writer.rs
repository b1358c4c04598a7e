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

use super::anchor::{self, Anchor, Head};
use super::statements::{self, Decision};
use super::{Answered, Claim, Location, NewPolicy, Opinion, Proposal, accounts, audit, policies, unavailable};
use crate::error::{Code, Error, Result};
use serde_json::{Value, json};
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
    /// With the digest of the answer as it is sent.
    Commit {
        principal: String,
        query_id: String,
        answered: Answered,
        digest: String,
    },
    Fail {
        principal: String,
        query_id: String,
        freeze: bool,
    },
    Lost {
        older_than: i64,
    },
    Nothing,
    Unfreeze {
        dataset: String,
        principal: String,
        reason: String,
    },
    AcceptClock {
        reason: String,
    },
    Hold {
        who: String,
        dataset: String,
        holder: String,
        reason: String,
        stop: bool,
    },
    Propose(Proposal),
    Judge {
        proposal: i64,
        opinion: Opinion,
    },
    Note {
        kind: &'static str,
        body: Value,
    },
    Expire {
        dataset: String,
        before: i64,
    },
    AcceptLoss {
        reason: String,
    },
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

/// What the task knows.
pub struct Writer {
    location: Location,
    connection: Option<AnyConnection>,
    anchor: Option<Anchor>,
    /// The head of the chain as it was last: a ledger without it has lost entries.
    known: Option<Head>,
    /// Whether the anchor notes it.
    is_noted: bool,
}

impl Writer {
    pub fn new(location: Location, db: AnyConnection, anchor: Option<Anchor>, known: Option<Head>) -> Writer {
        Writer { location, connection: Some(db), anchor, known, is_noted: true }
    }

    /// Works until nobody is left who could ask: one transaction for all that is waiting, then the replies.
    pub async fn work(mut self, mut work: mpsc::Receiver<Work>) {
        let mut group = Vec::with_capacity(MAX_GROUP);
        while work.recv_many(&mut group, MAX_GROUP).await > 0 {
            let (changes, replies): (Vec<_>, Vec<_>) = group.drain(..).map(|w| (w.change, w.reply)).unzip();
            let outcomes = match self.write_group(changes).await {
                Ok(outcomes) => outcomes,
                Err(e) => {
                    self.connection = None;
                    replies.iter().map(|_| Err(e.clone())).collect()
                }
            };
            for (reply, outcome) in replies.into_iter().zip(outcomes) {
                // A caller that is gone loses the news, not the change: its query id finds it.
                let _ = reply.send(outcome);
            }
        }
    }

    async fn write_group(&mut self, changes: Vec<Change>) -> Result<Vec<Result<Outcome>>> {
        let Writer { location, connection, anchor, known, is_noted } = self;
        if let (Some(anchor), Some(head), false) = (&*anchor, &*known, *is_noted) {
            anchor.write(head, false)?;
            *is_noted = true;
        }
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
        location.same_version(&mut transaction).await?;
        let accepts_loss = changes.iter().any(|change| matches!(change, Change::AcceptLoss { .. }));
        if let Some(known) = known.as_ref().filter(|_| !accepts_loss)
            && !audit::has(&mut transaction, known).await.map_err(unavailable)?
        {
            let (has, _) = audit::head(&mut transaction).await.map_err(unavailable)?;
            return Err(anchor::lost(has, known.0));
        }
        let mut outcomes = Vec::with_capacity(changes.len());
        for change in changes {
            let is_loss = matches!(change, Change::AcceptLoss { .. });
            let at = match change {
                Change::AcceptClock { .. } | Change::AcceptLoss { .. } => now,
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
            match outcome {
                Ok(_) => last = at,
                // What is not accepted is not to be noted either.
                Err(e) if is_loss => return Err(e),
                Err(_) => {}
            }
            outcomes.push(outcome);
        }
        let head = audit::head(&mut transaction).await.map_err(unavailable)?;
        transaction.commit().await.map_err(unavailable)?;
        if known.as_ref() != Some(&head) {
            if let Some(Err(e)) = anchor.as_ref().map(|anchor| anchor.write(&head, accepts_loss)) {
                // What is committed is answered; nothing more is until this is mended.
                tracing::error!(error = %e, "ledger");
                *is_noted = false;
            }
            *known = Some(head);
        }
        Ok(outcomes)
    }
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
        Change::Commit { principal, query_id, answered, digest } => {
            statements::commit(db, now, (&principal, &query_id), &answered, &digest).await.map(|_| Outcome::Done)
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
        Change::Note { kind, body } => {
            audit::append(db, now, kind, &body).await.map_err(unavailable).map(|()| Outcome::Done)
        }
        Change::Expire { dataset, before } => {
            statements::expire(db, now, &dataset, before).await.map(|()| Outcome::Done)
        }
        Change::AcceptLoss { reason } => {
            let body = json!({ "reason": reason });
            audit::append(db, now, "loss", &body).await.map_err(unavailable)?;
            statements::close_reserved(db).await?;
            accounts::exhaust(db, now).await.map(|()| Outcome::Done)
        }
        Change::AcceptClock { reason } => {
            let body = json!({ "before": last, "reason": reason });
            audit::append(db, now, "clock", &body).await.map_err(unavailable).map(|()| Outcome::Done)
        }
    }
}
