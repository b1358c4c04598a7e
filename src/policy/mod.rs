//! Governance's policy: who may ask what, for which purpose, at which price, out of whose budget.
//!
//! A policy is a document ([`document`]), kept in the ledger with its versions; its hash is in every charge and receipt. Each question is
//! admitted under the policy in force when it is planned, and charged only while that one is.
//!
//! *What counts as reading a column.* Whatever the question's private or public relations scan, whether it shows in the answer or not: a filter or
//! a join reads too. The unit's own column, through which every question reads its tables, is not counted.

mod document;
mod edit;
mod effect;

pub use document::{Document, Role, check_name};
pub use edit::{Edit, Holder};
pub use effect::{Change, Effect, effect};

use self::document::{PermissionSection, TierSection};
use crate::algebra::{Query, Relation, TableId};
use crate::catalog::{Column, Dataset, Outline, Rules, Table};
use crate::error::{Code, Error, Result};
use crate::hex::sha256;
use crate::ledger::{Account, Balance, PolicyVersion};
use std::collections::BTreeSet;

/// A policy that is in force, or may be.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// 0 where it is not in the ledger.
    pub version: i64,
    /// SHA-256 of its text, in hexadecimal.
    pub hash: String,
    pub text: String,
    pub document: Document,
}

/// How a question may be asked.
#[derive(Clone, Debug)]
pub struct Admitted {
    pub rules: Rules,
    /// Caps of tiers that it is charged to.
    pub tiers: Vec<Account>,
}

impl Policy {
    /// Errors: `CONFIGURATION`.
    pub fn read(text: &str) -> Result<Policy> {
        Ok(Policy { version: 0, hash: sha256(text), text: text.to_owned(), document: Document::read(text)? })
    }

    /// One that the ledger keeps.
    pub fn of_version(version: PolicyVersion) -> Result<Policy> {
        Ok(Policy { version: version.version, ..Policy::read(&version.document)? })
    }

    pub fn has_role(&self, principal: &str, role: Role) -> bool {
        self.document.roles().get(principal).is_some_and(|roles| roles.contains(&role))
    }

    /// Fails where the caller does not have one of these roles.
    pub fn permit(&self, principal: &str, roles: &[Role]) -> Result<()> {
        if roles.iter().any(|role| self.has_role(principal, *role)) {
            return Ok(());
        }
        let roles = roles.iter().map(Role::to_string).collect::<Vec<_>>().join(" or ");
        Err(Error::new(Code::NotPermitted, format!("this needs the role {roles}, which '{principal}' does not have")))
    }

    /// The rules for a question of an account, by what it reads.
    ///
    /// Errors: `NOT_PERMITTED` where it may not read a column.
    pub fn admit(&self, dataset: &Dataset, account: &Balance, query: &Query) -> Result<Admitted> {
        let mut admitted = Admitted { rules: self.rules_of(dataset, account), tiers: vec![] };
        let mut seen = BTreeSet::new();
        for (table, column) in reads(query) {
            let (table, column) = (&dataset.tables[table], &dataset.tables[table].columns[column]);
            self.may_read(dataset, account, table, column)?;
            let Some(tier) = self.tier(&dataset.name, &column.tier).filter(|tier| seen.insert(&tier.name)) else {
                continue;
            };
            let rules = &mut admitted.rules;
            rules.max_epsilon = tier.max_epsilon.map_or(rules.max_epsilon, |most| most.min(rules.max_epsilon));
            rules.min_units = rules.min_units.max(tier.min_units);
            if tier.epsilon.is_some() {
                admitted.tiers.push(Account::tier(&dataset.name, &tier.name));
            }
        }
        let rules = &mut admitted.rules;
        rules.default_epsilon = rules.default_epsilon.min(rules.max_epsilon);
        Ok(admitted)
    }

    /// Whatever the question reads.
    fn rules_of(&self, dataset: &Dataset, account: &Balance) -> Rules {
        let (rules, terms) = (dataset.rules.clone(), &account.terms);
        let max_epsilon = terms.max_epsilon.map_or(rules.max_epsilon, |most| most.min(rules.max_epsilon));
        Rules { default_epsilon: terms.default_epsilon.unwrap_or(rules.default_epsilon), max_epsilon, ..rules }
    }

    fn tier(&self, dataset: &str, name: &str) -> Option<&TierSection> {
        self.document.tiers.iter().find(|tier| tier.dataset == dataset && tier.name == name)
    }

    /// Fails where permissions for a column are given to others alone, or its tier is not for this purpose.
    ///
    /// Errors: `NOT_PERMITTED`.
    pub fn may_read(&self, dataset: &Dataset, account: &Balance, table: &Table, column: &Column) -> Result<()> {
        let Account { principal, purpose, .. } = &account.account;
        let (table, tier, column) = (&table.name, &column.tier, &column.name);
        let of_tier = self.tier(&dataset.name, tier).and_then(|tier| tier.purposes.as_ref());
        if of_tier.is_some_and(|purposes| !purposes.contains(purpose)) {
            let message = format!(
                "column '{column}' of table '{table}' is of tier '{tier}', which may not be read for purpose '{purpose}'"
            );
            return Err(Error::new(Code::NotPermitted, message));
        }
        let covers = |permission: &&PermissionSection| {
            permission.dataset == dataset.name
                && permission.table == *table
                && permission.columns.as_ref().is_none_or(|columns| columns.contains(column))
        };
        let mut covering = self.document.permissions.iter().filter(covers).peekable();
        let team = account.terms.team.as_ref();
        let allows = |permission: &PermissionSection| {
            permission.purposes.contains(purpose)
                || permission.principals.contains(principal)
                || team.is_some_and(|team| permission.teams.contains(team))
        };
        if covering.peek().is_none() || covering.any(allows) {
            return Ok(());
        }
        let message = format!(
            "column '{column}' of table '{table}' may not be read by '{principal}' for purpose '{purpose}': ask governance, or leave it out"
        );
        Err(Error::new(Code::NotPermitted, message))
    }

    /// Seconds for which answers about a dataset are kept; None is for ever.
    pub fn answers_kept(&self, dataset: &str) -> Option<i64> {
        let section = self.document.datasets.iter().find(|section| section.name == dataset)?;
        section.answers_kept_days.map(|days| i64::from(days) * 86_400)
    }

    /// Fails where a dataset has no pool.
    ///
    /// Errors: `CONFIGURATION`.
    pub fn covers<'a>(&self, datasets: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let has_pool = |name: &&str| self.document.datasets.iter().any(|section| section.name == **name);
        match datasets.into_iter().find(|name| !has_pool(name)) {
            None => Ok(()),
            Some(name) => {
                let message = format!("dataset '{name}' has no [[dataset]] in the policy, and so no pool");
                Err(Error::configuration(message))
            }
        }
    }

    /// Fails where it is not about the datasets that there are.
    ///
    /// Errors: `CONFIGURATION`.
    pub fn fits(&self, outlines: &[Outline]) -> Result<()> {
        let Document { datasets: sections, tiers, permissions, .. } = &self.document;
        let fail = |message: String| Err(Error::configuration(message));
        let find = |name: &str| outlines.iter().find(|outline| outline.dataset == name);
        self.covers(outlines.iter().map(|outline| outline.dataset.as_str()))?;
        if let Some(section) = sections.iter().find(|section| find(&section.name).is_none()) {
            return fail(format!("the policy names dataset '{}', which is not served", section.name));
        }
        for tier in tiers {
            let mut columns = find(&tier.dataset).into_iter().flat_map(|d| &d.tables).flat_map(|(_, columns)| columns);
            if !columns.any(|(_, of)| *of == tier.name) {
                return fail(format!("no column of dataset '{}' is of tier '{}'", tier.dataset, tier.name));
            }
        }
        for PermissionSection { dataset, table, columns, .. } in permissions {
            let Some(found) = find(dataset).and_then(|outline| outline.table(table)) else {
                return fail(format!("a permission names table '{table}', which dataset '{dataset}' does not have"));
            };
            let unknown = columns.iter().flatten().find(|wanted| !found.iter().any(|(name, _)| name == *wanted));
            if let Some(unknown) = unknown {
                return fail(format!("a permission names column '{unknown}', which table '{table}' does not have"));
            }
        }
        Ok(())
    }
}

/// The columns that a question reads, by table.
fn reads(query: &Query) -> BTreeSet<(TableId, usize)> {
    fn walk(relation: &Relation, into: &mut BTreeSet<(TableId, usize)>) {
        if let Relation::Public { table, columns } | Relation::Protected { table, columns } = relation {
            into.extend(columns.iter().map(|column| (*table, *column)));
        }
        relation.inputs().into_iter().for_each(|input| walk(input, into));
    }
    let mut found = BTreeSet::new();
    let inputs = query.releases.iter().map(|release| &release.input);
    inputs.chain(&query.fixed).chain([&query.post]).for_each(|relation| walk(relation, &mut found));
    found
}
