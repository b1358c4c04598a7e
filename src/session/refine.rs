//! Another draw for an answer that was paid for: the way of a question, from the answer's own query id on.

use super::drawn::{Kept, bounded};
use super::{As, Delivered, Door, Earlier, Planned, Request, Session, busy, digest, stored_as};
use crate::error::{Code, Error, Result};
use crate::governance::{self, Refinement};
use crate::ledger::Balance;
use std::future::ready;
use tokio_util::sync::CancellationToken;

/// Most draws of one answer: the exact interval of their mean takes longer with each.
const MOST_DRAWS: usize = 16;
/// Most of them together, over what noise was added to in each group.
const MOST_MEASURES: usize = 200;

impl Session {
    /// Prices another draw for the answer under the query id `of`. Reads no data and charges nothing.
    ///
    /// Errors: `UNKNOWN_QUERY_ID`; `INVALID_REQUEST` where the answer cannot be refined, or is as accurate already; those of a question.
    pub async fn plan_refinement(&self, principal: &str, of: &str, refinement: &Refinement) -> Result<Planned> {
        self.plan_refinement_as(principal, of, refinement, None).await
    }

    async fn plan_refinement_as(
        &self,
        principal: &str,
        of: &str,
        refinement: &Refinement,
        charged: Option<Vec<u8>>,
    ) -> Result<Planned> {
        let drawn = self.drawn(principal, of).await?;
        let kept = self.workers.compute(move || Kept::read(&drawn)).await?;
        let as_then = As { grant: kept.grant, pure_is_over: kept.pure_is_over, paid: &kept.found };
        let (own, planned) = self.plan_for(principal, &kept.ask, Some(as_then), None).await?;
        let (of, refinement) = (of.to_owned(), refinement.clone());
        let refined = move || refined(planned, kept, (of, &refinement), &own, charged);
        let refined = tokio::time::timeout(self.limits.deadline, self.workers.compute(refined)).await;
        refined.map_err(|_| busy())?
    }

    /// Answers with one more draw: charges it, or finds it paid.
    pub async fn refine(
        &self,
        principal: &str,
        of: &str,
        refinement: &Refinement,
        query_id: &str,
    ) -> Result<Delivered> {
        let digest = digest(&format!("refine {of} {refinement:?}"));
        let door = Door { call: "refine", gone: &CancellationToken::new(), may: |_| ready(Ok(())) };
        let plan = |charged| self.plan_refinement_as(principal, of, refinement, charged);
        self.deliver(principal, Request { id: query_id, digest, fresh: false }, door, plan).await
    }

    /// What is kept of an answer.
    async fn drawn(&self, principal: &str, of: &str) -> Result<Vec<u8>> {
        let found = self.ledger.drawn(principal, of).await?;
        let drawn = found
            .ok_or_else(|| Error::new(Code::UnknownQueryId, format!("you have no answer under query id '{of}'")))?;
        drawn.ok_or_else(|| {
            let message = "this answer cannot be made more accurate by another draw: it has quantiles, most frequent values, histograms or nothing but keys, reads public data alone, has too many numbers, or is from before answers could be refined. Ask the question anew, with a larger epsilon";
            Error::new(Code::InvalidRequest, message)
        })
    }
}

/// The first answer's plan with one more draw of what it draws.
fn refined(
    planned: Planned,
    kept: Kept,
    (of, refinement): (String, &Refinement),
    own: &Balance,
    charged: Option<Vec<u8>>,
) -> Result<Planned> {
    let mut first = planned.priced.clone();
    first.settle_all(|at, asked| {
        let found = kept.found.iter().find(|bounds| bounds.release == at && bounds.asked == asked.key);
        found.map(|bounds| bounds.found.clone())
    })?;
    if planned.digest() != kept.question || bounded(&first.releases) != kept.bounded {
        let message = "the data, the policy or the server has changed since this answer was made, so that another draw would be of other numbers: ask the question anew";
        return Err(Error::new(Code::InvalidRequest, message));
    }
    if kept.releases.iter().any(|drawn| drawn.draws.len() >= MOST_DRAWS) {
        let message = format!("this answer is made of {MOST_DRAWS} draws, and has no more: ask the question anew");
        return Err(Error::new(Code::InvalidRequest, message));
    }
    let measures: usize = kept.releases.iter().map(|drawn| drawn.noises().len() * drawn.draws.len()).sum();
    if measures > MOST_MEASURES {
        let message = "this answer has too many numbers and draws for another one: ask the question anew";
        return Err(Error::new(Code::InvalidRequest, message));
    }
    let draws_of_first = std::mem::take(&mut first.releases);
    first.releases = kept.noisy(&draws_of_first);
    let priced = |pure_is_over| {
        let rules = &planned.rules;
        let refined = governance::refine(&first, &kept.releases, refinement, rules, (&own.grant, pure_is_over))?;
        let text = format!("{} {of} {:?} {:?}", kept.question, refined.draws, refined.priced.charge);
        Ok((digest(&text), refined))
    };
    let over = own.pure_is_over();
    // What was answered, or charged, while the pure ledger was not over is the same still.
    let then = over.then(|| priced(false).ok()).flatten();
    let then = then.map(|(question, refined)| (stored_as(&question, &planned.statement), question, refined));
    let (question, refined, before) = match then {
        Some((stored, question, refined)) if charged.as_ref() == Some(&stored) => (question, refined, None),
        then => {
            let (question, refined) = priced(over)?;
            (question, refined, then.map(|(stored, ..)| stored))
        }
    };
    let earlier = Earlier { kept: Box::new(kept), first: draws_of_first, draws: refined.draws, of };
    Ok(Planned { priced: refined.priced, question, earlier: Some(earlier), before, advice: None, ..planned })
}
