//! Where a ledger is: one SQLite file, or a PostgreSQL database that several servers share.
//!
//! The rules are written once, in the SQL that both understand. What differs is here: how to connect, how to be the only one who
//! writes, how to read at one moment, and how a column's type is called.
//!
//! *One writer at a time.* A transaction that writes begins by waiting until no other does: `BEGIN IMMEDIATE`, or an advisory lock
//! of PostgreSQL's that is given back when the commit is on disk. So what a charge is judged by is all that was committed
//! before, by whichever server.
//!
//! *What counts as committed* is on disk: `synchronous = FULL`, and for PostgreSQL `synchronous_commit`, `fsync` and `full_page_writes`, without any
//! of which it is refused.

use super::unavailable;
use crate::error::{Code, Error, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyConnection, AnyPool, Connection, Transaction};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What makes each version of a ledger from the one before, in SQLite's words; see [`Location::words`].
const VERSIONS: [&str; 9] = [
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
    include_str!("schema/4.sql"),
    include_str!("schema/5.sql"),
    include_str!("schema/6.sql"),
    include_str!("schema/7.sql"),
    include_str!("schema/8.sql"),
    include_str!("schema/9.sql"),
];

/// PostgreSQL's words for SQLite's.
const WORDS: [(&str, &str); 5] = [
    (" STRICT, WITHOUT ROWID;", ";"),
    (" STRICT;", ";"),
    (" INTEGER", " BIGINT"),
    (" BLOB", " BYTEA"),
    // Names are ordered by their bytes, as they are in SQLite.
    (" TEXT", " TEXT COLLATE \"C\""),
];

/// The advisory lock of whoever writes: "undertone", as far as it fits.
const WRITES: i64 = i64::from_be_bytes(*b"underton");

/// Longest wait for a connection to read by.
const READER: Duration = Duration::from_secs(5);
const READERS: u32 = 4;

/// Path characters that an address keeps.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

/// Where a ledger is.
#[derive(Clone, PartialEq)]
pub enum Location {
    /// A file, created if there is none.
    Sqlite(PathBuf),
    /// A database, as `postgres://user:password@host/database`.
    Postgres(String),
}

/// Without the password.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Location::Sqlite(path) => write!(f, "{}", path.display()),
            Location::Postgres(address) => match url::Url::parse(address) {
                Ok(address) => {
                    let (host, database) = (address.host_str().unwrap_or_default(), address.path());
                    write!(f, "postgres://{host}{database}")
                }
                Err(_) => write!(f, "postgres://"),
            },
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Location {
    /// An error that says which ledger it is about. What drivers say holds names and addresses, never what rows hold.
    pub(super) fn error(&self, message: impl fmt::Display) -> Error {
        Error::configuration(format!("ledger {self}: {message}"))
    }

    /// The newest version of the tables.
    pub(super) fn version() -> usize {
        VERSIONS.len()
    }

    fn options(&self, mode: &str) -> Result<AnyConnectOptions> {
        sqlx::any::install_default_drivers();
        let address = match self {
            Location::Sqlite(path) => {
                let path = path.to_str().ok_or_else(|| self.error("the path is not UTF-8"))?;
                format!("sqlite:{}?mode={mode}", utf8_percent_encode(path, PLAIN))
            }
            Location::Postgres(address) => address.clone(),
        };
        // What the address holds is not repeated: a password may be in it.
        address
            .parse()
            .map_err(|_| self.error("the address cannot be read: use postgres://user:password@host/database"))
    }

    /// A connection that writes.
    pub(super) async fn connect(&self) -> Result<AnyConnection> {
        let place = |e: sqlx::Error| self.error(e);
        let mut db = AnyConnection::connect_with(&self.options("rwc")?).await.map_err(place)?;
        let settings = match self {
            // What a failed sync has left in the log's pages alone is written anew, before anything counts on it.
            Location::Sqlite(_) => {
                "PRAGMA busy_timeout = 30000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_checkpoint(TRUNCATE)"
            }
            // A server that hangs while it holds the lock loses it.
            Location::Postgres(_) => {
                "SET synchronous_commit = on; SET lock_timeout = '30s'; SET idle_in_transaction_session_timeout = '30s'"
            }
        };
        sqlx::raw_sql(settings).execute(&mut db).await.map_err(place)?;
        if let Location::Postgres(_) = self {
            for setting in ["fsync", "full_page_writes"] {
                let query = sqlx::query_scalar::<_, String>("SELECT current_setting($1)").bind(setting);
                if query.fetch_one(&mut db).await.map_err(place)? != "on" {
                    return Err(
                        self.error(format!("PostgreSQL runs with {setting} off, and would lose charges: set it on"))
                    );
                }
            }
        }
        Ok(db)
    }

    /// Connections that read.
    pub(super) async fn readers(&self) -> Result<AnyPool> {
        let options = AnyPoolOptions::new().max_connections(READERS).acquire_timeout(READER);
        options.connect_with(self.options("ro")?).await.map_err(|e| self.error(e))
    }

    /// A transaction that no other writes beside.
    pub(super) async fn write<'a>(&self, db: &'a mut AnyConnection) -> sqlx::Result<Transaction<'a, Any>> {
        match self {
            Location::Sqlite(_) => db.begin_with("BEGIN IMMEDIATE").await,
            Location::Postgres(_) => {
                // Each statement sees what was committed before it: whatever the lock was waited for.
                let mut transaction = db.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
                let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(WRITES);
                lock.execute(&mut *transaction).await?;
                Ok(transaction)
            }
        }
    }

    /// A transaction that sees one moment.
    pub(super) async fn read<'a>(&self, db: &'a mut AnyConnection) -> Result<Transaction<'a, Any>> {
        let begin = match self {
            Location::Sqlite(_) => "BEGIN",
            Location::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        db.begin_with(begin).await.map_err(unavailable)
    }

    /// A step of the schema in the store's own words.
    fn words(&self, step: &str) -> String {
        match self {
            Location::Sqlite(_) => step.to_owned(),
            Location::Postgres(_) => WORDS.iter().fold(step.to_owned(), |step, (from, to)| step.replace(from, to)),
        }
    }

    async fn version_of(&self, db: &mut AnyConnection) -> sqlx::Result<i64> {
        let version = match self {
            Location::Sqlite(_) => "PRAGMA user_version",
            Location::Postgres(_) => "SELECT coalesce(max(version), 0) FROM ledger_version",
        };
        sqlx::query_scalar(version).fetch_one(db).await
    }

    /// Fails where a newer program has changed the tables since this one opened them.
    pub(super) async fn same_version(&self, db: &mut AnyConnection) -> Result<()> {
        match self.version_of(db).await.map_err(unavailable)? == VERSIONS.len() as i64 {
            true => Ok(()),
            false => {
                let message = "a newer program has changed the ledger, so nothing is answered: start the newer server";
                Err(Error::new(Code::LedgerUnavailable, message))
            }
        }
    }

    /// Brings the ledger to the newest version, and refuses one that is newer still.
    pub(super) async fn prepare(&self, db: &mut AnyConnection) -> Result<()> {
        let place = |e: sqlx::Error| self.error(e);
        let mut transaction = self.write(db).await.map_err(place)?;
        if let Location::Postgres(_) = self {
            let table = "CREATE TABLE IF NOT EXISTS ledger_version (version BIGINT NOT NULL)";
            sqlx::raw_sql(table).execute(&mut *transaction).await.map_err(place)?;
        }
        let version = self.version_of(&mut transaction).await.map_err(place)?;
        let known = VERSIONS.len();
        let done = usize::try_from(version).ok().filter(|done| *done <= known).ok_or_else(|| {
            self.error(format!("it has version {version}, this server knows {known}: use a newer server"))
        })?;
        for step in &VERSIONS[done..] {
            let step = sqlx::AssertSqlSafe(self.words(step));
            sqlx::raw_sql(step).execute(&mut *transaction).await.map_err(place)?;
        }
        if done < known {
            let note = match self {
                Location::Sqlite(_) => format!("PRAGMA user_version = {known}"),
                Location::Postgres(_) => {
                    format!("DELETE FROM ledger_version; INSERT INTO ledger_version VALUES ({known})")
                }
            };
            sqlx::raw_sql(sqlx::AssertSqlSafe(note)).execute(&mut *transaction).await.map_err(place)?;
        }
        transaction.commit().await.map_err(place)
    }
}
