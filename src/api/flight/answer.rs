//! What an answer looks like: its schema with what it would cost, and its table, with the ends of intervals where they are wanted.

use super::super::grpc::quote_message;
use crate::catalog::arrow_type;
use crate::error::{Code, Error, Result};
use crate::proto;
use crate::session::{Planned, Session};
use crate::sql::OutputColumn;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::reader::StreamReader;
use prost::Message;
use std::collections::HashMap;
use std::sync::Arc;

/// Where a statement's schema has what it would cost: the whole quote as JSON with the field names of the gRPC interface, and in short words the price, what is left
/// and, of each column, the error to expect.
const QUOTE_KEY: &str = "undertone.quote";
const PRICE_KEY: &str = "undertone.price";
const BALANCE_KEY: &str = "undertone.balance";
const ERROR_KEY: &str = "undertone.expected_error";

/// A price in words.
pub fn price_in_words(price: &proto::Price) -> String {
    let part = format!(", {:.2} % of the grant", 100.0 * price.part_of_grant);
    let delta = if price.delta == "0" { String::new() } else { format!(", delta {}", price.delta) };
    match price.epsilon.as_str() {
        "" => format!("rho {}{delta}{part}", price.rho),
        epsilon => format!("epsilon {epsilon}{delta}{part}"),
    }
}

/// The schema of a statement's answer, with its quote, and whether it was answered before. Reads no data and charges nothing.
pub async fn quoted(session: &Session, planned: &Planned, intervals: bool) -> Result<(Schema, bool)> {
    let quote = quote_message(session, planned).await?;
    let price = match (quote.answered, quote.price.as_ref()) {
        (true, _) => "nothing: this question was answered before".to_owned(),
        (false, price) => price.map(price_in_words).unwrap_or_default(),
    };
    let left = quote.balance.as_ref().and_then(|balance| balance.account.as_ref());
    let left = left.map(|state| format!("epsilon {} of {} is left", state.remaining_epsilon, state.granted_epsilon));
    let of_column = |name: &str| {
        let column = quote.columns.iter().find(|column| column.name == name);
        let error = column.filter(|column| column.half_width > 0.0).map(|column| column.half_width.to_string());
        error.map(|error| (ERROR_KEY.to_owned(), error)).into_iter().collect()
    };
    let json = serde_json::to_string(&quote).map_err(|e| Error::internal(e.to_string()))?;
    let metadata = HashMap::from([
        (PRICE_KEY.to_owned(), price),
        (BALANCE_KEY.to_owned(), left.unwrap_or_default()),
        (QUOTE_KEY.to_owned(), json),
    ]);
    Ok((schema_of(planned, intervals, of_column)?.with_metadata(metadata), quote.answered))
}

/// The schema of a statement's answer; `about` is the metadata of each column.
///
/// Errors: `INVALID_REQUEST` where an interval's end has the name of a column.
pub fn schema_of(
    planned: &Planned,
    intervals: bool,
    about: impl Fn(&str) -> HashMap<String, String>,
) -> Result<Schema> {
    let names = || planned.statement.columns.iter().map(|column| &column.name);
    let fields = planned.statement.columns.iter().flat_map(|column: &OutputColumn| {
        let field = Field::new(&column.name, arrow_type(column.ty), true).with_metadata(about(&column.name));
        let ends = column.interval.filter(|_| intervals).map(|_| ends(&column.name, &arrow_type(column.ty)));
        [field].into_iter().chain(ends.into_iter().flatten())
    });
    let fields: Vec<Field> = fields.collect();
    if let Some(name) = names().find(|name| {
        fields.iter().filter(|field| field.name() == *name).count() > names().filter(|n| n == name).count()
    }) {
        let message =
            format!("the end of an interval and a column are both called '{name}': give the column another name");
        return Err(Error::new(Code::InvalidRequest, message));
    }
    Ok(Schema::new(fields))
}

/// The columns of an interval's ends: those of numbers are of all numbers.
fn ends(column: &str, ty: &DataType) -> [Field; 2] {
    let ty = if ty.is_numeric() { DataType::Float64 } else { ty.clone() };
    ["low", "high"].map(|end| Field::new(format!("{column}_{end}"), ty.clone(), true))
}

/// The table of a stored answer, with the ends of its intervals beside what they are of, where they are wanted.
pub fn table(stored: &[u8], intervals: bool) -> Result<RecordBatch> {
    let unreadable = || Error::internal("a stored answer cannot be read");
    let batch = |stream: &[u8]| {
        let mut batches = StreamReader::try_new(stream, None).map_err(|_| unreadable())?;
        batches.next().ok_or_else(unreadable)?.map_err(|_| unreadable())
    };
    let answer = proto::Answer::decode(stored).map_err(|_| unreadable())?;
    let table = batch(&answer.table)?;
    if !intervals {
        return Ok(table);
    }
    let found = batch(&answer.intervals)?;
    let names: Vec<String> = found.schema().fields().iter().map(|field| field.name().clone()).collect();
    let (mut columns, mut at) = (Vec::new(), 0);
    for (field, values) in table.schema().fields().iter().zip(table.columns()) {
        columns.push((field.as_ref().clone(), values.clone()));
        // They are in the order of their columns, two of each.
        if names.get(at).is_some_and(|name| *name == format!("{}_lower", field.name())) {
            for end in ends(field.name(), field.data_type()) {
                let values = cast(found.column(at), end.data_type()).map_err(|_| unreadable())?;
                columns.push((end, values));
                at += 1;
            }
        }
    }
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let schema = Schema::new_with_metadata(fields, table.schema().metadata().clone());
    let options = RecordBatchOptions::new().with_row_count(Some(table.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(schema), arrays, &options).map_err(|e| Error::internal(e.to_string()))
}
