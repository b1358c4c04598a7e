//! Changes of the policy: proposed, judged by others, and carried out.
//!
//! A proposal is an edit of the policy in force, whichever that is when it is decided. The approval that is the last one it needs carries it out
//! in the same transaction, and only if the policy is still the one that its effect was shown for.

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
        1..=MAX_REASON => Ok(text.to_owned()),
        _ => Err(invalid(format!("give a reason, of at most {MAX_REASON} bytes"))),
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
            edit.of(&before).and_then(|after| after.fits(&outlines).map(|()| after)).map_err(|e| match e.code {
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

    /// Asks for a budget.
    pub async fn request_budget(&self, who: &str, edit: Edit, why: &str) -> Result<Proposal> {
        self.policy().await?.permit(who, &[Role::Analyst])?;
        let Simulated { effect, .. } = self.simulate(&edit).await?;
        self.keep(who, &edit, why, effect.approvals).await
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
    pub async fn decide(&self, who: &str, id: i64, approves: bool, why: &str) -> Result<Proposal> {
        self.policy().await?.permit(who, &[Role::Governance])?;
        let proposal = self.proposal(id).await?;
        let opinion = Opinion { who: who.to_owned(), approves, reason: reason(why)?, at: 0 };
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
        let edit = edit_of(&proposal)?;
        let Simulated { effect, before, after } = self.simulate(&edit).await?;
        // The policy may ask for more by now than it did when this was proposed.
        let needed = effect.approvals.max(proposal.approvals) as usize;
        let mut approved_by: Vec<String> =
            proposal.opinions.iter().filter(|opinion| opinion.approves).map(|opinion| opinion.who.clone()).collect();
        // Who approved and has lost the role since does not count.
        approved_by.retain(|who| before.has_role(who, Role::Governance));
        if approved_by.len() + 1 < needed {
            self.ledger.judge(id, opinion).await?;
            return self.proposal(id).await;
        }
        approved_by.push(who.to_owned());
        let unspent = match edit {
            Edit::Move { .. } => effect.accounts.into_iter().map(|change| change.account).collect(),
            _ => vec![],
        };
        let new = NewPolicy {
            author: proposal.author,
            approved_by,
            reason: proposal.reason,
            based_on: Some(before.hash.clone()),
            proposal: Some((id, opinion)),
            unspent,
            ..after.succeeding(&before, effect.rules)?
        };
        self.ledger.apply(new).await?;
        self.proposal(id).await
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
