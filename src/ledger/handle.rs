//! What a server, or a command beside it, does with a ledger.

use super::statements::{self, Decision};
use super::writer::{Change, MAX_GROUP, Outcome, Work, Writer, now};
use super::{
    Account, Anchor, Answered, Balance, Claim, Entry, FoundBounds, Head, Keys, Kind, Location, NewPolicy, Opinion,
    PolicyVersion, Proposal, Replay, Reserved, Scope, StoredAnswer, accounts, anchor, audit, backup, damaged, policies,
    unavailable, verify,
};
use crate::accounting::Reservation;
use crate::error::{Code, Error, Result};
use crate::hex::{hex, sha256, unhex};
use futures::TryStreamExt;
use serde_json::Value;
use sqlx::{AnyConnection, AnyPool};
use std::fs::{File, TryLockError};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How sealed text begins where text is kept.
const SEALED: &str = "sealed:";
/// How long a server waits for the one before it to end.
const HANDOVER: Duration = Duration::from_secs(5);

/// A handle to the ledger; clones share the writer.
#[derive(Clone)]
pub struct Ledger {
    location: Location,
    writer: mpsc::Sender<Work>,
    readers: AnyPool,
    /// Seal what is kept of answers.
    keys: Keys,
    anchor: Option<Anchor>,
    /// Held by the only server that a SQLite file has.
    server: Arc<OnceLock<File>>,
}

impl Ledger {
    /// Opens a ledger, and brings it to the newest version.
    ///
    /// Errors: `CONFIGURATION` where it cannot be opened, is no ledger or that of a newer version.
    pub async fn open(location: &Location) -> Result<Ledger> {
        Ledger::open_with(location, Keys::default(), None).await
    }

    /// The same, with keys that answers are encrypted with, and a note of the chain's head elsewhere.
    pub async fn open_with(location: &Location, keys: Keys, anchor: Option<Anchor>) -> Result<Ledger> {
        let mut connection = location.connect().await?;
        location.prepare(&mut connection).await?;
        let readers = location.readers().await?;
        let (writer, work) = mpsc::channel(4 * MAX_GROUP);
        // Where there is no note yet, the first one is of whatever is there.
        let known = anchor.as_ref().map(Anchor::read).transpose()?.flatten();
        tokio::spawn(Writer::new(location.clone(), connection, anchor.clone(), known).work(work));
        Ok(Ledger { location: location.clone(), writer, readers, keys, anchor, server: Arc::default() })
    }

    async fn change(&self, change: Change) -> Result<Outcome> {
        let (reply, outcome) = oneshot::channel();
        let gone = || Error::new(Code::LedgerUnavailable, "the ledger is closed, so nothing is answered");
        self.writer.send(Work { change, reply }).await.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }

    async fn reader(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Any>> {
        self.readers.acquire().await.map_err(unavailable)
    }

    /// Puts a policy in force, with the accounts that follow from it; spending stays.
    ///
    /// Errors: `POLICY_CHANGED` where it is based on another one than that in force; `INVALID_REQUEST` where its proposal is not open.
    pub async fn apply(&self, policy: NewPolicy) -> Result<()> {
        self.change(Change::Apply(policy)).await.map(|_| ())
    }

    /// Keeps a change of the policy until somebody else approves it: its number.
    pub async fn propose(&self, proposal: Proposal) -> Result<i64> {
        match self.change(Change::Propose(proposal)).await? {
            Outcome::Number(id) => Ok(id),
            _ => Err(Error::internal("a proposal came to nothing")),
        }
    }

    /// Keeps an approval, or a rejection, which closes the proposal.
    ///
    /// Errors: `INVALID_REQUEST` where it is not open, or this person has approved it already.
    pub async fn judge(&self, proposal: i64, opinion: Opinion) -> Result<()> {
        self.change(Change::Judge { proposal, opinion }).await.map(|_| ())
    }

    /// Stops all accounts of a holder on a dataset, or lets them go on. The holder is a principal, `team:` or `tier:` and a name, or nothing for the pool.
    ///
    /// Errors: `INVALID_REQUEST` where this changes nothing.
    pub async fn hold(&self, who: &str, dataset: &str, holder: &str, reason: &str, stop: bool) -> Result<()> {
        let [who, dataset, holder, reason] = [who, dataset, holder, reason].map(str::to_owned);
        self.change(Change::Hold { who, dataset, holder, reason, stop }).await.map(|_| ())
    }

    /// The policy in force; None where there is none yet.
    pub async fn policy(&self) -> Result<Option<PolicyVersion>> {
        policies::policy(&mut *self.reader().await?).await
    }

    /// The hash of the policy in force.
    pub async fn policy_in_force(&self) -> Result<Option<String>> {
        policies::in_force(&mut *self.reader().await?).await
    }

    /// All policies, the newest first.
    pub async fn policies(&self) -> Result<Vec<PolicyVersion>> {
        policies::policies(&mut *self.reader().await?).await
    }

    /// All proposals, the newest first.
    pub async fn proposals(&self) -> Result<Vec<Proposal>> {
        policies::proposals(&mut *self.reader().await?).await
    }

    /// Pays for a question, or finds that it is paid. When this returns, the charge is on disk.
    ///
    /// Errors: `NO_GRANT`, `ACCOUNT_FROZEN`, `BUDGET_EXHAUSTED`, `QUERY_ID_REUSED`, each without a charge; `EXECUTION_FAILED` where an earlier charge
    /// under this query id will never be answered.
    pub async fn reserve(&self, claim: Claim) -> Result<Reserved> {
        match self.change(Change::Reserve(claim)).await? {
            Outcome::Decided(Decision::Run { releases, charged_at }) => {
                Ok(Reserved::Run { reservation: Reservation::mint(releases), charged_at })
            }
            Outcome::Decided(Decision::Stored(answer)) => Ok(Reserved::Stored(self.opened(answer)?)),
            Outcome::Decided(Decision::GivenUp) => Err(given_up()),
            _ => Err(Error::internal("a reservation came to nothing")),
        }
    }

    /// Stores an answer and returns what is stored: the bytes of whichever run was first.
    pub async fn commit(&self, account: &Account, query_id: &str, answered: Answered) -> Result<StoredAnswer> {
        let digest = sha256(&answered.bytes);
        let seal = |plain: Vec<u8>| self.keys.seal(account, plain);
        let Answered { bytes, bounds, drawn } = answered;
        let sealed = Answered {
            bytes: seal(bytes)?,
            drawn: drawn.map(seal).transpose()?,
            bounds: bounds.into_iter().map(|found| self.with_found(account, found)).collect::<Result<_>>()?,
        };
        let (principal, query_id) = (account.principal.clone(), query_id.to_owned());
        let change = Change::Commit { principal, query_id: query_id.clone(), answered: sealed, digest };
        self.change(change).await?;
        self.answer(&account.principal, &query_id).await?.ok_or_else(given_up)
    }

    /// As it is kept: in hexadecimal where it is sealed.
    fn with_found(&self, account: &Account, bounds: FoundBounds) -> Result<FoundBounds> {
        if !self.keys.can_seal() {
            return Ok(bounds);
        }
        let sealed = self.keys.seal(account, bounds.found.into_bytes())?;
        Ok(FoundBounds { found: SEALED.to_owned() + &hex(&sealed), ..bounds })
    }

    fn found(&self, account: &Account, bounds: FoundBounds) -> Result<FoundBounds> {
        let Some(sealed) = bounds.found.strip_prefix(SEALED) else { return Ok(bounds) };
        let plain = self.keys.open(account, unhex(sealed).ok_or_else(damaged)?)?;
        Ok(FoundBounds { found: String::from_utf8(plain).map_err(|_| damaged())?, ..bounds })
    }

    fn opened(&self, answer: StoredAnswer) -> Result<StoredAnswer> {
        Ok(StoredAnswer { bytes: self.keys.open(&answer.account, answer.bytes)?, ..answer })
    }

    /// Closes a reservation that could not be answered; it stays charged, and the principal's accounts of the dataset are frozen.
    ///
    /// `freeze` is false where the failure follows from released values alone.
    pub async fn fail(&self, principal: &str, query_id: &str, freeze: bool) -> Result<()> {
        let (principal, query_id) = (principal.to_owned(), query_id.to_owned());
        self.change(Change::Fail { principal, query_id, freeze }).await.map(|_| ())
    }

    /// Keeps in the log what a caller asked the price of.
    pub async fn note_quote(&self, body: Value) -> Result<()> {
        self.change(Change::Note { kind: "quote", body }).await.map(|_| ())
    }

    /// Keeps in the log what a caller was refused.
    pub async fn note_refusal(&self, body: Value) -> Result<()> {
        self.change(Change::Note { kind: "refusal", body }).await.map(|_| ())
    }

    /// Deletes the answers about a dataset that were made before a moment, in seconds since 1970. What they cost stays spent.
    pub async fn expire(&self, dataset: &str, before: i64) -> Result<()> {
        self.change(Change::Expire { dataset: dataset.to_owned(), before }).await.map(|_| ())
    }

    /// For a server that starts, and for as long as it runs: it is the only one of a SQLite file. Looks at what earlier ones left unanswered.
    ///
    /// `deadline` is that of a question. Servers that share a ledger may still be at work on what is younger.
    ///
    /// Errors: `CONFIGURATION` where another server has the file.
    pub async fn serve(&self, deadline: Duration) -> Result<()> {
        match &self.location {
            Location::Sqlite(path) => {
                let lock = path.with_added_extension("server");
                let place = |e: std::io::Error| self.location.error(format!("{}: {e}", lock.display()));
                let file = File::options().create(true).append(true).open(&lock).map_err(place)?;
                let locked = async {
                    while let Err(TryLockError::WouldBlock) = file.try_lock() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                };
                tokio::time::timeout(HANDOVER, locked).await.map_err(|_| {
                    self.location.error("another server uses it; several share one in PostgreSQL, with ledger.url")
                })?;
                let _ = self.server.set(file);
                self.change(Change::Lost { older_than: 0 }).await.map(|_| ())
            }
            Location::Postgres(_) => self.lost(deadline).await,
        }
    }

    /// Freezes who lost many reservations: those that were not answered by their deadline, because their server ended.
    pub async fn lost(&self, deadline: Duration) -> Result<()> {
        self.change(Change::Lost { older_than: deadline.as_secs() as i64 + 1 }).await.map(|_| ())
    }

    /// Goes on with a ledger that is older than its anchor. All grants of it are used up.
    pub async fn accept_loss(&self, reason: &str) -> Result<()> {
        self.change(Change::AcceptLoss { reason: reason.to_owned() }).await.map(|_| ())
    }

    /// Writes a copy of the ledger as it is now: the head of its chain.
    pub async fn back_up(&self, to: &mut impl std::io::Write) -> Result<Head> {
        let mut reader = self.reader().await?;
        self.is_anchored(&mut reader).await?;
        backup::copy(&self.location, &mut reader, to).await
    }

    /// Fills an empty ledger from a copy: the head of its chain.
    ///
    /// Errors: `CONFIGURATION` where it is not empty, or the copy is of another version or damaged; then nothing was changed.
    pub async fn restore(location: &Location, from: impl std::io::BufRead) -> Result<Head> {
        backup::restore(location, from, now()).await
    }

    /// Goes on with this machine's clock, which is behind the ledger's last entry. The reason goes into the audit log.
    pub async fn accept_clock(&self, reason: &str) -> Result<()> {
        self.change(Change::AcceptClock { reason: reason.to_owned() }).await.map(|_| ())
    }

    /// Whether changes are made now: waits for its turn to make none.
    pub async fn check(&self) -> Result<()> {
        self.change(Change::Nothing).await.map(|_| ())
    }

    /// Lets a principal ask again after a failure was looked into. The reason goes into the audit log.
    ///
    /// Errors: `NO_GRANT` where no account of this principal is frozen.
    pub async fn unfreeze(&self, dataset: &str, principal: &str, reason: &str) -> Result<()> {
        let (dataset, principal, reason) = (dataset.to_owned(), principal.to_owned(), reason.to_owned());
        self.change(Change::Unfreeze { dataset, principal, reason }).await.map(|_| ())
    }

    /// The answer under a query id of this principal, if it was committed.
    pub async fn answer(&self, principal: &str, query_id: &str) -> Result<Option<StoredAnswer>> {
        let answer = statements::answer(&mut *self.reader().await?, principal, query_id).await?;
        answer.map(|answer| self.opened(answer)).transpose()
    }

    /// Whether anything was charged under a query id, whatever became of it.
    pub async fn is_charged(&self, principal: &str, query_id: &str) -> Result<bool> {
        statements::is_charged(&mut *self.reader().await?, principal, query_id).await
    }

    /// Whether an account has an answer to a question already, under either of two digests.
    pub async fn is_answered(&self, account: &Account, question: &[u8], before: Option<&[u8]>) -> Result<bool> {
        let earlier = statements::earlier(&mut *self.reader().await?, account, question, before).await?;
        Ok(earlier.is_some())
    }

    /// The query ids of the newest answers that a principal paid for, the newest first.
    pub async fn newest(&self, principal: &str, most: u32) -> Result<Vec<String>> {
        statements::newest(&mut *self.reader().await?, principal, most).await
    }

    /// What is needed to draw once more for an answer of this principal: None where there is no such answer, and within it where it cannot be.
    pub async fn drawn(&self, principal: &str, query_id: &str) -> Result<Option<Option<Vec<u8>>>> {
        let found = statements::drawn(&mut *self.reader().await?, principal, query_id).await?;
        let opened = |(account, drawn): (Account, Option<Vec<u8>>)| {
            drawn.map(|drawn| self.keys.open(&account, drawn)).transpose()
        };
        found.map(opened).transpose()
    }

    /// The committed answer to this very request under this query id, if there is one.
    ///
    /// Errors: `QUERY_ID_REUSED` where the id stands for another request.
    pub async fn replay(&self, principal: &str, query_id: &str, request: &[u8]) -> Result<Option<StoredAnswer>> {
        let answer = statements::replay(&mut *self.reader().await?, principal, query_id, request).await?;
        answer.map(|answer| self.opened(answer)).transpose()
    }

    /// All active accounts, pools included.
    pub async fn balances(&self) -> Result<Vec<Balance>> {
        accounts::balances(&mut *self.reader().await?, now()).await
    }

    /// All accounts, those whose grant was withdrawn too.
    pub async fn accounts(&self) -> Result<Vec<(Balance, bool)>> {
        accounts::all_balances(&mut *self.reader().await?, now()).await
    }

    /// The accounts that these accounts of principals pay with, as far as their questions have no tiers.
    pub async fn scopes(&self, of: impl Fn(&Account) -> bool) -> Result<Vec<Scope>> {
        let all = self.balances().await?;
        let own = all.iter().filter(|balance| balance.account.kind() == Kind::Own && of(&balance.account));
        Ok(own.filter_map(|own| Scope::of(&all, own, &[])).collect())
    }

    /// One account with all that pay beside it.
    pub async fn scope(&self, account: &Account, tiers: &[Account]) -> Result<Option<Scope>> {
        let all = self.balances().await?;
        let own = all.iter().find(|balance| balance.account == *account);
        Ok(own.and_then(|own| Scope::of(&all, own, tiers)))
    }

    /// The question that was charged under this query id and is not answered yet.
    pub async fn charged(&self, principal: &str, query_id: &str) -> Result<Option<Vec<u8>>> {
        statements::charged(&mut *self.reader().await?, principal, query_id).await
    }

    /// What an account has found out about bounds.
    pub async fn bounds(&self, account: &Account) -> Result<Vec<FoundBounds>> {
        let bounds = statements::bounds(&mut *self.reader().await?, account).await?;
        // What cannot be read any more is found anew: a key that is lost must not stop all questions.
        let readable = bounds.into_iter().filter_map(|bounds| match self.found(account, bounds) {
            Ok(found) => Some(found),
            Err(e) => {
                tracing::error!(error = %e, "bounds that were found cannot be read");
                None
            }
        });
        Ok(readable.collect())
    }

    /// Whether the ledger is what its log and its anchor say: the accounts as they follow from the log, with its chain.
    ///
    /// Errors: `LEDGER_UNAVAILABLE`, with the first thing that is another one.
    pub async fn verify(&self) -> Result<Replay> {
        let mut reader = self.reader().await?;
        let mut at_once = self.location.read(&mut reader).await?;
        self.is_anchored(&mut at_once).await?;
        verify::compare(&mut at_once).await
    }

    async fn is_anchored(&self, db: &mut AnyConnection) -> Result<()> {
        let Some(noted) = self.anchor.as_ref().map(Anchor::read).transpose()?.flatten() else { return Ok(()) };
        match audit::has(db, &noted).await.map_err(unavailable)? {
            true => Ok(()),
            false => Err(anchor::lost(audit::head(db).await.map_err(unavailable)?.0, noted.0)),
        }
    }

    /// Entries of the audit log from a number on, in their order.
    pub async fn audit_entries(&self, from: i64) -> Result<Vec<Entry>> {
        audit::rows(&mut *self.reader().await?, from).try_collect().await.map_err(unavailable)
    }

    /// The number of entries of the audit log, and the hash of the last one.
    pub async fn head(&self) -> Result<(i64, Vec<u8>)> {
        audit::head(&mut *self.reader().await?).await.map_err(unavailable)
    }
}

fn given_up() -> Error {
    Error::new(
        Code::ExecutionFailed,
        "this question was charged and could not be answered; ask it under a new query id",
    )
}
