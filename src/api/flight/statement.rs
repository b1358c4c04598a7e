//! Statements: what they ask for, their schema with the price, and their answers.

use super::super::grpc::quote_message;
use super::ticket::Priced;
use crate::accounting::Charge;
use crate::catalog::arrow_type;
use crate::error::{Code, Error, Result};
use crate::governance::Ask;
use crate::proto;
use crate::session::{Planned, Session};
use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use arrow::ipc::reader::StreamReader;
use prost::Message;
use std::collections::HashMap;
use tonic::metadata::MetadataMap;

/// Headers of a call that say what SQL has no words for.
const DATASET: &str = "undertone-dataset";
const PURPOSE: &str = "undertone-purpose";
const EPSILON: &str = "undertone-epsilon";
const DELTA: &str = "undertone-delta";

/// Where a statement's schema has what it would cost, as JSON with the field names of the gRPC interface: the quote, and in short words.
const QUOTE_KEY: &str = "undertone.quote";
const PRICE_KEY: &str = "undertone.price";

fn header(headers: &MetadataMap, name: &str) -> Result<String> {
    let text = headers.get(name).map(|value| value.to_str().map(str::to_owned)).transpose();
    let text = text.map_err(|_| Error::new(Code::InvalidRequest, format!("header {name} is not text")))?;
    Ok(text.unwrap_or_default())
}

/// The question of a statement. Whoever may ask about one dataset alone need not name it.
pub async fn ask(session: &Session, who: &str, headers: &MetadataMap, sql: String) -> Result<Ask> {
    let mut dataset = header(headers, DATASET)?;
    if dataset.is_empty() {
        let known = session.datasets(who).await?;
        dataset = match known.as_slice() {
            [(only, _)] => only.name.clone(),
            [] => return Err(Error::new(Code::NoGrant, "you have no grant for any dataset: ask governance for one")),
            several => {
                let names: Vec<&str> = several.iter().map(|(dataset, _)| dataset.name.as_str()).collect();
                let message = format!("name the dataset in the header {DATASET}: {}", names.join(", "));
                return Err(Error::new(Code::InvalidRequest, message));
            }
        };
    }
    let (purpose, epsilon, delta) = (header(headers, PURPOSE)?, header(headers, EPSILON)?, header(headers, DELTA)?);
    Ok(Ask { sql, dataset, purpose, epsilon, delta, ..Ask::default() })
}

/// The schema of a statement's answer, with its quote. Reads no data and charges nothing.
pub async fn schema(session: &Session, planned: &Planned) -> Result<Schema> {
    let quote = quote_message(session, planned).await?;
    let internal = |e: serde_json::Error| Error::internal(e.to_string());
    let price = quote.price.clone().unwrap_or_default();
    let price = match price.epsilon.as_str() {
        "" => format!("rho {}, delta {}", price.rho, price.delta),
        epsilon => format!("epsilon {epsilon}, delta {}", price.delta),
    };
    let metadata = HashMap::from([
        (PRICE_KEY.to_owned(), price),
        (QUOTE_KEY.to_owned(), serde_json::to_string(&quote).map_err(internal)?),
    ]);
    let field = |column: &crate::sql::OutputColumn| Field::new(&column.name, arrow_type(column.ty), true);
    let fields: Vec<Field> = planned.statement.columns.iter().map(field).collect();
    Ok(Schema::new_with_metadata(fields, metadata))
}

/// Pays for a ticket's question, or finds it paid, and gives its table.
pub async fn answer(session: &Session, who: &str, ticket: Priced) -> Result<RecordBatch> {
    let as_told = |charge: &Charge| match ticket.covers(charge) {
        true => Ok(()),
        false => {
            let message = "this statement costs more by now than its ticket says: ask for the flight information again; this cost nothing";
            Err(Error::new(Code::InvalidRequest, message))
        }
    };
    let delivered = session.execute_at(who, &ticket.ask, &ticket.query_id, false, as_told).await?;
    let unreadable = || Error::internal("a stored answer cannot be read");
    let answer = proto::Answer::decode(delivered.stored.bytes.as_slice()).map_err(|_| unreadable())?;
    let mut batches = StreamReader::try_new(answer.table.as_slice(), None).map_err(|_| unreadable())?;
    batches.next().ok_or_else(unreadable)?.map_err(|_| unreadable())
}
