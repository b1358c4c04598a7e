//! The hash chain over every change of the ledger.
//!
//! hash = SHA-256(previous hash | seq | at | length of kind | kind | body), numbers as 8 bytes big-endian, and
//! 32 zero bytes before the first entry. Whoever keeps the last hash elsewhere can prove later that nothing before it was changed.

use sha2::{Digest, Sha256};
use sqlx::{Row, SqliteConnection};

/// The hash before the first entry.
const GENESIS: [u8; 32] = [0; 32];

/// Appends an entry in the caller's transaction. `body` is a JSON object without data values.
pub async fn append(db: &mut SqliteConnection, at: i64, kind: &str, body: &serde_json::Value) -> sqlx::Result<()> {
    let last = sqlx::query("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetch_optional(&mut *db).await?;
    let (seq, previous) = match last {
        Some(row) => (row.try_get::<i64, _>(0)? + 1, row.try_get::<Vec<u8>, _>(1)?),
        None => (1, GENESIS.to_vec()),
    };
    let body = body.to_string();
    let hash = link(&previous, seq, at, kind, &body);
    sqlx::query("INSERT INTO audit (seq, at, kind, body, previous, hash) VALUES (?, ?, ?, ?, ?, ?)")
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

/// Walks the whole chain: the number of entries, or the first one that does not fit.
pub async fn verify(db: &mut SqliteConnection) -> sqlx::Result<Result<i64, i64>> {
    let mut previous = GENESIS.to_vec();
    let mut expected = 0;
    for row in sqlx::query("SELECT seq, at, kind, body, previous, hash FROM audit ORDER BY seq").fetch_all(db).await? {
        let (seq, at): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let (kind, body): (String, String) = (row.try_get(2)?, row.try_get(3)?);
        let (before, hash): (Vec<u8>, Vec<u8>) = (row.try_get(4)?, row.try_get(5)?);
        expected += 1;
        if seq != expected || before != previous || hash != link(&previous, seq, at, &kind, &body) {
            return Ok(Err(expected));
        }
        previous = hash;
    }
    Ok(Ok(expected))
}
