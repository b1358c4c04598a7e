//! Changes of the policy: proposed, judged by others, and carried out.
//!
//! A proposal is an edit of the policy in force, whichever that is when it is decided. The approval that is the last one it needs carries it out
//! in one transaction, and only if the policy is still the one for which all of them approved its effect.

use super::Session;
use crate::catalog::Outline;
use crate::error::{Code, Error, Result};
use crate::ledger::{NewPolicy, Opinion, Proposal};
use crate::policy::{self, Edit, Effect, Policy, Role};

/// Longest reason or justification, in bytes.
const MAX_REASON: usize = 2000;

/// What an edit would do now, and the policy that it would make.
pub struct Simulated {
    pub effect: Effect,
    pub before: Policy,
    pub after: Policy,
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidRequest, message)
}

fn reason(text: &str) -> Result<String> {
    let text = text.trim();
    match text.len() {
        // It is shown to whoever decides, and must not look like anything else.
        1..=MAX_REASON if !text.chars().any(char::is_control) => Ok(text.to_owned()),
        _ => Err(invalid(format!("give a reason, of at most {MAX_REASON} bytes and in one line"))),
    }
}

impl Session {
    /// What an edit of the policy in force would do. Changes nothing.
    ///
    /// Errors: `INVALID_REQUEST` where it makes no policy for the datasets that are served, changes nothing, or would take back what was spent; `POLICY_CHANGED` where it was made from another one.
    pub async fn simulate(&self, edit: &Edit) -> Result<Simulated> {
        let before = self.policy().await?.as_ref().clone();
        let outlines: Vec<_> = self.engines().values().map(|engine| Outline::of(engine.dataset())).collect();
        // What is wrong with the policy that it makes is wrong with the request.
        let after =
            edit.of(&before).and_then(|after| after.covers(&outlines).map(|()| after)).map_err(|e| match e.code {
                Code::Configuration => invalid(e.message),
                _ => e,
            })?;
        if before.document == after.document {
            return Err(invalid("this changes nothing"));
        }
        let effect = policy::effect(&before, &after, &self.ledger.accounts().await?)?;
        if let (Edit::Move { .. }, Some(change)) = (edit, effect.accounts.iter().find(|change| change.overdrawn)) {
            return Err(invalid(format!("{} has spent too much of this already: move less", change.account)));
        }
        Ok(Simulated { effect, before, after })
    }

    /// Proposes an edit, for others to approve.
    pub async fn propose(&self, who: &str, edit: Edit, why: &str) -> Result<Proposal> {
        self.policy().await?.permit(who, &[Role::Governance])?;
        let Simulated { effect, .. } = self.simulate(&edit).await?;
        self.keep(who, &edit, why, effect.approvals).await
    }

    /// Asks for a budget. Whether there is such a dataset or purpose is for governance to see: a request tells nobody.
    pub async fn request_budget(&self, who: &str, edit: Edit, why: &str) -> Result<Proposal> {
        self.policy().await?.permit(who, &[Role::Analyst])?;
        edit.check()?;
        self.keep(who, &edit, why, 1).await
    }

    async fn keep(&self, who: &str, edit: &Edit, why: &str, approvals: i64) -> Result<Proposal> {
        let edit = serde_json::to_string(edit).map_err(|e| Error::internal(e.to_string()))?;
        let proposal = Proposal {
            id: 0,
            at: 0,
            author: who.to_owned(),
            edit,
            reason: reason(why)?,
            approvals,
            state: "open".to_owned(),
            opinions: vec![],
        };
        let id = self.ledger.propose(proposal).await?;
        self.proposal(id).await
    }

    pub async fn proposal(&self, id: i64) -> Result<Proposal> {
        let found = self.ledger.proposals().await?.into_iter().find(|proposal| proposal.id == id);
        found.ok_or_else(|| invalid(format!("there is no proposal {id}")))
    }

    /// Approves or rejects somebody else's proposal.
    ///
    /// Errors: `NOT_PERMITTED` for its author and whoever is not governance; `INVALID_REQUEST` where it is not open, or cannot be carried out any more.
    pub async fn decide(&self, who: &str, id: i64, approves: bool, why: &str, based_on: &str) -> Result<Proposal> {
        self.policy().await?.permit(who, &[Role::Governance])?;
        let proposal = self.proposal(id).await?;
        let policy = self.policy().await?.hash.clone();
        let opinion = Opinion { who: who.to_owned(), approves, reason: reason(why)?, at: 0, policy: policy.clone() };
        if proposal.state != "open" {
            return Err(invalid(format!("proposal {id} is {} already", proposal.state)));
        }
        if !approves {
            self.ledger.judge(id, opinion).await?;
            return self.proposal(id).await;
        }
        if proposal.author == who {
            let message = "a proposal is approved by somebody else than its author";
            return Err(Error::new(Code::NotPermitted, message));
        }
        if !based_on.is_empty() && based_on != policy {
            let message = "the policy has changed since the effect of this proposal was shown: look at it again";
            return Err(Error::new(Code::PolicyChanged, message));
        }
        let edit = edit_of(&proposal)?;
        let Simulated { effect, before, after } = self.simulate(&edit).await?;
        self.ledger.judge(id, opinion).await?;
        // Whoever else approved meanwhile is counted by one of both, at least. Who approved it for another policy approved another effect, and who has lost the
        // role since does not count.
        let proposal = self.proposal(id).await?;
        let counts =
            |of: &&Opinion| of.approves && of.policy == before.hash && before.has_role(&of.who, Role::Governance);
        let approved_by: Vec<String> = proposal.opinions.iter().filter(counts).map(|of| of.who.clone()).collect();
        // The policy may ask for more by now than it did when this was proposed.
        if approved_by.len() < effect.approvals.max(proposal.approvals) as usize {
            return Ok(proposal);
        }
        let unspent = match edit {
            Edit::Move { .. } => effect.accounts.into_iter().map(|change| change.account).collect(),
            _ => vec![],
        };
        let new = NewPolicy {
            author: proposal.author,
            approved_by,
            reason: proposal.reason,
            based_on: Some(before.hash.clone()),
            proposal: Some(id),
            unspent,
            ..after.succeeding(&before, effect.rules)?
        };
        let applied = self.ledger.apply(new).await;
        let proposal = self.proposal(id).await?;
        // Another approval, at the same moment, may have carried it out.
        if proposal.state == "open" { applied.map(|()| proposal) } else { Ok(proposal) }
    }
}

impl Session {
    /// Stops all accounts of a holder, or lets them go on.
    pub async fn freeze(&self, who: &str, dataset: &str, holder: &str, why: &str, stop: bool) -> Result<()> {
        self.ledger.hold(who, dataset, holder, &reason(why)?, stop).await
    }
}

/// What a proposal would change.
pub fn edit_of(proposal: &Proposal) -> Result<Edit> {
    serde_json::from_str(&proposal.edit).map_err(|_| Error::internal("a proposal cannot be read"))
}
