//! `undertone audit`.

use crate::accounting::Charge;
use crate::error::{Code, Error, Result};
use crate::hex::hex;
use crate::ledger::{Account, Balance, Chain, Entry, Recomputed, replay, written_terms};
use crate::server;
use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, TimestampSecondArray};
use clap::ValueEnum;
use datafusion::parquet::arrow::ArrowWriter;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// How the log is written.
#[derive(Clone, Copy, ValueEnum)]
pub enum LogFormat {
    /// A line of JSON for each entry; `verify --log` reads it.
    Ndjson,
    /// Columns seq, at, kind, body, previous and hash.
    Parquet,
}

/// Recomputes the chain and every balance from the entries, and compares them with the accounts of a ledger: what was found, in words.
pub async fn verify(config: &Path) -> Result<String> {
    let (entries, accounts) = super::ledger::existing(&server::load(config)?).await?.audited().await?;
    let (recomputed, head) = recompute(&entries)?;
    let known: BTreeMap<&Account, &(Balance, bool)> = accounts.iter().map(|known| (&known.0.account, known)).collect();
    if let Some(unknown) = recomputed.keys().find(|account| !known.contains_key(account)) {
        return Err(differs(unknown, "the ledger does not have it"));
    }
    for (balance, active) in &accounts {
        let account = &balance.account;
        let log = recomputed.get(account).ok_or_else(|| differs(account, "the log does not have it"))?;
        let terms = written_terms(&balance.grant, &balance.terms);
        for (what, same) in [
            ("what it has spent", log.spent == balance.spent.total && log.charges == balance.spent.charges),
            ("what it has spent in all", log.lifetime == balance.lifetime.total),
            ("when its window began", log.since == balance.since),
            ("its grant", log.terms == terms && log.active == *active),
            ("whether it is frozen", log.frozen == balance.frozen && log.held == balance.held.is_some()),
        ] {
            if !same {
                return Err(differs(account, &format!("{what} is another than the log says")));
            }
        }
    }
    Ok(described(&recomputed, entries.len(), &head) + "every balance of the ledger is what the log says\n")
}

/// The same of an exported log, which has no accounts beside it.
pub fn verify_log(log: &Path) -> Result<String> {
    let read = |e: std::io::Error| Error::configuration(format!("cannot read {}: {e}", log.display()));
    let text = std::fs::read_to_string(log).map_err(read)?;
    let entry = |(at, line): (usize, &str)| {
        let message = format!("line {} is no entry of an audit log", at + 1);
        Entry::read(line).ok_or_else(|| Error::new(Code::LedgerUnavailable, message))
    };
    let entries = text.lines().enumerate().map(entry).collect::<Result<Vec<_>>>()?;
    let (recomputed, head) = recompute(&entries)?;
    Ok(described(&recomputed, entries.len(), &head))
}

/// The log as bytes.
pub async fn export(config: &Path, format: LogFormat) -> Result<Vec<u8>> {
    let entries = super::ledger::existing(&server::load(config)?).await?.audit_entries(0).await?;
    recompute(&entries)?;
    match format {
        LogFormat::Ndjson => {
            let line = |entry: &Entry| {
                let broken = || Error::internal(format!("audit entry {} cannot be written", entry.seq));
                entry.line().map(|line| line + "\n").ok_or_else(broken)
            };
            Ok(entries.iter().map(line).collect::<Result<String>>()?.into_bytes())
        }
        LogFormat::Parquet => parquet(&entries).map_err(|e| Error::internal(e.to_string())),
    }
}

fn parquet(entries: &[Entry]) -> datafusion::parquet::errors::Result<Vec<u8>> {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("seq", Arc::new(Int64Array::from_iter_values(entries.iter().map(|entry| entry.seq)))),
        ("at", Arc::new(TimestampSecondArray::from_iter_values(entries.iter().map(|e| e.at)).with_timezone("UTC"))),
        ("kind", Arc::new(StringArray::from_iter_values(entries.iter().map(|entry| &entry.kind)))),
        ("body", Arc::new(StringArray::from_iter_values(entries.iter().map(|entry| &entry.body)))),
        ("previous", Arc::new(BinaryArray::from_iter_values(entries.iter().map(|entry| &entry.previous)))),
        ("hash", Arc::new(BinaryArray::from_iter_values(entries.iter().map(|entry| &entry.hash)))),
    ];
    let batch = RecordBatch::try_from_iter(columns)?;
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None)?;
    writer.write(&batch)?;
    writer.into_inner()
}

/// Every account, and the hash of the last entry.
fn recompute(entries: &[Entry]) -> Result<(BTreeMap<Account, Recomputed>, Vec<u8>)> {
    let mut chain = Chain::default();
    let broken = |seq: i64| {
        let message = format!("audit entry {seq} does not fit the chain: the log was changed");
        Error::new(Code::LedgerUnavailable, message)
    };
    for (at, entry) in (1i64..).zip(entries) {
        if !chain.takes(entry) {
            return Err(broken(at));
        }
    }
    let accounts = replay(entries).map_err(|seq| {
        let message = format!("audit entry {seq} is none that this version writes: use the version that wrote it");
        Error::new(Code::LedgerUnavailable, message)
    })?;
    Ok((accounts, chain.head().1))
}

fn described(accounts: &BTreeMap<Account, Recomputed>, entries: usize, head: &[u8]) -> String {
    let amounts = |Charge { epsilon, rho, delta }: Charge| {
        let epsilon = epsilon.map_or("infinite".into(), |epsilon| epsilon.to_string());
        format!("epsilon {epsilon}, rho {rho}, delta {delta}")
    };
    let line = |(account, known): (&Account, &Recomputed)| {
        let state = match (known.active, known.frozen || known.held) {
            (false, _) => ", withdrawn",
            (true, true) => ", frozen",
            (true, false) => "",
        };
        let Recomputed { terms, spent, charges, lifetime, .. } = known;
        let term = |name: &str| terms.get(name).and_then(|value| value.as_str()).unwrap_or_default();
        let window = match term("window") {
            "" => String::new(),
            window => format!(" {window}, {} in all", amounts(*lifetime)),
        };
        format!(
            "{}: granted ({}, {}), spent {} in {charges} charges{window}{state}\n",
            account,
            term("epsilon"),
            term("delta"),
            amounts(*spent)
        )
    };
    let lines: String = accounts.iter().map(line).collect();
    format!("{lines}{entries} entries, each of which fits the one before; the last one's hash is {}\n", hex(head))
}

fn differs(account: &Account, how: &str) -> Error {
    Error::new(Code::LedgerUnavailable, format!("{account}: {how}: the ledger was changed"))
}
