//! The services of `undertone.v1`.

use super::auth::{Principal, Principals};
use super::flight::FlightApi;
use super::governance::{self as governance_api, AuditApi, GovernanceApi};
use super::status::status;
use crate::algebra::{Accuracy, DatePart, Mechanism};
use crate::catalog::{Column, Dataset, Protection, Table};
use crate::error::{Code, Error};
use crate::governance::{self, ALPHA, Ask, Refinement};
use crate::hex::hex;
use crate::ledger::{Account, Balance, StoredAnswer};
use crate::policy::Policy;
use crate::proto::{
    self, budget_service_server, catalog_service_server, execute_response::Event, query_service_server,
};
use crate::session::{Delivered, Planned, Session};
use crate::sql::Parameter;
use crate::telemetry;
use arrow_flight::flight_service_server::FlightServiceServer;
use prost::Message;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::RoutesBuilder;
use tonic::{Request, Response, Status};
use tracing::{Instrument, Span};

/// Time between signs of life.
const HEARTBEAT: Duration = Duration::from_millis(250);
/// Longest query id.
const MAX_QUERY_ID: usize = 64;

#[derive(Clone)]
pub struct QueryApi(pub Arc<Session>);
#[derive(Clone)]
pub struct BudgetApi(pub Arc<Session>);
#[derive(Clone)]
pub struct CatalogApi(pub Arc<Session>);

/// Adds the services behind the tokens of `principals`; bodies up to `max_bytes`.
///
/// Errors: `INTERNAL` where the operating system gives no randomness.
pub fn serve_routes(
    routes: &mut RoutesBuilder,
    session: &Arc<Session>,
    principals: &Principals,
    max_bytes: usize,
) -> crate::error::Result<()> {
    use proto::audit_service_server::AuditServiceServer;
    use proto::governance_service_server::GovernanceServiceServer;
    use tonic::service::interceptor::InterceptedService;
    let governance = GovernanceServiceServer::new(GovernanceApi(session.clone())).max_decoding_message_size(max_bytes);
    let audit = AuditServiceServer::new(AuditApi(session.clone())).max_decoding_message_size(max_bytes);
    let query =
        query_service_server::QueryServiceServer::new(QueryApi(session.clone())).max_decoding_message_size(max_bytes);
    let budget = budget_service_server::BudgetServiceServer::new(BudgetApi(session.clone()))
        .max_decoding_message_size(max_bytes);
    let catalog = catalog_service_server::CatalogServiceServer::new(CatalogApi(session.clone()))
        .max_decoding_message_size(max_bytes);
    let flight = FlightServiceServer::new(FlightApi::new(session.clone(), principals.clone())?)
        .max_decoding_message_size(max_bytes);
    routes
        .add_service(flight)
        .add_service(InterceptedService::new(query, principals.clone()))
        .add_service(InterceptedService::new(budget, principals.clone()))
        .add_service(InterceptedService::new(catalog, principals.clone()))
        .add_service(InterceptedService::new(governance, principals.clone()))
        .add_service(InterceptedService::new(audit, principals.clone()));
    Ok(())
}

fn ask(question: Option<proto::Question>) -> crate::error::Result<Ask> {
    let invalid = |message: &str| Error::new(Code::InvalidRequest, message);
    let question = question.ok_or_else(|| invalid("the request has no question"))?;
    let mechanism = mechanism(question.mechanism)?;
    let parameters = question.parameters.into_iter().map(parameter).collect::<crate::error::Result<_>>()?;
    let wanted = question.accuracy.unwrap_or_default();
    let accuracy = Accuracy::new(wanted.error, wanted.relative_error, wanted.magnitude, wanted.confidence);
    Ok(Ask {
        parameters,
        dataset: question.dataset,
        purpose: question.purpose,
        sql: question.sql,
        epsilon: question.epsilon,
        delta: question.delta,
        max_groups: question.max_groups_contributed,
        max_rows: question.max_rows_contributed,
        mechanism,
        non_negative: question.non_negative,
        consistent: question.consistent,
        accuracy: accuracy.map_err(|message| invalid(&message))?,
    })
}

/// What one more draw is for, and how it is to be.
fn refinement(wanted: Option<proto::Refinement>) -> crate::error::Result<(String, Refinement)> {
    let invalid = |message: &str| Error::new(Code::InvalidRequest, message);
    let wanted = wanted.filter(|wanted| !wanted.of.is_empty());
    let wanted = wanted.ok_or_else(|| invalid("name the query id of the answer that is to be refined"))?;
    let proto::Accuracy { error, relative_error, magnitude, confidence } = wanted.accuracy.unwrap_or_default();
    let mechanism = mechanism(wanted.mechanism)?;
    let refinement = Refinement { epsilon: wanted.epsilon, error, relative_error, magnitude, confidence, mechanism };
    Ok((query_id(wanted.of)?, refinement))
}

fn mechanism(number: i32) -> crate::error::Result<Option<Mechanism>> {
    Ok(match proto::Mechanism::try_from(number) {
        Ok(proto::Mechanism::Unspecified) => None,
        Ok(proto::Mechanism::Automatic) => Some(Mechanism::Automatic),
        Ok(proto::Mechanism::Laplace) => Some(Mechanism::Laplace),
        Ok(proto::Mechanism::Gaussian) => Some(Mechanism::Gaussian),
        Err(_) => {
            let message = "the mechanism is not known: use AUTOMATIC, LAPLACE or GAUSSIAN";
            return Err(Error::new(Code::InvalidRequest, message));
        }
    })
}

fn parameter(parameter: proto::Parameter) -> crate::error::Result<Parameter> {
    use proto::parameter::Value;
    Ok(match parameter.value {
        Some(Value::Null(_)) => Parameter::Null,
        Some(Value::Boolean(value)) => Parameter::Bool(value),
        Some(Value::Whole(value)) => Parameter::Int(value),
        Some(Value::Number(value)) => Parameter::Float(value),
        Some(Value::Text(value)) => Parameter::Text(value),
        Some(Value::Date(value)) => Parameter::Date(value),
        Some(Value::Timestamp(value)) => Parameter::Timestamp(value),
        None => return Err(Error::new(Code::InvalidRequest, "a parameter of the request has no value; NULL is one")),
    })
}

/// One that nobody has used.
pub(super) fn new_query_id() -> String {
    hex(&rand::random::<[u8; 16]>())
}

/// The client's id, or a new one.
fn query_id(wanted: String) -> crate::error::Result<String> {
    if wanted.is_empty() {
        return Ok(new_query_id());
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if wanted.len() <= MAX_QUERY_ID && wanted.bytes().all(plain) {
        return Ok(wanted);
    }
    let message = format!("a query id has at most {MAX_QUERY_ID} of A-Z, a-z, 0-9, '.', '_' and '-'");
    Err(Error::new(Code::InvalidRequest, message))
}

/// One call, from its headers to its outcome.
pub(super) struct Call {
    method: &'static str,
    pub(super) who: String,
    started: Instant,
    span: Span,
    /// What the log says of the call where it is refused: never text of the question.
    about: serde_json::Map<String, Value>,
}

/// Codes that say that something was refused. What failed has entries of its own, and where the ledger cannot be written there is none.
fn is_refusal(code: Code) -> bool {
    !matches!(
        code,
        Code::ServerBusy | Code::ExecutionFailed | Code::LedgerUnavailable | Code::Unreachable | Code::Internal
    )
}

impl Call {
    pub(super) fn begin<T>(method: &'static str, request: &Request<T>) -> Result<Call, Status> {
        let found = request.extensions().get::<Principal>().map(|p| p.0.clone());
        let who = found.ok_or_else(|| status(&Error::new(Code::Unauthenticated, "there is no credential")))?;
        let (started, span) = (Instant::now(), telemetry::call(method, request.metadata()));
        Ok(Call { method, who, started, span, about: Default::default() })
    }

    /// Says what the call is about, where that is a name of the server's own or fits a query id.
    fn about(&mut self, session: &Session, dataset: &str, query_id: &str) {
        if session.dataset(dataset).is_some() {
            self.about.insert("dataset".to_owned(), dataset.into());
        }
        if !query_id.is_empty() && self::query_id(query_id.to_owned()).is_ok() {
            self.about.insert("query_id".to_owned(), query_id.into());
        }
    }

    /// Does the work; logs it without text or values, counts it, and turns its error into a status.
    pub(super) async fn run<T>(
        self,
        session: &Session,
        work: impl Future<Output = crate::error::Result<T>>,
    ) -> Result<T, Status> {
        self.run_as(session, work, status).await
    }

    /// The same, with a status of one's own.
    pub(super) async fn run_as<T>(
        self,
        session: &Session,
        work: impl Future<Output = crate::error::Result<T>>,
        status: impl Fn(&Error) -> Status,
    ) -> Result<T, Status> {
        let Call { method, who, started, span, mut about } = self;
        let result = work.instrument(span.clone()).await;
        if let Some(e) = result.as_ref().err().filter(|e| is_refusal(e.code)) {
            let policy = session.known_policy();
            about.extend(
                [("principal", who.as_str()), ("call", method), ("code", e.code.name()), ("policy", &policy)]
                    .map(|(name, text)| (name.to_owned(), text.into())),
            );
            // It says nothing about data, and is told where the ledger cannot be written too.
            if let Err(e) = session.ledger().note_refusal(Value::Object(about)).await {
                tracing::error!(error = %e, method, "a refusal is not in the log");
            }
        }
        let code = result.as_ref().err().map_or("OK", |e| e.code.name());
        tracing::info!(method, principal = who, code, millis = started.elapsed().as_millis() as u64, "call");
        session.metrics().called(method, &result);
        telemetry::finish(&span, &result);
        result.map_err(|e| status(&e))
    }
}

#[tonic::async_trait]
impl query_service_server::QueryService for QueryApi {
    async fn quote(&self, request: Request<proto::QuoteRequest>) -> Result<Response<proto::QuoteResponse>, Status> {
        let mut call = Call::begin("quote", &request)?;
        let (who, question) = (call.who.clone(), request.into_inner().question);
        call.about(&self.0, question.as_ref().map_or("", |question| &question.dataset), "");
        let quoted = async {
            let ask = ask(question)?;
            quote_message(&self.0, &self.0.plan(&who, &ask).await?).await
        };
        call.run(&self.0, quoted).await.map(Response::new)
    }

    async fn quote_refinement(
        &self,
        request: Request<proto::QuoteRefinementRequest>,
    ) -> Result<Response<proto::QuoteResponse>, Status> {
        let call = Call::begin("quote_refinement", &request)?;
        let who = call.who.clone();
        let quoted = async {
            let (of, refinement) = refinement(request.into_inner().refinement)?;
            quote_message(&self.0, &self.0.plan_refinement(&who, &of, &refinement).await?).await
        };
        call.run(&self.0, quoted).await.map(Response::new)
    }

    type ExecuteStream = ReceiverStream<Result<proto::ExecuteResponse, Status>>;

    async fn execute(&self, request: Request<proto::ExecuteRequest>) -> Result<Response<Self::ExecuteStream>, Status> {
        let mut call = Call::begin("execute", &request)?;
        let (who, session, span) = (call.who.clone(), self.0.clone(), call.span.clone());
        let proto::ExecuteRequest { question, query_id: wanted, fresh } = request.into_inner();
        call.about(&self.0, question.as_ref().map_or("", |question| &question.dataset), &wanted);
        Ok(streamed(self.0.clone(), call, async move {
            let (ask, id) = (ask(question)?, query_id(wanted)?);
            let dataset: String = ask.dataset.chars().take(64).collect();
            span.record("undertone.dataset", dataset).record("undertone.query_id", &id);
            session.execute(&who, &ask, &id, fresh).await
        }))
    }

    type RefineStream = ReceiverStream<Result<proto::ExecuteResponse, Status>>;

    async fn refine(&self, request: Request<proto::RefineRequest>) -> Result<Response<Self::RefineStream>, Status> {
        let call = Call::begin("refine", &request)?;
        let (who, session, span) = (call.who.clone(), self.0.clone(), call.span.clone());
        let proto::RefineRequest { refinement: wanted, query_id: id } = request.into_inner();
        Ok(streamed(self.0.clone(), call, async move {
            let ((of, refinement), id) = (refinement(wanted)?, query_id(id)?);
            span.record("undertone.query_id", &id);
            session.refine(&who, &of, &refinement, &id).await
        }))
    }

    async fn get_answer(
        &self,
        request: Request<proto::GetAnswerRequest>,
    ) -> Result<Response<proto::GetAnswerResponse>, Status> {
        let call = Call::begin("get_answer", &request)?;
        let who = call.who.clone();
        let wanted = request.into_inner().query_id;
        let found = async {
            if wanted.is_empty() {
                return Err(Error::new(Code::InvalidRequest, "name the query id of the answer"));
            }
            let id = query_id(wanted)?;
            let stored = self.0.ledger().answer(&who, &id).await?;
            let stored = stored
                .ok_or_else(|| Error::new(Code::UnknownQueryId, format!("you have no answer under query id '{id}'")))?;
            answer_message(&self.0, stored, true).await
        };
        let answer = call.run(&self.0, found).await?;
        Ok(Response::new(proto::GetAnswerResponse { answer: Some(answer) }))
    }
}

type Streamed = Response<ReceiverStream<Result<proto::ExecuteResponse, Status>>>;

/// Signs of life while an answer is made, and then the answer.
fn streamed(
    session: Arc<Session>,
    call: Call,
    work: impl Future<Output = crate::error::Result<Delivered>> + Send + 'static,
) -> Streamed {
    let started = call.started;
    let (send, receive) = mpsc::channel(4);
    // A task of its own: what was charged is answered and stored even where the caller goes away.
    let mut work = tokio::spawn(async move {
        let _asking = session.metrics().asking();
        let answered = async {
            let delivered = work.await?;
            answer_message(&session, delivered.stored, delivered.replayed).await
        };
        call.run(&session, answered).await
    });
    tokio::spawn(async move {
        let mut beat = tokio::time::interval(HEARTBEAT);
        let outcome = loop {
            tokio::select! {
                done = &mut work => break done,
                _ = beat.tick() => {
                    let elapsed_millis = started.elapsed().as_millis() as u64;
                    let event = Event::Progress(proto::Progress { elapsed_millis });
                    let _ = send.try_send(Ok(proto::ExecuteResponse { event: Some(event) }));
                }
            }
        };
        let last = match outcome {
            Ok(answer) => answer.map(|a| proto::ExecuteResponse { event: Some(Event::Answer(a)) }),
            Err(_) => {
                Err(status(&Error::internal("the question's task ended early; ask again under the same query id")))
            }
        };
        let _ = send.send(last).await;
    });
    Response::new(ReceiverStream::new(receive))
}

/// What a question would cost. That it was asked is in the log when this returns.
pub(super) async fn quote_message(session: &Session, planned: &Planned) -> crate::error::Result<proto::QuoteResponse> {
    session.note_quote(planned).await?;
    let balances = session.ledger().scope(&planned.account, &planned.tiers).await?;
    let governance::Priced { charge, pool_charge, .. } = planned.priced;
    Ok(proto::QuoteResponse {
        price: Some(governance::price_message(&charge, &planned.priced)),
        columns: governance::columns(&planned.statement.columns, &planned.priced),
        releases: governance::releases(&planned.priced, &planned.names()),
        plan: Some(governance::steps(&planned.statement, &planned.names())),
        question_digest: planned.digest(),
        confidence: 1.0 - ALPHA,
        affordable: balances.as_ref().is_some_and(|scope| scope.affords(charge, pool_charge)),
        answered: session.is_answered(planned).await?,
        balance: balances.map(|b| governance::balance_message(&b)),
        advice: planned.advice.clone().unwrap_or_default(),
    })
}

/// The stored bytes with the balance of now.
async fn answer_message(
    session: &Session,
    stored: StoredAnswer,
    replayed: bool,
) -> crate::error::Result<proto::Answer> {
    let answer = proto::Answer::decode(stored.bytes.as_slice())
        .map_err(|_| Error::internal("a stored answer cannot be read"))?;
    let paid = answer.receipt.as_ref().and_then(|receipt| receipt.balance_after.as_ref());
    let tiers =
        paid.into_iter().flat_map(|balance| &balance.shared).filter_map(|shared| shared.name.strip_prefix("tier "));
    let tiers: Vec<Account> = tiers.map(|name| Account::tier(&stored.account.dataset, name)).collect();
    let balance = session.ledger().scope(&stored.account, &tiers).await?;
    Ok(proto::Answer {
        query_id: stored.query_id,
        balance: balance.map(|b| governance::balance_message(&b)),
        replayed,
        ..answer
    })
}

#[tonic::async_trait]
impl budget_service_server::BudgetService for BudgetApi {
    async fn get_balances(
        &self,
        request: Request<proto::GetBalancesRequest>,
    ) -> Result<Response<proto::GetBalancesResponse>, Status> {
        let call = Call::begin("get_balances", &request)?;
        let who = call.who.clone();
        let dataset = request.into_inner().dataset;
        let found = async {
            let is_mine =
                |account: &Account| account.principal == who && (dataset.is_empty() || account.dataset == dataset);
            let mine = self.0.ledger().scopes(is_mine).await?;
            Ok(proto::GetBalancesResponse { balances: mine.iter().map(governance::balance_message).collect() })
        };
        call.run(&self.0, found).await.map(Response::new)
    }

    async fn request_budget(
        &self,
        request: Request<proto::RequestBudgetRequest>,
    ) -> Result<Response<proto::ProposalResponse>, Status> {
        let call = Call::begin("request_budget", &request)?;
        let who = call.who.clone();
        let asked = governance_api::request_budget(&self.0, &who, request.into_inner());
        call.run(&self.0, asked).await.map(Response::new)
    }

    async fn list_requests(
        &self,
        request: Request<proto::ListRequestsRequest>,
    ) -> Result<Response<proto::ListProposalsResponse>, Status> {
        let call = Call::begin("list_requests", &request)?;
        let who = call.who.clone();
        call.run(&self.0, governance_api::requests(&self.0, &who)).await.map(Response::new)
    }
}

#[tonic::async_trait]
impl catalog_service_server::CatalogService for CatalogApi {
    async fn list_datasets(
        &self,
        request: Request<proto::ListDatasetsRequest>,
    ) -> Result<Response<proto::ListDatasetsResponse>, Status> {
        let call = Call::begin("list_datasets", &request)?;
        let who = call.who.clone();
        let found = async {
            let policy = self.0.policy().await?;
            let known = self.0.datasets(&who).await?;
            let datasets = known.iter().map(|(dataset, accounts)| dataset_message(dataset, accounts, &policy));
            Ok(proto::ListDatasetsResponse { datasets: datasets.collect() })
        };
        call.run(&self.0, found).await.map(Response::new)
    }
}

/// As somebody with these accounts sees it: without columns that none of them may read.
pub(super) fn dataset_message(dataset: &Dataset, accounts: &[Balance], policy: &Policy) -> proto::Dataset {
    let may_read = |table: &Table, column: &Column| {
        accounts.iter().any(|account| policy.may_read(dataset, account, table, column).is_ok())
    };
    let may_read_rows =
        |table: &&Table| accounts.iter().any(|account| policy.may_read_rows(dataset, account, table).is_ok());
    // Of several accounts, as the one that may ask for most.
    let rules = accounts.iter().map(|account| policy.rules(dataset, account)).max_by_key(|rules| rules.max_epsilon);
    let rules = rules.unwrap_or_else(|| dataset.rules.clone());
    let mechanism = match dataset.rules.mechanism {
        Mechanism::Automatic => proto::Mechanism::Automatic,
        Mechanism::Laplace => proto::Mechanism::Laplace,
        Mechanism::Gaussian => proto::Mechanism::Gaussian,
    };
    proto::Dataset {
        name: dataset.name.clone(),
        description: dataset.description.clone(),
        privacy_unit: dataset.privacy_unit.clone(),
        tables: dataset
            .tables
            .iter()
            .filter(may_read_rows)
            .map(|table| table_message(table, |column| may_read(table, column)))
            .collect(),
        default_epsilon: rules.default_epsilon.to_string(),
        max_epsilon: rules.max_epsilon.to_string(),
        default_delta: rules.default_delta.to_string(),
        max_delta: rules.max_delta.to_string(),
        max_groups_contributed: match dataset.rules.open_groups {
            true => 0,
            false => dataset.rules.contribution.groups,
        },
        max_rows_contributed: match dataset.rules.open_rows {
            true => 0,
            false => dataset.rules.contribution.rows,
        },
        default_mechanism: mechanism.into(),
        policy_version: dataset.policy_version.clone(),
        purposes: accounts.iter().map(|balance| balance.account.purpose.clone()).collect(),
    }
}

fn table_message(table: &Table, may_read: impl Fn(&Column) -> bool) -> proto::Table {
    proto::Table {
        name: table.name.clone(),
        description: table.description.clone(),
        protected: table.protection != Protection::Public,
        columns: table
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| may_read(column))
            .map(|(at, column)| column_message(column, table.is_unit(at)))
            .collect(),
    }
}

/// The day of a moment, in microseconds since 1970.
pub(super) fn date(micros: f64) -> String {
    let part = |part: DatePart| part.of(micros as i64);
    format!("{:04}-{:02}-{:02}", part(DatePart::Year), part(DatePart::Month), part(DatePart::Day))
}

fn column_message(column: &Column, privacy_unit: bool) -> proto::Column {
    proto::Column {
        name: column.name.clone(),
        description: column.description.clone(),
        r#type: column.ty.sql().into(),
        privacy_unit,
        lower: column.bounds.filter(|_| column.ty.is_numeric()).map(|b| b.low),
        upper: column.bounds.filter(|_| column.ty.is_numeric()).map(|b| b.high),
        domain: match (&column.domain, column.bounds) {
            (Some(domain), _) => format!("{} ({} values)", domain.origin, domain.values.len()),
            (None, Some(range)) if !column.ty.is_numeric() => {
                format!("parts of dates from {} to {}", date(range.low), date(range.high))
            }
            (None, _) => String::new(),
        },
        tier: column.tier.clone(),
    }
}
