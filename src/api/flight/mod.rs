//! Arrow Flight SQL (the messages of Apache Arrow's `Flight.proto` and `FlightSql.proto`): the door for SQL tools.
//!
//! *Price first.* Preparing a statement, its schema and its flight information cost nothing: the schema's metadata has the price, the expected errors and the balance. The
//! first DoGet of a ticket charges, and every further one gives the same bytes; see [`ticket`]. What is not charged yet can be cancelled ([`cancel`]), and many statements at
//! once are asked about before they are charged ([`burst`]).
//!
//! *Credentials.* A call carries `authorization: Bearer <token>`, or the credential of a session, which Handshake gives for a name and its password; see [`session`].
//!
//! *Options* that SQL has no words for are set in the session, or for one call as headers; see [`options`].
//!
//! *What is one's own to see*, budgets and receipts, are tables of the schema `undertone`; see [`about`].

mod about;
mod actions;
mod answer;
mod binding;
mod burst;
mod cancel;
mod info;
mod messages;
mod metadata;
mod options;
mod refusal;
mod session;
mod statement;
mod stream;
mod ticket;

use self::burst::Bursts;
use self::cancel::Cancellations;
use self::options::Options;
use self::refusal::refused;
use self::session::{Caller, Sessions};
use self::statement::Wanted;
use self::stream::{Stream, encoded};
use self::ticket::{Given, Prepared, Tickets};
use super::auth::{Principal, Principals};
use super::grpc::Call;
use crate::error::{Code, Error, Result};
use crate::session::Session;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{Any, Command, DoPutPreparedStatementResult, ProstMessageExt, TicketStatementQuery};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest,
    HandshakeResponse, IpcMessage, PollInfo, PutResult, SchemaAsIpc, SchemaResult, Ticket,
};
use futures::stream::{self as streams, StreamExt};
use prost::Message;
use prost_types::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

/// How long a driver may take to send its parameters.
const BIND_TIMEOUT: Duration = Duration::from_secs(30);

/// The service, behind the credentials of `principals`.
#[derive(Clone)]
pub struct FlightApi(Arc<Flight>);

struct Flight {
    session: Arc<Session>,
    principals: Principals,
    sessions: Sessions,
    tickets: Tickets,
    cancellations: Cancellations,
    bursts: Bursts,
}

impl FlightApi {
    /// Errors: `INTERNAL` where the operating system gives no randomness.
    pub fn new(session: Arc<Session>, principals: Principals) -> Result<FlightApi> {
        let (sessions, tickets) = (Sessions::default(), Tickets::new()?);
        let (cancellations, bursts) = (Cancellations::default(), Bursts::default());
        Ok(FlightApi(Arc::new(Flight { session, principals, sessions, tickets, cancellations, bursts })))
    }

    /// A call of whoever its credential says, with its headers and its body.
    fn call<T>(&self, method: &'static str, mut request: Request<T>) -> Result<(Call, Caller, MetadataMap, T), Status> {
        let caller = self.0.sessions.caller(&self.0.principals, request.metadata()).map_err(|e| refused(&e))?;
        request.extensions_mut().insert(Principal(caller.who.clone()));
        let call = Call::begin(method, &request)?;
        let (headers, _, body) = request.into_parts();
        Ok((call, caller, headers, body))
    }

    /// A call's work, with its errors as SQL tools show them.
    async fn run<T>(&self, call: Call, work: impl Future<Output = Result<T>>) -> Result<T, Status> {
        call.run_as(&self.0.session, work, refused).await
    }
}

impl Flight {
    /// What a descriptor asks for: its schema, and the ticket that gives it.
    async fn described(&self, caller: &Caller, headers: &MetadataMap, command: &[u8]) -> Result<(Schema, Vec<u8>)> {
        let (sql, parameters) = match decoded(command)? {
            Command::CommandStatementQuery(wanted) => (wanted.query, vec![]),
            Command::CommandPreparedStatementQuery(wanted) => {
                let Prepared { sql, parameters } =
                    self.tickets.prepared(&caller.who, &wanted.prepared_statement_handle)?;
                (sql, parameters)
            }
            command => {
                let schema = metadata::answer(&self.session, &caller.who, &command).await?.schema();
                return Ok((schema.as_ref().clone(), command.into_any().encode_to_vec()));
            }
        };
        let options = self.sessions.options(caller, headers)?;
        let wanted = Wanted::new(&self.session, &caller.who, &options, sql).await?;
        let (schema, given) = self.priced(caller, wanted.bound(parameters)).await?;
        let handle = self.tickets.of_answer(&caller.who, &given)?;
        let ticket = TicketStatementQuery { statement_handle: handle.into() };
        Ok((schema, ticket.as_any().encode_to_vec()))
    }

    /// The rows of a ticket. That of a statement charges, the first time, unless `gone` comes before.
    async fn rows(
        &self,
        caller: &Caller,
        headers: &MetadataMap,
        ticket: &[u8],
        gone: CancellationToken,
    ) -> Result<RecordBatch> {
        match decoded(ticket)? {
            Command::TicketStatementQuery(wanted) => {
                let given: Given = self.tickets.answer(&caller.who, &wanted.statement_handle)?;
                if let Given::Answer(offer) = &given {
                    Options::default().with_headers(headers)?.agree_with(&offer.options)?;
                }
                let allows_bursts = self.sessions.options(caller, headers)?.allows_bursts();
                self.given(caller, given, allows_bursts, gone).await
            }
            // Some drivers send the command itself.
            Command::CommandPreparedStatementQuery(_) | Command::CommandStatementQuery(_) => {
                let message = "get the flight information of a statement first: its ticket says what it costs";
                Err(Error::new(Code::InvalidRequest, message))
            }
            command => metadata::answer(&self.session, &caller.who, &command).await,
        }
    }

    /// Puts the values that a driver sends into a prepared statement's handle: the server keeps nothing.
    async fn bind(&self, caller: &Caller, headers: &MetadataMap, mut data: Streaming<FlightData>) -> Result<Vec<u8>> {
        let who = &caller.who;
        let mut messages = Vec::new();
        let received = async {
            let unread = |e: Status| match e.code() {
                tonic::Code::OutOfRange => Error::new(Code::InvalidRequest, "the parameters are too large"),
                _ => malformed(),
            };
            while let Some(message) = data.message().await.map_err(unread)? {
                messages.push(message);
                if messages.len() > binding::MOST_MESSAGES {
                    return Err(Error::new(Code::InvalidRequest, "one row of parameters was expected, and more came"));
                }
                // Nothing else can be written, and what comes is not waited for.
                let first = messages[0].flight_descriptor.clone().unwrap_or_default();
                let Command::CommandPreparedStatementQuery(_) = decoded(&first.cmd)? else { return Err(read_only()) };
            }
            Ok(())
        };
        let late = |_| Error::new(Code::InvalidRequest, "the parameters did not come: send them, and end the stream");
        tokio::time::timeout(BIND_TIMEOUT, received).await.map_err(late)??;
        let first = messages.first().and_then(|first| first.flight_descriptor.clone()).ok_or_else(malformed)?;
        let Command::CommandPreparedStatementQuery(prepared) = decoded(&first.cmd)? else { return Err(read_only()) };
        let Prepared { sql, .. } = self.tickets.prepared(who, &prepared.prepared_statement_handle)?;
        // A panic in there is its own.
        let read = tokio::task::spawn_blocking(move || binding::parameters(&messages));
        let parameters = read.await.map_err(|_| malformed())??;
        let options = self.sessions.options(caller, headers)?;
        let wanted = Wanted::new(&self.session, who, &options, sql.clone()).await?;
        binding::check(&parameters, &self.unbound(caller, wanted).await?.1)?;
        self.tickets.of_prepared(who, &Prepared { sql, parameters })
    }
}

fn flight(e: FlightError) -> Error {
    Error::internal(e.to_string())
}

fn malformed() -> Error {
    Error::new(Code::InvalidRequest, "this is no message of Flight SQL that this server knows")
}

fn read_only() -> Error {
    Error::new(
        Code::InvalidRequest,
        "nothing can be written here: this server answers questions in SQL, one by one, and takes no data and no plans",
    )
}

fn decoded(command: &[u8]) -> Result<Command> {
    let any = Any::decode(command).map_err(|_| malformed())?;
    match Command::try_from(any).map_err(|_| malformed())? {
        Command::CommandStatementSubstraitPlan(_)
        | Command::CommandStatementUpdate(_)
        | Command::CommandStatementIngest(_)
        | Command::CommandPreparedStatementUpdate(_) => Err(read_only()),
        Command::Unknown(_) => Err(malformed()),
        command => Ok(command),
    }
}

fn ipc(schema: &Schema) -> Result<IpcMessage> {
    let internal = |e: arrow::error::ArrowError| Error::internal(e.to_string());
    SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into().map_err(internal)
}

#[tonic::async_trait]
impl FlightService for FlightApi {
    type HandshakeStream = Stream<HandshakeResponse>;
    type ListFlightsStream = Stream<FlightInfo>;
    type DoGetStream = Stream<FlightData>;
    type DoPutStream = Stream<PutResult>;
    type DoExchangeStream = Stream<FlightData>;
    type DoActionStream = Stream<arrow_flight::Result>;
    type ListActionsStream = Stream<ActionType>;

    /// Takes a bearer or a basic credential, and answers with the one of a session.
    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let (principal, by) = self.0.principals.sign_in(request.metadata()).await.map_err(|e| refused(&e))?;
        let who = principal.0.clone();
        let (_, id) = self.0.sessions.begin(principal, by).map_err(|e| refused(&e))?;
        tracing::info!(method = "handshake", principal = who, code = "OK", "call");
        let answer = HandshakeResponse { protocol_version: 0, payload: id.as_bytes().to_vec().into() };
        let mut response: Response<Self::HandshakeStream> = Response::new(streams::iter([Ok(answer)]).boxed());
        actions::give_session(&mut response, &id).map_err(|e| refused(&e))?;
        Ok(response)
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        let (call, caller, headers, descriptor) = self.call("flight_info", request)?;
        let described = async {
            let (schema, ticket) = self.0.described(&caller, &headers, &descriptor.cmd).await?;
            let info = FlightInfo::new().try_with_schema(&schema).map_err(|e| Error::internal(e.to_string()))?;
            // Neither rows nor bytes are told: they would be an answer.
            let expires = Timestamp { seconds: (ticket::now() + ticket::MAX_AGE) as i64, nanos: 0 };
            let endpoint = FlightEndpoint::new().with_ticket(Ticket { ticket: ticket.into() });
            let endpoint = endpoint.with_expiration_time(expires);
            Ok(info
                .with_endpoint(endpoint)
                .with_descriptor(descriptor.clone())
                .with_total_records(-1)
                .with_total_bytes(-1))
        };
        self.run(call, described).await.map(Response::new)
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let (call, caller, headers, descriptor) = self.call("flight_schema", request)?;
        let described = async {
            let (schema, _) = self.0.described(&caller, &headers, &descriptor.cmd).await?;
            Ok(SchemaResult { schema: ipc(&schema)?.0 })
        };
        self.run(call, described).await.map(Response::new)
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let (call, caller, headers, ticket) = self.call("flight_get", request)?;
        let (api, gone) = (self.clone(), CancellationToken::new());
        // Dropped with this call where its caller goes away.
        let _waiting = gone.clone().drop_guard();
        // A task of its own: what was charged is answered and stored even then.
        let work = tokio::spawn(async move {
            let _asking = api.0.session.metrics().asking();
            api.run(call, async { api.0.rows(&caller, &headers, &ticket.ticket, gone).await }).await
        });
        let early = |_| refused(&Error::internal("the question's task ended early: get the same ticket again"));
        Ok(Response::new(encoded(work.await.map_err(early)??)))
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let (call, caller, headers, action) = self.call("flight_action", request)?;
        let results = self.run(call, self.0.act(&caller, &headers, action)).await?;
        let results = results.into_iter().map(|body| Ok(arrow_flight::Result { body: body.into() }));
        Ok(Response::new(streams::iter(results.collect::<Vec<_>>()).boxed()))
    }

    async fn list_actions(&self, request: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        self.call("flight_actions", request)?;
        let actions = actions::ACTIONS
            .map(|(name, description)| Ok(ActionType { r#type: name.to_owned(), description: description.to_owned() }));
        Ok(Response::new(streams::iter(actions).boxed()))
    }

    async fn list_flights(&self, request: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        self.call("flight_list", request)?;
        Ok(Response::new(streams::empty().boxed()))
    }

    /// Progress would tell how much was read; and flight information is there at once.
    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        Err(Status::unimplemented("ask for the flight information: it is there at once"))
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let (call, caller, headers, data) = self.call("flight_put", request)?;
        let bound = self.run(call, self.0.bind(&caller, &headers, data)).await?;
        let result = DoPutPreparedStatementResult { prepared_statement_handle: Some(bound.into()) };
        let result = PutResult { app_metadata: result.encode_to_vec().into() };
        Ok(Response::new(streams::iter([Ok(result)]).boxed()))
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(Status::unimplemented("this server answers questions, and takes no data"))
    }
}
