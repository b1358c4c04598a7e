//! The way of a question, from text to answer, in one place.
//!
//! ```text
//! text --sql::plan--> Statement --governance::price--> Priced       functions of text and policy
//!      --engine.prepare--> Prepared                                 every plan is built; nothing can fail to plan later
//!      --a free place-->                                            what waits has not been charged
//!      --ledger.reserve--> Reservation                              durable: from here on it is spent
//!      --engine.exact--> ExactAggregates                            the only place where private rows are read
//!      --mechanism::release (takes a Token of the Reservation)--> Released
//!      --engine.public_table--> RecordBatch                         post-processing of public tables
//!      --the next moment--> --ledger.commit--> StoredAnswer         only what is read back is sent
//! ```
//!
//! *Time.* How long a question takes depends on the rows it reads. So an answer is stored, and can be seen, only at one of few
//! moments after the charge ([`Limits::time_bucket`], twice that, four times, ...), and a failure only at the deadline. What a single
//! unit can add to the work is bounded too: by its rows at every join that multiplies them, and by the rows of a public table that
//! one row can meet. Still time is not within epsilon, and receipts say so.
//!
//! *Threads.* Questions are planned and run on threads of their own ([`Workers`]), so that none of them keeps the server from
//! answering others, from beating, or from stopping.

mod answer;
mod calibrate;
mod drawn;
mod proposals;
mod refine;

use self::answer::answer;
pub use self::calibrate::{CalibratedRelease, Calibration};
use self::drawn::{Kept, PaidBounds};
pub use self::proposals::{Simulated, edit_of};
use crate::accounting::{Grant, Token};
use crate::algebra::Type;
use crate::catalog::{Dataset, Rules, Table};
use crate::engine::{self, Engine, OwnTables, Prepared, Workers};
use crate::error::{Code, Error, Result};
use crate::governance::{self, Ask, Case, Known, Priced};
use crate::hex::hex;
use crate::ledger::{
    Account, Answered, Balance, Claim, FoundBounds, Ledger, Reserved, Scope, StoredAnswer, put_charge,
};
use crate::mechanism::{Calibrated, Found};
use crate::policy::{Admitted, Policy};
use crate::sql::{self, NoRows, Statement};
use crate::telemetry::{Metrics, step};
use arrow::array::RecordBatch;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// Limits on running questions.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the charge to the answer. A failure is told only when it is over, so that its moment says nothing.
    pub deadline: Duration,
    /// Questions that read data at the same time; others wait, uncharged.
    pub concurrent: usize,
    /// Those of one principal, so that nobody keeps all places.
    pub concurrent_per_principal: usize,
    /// The first moment after the charge at which an answer can be seen; each further one is twice as late.
    pub time_bucket: Duration,
    /// Threads that plan and run questions.
    pub threads: usize,
}

impl Limits {
    /// The first moment for an answer that is ready `elapsed` after its charge.
    fn moment(&self, elapsed: Duration) -> Duration {
        let mut moment = self.time_bucket;
        while moment < elapsed && moment < self.deadline {
            moment *= 2;
        }
        moment.min(self.deadline)
    }
}

/// By the names of their datasets.
pub type Engines = Arc<BTreeMap<String, Arc<Engine>>>;

/// The engine's front desk: everything that a server offers, without a wire.
pub struct Session {
    engines: RwLock<Engines>,
    ledger: Ledger,
    limits: Limits,
    workers: Workers,
    /// For what is one's own to see.
    own_workers: Workers,
    selecting: tokio::sync::Mutex<()>,
    running: Arc<Semaphore>,
    /// Each principal's own places.
    own: Mutex<HashMap<String, Arc<Semaphore>>>,
    inflight: Inflight,
    metrics: Metrics,
    /// As it was when it was last looked at.
    policy: RwLock<Arc<Policy>>,
}

/// A question that was understood and priced.
pub struct Planned {
    pub account: Account,
    /// Caps of tiers of what it reads.
    pub tiers: Vec<Account>,
    /// The hash of the policy by which it was admitted.
    pub policy: String,
    rules: Rules,
    pub statement: Statement,
    pub priced: Priced,
    engine: Arc<Engine>,
    ask: Ask,
    /// Where it is another draw for an answer that there is.
    earlier: Option<Earlier>,
    /// Digest of all that the answer depends on but the names of its columns.
    question: Vec<u8>,
    /// What it was stored as while the account's pure ledger was not over yet, where that is another question.
    before: Option<Vec<u8>>,
    /// Where an error is asked for that could not be paid when this was planned: what could be.
    pub advice: Option<String>,
}

impl Planned {
    /// Words for the question's columns.
    pub fn names(&self) -> governance::Names<'_> {
        governance::Names { dataset: self.engine.dataset(), query: &self.statement.query }
    }

    /// What is asked, whatever words it is asked in: in hexadecimal.
    pub fn digest(&self) -> String {
        hex(&self.question)
    }
}

/// An answer that one more draw is for.
struct Earlier {
    /// Its query id.
    of: String,
    kept: Box<Kept>,
    /// As its releases were drawn first.
    first: Vec<Calibrated>,
    /// What is drawn now.
    draws: Vec<Calibrated>,
}

/// For whom noise is chosen, where that is not the account as it is now.
struct As<'a> {
    grant: Grant,
    pure_is_over: bool,
    /// Bounds that it paid for itself: it did not know them before.
    paid: &'a [PaidBounds],
}

/// A place among the questions that run.
struct Place {
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

/// A question that may run.
struct Run {
    planned: Arc<Planned>,
    prepared: Prepared,
    /// One for each release that was paid for.
    tokens: Vec<Token>,
    query_id: String,
    /// Seconds since 1970; 0 where nothing was charged.
    charged_at: i64,
    /// The accounts that paid, right after the charge.
    balance: Option<Scope>,
}

/// The call that asks, and on which conditions.
pub struct Door<'a, May> {
    /// Its name, for the log.
    pub call: &'static str,
    /// Cancelled where nobody waits for the answer any more: what is not charged by then will not be.
    pub gone: &'a CancellationToken,
    /// Whether the question, as it is planned, may be charged now: asked right before that, and an error costs nothing.
    pub may: May,
}

/// What a query id stands for.
struct Request<'a> {
    id: &'a str,
    /// Of everything that was asked.
    digest: Vec<u8>,
    fresh: bool,
}

/// An answer's bytes, and whether this call paid for them.
#[derive(Debug)]
pub struct Delivered {
    pub stored: StoredAnswer,
    pub replayed: bool,
}

impl Session {
    pub fn new(engines: Vec<Engine>, ledger: Ledger, limits: Limits) -> Result<Session> {
        let engines = RwLock::new(named(engines));
        let (workers, running) = (Workers::start(limits.threads)?, Arc::new(Semaphore::new(limits.concurrent)));
        let (own, inflight, metrics) = (Mutex::default(), Inflight::default(), Metrics::default());
        let policy = RwLock::default();
        let (own_workers, selecting) = (Workers::start(1)?, Default::default());
        Ok(Session {
            engines,
            ledger,
            limits,
            workers,
            own_workers,
            selecting,
            running,
            own,
            inflight,
            metrics,
            policy,
        })
    }

    /// All that is served now.
    pub fn engines(&self) -> Engines {
        self.engines.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The dataset of this name, as questions see it now.
    pub fn dataset(&self, name: &str) -> Option<Arc<Dataset>> {
        self.engines().get(name).map(|engine| engine.dataset().clone())
    }

    /// Serves these in the place of all earlier ones. Questions that were planned already run as they were planned.
    pub fn replace(&self, engines: Vec<Engine>) {
        *self.engines.write().unwrap_or_else(PoisonError::into_inner) = named(engines);
    }

    /// Serves this one in the place of the one of its name.
    pub fn replace_one(&self, engine: Engine) {
        let mut engines = self.engines.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut engines).insert(engine.dataset().name.clone(), Arc::new(engine));
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Deletes the answers that policy keeps no longer.
    pub async fn expire_answers(&self) -> Result<()> {
        let policy = self.policy().await?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        for dataset in self.engines().keys() {
            if let Some(kept) = policy.answers_kept(dataset) {
                self.ledger.expire(dataset, now - kept).await?;
            }
        }
        Ok(())
    }

    /// The hash of the policy that was in force when it was last looked at.
    pub fn known_policy(&self) -> String {
        self.policy.read().unwrap_or_else(PoisonError::into_inner).hash.clone()
    }

    /// The policy in force, whichever server put it there.
    pub async fn policy(&self) -> Result<Arc<Policy>> {
        let known = self.policy.read().unwrap_or_else(PoisonError::into_inner).clone();
        match self.ledger.policy_in_force().await? {
            None => Ok(known),
            Some(hash) if hash == known.hash => Ok(known),
            Some(_) => {
                let newer = self.ledger.policy().await?.ok_or_else(|| Error::internal("there is no policy"))?;
                let newer = Arc::new(Policy::of_version(newer)?);
                *self.policy.write().unwrap_or_else(PoisonError::into_inner) = newer.clone();
                Ok(newer)
            }
        }
    }

    /// The datasets for which this principal has a grant, with its accounts there.
    pub async fn datasets(&self, principal: &str) -> Result<Vec<(Arc<Dataset>, Vec<Balance>)>> {
        let mut found: BTreeMap<String, Vec<Balance>> = BTreeMap::new();
        for balance in self.ledger.balances().await?.into_iter().filter(|b| b.account.principal == principal) {
            found.entry(balance.account.dataset.clone()).or_default().push(balance);
        }
        let known = found.into_iter().filter_map(|(name, accounts)| Some((self.dataset(&name)?, accounts)));
        Ok(known.collect())
    }

    /// Understands and prices a question. Reads no data and charges nothing.
    pub async fn plan(&self, principal: &str, ask: &Ask) -> Result<Planned> {
        self.plan_as(principal, ask, None).await
    }

    /// The same; what was charged already, as this question, is planned as it was then.
    async fn plan_as(&self, principal: &str, ask: &Ask, charged: Option<Vec<u8>>) -> Result<Planned> {
        self.plan_for(principal, ask, None, charged).await.map(|(_, planned)| planned)
    }

    /// The same, with the account that asks.
    async fn plan_for(
        &self,
        principal: &str,
        ask: &Ask,
        as_then: Option<As<'_>>,
        charged: Option<Vec<u8>>,
    ) -> Result<(Balance, Planned)> {
        let policy = self.policy().await?;
        let all = self.ledger.balances().await?;
        let own = account(&all, principal, ask)?.clone();
        let (account, balance) = (own.account.clone(), own.clone());
        let now = As { grant: own.grant, pure_is_over: own.pure_is_over(), paid: &[] };
        let As { grant, pure_is_over, paid } = as_then.unwrap_or(now);
        let mut known = self.known(&account).await?;
        known.own.retain(|asked, _| paid.iter().all(|bounds| bounds.asked != *asked));
        known.shared.retain(|asked, _| paid.iter().all(|bounds| bounds.by_governance || bounds.asked != *asked));
        let engine = self.engines().get(&account.dataset).ok_or_else(|| unknown_dataset(&ask.dataset))?.clone();
        let ask = ask.clone();
        let plan = move || {
            let dataset = engine.dataset();
            let hidden = policy.hidden(dataset, &own);
            let statement = sql::plan_for(&ask.sql, &ask.parameters, dataset, &hidden)?;
            let unnamed = |e: Error| without_names(e, &hidden, &ask.sql);
            let scope = scope(dataset);
            let Admitted { rules, tiers } = policy.admit(dataset, &own, &statement.query).map_err(unnamed)?;
            let (scope, known, rules) = (scope.as_str(), &known, &rules);
            let case = Case { statement: &statement, ask: &ask, rules, grant: &grant, pure_is_over, scope, known };
            let priced = governance::price(case)?;
            // What was answered while it was not.
            let before = match pure_is_over {
                true => governance::price(Case { pure_is_over: false, ..case }).ok(),
                false => None,
            };
            let before =
                before.map(|priced| (stored_as(&question_digest(&engine, &statement, &priced), &statement), priced));
            let (priced, before) = match before {
                Some((digest, before)) if charged.as_ref() == Some(&digest) => (before, None),
                before => (priced, before.map(|(digest, _)| digest)),
            };
            let advice = Scope::of(&all, &own, &tiers).and_then(|scope| advice(case, &priced, &scope));
            let question = question_digest(&engine, &statement, &priced);
            let (rules, policy) = (rules.clone(), policy.hash.clone());
            let earlier = None;
            Ok(Planned {
                account,
                tiers,
                policy,
                rules,
                statement,
                priced,
                engine,
                ask,
                earlier,
                question,
                before,
                advice,
            })
        };
        let plan = self.workers.compute(plan).instrument(step("plan"));
        let planned = tokio::time::timeout(self.limits.deadline, plan).await;
        Ok((balance, planned.map_err(|_| busy())??))
    }

    /// Keeps in the log that a price was asked: of which question by its digest, and not in which words.
    pub async fn note_quote(&self, planned: &Planned) -> Result<()> {
        let Planned { account, priced, policy, .. } = planned;
        let mut body = serde_json::json!({
            "dataset": account.dataset, "principal": account.principal, "purpose": account.purpose,
            "question": planned.digest(), "policy": policy,
        });
        put_charge(&mut body, &priced.charge);
        self.ledger.note_quote(body).await
    }

    /// Whether the account that asks has an answer to this very question already: then it costs nothing once more.
    pub async fn is_answered(&self, planned: &Planned) -> Result<bool> {
        let question = stored_as(&planned.question, &planned.statement);
        self.ledger.is_answered(&planned.account, &question, planned.before.as_deref()).await
    }

    /// The query of a text that is about what is its caller's own to see: what there is to ask about, balances, receipts.
    pub async fn own_query(&self, text: &str, parameters: &[sql::Parameter]) -> Result<Option<sql::OwnQuery>> {
        if !sql::may_be_own(text) {
            return Ok(None);
        }
        let (text, parameters) = (text.to_owned(), parameters.to_vec());
        self.workers.compute(move || sql::own(&text, &parameters)).await
    }

    /// The types of a text's parameters, as far as it tells.
    pub async fn parameter_types(&self, text: &str, dataset: Option<Arc<Dataset>>) -> Result<Vec<Option<Type>>> {
        let count = sql::parameters(text);
        let (Some(dataset), true) = (dataset, count > 0) else { return Ok(vec![None; count]) };
        let text = text.to_owned();
        self.workers.compute(move || Ok(sql::parameter_types(&text, &dataset))).await
    }

    /// The columns of a text that asks a table for no rows, where a principal may read them.
    pub async fn no_rows(&self, principal: &str, ask: &Ask) -> Result<Option<Vec<(String, Type)>>> {
        let (policy, known) = (self.policy().await?, self.datasets(principal).await?);
        let Some((dataset, accounts)) = known.into_iter().find(|(dataset, _)| dataset.name == ask.dataset) else {
            return Ok(None);
        };
        let (text, parameters) = (ask.sql.clone(), ask.parameters.clone());
        let look = move || {
            let may_read = |table: &Table, at: usize| {
                let may = |of: &Balance| {
                    policy.may_read_rows(&dataset, of, table)?;
                    policy.may_read(&dataset, of, table, &table.columns[at])
                };
                accounts.iter().any(|of| may(of).is_ok())
            };
            let found = sql::no_rows(&text, &parameters, &dataset, may_read);
            Ok(found.map(|NoRows { table, columns }| {
                let table = &dataset.tables[table];
                columns.into_iter().map(|(name, at)| (name, table.columns[at].ty)).collect()
            }))
        };
        self.workers.compute(look).await
    }

    /// What could be asked in the place of a list of rows.
    pub async fn instead(
        &self,
        text: &str,
        parameters: &[sql::Parameter],
        dataset: Arc<Dataset>,
    ) -> Result<Vec<String>> {
        let (text, parameters) = (text.to_owned(), parameters.to_vec());
        self.workers.compute(move || Ok(sql::instead(&text, &parameters, &dataset))).await
    }

    /// Runs such a query over its tables. Costs nothing.
    ///
    /// Errors: `UNSUPPORTED_SQL` where it cannot be planned or fails, `ANSWER_TOO_LARGE`.
    pub async fn select(&self, query: sql::OwnQuery, tables: OwnTables) -> Result<RecordBatch> {
        // One at a time, on a thread of its own: what nobody pays for must not keep what was paid for from running.
        let selected = async {
            let _alone = self.selecting.lock().await;
            self.own_workers.run(engine::select(query, tables)).await
        };
        tokio::time::timeout(self.limits.deadline, selected).await.map_err(|_| late())?
    }

    /// Answers a question: charges it, or finds it paid.
    pub async fn execute(&self, principal: &str, ask: &Ask, query_id: &str, fresh: bool) -> Result<Delivered> {
        let door = Door { call: "execute", gone: &CancellationToken::new(), may: |_| ready(Ok(())) };
        self.execute_at(principal, ask, query_id, fresh, door).await
    }

    /// The same, through a door.
    pub async fn execute_at<M: Future<Output = Result<()>>>(
        &self,
        principal: &str,
        ask: &Ask,
        query_id: &str,
        fresh: bool,
        door: Door<'_, impl FnOnce(Arc<Planned>) -> M>,
    ) -> Result<Delivered> {
        let request = Request { id: query_id, digest: digest(&format!("{ask:?} fresh={fresh}")), fresh };
        self.deliver(principal, request, door, |charged| self.plan_as(principal, ask, charged)).await
    }

    /// What all answers have in common: `plan` is given the question that was charged under the query id and is not answered yet.
    async fn deliver<P: Future<Output = Result<Planned>>, M: Future<Output = Result<()>>>(
        &self,
        principal: &str,
        Request { id: query_id, digest: request, fresh }: Request<'_>,
        Door { call, gone, may }: Door<'_, impl FnOnce(Arc<Planned>) -> M>,
        plan: impl FnOnce(Option<Vec<u8>>) -> P,
    ) -> Result<Delivered> {
        let _alone = self.inflight.enter(principal, query_id).await;
        if let Some(stored) = self.ledger.replay(principal, query_id, &request).await? {
            return Ok(Delivered { stored, replayed: true });
        }
        let charged = self.ledger.charged(principal, query_id).await?;
        // Until it is charged, a question whose caller has gone is given up; from then on it is answered.
        let was_charged = charged.is_some();
        let ready = self.ready(principal, plan(charged), fresh);
        let ready = gone.run_until_cancelled(tokio::time::timeout(self.limits.deadline, ready)).await;
        let (planned, prepared, place, _alone) = ready.ok_or_else(given_up)?.map_err(|_| busy())??;
        if !was_charged {
            may(planned.clone()).await?;
        }
        if planned.priced.releases.is_empty() {
            return self.run_free(planned, prepared, query_id, place).await;
        }
        let claim = Claim {
            query_id: query_id.to_owned(),
            account: planned.account.clone(),
            request,
            question: stored_as(&planned.question, &planned.statement),
            before: planned.before.clone(),
            tiers: planned.tiers.clone(),
            policy: Some(planned.policy.clone()).filter(|hash| !hash.is_empty()),
            charge: planned.priced.charge,
            pool_charge: planned.priced.pool_charge,
            releases: planned.priced.draws(),
            fresh,
            call,
        };
        let told = |e: Error| match (e.code, &planned.advice) {
            (Code::BudgetExhausted, Some(advice)) => Error::new(e.code, format!("{advice}. Nothing was charged")),
            _ => e,
        };
        match self.ledger.reserve(claim).instrument(step("reserve")).await.map_err(told)? {
            Reserved::Stored(stored) => Ok(Delivered { stored, replayed: true }),
            Reserved::Run { reservation, charged_at } => {
                self.metrics.charged(&planned.account.dataset);
                // Charged, it is run whatever is known of what is left.
                let balance = self.ledger.scope(&planned.account, &planned.tiers).await.unwrap_or_default();
                let tokens = reservation.split();
                let run = Run { planned, prepared, tokens, query_id: query_id.to_owned(), charged_at, balance };
                Ok(Delivered { stored: self.run_paid(run, place).instrument(step("run")).await?, replayed: false })
            }
        }
    }

    /// What an account, and all of its dataset, know of bounds, as far as it can be read.
    async fn known(&self, account: &Account) -> Result<Known> {
        let read = |bounds: FoundBounds| {
            let found: Found = serde_json::from_str(&bounds.found).ok()?;
            Some((bounds.asked, (found, bounds.charge)))
        };
        let own = self.ledger.bounds(account).await?.into_iter().filter_map(read);
        let shared = self.ledger.bounds(&Account::pool(&account.dataset)).await?.into_iter().filter_map(read);
        Ok(Known {
            own: own.map(|(asked, (found, _))| (asked, found)).collect(),
            shared: shared.filter_map(|(asked, (found, charge))| Some((asked, (found, charge?)))).collect(),
        })
    }

    /// All that comes before the charge: plans, and a place among those that run. What waits has not been charged.
    ///
    /// The same question of an account is asked once at a time, so that a second call finds the first one's answer and pays nothing; unless it is to be drawn afresh.
    async fn ready(
        &self,
        principal: &str,
        plan: impl Future<Output = Result<Planned>>,
        fresh: bool,
    ) -> Result<(Arc<Planned>, Prepared, Place, Option<OwnedMutexGuard<()>>)> {
        let planned = Arc::new(plan.await?);
        let alone = match fresh || planned.priced.releases.is_empty() {
            true => None,
            false => Some(self.inflight.enter(&planned.account.to_string(), &planned.digest()).await),
        };
        let question = planned.clone();
        let prepare = move || {
            let probes = question.priced.probes().map(|asked| &asked.made);
            let (releases, again) = match &question.earlier {
                Some(earlier) => (&earlier.draws, Some(earlier.kept.key)),
                None => (&question.priced.releases, None),
            };
            let build = question.engine.prepare(&question.statement.query, releases, probes, again);
            tokio::runtime::Handle::current().block_on(build)
        };
        let prepared = self.workers.compute(prepare).instrument(step("prepare")).await?;
        let place = self.place(principal).instrument(step("wait for a place")).await?;
        Ok((planned, prepared, place, alone))
    }

    /// First among one's own questions, then among all: a place that is free for all is never kept by one who waits.
    async fn place(&self, principal: &str) -> Result<Place> {
        let own = self.own_places(principal).acquire_owned().await.map_err(|_| busy())?;
        let of_all = self.running.clone().acquire_owned().await.map_err(|_| busy())?;
        Ok(Place { _own: own, _of_all: of_all })
    }

    fn own_places(&self, principal: &str) -> Arc<Semaphore> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Semaphore::new(self.limits.concurrent_per_principal));
        own.entry(principal.to_owned()).or_insert_with(new).clone()
    }

    /// Answers about public data alone cost nothing, and the ledger does not keep them.
    async fn run_free(
        &self,
        planned: Arc<Planned>,
        prepared: Prepared,
        query_id: &str,
        place: Place,
    ) -> Result<Delivered> {
        let (account, query_id) = (planned.account.clone(), query_id.to_owned());
        let balance = self.ledger.scope(&account, &planned.tiers).await?;
        let run = Run { planned, prepared, tokens: vec![], query_id: query_id.clone(), charged_at: 0, balance };
        let made = tokio::time::timeout(self.limits.deadline, self.answer(run, place)).await;
        let Answered { bytes, .. } = made.map_err(|_| late())?.map_err(|e| match e.code {
            Code::ExecutionFailed => Error::internal("the question could not be answered; nothing was charged"),
            _ => e,
        })?;
        Ok(Delivered { stored: StoredAnswer { query_id, account, bytes }, replayed: false })
    }

    /// Runs what was paid for. Whatever goes wrong, a panic included, is one failure, told at the deadline; but that an answer is too
    /// large follows from released values, and is said.
    async fn run_paid(&self, run: Run, place: Place) -> Result<StoredAnswer> {
        let (charged, planned, query_id) = (Instant::now(), run.planned.clone(), run.query_id.clone());
        let principal = &planned.account.principal;
        let failure = match tokio::time::timeout_at(charged + self.limits.deadline, self.answer(run, place)).await {
            Ok(Ok(answered)) => {
                tokio::time::sleep_until(charged + self.limits.moment(charged.elapsed())).await;
                return self.ledger.commit(&planned.account, &query_id, answered).await;
            }
            Ok(Err(e)) if e.code == Code::AnswerTooLarge => e,
            Ok(Err(_)) | Err(_) => failed(),
        };
        tracing::error!(query_id, dataset = planned.account.dataset, "a charged question could not be answered");
        tokio::time::sleep_until(charged + self.limits.deadline).await;
        self.ledger.fail(principal, &query_id, failure.code == Code::ExecutionFailed).await?;
        Err(failure)
    }

    async fn answer(&self, run: Run, place: Place) -> Result<Answered> {
        let answering = async move {
            // Held by the task: what was cancelled and still winds down keeps its place until it is gone.
            let _place = place;
            answer(run).await
        };
        self.workers.run(answering).await
    }

    /// Turns away whoever waits for a place, so that a server that stops need not wait for them.
    pub fn close(&self) {
        self.running.close();
    }
}

/// The account that a question is asked from. A caller without any grant cannot tell a dataset from none.
fn account<'a>(all: &'a [Balance], principal: &str, ask: &Ask) -> Result<&'a Balance> {
    let mine = |b: &&Balance| b.account.principal == principal && b.account.dataset == ask.dataset;
    let balances: Vec<&Balance> = all.iter().filter(mine).collect();
    let purposes: Vec<&str> = balances.iter().map(|b| b.account.purpose.as_str()).collect();
    let purpose = match (ask.purpose.as_str(), purposes.as_slice()) {
        (_, []) => return Err(unknown_dataset(&ask.dataset)),
        ("", [only]) => only,
        ("", several) => {
            let message = format!("name the purpose of the question; you have grants for {}", several.join(", "));
            return Err(Error::new(Code::NoGrant, message));
        }
        (named, some) if some.contains(&named) => named,
        (named, some) => {
            let named: String = named.chars().take(64).collect();
            let message = format!(
                "you have no grant for purpose '{named}' on dataset '{}'; you have grants for {}",
                ask.dataset,
                some.join(", ")
            );
            return Err(Error::new(Code::NoGrant, message));
        }
    };
    let purpose = purpose.to_owned();
    balances.into_iter().find(|b| b.account.purpose == purpose).ok_or_else(|| unknown_dataset(&ask.dataset))
}

/// A refusal by policy that names nothing but what stands in the text: `*` reads columns that one need not know of.
fn without_names(e: Error, hidden: &BTreeSet<String>, text: &str) -> Error {
    let text = text.to_lowercase();
    let tells = |name: &String| e.message.contains(&format!("'{name}'")) && !text.contains(&name.to_lowercase());
    match hidden.iter().any(tells) {
        true => {
            Error { message: "the question reads what you may not read: name the columns that you need".into(), ..e }
        }
        false => e,
    }
}

fn named(engines: Vec<Engine>) -> Engines {
    Arc::new(engines.into_iter().map(|engine| (engine.dataset().name.clone(), Arc::new(engine))).collect())
}

/// What bounds of a dataset's tables belong to.
fn scope(dataset: &Dataset) -> String {
    format!("{} {}", dataset.name, dataset.policy_version)
}

fn busy() -> Error {
    Error::new(Code::ServerBusy, "the server has no place for this question now; nothing was charged: ask again later")
}

/// What costs nothing is told when it takes too long.
fn late() -> Error {
    Error::new(Code::AnswerTooLarge, "the question takes too long: add a condition, or a LIMIT")
}

fn given_up() -> Error {
    Error::new(Code::InvalidRequest, "the question was cancelled before it was charged; nothing was charged: ask again")
}

/// What is told of any failure after the charge.
fn failed() -> Error {
    Error::new(
        Code::ExecutionFailed,
        "the question was charged and could not be answered; your accounts of this dataset are frozen until an operator has looked into it: the log names the query id",
    )
}

fn unknown_dataset(name: &str) -> Error {
    let name: String = name.chars().take(64).collect();
    Error::new(
        Code::UnknownDataset,
        format!("there is no dataset '{name}' that you may ask about; list yours with `undertone datasets`"),
    )
}

fn digest(text: &str) -> Vec<u8> {
    Sha256::digest(text).to_vec()
}

/// Digest of everything that the answer's values depend on. The algebra holds positions and resolved literals, so names, aliases and
/// white space do not matter; two questions that differ in it are never taken for one. What the text asks of releases is in how they
/// are calibrated.
fn question_digest(engine: &Engine, statement: &Statement, priced: &Priced) -> Vec<u8> {
    let dataset = engine.dataset();
    let text = format!(
        "{} {} {} {} {:?} {:?} {:?} {:?}",
        env!("CARGO_PKG_VERSION"),
        dataset.name,
        dataset.policy_version,
        engine.version(),
        priced.intents(),
        statement.query.fixed,
        statement.query.post,
        statement.columns.iter().map(|c| (c.interval, c.simultaneous)).collect::<Vec<_>>(),
    );
    digest(&text)
}

/// Where the question asks for an error that an account or its pool cannot pay: what could be had.
fn advice(case: Case, priced: &Priced, scope: &Scope) -> Option<String> {
    case.advice(&priced.charge, scope.remaining(), |charge| scope.affords(*charge, *charge))
}

/// Under which an answer is stored and found again: it has the names of its columns in it.
fn stored_as(question: &[u8], statement: &Statement) -> Vec<u8> {
    let names = statement.columns.iter().map(|c| &c.name).collect::<Vec<_>>();
    digest(&format!("{} {names:?}", hex(question)))
}

/// Lets one call at a time work on a query id, and on a question; a second one waits and then finds the first one's answer.
#[derive(Default)]
struct Inflight {
    locks: Mutex<HashMap<QueryKey, Arc<tokio::sync::Mutex<()>>>>,
}

/// Principal and query id, or account and digest of the question: no principal's name is an account's.
type QueryKey = (String, String);

impl Inflight {
    async fn enter(&self, of: &str, what: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            // Locks that nobody holds or waits for have done their work.
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            locks.entry((of.to_owned(), what.to_owned())).or_default().clone()
        };
        lock.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_few_moments() {
        let limits = Limits {
            deadline: Duration::from_secs(60),
            concurrent: 1,
            concurrent_per_principal: 1,
            time_bucket: Duration::from_millis(50),
            threads: 1,
        };
        let moment = |millis| limits.moment(Duration::from_millis(millis)).as_millis();
        assert_eq!(
            [0, 1, 50, 51, 100, 399, 401, 40_000, 51_201, 60_000].map(moment),
            [50, 50, 50, 100, 100, 400, 800, 51_200, 60_000, 60_000]
        );
    }
}
