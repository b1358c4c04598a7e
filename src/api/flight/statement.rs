//! Statements: what they ask for, what they cost, and when they are paid.

use super::Flight;
use super::about;
use super::answer::{price_in_words, quoted, schema_of, table};
use super::binding::sample;
use super::options::Options;
use super::session::Caller;
use super::ticket::{Given, Offer};
use crate::accounting::Charge;
use crate::algebra::Type;
use crate::catalog::arrow_type;
use crate::error::{Code, Error, Result};
use crate::governance::{self, Ask};
use crate::session::{Door, Planned, Session};
use crate::sql::{self, Parameter};
use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// What a statement asks for, with all of its options.
#[derive(Clone, Serialize, Deserialize)]
pub enum Wanted {
    Answer {
        ask: Ask,
        options: Options,
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
        if session.own_query(&sql, &nothing).await?.is_some() {
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
            false => Wanted::Answer { ask, options: options.clone() },
        })
    }

    /// The same with values for its parameters.
    pub fn bound(self, parameters: Vec<Parameter>) -> Wanted {
        match self {
            Wanted::Answer { ask, options } => Wanted::Answer { ask: Ask { parameters, ..ask }, options },
            Wanted::NoRows { ask } => Wanted::NoRows { ask: Ask { parameters, ..ask } },
            Wanted::Own { sql, .. } => Wanted::Own { sql, parameters },
        }
    }
}

impl Flight {
    /// The schema of what a statement gives, with its quote, and what its ticket is for. Charges nothing.
    pub(super) async fn priced(&self, caller: &Caller, wanted: Wanted) -> Result<(Schema, Given)> {
        match wanted {
            Wanted::Answer { ask, options } => {
                let planned = match self.session.plan(&caller.who, &ask).await {
                    Ok(planned) => planned,
                    Err(e) => return Err(self.with_alternative(&caller.who, &ask, e).await),
                };
                let (schema, answered) = quoted(&self.session, &planned, options.intervals()).await?;
                // What was told to cost nothing must not cost anything when it is read.
                let price = if answered { Charge::NOTHING } else { planned.priced.charge };
                Ok((schema, Given::Answer(Offer::new(ask, options, &price))))
            }
            Wanted::NoRows { .. } | Wanted::Own { .. } => {
                let schema = self.free(caller, &wanted, false).await?.schema();
                Ok((schema.as_ref().clone(), Given::Free(wanted)))
            }
        }
    }

    /// The schema of a statement whose parameters have no values yet, and their types, as far as its text tells both: without a price, which depends on the values.
    ///
    /// Errors: those of the statement with any values.
    pub(super) async fn unbound(&self, caller: &Caller, wanted: Wanted) -> Result<(Schema, Vec<Option<Type>>)> {
        let (sql, dataset) = match &wanted {
            Wanted::Answer { ask, .. } | Wanted::NoRows { ask } => {
                (ask.sql.clone(), self.session.dataset(&ask.dataset))
            }
            Wanted::Own { sql, .. } => (sql.clone(), None),
        };
        let types = self.session.parameter_types(&sql, dataset).await?;
        let nothing = vec![None; types.len()];
        match wanted.bound(types.iter().map(|ty| sample(*ty)).collect()) {
            Wanted::Answer { ask, options } => match self.session.plan(&caller.who, &ask).await {
                Ok(planned) => Ok((schema_of(&planned, options.intervals(), |_| HashMap::new())?, types)),
                // What stands for the values may not be admitted where they would be; what is not admitted tells no types.
                Err(e) if matches!(e.code, Code::UnsupportedSql | Code::InvalidRequest | Code::MissingBounds) => {
                    Ok((Schema::empty(), nothing))
                }
                Err(e) => Err(e),
            },
            free => Ok((self.free(caller, &free, false).await?.schema().as_ref().clone(), types)),
        }
    }

    /// What costs nothing; without its rows where the schema alone is wanted.
    async fn free(&self, caller: &Caller, wanted: &Wanted, with_rows: bool) -> Result<RecordBatch> {
        let (sql, parameters) = match wanted {
            Wanted::Own { sql, parameters } => (sql, parameters),
            Wanted::NoRows { ask } => {
                let columns = self.session.no_rows(&caller.who, ask).await?.unwrap_or_default();
                let fields = columns.into_iter().map(|(name, ty)| Field::new(name, arrow_type(ty), true));
                return Ok(RecordBatch::new_empty(Arc::new(Schema::new(fields.collect::<Vec<_>>()))));
            }
            Wanted::Answer { .. } => return Err(Error::internal("a statement that has a price")),
        };
        let query = self.session.own_query(sql, parameters).await?;
        // With its values it may be none any more; then the text says why.
        let query = query.ok_or_else(|| {
            let message =
                format!("the statement has {} parameters, and {} came with it", sql::parameters(sql), parameters.len());
            Error::new(Code::InvalidRequest, message)
        })?;
        let tables = match with_rows {
            true => {
                let last = self.sessions.last_answer(caller);
                about::tables(&self.session, &caller.who, &query.tables, last).await?
            }
            false => about::empty()?,
        };
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
        let offer = match given {
            Given::Free(wanted) => return self.free(caller, &wanted, true).await,
            Given::Answer(offer) => offer,
        };
        let offer = &offer;
        let reading = &self.cancellations.read(&caller.who, &offer.query_id)?;
        let either = reading.gone.clone();
        tokio::spawn(async move {
            gone.cancelled().await;
            either.cancel();
        });
        // What it takes of the grant, where it is charged now.
        let part = OnceLock::new();
        let takes = &part;
        let may = |planned: Arc<Planned>| async move {
            if !self.session.is_answered(&planned).await? {
                if !offer.covers(&planned.priced.charge) {
                    let message = "this statement costs more by now than its ticket says: ask for the flight information again; this cost nothing";
                    return Err(Error::new(Code::InvalidRequest, message));
                }
                if !planned.priced.releases.is_empty() {
                    let part = self.admit(&planned, allows_bursts).await?;
                    let _ = takes.set((planned.account.clone(), part));
                }
            }
            reading.pay()
        };
        let door = Door { call: "flight_get", gone: &reading.gone, may };
        let delivered = self.session.execute_at(&caller.who, &offer.ask, &offer.query_id, false, door).await;
        let delivered = match delivered {
            Ok(delivered) => delivered,
            Err(e) => return Err(self.with_alternative(&caller.who, &offer.ask, e).await),
        };
        if let (false, Some((account, part))) = (delivered.replayed, part.get()) {
            self.bursts.count(account, *part);
        }
        self.sessions.has_read(caller, &delivered.stored.query_id);
        table(&delivered.stored.bytes, offer.options.intervals())
    }

    /// The part of its grant that a statement takes, where it may be charged now as far as bursts are concerned.
    async fn admit(&self, planned: &Planned, allows_bursts: bool) -> Result<f64> {
        let price = governance::price_message(&planned.priced.charge, &planned.priced);
        let scope = self.session.ledger().scope(&planned.account, &planned.tiers).await?;
        // What cannot be paid is for the ledger to say.
        let payable = scope.filter(|s| s.affords(planned.priced.charge, planned.priced.pool_charge));
        if let (false, Some(scope)) = (allows_bursts, payable) {
            let spent = scope.own.spent.total;
            let in_force = Charge { epsilon: spent.epsilon.filter(|_| !planned.priced.pure_is_over), ..spent };
            let left = (1.0 - scope.own.grant.part(in_force)).max(0.0);
            self.bursts.admit(&planned.account, price.part_of_grant, left)?;
        }
        Ok(price.part_of_grant)
    }

    /// A refusal with what to do in the place of it: of a list of rows, what could be asked and what it costs; of what tools look around with, where that is.
    async fn with_alternative(&self, who: &str, ask: &Ask, e: Error) -> Error {
        if let Some(hint) = hint(&ask.sql, &e) {
            return Error { message: format!("{}: {hint}", e.message), ..e };
        }
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

/// Where to find what a statement of other databases shows.
fn hint(sql: &str, e: &Error) -> Option<&'static str> {
    let word = sql.split_whitespace().next().unwrap_or_default().to_uppercase();
    match (e.code, word.as_str()) {
        (Code::UnsupportedSql, "SHOW" | "DESCRIBE" | "DESC") => {
            Some("SELECT * FROM undertone.columns shows what may be asked")
        }
        (Code::UnsupportedSql, "EXPLAIN") => {
            Some("the schema of a statement has its price and its errors, for nothing (adbc_execute_schema)")
        }
        (Code::UnsupportedSql, "SET") => Some("set options in the session, or as headers, as undertone-epsilon"),
        (Code::UnknownTable, _) if e.message.contains("information_schema") => {
            Some("SELECT * FROM undertone.columns shows what may be asked")
        }
        _ => None,
    }
}
