//! What is kept with an answer so that it can be made more accurate: the question as it was asked, the key of its samples, and all draws.

use super::answer::stream;
use super::{Planned, digest};
use crate::accounting::Grant;
use crate::error::{Error, Result};
use crate::governance::{Ask, Priced};
use crate::hex::hex;
use crate::mechanism::{Calibrated, Draw, Drawn, Found, Noise};
use crate::num::Amount;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use arrow::ipc::reader::StreamReader;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Most numbers, and bytes, that are kept of an answer: they are read for the price of each further draw.
const MOST_NUMBERS: usize = 2_000_000;
const MOST_BYTES: usize = 16 << 20;

/// Released numbers, and public ones. The key says which rows and groups of a unit were taken, and nothing of what is in them.
#[derive(Clone)]
pub struct Kept {
    pub ask: Ask,
    /// The grant for which its noise was chosen, and whether its pure ledger was over.
    pub grant: Grant,
    pub pure_is_over: bool,
    pub key: [u8; 16],
    /// Digest of the question, and of its first draw's bounds and noise.
    pub question: String,
    pub bounded: String,
    /// The bounds that it paid for.
    pub found: Vec<PaidBounds>,
    pub releases: Vec<Drawn>,
}

/// Bounds that a release found out, or that governance had.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PaidBounds {
    pub release: usize,
    pub asked: Vec<u8>,
    pub found: Found,
    pub by_governance: bool,
}

/// The same as JSON.
#[derive(Serialize, Deserialize)]
struct Written {
    ask: Ask,
    /// In units of 1e-18: epsilon, delta for keys, delta for conversion, and rho.
    grant: [u128; 4],
    pure_is_over: bool,
    key: [u8; 16],
    question: String,
    bounded: String,
    found: Vec<PaidBounds>,
    releases: Vec<WrittenRelease>,
}

#[derive(Serialize, Deserialize)]
struct WrittenRelease {
    /// An Arrow IPC stream, where keys are private.
    keys: Option<Vec<u8>>,
    cells: usize,
    draws: Vec<Draw>,
}

impl Kept {
    pub fn new(
        planned: &Planned,
        priced: &Priced,
        key: [u8; 16],
        found: Vec<PaidBounds>,
        releases: Vec<Drawn>,
    ) -> Kept {
        if let Some(earlier) = &planned.earlier {
            return Kept { releases, ..earlier.kept.as_ref().clone() };
        }
        let Priced { grant, pure_is_over, .. } = *priced;
        // The account that paid, whichever others there are later.
        let ask = Ask { purpose: planned.account.purpose.clone(), ..planned.ask.clone() };
        let (question, bounded) = (planned.digest(), bounded(&priced.releases));
        Kept { ask, grant, pure_is_over, key, question, bounded, found, releases }
    }

    /// The releases with the noise that they have by now.
    pub fn noisy(&self, first: &[Calibrated]) -> Vec<Calibrated> {
        let noisy = |(made, drawn): (&Calibrated, &Drawn)| {
            let noise = drawn.noises().iter().filter_map(|noises| Noise::together(noises)).collect();
            Calibrated { noise, ..made.clone() }
        };
        first.iter().zip(&self.releases).map(noisy).collect()
    }

    /// None where it would be too large to keep.
    pub fn written(&self) -> Result<Option<Vec<u8>>> {
        let numbers = |drawn: &Drawn| drawn.cells * drawn.draws.len() * drawn.noises().len();
        if self.releases.iter().map(numbers).sum::<usize>() > MOST_NUMBERS {
            return Ok(None);
        }
        let Grant { epsilon, delta_key, delta_conversion, rho_limit } = self.grant;
        let release = |drawn: &Drawn| {
            let keys = (!drawn.keys.is_empty()).then(|| write_keys(&drawn.keys)).transpose()?;
            Ok(WrittenRelease { keys, cells: drawn.cells, draws: drawn.draws.clone() })
        };
        let written = Written {
            ask: self.ask.clone(),
            grant: [epsilon, delta_key, delta_conversion, rho_limit].map(Amount::atto),
            pure_is_over: self.pure_is_over,
            key: self.key,
            question: self.question.clone(),
            bounded: self.bounded.clone(),
            found: self.found.clone(),
            releases: self.releases.iter().map(release).collect::<Result<_>>()?,
        };
        let json = serde_json::to_vec(&written).map_err(|e| Error::internal(e.to_string()))?;
        Ok((json.len() <= MOST_BYTES).then_some(json))
    }

    pub fn read(bytes: &[u8]) -> Result<Kept> {
        // Its text may quote what is kept.
        let unreadable = || Error::internal("what is kept of an answer cannot be read");
        let written: Written = serde_json::from_slice(bytes).map_err(|_| unreadable())?;
        let [epsilon, delta_key, delta_conversion, rho_limit] = written.grant.map(Amount::from_atto);
        let release = |written: WrittenRelease| {
            let WrittenRelease { keys, cells, draws } = written;
            let keys = keys.map_or(Some(vec![]), |bytes| read_keys(&bytes))?;
            Some(Drawn { keys, cells, draws })
        };
        Ok(Kept {
            ask: written.ask,
            grant: Grant { epsilon, delta_key, delta_conversion, rho_limit },
            pure_is_over: written.pure_is_over,
            key: written.key,
            question: written.question,
            bounded: written.bounded,
            found: written.found,
            releases: written.releases.into_iter().map(release).collect::<Option<_>>().ok_or_else(unreadable)?,
        })
    }
}

/// Digest of everything that a draw's numbers depend on beside rows.
pub fn bounded(releases: &[Calibrated]) -> String {
    hex(&digest(&format!("{releases:?}")))
}

fn write_keys(keys: &[ArrayRef]) -> Result<Vec<u8>> {
    let internal = |e: arrow::error::ArrowError| Error::internal(e.to_string());
    let fields = keys.iter().enumerate().map(|(at, key)| Field::new(at.to_string(), key.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let batch = RecordBatch::try_new(schema, keys.to_vec()).map_err(internal)?;
    stream(&batch).map_err(internal)
}

fn read_keys(bytes: &[u8]) -> Option<Vec<ArrayRef>> {
    let mut batches = StreamReader::try_new(bytes, None).ok()?;
    Some(batches.next()?.ok()?.columns().to_vec())
}
