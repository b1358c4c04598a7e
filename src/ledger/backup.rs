//! Copies of a ledger, made while it is written to, in a form that either store reads: lines of JSON. The first says what it is a copy of; each other one is
//! a row of a table, in which what is NULL is left out and bytes are `{"hex": ...}`.

use super::{Chain, Entry, Location, anchor::Head, audit, statements, unavailable, verify};
use crate::error::{Error, Result};
use crate::hex::{hex, unhex};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sqlx::any::{AnyRow, AnyTypeInfoKind};
use sqlx::{AnyConnection, Column, Row, TypeInfo, ValueRef};
use std::io::{BufRead, Write};

/// Every table. A copy has no others.
const TABLES: [&str; 7] = ["accounts", "charges", "bounds", "policies", "proposals", "opinions", "audit"];

#[derive(Serialize, Deserialize)]
struct Header {
    /// Version of the tables.
    undertone_ledger: usize,
    entries: i64,
    hash: String,
}

#[derive(Serialize, Deserialize)]
struct Line {
    table: String,
    row: Map<String, Value>,
}

fn write_line(to: &mut impl Write, line: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(line).map_err(|e| Error::internal(e.to_string()))?;
    writeln!(to, "{text}").map_err(|e| Error::configuration(format!("the copy cannot be written: {e}")))
}

fn row(row: &AnyRow) -> Result<Map<String, Value>> {
    let mut found = Map::new();
    for (at, column) in row.columns().iter().enumerate() {
        let value = row.try_get_raw(at).map_err(unavailable)?;
        if value.is_null() {
            continue;
        }
        let kind = value.type_info().into_owned();
        let value = match kind.kind() {
            AnyTypeInfoKind::Text => row.try_get::<String, _>(at).map_err(unavailable)?.into(),
            AnyTypeInfoKind::Blob => json!({ "hex": hex(&row.try_get::<Vec<u8>, _>(at).map_err(unavailable)?) }),
            _ if kind.is_null() => continue,
            _ => row.try_get::<i64, _>(at).map_err(unavailable)?.into(),
        };
        found.insert(column.name().to_owned(), value);
    }
    Ok(found)
}

/// Writes all of a ledger at one moment: the head of its chain.
pub async fn copy(location: &Location, db: &mut AnyConnection, to: &mut impl Write) -> Result<Head> {
    let mut at_once = location.read(db).await?;
    let head = audit::head(&mut at_once).await.map_err(unavailable)?;
    let header = Header { undertone_ledger: Location::version(), entries: head.0, hash: hex(&head.1) };
    write_line(to, &header)?;
    for table in TABLES {
        // Its order is the chain's; no other table has one.
        let order = if table == "audit" { " ORDER BY seq" } else { "" };
        let query = sqlx::AssertSqlSafe(format!("SELECT * FROM {table}{order}"));
        let mut rows = sqlx::query(query).fetch(&mut *at_once);
        while let Some(found) = rows.try_next().await.map_err(unavailable)? {
            write_line(to, &Line { table: table.to_owned(), row: row(&found)? })?;
        }
    }
    Ok(head)
}

/// Fills an empty ledger from a copy: the head of its chain, which is verified before anything is kept.
///
/// Errors: `CONFIGURATION` where the ledger is not empty, or the copy is of another version or damaged; then nothing was changed.
pub async fn restore(location: &Location, from: impl BufRead, now: i64) -> Result<Head> {
    let fail = |why: &str| location.error(why);
    let mut db = location.connect().await?;
    location.prepare(&mut db).await?;
    let mut transaction = location.write(&mut db).await.map_err(unavailable)?;
    if audit::head(&mut transaction).await.map_err(unavailable)?.0 > 0 {
        return Err(fail("it is not empty, and a copy is restored to an empty one: move it away"));
    }
    let mut lines = from.lines();
    let mut line = || match lines.next() {
        None => Ok(None),
        Some(Ok(line)) => Ok(Some(line)),
        Some(Err(e)) => Err(fail(&format!("the copy cannot be read: {e}"))),
    };
    let header: Option<Header> = line()?.and_then(|line| serde_json::from_str(&line).ok());
    let header = header.ok_or_else(|| fail("this is no copy of a ledger"))?;
    if header.undertone_ledger != Location::version() {
        let why = format!("the copy has version {}, this program {}", header.undertone_ledger, Location::version());
        return Err(fail(&why));
    }
    let mut chain = Chain::default();
    let mut at = 1;
    while let Some(text) = line()? {
        at += 1;
        let broken = || fail(&format!("line {at} of the copy is no row of a ledger"));
        let Line { table, row } = serde_json::from_str(&text).map_err(|_| broken())?;
        if !TABLES.contains(&table.as_str()) {
            return Err(broken());
        }
        insert(&mut transaction, &table, &row).await.ok_or_else(broken)?.map_err(|_| broken())?;
        if table == "audit" {
            let entry = entry(&row).ok_or_else(broken)?;
            if !chain.takes(&entry) {
                return Err(fail(&format!("audit entry {} of the copy does not fit the chain", entry.seq)));
            }
        }
    }
    let head = chain.head();
    if (head.0, hex(&head.1)) != (header.entries, header.hash) {
        return Err(fail("the copy is not whole"));
    }
    statements::close_reserved(&mut transaction).await?;
    verify::compare(&mut transaction).await?;
    let body = json!({ "entries": head.0, "hash": hex(&head.1) });
    audit::append(&mut transaction, now, "restore", &body).await.map_err(unavailable)?;
    transaction.commit().await.map_err(unavailable)?;
    Ok(head)
}

fn entry(row: &Map<String, Value>) -> Option<Entry> {
    let number = |name: &str| row.get(name)?.as_i64();
    let text = |name: &str| Some(row.get(name)?.as_str()?.to_owned());
    let bytes = |name: &str| unhex(row.get(name)?.get("hex")?.as_str()?);
    Some(Entry {
        seq: number("seq")?,
        at: number("at")?,
        kind: text("kind")?,
        body: text("body")?,
        previous: bytes("previous")?,
        hash: bytes("hash")?,
    })
}

/// None where the row is none of the table.
async fn insert(db: &mut AnyConnection, table: &str, row: &Map<String, Value>) -> Option<sqlx::Result<()>> {
    let is_name = |name: &String| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if row.is_empty() || !row.keys().all(is_name) {
        return None;
    }
    let names: Vec<&str> = row.keys().map(String::as_str).collect();
    let places: Vec<String> = (1..=names.len()).map(|n| format!("${n}")).collect();
    let text = format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), places.join(", "));
    let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
    for value in row.values() {
        query = match value {
            Value::String(text) => query.bind(text.clone()),
            Value::Number(number) => query.bind(number.as_i64()?),
            Value::Object(bytes) => query.bind(unhex(bytes.get("hex")?.as_str()?)?),
            _ => return None,
        };
    }
    Some(query.execute(db).await.map(|_| ()))
}
