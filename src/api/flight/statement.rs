//! Statements: what they ask for, their schema with the price, and their answers.

use super::super::grpc::quote_message;
use super::Flight;
use super::about;
use super::options::Options;
use super::session::Caller;
use super::ticket::{Given, Priced};
use crate::accounting::Charge;
use crate::algebra::Type;
use crate::catalog::arrow_type;
use crate::error::{Code, Error, Result};
use crate::governance::{self, Ask};
use crate::proto;
use crate::session::{Door, Planned, Session};
use crate::sql::{self, OutputColumn, Parameter};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::reader::StreamReader;
use prost::Message;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;

/// Where a statement's schema has what it would cost: the whole quote as JSON with the field names of the gRPC interface, and in short words the price, what is left
/// and, of each column, the error to expect.
const QUOTE_KEY: &str = "undertone.quote";
const PRICE_KEY: &str = "undertone.price";
const BALANCE_KEY: &str = "undertone.balance";
const ERROR_KEY: &str = "undertone.expected_error";

/// What a statement asks for, with all of its options.
#[derive(Clone, Serialize, Deserialize)]
pub enum Wanted {
    Answer {
        ask: Ask,
        intervals: bool,
    },
    /// A table's columns, and none of its rows.
    NoRows {
        ask: Ask,
    },
    /// What is its reader's own to see.
    Own {
        sql: String,
        parameters: Vec<Parameter>,
    },
}

impl Wanted {
    /// That of a text. Whoever may ask about one dataset alone need not name it.
    pub async fn new(session: &Session, who: &str, options: &Options, sql: String) -> Result<Wanted> {
        let nothing = vec![Parameter::Null; sql::parameters(&sql)];
        if session.own(&sql, &nothing).await?.is_some() {
            return Ok(Wanted::Own { sql, parameters: vec![] });
        }
        let mut dataset = options.dataset();
        if dataset.is_empty() {
            let known = session.datasets(who).await?;
            dataset = match known.as_slice() {
                [(only, _)] => only.name.clone(),
                [] => {
                    let message = "you have no grant for any dataset: ask governance for one";
                    return Err(Error::new(Code::NoGrant, message));
                }
                several => {
                    let names: Vec<&str> = several.iter().map(|(dataset, _)| dataset.name.as_str()).collect();
                    let message = format!(
                        "set the session option dataset, or the header undertone-dataset, to one of {}",
                        names.join(", ")
                    );
                    return Err(Error::new(Code::InvalidRequest, message));
                }
            };
        }
        let ask = Ask { parameters: nothing, ..options.ask(sql, dataset)? };
        let has_no_rows = session.no_rows(who, &ask).await?.is_some();
        let ask = Ask { parameters: vec![], ..ask };
        Ok(match has_no_rows {
            true => Wanted::NoRows { ask },
            false => Wanted::Answer { ask, intervals: options.intervals() },
        })
    }

    /// The same with values for its parameters.
    pub fn bound(self, parameters: Vec<Parameter>) -> Wanted {
        match self {
            Wanted::Answer { ask, intervals } => Wanted::Answer { ask: Ask { parameters, ..ask }, intervals },
            Wanted::NoRows { ask } => Wanted::NoRows { ask: Ask { parameters, ..ask } },
            Wanted::Own { sql, .. } => Wanted::Own { sql, parameters },
        }
    }
}

/// A price in words.
fn price_in_words(price: &proto::Price) -> String {
    let part = format!(", {:.2} % of the grant", 100.0 * price.part_of_grant);
    let delta = if price.delta == "0" { String::new() } else { format!(", delta {}", price.delta) };
    match price.epsilon.as_str() {
        "" => format!("rho {}{delta}{part}", price.rho),
        epsilon => format!("epsilon {epsilon}{delta}{part}"),
    }
}

impl Flight {
    /// The schema of what a statement gives, with its quote, and what its ticket is for. Charges nothing.
    pub(super) async fn priced(&self, caller: &Caller, wanted: Wanted) -> Result<(Schema, Given)> {
        match wanted {
            Wanted::Answer { ask, intervals } => {
                let planned = match self.session.plan(&caller.who, &ask).await {
                    Ok(planned) => planned,
                    Err(e) => return Err(self.with_alternative(&caller.who, &ask, e).await),
                };
                let schema = quoted(&self.session, &planned, intervals).await?;
                Ok((schema, Given::Answer(Priced::new(ask, intervals, &planned.priced.charge))))
            }
            Wanted::NoRows { .. } | Wanted::Own { .. } => {
                let schema = self.free(caller, &wanted).await?.schema();
                Ok((schema.as_ref().clone(), Given::Free(wanted)))
            }
        }
    }

    /// The types of a statement's parameters, as far as its text tells.
    pub(super) async fn parameter_types(
        &self,
        caller: &Caller,
        headers: &MetadataMap,
        sql: &str,
    ) -> Result<Vec<Option<Type>>> {
        let options = self.sessions.options(caller, headers)?;
        let dataset = match Wanted::new(&self.session, &caller.who, &options, sql.to_owned()).await? {
            Wanted::Answer { ask, .. } | Wanted::NoRows { ask } => self.session.dataset(&ask.dataset),
            Wanted::Own { .. } => None,
        };
        self.session.parameter_types(sql, dataset).await
    }

    /// The schema of a statement whose parameters have no values yet, without a price: that depends on them.
    pub(super) async fn unbound(&self, caller: &Caller, wanted: Wanted, types: &[DataType]) -> Result<Schema> {
        let samples = types.iter().map(super::binding::sample).collect();
        match wanted.bound(samples) {
            Wanted::Answer { ask, intervals } => match self.session.plan(&caller.who, &ask).await {
                Ok(planned) => Ok(schema_of(&planned, intervals, |_| HashMap::new())),
                // What stands for the values may not be admitted where they would be.
                Err(_) => Ok(Schema::empty()),
            },
            free => Ok(self.free(caller, &free).await?.schema().as_ref().clone()),
        }
    }

    /// What costs nothing.
    async fn free(&self, caller: &Caller, wanted: &Wanted) -> Result<RecordBatch> {
        let (sql, parameters) = match wanted {
            Wanted::Own { sql, parameters } => (sql, parameters),
            Wanted::NoRows { ask } => {
                let columns = self.session.no_rows(&caller.who, ask).await?.unwrap_or_default();
                let fields = columns.into_iter().map(|(name, ty)| Field::new(name, arrow_type(ty), true));
                return Ok(RecordBatch::new_empty(Arc::new(Schema::new(fields.collect::<Vec<_>>()))));
            }
            Wanted::Answer { .. } => return Err(Error::internal("a statement that has a price")),
        };
        let query = self.session.own(sql, parameters).await?;
        // With its values it may be none any more; then the text says why.
        let query = query.ok_or_else(|| {
            let message =
                format!("the statement has {} parameters, and {} came with it", sql::parameters(sql), parameters.len());
            Error::new(Code::InvalidRequest, message)
        })?;
        let last = self.sessions.last_answer(caller);
        let tables = about::tables(&self.session, &caller.who, last).await?;
        self.session.select(query, tables).await
    }

    /// The table of a ticket, which pays for it the first time, unless it is cancelled before.
    pub(super) async fn given(
        &self,
        caller: &Caller,
        given: Given,
        allows_bursts: bool,
        gone: CancellationToken,
    ) -> Result<RecordBatch> {
        let ticket = match given {
            Given::Free(wanted) => return self.free(caller, &wanted).await,
            Given::Answer(ticket) => ticket,
        };
        let ticket = &ticket;
        let reading = &self.cancellations.read(&caller.who, &ticket.query_id)?;
        let either = reading.gone.clone();
        let _follow = tokio::spawn(async move {
            gone.cancelled().await;
            either.cancel()
        });
        let may = |planned: Arc<Planned>| async move {
            if !ticket.covers(&planned.priced.charge) {
                let message = "this statement costs more by now than its ticket says: ask for the flight information again; this cost nothing";
                return Err(Error::new(Code::InvalidRequest, message));
            }
            self.admit(&planned, allows_bursts).await?;
            reading.pay()
        };
        let door = Door { call: "flight_get", gone: &reading.gone, may };
        let delivered = self.session.execute_at(&caller.who, &ticket.ask, &ticket.query_id, false, door).await;
        let delivered = match delivered {
            Ok(delivered) => delivered,
            Err(e) => return Err(self.with_alternative(&caller.who, &ticket.ask, e).await),
        };
        self.sessions.has_read(caller, &delivered.stored.query_id);
        table(&delivered.stored.bytes, ticket.intervals)
    }

    /// Whether a statement may be charged now, as far as bursts are concerned: what is answered already costs nothing.
    async fn admit(&self, planned: &Planned, allows_bursts: bool) -> Result<()> {
        if planned.priced.releases.is_empty() || self.session.is_answered(planned).await? {
            return Ok(());
        }
        let Some(scope) = self.session.ledger().scope(&planned.account, &planned.tiers).await? else { return Ok(()) };
        let spent = scope.own.spent.total;
        let in_force = Charge { epsilon: spent.epsilon.filter(|_| !planned.priced.pure_is_over), ..spent };
        let left = (1.0 - scope.own.grant.part(in_force)).max(0.0);
        let part = governance::price_message(&planned.priced.charge, &planned.priced).part_of_grant;
        self.bursts.admit(&planned.account, part, left, allows_bursts)
    }

    /// A refusal of a list of rows, with what could be asked in their place and what it costs.
    async fn with_alternative(&self, who: &str, ask: &Ask, e: Error) -> Error {
        if !matches!(e.code, Code::PrivateRows | Code::UnsupportedSql) {
            return e;
        }
        let Some(dataset) = self.session.dataset(&ask.dataset) else { return e };
        let texts = self.session.instead(&ask.sql, &ask.parameters, dataset).await.unwrap_or_default();
        for sql in texts {
            let other = Ask { sql, parameters: vec![], ..ask.clone() };
            if let Ok(planned) = self.session.plan(who, &other).await {
                let price = price_in_words(&governance::price_message(&planned.priced.charge, &planned.priced));
                let message = format!("{}. This cost nothing; for {price} ask instead: {}", e.message, other.sql);
                return Error { message, ..e };
            }
        }
        e
    }
}

/// The schema of a statement's answer, with its quote. Reads no data and charges nothing.
async fn quoted(session: &Session, planned: &Planned, intervals: bool) -> Result<Schema> {
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
    Ok(schema_of(planned, intervals, of_column).with_metadata(metadata))
}

fn schema_of(planned: &Planned, intervals: bool, about: impl Fn(&str) -> HashMap<String, String>) -> Schema {
    let fields = planned.statement.columns.iter().flat_map(|column: &OutputColumn| {
        let field = Field::new(&column.name, arrow_type(column.ty), true).with_metadata(about(&column.name));
        let ends = column.interval.filter(|_| intervals).map(|_| ends(&column.name, &arrow_type(column.ty)));
        [field].into_iter().chain(ends.into_iter().flatten())
    });
    Schema::new(fields.collect::<Vec<_>>())
}

/// The columns of an interval's ends: those of numbers are of all numbers.
fn ends(column: &str, ty: &DataType) -> [Field; 2] {
    let ty = if ty.is_numeric() { DataType::Float64 } else { ty.clone() };
    ["low", "high"].map(|end| Field::new(format!("{column}_{end}"), ty.clone(), true))
}

/// The table of a stored answer, with the ends of its intervals beside what they are of, where they are wanted.
fn table(stored: &[u8], intervals: bool) -> Result<RecordBatch> {
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
