//! A note of the audit chain's head, kept where the ledger is not: whoever restores an older ledger, or edits a newer one away, cannot restore it too.
//!
//! It is written after each commit, and so never ahead of the ledger. A ledger that does not have the entry that it notes has lost charges: nothing is
//! charged on it until governance accepts the loss, which ends all grants. While a note cannot be written nothing is charged either.

use crate::error::{Code, Error, Result};
use crate::hex::{hex, unhex};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

/// The number of entries and the hash of the last one.
pub type Head = (i64, Vec<u8>);

/// The file of the note.
#[derive(Clone, Debug)]
pub struct Anchor(pub PathBuf);

#[derive(Serialize, Deserialize)]
struct Note {
    entries: i64,
    hash: String,
}

impl Anchor {
    /// None where there is no note yet.
    pub fn read(&self) -> Result<Option<Head>> {
        match std::fs::read_to_string(&self.0) {
            Ok(text) => {
                let note: Note = serde_json::from_str(&text).map_err(|_| self.error("it cannot be read"))?;
                Ok(Some((note.entries, unhex(&note.hash).ok_or_else(|| self.error("it cannot be read"))?)))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.error(&e.to_string())),
        }
    }

    /// Whole or not at all. What another program has noted of a longer chain stays, unless a loss was accepted.
    pub fn write(&self, (entries, hash): &Head, may_lower: bool) -> Result<()> {
        if !may_lower && self.read()?.is_some_and(|(noted, _)| noted > *entries) {
            return Ok(());
        }
        let note = serde_json::to_string(&Note { entries: *entries, hash: hex(hash) });
        let note = note.map_err(|e| Error::internal(e.to_string()))?;
        let next = self.0.with_added_extension(format!("next-{}", std::process::id()));
        let write = || {
            let mut file = File::create(&next)?;
            file.write_all((note + "\n").as_bytes())?;
            file.sync_data()?;
            std::fs::rename(&next, &self.0)
        };
        let written = write();
        written.map_err(|e| self.error(&e.to_string()))
    }

    fn error(&self, why: &str) -> Error {
        let Anchor(path) = self;
        Error::new(
            Code::LedgerUnavailable,
            format!("the ledger's anchor {}: {why}; nothing is answered", path.display()),
        )
    }
}

/// What is said of a ledger that lost entries.
pub fn lost(has: i64, noted: i64) -> Error {
    let message = format!(
        "the ledger has {has} entries and is not the one of which {noted} were noted: it is an older one, and what was charged since is lost. Restore a newer one, or accept the loss with `undertone ledger accept-loss`, which ends all grants"
    );
    Error::new(Code::LedgerUnavailable, message)
}
