//! Aggregates across units: a release, the only way out of privacy.

use super::super::aggregates::QUANTILES;
use super::Lowering;
use super::aggregate::{Call, Grouping, one_zero, only_where, quantile_type};
use super::expr::not;
use super::quantile::{Read, named_quantile};
use super::scope::{Ends, Lowered, Noise, Scope, Slot};
use crate::algebra::{
    Bounds, Domain, Expr, FoldKind, Fraction, Key, Literal, Measure, Output, Quantity, Relation, Release, Type, lists,
};
use crate::error::{Code, Error, Result};
use crate::mechanism::MAX_KEYS;
use crate::num::Amount;

/// Most groups of one release.
const MAX_CELLS: usize = 1_000_000;

/// Most lists of values that are made for one release: planning it takes time for each pair of them.
const MAX_LISTS: usize = 12;

/// Most measures behind one output.
const MAX_PARTS: usize = 6;

impl Lowering<'_> {
    /// Across units: a release.
    pub fn release(&mut self, relation: Relation, scope: &Scope, grouping: Grouping) -> Result<Lowered> {
        let Grouping { keys, calls, key_names, output_names, of, nodes } = grouping;
        let mut release_keys = Vec::new();
        for ((expr, ty), name) in keys.into_iter().zip(key_names) {
            let domain = self.image(scope, &expr, ty)?;
            if domain.is_none() && self.dataset.rules.max_delta.is_zero() {
                let what = match &expr {
                    Expr::Column(_) => format!("'{name}'"),
                    _ => "this expression".to_owned(),
                };
                let message = format!(
                    "the keys of {what} are private, and this dataset has no delta to show them: group by a column with a declared domain, a column of a public table, a CASE with constant results, or a part of a date with declared bounds"
                );
                return Err(self.refuse(Code::PrivateKeys, name, message).or_at(self.locator.find("group")));
            }
            let expr = if domain.is_none() { one_zero(expr, ty) } else { expr };
            release_keys.push(Key { expr, ty, domain });
        }
        let private = release_keys.iter().any(|key| key.domain.is_none());
        if !private && cell_count(&release_keys).is_none_or(|n| n > MAX_CELLS) {
            let message = format!("the keys have more than {MAX_CELLS} combinations: group by fewer columns");
            return Err(self.unsupported("group", message));
        }
        if !private && calls.is_empty() {
            return self.public_keys(release_keys, key_names);
        }
        let terms = self.terms(&calls, of, private)?;
        let input = match terms.total {
            Some(rows) => self.capped(Lowered { relation, scope: scope.clone() }, rows)?.relation,
            None => relation,
        };
        let mut measures = Vec::new();
        let mut outputs = Vec::new();
        let read = calls.iter().map(|call| self.read(call, &calls, private)).collect::<Result<Vec<_>>>()?;
        for (call, read) in calls.into_iter().zip(read) {
            outputs.push(self.output(call, read, of, scope, &mut measures)?);
        }
        if private && !measures.iter().any(|measure| measure.of == Quantity::Units) {
            // By which keys are selected; it is one draw with COUNT(DISTINCT unit).
            measures.push(Quantity::Units.into());
        }
        let lists = lists(&measures).len();
        if lists > MAX_LISTS {
            let message = format!(
                "one SELECT has COUNT(DISTINCT), MIN, MAX, MODE and quantiles of at most {MAX_LISTS} different expressions: ask for some of them in another question"
            );
            return Err(self.unsupported("select", message));
        }
        // Each has the input for itself.
        self.spend(nodes.saturating_mul(lists))?;
        let contribution = self.dataset.rules.contribution;
        let release = Release { input, keys: release_keys, measures, outputs, contribution, terms };
        let id = match self.releases.iter().position(|known| *known == release) {
            Some(id) => id,
            None => {
                self.releases.push(release.clone());
                self.releases.len() - 1
            }
        };
        Ok(released(id, &release, key_names, output_names))
    }

    /// What is not NULL in the rows that count where distinct units are counted under a condition.
    fn units_that(&self, of: &Expr, scope: &Scope) -> Option<Expr> {
        match of {
            Expr::Case { branches, otherwise: None } => match branches.as_slice() {
                [(_, then)] if scope.slot_of(then).is_some_and(|slot| slot.unit) => Some(of.clone()),
                _ => None,
            },
            _ => None,
        }
    }

    /// Public keys without an aggregate: all combinations of their values, and of no keys the one row that there is. Nothing private is
    /// asked.
    fn public_keys(&self, keys: Vec<Key>, names: &[&str]) -> Result<Lowered> {
        let domains: Vec<Domain> = keys.iter().filter_map(|key| key.domain.clone()).collect();
        let cells = domains.iter().map(|domain| domain.len()).product::<usize>();
        self.spend(cells.saturating_mul(keys.len()))?;
        let mut rows: Vec<Vec<Expr>> = vec![vec![]];
        for domain in &domains {
            let longer = |row: &Vec<Expr>| {
                let row = row.clone();
                domain.iter().map(move |value| row.iter().cloned().chain([Expr::Literal(value.clone())]).collect())
            };
            rows = rows.iter().flat_map(longer).collect();
        }
        let slot = |(at, (key, name)): (usize, (&Key, &&str))| Slot {
            domain: key.domain.clone(),
            repeats: if keys.len() == 1 { 1 } else { cells as u64 },
            ..Slot::plain(at, *name, key.ty)
        };
        let slots = keys.iter().zip(names).enumerate().map(slot).collect();
        let types = keys.iter().map(|key| key.ty).collect();
        let scope = Scope::public(slots, keys.len(), cells as u64);
        Ok(Lowered { relation: Relation::Rows { types, rows }, scope })
    }

    fn output(
        &self,
        call: Call,
        read: Read,
        groupings: usize,
        scope: &Scope,
        measures: &mut Vec<Measure>,
    ) -> Result<Output> {
        let Call { kind, of, ty, on, mark } = call;
        let is_unit = scope.slot_of(&of).is_some_and(|slot| slot.unit);
        // Of `parts` measures that make up the output.
        let epsilon = |parts: usize| mark.as_ref()?.epsilon.map(|epsilon| epsilon.share(groupings * parts));
        if epsilon(MAX_PARTS).is_some_and(Amount::is_zero) {
            return Err(self.refuse(
                Code::InvalidEpsilon,
                "epsilon",
                "an aggregate's epsilon is too small to be shared out",
            ));
        }
        let per_group = mark.as_ref().and_then(|mark| mark.per_group);
        let own = |of: Quantity, per_group| Measure { per_group, epsilon: epsilon(1), ..of.into() };
        match kind {
            FoldKind::Rows | FoldKind::NonNull => {
                self.check_count(per_group)?;
                let of = if kind == FoldKind::Rows { Quantity::Rows } else { non_null(of) };
                Ok(Output::Count(measure(measures, own(of, per_group))))
            }
            FoldKind::Distinct if is_unit => Ok(Output::Count(measure(measures, own(Quantity::Units, None)))),
            FoldKind::Distinct => Ok(Output::Count(measure(
                measures,
                match self.units_that(&of, scope) {
                    Some(rows) => own(Quantity::NonNull(rows), Bounds::new(0.0, 1.0)),
                    None => own(Quantity::Distinct(one_zero(of, ty)), None),
                },
            ))),
            FoldKind::Statistic(statistic) => {
                let parts = statistic.moments().len() + 1;
                let part = |of: Quantity| Measure { epsilon: epsilon(parts), ..of.into() };
                self.statistic(statistic, (of, on), scope, mark.as_ref(), &mut |of| measure(measures, part(of)))
            }
            // Per unit alone.
            FoldKind::FixedSum(_) => Err(Error::internal("a fixed sum across units")),
            FoldKind::Sum => {
                let bounds = self.sum_bounds(&of, scope, "sum", mark.as_ref())?;
                self.check_sum(per_group, bounds)?;
                let whole = ty == Type::Int;
                let sum = own(Quantity::Sum { of, bounds, whole, centred: false }, per_group);
                Ok(Output::Sum { sum: measure(measures, sum), whole })
            }
            FoldKind::Mean => {
                let bounds = self.sum_bounds(&of, scope, "avg", mark.as_ref())?;
                self.check_mean(per_group, bounds)?;
                let half = |of: Quantity, per_group| Measure { per_group, epsilon: epsilon(2), ..of.into() };
                let count = measure(measures, half(non_null(of.clone()), None));
                let sum = half(Quantity::Sum { of, bounds, whole: false, centred: true }, per_group);
                Ok(Output::Mean { sum: measure(measures, sum), count })
            }
            FoldKind::All | FoldKind::Any => {
                let otherwise = if kind == FoldKind::All { not(of) } else { of };
                let one = Expr::Literal(Literal::Int(1));
                let rows = Quantity::NonNull(only_where(otherwise, one));
                Ok(Output::Logical { count: measure(measures, own(rows, None)), all: kind == FoldKind::All })
            }
            FoldKind::Mode => {
                let (of, values) = self.among_public("mode", (of, ty), scope)?;
                let mode = Quantity::Mode { of, values: values.clone() };
                Ok(Output::Mode { choice: measure(measures, own(mode, None)), values })
            }
            FoldKind::Histogram(most) => {
                let (of, values) = self.among_public(kind.name(), (of, ty), scope)?;
                let counts = Quantity::Histogram { of, values: values.clone() };
                Ok(Output::Histogram { counts: measure(measures, own(counts, None)), values, most })
            }
            FoldKind::Min | FoldKind::Max => {
                let (name, at) = match kind {
                    FoldKind::Min => ("min", Fraction::LEAST),
                    _ => ("max", Fraction::GREATEST),
                };
                let values = self.quantile_values(name, (of, ty), scope, mark.as_ref())?;
                let value = measure(measures, own(values.quantile(at), None));
                Ok(Output::Quantile { at, value, ranks: None, ty })
            }
            FoldKind::Quantile(at) => {
                let written = QUANTILES
                    .into_iter()
                    .find(|name| named_quantile(name).is_some() && self.locator.find(name).is_some());
                let values = self.quantile_values(written.unwrap_or("quantile"), (of, ty), scope, mark.as_ref())?;
                let part = |of: Quantity, parts| Measure { epsilon: epsilon(parts), ..of.into() };
                let (value, ranks) = match read {
                    Read::Nothing => (measure(measures, part(values.quantile(at), 1)), None),
                    Read::Interval => {
                        let value = measure(measures, part(values.quantile(at), 2));
                        (value, Some(measure(measures, part(values.ranks(), 2))))
                    }
                    Read::All => {
                        let ranks = measure(measures, part(values.ranks(), 1));
                        (ranks, Some(ranks))
                    }
                };
                Ok(Output::Quantile { at, value, ranks, ty: quantile_type(ty) })
            }
        }
    }
}

/// The count of what is not NULL. Making a whole number a fraction loses nothing, so COUNT(x) and AVG(x) share their count.
pub fn non_null(of: Expr) -> Quantity {
    match of {
        Expr::Cast(inner, Type::Float) if matches!(*inner, Expr::Column(_)) => Quantity::NonNull(*inner),
        other => Quantity::NonNull(other),
    }
}

/// The position of a measure, added if it is new: two outputs that need the same noisy number share it.
fn measure(measures: &mut Vec<Measure>, wanted: Measure) -> usize {
    match measures.iter().position(|m| *m == wanted) {
        Some(at) => at,
        None => {
            measures.push(wanted);
            measures.len() - 1
        }
    }
}

/// Number of combinations of public key values.
fn cell_count(keys: &[Key]) -> Option<usize> {
    keys.iter().filter_map(|key| key.domain.as_ref()).try_fold(1usize, |n, domain| n.checked_mul(domain.len()))
}

/// The released table's columns: keys, outputs, then the ends of each output's intervals.
fn released(id: usize, release: &Release, key_names: &[&str], output_names: &[&str]) -> Lowered {
    let (keys, outputs) = (release.keys.len(), release.outputs.len());
    let cells = release.cells();
    let rows = cells.unwrap_or(MAX_KEYS as u64);
    let mut slots = Vec::new();
    for (at, (key, name)) in release.keys.iter().zip(key_names).enumerate() {
        let repeats = match &key.domain {
            _ if keys == 1 => 1,
            Some(domain) if cells.is_some() => rows / domain.len() as u64,
            _ => rows,
        };
        // Of a domain among private keys not all values need be there, but no others are.
        slots.push(Slot { domain: key.domain.clone(), repeats, ..Slot::plain(at, *name, key.ty) });
    }
    for (at, (output, name)) in release.outputs.iter().zip(output_names).enumerate() {
        let first = keys + outputs + 6 * at;
        let ends = Ends { own: (first, first + 1), row: (first + 2, first + 3), all: (first + 4, first + 5) };
        let noise = match output {
            // No numbers are around it.
            Output::Logical { .. } | Output::Mode { .. } | Output::Histogram { .. } => Noise::Withheld,
            _ => Noise::Known { output: Some((id, at)), ends },
        };
        slots.push(Slot { noise, ..Slot::plain(keys + at, *name, output.ty()) });
    }
    let scope = Scope { releases: vec![id], ..Scope::public(slots, keys + 7 * outputs, rows) };
    Lowered { relation: Relation::Released(id), scope }
}
