//! The hash chain over every change of the ledger.
//!
//! hash = SHA-256(previous hash | seq | at | length of kind | kind | body), numbers as 8 bytes big-endian, and
//! 32 zero bytes before the first entry. Whoever keeps the last hash elsewhere can prove later that nothing before it was changed.

use crate::hex::{hex, unhex};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

/// The hash before the first entry.
const GENESIS: [u8; 32] = [0; 32];

/// Appends an entry in the caller's transaction. `body` is a JSON object without data values.
pub async fn append(db: &mut AnyConnection, at: i64, kind: &str, body: &serde_json::Value) -> sqlx::Result<()> {
    let (last, previous) = head(db).await?;
    let seq = last + 1;
    let body = body.to_string();
    let hash = link(&previous, seq, at, kind, &body);
    sqlx::query("INSERT INTO audit (seq, at, kind, body, previous, hash) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(seq)
        .bind(at)
        .bind(kind)
        .bind(body)
        .bind(previous)
        .bind(hash)
        .execute(db)
        .await?;
    Ok(())
}

/// The number of entries, and the hash of the last one.
pub async fn head(db: &mut AnyConnection) -> sqlx::Result<(i64, Vec<u8>)> {
    let last = sqlx::query("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetch_optional(db).await?;
    match last {
        Some(row) => Ok((row.try_get(0)?, row.try_get(1)?)),
        None => Ok((0, GENESIS.to_vec())),
    }
}

/// Whether the chain has an entry with this number and hash.
pub async fn has(db: &mut AnyConnection, (seq, hash): &(i64, Vec<u8>)) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar::<_, Vec<u8>>("SELECT hash FROM audit WHERE seq = $1").bind(*seq);
    Ok(*seq == 0 || found.fetch_optional(db).await?.as_ref() == Some(hash))
}

/// When the last entry was made; 0 where there is none.
pub async fn last_at(db: &mut AnyConnection) -> sqlx::Result<i64> {
    let at = sqlx::query_scalar("SELECT at FROM audit ORDER BY seq DESC LIMIT 1").fetch_optional(db).await?;
    Ok(at.unwrap_or_default())
}

fn link(previous: &[u8], seq: i64, at: i64, kind: &str, body: &str) -> Vec<u8> {
    Sha256::new()
        .chain_update(previous)
        .chain_update(seq.to_be_bytes())
        .chain_update(at.to_be_bytes())
        .chain_update((kind.len() as u64).to_be_bytes())
        .chain_update(kind)
        .chain_update(body)
        .finalize()
        .to_vec()
}

/// One change of the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub seq: i64,
    /// Seconds since 1970.
    pub at: i64,
    pub kind: String,
    /// A JSON object.
    pub body: String,
    pub previous: Vec<u8>,
    pub hash: Vec<u8>,
}

/// An entry as a line of JSON; hashes are in hexadecimal.
#[derive(Serialize, Deserialize)]
struct Line {
    seq: i64,
    at: i64,
    kind: String,
    body: serde_json::Value,
    previous: String,
    hash: String,
}

impl Entry {
    fn of(row: &AnyRow) -> sqlx::Result<Entry> {
        Ok(Entry {
            seq: row.try_get("seq")?,
            at: row.try_get("at")?,
            kind: row.try_get("kind")?,
            body: row.try_get("body")?,
            previous: row.try_get("previous")?,
            hash: row.try_get("hash")?,
        })
    }

    /// As a line of NDJSON, without its end. None where the body is no JSON that is written as it is read.
    pub fn line(&self) -> Option<String> {
        let body: serde_json::Value = serde_json::from_str(&self.body).ok()?;
        let line = Line {
            seq: self.seq,
            at: self.at,
            kind: self.kind.clone(),
            previous: hex(&self.previous),
            hash: hex(&self.hash),
            body,
        };
        let written = line.body.to_string();
        serde_json::to_string(&line).ok().filter(|_| written == self.body)
    }

    /// From such a line.
    pub fn read(line: &str) -> Option<Entry> {
        let Line { seq, at, kind, body, previous, hash } = serde_json::from_str(line).ok()?;
        Some(Entry { seq, at, kind, body: body.to_string(), previous: unhex(&previous)?, hash: unhex(&hash)? })
    }
}

/// Entries from a number on, in their order, one by one.
pub fn rows(db: &mut AnyConnection, from: i64) -> BoxStream<'_, sqlx::Result<Entry>> {
    let rows = sqlx::query("SELECT seq, at, kind, body, previous, hash FROM audit WHERE seq >= $1 ORDER BY seq");
    rows.bind(from).fetch(db).and_then(async |row| Entry::of(&row)).boxed()
}

/// A chain as far as it was walked.
pub struct Chain {
    last: i64,
    hash: Vec<u8>,
}

impl Default for Chain {
    fn default() -> Chain {
        Chain { last: 0, hash: GENESIS.to_vec() }
    }
}

impl Chain {
    /// Whether the entry is the next one; it is then the last.
    pub fn takes(&mut self, entry: &Entry) -> bool {
        let Entry { seq, at, kind, body, previous, hash } = entry;
        let fits = *seq == self.last + 1 && *previous == self.hash && *hash == link(previous, *seq, *at, kind, body);
        if fits {
            (self.last, self.hash) = (*seq, hash.clone());
        }
        fits
    }

    pub fn entries(&self) -> i64 {
        self.last
    }

    /// The number of entries, and the hash of the last one.
    pub fn head(&self) -> (i64, Vec<u8>) {
        (self.last, self.hash.clone())
    }
}
