//! What is a caller's own to see, as tables of the schema `undertone`, which SQL tools read at no cost: what may be asked (`columns`), what is left (`budget`), what was
//! paid and how answers were made (`receipts`, `last_receipt`). Tools that drop the metadata of schemas find it here.

use super::super::grpc::dataset_message;
use super::metadata::public_values;
use crate::engine::OwnTables;
use crate::error::{Error, Result};
use crate::governance;
use crate::ledger::Account;
use crate::proto;
use crate::session::Session;
use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use prost::Message;
use std::sync::Arc;

/// Answers whose receipts are shown.
const MOST: u32 = 200;
/// Of those, as long as they are no larger than this together.
const MOST_BYTES: usize = 64 << 20;
/// Rows of a table: two of them can be joined, and nobody pays for that.
const MOST_ROWS: usize = 4000;

pub const TABLES: [(&str, &str); 4] = [
    ("columns", "What may be asked: the columns of all tables, with their types, bounds, public values and tiers"),
    ("budget", "What was granted, what was spent and what is left, alone and shared"),
    ("receipts", "What was paid for each answer, and how each of its columns was made; the newest first"),
    ("last_receipt", "The same of the answer that was read last"),
];

/// The tables of these names. `last` is the query id of the answer that was read last, where that is known.
pub async fn tables(session: &Session, who: &str, names: &[String], last: Option<String>) -> Result<OwnTables> {
    let mut made = Vec::new();
    for (name, _) in TABLES.iter().filter(|(name, _)| names.iter().any(|wanted| wanted == name)) {
        let table = match *name {
            "columns" => columns(session, who).await?,
            "budget" => budget(session, who).await?,
            "receipts" => noted(&newest(session, who, MOST).await?)?,
            _ => match &last {
                Some(id) => noted(receipt(session, who, id).await.map(|(_, receipt)| receipt).as_slice())?,
                None => noted(&newest(session, who, 1).await?)?,
            },
        };
        made.push((*name, table));
    }
    Ok(made)
}

/// The tables without their rows, for whoever looks around or asks for a schema.
pub fn empty() -> Result<OwnTables> {
    let tables = [of_columns(&[])?, of_budget(&[])?, noted(&[])?, noted(&[])?];
    Ok(TABLES.iter().map(|(name, _)| *name).zip(tables).collect())
}

fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> Result<RecordBatch> {
    let columns = columns.map(|(name, values)| (name, values, true));
    RecordBatch::try_from_iter_with_nullable(columns).map_err(|e| Error::internal(e.to_string()))
}

fn texts<'a, T>(rows: &'a [T], text: impl Fn(&'a T) -> &'a str) -> ArrayRef {
    Arc::new(StringArray::from_iter(rows.iter().map(|row| Some(text(row)).filter(|text| !text.is_empty()))))
}

fn numbers<T>(rows: &[T], number: impl Fn(&T) -> Option<f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter(rows.iter().map(number)))
}

fn flags<T>(rows: &[T], flag: impl Fn(&T) -> bool) -> ArrayRef {
    Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(flag(row)))))
}

/// From seconds since 1970, where 0 is none.
fn moments<T>(rows: &[T], moment: impl Fn(&T) -> i64) -> ArrayRef {
    let micros =
        rows.iter().map(|row| Some(moment(row)).filter(|at| *at != 0).and_then(|at| at.checked_mul(1_000_000)));
    Arc::new(TimestampMicrosecondArray::from_iter(micros))
}

/// A decimal amount as the nearest double; none where it is empty.
fn amount(text: &str) -> Option<f64> {
    text.parse().ok()
}

struct ColumnRow {
    dataset: String,
    purposes: String,
    table: String,
    column: proto::Column,
    domain: String,
}

async fn columns(session: &Session, who: &str) -> Result<RecordBatch> {
    let policy = session.policy().await?;
    let mut rows = Vec::new();
    for (dataset, accounts) in session.datasets(who).await? {
        let seen = dataset_message(&dataset, &accounts, &policy);
        for table in seen.tables {
            for column in table.columns {
                let declared = dataset.table(&table.name).map(|(_, table)| &table.columns);
                let declared = declared.and_then(|columns| columns.iter().find(|of| of.name == column.name));
                let domain = declared.and_then(public_values).unwrap_or_else(|| column.domain.clone());
                let (dataset, purposes) = (seen.name.clone(), seen.purposes.join(", "));
                rows.push(ColumnRow { dataset, purposes, table: table.name.clone(), column, domain });
            }
        }
    }
    of_columns(&rows)
}

fn of_columns(rows: &[ColumnRow]) -> Result<RecordBatch> {
    batch([
        ("dataset", texts(rows, |row| &row.dataset)),
        ("table", texts(rows, |row| &row.table)),
        ("column", texts(rows, |row| &row.column.name)),
        ("type", texts(rows, |row| &row.column.r#type)),
        ("description", texts(rows, |row| &row.column.description)),
        ("tier", texts(rows, |row| &row.column.tier)),
        ("privacy_unit", flags(rows, |row| row.column.privacy_unit)),
        ("lower", numbers(rows, |row| row.column.lower)),
        ("upper", numbers(rows, |row| row.column.upper)),
        ("domain", texts(rows, |row| &row.domain)),
        ("purposes", texts(rows, |row| &row.purposes)),
    ])
}

/// The account of the caller alone.
const OWN: &str = "own";

struct BudgetRow {
    balance: proto::Balance,
    name: String,
    frozen_because: String,
    state: proto::AccountState,
}

async fn budget(session: &Session, who: &str) -> Result<RecordBatch> {
    let scopes = session.ledger().scopes(|account: &Account| account.principal == who).await?;
    let mut rows = Vec::new();
    for balance in scopes.iter().map(governance::balance_message) {
        let own = (OWN.to_owned(), balance.account.clone(), balance.frozen_because.clone());
        let pool = ("pool".to_owned(), balance.pool.clone(), balance.pool_frozen_because.clone());
        let shared = balance.shared.iter().map(|s| (s.name.clone(), s.state.clone(), s.frozen_because.clone()));
        for (name, state, frozen_because) in [own].into_iter().chain(shared).chain([pool]) {
            let state = state.unwrap_or_default();
            rows.push(BudgetRow { balance: balance.clone(), name, frozen_because, state });
        }
    }
    of_budget(&rows)
}

fn of_budget(rows: &[BudgetRow]) -> Result<RecordBatch> {
    let charges = rows.iter().map(|row| i64::try_from(row.state.charges).ok());
    batch([
        ("dataset", texts(rows, |row| &row.balance.dataset)),
        ("purpose", texts(rows, |row| &row.balance.purpose)),
        ("account", texts(rows, |row| &row.name)),
        ("granted_epsilon", numbers(rows, |row| amount(&row.state.granted_epsilon))),
        ("granted_delta", numbers(rows, |row| amount(&row.state.granted_delta))),
        ("remaining_epsilon", numbers(rows, |row| amount(&row.state.remaining_epsilon))),
        ("spent_epsilon", numbers(rows, |row| amount(&row.state.spent_epsilon))),
        ("spent_rho", numbers(rows, |row| amount(&row.state.spent_rho))),
        ("rho_limit", numbers(rows, |row| amount(&row.state.rho_limit))),
        ("spent_delta", numbers(rows, |row| amount(&row.state.spent_delta))),
        ("charges", Arc::new(Int64Array::from_iter(charges))),
        ("window", texts(rows, |row| &row.state.window)),
        ("window_ends", moments(rows, |row| row.state.window_ends)),
        ("expires_at", moments(rows, |row| row.state.expires_at)),
        ("frozen", flags(rows, |row| (row.name == OWN && row.balance.frozen) || !row.frozen_because.is_empty())),
        ("frozen_because", texts(rows, |row| &row.frozen_because)),
    ])
}

/// The receipt of an answer, and the answer's size; None where it is not kept any more, or cannot be read.
async fn receipt(session: &Session, who: &str, id: &str) -> Option<(usize, proto::Receipt)> {
    let stored = session.ledger().answer(who, id).await.ok()??;
    let answer = proto::Answer::decode(stored.bytes.as_slice()).ok()?;
    Some((stored.bytes.len(), answer.receipt?))
}

/// The receipts of the newest answers, as long as these are not too large together.
async fn newest(session: &Session, who: &str, most: u32) -> Result<Vec<proto::Receipt>> {
    let (mut all, mut bytes) = (Vec::new(), 0);
    for id in session.ledger().newest(who, most).await? {
        if bytes > MOST_BYTES {
            break;
        }
        if let Some((size, found)) = receipt(session, who, &id).await {
            bytes += size;
            all.push(found);
        }
    }
    Ok(all)
}

/// A row for each column of each answer.
fn noted(receipts: &[proto::Receipt]) -> Result<RecordBatch> {
    struct Row<'a> {
        receipt: &'a proto::Receipt,
        price: proto::Price,
        column: &'a proto::NoisyColumn,
        how: String,
    }
    let rows: Vec<Row> = receipts
        .iter()
        .flat_map(|receipt| {
            let how: Vec<&str> = receipt.releases.iter().map(|release| release.summary.as_str()).collect();
            let (price, how) = (receipt.price.clone().unwrap_or_default(), how.join("; "));
            receipt.columns.iter().map(move |column| Row { receipt, price: price.clone(), column, how: how.clone() })
        })
        .take(MOST_ROWS)
        .collect();
    let rows = rows.as_slice();
    let positive = |number: f64| Some(number).filter(|number| *number > 0.0);
    batch([
        ("query_id", texts(rows, |row| &row.receipt.query_id)),
        ("charged_at", moments(rows, |row| row.receipt.charged_at)),
        ("dataset", texts(rows, |row| &row.receipt.dataset)),
        ("purpose", texts(rows, |row| &row.receipt.purpose)),
        ("epsilon", numbers(rows, |row| amount(&row.price.epsilon))),
        ("rho", numbers(rows, |row| amount(&row.price.rho))),
        ("delta", numbers(rows, |row| amount(&row.price.delta))),
        ("part_of_grant", numbers(rows, |row| Some(row.price.part_of_grant))),
        ("column", texts(rows, |row| &row.column.name)),
        ("mechanism", texts(rows, |row| &row.column.mechanism)),
        ("noise_scale", numbers(rows, |row| positive(row.column.noise_scale))),
        ("half_width", numbers(rows, |row| positive(row.column.half_width))),
        ("confidence", numbers(rows, |row| Some(row.receipt.confidence))),
        ("bounds", texts(rows, |row| &row.column.bounds)),
        ("how", texts(rows, |row| &row.how)),
        ("question_digest", texts(rows, |row| &row.receipt.question_digest)),
        ("refines", texts(rows, |row| &row.receipt.refines)),
        ("governance_policy", texts(rows, |row| &row.receipt.governance_policy)),
        ("promise", texts(rows, |row| &row.receipt.promise)),
    ])
}
