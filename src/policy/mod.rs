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

use self::effect::role_changes;

use self::document::{PermissionSection, TierSection};
use crate::algebra::{Query, Relation, TableId};
use crate::catalog::{Column, Dataset, Outline, Rules, Table};
use crate::error::{Code, Error, Result};
use crate::hex::sha256;
use crate::ledger::{Account, Balance, NewPolicy, PolicyVersion, RoleChange};
use crate::num::Amount;
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

    /// What another one says instead, line by line.
    pub fn diff(&self, other: &Policy, name: &str) -> String {
        let diff = similar::TextDiff::from_lines(&self.text, &other.text);
        diff.unified_diff().header("the policy in force", name).to_string()
    }

    /// One that the ledger keeps.
    pub fn of_version(version: PolicyVersion) -> Result<Policy> {
        Ok(Policy { version: version.version, ..Policy::read(&version.document)? })
    }

    /// This one, to be put in force in the place of another.
    pub fn succeeding(&self, before: &Policy, rules: Vec<String>) -> Result<NewPolicy> {
        let role =
            |(principal, role, given): (String, Role, bool)| RoleChange { principal, role: role.to_string(), given };
        Ok(NewPolicy {
            document: self.text.clone(),
            settings: self.document.settings()?,
            roles: role_changes(before, self).into_iter().map(role).collect(),
            rules,
            ..NewPolicy::default()
        })
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
        let Reads { tables, columns } = reads(query);
        for table in tables {
            self.may_read_rows(dataset, account, &dataset.tables[table])?;
        }
        for (table, column) in columns {
            let table = &dataset.tables[table];
            self.may_read(dataset, account, table, &table.columns[column])?;
        }
        Ok(self.limits(dataset, account, query))
    }

    /// The rules for a question by what it reads, whoever may.
    pub fn limits(&self, dataset: &Dataset, account: &Balance, query: &Query) -> Admitted {
        let mut admitted = Admitted { rules: self.rules(dataset, account), tiers: vec![] };
        let rules = &mut admitted.rules;
        let mut seen = BTreeSet::new();
        for (table, column) in reads(query).columns {
            let table = &dataset.tables[table];
            for tier in self.tiers(dataset, table, &table.columns[column]).filter(|tier| seen.insert(&tier.name)) {
                rules.max_epsilon = tier.max_epsilon.map_or(rules.max_epsilon, |most| most.min(rules.max_epsilon));
                rules.min_units = rules.min_units.max(tier.min_units);
                if tier.epsilon.is_some() {
                    admitted.tiers.push(Account::tier(&dataset.name, &tier.name));
                }
            }
        }
        rules.default_epsilon = rules.default_epsilon.min(rules.max_epsilon);
        admitted
    }

    /// Whatever the question reads: the declaration's, within governance's for the dataset and the grant.
    pub fn rules(&self, dataset: &Dataset, account: &Balance) -> Rules {
        let (rules, terms) = (dataset.rules.clone(), &account.terms);
        let Some(section) = self.document.datasets.iter().find(|section| section.name == dataset.name) else {
            return rules;
        };
        let least = |of: Amount, others: &[Option<Amount>]| others.iter().flatten().copied().fold(of, Amount::min);
        let max_delta = least(rules.max_delta, &[section.max_delta]);
        Rules {
            default_epsilon: terms.default_epsilon.or(section.default_epsilon).unwrap_or(rules.default_epsilon),
            max_epsilon: least(rules.max_epsilon, &[section.max_epsilon, terms.max_epsilon]),
            default_delta: rules.default_delta.min(max_delta),
            max_delta,
            min_units: rules.min_units.max(section.min_units),
            ..rules
        }
    }

    /// The tiers that a column is of, by its declaration or by the policy.
    fn tiers(&self, dataset: &Dataset, table: &Table, column: &Column) -> impl Iterator<Item = &TierSection> {
        let (dataset, name, declared) =
            (dataset.name.clone(), format!("{}.{}", table.name, column.name), column.tier.clone());
        let tiers = self.document.tiers.iter();
        tiers.filter(move |tier| tier.dataset == dataset && (tier.name == declared || tier.columns.contains(&name)))
    }

    /// Fails where permissions for a column are given to others alone, or its tier is not for this purpose.
    ///
    /// Errors: `NOT_PERMITTED`.
    pub fn may_read(&self, dataset: &Dataset, account: &Balance, table: &Table, column: &Column) -> Result<()> {
        let Account { principal, purpose, .. } = &account.account;
        let excludes = |tier: &&TierSection| tier.purposes.as_ref().is_some_and(|some| !some.contains(purpose));
        if let Some(tier) = self.tiers(dataset, table, column).find(|tier| excludes(tier)) {
            let message = format!(
                "column '{}' of table '{}' is of tier '{}', which may not be read for purpose '{purpose}'",
                column.name, table.name, tier.name
            );
            return Err(Error::new(Code::NotPermitted, message));
        }
        let covers = |of: &PermissionSection| of.columns.as_ref().is_some_and(|some| some.contains(&column.name));
        if self.allows(dataset, account, table, covers) {
            return Ok(());
        }
        let message = format!(
            "column '{}' of table '{}' may not be read by '{principal}' for purpose '{purpose}': ask governance, or leave it out",
            column.name, table.name
        );
        Err(Error::new(Code::NotPermitted, message))
    }

    /// Fails where permissions for a whole table are given to others alone: its rows are not to be counted either. Permissions for its columns are asked for
    /// beside that.
    ///
    /// Errors: `NOT_PERMITTED`.
    pub fn may_read_rows(&self, dataset: &Dataset, account: &Balance, table: &Table) -> Result<()> {
        if self.allows(dataset, account, table, |of| of.columns.is_none()) {
            return Ok(());
        }
        let Account { principal, purpose, .. } = &account.account;
        let message =
            format!("table '{}' may not be read by '{principal}' for purpose '{purpose}': ask governance", table.name);
        Err(Error::new(Code::NotPermitted, message))
    }

    /// The names of tables and columns that an account may read nowhere: what is said of others leaves them out.
    pub fn hidden(&self, dataset: &Dataset, account: &Balance) -> BTreeSet<String> {
        let (mut shown, mut all) = (BTreeSet::new(), BTreeSet::new());
        for table in &dataset.tables {
            let is_shown = self.may_read_rows(dataset, account, table).is_ok();
            let columns = table.columns.iter();
            let readable = columns.clone().filter(|c| is_shown && self.may_read(dataset, account, table, c).is_ok());
            shown.extend(readable.map(|column| &column.name));
            shown.extend(is_shown.then_some(&table.name));
            all.extend(columns.map(|column| &column.name).chain([&table.name]));
        }
        all.difference(&shown).map(|name| (*name).clone()).collect()
    }

    /// Whether there are no permissions of a kind for a table, or one of them is for this account.
    fn allows(
        &self,
        dataset: &Dataset,
        account: &Balance,
        table: &Table,
        kind: impl Fn(&PermissionSection) -> bool,
    ) -> bool {
        let of_table = |of: &&PermissionSection| of.dataset == dataset.name && of.table == table.name && kind(of);
        let mut permissions = self.document.permissions.iter().filter(of_table).peekable();
        let Account { principal, purpose, .. } = &account.account;
        let team = account.terms.team.as_ref();
        let is_for = |of: &PermissionSection| {
            of.purposes.contains(purpose)
                || of.principals.contains(principal)
                || team.is_some_and(|team| of.teams.contains(team))
        };
        permissions.peek().is_none() || permissions.any(is_for)
    }

    /// Seconds for which answers about a dataset are kept; None is for ever.
    pub fn answers_kept(&self, dataset: &str) -> Option<i64> {
        let section = self.document.datasets.iter().find(|section| section.name == dataset)?;
        section.answers_kept_days.map(|days| i64::from(days) * 86_400)
    }

    /// Fails where it is not about the datasets that there are.
    ///
    /// Errors: `CONFIGURATION`.
    pub fn fits(&self, outlines: &[Outline]) -> Result<()> {
        let is_served = |name: &String| outlines.iter().any(|outline| outline.dataset == *name);
        if let Some(section) = self.document.datasets.iter().find(|section| !is_served(&section.name)) {
            let message = format!("the policy names dataset '{}', which is not served", section.name);
            return Err(Error::configuration(message));
        }
        self.covers(outlines)
    }

    /// Tiers of these datasets' columns for which there are no rules: a mistyped name, perhaps.
    pub fn without_rules(&self, outlines: &[Outline]) -> Vec<String> {
        let mut found = BTreeSet::new();
        for outline in outlines {
            let ruled =
                |name: &String| self.document.tiers.iter().any(|of| of.dataset == outline.dataset && of.name == *name);
            let tiers = outline.tables.iter().flat_map(|(_, columns)| columns).map(|(_, tier)| tier);
            let unruled = tiers.filter(|tier| *tier != "general" && !ruled(tier));
            found.extend(unruled.map(|tier| {
                format!("tier '{tier}' of dataset '{}' has no [[tier]]: columns of it have no rules", outline.dataset)
            }));
        }
        found.into_iter().collect()
    }

    /// Fails where one of these datasets has no pool, or lacks what rules for it are about. Other servers of the ledger may serve others.
    ///
    /// Errors: `CONFIGURATION`.
    pub fn covers(&self, outlines: &[Outline]) -> Result<()> {
        let Document { datasets: sections, tiers, permissions, .. } = &self.document;
        let fail = |message: String| Err(Error::configuration(message));
        let find = |name: &str| outlines.iter().find(|outline| outline.dataset == name);
        if let Some(outline) = outlines.iter().find(|outline| sections.iter().all(|of| of.name != outline.dataset)) {
            return fail(format!("dataset '{}' has no [[dataset]] in the policy, and so no pool", outline.dataset));
        }
        for tier in tiers {
            let Some(outline) = find(&tier.dataset) else { continue };
            let has = |name: &str| {
                let (table, column) = name.split_once('.').unwrap_or_default();
                outline.table(table).is_some_and(|columns| columns.iter().any(|(known, _)| known == column))
            };
            if let Some(unknown) = tier.columns.iter().find(|name| !has(name)) {
                return fail(format!(
                    "tier '{}' names column '{unknown}', which dataset '{}' does not have as table.column",
                    tier.name, tier.dataset
                ));
            }
            let mut columns = outline.tables.iter().flat_map(|(_, columns)| columns);
            if tier.columns.is_empty() && !columns.any(|(_, of)| *of == tier.name) {
                return fail(format!("no column of dataset '{}' is of tier '{}'", tier.dataset, tier.name));
            }
        }
        for PermissionSection { dataset, table, columns, .. } in permissions {
            let Some(outline) = find(dataset) else { continue };
            let Some(found) = outline.table(table) else {
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

/// What a question reads.
#[derive(Default)]
struct Reads {
    tables: BTreeSet<TableId>,
    columns: BTreeSet<(TableId, usize)>,
}

fn reads(query: &Query) -> Reads {
    fn walk(relation: &Relation, into: &mut Reads) {
        if let Relation::Public { table, columns } | Relation::Protected { table, columns } = relation {
            into.tables.insert(*table);
            into.columns.extend(columns.iter().map(|column| (*table, *column)));
        }
        relation.inputs().into_iter().for_each(|input| walk(input, into));
    }
    let mut found = Reads::default();
    let inputs = query.releases.iter().map(|release| &release.input);
    inputs.chain(&query.fixed).chain([&query.post]).for_each(|relation| walk(relation, &mut found));
    found
}
