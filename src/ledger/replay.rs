//! Balances from the audit log alone: what every account was granted and has spent, by nothing but its entries.

use super::audit::{Chain, Entry};
use super::{Account, Window};
use crate::accounting::Charge;
use crate::error::{Code, Error, Result};
use crate::num::Amount;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// An account as the log has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Recomputed {
    /// Its grant's amounts and terms, as they were written.
    pub terms: Value,
    /// Whether the grant is in force.
    pub active: bool,
    pub spent: Charge,
    pub charges: u64,
    /// In all windows.
    pub lifetime: Charge,
    pub lifetime_charges: u64,
    pub since: i64,
    pub frozen: bool,
    pub held: bool,
}

/// A log as far as it was read.
#[derive(Default)]
pub struct Replay {
    pub accounts: BTreeMap<Account, Recomputed>,
    pub chain: Chain,
}

impl Replay {
    /// Takes the next entry.
    ///
    /// Errors: `LEDGER_UNAVAILABLE` where it does not fit the chain, or says what no ledger does.
    pub fn take(&mut self, entry: &Entry) -> Result<()> {
        let fail = |message: String| Err(Error::new(Code::LedgerUnavailable, message));
        if !self.chain.takes(entry) {
            return fail(format!(
                "audit entry {} does not fit the chain: the log was changed",
                self.chain.entries() + 1
            ));
        }
        match step(&mut self.accounts, entry) {
            Some(()) => Ok(()),
            None => fail(format!(
                "audit entry {} is none that this version writes: use the version that wrote it",
                entry.seq
            )),
        }
    }
}

fn step(accounts: &mut BTreeMap<Account, Recomputed>, entry: &Entry) -> Option<()> {
    let body: Value = serde_json::from_str(&entry.body).ok()?;
    let text = |name: &str| Some(body.get(name)?.as_str()?.to_owned());
    match entry.kind.as_str() {
        "grant" => {
            let account = account(&body)?;
            let is_of = |other: &Account| other.dataset == account.dataset && other.principal == account.principal;
            let of_principal = accounts.iter().filter(|(other, _)| is_of(other)).map(|(_, known)| known);
            let (frozen, held) =
                of_principal.fold((false, false), |(frozen, held), known| (frozen || known.frozen, held || known.held));
            let nothing = Charge::NOTHING;
            let new = Recomputed {
                terms: Value::Null,
                active: true,
                spent: nothing,
                charges: 0,
                lifetime: nothing,
                lifetime_charges: 0,
                since: 0,
                frozen,
                held,
            };
            let known = accounts.entry(account).or_insert(new);
            let terms = terms(&body)?;
            let window = |terms: &Value| Window::of_name(terms.get("window")?.as_str()?);
            let now = window(&terms);
            if known.terms.is_null() || window(&known.terms) != now {
                (known.spent, known.charges) = (known.lifetime, known.lifetime_charges);
                known.since = now.map_or(0, |window| window.start(entry.at));
            }
            *known = Recomputed { terms, active: true, frozen, held, ..known.clone() };
        }
        "grant withdrawn" => accounts.get_mut(&account(&body)?)?.active = false,
        "charge" => {
            let (payer, charged) = (account(&body)?, charge(&body)?);
            let of_pool = body.get("of_pool").map_or(Some(charged), charge)?;
            let pool = Account::pool(&payer.dataset);
            if !payer.is_pool() {
                accounts.get_mut(&payer)?.pay(charged);
            }
            for also in body.get("also").and_then(Value::as_array).into_iter().flatten() {
                let also = Account { principal: also.as_str()?.to_owned(), ..pool.clone() };
                accounts.get_mut(&also)?.pay(charged);
            }
            accounts.get_mut(&pool)?.pay(of_pool);
        }
        "exhausted" => accounts.get_mut(&account(&body)?)?.pay(charge(&body)?),
        "window" => {
            let known = accounts.get_mut(&account(&body)?)?;
            (known.spent, known.charges, known.since) = (Charge::NOTHING, 0, body.get("since")?.as_i64()?);
        }
        "hold" | "release" => {
            let (dataset, principal) = (text("dataset")?, text("principal")?);
            let of_principal = |(account, _): &(&Account, &mut Recomputed)| {
                account.dataset == dataset && account.principal == principal
            };
            accounts.iter_mut().filter(of_principal).for_each(|(_, known)| known.held = entry.kind == "hold");
        }
        "freeze" | "unfreeze" => {
            let (dataset, principal) = (text("dataset")?, text("principal")?);
            let of_principal = |(account, _): &(&Account, &mut Recomputed)| {
                account.dataset == dataset && account.principal == principal
            };
            accounts.iter_mut().filter(of_principal).for_each(|(_, known)| known.frozen = entry.kind == "freeze");
        }
        // They change no balance.
        "reuse" | "resume" | "answer" | "bounds" | "loss" | "restore" | "quote" | "refusal" | "expiry" | "failure"
        | "clock" | "policy" | "role" | "proposal" | "approval" | "rejection" => {}
        _ => return None,
    }
    Some(())
}

impl Recomputed {
    fn pay(&mut self, charge: Charge) {
        (self.spent, self.lifetime) = (self.spent.plus(charge), self.lifetime.plus(charge));
        self.charges += 1;
        self.lifetime_charges += 1;
    }
}

/// A grant's terms; earlier versions wrote its amounts alone.
fn terms(body: &Value) -> Option<Value> {
    let amounts = || Some(json!({ "epsilon": body.get("epsilon")?, "delta": body.get("delta")? }));
    body.get("terms").cloned().or_else(amounts)
}

fn account(body: &Value) -> Option<Account> {
    let text = |name: &str| Some(body.get(name)?.as_str()?.to_owned());
    let dataset = text("dataset")?;
    match body.get("pool").and_then(Value::as_bool) {
        Some(true) => Some(Account::pool(&dataset)),
        _ => Some(Account { dataset, principal: text("principal")?, purpose: text("purpose")? }),
    }
}

/// What [`super::put_charge`] wrote.
pub(super) fn charge(body: &Value) -> Option<Charge> {
    let amount = |name: &str| Amount::written(body.get(name)?.as_str()?);
    let epsilon = match body.get("epsilon")? {
        Value::Null => None,
        _ => Some(amount("epsilon")?),
    };
    Some(Charge { epsilon, rho: amount("rho")?, delta: amount("delta")? })
}
