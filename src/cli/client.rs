//! A gRPC client, as the commands use it.

use super::profile::Target;
use crate::api::{CODE_KEY, POSITION_KEY};
use crate::error::{Code, Error, Result};
use crate::proto::budget_service_client::BudgetServiceClient;
use crate::proto::catalog_service_client::CatalogServiceClient;
use crate::proto::governance_service_client::GovernanceServiceClient;
use crate::proto::query_service_client::QueryServiceClient;
use crate::proto::{self, execute_response::Event};
use std::io::{IsTerminal, Write};
use std::net::IpAddr;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

/// Largest answer that is accepted.
const MAX_ANSWER_BYTES: usize = 1 << 30;

/// Puts the token on every call.
#[derive(Clone)]
struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A connection to a server as one principal.
pub struct Client {
    channel: InterceptedService<Channel, Bearer>,
}

impl Client {
    /// Connects. Plaintext goes to this machine only: a token must not travel in the clear.
    pub async fn connect(target: &Target) -> Result<Client> {
        let Target { url, token, tls, .. } = target;
        let url = if url.contains("://") { url.clone() } else { format!("http://{url}") };
        let unusable =
            |why: String| Error::new(Code::InvalidRequest, format!("cannot use server address {url}: {why}"));
        let mut endpoint = Endpoint::from_shared(url.clone()).map_err(|e| unusable(e.to_string()))?;
        let host = endpoint.uri().host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if endpoint.uri().scheme_str() == Some("https") {
            endpoint = endpoint.tls_config(tls.config()?).map_err(|e| unusable(e.to_string()))?;
        } else if host != "localhost" && !host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
            return Err(unusable(
                "a token must not travel in clear text to another machine; connect to an https address".into(),
            ));
        }
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}")
            .parse()
            .map_err(|_| Error::new(Code::Unauthenticated, "the token has characters that no token has"))?;
        value.set_sensitive(true);
        let channel = endpoint.connect().await.map_err(|e| {
            let message = format!("no server answers at {url}{}: start one with `undertone serve`", reason(&e));
            Error::new(Code::Unreachable, message)
        })?;
        Ok(Client { channel: InterceptedService::new(channel, Bearer(value)) })
    }

    pub async fn datasets(&mut self) -> Result<Vec<proto::Dataset>> {
        let mut client = CatalogServiceClient::new(self.channel.clone());
        let found = client.list_datasets(proto::ListDatasetsRequest {}).await.map_err(error)?;
        Ok(found.into_inner().datasets)
    }

    pub async fn balances(&mut self, dataset: String) -> Result<Vec<proto::Balance>> {
        let mut client = BudgetServiceClient::new(self.channel.clone());
        let found = client.get_balances(proto::GetBalancesRequest { dataset }).await.map_err(error)?;
        Ok(found.into_inner().balances)
    }

    pub async fn request_budget(&mut self, request: proto::RequestBudgetRequest) -> Result<proto::Proposal> {
        let mut client = BudgetServiceClient::new(self.channel.clone());
        Ok(client.request_budget(request).await.map_err(error)?.into_inner().proposal.unwrap_or_default())
    }

    pub async fn requests(&mut self) -> Result<Vec<proto::Proposal>> {
        let mut client = BudgetServiceClient::new(self.channel.clone());
        Ok(client.list_requests(proto::ListRequestsRequest {}).await.map_err(error)?.into_inner().proposals)
    }

    fn governance(&self) -> GovernanceServiceClient<InterceptedService<Channel, Bearer>> {
        GovernanceServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    pub async fn policy(&mut self, version: i64) -> Result<proto::GetPolicyResponse> {
        let found = self.governance().get_policy(proto::GetPolicyRequest { version }).await;
        Ok(found.map_err(error)?.into_inner())
    }

    pub async fn policies(&mut self) -> Result<Vec<proto::PolicyVersion>> {
        let found = self.governance().list_policies(proto::ListPoliciesRequest {}).await;
        Ok(found.map_err(error)?.into_inner().versions)
    }

    pub async fn simulate(&mut self, edit: proto::Edit) -> Result<proto::SimulateResponse> {
        let found = self.governance().simulate(proto::SimulateRequest { edit: Some(edit) }).await;
        Ok(found.map_err(error)?.into_inner())
    }

    pub async fn propose(&mut self, edit: proto::Edit, reason: String) -> Result<proto::Proposal> {
        let found = self.governance().propose(proto::ProposeRequest { edit: Some(edit), reason }).await;
        Ok(found.map_err(error)?.into_inner().proposal.unwrap_or_default())
    }

    pub async fn proposals(&mut self, open: bool) -> Result<Vec<proto::Proposal>> {
        let found = self.governance().list_proposals(proto::ListProposalsRequest { open }).await;
        Ok(found.map_err(error)?.into_inner().proposals)
    }

    pub async fn decide(
        &mut self,
        proposal: i64,
        approve: bool,
        reason: String,
        based_on: String,
    ) -> Result<proto::Proposal> {
        let found = self.governance().decide(proto::DecideRequest { proposal, approve, reason, based_on }).await;
        Ok(found.map_err(error)?.into_inner().proposal.unwrap_or_default())
    }

    pub async fn freeze(&mut self, request: proto::FreezeRequest) -> Result<()> {
        self.governance().freeze(request).await.map(|_| ()).map_err(error)
    }

    pub async fn accounts(&mut self, dataset: String) -> Result<proto::ListAccountsResponse> {
        let found = self.governance().list_accounts(proto::ListAccountsRequest { dataset }).await;
        Ok(found.map_err(error)?.into_inner())
    }

    pub async fn quote(&mut self, question: proto::Question) -> Result<proto::QuoteResponse> {
        let mut client = QueryServiceClient::new(self.channel.clone());
        let quote = client.quote(proto::QuoteRequest { question: Some(question) }).await.map_err(error)?;
        Ok(quote.into_inner())
    }

    /// An answer that was paid for.
    pub async fn answer(&mut self, query_id: String) -> Result<proto::Answer> {
        let mut client = QueryServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES);
        let found = client.get_answer(proto::GetAnswerRequest { query_id }).await.map_err(error)?;
        Ok(found.into_inner().answer.unwrap_or_default())
    }

    pub async fn quote_refinement(&mut self, refinement: proto::Refinement) -> Result<proto::QuoteResponse> {
        let mut client = QueryServiceClient::new(self.channel.clone());
        let request = proto::QuoteRefinementRequest { refinement: Some(refinement) };
        Ok(client.quote_refinement(request).await.map_err(error)?.into_inner())
    }

    /// Pays for one more draw for an answer, and waits.
    pub async fn refine(&mut self, refinement: proto::Refinement, query_id: String) -> Result<proto::Answer> {
        let mut client = QueryServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES);
        let request = proto::RefineRequest { refinement: Some(refinement), query_id };
        answered(client.refine(request).await.map_err(error)?.into_inner(), true).await
    }

    /// Asks and waits; `progress` shows the time that it takes, on a terminal.
    pub async fn execute(
        &mut self,
        question: proto::Question,
        query_id: String,
        fresh: bool,
        progress: bool,
    ) -> Result<proto::Answer> {
        let mut client = QueryServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES);
        let request = proto::ExecuteRequest { question: Some(question), query_id, fresh };
        answered(client.execute(request).await.map_err(error)?.into_inner(), progress).await
    }
}

/// To the end of the stream: a call that is dropped early is reset, and a server bears only so many resets.
async fn answered(mut events: Streaming<proto::ExecuteResponse>, progress: bool) -> Result<proto::Answer> {
    let mut line = ProgressLine { shown: false, on: progress && std::io::stderr().is_terminal() };
    let mut found = None;
    while let Some(event) = events.message().await.map_err(error)? {
        match event.event {
            Some(Event::Answer(answer)) => found = Some(answer),
            Some(Event::Progress(p)) => line.show(p.elapsed_millis),
            None => {}
        }
    }
    found.ok_or_else(|| {
        Error::internal("the server ended the call without an answer; ask again with the same --query-id")
    })
}

/// What TLS has against the server, where it is that.
fn reason(e: &tonic::transport::Error) -> String {
    let mut cause = std::error::Error::source(e);
    while let Some(next) = cause.and_then(std::error::Error::source) {
        cause = Some(next);
    }
    let text = cause.map(ToString::to_string).unwrap_or_default();
    match text.contains("certificate") || text.contains("TLS") {
        true => format!(" with a certificate that is trusted here ({text}; --ca names its authority)"),
        false => String::new(),
    }
}

/// One line on standard error that is gone when the answer is there.
struct ProgressLine {
    shown: bool,
    on: bool,
}

impl ProgressLine {
    fn show(&mut self, millis: u64) {
        if self.on {
            self.shown = true;
            eprint!("\r  asking ... {:.1} s ", millis as f64 / 1000.0);
            // A terminal that cannot be flushed shows the line late; nothing else is lost.
            let _ = std::io::stderr().flush();
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.shown {
            eprint!("\r\x1b[2K");
        }
    }
}

/// A status as the error that the server meant.
fn error(status: Status) -> Error {
    let trailer = |key: &str| status.metadata().get(key).and_then(|v| v.to_str().ok());
    let code = match trailer(CODE_KEY) {
        Some(name) => Code::ALL.into_iter().find(|c| c.name() == name).unwrap_or(Code::InvalidRequest),
        // Not the server's own words: the connection's.
        None => Code::Unreachable,
    };
    let at = trailer(POSITION_KEY).and_then(|text| {
        let (line, column) = text.split_once(':')?;
        Some(crate::error::Position { line: line.parse().ok()?, column: column.parse().ok()? })
    });
    let message = status.message();
    let plain = at
        .and_then(|at| message.strip_suffix(&format!(" (line {}, column {})", at.line, at.column)))
        .unwrap_or(message);
    Error::new(code, plain).or_at(at)
}
