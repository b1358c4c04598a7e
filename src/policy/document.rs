//! The policy as it is written, in TOML. Unknown keys are refused. `examples/policy.toml` is the annotated example.

use crate::accounting::Grant;
use crate::error::{Error, Result};
use crate::ledger::{Account, Setting, Terms, Window};
use crate::num::Amount;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use toml::value::Datetime;

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Document {
    #[serde(rename = "role", default)]
    pub roles: Vec<RoleSection>,
    #[serde(rename = "purpose", default)]
    pub purposes: Vec<PurposeSection>,
    #[serde(rename = "dataset", default)]
    pub datasets: Vec<DatasetSection>,
    #[serde(rename = "tier", default)]
    pub tiers: Vec<TierSection>,
    #[serde(rename = "permission", default)]
    pub permissions: Vec<PermissionSection>,
    #[serde(rename = "team", default)]
    pub teams: Vec<TeamSection>,
    #[serde(rename = "grant", default)]
    pub grants: Vec<GrantSection>,
}

/// What somebody may do. Nobody sees an answer without noise.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Asks questions, with a grant, and asks for grants.
    Analyst,
    /// Sets budgets and rules. Sees no data and no answers.
    Governance,
    /// Reads the audit log, the policies and the balances.
    Auditor,
    /// Runs the server. Reads no answers.
    Operator,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Role::Analyst => "analyst",
            Role::Governance => "governance",
            Role::Auditor => "auditor",
            Role::Operator => "operator",
        })
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct RoleSection {
    pub name: Role,
    pub principals: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct PurposeSection {
    pub name: String,
    #[serde(default)]
    pub description: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct DatasetSection {
    pub name: String,
    /// What all accounts together may spend, for ever.
    pub pool_epsilon: Amount,
    pub pool_delta: Amount,
    /// Days after which answers are deleted; None keeps them.
    pub answers_kept_days: Option<u32>,
    /// The most that one question may ask for, and what one asks for that does not say; None leaves it to the declaration, and what that allows is never exceeded.
    pub max_epsilon: Option<Amount>,
    pub default_epsilon: Option<Amount>,
    /// The most that one question may spend on private keys; with 0 keys must be public.
    pub max_delta: Option<Amount>,
    /// Groups with private keys appear only from this many units on.
    #[serde(default = "one")]
    pub min_units: u64,
}

/// Rules for questions that read a column of a tier.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct TierSection {
    pub name: String,
    pub dataset: String,
    /// `table.column`, beside the columns whose declaration names the tier.
    #[serde(default)]
    pub columns: Vec<String>,
    /// What all questions that read such a column may spend together: a cap beside the pool's.
    pub epsilon: Option<Amount>,
    pub delta: Option<Amount>,
    /// The most that one such question may ask for.
    pub max_epsilon: Option<Amount>,
    /// Groups with private keys appear only from this many units on.
    #[serde(default = "one")]
    pub min_units: u64,
    /// Purposes that may read it; None is any.
    pub purposes: Option<Vec<String>>,
    /// Whether changes of who may read it need the approval of two.
    #[serde(default)]
    pub second_approver: bool,
}

/// Largest number of units that may be asked of a group.
const MOST_UNITS: u64 = 100_000;

fn one() -> u64 {
    1
}

/// Columns that not everybody may use.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct PermissionSection {
    pub dataset: String,
    pub table: String,
    /// None is all of the table's.
    pub columns: Option<Vec<String>>,
    #[serde(default)]
    pub purposes: Vec<String>,
    #[serde(default)]
    pub teams: Vec<String>,
    #[serde(default)]
    pub principals: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct TeamSection {
    pub name: String,
    pub dataset: String,
    pub epsilon: Amount,
    pub delta: Amount,
    pub window: Option<Window>,
    /// The share of the pool that is kept for it.
    #[serde(default)]
    pub reserved: Amount,
    /// The last day on which it may spend.
    pub until: Option<Datetime>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct GrantSection {
    pub principal: String,
    pub dataset: String,
    pub purpose: String,
    pub epsilon: Amount,
    pub delta: Amount,
    pub team: Option<String>,
    pub max_epsilon: Option<Amount>,
    pub default_epsilon: Option<Amount>,
    pub window: Option<Window>,
    #[serde(default)]
    pub reserved: Amount,
    pub until: Option<Datetime>,
}

/// Names that are written in exactly one way, so that no two of them are the same to a reader.
pub fn check_name(what: &str, name: &str) -> Result<()> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-@".contains(&b);
    if !name.is_empty() && name.len() <= 64 && name.bytes().all(plain) {
        return Ok(());
    }
    Err(Error::configuration(format!("{what} '{name}' must be 1 to 64 of a-z, 0-9, '.', '_', '-' and '@'")))
}

fn check_amounts(what: &str, epsilon: Amount, delta: Amount) -> Result<()> {
    if epsilon.is_zero() {
        return Err(Error::configuration(format!("{what}: epsilon must be above 0")));
    }
    if delta.to_f64() >= 1.0 {
        return Err(Error::configuration(format!("{what}: delta must be below 1")));
    }
    Ok(())
}

/// What a question asks for that does not say, and the most that one may ask for.
fn check_prices(what: &str, default: Option<Amount>, most: Option<Amount>) -> Result<()> {
    if default.is_some_and(Amount::is_zero) || most.is_some_and(Amount::is_zero) {
        return Err(Error::configuration(format!("{what}: what a question may ask for must be above 0")));
    }
    match default.zip(most).is_some_and(|(default, most)| default > most) {
        true => Err(Error::configuration(format!("{what}: default_epsilon is above max_epsilon"))),
        false => Ok(()),
    }
}

fn check_units(what: &str, units: u64) -> Result<()> {
    match (1..=MOST_UNITS).contains(&units) {
        true => Ok(()),
        false => Err(Error::configuration(format!("{what}: min_units must be from 1 to {MOST_UNITS}"))),
    }
}

/// The first second of the day after the last one, in UTC.
fn end_of(what: &str, day: Option<&Datetime>) -> Result<Option<i64>> {
    let Some(day) = day else { return Ok(None) };
    let fail = || Error::configuration(format!("{what}: until must be a day, such as 2027-06-30"));
    let date = day.date.filter(|_| day.time.is_none()).ok_or_else(fail)?;
    let date =
        chrono::NaiveDate::from_ymd_opt(date.year.into(), date.month.into(), date.day.into()).ok_or_else(fail)?;
    let next = date.succ_opt().ok_or_else(fail)?;
    Ok(Some(next.and_time(chrono::NaiveTime::MIN).and_utc().timestamp()))
}

/// Fails at what is there twice.
fn each_once<T: std::hash::Hash + Eq>(items: impl IntoIterator<Item = T>, what: impl Fn(&T) -> String) -> Result<()> {
    let mut seen = HashSet::new();
    for item in items {
        if seen.contains(&item) {
            return Err(Error::configuration(what(&item)));
        }
        seen.insert(item);
    }
    Ok(())
}

impl Document {
    /// Reads and checks a policy by itself.
    ///
    /// Errors: `CONFIGURATION`, with the place in the text or the names of what is wrong.
    pub fn read(text: &str) -> Result<Document> {
        let document: Document =
            toml::from_str(text).map_err(|e| Error::configuration(e.to_string().trim_end().to_owned()))?;
        document.check()?;
        Ok(document)
    }

    fn check(&self) -> Result<()> {
        let fail = |message: String| Err(Error::configuration(message));
        let Document { roles: _, purposes, datasets, tiers, permissions, teams, grants } = self;
        each_once(datasets.iter().map(|d| &d.name), |name| format!("dataset '{name}' is there twice"))?;
        each_once(purposes.iter().map(|p| &p.name), |name| format!("purpose '{name}' is there twice"))?;
        each_once(tiers.iter().map(|t| (&t.dataset, &t.name)), |(dataset, name)| {
            format!("tier '{name}' of dataset '{dataset}' is there twice")
        })?;
        each_once(teams.iter().map(|t| (&t.dataset, &t.name)), |(dataset, name)| {
            format!("team '{name}' has two accounts on dataset '{dataset}'")
        })?;
        each_once(grants.iter().map(|g| (&g.principal, &g.dataset, &g.purpose)), |(principal, dataset, purpose)| {
            format!("principal '{principal}' has two grants for dataset '{dataset}' and purpose '{purpose}'")
        })?;
        let known = |what: String, dataset: &str| match datasets.iter().any(|d| d.name == dataset) {
            true => Ok(()),
            false => fail(format!("{what} names dataset '{dataset}', which has no [[dataset]] with its pool")),
        };
        for dataset in datasets {
            check_name("dataset", &dataset.name)?;
            let what = format!("dataset '{}'", dataset.name);
            check_amounts(&format!("pool of '{}'", dataset.name), dataset.pool_epsilon, dataset.pool_delta)?;
            check_prices(&what, dataset.default_epsilon, dataset.max_epsilon)?;
            check_units(&what, dataset.min_units)?;
        }
        for purpose in purposes {
            check_name("purpose", &purpose.name)?;
        }
        let is_purpose = |what: &str, name: &str| match purposes.is_empty() || purposes.iter().any(|p| p.name == name) {
            true => Ok(()),
            false => fail(format!("{what} names purpose '{name}', which has no [[purpose]]")),
        };
        let has_team = |dataset: &str, team: &str| teams.iter().any(|t| t.dataset == dataset && t.name == team);
        for tier in tiers {
            let what = format!("tier '{}'", tier.name);
            check_name("tier", &tier.name)?;
            known(what.clone(), &tier.dataset)?;
            tier.purposes.iter().flatten().try_for_each(|name| is_purpose(&what, name))?;
            if tier.epsilon.is_none() && tier.delta.is_some() {
                return fail(format!("{what}: delta without epsilon: a cap has both"));
            }
            if let Some(epsilon) = tier.epsilon {
                check_amounts(&what, epsilon, tier.delta.unwrap_or_default())?;
            }
            if tier.max_epsilon.is_some_and(Amount::is_zero) {
                return fail(format!("{what}: max_epsilon must be above 0; purposes = [] lets nobody read it"));
            }
            check_units(&what, tier.min_units)?;
        }
        for permission in permissions {
            let what = format!("the permission for table '{}'", permission.table);
            known(what.clone(), &permission.dataset)?;
            permission.purposes.iter().try_for_each(|name| is_purpose(&what, name))?;
            if let Some(team) = permission.teams.iter().find(|team| !has_team(&permission.dataset, team)) {
                return fail(format!(
                    "{what} names team '{team}', which has no [[team]] on dataset '{}'",
                    permission.dataset
                ));
            }
        }
        for team in teams {
            let what = format!("team '{}'", team.name);
            check_name("team", &team.name)?;
            known(what.clone(), &team.dataset)?;
            check_amounts(&what, team.epsilon, team.delta)?;
            end_of(&what, team.until.as_ref())?;
        }
        for grant in grants {
            let what = format!("grant of '{}'", grant.principal);
            check_name("principal", &grant.principal)?;
            check_name("purpose", &grant.purpose)?;
            is_purpose(&what, &grant.purpose)?;
            known(what.clone(), &grant.dataset)?;
            check_amounts(&what, grant.epsilon, grant.delta)?;
            end_of(&what, grant.until.as_ref())?;
            if let Some(team) = grant.team.as_ref().filter(|team| !has_team(&grant.dataset, team)) {
                return fail(format!(
                    "{what} names team '{team}', which has no [[team]] on dataset '{}'",
                    grant.dataset
                ));
            }
            check_prices(&what, grant.default_epsilon, grant.max_epsilon)?;
        }
        let governors = self.roles().values().filter(|roles| roles.contains(&Role::Governance)).count();
        if let Some(tier) = tiers.iter().find(|tier| tier.second_approver && governors < 3) {
            return fail(format!(
                "tier '{}' asks for two approvals of others than whoever proposes: that needs three with role governance",
                tier.name
            ));
        }
        self.check_roles()?;
        self.check_shares()
    }

    /// Who sets budgets, reads the log or runs the server asks nothing.
    fn check_roles(&self) -> Result<()> {
        for RoleSection { name, principals } in &self.roles {
            principals.iter().try_for_each(|principal| check_name("principal", principal))?;
            let asks = |principal: &&String| {
                self.grants.iter().any(|grant| grant.principal == **principal)
                    || self
                        .roles
                        .iter()
                        .any(|other| other.name == Role::Analyst && other.principals.contains(principal))
            };
            if let Some(both) = principals.iter().filter(|_| *name != Role::Analyst).find(asks) {
                return Err(Error::configuration(format!(
                    "'{both}' has role {name} and may ask questions: whoever sets budgets, reads the log or runs the server is another person than who asks"
                )));
            }
        }
        Ok(())
    }

    fn check_shares(&self) -> Result<()> {
        let sum = |shares: &mut dyn Iterator<Item = Amount>| shares.fold(Amount::ZERO, Amount::plus);
        for dataset in &self.datasets {
            let teams = || self.teams.iter().filter(|team| team.dataset == dataset.name);
            let grants = || self.grants.iter().filter(|grant| grant.dataset == dataset.name);
            for team in teams() {
                let members = grants().filter(|grant| grant.team.as_ref() == Some(&team.name));
                if sum(&mut members.map(|grant| grant.reserved)) > team.reserved {
                    return Err(Error::configuration(format!(
                        "the members of team '{}' reserve more of the pool of '{}' than the team does",
                        team.name, dataset.name
                    )));
                }
            }
            let alone = grants().filter(|grant| grant.team.is_none()).map(|grant| grant.reserved);
            if sum(&mut alone.chain(teams().map(|team| team.reserved))) > Amount::ONE {
                return Err(Error::configuration(format!(
                    "more than the whole pool of dataset '{}' is reserved: shares add up to at most 1",
                    dataset.name
                )));
            }
        }
        Ok(())
    }

    /// The accounts that the ledger is to have.
    pub fn settings(&self) -> Result<Vec<Setting>> {
        let mut settings = Vec::new();
        let mut add = |account, epsilon, delta, terms| {
            settings.push(Setting { account, grant: Grant::new(epsilon, delta), terms });
        };
        for dataset in &self.datasets {
            add(Account::pool(&dataset.name), dataset.pool_epsilon, dataset.pool_delta, Terms::default());
        }
        for tier in &self.tiers {
            if let Some(epsilon) = tier.epsilon {
                let account = Account::tier(&tier.dataset, &tier.name);
                add(account, epsilon, tier.delta.unwrap_or_default(), Terms::default());
            }
        }
        for team in &self.teams {
            let terms = Terms {
                window: team.window,
                expires_at: end_of(&team.name, team.until.as_ref())?,
                reserved: team.reserved,
                ..Terms::default()
            };
            add(Account::team(&team.dataset, &team.name), team.epsilon, team.delta, terms);
        }
        for grant in &self.grants {
            let terms = Terms {
                team: grant.team.clone(),
                max_epsilon: grant.max_epsilon,
                default_epsilon: grant.default_epsilon,
                window: grant.window,
                expires_at: end_of(&grant.principal, grant.until.as_ref())?,
                reserved: grant.reserved,
            };
            let GrantSection { principal, dataset, purpose, .. } = grant;
            let [principal, dataset, purpose] = [principal, dataset, purpose].map(String::clone);
            add(Account { dataset, principal, purpose }, grant.epsilon, grant.delta, terms);
        }
        Ok(settings)
    }

    /// The roles of each principal that has one. Whoever has a grant is an analyst.
    pub fn roles(&self) -> BTreeMap<String, BTreeSet<Role>> {
        let named = self.roles.iter().flat_map(|role| role.principals.iter().map(|principal| (principal, role.name)));
        let granted = self.grants.iter().map(|grant| (&grant.principal, Role::Analyst));
        let mut roles: BTreeMap<String, BTreeSet<Role>> = BTreeMap::new();
        for (principal, role) in named.chain(granted) {
            roles.entry(principal.clone()).or_default().insert(role);
        }
        roles
    }
}
