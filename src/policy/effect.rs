//! What a change of the policy would do to the accounts that there are, before it is made.

use super::document::{DatasetSection, Document};
use super::{Policy, Role};
use crate::accounting::{Charge, Spent};
use crate::error::Result;
use crate::ledger::{Account, Balance, Kind, Setting, written_terms};
use crate::num::Amount;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

/// The difference that another policy makes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effect {
    pub accounts: Vec<Change>,
    /// Changes of roles, purposes, tiers, permissions and datasets, in words.
    pub rules: Vec<String>,
    /// Approvals that it needs, of others than whoever proposes it.
    pub approvals: i64,
}

/// An account that changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub account: Account,
    /// Its grant with its terms; None where it has none.
    pub before: Option<Value>,
    pub after: Option<Value>,
    /// The largest epsilon of one more question, by this account alone.
    pub remaining_before: Amount,
    pub remaining_after: Amount,
    /// Whether more was spent than its grant would then be: it can spend nothing more, and its promise holds for the larger grant alone.
    pub overdrawn: bool,
}

/// What putting `after` in force in the place of `before` does to all accounts that the ledger has, each with whether its grant is in force.
pub fn effect(before: &Policy, after: &Policy, known: &[(Balance, bool)]) -> Result<Effect> {
    let settings = after.document.settings()?;
    let mut accounts = Vec::new();
    for (balance, active) in known {
        let new = settings.iter().find(|setting| setting.account == balance.account);
        let is_same = |new: &Setting| new.grant == balance.grant && new.terms == balance.terms;
        if new.map_or(!active, |new| *active && is_same(new)) {
            continue;
        }
        // With another window, whatever was spent counts in the one that is now.
        let spent = match new.is_some_and(|new| new.terms.window != balance.terms.window) {
            true => balance.lifetime,
            false => balance.spent,
        };
        accounts.push(Change {
            account: balance.account.clone(),
            before: active.then(|| written_terms(&balance.grant, &balance.terms)),
            after: new.map(|new| written_terms(&new.grant, &new.terms)),
            remaining_before: if *active { balance.spent.remaining(&balance.grant) } else { Amount::ZERO },
            remaining_after: new.map_or(Amount::ZERO, |new| spent.remaining(&new.grant)),
            overdrawn: new.is_some_and(|new| !spent.accepts(&new.grant, Charge::NOTHING)),
        });
    }
    let is_new = |setting: &&Setting| known.iter().all(|(balance, _)| balance.account != setting.account);
    for Setting { account, grant, terms } in settings.iter().filter(is_new) {
        accounts.push(Change {
            account: account.clone(),
            before: None,
            after: Some(written_terms(grant, terms)),
            remaining_before: Amount::ZERO,
            remaining_after: Spent::NOTHING.remaining(grant),
            overdrawn: false,
        });
    }
    let (mut rules, datasets) = rules(&before.document, &after.document);
    rules.extend(role_changes(before, after).iter().map(|(principal, role, given)| match given {
        true => format!("'{principal}' gets role {role}"),
        false => format!("'{principal}' loses role {role}"),
    }));
    let two = [before, after].iter().any(|policy| needs_two(&policy.document, &accounts, &datasets));
    Ok(Effect { accounts, rules, approvals: if two { 2 } else { 1 } })
}

/// Who gets or loses a role: the principal, the role, and whether it is given.
pub fn role_changes(before: &Policy, after: &Policy) -> Vec<(String, Role, bool)> {
    let pairs = |policy: &Policy| -> BTreeSet<(String, Role)> {
        let roles = policy.document.roles().into_iter();
        roles.flat_map(|(principal, roles)| roles.into_iter().map(move |role| (principal.clone(), role))).collect()
    };
    let (had, has) = (pairs(before), pairs(after));
    let change = |given: bool| move |(principal, role): &(String, Role)| (principal.clone(), *role, given);
    has.difference(&had).map(change(true)).chain(had.difference(&has).map(change(false))).collect()
}

/// Sections that were added, removed or changed, and the datasets that they are about; an empty name is all of them.
fn rules(before: &Document, after: &Document) -> (Vec<String>, BTreeSet<String>) {
    let (before, after) = (sections(before), sections(after));
    let (mut words, mut datasets) = (Vec::new(), BTreeSet::new());
    for of @ (dataset, title) in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        let how = match (before.get(of), after.get(of)) {
            (before, after) if before == after => continue,
            (None, _) => "new",
            (_, None) => "removed",
            _ => "changed",
        };
        let on = if dataset.is_empty() { String::new() } else { format!(" of dataset '{dataset}'") };
        words.push(format!("{title}{on}: {how}"));
        datasets.insert(dataset.clone());
    }
    (words, datasets)
}

/// What a policy says beside accounts: by dataset and title.
fn sections(document: &Document) -> BTreeMap<(String, String), Vec<String>> {
    let Document { roles, purposes, datasets, tiers, permissions, teams: _, grants: _ } = document;
    let mut found: BTreeMap<_, Vec<String>> = BTreeMap::new();
    let mut add = |dataset: &str, title: String, says: &dyn Debug| {
        found.entry((dataset.to_owned(), title)).or_default().push(format!("{says:?}"));
    };
    roles.iter().for_each(|role| add("", format!("role '{}'", role.name), role));
    purposes.iter().for_each(|purpose| add("", format!("purpose '{}'", purpose.name), purpose));
    for of in datasets {
        let DatasetSection { name, pool_epsilon: _, pool_delta: _, answers_kept_days, .. } = of;
        let DatasetSection { max_epsilon, default_epsilon, max_delta, min_units, .. } = of;
        add(name, "how long answers are kept".to_owned(), answers_kept_days);
        add(name, "what a question may ask for".to_owned(), &(max_epsilon, default_epsilon, max_delta));
        add(name, "the least units of a group".to_owned(), min_units);
    }
    tiers.iter().for_each(|tier| add(&tier.dataset, format!("tier '{}'", tier.name), tier));
    permissions.iter().for_each(|of| add(&of.dataset, format!("permission for table '{}'", of.table), of));
    found
}

/// Whether a change of these accounts, or of rules of these datasets, is about columns that two have to approve.
fn needs_two(document: &Document, accounts: &[Change], datasets: &BTreeSet<String>) -> bool {
    document.tiers.iter().filter(|tier| tier.second_approver).any(|tier| {
        let is_read = |purpose: &String| tier.purposes.as_ref().is_none_or(|purposes| purposes.contains(purpose));
        let opens = |change: &Change| {
            let Account { dataset, purpose, .. } = &change.account;
            *dataset == tier.dataset && (change.account.kind() != Kind::Own || is_read(purpose))
        };
        datasets.contains(&tier.dataset) || datasets.contains("") || accounts.iter().any(opens)
    })
}
