//! The ledger in one SQLite file: WAL, `synchronous = FULL`, one writer.
//!
//! All changes go through one task, which takes whatever has queued up while the disk was busy and commits it as one
//! transaction: under load many charges share one sync. Each change has its own savepoint, so one refusal takes back only
//! itself. A caller is told of its change after the commit, never before.

use super::statements::{self, Decision, unavailable};
use super::{Account, Answered, Balance, Claim, Entry, FoundBounds, Reserved, Setting, StoredAnswer, audit};
use crate::accounting::Reservation;
use crate::error::{Code, Error, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, oneshot};

/// What makes each version of the file from the one before; the number of those done is the file's `user_version`.
const VERSIONS: [&str; 6] = [
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
    include_str!("schema/4.sql"),
    include_str!("schema/5.sql"),
    include_str!("schema/6.sql"),
];
/// Most changes that share one commit.
const MAX_GROUP: usize = 256;

/// A handle to the ledger; clones share the writer.
#[derive(Clone)]
pub struct Ledger {
    writer: mpsc::Sender<Work>,
    readers: SqlitePool,
}

/// A change, and where its outcome goes.
struct Work {
    change: Change,
    reply: oneshot::Sender<Result<Outcome>>,
}

enum Change {
    Apply(Vec<Setting>),
    Reserve(Claim),
    Commit { principal: String, query_id: String, answered: Answered },
    Fail { principal: String, query_id: String, freeze: bool },
    Begin,
    Nothing,
    Unfreeze { dataset: String, principal: String, reason: String },
}

enum Outcome {
    Done,
    Decided(Decision),
}

impl Ledger {
    /// Opens the file, creating it if there is none.
    ///
    /// Errors: `CONFIGURATION` where the file is no ledger or that of a newer version; `LEDGER_UNAVAILABLE`.
    pub async fn open(path: &Path) -> Result<Ledger> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(30))
            .foreign_keys(true);
        let place = |e: sqlx::Error| Error::configuration(format!("ledger {}: {e}", path.display()));
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(place)?;
        prepare(&mut connection, path).await?;
        let readers =
            SqlitePoolOptions::new().max_connections(4).connect_with(options.read_only(true)).await.map_err(place)?;
        let (writer, work) = mpsc::channel(4 * MAX_GROUP);
        tokio::spawn(write(connection, work));
        Ok(Ledger { writer, readers })
    }

    async fn change(&self, change: Change) -> Result<Outcome> {
        let (reply, outcome) = oneshot::channel();
        let gone = || Error::new(Code::LedgerUnavailable, "the ledger is closed, so nothing is answered");
        self.writer.send(Work { change, reply }).await.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }

    async fn reader(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Sqlite>> {
        self.readers.acquire().await.map_err(unavailable)
    }

    /// Makes the accounts those of `settings`; spending stays.
    pub async fn apply(&self, settings: Vec<Setting>) -> Result<()> {
        self.change(Change::Apply(settings)).await.map(|_| ())
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
            Outcome::Decided(Decision::Stored(answer)) => Ok(Reserved::Stored(answer)),
            Outcome::Decided(Decision::GivenUp) => Err(given_up()),
            Outcome::Done => Err(Error::internal("a reservation came to nothing")),
        }
    }

    /// Stores an answer and returns what is stored: the bytes of whichever run was first.
    pub async fn commit(&self, principal: &str, query_id: &str, answered: Answered) -> Result<StoredAnswer> {
        let (principal, query_id) = (principal.to_owned(), query_id.to_owned());
        self.change(Change::Commit { principal: principal.clone(), query_id: query_id.clone(), answered }).await?;
        self.answer(&principal, &query_id).await?.ok_or_else(given_up)
    }

    /// Closes a reservation that could not be answered; it stays charged, and the principal's accounts of the dataset are frozen.
    ///
    /// `freeze` is false where the failure follows from released values alone.
    pub async fn fail(&self, principal: &str, query_id: &str, freeze: bool) -> Result<()> {
        let (principal, query_id) = (principal.to_owned(), query_id.to_owned());
        self.change(Change::Fail { principal, query_id, freeze }).await.map(|_| ())
    }

    /// For a server that starts: looks at what an earlier one left unanswered.
    pub async fn begin(&self) -> Result<()> {
        self.change(Change::Begin).await.map(|_| ())
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
        statements::answer(&mut *self.reader().await?, principal, query_id).await
    }

    /// What is needed to draw once more for an answer of this principal: None where there is no such answer, and within it where it cannot be.
    pub async fn drawn(&self, principal: &str, query_id: &str) -> Result<Option<Option<Vec<u8>>>> {
        statements::drawn(&mut *self.reader().await?, principal, query_id).await
    }

    /// The committed answer to this very request under this query id, if there is one.
    ///
    /// Errors: `QUERY_ID_REUSED` where the id stands for another request.
    pub async fn replay(&self, principal: &str, query_id: &str, request: &[u8]) -> Result<Option<StoredAnswer>> {
        statements::replay(&mut *self.reader().await?, principal, query_id, request).await
    }

    /// All active accounts, pools included.
    pub async fn balances(&self) -> Result<Vec<Balance>> {
        statements::balances(&mut *self.reader().await?).await
    }

    /// The question that was charged under this query id and is not answered yet.
    pub async fn charged(&self, principal: &str, query_id: &str) -> Result<Option<Vec<u8>>> {
        statements::charged(&mut *self.reader().await?, principal, query_id).await
    }

    /// What an account has found out about bounds.
    pub async fn bounds(&self, account: &Account) -> Result<Vec<FoundBounds>> {
        statements::bounds(&mut *self.reader().await?, account).await
    }

    /// One account and its pool.
    pub async fn balance(&self, account: &Account) -> Result<Option<(Balance, Balance)>> {
        let all = self.balances().await?;
        let find = |wanted: &Account| all.iter().find(|b| b.account == *wanted).cloned();
        Ok(find(account).zip(find(&Account::pool(&account.dataset))))
    }

    /// Walks the audit chain: the number of its entries, or an error that names the first one that was changed.
    pub async fn verify_audit(&self) -> Result<i64> {
        let walked = audit::verify(&mut *self.reader().await?).await.map_err(unavailable)?;
        walked.map_err(|seq| {
            let message = format!("audit entry {seq} does not fit the chain: the ledger was changed");
            Error::new(Code::LedgerUnavailable, message)
        })
    }

    /// All entries of the audit log, in their order.
    pub async fn audit_entries(&self) -> Result<Vec<Entry>> {
        audit::entries(&mut *self.reader().await?).await.map_err(unavailable)
    }

    /// Every account's balance, and whether its grant is in force, at one moment with the log that it must follow from.
    pub async fn audited(&self) -> Result<(Vec<Entry>, Vec<(Balance, bool)>)> {
        let mut reader = self.reader().await?;
        let mut at_once = reader.begin().await.map_err(unavailable)?;
        let entries = audit::entries(&mut at_once).await.map_err(unavailable)?;
        Ok((entries, statements::all_balances(&mut at_once).await?))
    }
}

fn given_up() -> Error {
    Error::new(
        Code::ExecutionFailed,
        "this question was charged and could not be answered; ask it under a new query id",
    )
}

fn now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64)
}

/// Brings the file to the newest version, and refuses one that is newer still.
async fn prepare(db: &mut SqliteConnection, path: &Path) -> Result<()> {
    let place = |e: sqlx::Error| Error::configuration(format!("ledger {}: {e}", path.display()));
    let mut transaction = db.begin_with("BEGIN IMMEDIATE").await.map_err(place)?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *transaction).await.map_err(place)?;
    let done = usize::try_from(version).ok().filter(|done| *done <= VERSIONS.len()).ok_or_else(|| {
        let known = VERSIONS.len();
        let message =
            format!("ledger {} has version {version}, this server knows {known}: use a newer server", path.display());
        Error::configuration(message)
    })?;
    for step in &VERSIONS[done..] {
        sqlx::raw_sql(*step).execute(&mut *transaction).await.map_err(place)?;
    }
    let version = format!("PRAGMA user_version = {}", VERSIONS.len());
    sqlx::raw_sql(sqlx::AssertSqlSafe(version)).execute(&mut *transaction).await.map_err(place)?;
    transaction.commit().await.map_err(place)
}

/// The writer: one transaction for all that is waiting, then the replies.
async fn write(mut db: SqliteConnection, mut work: mpsc::Receiver<Work>) {
    let mut group = Vec::with_capacity(MAX_GROUP);
    while work.recv_many(&mut group, MAX_GROUP).await > 0 {
        let (changes, replies): (Vec<_>, Vec<_>) = group.drain(..).map(|w| (w.change, w.reply)).unzip();
        let outcomes = match write_group(&mut db, changes).await {
            Ok(outcomes) => outcomes,
            Err(e) => {
                let e = unavailable(e);
                replies.iter().map(|_| Err(e.clone())).collect()
            }
        };
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            // A caller that is gone loses the news, not the change: its query id finds it.
            let _ = reply.send(outcome);
        }
    }
}

async fn write_group(db: &mut SqliteConnection, changes: Vec<Change>) -> sqlx::Result<Vec<Result<Outcome>>> {
    let now = now();
    let mut transaction = db.begin_with("BEGIN IMMEDIATE").await?;
    let mut outcomes = Vec::with_capacity(changes.len());
    for change in changes {
        let mut savepoint = transaction.begin().await?;
        let outcome = apply(&mut savepoint, now, change).await;
        match outcome {
            Ok(_) => savepoint.commit().await?,
            Err(_) => savepoint.rollback().await?,
        }
        outcomes.push(outcome);
    }
    transaction.commit().await?;
    Ok(outcomes)
}

async fn apply(db: &mut SqliteConnection, now: i64, change: Change) -> Result<Outcome> {
    match change {
        Change::Apply(settings) => statements::apply(db, now, &settings).await.map(|()| Outcome::Done),
        Change::Reserve(claim) => statements::reserve(db, now, &claim).await.map(Outcome::Decided),
        Change::Commit { principal, query_id, answered } => {
            statements::commit(db, now, &principal, &query_id, &answered).await.map(|_| Outcome::Done)
        }
        Change::Fail { principal, query_id, freeze } => {
            statements::fail(db, now, &principal, &query_id, freeze).await.map(|()| Outcome::Done)
        }
        Change::Nothing => Ok(Outcome::Done),
        Change::Begin => statements::begin(db, now).await.map(|()| Outcome::Done),
        Change::Unfreeze { dataset, principal, reason } => {
            statements::unfreeze(db, now, &dataset, &principal, &reason).await.map(|()| Outcome::Done)
        }
    }
}
