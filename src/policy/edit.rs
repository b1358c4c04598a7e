//! Changes of a policy that are made by calls. Each makes a new text of the one in force, and leaves its comments where they are.

use super::{Policy, check_name};
use crate::error::{Code, Error, Result};
use crate::num::Amount;
use serde::{Deserialize, Serialize};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

/// A change of a policy, as it is proposed, approved and kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    /// Another policy altogether, made from the one with this hash.
    Document { text: String, based_on: String },
    /// More for an account, which may be new.
    Budget { principal: String, dataset: String, purpose: String, epsilon: String, delta: String },
    /// A part of one account's grant to another one of the same dataset.
    Move { dataset: String, from: Holder, to: Holder, epsilon: String, delta: String },
    /// The end of a grant.
    Revoke { dataset: String, principal: String, purpose: String },
}

/// Whose grant: a principal's for a purpose, or a team's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    Principal { name: String, purpose: String },
    Team { name: String },
}

fn invalid(message: String) -> Error {
    Error::new(Code::InvalidRequest, message)
}

fn amount(text: &str) -> Result<Amount> {
    text.parse().map_err(|why| invalid(format!("'{text}' {why}")))
}

impl Edit {
    /// Whether it says something, whatever the policy: names that can be, and amounts of which one is above 0.
    ///
    /// Errors: `INVALID_REQUEST`.
    pub fn check(&self) -> Result<()> {
        let Edit::Budget { principal, dataset, purpose, epsilon, delta } = self else { return Ok(()) };
        for (what, name) in [("principal", principal), ("dataset", dataset), ("purpose", purpose)] {
            check_name(what, name).map_err(|e| invalid(e.message))?;
        }
        let amounts = [epsilon, delta].map(|text| amount(if text.is_empty() { "0" } else { text }));
        let [epsilon, delta] = amounts;
        match epsilon?.is_zero() && delta?.is_zero() {
            true => Err(invalid("ask for an epsilon or a delta above 0".into())),
            false => Ok(()),
        }
    }

    /// The policy that this makes of another one.
    ///
    /// Errors: `INVALID_REQUEST` where there is nothing of the kind to change; `CONFIGURATION` where what comes of it is no policy.
    pub fn of(&self, policy: &Policy) -> Result<Policy> {
        if let Edit::Document { text, based_on } = self {
            return match *based_on == policy.hash {
                true => Policy::read(text),
                false => Err(Error::new(
                    Code::PolicyChanged,
                    "the policy has changed since this one was made from it: make it anew from the one in force",
                )),
            };
        }
        let mut document: DocumentMut =
            policy.text.parse().map_err(|_| Error::internal("the policy in force cannot be edited"))?;
        match self {
            Edit::Document { .. } => {}
            Edit::Budget { principal, dataset, purpose, epsilon, delta } => {
                let holder = Holder::Principal { name: principal.clone(), purpose: purpose.clone() };
                if holder.find(&mut document, dataset).is_err() {
                    sections(&mut document, "grant")?.push(holder.new_grant(dataset));
                }
                holder.change(&mut document, dataset, [epsilon, delta], Amount::checked_plus)?;
            }
            Edit::Move { dataset, from, to, epsilon, delta } => {
                let window = |section: &mut Table| section.get("window").and_then(Item::as_str).map(str::to_owned);
                let windows = [from, to].map(|holder| holder.find(&mut document, dataset).map(window));
                let [before, after] = windows;
                if before? != after? {
                    let message = "one of these grants is there anew in each window, or in windows of another length: what is moved would be more, or less, than it was";
                    return Err(invalid(message.into()));
                }
                from.change(&mut document, dataset, [epsilon, delta], Amount::checked_minus)?;
                to.change(&mut document, dataset, [epsilon, delta], Amount::checked_plus)?;
            }
            Edit::Revoke { dataset, principal, purpose } => {
                let holder = Holder::Principal { name: principal.clone(), purpose: purpose.clone() };
                holder.find(&mut document, dataset)?;
                sections(&mut document, "grant")?.retain(|grant| !holder.is(grant, dataset));
            }
        }
        Policy::read(&document.to_string())
    }
}

/// All sections of a kind, which may be none.
fn sections<'a>(document: &'a mut DocumentMut, kind: &str) -> Result<&'a mut ArrayOfTables> {
    let item = document.entry(kind).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    item.as_array_of_tables_mut().ok_or_else(|| invalid(format!("write each {kind} of the policy as [[{kind}]]")))
}

impl Holder {
    fn new_grant(&self, dataset: &str) -> Table {
        let mut grant = Table::new();
        if let Holder::Principal { name, purpose } = self {
            for (key, text) in [("principal", name.as_str()), ("dataset", dataset), ("purpose", purpose)] {
                grant[key] = value(text);
            }
            for key in ["epsilon", "delta"] {
                grant[key] = value("0");
            }
        }
        grant
    }

    fn is(&self, section: &Table, dataset: &str) -> bool {
        let is = |key: &str, wanted: &str| section.get(key).and_then(Item::as_str) == Some(wanted);
        is("dataset", dataset)
            && match self {
                Holder::Principal { name, purpose } => is("principal", name) && is("purpose", purpose),
                Holder::Team { name } => is("name", name),
            }
    }

    fn find<'a>(&self, document: &'a mut DocumentMut, dataset: &str) -> Result<&'a mut Table> {
        let (kind, whose) = match self {
            Holder::Principal { name, purpose } => ("grant", format!("'{name}' has no grant for purpose '{purpose}'")),
            Holder::Team { name } => ("team", format!("team '{name}' has no account")),
        };
        let found = sections(document, kind)?.iter_mut().find(|section| self.is(section, dataset));
        found.ok_or_else(|| invalid(format!("{whose} on dataset '{dataset}'")))
    }

    /// Changes epsilon and delta of this grant.
    fn change(
        &self,
        document: &mut DocumentMut,
        dataset: &str,
        by: [&String; 2],
        change: fn(Amount, Amount) -> Option<Amount>,
    ) -> Result<()> {
        let section = self.find(document, dataset)?;
        for (key, by) in ["epsilon", "delta"].into_iter().zip(by) {
            // A number without the comment beside it.
            let text = section.get(key).and_then(Item::as_value).map(|value| match value.as_str() {
                Some(text) => text.to_owned(),
                None => value.clone().decorated("", "").to_string(),
            });
            let (has, by) = (amount(&text.unwrap_or_default())?, amount(if by.is_empty() { "0" } else { by })?);
            let changed =
                change(has, by).ok_or_else(|| invalid(format!("this grant has {key} {has}, and not {by}")))?;
            let mut changed = toml_edit::Value::from(changed.to_string());
            if let Some(before) = section.get(key).and_then(Item::as_value) {
                // The comment beside it.
                *changed.decor_mut() = before.decor().clone();
            }
            section[key] = Item::Value(changed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
# Ours.
[[dataset]]
name = "shop"
pool_epsilon = 10
pool_delta = "1e-6"

[[team]]
name = "growth"
dataset = "shop"
epsilon = "3"
delta = "0"

# Ana's.
[[grant]]
principal = "ana"
dataset = "shop"
purpose = "service"
epsilon = 2.5   # for now
delta = "1e-7"
"#;

    fn edited(edit: Edit) -> Result<Policy> {
        edit.of(&Policy::read(TEXT).unwrap())
    }

    fn owned(text: &str) -> String {
        text.to_owned()
    }

    fn ana() -> Holder {
        Holder::Principal { name: owned("ana"), purpose: owned("service") }
    }

    #[test]
    fn comments_stay_where_they_are() {
        let growth = Holder::Team { name: owned("growth") };
        let edit = |epsilon: &str, delta: &str| Edit::Move {
            dataset: owned("shop"),
            from: ana(),
            to: growth.clone(),
            epsilon: owned(epsilon),
            delta: owned(delta),
        };
        let policy = edited(edit("0.75", "0")).unwrap();
        assert!(policy.text.contains("# Ana's.") && policy.text.contains("# Ours."), "{}", policy.text);
        assert!(policy.text.contains("epsilon = \"1.75\"   # for now"), "{}", policy.text);
        assert_eq!(policy.document.grants[0].epsilon.to_string(), "1.75");
        assert_eq!(policy.document.teams[0].epsilon.to_string(), "3.75");
        for (epsilon, delta) in [("2.6", "0"), ("1", "1e-6"), ("x", "0")] {
            assert_eq!(edited(edit(epsilon, delta)).unwrap_err().code, Code::InvalidRequest, "{epsilon} {delta}");
        }
    }

    #[test]
    fn a_budget_adds_to_a_grant_or_makes_one() {
        let edit = |principal: &str, epsilon: &str| Edit::Budget {
            principal: owned(principal),
            dataset: owned("shop"),
            purpose: owned("service"),
            epsilon: owned(epsilon),
            delta: owned("1e-7"),
        };
        let more = edited(edit("ana", "0.5")).unwrap();
        let grant = &more.document.grants[0];
        assert_eq!((grant.epsilon.to_string(), grant.delta.to_string()), (owned("3"), owned("0.0000002")));
        let new = edited(edit("ben", "1")).unwrap();
        assert_eq!(new.document.grants.len(), 2);
        assert_eq!(new.document.grants[1].principal, "ben");
        assert_eq!(edited(edit("Ben", "1")).unwrap_err().code, Code::Configuration);
        assert_eq!(edited(edit("ben", "0")).unwrap_err().code, Code::Configuration);
    }

    #[test]
    fn what_was_made_from_another_policy_is_refused() {
        let edit = |based_on: &str| Edit::Document { text: owned(TEXT), based_on: owned(based_on) };
        assert_eq!(edited(edit("another")).unwrap_err().code, Code::PolicyChanged);
        assert!(edited(edit(&Policy::read(TEXT).unwrap().hash)).is_ok());
        let revoked = Edit::Revoke { dataset: owned("shop"), principal: owned("ana"), purpose: owned("service") };
        assert!(edited(revoked).unwrap().document.grants.is_empty());
    }
}
