//! The ledger beside a plain model of it: random changes of both, and after each one the same outcome and the same balances.
//!
//! The model is maps and sums of whole numbers, and knows no SQL, no transactions and no log. Where the two differ the test prints the shortest
//! sequence of changes that it finds by leaving out one after the other.
//!
//! The model's clock stands still. So what a window holds is right all year, but for runs during which a new one begins.

use crate::ledger::in_each_store;
use crate::postgres;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use undertone::accounting::{Charge, Grant};
use undertone::api::digest;
use undertone::error::{Code, Result};
use undertone::ledger::{
    Account, Answered, Balance, Claim, Ledger, Location, MAX_ATTEMPTS, MAX_LOST, NewPolicy, Reserved, Scope, Setting,
    StoredAnswer, Terms, Window, written_terms,
};
use undertone::num::Amount;

/// Runs that a failing sequence is shortened by, at most.
const TRIES: usize = 300;
const DATASET: &str = "clinic";
const PEOPLE: [&str; 3] = ["ana", "ben", "cem"];
const PURPOSES: [&str; 2] = ["care", "research"];
const TEAMS: [&str; 2] = ["north", "south"];
const TIERS: [&str; 2] = ["health", "income"];
/// Query ids of each principal: so few that most are asked again.
const IDS: usize = 12;
const POLICIES: [&str; 3] = ["p0", "p1", "p2"];
/// Units of [`Amount`] in 1.
const ONE: u128 = Amount::ONE.atto();
/// Moments that are past and to come, in seconds since 1970.
const LONG_AGO: i64 = 1_000;
const FAR_AHEAD: i64 = 4_000_000_000;
/// No server of this test is at work on what another one has reserved.
const DEADLINE: Duration = Duration::from_secs(600);

#[derive(Clone, Debug)]
enum Op {
    Apply(NewPolicy),
    Reserve(Claim),
    Commit {
        account: Account,
        id: String,
        answered: Answered,
    },
    Fail {
        principal: &'static str,
        id: String,
        freeze: bool,
    },
    Unfreeze(&'static str),
    Hold {
        holder: String,
        reason: &'static str,
        stop: bool,
    },
    Expire {
        before: i64,
    },
    /// The server ends, and another one begins.
    Reopen,
    Read {
        principal: &'static str,
        id: String,
        request: Vec<u8>,
    },
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Done,
    Run {
        releases: usize,
        charged_at: i64,
    },
    Given(StoredAnswer),
    Refused(Code),
    /// What is read under a query id.
    Read {
        answer: Result<Option<StoredAnswer>, Code>,
        replay: Result<Option<StoredAnswer>, Code>,
        drawn: Result<Option<Option<Vec<u8>>>, Code>,
        charged: Option<Vec<u8>>,
    },
}

/// An account, as the ledger and the model both show it.
#[derive(Clone, Debug, PartialEq)]
struct Shown {
    grant: Grant,
    terms: Terms,
    spent: Charge,
    charges: u64,
    life: Charge,
    life_charges: u64,
    since: i64,
    frozen: bool,
    held: Option<String>,
}

impl Shown {
    fn of(balance: Balance) -> (Account, Shown) {
        let Balance { account, grant, terms, spent, lifetime, since, frozen, held, .. } = balance;
        let (charges, life_charges) = (spent.charges, lifetime.charges);
        let (spent, life) = (spent.total, lifetime.total);
        (account, Shown { grant, terms, spent, charges, life, life_charges, since, frozen, held })
    }
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Reserved,
    Answered,
    Failed,
}

/// What was asked under a query id.
struct Asked {
    claim: Claim,
    state: State,
    runs: i64,
    charged_at: i64,
    /// The query id that paid for its answer, where that is another.
    same_as: Option<String>,
    answered: Answered,
    expired: bool,
}

/// Principal and query id.
type Key = (String, String);

struct Model {
    now: i64,
    /// Whether whoever opens the ledger is its only server.
    alone: bool,
    policy: Option<String>,
    /// With whether the grant is in force; spending is as it was written last, of whatever window.
    books: BTreeMap<Account, (Shown, bool)>,
    asked: BTreeMap<Key, Asked>,
}

/// Units of epsilon, rho and delta.
type Units = [u128; 3];

/// Either all epsilon, and no delta, fits; or rho and delta do.
fn accepts(grant: &Grant, spent: Charge, charge: Charge, [epsilon_kept, rho_kept, delta_kept]: Units) -> bool {
    let epsilon = spent.epsilon.zip(charge.epsilon).map(|(spent, charge)| spent.atto() + charge.atto());
    let (rho, delta) = (spent.rho.atto() + charge.rho.atto(), spent.delta.atto() + charge.delta.atto());
    let pure = delta == 0 && epsilon.is_some_and(|epsilon| epsilon + epsilon_kept <= grant.epsilon.atto());
    pure || rho + rho_kept <= grant.rho_limit.atto() && delta + delta_kept <= grant.delta_key.atto()
}

fn sum(one: Charge, other: Charge) -> Charge {
    let plus = |one: Amount, other: Amount| Amount::from_atto(one.atto() + other.atto());
    let epsilon = one.epsilon.zip(other.epsilon).map(|(one, other)| plus(one, other));
    Charge { epsilon, rho: plus(one.rho, other.rho), delta: plus(one.delta, other.delta) }
}

impl Model {
    fn new(location: &Location) -> Model {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        let alone = matches!(location, Location::Sqlite(_));
        Model { now, alone, policy: None, books: BTreeMap::new(), asked: BTreeMap::new() }
    }

    /// What comes of a change, where a new charge is made at this moment.
    fn step(&mut self, op: &Op, now: i64) -> Outcome {
        let done = |refused: Option<Code>| refused.map_or(Outcome::Done, Outcome::Refused);
        let given = |answer: Result<StoredAnswer, Code>| answer.map_or_else(Outcome::Refused, Outcome::Given);
        match op {
            Op::Apply(new) => done(self.apply(new).err()),
            Op::Reserve(claim) => self.reserve(claim, now).unwrap_or_else(Outcome::Refused),
            Op::Commit { account, id, answered } => {
                let key = (account.principal.clone(), id.clone());
                if let Some(asked) = self.asked.get_mut(&key).filter(|asked| asked.state == State::Reserved) {
                    (asked.state, asked.answered) = (State::Answered, answered.clone());
                }
                given(self.answer(&key).and_then(|answer| answer.ok_or(Code::ExecutionFailed)))
            }
            Op::Fail { principal, id, freeze } => {
                self.fail(&(principal.to_string(), id.clone()), *freeze);
                Outcome::Done
            }
            Op::Unfreeze(principal) => {
                let accounts = self.of(principal);
                if !accounts.iter().any(|shown| shown.frozen) {
                    return Outcome::Refused(Code::NoGrant);
                }
                accounts.into_iter().for_each(|shown| shown.frozen = false);
                for ((of, _), asked) in &mut self.asked {
                    if of == principal && asked.state == State::Reserved {
                        asked.state = State::Failed;
                    }
                }
                Outcome::Done
            }
            Op::Hold { holder, reason, stop } => {
                let held = stop.then(|| reason.to_string());
                let accounts = self.of(holder);
                if accounts.iter().all(|shown| shown.held == held) {
                    return Outcome::Refused(Code::InvalidRequest);
                }
                accounts.into_iter().for_each(|shown| shown.held = held.clone());
                Outcome::Done
            }
            Op::Expire { before } => {
                let is_old = |asked: &&mut Asked| asked.state == State::Answered && asked.same_as.is_none();
                let old = self.asked.iter_mut().filter(|((principal, _), _)| !principal.is_empty()).map(|(_, of)| of);
                old.filter(is_old).for_each(|asked| asked.expired |= *before > self.now);
                Outcome::Done
            }
            Op::Reopen => {
                self.reopen();
                Outcome::Done
            }
            Op::Read { principal, id, request } => {
                let key = (principal.to_string(), id.clone());
                let asked = self.asked.get(&key);
                let replay = match asked {
                    Some(asked) if asked.claim.request != *request => Err(Code::QueryIdReused),
                    _ => self.answer(&key),
                };
                let drawn = match self.paid(&key) {
                    Some(paid) if paid.expired => Err(Code::AnswerExpired),
                    paid => Ok(paid.map(|paid| paid.answered.drawn.clone())),
                };
                let charged = asked.filter(|asked| asked.state == State::Reserved);
                let charged = charged.map(|asked| asked.claim.question.clone());
                Outcome::Read { answer: self.answer(&key), replay, drawn, charged }
            }
        }
    }

    /// All accounts of a holder.
    fn of(&mut self, holder: &str) -> Vec<&mut Shown> {
        let books = self.books.iter_mut().filter(|(account, _)| account.principal == holder);
        books.map(|(_, (shown, _))| shown).collect()
    }

    fn apply(&mut self, new: &NewPolicy) -> Result<(), Code> {
        if new.based_on.is_some() && new.based_on != self.policy {
            return Err(Code::PolicyChanged);
        }
        self.policy = Some(digest(&new.document));
        for (account, (_, active)) in &mut self.books {
            *active = new.settings.iter().any(|setting| setting.account == *account);
        }
        for Setting { account, grant, terms } in &new.settings {
            let others = self.of(&account.principal);
            let frozen = others.iter().any(|shown| shown.frozen);
            let held = others.iter().find_map(|shown| shown.held.clone());
            let nothing = Charge::NOTHING;
            let shown = Shown {
                grant: *grant,
                terms: terms.clone(),
                spent: nothing,
                charges: 0,
                life: nothing,
                life_charges: 0,
                since: 0,
                frozen,
                held,
            };
            let is_new = !self.books.contains_key(account);
            let (shown, active) = self.books.entry(account.clone()).or_insert((shown, true));
            if is_new || shown.terms.window != terms.window {
                // Whatever was spent counts in the window that is now.
                (shown.spent, shown.charges) = (shown.life, shown.life_charges);
                shown.since = terms.window.map_or(0, |window| window.start(self.now));
            }
            (shown.grant, shown.terms, *active) = (*grant, terms.clone(), true);
        }
        Ok(())
    }

    /// An account whose grant is in force.
    fn active(&self, account: &Account) -> Result<&Shown, Code> {
        self.books.get(account).filter(|(_, active)| *active).map(|(shown, _)| shown).ok_or(Code::NoGrant)
    }

    fn usable(&self, account: &Account) -> Result<&Shown, Code> {
        let shown = self.active(account)?;
        match shown.terms.expires_at {
            _ if shown.frozen || shown.held.is_some() => Err(Code::AccountFrozen),
            Some(end) if end <= self.now => Err(Code::NoGrant),
            _ => Ok(shown),
        }
    }

    /// As it is in its window: in a new one nothing is spent.
    fn in_window(&self, shown: &Shown) -> Shown {
        let start = shown.terms.window.map_or(0, |window| window.start(self.now));
        match start > shown.since {
            true => Shown { spent: Charge::NOTHING, charges: 0, since: start, ..shown.clone() },
            false => shown.clone(),
        }
    }

    /// What is kept of the pool for others than this account: of each share what was not spent. Its own share is not, and of its team's, which is for it too,
    /// what is the other members'. Of another team is kept what is left of its share, or of its members' together, where that is more.
    fn kept(&self, asking: &Account) -> Units {
        let Ok(pool) = self.active(&Account::pool(DATASET)) else { return [0; 3] };
        let mine = self.books.get(asking).and_then(|(shown, _)| shown.terms.team.clone());
        let shares: Vec<(&Account, Option<String>, Units)> = self
            .books
            .iter()
            .filter(|(account, (shown, active))| {
                let expired = shown.terms.expires_at.is_some_and(|end| end <= self.now);
                *active && !expired && !shown.terms.reserved.is_zero() && *account != asking
            })
            .map(|(account, (shown, _))| {
                let share = shown.terms.reserved.atto();
                let left = |whole: Amount, spent: Amount| (whole.atto() * share / ONE).saturating_sub(spent.atto());
                let units = [
                    shown.life.epsilon.map_or(0, |spent| left(pool.grant.epsilon, spent)),
                    left(pool.grant.rho_limit, shown.life.rho),
                    left(pool.grant.delta_key, shown.life.delta),
                ];
                (account, shown.terms.team.clone(), units)
            })
            .collect();
        let sum = |some: &dyn Fn(&Account, &Option<String>) -> bool| {
            let counted = shares.iter().filter(|(account, team, _)| some(account, team));
            counted.fold([0u128; 3], |sum, (.., units)| std::array::from_fn(|at| sum[at] + units[at]))
        };
        let teams = self.books.keys().filter_map(|account| account.principal.strip_prefix("team:"));
        let teams: Vec<&str> = teams.filter(|team| mine.as_deref() != Some(team)).collect();
        let is_team = |account: &Account| account.principal.starts_with("team:");
        let mut kept = sum(&|account, team| !is_team(account) && (team.is_none() || *team == mine));
        for name in teams {
            let of_team = sum(&|account, _| *account == Account::team(DATASET, name));
            let of_members = sum(&|_, team| team.as_deref() == Some(name));
            kept = std::array::from_fn(|at| kept[at] + of_team[at].max(of_members[at]));
        }
        kept
    }

    /// Who pays how much, where all can.
    fn payers(&self, claim: &Claim) -> Result<Vec<(Account, Charge)>, Code> {
        let own = self.active(&claim.account)?;
        let team = own.terms.team.iter().map(|team| Account::team(DATASET, team));
        let mut payers: Vec<_> = team.chain(claim.tiers.clone()).map(|account| (account, claim.charge)).collect();
        if !claim.account.is_pool() {
            payers.insert(0, (claim.account.clone(), claim.charge));
        }
        payers.push((Account::pool(DATASET), claim.pool_charge));
        for (account, _) in &payers {
            self.active(account)?;
        }
        for (account, charge) in &payers {
            let shown = self.in_window(self.usable(account)?);
            let kept = if account.is_pool() { self.kept(&claim.account) } else { [0; 3] };
            if !accepts(&shown.grant, shown.spent, *charge, kept) {
                return Err(Code::BudgetExhausted);
            }
        }
        Ok(payers)
    }

    fn reserve(&mut self, claim: &Claim, now: i64) -> Result<Outcome, Code> {
        let key = (claim.account.principal.clone(), claim.query_id.clone());
        if self.asked.contains_key(&key) {
            return self.again(&key, claim);
        }
        let same_as = if claim.fresh { None } else { self.earlier(claim) };
        let is_paid = same_as.is_some();
        if !is_paid {
            if claim.policy.is_some() && claim.policy != self.policy {
                return Err(Code::PolicyChanged);
            }
            for (account, charge) in self.payers(claim)? {
                let shown = self.in_window(&self.books[&account].0);
                let (spent, life) = (sum(shown.spent, charge), sum(shown.life, charge));
                let (charges, life_charges) = (shown.charges + 1, shown.life_charges + 1);
                self.books.insert(account, (Shown { spent, charges, life, life_charges, ..shown }, true));
            }
        }
        let state = if is_paid { State::Answered } else { State::Reserved };
        let (claim, answered) = (claim.clone(), Answered::default());
        let releases = claim.releases;
        let asked = Asked { claim, state, runs: 1, charged_at: now, same_as, answered, expired: false };
        self.asked.insert(key.clone(), asked);
        match is_paid {
            true => self.answer(&key).map(|answer| answer.map_or(Outcome::Done, Outcome::Given)),
            false => Ok(Outcome::Run { releases, charged_at: now }),
        }
    }

    /// The same query id again.
    fn again(&mut self, key: &Key, claim: &Claim) -> Result<Outcome, Code> {
        let Asked { claim: first, state, runs, charged_at, .. } = &self.asked[key];
        let (releases, charged_at) = (first.releases, *charged_at);
        if first.request != claim.request {
            return Err(Code::QueryIdReused);
        }
        if *state == State::Answered {
            return self.answer(key).map(|answer| answer.map_or(Outcome::Done, Outcome::Given));
        }
        if *state == State::Failed {
            return Err(Code::ExecutionFailed);
        }
        if *runs == MAX_ATTEMPTS {
            self.fail(key, true);
            return Err(Code::ExecutionFailed);
        }
        if first.question != claim.question {
            return Err(Code::QueryIdReused);
        }
        let team = self.usable(&claim.account)?.terms.team.clone().map(|team| Account::team(DATASET, &team));
        let others = team.into_iter().chain(claim.tiers.clone()).chain([Account::pool(DATASET)]);
        if others.into_iter().any(|other| self.active(&other).is_ok_and(|shown| shown.held.is_some())) {
            return Err(Code::AccountFrozen);
        }
        // What the pool has paid is not enough for what would be drawn from it now.
        let (paid, now) = (first.pool_charge, claim.pool_charge);
        let covers = now.rho <= paid.rho && paid.epsilon.is_none_or(|paid| now.epsilon.is_some_and(|now| now <= paid));
        if first.pool_charge != first.charge && !covers {
            self.fail(key, false);
            return Err(Code::ExecutionFailed);
        }
        if let Some(asked) = self.asked.get_mut(key) {
            asked.runs += 1;
        }
        Ok(Outcome::Run { releases, charged_at })
    }

    /// The query id of an answer of this account to the same question.
    fn earlier(&self, claim: &Claim) -> Option<String> {
        let is_same = |asked: &&Asked| {
            let question = &asked.claim.question;
            asked.claim.account == claim.account
                && (*question == claim.question || Some(question) == claim.before.as_ref())
                && asked.state == State::Answered
                && asked.same_as.is_none()
                && !asked.expired
        };
        let earlier = self.asked.values().filter(is_same);
        let earlier = earlier.min_by_key(|asked| (asked.charged_at, asked.claim.query_id.clone()))?;
        Some(earlier.claim.query_id.clone())
    }

    /// Whose charge paid for the answer under a query id.
    fn paid(&self, key: &Key) -> Option<&Asked> {
        let asked = self.asked.get(key).filter(|asked| asked.state == State::Answered)?;
        match &asked.same_as {
            Some(id) => self.asked.get(&(key.0.clone(), id.clone())),
            None => Some(asked),
        }
    }

    fn answer(&self, key: &Key) -> Result<Option<StoredAnswer>, Code> {
        let Some(paid) = self.paid(key) else { return Ok(None) };
        if paid.expired {
            return Err(Code::AnswerExpired);
        }
        let (account, bytes) = (paid.claim.account.clone(), paid.answered.bytes.clone());
        Ok(Some(StoredAnswer { query_id: key.1.clone(), account, bytes }))
    }

    fn fail(&mut self, key: &Key, freeze: bool) {
        let Some(asked) = self.asked.get_mut(key).filter(|asked| asked.state == State::Reserved) else { return };
        asked.state = State::Failed;
        if freeze && asked.claim.releases > 0 {
            self.of(&key.0).into_iter().for_each(|shown| shown.frozen = true);
        }
    }

    /// Whoever lost many runs is frozen, where nobody else can be at work on them.
    fn reopen(&mut self) {
        if !self.alone {
            return;
        }
        for principal in PEOPLE {
            let is_lost = |((of, _), asked): &(&Key, &Asked)| {
                of == principal && asked.state == State::Reserved && asked.claim.releases > 0
            };
            if self.asked.iter().filter(is_lost).count() as i64 > MAX_LOST {
                self.of(principal).into_iter().for_each(|shown| shown.frozen = true);
            }
        }
    }
}

/// Makes a change in the ledger.
async fn tell(ledger: &Ledger, op: &Op) -> Outcome {
    let done = |result: Result<()>| result.map_or_else(|e| Outcome::Refused(e.code), |()| Outcome::Done);
    match op {
        Op::Apply(new) => done(ledger.apply(new.clone()).await),
        Op::Reserve(claim) => match ledger.reserve(claim.clone()).await {
            Ok(Reserved::Run { reservation, charged_at }) => {
                Outcome::Run { releases: reservation.split().len(), charged_at }
            }
            Ok(Reserved::Stored(answer)) => Outcome::Given(answer),
            Err(e) => Outcome::Refused(e.code),
        },
        Op::Commit { account, id, answered } => {
            let stored = ledger.commit(account, id, answered.clone()).await;
            stored.map_or_else(|e| Outcome::Refused(e.code), Outcome::Given)
        }
        Op::Fail { principal, id, freeze } => done(ledger.fail(principal, id, *freeze).await),
        Op::Unfreeze(principal) => done(ledger.unfreeze(DATASET, principal, "it was looked into").await),
        Op::Hold { holder, reason, stop } => done(ledger.hold("gina", DATASET, holder, reason, *stop).await),
        Op::Expire { before } => done(ledger.expire(DATASET, *before).await),
        // That takes more than a ledger.
        Op::Reopen => Outcome::Done,
        Op::Read { principal, id, request } => Outcome::Read {
            answer: ledger.answer(principal, id).await.map_err(|e| e.code),
            replay: ledger.replay(principal, id, request).await.map_err(|e| e.code),
            drawn: ledger.drawn(principal, id).await.map_err(|e| e.code),
            charged: ledger.charged(principal, id).await.unwrap(),
        },
    }
}

async fn open(location: &Location) -> Ledger {
    let ledger = Ledger::open(location).await.unwrap();
    ledger.serve(DEADLINE).await.unwrap();
    ledger
}

/// Where a sequence fails, after how many of its steps, and how.
type Failure = (usize, String);

/// Makes the same changes in a new ledger and in a model: the names of the codes that were seen.
async fn run(location: &Location, ops: &[Op]) -> Result<BTreeSet<&'static str>, Failure> {
    let (mut model, mut ledger) = (Model::new(location), open(location).await);
    let mut codes = BTreeSet::new();
    for (step, op) in ops.iter().enumerate() {
        let told = match op {
            Op::Reopen => {
                drop(ledger);
                ledger = open(location).await;
                Outcome::Done
            }
            op => tell(&ledger, op).await,
        };
        let charged_at = if let Outcome::Run { charged_at, .. } = &told { *charged_at } else { 0 };
        let expected = model.step(op, charged_at);
        let failed = |what: String| (step + 1, what);
        same("it comes to", &told, &expected).map_err(failed)?;
        if let Outcome::Refused(code) | Outcome::Read { answer: Err(code), .. } = told {
            codes.insert(code.name());
        }
        balances(&ledger, &model).await.map_err(failed)?;
        if step % 10 == 0 || step + 1 == ops.len() {
            audited(&ledger, &model).await.map_err(failed)?;
        }
    }
    Ok(codes)
}

fn same<T: Debug + PartialEq>(what: &str, ledger: &T, model: &T) -> Result<(), String> {
    match ledger == model {
        true => Ok(()),
        false => Err(format!("{what}\n{ledger:?} in the ledger,\n{model:?} in the model")),
    }
}

/// All accounts in force, and what each of them is left of the pool.
async fn balances(ledger: &Ledger, model: &Model) -> Result<(), String> {
    let all = ledger.balances().await.unwrap();
    let shown: BTreeMap<Account, Shown> = all.iter().cloned().map(Shown::of).collect();
    let active = model.books.iter().filter(|(_, (_, active))| *active);
    let expected: BTreeMap<Account, Shown> =
        active.map(|(account, (shown, _))| (account.clone(), model.in_window(shown))).collect();
    same("accounts are", &shown.keys().collect::<Vec<_>>(), &expected.keys().collect::<Vec<_>>())?;
    for (account, shown) in &shown {
        same(&format!("{account} is"), shown, &expected[account])?;
    }
    let asks = |balance: &&Balance| PEOPLE.contains(&balance.account.principal.as_str());
    for own in all.iter().filter(asks) {
        let team = own.terms.team.as_ref().map(|team| Account::team(DATASET, team));
        let pays = team.into_iter().chain([Account::pool(DATASET)]).all(|account| expected.contains_key(&account));
        let scope = Scope::of(&all, own, &[]);
        same(&format!("whether {} can pay is", own.account), &scope.is_some(), &pays)?;
        if let Some(Scope { pool, .. }) = scope {
            let Charge { epsilon, rho, delta } = pool.spent.kept;
            let kept = [epsilon.unwrap_or_default(), rho, delta].map(Amount::atto);
            same(&format!("kept from {} is", own.account), &kept, &model.kept(&own.account))?;
        }
    }
    Ok(())
}

/// What follows from the log alone, and every account as it is written.
async fn audited(ledger: &Ledger, model: &Model) -> Result<(), String> {
    // It compares the log with what is written, too.
    let replayed = ledger.verify().await.map_err(|e| e.to_string())?.accounts;
    let written = ledger.accounts().await.unwrap();
    let written: BTreeMap<Account, (Shown, bool)> = written
        .into_iter()
        .map(|(balance, active)| {
            let (account, shown) = Shown::of(balance);
            (account, (shown, active))
        })
        .collect();
    same("all accounts are", &written.keys().collect::<Vec<_>>(), &model.books.keys().collect::<Vec<_>>())?;
    same("the log's accounts are", &replayed.keys().collect::<Vec<_>>(), &model.books.keys().collect::<Vec<_>>())?;
    for (account, expected) in &model.books {
        same(&format!("{account} is"), &written[account], &(model.in_window(&expected.0), expected.1))?;
        let (shown, active) = expected;
        let of_log = &replayed[account];
        let says = (&of_log.spent, of_log.charges, &of_log.lifetime, of_log.since);
        let wanted = (&shown.spent, shown.charges, &shown.life, shown.since);
        same(&format!("spent by {account} after the log's last entry is"), &says, &wanted)?;
        let says = (of_log.active, of_log.frozen, of_log.held);
        let wanted = (*active, shown.frozen, shown.held.is_some());
        same(&format!("whether {account} is active, frozen and held after the log's last entry is"), &says, &wanted)?;
        let terms = written_terms(&shown.grant, &shown.terms);
        same(&format!("terms of {account} after the log's last entry are"), &of_log.terms, &terms)?;
    }
    Ok(())
}

/// Whose query id this is: ids take turns in purposes, and the pool, whose name is empty, has none.
fn account(principal: &str, n: usize) -> Account {
    let purpose = PURPOSES[n % PURPOSES.len()];
    match principal {
        "" => Account::pool(DATASET),
        _ => Account { dataset: DATASET.into(), principal: principal.into(), purpose: purpose.into() },
    }
}

/// Draws changes.
struct Dice<'a> {
    rng: StdRng,
    /// To choose from: it takes a while to make one.
    grants: &'a [Grant],
    pools: &'a [Grant],
    /// Whether charges may have no pure epsilon: one of these ends a pool's pure ledger.
    gaussian: bool,
    /// Answers that there are for ten reservations.
    answers: usize,
}

impl Dice<'_> {
    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.rng.random_range(0..of.len())].clone()
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_ratio(percent, 100)
    }

    /// Now and then the pool.
    fn asker(&mut self) -> &'static str {
        if self.chance(4) { "" } else { self.one(&PEOPLE) }
    }

    fn id(&mut self) -> usize {
        self.rng.random_range(0..IDS)
    }

    fn ops(mut self, steps: usize) -> Vec<Op> {
        let first = Op::Apply(self.policy());
        let rest: Vec<Op> = (1..steps).map(|_| self.op()).collect();
        [vec![first], rest].concat()
    }

    fn op(&mut self) -> Op {
        let (principal, n) = (self.asker(), self.id());
        let id = format!("q{n}");
        let weights = [40, 4 * self.answers, 4, 4, 4, 5, 2, 2, 8, 4];
        let total: usize = weights.iter().sum();
        let mut drawn: usize = self.rng.random_range(0..total);
        let kind = weights.iter().position(|weight| {
            let is_it = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            is_it
        });
        match kind.unwrap_or_default() {
            0 => Op::Reserve(self.claim(principal, n)),
            1 => {
                let bytes = vec![self.rng.random_range(0..=255u8), n as u8];
                let drawn = self.chance(50).then(|| [b"drawn ".as_slice(), &bytes].concat());
                let answered = Answered { bytes, drawn, ..Answered::default() };
                Op::Commit { account: account(principal, n), id, answered }
            }
            2 => Op::Fail { principal, id, freeze: self.chance(50) },
            3 => Op::Unfreeze(principal),
            4 => Op::Hold { holder: self.holder(), reason: self.one(&["they asked", "they left"]), stop: true },
            5 => Op::Hold { holder: self.holder(), reason: "it is settled", stop: false },
            6 => Op::Expire { before: if self.chance(50) { FAR_AHEAD } else { LONG_AGO } },
            7 => Op::Reopen,
            8 => Op::Read { principal, id, request: self.request(n) },
            _ => Op::Apply(self.policy()),
        }
    }

    fn holder(&mut self) -> String {
        match self.rng.random_range(0..8) {
            0 => String::new(),
            1 => Account::team(DATASET, self.one(&TEAMS)).principal,
            2 => Account::tier(DATASET, self.one(&TIERS)).principal,
            _ => self.one(&PEOPLE).to_owned(),
        }
    }

    /// Nearly always that of its id.
    fn request(&mut self, n: usize) -> Vec<u8> {
        vec![n as u8, u8::from(self.chance(10))]
    }

    /// Ids of one account have few questions, so that most were asked before.
    fn question(&mut self, n: usize) -> Vec<u8> {
        vec![(n % 4) as u8, u8::from(self.chance(10))]
    }

    fn claim(&mut self, principal: &str, n: usize) -> Claim {
        let account = account(principal, n);
        let mut tiers = Vec::new();
        if !account.is_pool() {
            tiers.extend(TIERS.into_iter().filter(|_| self.chance(20)).map(|tier| Account::tier(DATASET, tier)));
        }
        let charge = self.charge();
        let half = Charge { epsilon: charge.epsilon.map(|e| e.share(2)), rho: charge.rho.share(2), ..charge };
        Claim {
            query_id: format!("q{n}"),
            account,
            request: self.request(n),
            question: self.question(n),
            before: self.chance(20).then(|| vec![((n + 2) % 4) as u8, 0]),
            charge,
            tiers,
            policy: self.chance(25).then(|| digest(self.one(&POLICIES))),
            pool_charge: if self.chance(25) { half } else { charge },
            releases: self.rng.random_range(0..4),
            fresh: self.chance(50),
            call: "execute",
        }
    }

    fn charge(&mut self) -> Charge {
        let pure = Charge::pure(self.amount(ONE));
        match self.rng.random_range(0..10) {
            // As of Laplace noise in several groups.
            0..3 => Charge { rho: pure.rho.share(3), ..pure },
            3 if self.gaussian => Charge::zcdp(self.amount(ONE / 20)),
            4 if self.gaussian => Charge { epsilon: None, delta: self.amount(ONE / 5_000_000), ..pure },
            5 => Charge::NOTHING,
            _ => pure,
        }
    }

    fn amount(&mut self, most: u128) -> Amount {
        Amount::from_atto(self.rng.random_range(1..=most))
    }

    fn policy(&mut self) -> NewPolicy {
        let mut accounts = Vec::new();
        let teams = TEAMS.map(|team| Account::team(DATASET, team));
        let tiers = TIERS.map(|tier| Account::tier(DATASET, tier));
        accounts.extend([Account::pool(DATASET)].into_iter().chain(teams).chain(tiers).filter(|_| self.chance(95)));
        for principal in PEOPLE {
            for purpose in PURPOSES {
                let account = Account { dataset: DATASET.into(), principal: principal.into(), purpose: purpose.into() };
                accounts.extend(Some(account).filter(|_| self.chance(85)));
            }
        }
        let settings = accounts.into_iter().map(|account| self.setting(account)).collect();
        NewPolicy {
            document: self.one(&POLICIES).into(),
            author: "gina".into(),
            reason: "as agreed".into(),
            based_on: self.chance(20).then(|| digest(self.one(&POLICIES))),
            settings,
            ..NewPolicy::default()
        }
    }

    fn setting(&mut self, account: Account) -> Setting {
        let grant = if account.is_pool() { self.one(self.pools) } else { self.one(self.grants) };
        let (is_own, is_team) = (PURPOSES.contains(&account.purpose.as_str()), account.principal.starts_with("team:"));
        let some = |yes: bool, amount: &str| -> Option<Amount> { yes.then(|| amount.parse().unwrap()) };
        let share = ["0.05", "0.1", "0.25", "0.333333333333333333"][self.rng.random_range(0..4)];
        let terms = Terms {
            team: (is_own && self.chance(40)).then(|| self.one(&TEAMS).to_owned()),
            max_epsilon: some(is_own && self.chance(30), "0.75"),
            default_epsilon: some(is_own && self.chance(30), "0.1"),
            window: self.chance(20).then(|| [Window::Yearly, Window::Monthly][self.rng.random_range(0..2)]),
            expires_at: self.chance(10).then(|| if self.chance(30) { LONG_AGO } else { FAR_AHEAD }),
            reserved: some((is_own || is_team) && self.chance(30), share).unwrap_or_default(),
        };
        Setting { account, grant, terms }
    }
}

/// New ledgers beside a first one.
struct Places<'a> {
    first: &'a Location,
    made: Cell<usize>,
}

impl Places<'_> {
    fn is_of_files(&self) -> bool {
        matches!(self.first, Location::Sqlite(_))
    }

    fn next(&self) -> Location {
        self.made.set(self.made.get() + 1);
        match self.first {
            Location::Sqlite(path) => Location::Sqlite(path.with_file_name(format!("{}.sqlite", self.made.get()))),
            Location::Postgres(_) => Location::Postgres(postgres::shared().database()),
        }
    }
}

/// Leaves out one step after the other, from the last to the first, as long as it still fails.
async fn shorten(places: &Places<'_>, mut ops: Vec<Op>, (failed, mut what): Failure) -> (Vec<Op>, String) {
    ops.truncate(failed);
    let (mut at, mut tries) = (ops.len(), 0);
    while at > 0 && tries < TRIES {
        at -= 1;
        tries += 1;
        let mut fewer = ops.clone();
        fewer.remove(at);
        if let Err((failed, now)) = run(&places.next(), &fewer).await {
            fewer.truncate(failed);
            (at, ops, what) = (at.min(fewer.len()), fewer, now);
        }
    }
    (ops, what)
}

fn listed(ops: &[Op]) -> String {
    ops.iter().enumerate().map(|(n, op)| format!("{:>4}. {op:?}\n", n + 1)).collect()
}

#[tokio::test]
async fn the_ledger_does_what_a_plain_model_does() {
    let amount = |text: &str| -> Amount { text.parse().unwrap() };
    let made = |epsilons: &[&str]| -> Vec<Grant> {
        let of = |epsilon: &str| ["0", "1e-6", "1e-3"].map(|delta| Grant::new(amount(epsilon), amount(delta)));
        epsilons.iter().flat_map(|epsilon| of(epsilon)).collect()
    };
    let (grants, pools) = (made(&["1", "2.5", "5"]), made(&["3", "8", "20"]));
    in_each_store(async |location| {
        let places = Places { first: location, made: Cell::new(0) };
        // A database takes longer to make than a file.
        let (seeds, steps) = if places.is_of_files() { (12, 150) } else { (4, 100) };
        let mut codes = BTreeSet::new();
        for seed in 0..seeds {
            let rng = StdRng::seed_from_u64(seed);
            let (gaussian, answers) = (seed % 2 == 1, 1 + 2 * (seed % 4) as usize);
            let dice = Dice { rng, grants: &grants, pools: &pools, gaussian, answers };
            let ops = dice.ops(steps);
            match run(&places.next(), &ops).await {
                Ok(seen) => codes.extend(seen),
                Err(failure) => {
                    println!("seed {seed}, after {} steps: {}\n{}", failure.0, failure.1, listed(&ops[..failure.0]));
                    let (ops, what) = shorten(&places, ops, failure).await;
                    panic!("seed {seed}, in short:\n{}then {what}", listed(&ops));
                }
            }
        }
        if places.is_of_files() {
            // Whatever a ledger refuses has happened. The shorter runs in a database need not come across all of it.
            for code in [
                Code::BudgetExhausted,
                Code::NoGrant,
                Code::AccountFrozen,
                Code::PolicyChanged,
                Code::QueryIdReused,
                Code::ExecutionFailed,
                Code::AnswerExpired,
                Code::InvalidRequest,
            ] {
                assert!(codes.contains(code.name()), "nothing ended in {}: {codes:?}", code.name());
            }
        }
    })
    .await;
}
