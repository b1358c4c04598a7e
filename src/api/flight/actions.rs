//! Actions: prepared statements, session options, cancelling, and what drivers begin and end without anything happening.

use super::messages::{CloseSessionResult, OptionValue, PreparedResult, SessionOptionValue, SessionOptions};
use super::options::{Options, check_names};
use super::session::{Caller, set_cookie};
use super::statement::Wanted;
use super::ticket::{Given, Prepared};
use super::{Flight, decoded, ipc, malformed};
use crate::catalog::arrow_type;
use crate::error::{Code, Error, Result};
use crate::sql;
use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::sql::{
    ActionBeginTransactionResult, ActionCancelQueryRequest, ActionCancelQueryResult,
    ActionCreatePreparedStatementRequest, Any, Command, ProstMessageExt,
};
use arrow_flight::{Action, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo};
use prost::Message;
use tonic::Response;
use tonic::metadata::MetadataMap;

const CREATE: &str = "CreatePreparedStatement";
const CLOSE: &str = "ClosePreparedStatement";
const BEGIN: &str = "BeginTransaction";
const END: &str = "EndTransaction";
const SET: &str = "SetSessionOptions";
const GET: &str = "GetSessionOptions";
const CLOSE_SESSION: &str = "CloseSession";
const CANCEL: &str = "CancelFlightInfo";
const CANCEL_QUERY: &str = "CancelQuery";

pub const ACTIONS: [(&str, &str); 9] = [
    (CREATE, "Prices a statement and gives it a handle. Costs nothing."),
    (CLOSE, "Does nothing: handles are not kept."),
    (BEGIN, "Does nothing: every answer is a transaction of its own."),
    (END, "Does nothing."),
    (
        SET,
        "Sets what SQL has no words for: dataset, purpose, epsilon, delta, error, intervals and others; all or none.",
    ),
    (GET, "What is set."),
    (CLOSE_SESSION, "Ends the session, and its credential."),
    (CANCEL, "Cancels what is not charged yet. What is charged is answered and kept."),
    (CANCEL_QUERY, "The same."),
];

fn one(message: Vec<u8>) -> Vec<Vec<u8>> {
    vec![message]
}

/// Gives a client the credential of its session: as the bearer of its further calls, and as a cookie for those that keep their token.
pub fn give_session<T>(response: &mut Response<T>, id: &str) -> Result<()> {
    let header = |text: String| text.parse().map_err(|_| Error::internal("a credential that is no header"));
    let (bearer, cookie) = (header(format!("Bearer {id}"))?, header(set_cookie(id))?);
    response.metadata_mut().insert("authorization", bearer);
    response.metadata_mut().insert("set-cookie", cookie);
    Ok(())
}

fn unpacked<M: ProstMessageExt>(body: &[u8]) -> Result<M> {
    let any = Any::decode(body).map_err(|_| malformed())?;
    any.unpack().map_err(|_| malformed())?.ok_or_else(malformed)
}

impl Flight {
    pub(super) async fn act(&self, caller: &Caller, headers: &MetadataMap, action: Action) -> Result<Vec<Vec<u8>>> {
        let body = action.body.as_ref();
        match action.r#type.as_str() {
            CREATE => self.prepare(caller, headers, unpacked(body)?).await.map(one),
            BEGIN => {
                let begun = ActionBeginTransactionResult { transaction_id: "none".into() };
                Ok(one(begun.as_any().encode_to_vec()))
            }
            CLOSE | END => Ok(vec![]),
            SET => {
                let wanted = SessionOptions::decode(body).map_err(|_| malformed())?;
                self.sessions.change(caller, |options| set(options, wanted))?;
                // No option had an error.
                Ok(vec![SessionOptions::default().encode_to_vec()])
            }
            GET => Ok(one(told(&self.sessions.set_options(caller)?).encode_to_vec())),
            CLOSE_SESSION => {
                self.sessions.close(caller);
                Ok(one(CloseSessionResult { status: 1 }.encode_to_vec()))
            }
            CANCEL => {
                let wanted = CancelFlightInfoRequest::decode(body).map_err(|_| malformed())?;
                let status = self.cancel(caller, wanted.info).await?;
                Ok(one(CancelFlightInfoResult { status: status.into() }.encode_to_vec()))
            }
            CANCEL_QUERY => {
                let wanted: ActionCancelQueryRequest = unpacked(body)?;
                let info = FlightInfo::decode(wanted.info).map_err(|_| malformed())?;
                let status = self.cancel(caller, Some(info)).await?;
                // Its values are those of CancelStatus.
                Ok(one(ActionCancelQueryResult { result: status.into() }.as_any().encode_to_vec()))
            }
            other => {
                let other: String = other.chars().take(64).collect();
                Err(Error::new(Code::InvalidRequest, format!("there is no action '{other}' here")))
            }
        }
    }

    async fn prepare(
        &self,
        caller: &Caller,
        headers: &MetadataMap,
        wanted: ActionCreatePreparedStatementRequest,
    ) -> Result<Vec<u8>> {
        let options = self.sessions.options(caller, headers)?;
        let sql = wanted.query;
        let wanted = Wanted::new(&self.session, &caller.who, &options, sql.clone()).await?;
        let (schema, types) = match sql::parameters(&sql) {
            0 => (self.priced(caller, wanted).await?.0, vec![]),
            _ => self.unbound(caller, wanted).await?,
        };
        // What nothing tells the type of is bound as a text.
        let types = types.into_iter().map(|ty| ty.map_or(DataType::Utf8, arrow_type));
        let parameter = |(at, ty): (usize, DataType)| Field::new(format!("${}", at + 1), ty, true);
        let parameters = Schema::new(types.enumerate().map(parameter).collect::<Vec<_>>());
        let prepared = PreparedResult {
            handle: self.tickets.of_prepared(&caller.who, &Prepared { sql, parameters: vec![] })?.into(),
            dataset_schema: ipc(&schema)?.0,
            parameter_schema: ipc(&parameters)?.0,
            is_update: Some(false),
        };
        let any = Any {
            type_url: "type.googleapis.com/arrow.flight.protocol.sql.ActionCreatePreparedStatementResult".to_owned(),
            value: prepared.encode_to_vec().into(),
        };
        Ok(any.encode_to_vec())
    }

    /// Cancels the ticket of a flight, where nothing was charged for it.
    async fn cancel(&self, caller: &Caller, info: Option<FlightInfo>) -> Result<CancelStatus> {
        let ticket = info.and_then(|info| info.endpoint.into_iter().next()).and_then(|endpoint| endpoint.ticket);
        let ticket = ticket.ok_or_else(malformed)?;
        let Command::TicketStatementQuery(wanted) = decoded(&ticket.ticket)? else {
            return Ok(CancelStatus::NotCancellable);
        };
        let Given::Answer(offer) = self.tickets.answer(&caller.who, &wanted.statement_handle)? else {
            return Ok(CancelStatus::NotCancellable);
        };
        let (who, id, ledger) = (&caller.who, &offer.query_id, self.session.ledger());
        if ledger.is_charged(who, id).await? {
            return Ok(CancelStatus::NotCancellable);
        }
        let status = self.cancellations.cancel(who, id);
        // What was paid between the two looks is not cancelled; from here on nobody begins to pay.
        if status == CancelStatus::Cancelled && ledger.is_charged(who, id).await? {
            self.cancellations.keep(who, id);
            return Ok(CancelStatus::NotCancellable);
        }
        Ok(status)
    }
}

/// Sets all options of a message.
fn set(options: &mut Options, wanted: SessionOptions) -> Result<()> {
    check_names(wanted.options.keys().map(String::as_str))?;
    for (name, value) in wanted.options {
        let value = match value.value {
            None => None,
            Some(OptionValue::Text(text)) => Some(text),
            Some(OptionValue::Flag(flag)) => Some(flag.to_string()),
            Some(OptionValue::Whole(number)) => Some(number.to_string()),
            Some(OptionValue::Number(number)) => Some(number.to_string()),
            Some(OptionValue::List(_)) => {
                let name: String = name.chars().take(64).collect();
                let message = format!("option {name} is a list, and must be one value");
                return Err(Error::new(Code::InvalidRequest, message));
            }
        };
        options.set(&name, value)?;
    }
    Ok(())
}

/// What is set, as a message.
fn told(options: &Options) -> SessionOptions {
    let value = |text: &str, is_flag: bool| match is_flag {
        true => OptionValue::Flag(text == "true"),
        false => OptionValue::Text(text.to_owned()),
    };
    let all = options
        .all()
        .map(|(name, text, is_flag)| (name.to_owned(), SessionOptionValue { value: Some(value(text, is_flag)) }));
    SessionOptions { options: all.collect() }
}
