//! The calls of governance and of auditors. None of them sees data or answers.

use super::grpc::Call;
use crate::error::{Code, Error, Result};
use crate::governance::{balance_message, shared_message};
use crate::hex::hex;
use crate::ledger::{Account, Balance, Kind, Opinion, PolicyVersion, Proposal};
use crate::policy::{Change, Edit, Effect, Holder, Policy, Role};
use crate::proto::{self, audit_service_server, edit::Kind as Wanted, governance_service_server};
use crate::session::{Session, Simulated, edit_of};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

#[derive(Clone)]
pub struct GovernanceApi(pub Arc<Session>);
#[derive(Clone)]
pub struct AuditApi(pub Arc<Session>);

/// Who may look at policies, accounts and proposals.
const READERS: &[Role] = &[Role::Governance, Role::Auditor];

fn invalid(message: &str) -> Error {
    Error::new(Code::InvalidRequest, message)
}

fn holder(holder: Option<proto::Holder>) -> Result<Holder> {
    match holder.unwrap_or_default() {
        proto::Holder { principal, purpose, team } if team.is_empty() && !principal.is_empty() => {
            Ok(Holder::Principal { name: principal, purpose })
        }
        proto::Holder { principal, team, .. } if principal.is_empty() && !team.is_empty() => {
            Ok(Holder::Team { name: team })
        }
        _ => Err(invalid("a holder is either a principal with a purpose, or a team")),
    }
}

pub fn edit(edit: Option<proto::Edit>) -> Result<Edit> {
    match edit.and_then(|edit| edit.kind) {
        None => Err(invalid("the request has no edit")),
        Some(Wanted::Policy(proto::NewPolicy { text, based_on })) => Ok(Edit::Document { text, based_on }),
        Some(Wanted::Budget(proto::Budget { principal, dataset, purpose, epsilon, delta })) => {
            Ok(Edit::Budget { principal, dataset, purpose, epsilon, delta })
        }
        Some(Wanted::Move(proto::Move { dataset, from, to, epsilon, delta })) => {
            Ok(Edit::Move { dataset, from: holder(from)?, to: holder(to)?, epsilon, delta })
        }
        Some(Wanted::Revoke(proto::Revoke { principal, dataset, purpose })) => {
            Ok(Edit::Revoke { dataset, principal, purpose })
        }
    }
}

fn edit_message(edit: Edit) -> proto::Edit {
    let holder = |holder| match holder {
        Holder::Principal { name, purpose } => Some(proto::Holder { principal: name, purpose, team: String::new() }),
        Holder::Team { name } => Some(proto::Holder { team: name, ..Default::default() }),
    };
    let kind = match edit {
        Edit::Document { text, based_on } => Wanted::Policy(proto::NewPolicy { text, based_on }),
        Edit::Budget { principal, dataset, purpose, epsilon, delta } => {
            Wanted::Budget(proto::Budget { principal, dataset, purpose, epsilon, delta })
        }
        Edit::Move { dataset, from, to, epsilon, delta } => {
            Wanted::Move(proto::Move { dataset, from: holder(from), to: holder(to), epsilon, delta })
        }
        Edit::Revoke { dataset, principal, purpose } => Wanted::Revoke(proto::Revoke { dataset, principal, purpose }),
    };
    proto::Edit { kind: Some(kind) }
}

/// With the text that it changes: from the policy in force to the one that it makes.
pub fn effect_message(effect: Effect, before: &Policy, after: &Policy) -> proto::Effect {
    let written = |grant: Option<serde_json::Value>| grant.map(|grant| grant.to_string()).unwrap_or_default();
    let change =
        |Change { account, before, after, remaining_before, remaining_after, overdrawn }| proto::AccountChange {
            account: Account::to_string(&account),
            before: written(before),
            after: written(after),
            remaining_before: remaining_before.to_string(),
            remaining_after: remaining_after.to_string(),
            overdrawn,
        };
    let Effect { accounts, rules, approvals } = effect;
    let (diff, based_on) = (before.diff(after, "the policy proposed"), before.hash.clone());
    proto::Effect { accounts: accounts.into_iter().map(change).collect(), rules, approvals, diff, based_on }
}

pub fn version_message(version: PolicyVersion) -> proto::PolicyVersion {
    let PolicyVersion { version, hash, at, author, approved_by, reason, document: _ } = version;
    proto::PolicyVersion { version, hash, at, author, approved_by, reason }
}

/// A proposal, without what it would do.
fn proposal_message(proposal: Proposal) -> Result<proto::Proposal> {
    let edit = Some(edit_message(edit_of(&proposal)?));
    let opinion = |Opinion { who, approves, reason, at, policy: _ }| proto::Opinion { who, approves, reason, at };
    let Proposal { id, at, author, edit: _, reason, approvals, state, opinions } = proposal;
    let opinions = opinions.into_iter().map(opinion).collect();
    Ok(proto::Proposal { id, at, author, reason, edit, state, approvals, opinions, ..Default::default() })
}

/// The same, with what it would do while it is open.
async fn simulated(session: &Session, proposal: Proposal) -> Result<proto::Proposal> {
    let simulated = match proposal.state.as_str() {
        "open" => Some(session.simulate(&edit_of(&proposal)?).await),
        _ => None,
    };
    let message = proposal_message(proposal)?;
    Ok(match simulated {
        None => message,
        // The policy may ask for more approvals by now than it did when this was proposed.
        Some(Ok(Simulated { effect, before, after })) => proto::Proposal {
            approvals: message.approvals.max(effect.approvals),
            effect: Some(effect_message(effect, &before, &after)),
            ..message
        },
        Some(Err(e)) if e.code == Code::LedgerUnavailable => return Err(e),
        Some(Err(e)) => proto::Proposal { obstacle: e.message, ..message },
    })
}

/// What an analyst asks for.
pub async fn request_budget(
    session: &Session,
    who: &str,
    wanted: proto::RequestBudgetRequest,
) -> Result<proto::ProposalResponse> {
    let proto::RequestBudgetRequest { dataset, purpose, epsilon, delta, justification } = wanted;
    let edit = Edit::Budget { principal: who.to_owned(), dataset, purpose, epsilon, delta };
    let proposal = session.request_budget(who, edit, &justification).await?;
    Ok(proto::ProposalResponse { proposal: Some(proposal_message(proposal)?) })
}

/// An analyst's own requests.
pub async fn requests(session: &Session, who: &str) -> Result<proto::ListProposalsResponse> {
    let proposals = session.ledger().proposals().await?.into_iter().filter(|proposal| proposal.author == who);
    Ok(proto::ListProposalsResponse { proposals: proposals.map(proposal_message).collect::<Result<_>>()? })
}

#[tonic::async_trait]
impl governance_service_server::GovernanceService for GovernanceApi {
    async fn get_policy(
        &self,
        request: Request<proto::GetPolicyRequest>,
    ) -> Result<Response<proto::GetPolicyResponse>, Status> {
        let call = Call::begin("get_policy", &request)?;
        let (who, wanted) = (call.who.clone(), request.into_inner().version);
        let found = async {
            self.0.policy().await?.permit(&who, READERS)?;
            let found = self.0.ledger().policies().await?.into_iter();
            let found = found.into_iter().find(|policy| wanted == 0 || policy.version == wanted);
            let found = found.ok_or_else(|| invalid("there is no such version of the policy"))?;
            let text = found.document.clone();
            Ok(proto::GetPolicyResponse { version: Some(version_message(found)), text })
        };
        call.run(&self.0, found).await.map(Response::new)
    }

    async fn list_policies(
        &self,
        request: Request<proto::ListPoliciesRequest>,
    ) -> Result<Response<proto::ListPoliciesResponse>, Status> {
        let call = Call::begin("list_policies", &request)?;
        let who = call.who.clone();
        let found = async {
            self.0.policy().await?.permit(&who, READERS)?;
            let versions = self.0.ledger().policies().await?.into_iter().map(version_message).collect();
            Ok(proto::ListPoliciesResponse { versions })
        };
        call.run(&self.0, found).await.map(Response::new)
    }

    async fn simulate(
        &self,
        request: Request<proto::SimulateRequest>,
    ) -> Result<Response<proto::SimulateResponse>, Status> {
        let call = Call::begin("simulate", &request)?;
        let who = call.who.clone();
        let found = async {
            self.0.policy().await?.permit(&who, READERS)?;
            let Simulated { effect, before, after } = self.0.simulate(&edit(request.into_inner().edit)?).await?;
            let effect = Some(effect_message(effect, &before, &after));
            Ok(proto::SimulateResponse { effect, text: after.text, based_on: before.hash })
        };
        call.run(&self.0, found).await.map(Response::new)
    }

    async fn propose(
        &self,
        request: Request<proto::ProposeRequest>,
    ) -> Result<Response<proto::ProposalResponse>, Status> {
        let call = Call::begin("propose", &request)?;
        let who = call.who.clone();
        let proposed = async {
            let proto::ProposeRequest { edit: wanted, reason } = request.into_inner();
            let proposal = self.0.propose(&who, edit(wanted)?, &reason).await?;
            Ok(proto::ProposalResponse { proposal: Some(simulated(&self.0, proposal).await?) })
        };
        call.run(&self.0, proposed).await.map(Response::new)
    }

    async fn list_proposals(
        &self,
        request: Request<proto::ListProposalsRequest>,
    ) -> Result<Response<proto::ListProposalsResponse>, Status> {
        let call = Call::begin("list_proposals", &request)?;
        let (who, open) = (call.who.clone(), request.into_inner().open);
        let found = async {
            self.0.policy().await?.permit(&who, READERS)?;
            let mut proposals = Vec::new();
            for proposal in self.0.ledger().proposals().await? {
                if !open || proposal.state == "open" {
                    proposals.push(simulated(&self.0, proposal).await?);
                }
            }
            Ok(proto::ListProposalsResponse { proposals })
        };
        call.run(&self.0, found).await.map(Response::new)
    }

    async fn decide(
        &self,
        request: Request<proto::DecideRequest>,
    ) -> Result<Response<proto::ProposalResponse>, Status> {
        let call = Call::begin("decide", &request)?;
        let who = call.who.clone();
        let decided = async {
            let proto::DecideRequest { proposal, approve, reason, based_on } = request.into_inner();
            let proposal = self.0.decide(&who, proposal, approve, &reason, &based_on).await?;
            Ok(proto::ProposalResponse { proposal: Some(simulated(&self.0, proposal).await?) })
        };
        call.run(&self.0, decided).await.map(Response::new)
    }

    async fn freeze(&self, request: Request<proto::FreezeRequest>) -> Result<Response<proto::FreezeResponse>, Status> {
        let call = Call::begin("freeze", &request)?;
        let who = call.who.clone();
        let frozen = async {
            self.0.policy().await?.permit(&who, &[Role::Governance])?;
            let proto::FreezeRequest { dataset, holder, reason, lift } = request.into_inner();
            self.0.freeze(&who, &dataset, &holder, &reason, !lift).await?;
            Ok(proto::FreezeResponse {})
        };
        call.run(&self.0, frozen).await.map(Response::new)
    }

    async fn list_accounts(
        &self,
        request: Request<proto::ListAccountsRequest>,
    ) -> Result<Response<proto::ListAccountsResponse>, Status> {
        let call = Call::begin("list_accounts", &request)?;
        let (who, dataset) = (call.who.clone(), request.into_inner().dataset);
        let found = async {
            self.0.policy().await?.permit(&who, READERS)?;
            let is_wanted = |account: &Account| dataset.is_empty() || account.dataset == dataset;
            let scopes = self.0.ledger().scopes(is_wanted).await?;
            let all = self.0.ledger().balances().await?;
            let shared = all.iter().filter(|b| b.account.kind() != Kind::Own && is_wanted(&b.account));
            Ok(proto::ListAccountsResponse {
                balances: scopes.iter().map(balance_message).collect(),
                shared: shared.map(of_dataset).collect(),
            })
        };
        call.run(&self.0, found).await.map(Response::new)
    }
}

/// An account that several pay with, among those of other datasets.
fn of_dataset(balance: &Balance) -> proto::SharedAccount {
    let message = shared_message(balance);
    match balance.account.kind() {
        Kind::Pool => message,
        _ => proto::SharedAccount { name: format!("{} of {}", message.name, balance.account.dataset), ..message },
    }
}

/// Fails where the caller does not read the log.
async fn permit(session: &Session, who: &str) -> Result<Arc<Policy>> {
    let policy = session.policy().await?;
    policy.permit(who, &[Role::Auditor])?;
    Ok(policy)
}

#[tonic::async_trait]
impl audit_service_server::AuditService for AuditApi {
    async fn get_head(
        &self,
        request: Request<proto::GetHeadRequest>,
    ) -> Result<Response<proto::GetHeadResponse>, Status> {
        let call = Call::begin("get_head", &request)?;
        let who = call.who.clone();
        let found = async {
            permit(&self.0, &who).await?;
            let (entries, hash) = self.0.ledger().head().await?;
            Ok(proto::GetHeadResponse { entries, hash: hex(&hash) })
        };
        call.run(&self.0, found).await.map(Response::new)
    }

    type ReadLogStream = ReceiverStream<Result<proto::AuditEntry, Status>>;

    async fn read_log(&self, request: Request<proto::ReadLogRequest>) -> Result<Response<Self::ReadLogStream>, Status> {
        let call = Call::begin("read_log", &request)?;
        let (who, from) = (call.who.clone(), request.into_inner().from);
        let entries = async {
            permit(&self.0, &who).await?;
            self.0.ledger().audit_entries(from).await
        };
        let entries = call.run(&self.0, entries).await?;
        let (send, receive) = mpsc::channel(64);
        tokio::spawn(async move {
            for entry in entries {
                let (previous, hash) = (hex(&entry.previous), hex(&entry.hash));
                let crate::ledger::Entry { seq, at, kind, body, .. } = entry;
                if send.send(Ok(proto::AuditEntry { seq, at, kind, body, previous, hash })).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receive)))
    }
}
