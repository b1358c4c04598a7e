//! Bounds that governance finds out for all accounts of a dataset, ahead of their questions.

use super::answer::{kept_bounds, probed};
use super::{Session, busy, digest, scope};
use crate::accounting::{Charge, Reservation};
use crate::engine::{Engine, Fixed, Prepared};
use crate::error::{Code, Error, Result};
use crate::governance::{self, Ask, Asked, Case, Known, Names, Priced};
use crate::ledger::{Account, Answered, Claim, Reserved};
use crate::mechanism::Found;
use crate::policy::Admitted;
use crate::proto;
use crate::sql::{self, Statement};
use serde::Serialize;
use std::sync::Arc;
use tokio::time::Instant;

/// What it cost the dataset's pool to find bounds. What was found is not told: whoever governs or runs the server reads no answers.
#[derive(Debug, Serialize)]
pub struct Calibration {
    /// Of each SELECT and grouping.
    pub releases: Vec<CalibratedRelease>,
    /// 0 where all of it was known.
    pub epsilon: String,
    pub rho: String,
}

/// The bounds of one release.
#[derive(Debug, Serialize)]
pub struct CalibratedRelease {
    /// Its keys in words; empty where it has none.
    pub keys: String,
    /// What is known now, in words.
    pub found: Vec<String>,
}

/// What is to be found for a question.
struct Wanted {
    engine: Arc<Engine>,
    statement: Statement,
    probes: Vec<Asked>,
    /// The question, with what is known to all.
    priced: Priced,
    prepared: Prepared,
    /// Caps of tiers of what the question reads.
    tiers: Vec<Account>,
    /// The hash of the policy.
    policy: String,
}

impl Session {
    /// Finds the bounds that a question needs and nobody declared, at this price in all, for all accounts of its dataset. What is known to all already is not
    /// paid again.
    ///
    /// Errors: those of a question; `INVALID_REQUEST` where there is nothing to find; `BUDGET_EXHAUSTED` where the pool cannot pay.
    pub async fn calibrate(&self, ask: &Ask, epsilon: &str, query_id: &str) -> Result<Calibration> {
        let Wanted { engine, statement, probes, mut priced, prepared, tiers, policy } =
            self.wanted(ask, epsilon).await?;
        let charge = probes.iter().fold(Charge::NOTHING, |sum, asked| sum.plus(asked.made.charge));
        let mut found = vec![];
        if !probes.is_empty() {
            let claim = Claim {
                query_id: query_id.to_owned(),
                account: Account::pool(&ask.dataset),
                request: digest(&format!("calibrate {query_id}")),
                question: digest(&format!("calibrate {probes:?}")),
                before: None,
                tiers,
                policy: Some(policy).filter(|hash| !hash.is_empty()),
                charge,
                pool_charge: charge,
                releases: probes.len(),
                fresh: true,
                call: "calibrate",
            };
            let _place = self.place("").await?;
            let Reserved::Run { reservation, .. } = self.ledger.reserve(claim).await? else { return Err(busy()) };
            found = self.found((engine.clone(), statement.clone(), prepared), probes, reservation, query_id).await?;
        }
        priced.settle_all(|_, asked| {
            found.iter().find(|(known, _)| known.key == asked.key).map(|(_, found)| found.clone())
        })?;
        let names = Names { dataset: engine.dataset(), query: &statement.query };
        let release = |note: proto::ReleaseNote| {
            let keys = note.key_columns.into_iter().map(|key| key.expression).collect::<Vec<_>>().join(", ");
            CalibratedRelease { keys, found: note.chosen.into_iter().map(|bound| bound.what).collect() }
        };
        Ok(Calibration {
            releases: governance::releases(&priced, &names).into_iter().map(release).collect(),
            epsilon: charge.epsilon.map_or(String::new(), |epsilon| epsilon.to_string()),
            rho: charge.rho.to_string(),
        })
    }

    /// All that comes before the charge.
    async fn wanted(&self, ask: &Ask, epsilon: &str) -> Result<Wanted> {
        let unknown = || Error::new(Code::UnknownDataset, format!("there is no dataset '{}' here", ask.dataset));
        let engine = self.engines().get(&ask.dataset).ok_or_else(unknown)?.clone();
        let account = Account::pool(&ask.dataset);
        let balances = self.ledger.balances().await?;
        let pool = balances.into_iter().find(|balance| balance.account == account);
        let pool = pool.ok_or_else(|| {
            let message = format!("the ledger has no pool of dataset '{}' yet: start the server once", ask.dataset);
            Error::new(Code::NoGrant, message)
        })?;
        let (known, policy) = (self.known(&account).await?, self.policy().await?);
        let (ask, epsilon) = (ask.clone(), epsilon.to_owned());
        let plan = move || {
            let dataset = engine.dataset();
            let statement = sql::plan(&ask.sql, &ask.parameters, dataset)?;
            let scope = scope(dataset);
            // Governance's own question: limits and caps hold, and no purpose or permission is asked for.
            let Admitted { rules, tiers } = policy.limits(dataset, &pool, &statement.query);
            let (rules, grant, pure_is_over) = (&rules, &pool.grant, pool.pure_is_over());
            let case =
                Case { statement: &statement, ask: &ask, rules, grant, pure_is_over, scope: &scope, known: &known };
            let epsilon = governance::epsilon(&Ask { epsilon, ..Ask::default() }, rules)?;
            let probes = governance::calibration(case, epsilon)?;
            // As its own, so that what the question lacks is what is found now.
            let own = known.shared.iter().map(|(key, (found, _))| (key.clone(), found.clone())).collect();
            let known = Known { own, ..Known::default() };
            let priced = governance::price(Case { known: &known, ..case })?;
            let made = probes.iter().map(|asked| &asked.made);
            let prepare = engine.prepare(&statement.query, &priced.releases, made, None);
            let prepared = tokio::runtime::Handle::current().block_on(prepare)?;
            Ok(Wanted { engine, statement, probes, priced, prepared, tiers, policy: policy.hash.clone() })
        };
        self.workers.compute(plan).await
    }

    /// Asks what was paid for, and keeps it.
    async fn found(
        &self,
        (engine, statement, prepared): (Arc<Engine>, Statement, Prepared),
        probes: Vec<Asked>,
        reservation: Reservation,
        query_id: &str,
    ) -> Result<Vec<(Asked, Found)>> {
        let (charged, dataset) = (Instant::now(), engine.dataset().name.clone());
        let work = async move {
            let (mut found, mut fixed) = (vec![], Fixed::default());
            for (asked, token) in probes.into_iter().zip(reservation.split()) {
                let exact = engine.exact(&statement.query, &asked.made, &prepared, &[], &mut fixed).await?;
                let one = probed(exact, &asked, token)?;
                found.push((asked, one));
            }
            Ok(found)
        };
        let run = tokio::time::timeout_at(charged + self.limits.deadline, self.workers.run(work)).await;
        let Ok(Ok(found)) = run else {
            tokio::time::sleep_until(charged + self.limits.deadline).await;
            self.ledger.fail("", query_id, false).await?;
            let message = "the pool was charged and the bounds could not be found; the log has the cause";
            return Err(Error::new(Code::ExecutionFailed, message));
        };
        // As with answers, when they are there tells little about the rows.
        tokio::time::sleep_until(charged + self.limits.moment(charged.elapsed())).await;
        let bounds = found.iter().map(|(asked, found)| kept_bounds(&asked.key, found, asked.made.charge));
        let bounds = bounds.collect::<Result<_>>()?;
        self.ledger.commit(&Account::pool(&dataset), query_id, Answered { bounds, ..Answered::default() }).await?;
        // Another call may have found the same meanwhile: what was kept first is what all know.
        let kept = self.known(&Account::pool(&dataset)).await?;
        let of = |(asked, own): (Asked, Found)| {
            let first = kept.shared.get(&asked.key).map(|(found, _)| found.clone());
            (asked, first.unwrap_or(own))
        };
        Ok(found.into_iter().map(of).collect())
    }
}
