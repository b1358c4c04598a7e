//! Arrow Flight SQL (the messages of Apache Arrow's `FlightSql.proto`): the door for SQL tools.
//!
//! *Price first.* Preparing a statement, its schema and its flight information cost nothing: the schema's metadata has the price, the expected errors and the balance. The
//! first DoGet of a ticket charges, and every further one gives the same bytes; see [`ticket`].
//!
//! *Credentials.* A call carries `authorization: Bearer <token>`. Tools that know names and passwords alone send `Basic` credentials with the token as the password to
//! Handshake, and get the bearer credential back.
//!
//! *Options* that SQL has no words for are headers of a call, which every driver can set: see [`statement`].

mod binding;
mod metadata;
mod statement;
mod ticket;

use self::ticket::Tickets;
use super::auth::{Principal, Principals};
use super::grpc::Call;
use super::status::status;
use crate::error::{Code, Error, Result};
use crate::governance::Ask;
use crate::session::Session;
use crate::sql;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{
    ActionBeginTransactionResult, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any,
    Command, DoPutPreparedStatementResult, ProstMessageExt, TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest,
    HandshakeResponse, IpcMessage, PollInfo, PutResult, SchemaAsIpc, SchemaResult, Ticket,
};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use prost::Message;
use std::sync::Arc;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

/// The service, behind the tokens of `principals`.
#[derive(Clone)]
pub struct FlightApi {
    session: Arc<Session>,
    principals: Principals,
    tickets: Arc<Tickets>,
}

const CREATE: &str = "CreatePreparedStatement";
const CLOSE: &str = "ClosePreparedStatement";
const BEGIN: &str = "BeginTransaction";
const END: &str = "EndTransaction";
const ACTIONS: [(&str, &str); 4] = [
    (CREATE, "Prices a statement and gives it a handle. Costs nothing."),
    (CLOSE, "Does nothing: handles are not kept."),
    (BEGIN, "Does nothing: every answer is a transaction of its own."),
    (END, "Does nothing."),
];

impl FlightApi {
    pub fn new(session: Arc<Session>, principals: Principals) -> FlightApi {
        FlightApi { session, principals, tickets: Arc::new(Tickets::new()) }
    }

    /// A call of whoever its credential says.
    fn call<T>(&self, method: &'static str, mut request: Request<T>) -> Result<(Call, MetadataMap, T), Status> {
        let principal = self.principals.find(request.metadata()).map_err(|e| status(&e))?;
        request.extensions_mut().insert(principal);
        let call = Call::begin(method, &request)?;
        let (headers, _, body) = request.into_parts();
        Ok((call, headers, body))
    }

    /// What a descriptor or ticket asks for, priced: its schema, and the ticket that gives it.
    async fn described(&self, who: &str, headers: &MetadataMap, command: &[u8]) -> Result<(Schema, Vec<u8>)> {
        match decoded(command)? {
            Command::CommandStatementQuery(wanted) => {
                let ask = statement::ask(&self.session, who, headers, wanted.query).await?;
                self.priced(who, ask).await
            }
            Command::CommandPreparedStatementQuery(prepared) => {
                let ask = self.tickets.prepared(who, &prepared.prepared_statement_handle)?;
                self.priced(who, ask).await
            }
            command => {
                let schema = metadata::answer(&self.session, who, &command).await?.schema();
                Ok((schema.as_ref().clone(), command.into_any().encode_to_vec()))
            }
        }
    }

    async fn priced(&self, who: &str, ask: Ask) -> Result<(Schema, Vec<u8>)> {
        let planned = self.session.plan(who, &ask).await?;
        let schema = statement::schema(&self.session, &planned).await?;
        let handle = self.tickets.of_question(who, &ask, &planned.priced.charge)?;
        let ticket = TicketStatementQuery { statement_handle: handle.into() };
        Ok((schema, ticket.as_any().encode_to_vec()))
    }

    /// The rows of a ticket. That of a statement charges, the first time.
    async fn rows(&self, who: &str, ticket: &[u8]) -> Result<RecordBatch> {
        match decoded(ticket)? {
            Command::TicketStatementQuery(wanted) => {
                let ticket = self.tickets.question(who, &wanted.statement_handle)?;
                statement::answer(&self.session, who, ticket).await
            }
            // Some drivers send the command itself.
            Command::CommandPreparedStatementQuery(_) | Command::CommandStatementQuery(_) => {
                let message = "get the flight information of a statement first: its ticket says what it costs";
                Err(Error::new(Code::InvalidRequest, message))
            }
            command => metadata::answer(&self.session, who, &command).await,
        }
    }

    async fn bind(&self, who: &str, data: Streaming<FlightData>) -> Result<Vec<u8>> {
        let mut data = Box::pin(data.peekable());
        let first = match data.as_mut().peek().await {
            Some(Ok(first)) => first.flight_descriptor.clone().unwrap_or_default(),
            _ => return Err(malformed()),
        };
        let Command::CommandPreparedStatementQuery(prepared) = decoded(&first.cmd)? else {
            let message = "nothing can be written here: this server answers questions, and takes no data";
            return Err(Error::new(Code::InvalidRequest, message));
        };
        let ask = self.tickets.prepared(who, &prepared.prepared_statement_handle)?;
        let data = data.map_err(|e| FlightError::Tonic(Box::new(e)));
        let batches: Vec<RecordBatch> = FlightRecordBatchStream::new_from_flight_data(data)
            .try_collect()
            .await
            .map_err(|_| Error::new(Code::InvalidRequest, "the parameters are no Arrow data"))?;
        let parameters = binding::parameters(&batches)?;
        self.tickets.of_prepared(who, &Ask { parameters, ..ask })
    }

    async fn act(&self, who: &str, headers: &MetadataMap, action: Action) -> Result<Option<Vec<u8>>> {
        match action.r#type.as_str() {
            CREATE => {
                let wanted: ActionCreatePreparedStatementRequest = unpacked(&action.body)?;
                let ask = statement::ask(&self.session, who, headers, wanted.query).await?;
                let parameters = sql::parameters(&ask.sql);
                // With parameters, price and schema are known when they have values.
                let dataset_schema = match parameters {
                    0 => ipc(&statement::schema(&self.session, &self.session.plan(who, &ask).await?).await?)?.0,
                    _ => Default::default(),
                };
                let parameter = |n: usize| Field::new(format!("${n}"), DataType::Null, true);
                let parameter_schema = Schema::new((1..=parameters).map(parameter).collect::<Vec<_>>());
                let prepared = ActionCreatePreparedStatementResult {
                    prepared_statement_handle: self.tickets.of_prepared(who, &ask)?.into(),
                    dataset_schema,
                    parameter_schema: ipc(&parameter_schema)?.0,
                };
                Ok(Some(prepared.as_any().encode_to_vec()))
            }
            BEGIN => {
                let begun = ActionBeginTransactionResult { transaction_id: "none".into() };
                Ok(Some(begun.as_any().encode_to_vec()))
            }
            CLOSE | END => Ok(None),
            other => {
                let other: String = other.chars().take(64).collect();
                Err(Error::new(Code::InvalidRequest, format!("there is no action '{other}' here")))
            }
        }
    }
}

fn malformed() -> Error {
    Error::new(Code::InvalidRequest, "this is no message of Flight SQL")
}

fn decoded(command: &[u8]) -> Result<Command> {
    let any = Any::decode(command).map_err(|_| malformed())?;
    match Command::try_from(any).map_err(|_| malformed())? {
        Command::Unknown(_) => Err(malformed()),
        command => Ok(command),
    }
}

fn unpacked<M: ProstMessageExt>(body: &[u8]) -> Result<M> {
    let any = Any::decode(body).map_err(|_| malformed())?;
    any.unpack().map_err(|_| malformed())?.ok_or_else(malformed)
}

fn ipc(schema: &Schema) -> Result<IpcMessage> {
    let internal = |e: arrow::error::ArrowError| Error::internal(e.to_string());
    SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into().map_err(internal)
}

type Stream<T> = BoxStream<'static, Result<T, Status>>;

#[tonic::async_trait]
impl FlightService for FlightApi {
    type HandshakeStream = Stream<HandshakeResponse>;
    type ListFlightsStream = Stream<FlightInfo>;
    type DoGetStream = Stream<FlightData>;
    type DoPutStream = Stream<PutResult>;
    type DoExchangeStream = Stream<FlightData>;
    type DoActionStream = Stream<arrow_flight::Result>;
    type ListActionsStream = Stream<ActionType>;

    /// Takes a bearer or a basic credential, and answers with the bearer one.
    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let (Principal(who), bearer) = self.principals.sign_in(request.metadata()).map_err(|e| status(&e))?;
        tracing::info!(method = "handshake", principal = who, code = "OK", "call");
        let answer = HandshakeResponse { protocol_version: 0, payload: bearer.as_bytes().to_vec().into() };
        let mut response: Response<Self::HandshakeStream> = Response::new(stream::iter([Ok(answer)]).boxed());
        let header = format!("Bearer {bearer}").parse().map_err(|_| Status::internal("a token that is no header"))?;
        response.metadata_mut().insert("authorization", header);
        Ok(response)
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        let (call, headers, descriptor) = self.call("flight_info", request)?;
        let who = call.who.clone();
        let described = async {
            let (schema, ticket) = self.described(&who, &headers, &descriptor.cmd).await?;
            let info = FlightInfo::new().try_with_schema(&schema).map_err(|e| Error::internal(e.to_string()))?;
            // Neither rows nor bytes are told: they would be an answer.
            let endpoint = FlightEndpoint::new().with_ticket(Ticket { ticket: ticket.into() });
            Ok(info
                .with_endpoint(endpoint)
                .with_descriptor(descriptor.clone())
                .with_total_records(-1)
                .with_total_bytes(-1))
        };
        call.run(&self.session, described).await.map(Response::new)
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let (call, headers, descriptor) = self.call("flight_schema", request)?;
        let who = call.who.clone();
        let described = async {
            let (schema, _) = self.described(&who, &headers, &descriptor.cmd).await?;
            Ok(SchemaResult { schema: ipc(&schema)?.0 })
        };
        call.run(&self.session, described).await.map(Response::new)
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let (call, _, ticket) = self.call("flight_get", request)?;
        let (who, api) = (call.who.clone(), self.clone());
        // A task of its own: what was charged is answered and stored even where the caller goes away.
        let work = tokio::spawn(async move {
            let session = api.session.clone();
            let _asking = session.metrics().asking();
            call.run(&session, async { api.rows(&who, &ticket.ticket).await }).await
        });
        let batch = work.await.map_err(|_| Status::internal("the question's task ended early; get it again"))??;
        Ok(Response::new(encoded(batch)))
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let (call, headers, action) = self.call("flight_action", request)?;
        let who = call.who.clone();
        let done = call.run(&self.session, self.act(&who, &headers, action)).await?;
        let results = done.into_iter().map(|body| Ok(arrow_flight::Result { body: body.into() }));
        Ok(Response::new(stream::iter(results.collect::<Vec<_>>()).boxed()))
    }

    async fn list_actions(&self, request: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        self.call("flight_actions", request)?;
        let actions = ACTIONS
            .map(|(name, description)| Ok(ActionType { r#type: name.to_owned(), description: description.to_owned() }));
        Ok(Response::new(stream::iter(actions).boxed()))
    }

    async fn list_flights(&self, request: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        self.call("flight_list", request)?;
        Ok(Response::new(stream::empty().boxed()))
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        Err(Status::unimplemented("ask for the flight information: it is there at once"))
    }

    /// Binds values to a prepared statement. They are in the handle that comes back: the server keeps nothing.
    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let (call, _, data) = self.call("flight_put", request)?;
        let who = call.who.clone();
        let bound = call.run(&self.session, self.bind(&who, data)).await?;
        let result = DoPutPreparedStatementResult { prepared_statement_handle: Some(bound.into()) };
        let result = PutResult { app_metadata: result.encode_to_vec().into() };
        Ok(Response::new(stream::iter([Ok(result)]).boxed()))
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(Status::unimplemented("this server answers questions, and takes no data"))
    }
}

/// A batch as a stream, its schema first.
fn encoded(batch: RecordBatch) -> Stream<FlightData> {
    let schema: SchemaRef = batch.schema();
    let batches = stream::iter([Ok::<_, FlightError>(batch)]);
    let encoder = FlightDataEncoderBuilder::new().with_schema(schema).build(batches);
    encoder.map_err(|e| Status::internal(e.to_string())).boxed()
}
