//! What clauses and named arguments may ask of a release: less than policy gives, never more.

use super::super::clause::Strategy;
use super::super::marks::{MAX_BOUND, Mark};
use super::Lowering;
use super::aggregate::Call;
use super::expr::Typed;
use super::scope::Scope;
use crate::algebra::{Bounds, Expr, Terms, bounds};
use crate::error::{Code, Error, Result};
use crate::num::Amount;

impl Lowering<'_> {
    /// The terms of a release that is one of `groupings` under a clause. All calls of one GROUP BY are of one SELECT, and have its clause.
    pub fn terms(&self, calls: &[Call], groupings: usize, private: bool) -> Result<Terms> {
        let clause = calls.iter().find_map(|call| call.mark.as_ref()?.clause);
        let Some(clause) = clause.map(|clause| &self.asked.clauses[clause]) else { return Ok(Terms::default()) };
        let refuse = |code, message: String| Err(Error::new(code, message).or_at(clause.at));
        let rules = &self.dataset.rules;
        if let Some(epsilon) = clause.epsilon.filter(|epsilon| *epsilon > rules.max_epsilon) {
            let most = rules.max_epsilon;
            let message = format!("epsilon {epsilon} is above the maximum of {most} for one question");
            return refuse(Code::EpsilonAboveMaximum, message);
        }
        if let Some(delta) = clause.delta.filter(|delta| *delta > rules.max_delta) {
            let most = rules.max_delta;
            let message = format!("delta {delta} is above the maximum of {most} for one question");
            return refuse(Code::InvalidRequest, message);
        }
        if let Some(groups) = clause.groups.filter(|groups| *groups > rules.contribution.groups) {
            let most = rules.contribution.groups;
            let message = format!(
                "max_groups_contributed {groups} is above this dataset's {most}: a question may ask for less, never for more"
            );
            return refuse(Code::InvalidRequest, message);
        }
        if clause.strategy == Some(Strategy::PublicGroups) && private {
            let message = "PUBLIC_GROUPS needs keys with public values: join with a public table of them, or take columns with a declared domain";
            return refuse(Code::PrivateKeys, message.into());
        }
        let epsilon = clause.epsilon.map(|epsilon| epsilon.share(groupings));
        if epsilon.is_some_and(Amount::is_zero) {
            let message = format!("epsilon is too small to be shared by {groupings} groupings");
            return refuse(Code::InvalidEpsilon, message);
        }
        let family = match clause.strategy {
            Some(Strategy::Threshold(family)) => Some(family),
            Some(Strategy::PublicGroups) | None => None,
        };
        let delta = clause.delta.map(|delta| delta.share(groupings));
        let (accuracy, non_negative) = (clause.accuracy, clause.non_negative);
        Ok(Terms {
            epsilon,
            delta,
            groups: clause.groups,
            total: clause.rows,
            family,
            accuracy,
            non_negative,
            consistent: clause.consistent,
            ..Terms::default()
        })
    }

    /// The clause's privacy unit must be the dataset's.
    pub fn check_unit(&self, mark: &Mark, named: Option<Typed>, scope: &Scope) -> Result<()> {
        let is_unit = named.is_some_and(|(expr, _)| scope.slot_of(&expr).is_some_and(|slot| slot.unit));
        if is_unit || !scope.private {
            return Ok(());
        }
        let message = format!(
            "privacy_unit_column must be the dataset's privacy unit ({}), unchanged: name its column, or leave the option out",
            self.dataset.privacy_unit
        );
        let at = mark.clause.and_then(|clause| self.asked.clauses[clause].at);
        Err(self.refuse(Code::InvalidRequest, "privacy_unit_column", message).or_at(at))
    }

    /// Where nothing is released, nothing can be asked of it.
    pub fn check_unmarked(&self, scope: &Scope, calls: &[Call]) -> Result<()> {
        let Some(mark) = calls.iter().find_map(|call| call.mark.as_ref()) else { return Ok(()) };
        let why = match scope.private {
            true => format!("this SELECT groups by the privacy unit ({})", self.dataset.privacy_unit),
            false => "this SELECT reads no private rows".to_owned(),
        };
        let message = format!(
            "{why}, so no noise is added in it: leave WITH DIFFERENTIAL_PRIVACY and named arguments out, and put them where units are aggregated"
        );
        let at = match mark.clause {
            Some(clause) => self.asked.clauses[clause].at,
            None => self.locator.find("=>"),
        };
        Err(Error::new(Code::UnsupportedSql, message).or_at(at))
    }

    /// Bounds of each row's value: the question's, within those that are declared. None where limits of a group are enough.
    pub fn row_bounds(&self, of: &Expr, scope: &Scope, name: &str, mark: Option<&Mark>) -> Result<Option<Bounds>> {
        let declared = bounds(of, &|i| scope.bounds_at(i)).filter(|b| b.low.abs().max(b.high.abs()) <= MAX_BOUND);
        let per_row = mark.and_then(|mark| mark.per_row);
        if let Some((asked, declared)) = per_row.zip(declared) {
            self.check_within("contribution_bounds_per_row", asked, declared)?;
        }
        if per_row.or(declared).is_some() || mark.is_some_and(|mark| mark.per_group.is_some()) {
            return Ok(per_row.or(declared));
        }
        let columns = of.columns().into_iter().filter_map(|i| scope.slot_at(i)).filter(|s| s.bounds.is_none());
        let columns: Vec<_> = columns.map(|s| format!("'{}'", s.name)).collect();
        let cause = match columns.is_empty() {
            true => "its expression has none".to_owned(),
            false => format!("{} has none declared", columns.join(", ")),
        };
        let message = format!(
            "{name} needs public bounds of its values and {cause}: write them, {name}(x, contribution_bounds_per_row => (low, high)), or ask governance to declare them"
        );
        Err(self.refuse(Code::MissingBounds, name, message))
    }

    /// The same of a sum or mean, whose limits can be found out where there are none.
    pub fn sum_bounds(&self, of: &Expr, scope: &Scope, name: &str, mark: Option<&Mark>) -> Result<Option<Bounds>> {
        match self.row_bounds(of, scope, name, mark) {
            Err(e) if e.code == Code::MissingBounds && self.dataset.rules.private_bounds => Ok(None),
            known => known,
        }
    }

    /// Limits of a count: at most the dataset's rows per unit and group.
    pub fn check_count(&self, per_group: Option<Bounds>) -> Result<()> {
        let Some(asked) = per_group else { return Ok(()) };
        let most = Bounds { low: 0.0, high: self.dataset.rules.contribution.rows as f64 };
        if asked.low.fract() != 0.0 || asked.high.fract() != 0.0 {
            let message = "contribution_bounds_per_group of a count are whole numbers";
            return Err(self.refuse(Code::InvalidRequest, "contribution_bounds_per_group", message));
        }
        self.check_within("contribution_bounds_per_group", asked, most)
    }

    /// Limits of a sum: within what the dataset's rows per unit and group can add up to, where rows have bounds.
    pub fn check_sum(&self, per_group: Option<Bounds>, rows: Option<Bounds>) -> Result<()> {
        let Some((asked, Bounds { low, high })) = per_group.zip(rows) else { return Ok(()) };
        let most = self.dataset.rules.contribution.rows as f64;
        let reach = Bounds { low: (low * most).min(0.0), high: (high * most).max(0.0) };
        self.check_within("contribution_bounds_per_group", asked, reach)
    }

    /// Limits of a unit's mean: within those of its rows.
    pub fn check_mean(&self, per_group: Option<Bounds>, rows: Option<Bounds>) -> Result<()> {
        match per_group.zip(rows) {
            Some((asked, rows)) => self.check_within("contribution_bounds_per_group", asked, rows),
            None => Ok(()),
        }
    }

    fn check_within(&self, argument: &str, asked: Bounds, most: Bounds) -> Result<()> {
        if most.low <= asked.low && asked.high <= most.high {
            return Ok(());
        }
        let message = format!(
            "{argument} ({}, {}) goes beyond ({}, {}), which the dataset's declaration gives: a question may ask for less, never for more",
            // -0.0 + 0.0 is 0.0.
            asked.low + 0.0,
            asked.high + 0.0,
            most.low + 0.0,
            most.high + 0.0
        );
        Err(self.refuse(Code::InvalidRequest, argument, message))
    }
}
