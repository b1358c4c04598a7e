//! From what was paid for to an answer's bytes.

use super::drawn::{Kept, PaidBounds};
use super::{Planned, Run};
use crate::accounting::{Charge, Token};
use crate::engine::{Confidence, Fixed, make_consistent, released_table};
use crate::error::{Error, Result};
use crate::governance::{self, ALPHA, Asked, Bought, Priced};
use crate::hex::hex;
use crate::ledger::{Answered, FoundBounds};
use crate::mechanism::{self, Calibrated, Drawn, ExactAggregates, Found, Released};
use crate::proto;
use crate::sql::{self, Statement};
use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use arrow::ipc::writer::StreamWriter;
use prost::Message;
use std::collections::HashMap;
use std::sync::Arc;

/// Reads private rows for one release after the other, adds noise, and makes the answer of the released tables.
///
/// Where it is another draw for an answer that there is, later releases read what the first draw made of earlier ones, as they did then,
/// and the answer is made of the means.
pub(super) async fn answer(run: Run) -> Result<Answered> {
    let Run { planned, prepared, tokens, query_id, charged_at, balance } = run;
    let (query, mut priced) = (&planned.statement.query, planned.priced.clone());
    let (mut inputs, mut tables, mut fixed, mut bounds) = (Vec::new(), Vec::new(), Fixed::default(), Vec::new());
    let (mut kept, mut paid) = (Vec::new(), Vec::new());
    let mut tokens = tokens.into_iter();
    let mut token = || tokens.next().ok_or_else(|| Error::internal("a release that was not paid for"));
    for at in 0..priced.releases.len() {
        let mut found = Vec::new();
        for Bought { key, found, charge, .. } in priced.open[at].iter().flat_map(|open| &open.bought) {
            bounds.push(kept_bounds(key, found, *charge)?);
            paid.push(PaidBounds { release: at, asked: key.clone(), found: found.clone(), by_governance: true });
        }
        for asked in priced.open[at].iter().flat_map(|open| &open.probes) {
            let exact = planned.engine.exact(query, &asked.made, &prepared, &inputs, &mut fixed).await?;
            let one = probed(exact, asked, token()?)?;
            bounds.push(kept_bounds(&asked.key, &one, asked.made.charge)?);
            paid.push(PaidBounds { release: at, asked: asked.key.clone(), found: one.clone(), by_governance: false });
            found.push((asked.probe, one));
        }
        let earlier = planned.earlier.as_ref();
        if earlier.is_none() {
            priced.settle(at, &found)?;
        }
        let made = earlier.map_or(&priced.releases[at], |earlier| &earlier.draws[at]);
        let exact = planned.engine.exact(query, made, &prepared, &inputs, &mut fixed).await?;
        let (releases, token) = (&priced.releases, token()?);
        // A million draws take a while, in which this thread serves nobody else.
        tokio::task::block_in_place(|| {
            let alphas = |cells: usize| Confidence::new(ALPHA, releases, made, cells as u64).alphas();
            let released =
                mechanism::release(exact, made, token, alphas).map_err(|e| Error::internal(e.to_string()))?;
            match earlier {
                None => {
                    kept.push(Drawn::first(made, &released));
                    tables.push(table(made, &released, releases)?);
                    inputs.push(tables[at].clone());
                }
                Some(earlier) => {
                    let (first, known) = (&earlier.first[at], &earlier.kept.releases[at]);
                    let all = known.and(made, &released).ok_or_else(|| Error::internal("a draw of other numbers"))?;
                    inputs.push(table(first, &known.of_first(), &earlier.first)?);
                    tables.push(table(&releases[at], &all.together(), releases)?);
                    kept.push(Some(all));
                }
            }
            Ok(())
        })?;
    }
    // What was read of earlier tables was read as it was released.
    tokio::task::block_in_place(|| make_consistent(&mut tables, query, &priced.releases))
        .map_err(|e| Error::internal(e.strip_backtrace()))?;
    let batch = planned.engine.public_table(&query.post, &prepared, &tables).await?;
    let receipt = proto::Receipt {
        balance_after: balance.as_ref().map(governance::balance_message),
        ..receipt(&planned, &priced, &query_id, charged_at)
    };
    let json = serde_json::to_string(&receipt).map_err(|e| Error::internal(e.to_string()))?;
    let answer = proto::Answer {
        table: ipc(&batch, answer_columns(&planned.statement), HashMap::from([(RECEIPT_KEY.to_owned(), json)]))?,
        intervals: ipc(&batch, interval_columns(&planned.statement), HashMap::new())?,
        receipt: Some(receipt),
        query_id,
        balance: None,
        replayed: false,
    };
    let kept = kept.into_iter().collect::<Option<Vec<Drawn>>>().filter(|kept| !kept.is_empty());
    let drawn = kept
        .map(|releases| Kept::new(&planned, &priced, prepared.key(), paid, releases).written())
        .transpose()?
        .flatten();
    Ok(Answered { bytes: answer.encode_to_vec(), bounds, drawn })
}

/// What a probe releases.
pub(super) fn probed(exact: ExactAggregates, asked: &Asked, token: Token) -> Result<Found> {
    let released = mechanism::release(exact, &asked.made, token, |_| [ALPHA; mechanism::LEVELS])
        .map_err(|e| Error::internal(e.to_string()))?;
    let counts = released.columns.first().ok_or_else(|| Error::internal("a probe without numbers"))?;
    Ok(Found::new(counts, &asked.made.noise[0]))
}

pub(super) fn kept_bounds(asked: &[u8], found: &Found, charge: Charge) -> Result<FoundBounds> {
    let found = serde_json::to_string(found).map_err(|e| Error::internal(e.to_string()))?;
    Ok(FoundBounds { asked: asked.to_vec(), found, charge: Some(charge) })
}

fn table(made: &Calibrated, released: &Released, releases: &[Calibrated]) -> Result<RecordBatch> {
    let confidence = Confidence::new(ALPHA, releases, made, released.cells as u64);
    released_table(made, released, confidence).map_err(|e| Error::internal(e.strip_backtrace()))
}

fn receipt(planned: &Planned, priced: &Priced, query_id: &str, charged_at: i64) -> proto::Receipt {
    let Planned { account, statement, engine, .. } = planned;
    proto::Receipt {
        query_id: query_id.to_owned(),
        dataset: account.dataset.clone(),
        principal: account.principal.clone(),
        purpose: account.purpose.clone(),
        price: Some(governance::price_message(&priced.charge, priced)),
        columns: governance::columns(&statement.columns, priced),
        releases: governance::releases(priced, &planned.names()),
        question_digest: planned.digest(),
        confidence: 1.0 - ALPHA,
        policy_version: engine.dataset().policy_version.clone(),
        governance_policy: planned.policy.clone(),
        nonce: hex(&rand::random::<[u8; 16]>()),
        charged_at,
        promise: governance::PROMISE.into(),
        balance_after: None,
        refines: planned.earlier.as_ref().map_or(String::new(), |earlier| earlier.of.clone()),
    }
}

/// (name, position in the final table) of each column of the answer.
fn answer_columns(statement: &Statement) -> Vec<(String, usize)> {
    statement.columns.iter().enumerate().map(|(i, c)| (c.name.clone(), i)).collect()
}

/// The same for the ends of intervals.
fn interval_columns(statement: &Statement) -> Vec<(String, usize)> {
    let ends = |c: &sql::OutputColumn| {
        c.interval.map(|(lower, upper)| [(format!("{}_lower", c.name), lower), (format!("{}_upper", c.name), upper)])
    };
    statement.columns.iter().filter_map(ends).flatten().collect()
}

/// Where the metadata of an answer's Arrow schema has its receipt, as JSON with the field names of the gRPC interface.
const RECEIPT_KEY: &str = "undertone.receipt";

/// An Arrow IPC stream of one batch. The schema is a function of the question; every column may be NULL.
fn ipc(batch: &RecordBatch, columns: Vec<(String, usize)>, metadata: HashMap<String, String>) -> Result<Vec<u8>> {
    let internal = |e: arrow::error::ArrowError| Error::internal(e.to_string());
    let fields: Vec<Field> =
        columns.iter().map(|(name, at)| Field::new(name, batch.column(*at).data_type().clone(), true)).collect();
    let arrays = columns.iter().map(|(_, at)| batch.column(*at).clone()).collect();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let table =
        RecordBatch::try_new_with_options(Arc::new(Schema::new_with_metadata(fields, metadata)), arrays, &options)
            .map_err(internal)?;
    stream(&table).map_err(internal)
}

pub(super) fn stream(batch: &RecordBatch) -> arrow::error::Result<Vec<u8>> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
    writer.write(batch)?;
    writer.into_inner()
}
