//! `undertone audit`.

use crate::accounting::Charge;
use crate::error::{Code, Error, Result};
use crate::hex::hex;
use crate::ledger::{Account, Entry, Recomputed, Replay};
use crate::server;
use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, TimestampSecondArray};
use clap::ValueEnum;
use datafusion::parquet::arrow::ArrowWriter;
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

/// Recomputes the chain and every balance from the entries, and compares them with a ledger: what was found, in words.
pub async fn verify(config: &Path) -> Result<String> {
    let replay = super::ledger::existing(&server::load(config)?).await?.verify().await?;
    Ok(described(&replay) + "every balance, charge and policy of the ledger is what the log says\n")
}

/// The same of an exported log, which has nothing beside it.
pub fn verify_log(log: &Path) -> Result<String> {
    let read = |e: std::io::Error| Error::configuration(format!("cannot read {}: {e}", log.display()));
    let text = std::fs::read_to_string(log).map_err(read)?;
    let mut replay = Replay::default();
    for (at, line) in text.lines().enumerate() {
        let message = format!("line {} is no entry of an audit log", at + 1);
        let entry = Entry::read(line).ok_or_else(|| Error::new(Code::LedgerUnavailable, message))?;
        replay.take(&entry)?;
    }
    Ok(described(&replay))
}

/// The log as bytes.
pub async fn export(config: &Path, format: LogFormat) -> Result<Vec<u8>> {
    let entries = super::ledger::existing(&server::load(config)?).await?.audit_entries(0).await?;
    entries.iter().try_fold(Replay::default(), |mut replay, entry| replay.take(entry).map(|()| replay))?;
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

fn described(replay: &Replay) -> String {
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
    let lines: String = replay.accounts.iter().map(line).collect();
    let (entries, head) = replay.chain.head();
    format!("{lines}{entries} entries, each of which fits the one before; the last one's hash is {}\n", hex(&head))
}
