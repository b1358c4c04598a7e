//! Whether a ledger is what its log says: the chain, and from its entries alone every balance, charge, answer and policy.

use super::replay::{Replay, charge};
use super::{accounts, audit, policies, unavailable, written_terms};
use crate::accounting::{Charge, Grant};
use crate::error::{Code, Error, Result};
use crate::hex::sha256;
use futures::TryStreamExt;
use serde_json::Value;
use sqlx::{AnyConnection, Row};
use std::collections::BTreeMap;

/// Walks the log and compares what follows from it with the tables, in the transaction of `db`: the accounts, and the head of the chain.
///
/// Errors: `LEDGER_UNAVAILABLE`, with the first thing that is another one.
pub async fn compare(db: &mut AnyConnection) -> Result<Replay> {
    let (mut replay, mut charges) = (Replay::default(), Charges::default());
    let mut rows = audit::rows(db, 0);
    while let Some(entry) = rows.try_next().await.map_err(unavailable)? {
        replay.take(&entry)?;
        charges.take(&entry.kind, &entry.body);
    }
    drop(rows);
    let mut known = replay.accounts.clone();
    for (balance, active) in accounts::all_balances(db, 0).await? {
        let account = &balance.account;
        let log = known.remove(account).ok_or_else(|| differs(account, "the log does not have it"))?;
        let Grant { epsilon, .. } = balance.grant;
        let terms = written_terms(&balance.grant, &balance.terms);
        let whole = Grant::new(epsilon, balance.grant.delta()) == balance.grant;
        for (what, same) in [
            ("what it has spent", log.spent == balance.spent.total && log.charges == balance.spent.charges),
            ("what it has spent in all", log.lifetime == balance.lifetime.total),
            ("when its window began", log.since == balance.since),
            ("its grant", whole && log.terms == terms && log.active == active),
            ("whether it is frozen", log.frozen == balance.frozen && log.held == balance.held.is_some()),
        ] {
            if !same {
                return Err(differs(account, &format!("{what} is another than the log says")));
            }
        }
    }
    if let Some(unknown) = known.keys().next() {
        return Err(differs(unknown, "the ledger does not have it"));
    }
    charges.compare(db).await?;
    for policy in policies::policies(db).await? {
        if sha256(&policy.document) != policy.hash || !charges.policies.contains(&policy.hash) {
            return Err(differs(&format!("policy {}", policy.version), "it is another than the log says"));
        }
    }
    Ok(replay)
}

fn differs(what: &impl ToString, how: &str) -> Error {
    Error::new(Code::LedgerUnavailable, format!("{}: {how}: the ledger was changed", what.to_string()))
}

/// What the log says of charges and policies.
#[derive(Default)]
struct Charges {
    /// By principal and query id, with whether it was answered.
    paid: BTreeMap<(String, String), (Charge, bool)>,
    policies: Vec<String>,
}

impl Charges {
    /// What is no charge, answer or policy is none of its business.
    fn take(&mut self, kind: &str, body: &str) {
        let Ok(body) = serde_json::from_str::<Value>(body) else { return };
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let key = (text("principal"), text("query_id"));
        match kind {
            // The replay has refused what is no charge.
            "charge" => drop(charge(&body).and_then(|charge| self.paid.insert(key, (charge, false)))),
            "answer" => {
                self.paid.entry(key).or_insert((Charge::NOTHING, true)).1 = true;
            }
            "policy" => self.policies.push(text("policy")),
            _ => {}
        }
    }

    async fn compare(&self, db: &mut AnyConnection) -> Result<()> {
        let query = "SELECT principal, query_id, epsilon, rho, delta, state FROM charges WHERE same_as IS NULL";
        let mut rows = sqlx::query(query).fetch(db);
        let mut found = 0;
        while let Some(row) = rows.try_next().await.map_err(unavailable)? {
            let text = |column: &str| row.try_get::<String, _>(column).map_err(unavailable);
            let key = (text("principal")?, text("query_id")?);
            let charge = accounts::charge(&row, ["epsilon", "rho", "delta"])?;
            let answered = text("state")? == "answered";
            if self.paid.get(&key) != Some(&(charge, answered)) {
                let what = format!("the charge under query id '{}' of '{}'", key.1, key.0);
                return Err(differs(&what, "it is another than the log says"));
            }
            found += 1;
        }
        match found == self.paid.len() {
            true => Ok(()),
            false => Err(differs(&"charges", "the ledger does not have all of the log's")),
        }
    }
}
