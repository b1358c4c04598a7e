//! Rows of several relations as rows of one.
//!
//! *Public rows*: anything. *Private rows with private rows*: each row keeps its own unit in column 0, and a unit's rows of the union are its
//! rows of the parts, so the union is unit-preserving. A column is the unit only where it is in every part. *Public with private*: a public
//! row has no unit, so it would be in the union whoever is there: refused.

use super::Lowering;
use super::relation::withheld;
use super::scope::{Ends, Lowered, Noise, Scope, Slot};
use crate::algebra::{Domain, Expr, Relation};
use crate::error::Result;
use datafusion::logical_expr::logical_plan::Union;
use std::sync::Arc;

/// Most comparisons of values when two sets of public values become one; beyond, the values count as private.
const MAX_COMPARISONS: usize = 100_000;

impl Lowering<'_> {
    pub fn union(&mut self, union: &Union) -> Result<Lowered> {
        let Union { inputs, schema } = union;
        let parts = inputs.iter().map(|input| self.relation(input)).collect::<Result<Vec<_>>>()?;
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        self.unite(parts, &names)
    }

    /// All rows of all parts, whose columns correspond by position.
    pub fn unite(&self, parts: Vec<Lowered>, names: &[&str]) -> Result<Lowered> {
        let private = parts.iter().any(|part| part.scope.private);
        if parts.iter().any(|part| part.scope.private != private) {
            let message = "one side of this UNION has private rows and the other has public ones: aggregate the private rows first";
            return Err(self.unsupported("union", message));
        }
        if parts.iter().any(|part| part.scope.optional.is_some()) {
            let message = "after an outer join that keeps unmatched rows of a public table comes its GROUP BY";
            return Err(self.unsupported("union", message));
        }
        let types = |part: &Lowered| part.scope.columns.iter().map(|slot| slot.ty).collect::<Vec<_>>();
        if parts.iter().any(|part| types(part) != types(&parts[0])) {
            return Err(self.unsupported("union", "the sides of UNION have different types: add a CAST"));
        }
        let first = usize::from(private);
        let mut scope =
            Scope { rows: 0, ..if private { Scope::private(vec![], 0) } else { Scope::public(vec![], 0, 0) } };
        // One end of an interval after the other, as positions of the hidden columns and as expressions over each part.
        let mut ends: Vec<Vec<Expr>> = vec![vec![]; parts.len()];
        for (at, name) in names.iter().enumerate() {
            let slots: Vec<&Slot> = parts.iter().map(|part| &part.scope.columns[at]).collect();
            let noise = if private { None } else { self.ends_of(&slots, &mut ends, names.len()) };
            scope.columns.push(Slot {
                unit: slots.iter().all(|slot| slot.unit),
                repeats: slots.iter().map(|slot| slot.repeats).fold(0, u64::saturating_add),
                bounds: slots.iter().map(|slot| slot.bounds).reduce(|a, b| Some(a?.hull(b?))).flatten(),
                domain: slots.iter().map(|slot| slot.domain.clone()).reduce(|a, b| merged(a?, b?)).flatten(),
                noise: noise.unwrap_or_else(|| match slots.iter().find(|slot| slot.noise != Noise::Exact) {
                    Some(noisy) => withheld(&noisy.noise),
                    None => Noise::Exact,
                }),
                ..Slot::plain(first + at, *name, slots[0].ty)
            });
        }
        scope.width = first + names.len() + ends.first().map_or(0, Vec::len);
        let mut relations = Vec::new();
        for (part, ends) in parts.into_iter().zip(ends) {
            let unit = private.then_some(Expr::Column(0));
            let columns = part.scope.columns.iter().map(Slot::expr);
            let exprs: Vec<Expr> = unit.into_iter().chain(columns).chain(ends).collect();
            self.spend(exprs.len())?;
            relations.push(part.relation.project(exprs));
            scope.rows = scope.rows.saturating_add(part.scope.rows);
            scope.chosen |= part.scope.chosen;
            scope.noisy_order |= part.scope.noisy_order;
            scope.releases.extend(part.scope.releases);
        }
        Ok(Lowered { relation: Relation::Union(relations), scope })
    }

    /// The ends of a column's intervals, where each part knows its own or is exact.
    fn ends_of(&self, slots: &[&Slot], ends: &mut [Vec<Expr>], width: usize) -> Option<Noise> {
        if slots.iter().all(|slot| slot.noise == Noise::Exact) || slots.iter().any(|slot| slot.noise == Noise::Withheld)
        {
            return None;
        }
        let from = width + ends.first().map_or(0, Vec::len);
        for (slot, ends) in slots.iter().zip(ends) {
            match &slot.noise {
                Noise::Known { ends: Ends { own, row, all }, .. } => {
                    ends.extend([own, row, all].into_iter().flat_map(|(low, high)| [*low, *high]).map(Expr::Column));
                }
                Noise::Exact | Noise::Withheld => ends.extend(std::iter::repeat_n(slot.expr(), 6)),
            }
        }
        let pair = |at: usize| (from + 2 * at, from + 2 * at + 1);
        Some(Noise::Known { output: None, ends: Ends { own: pair(0), row: pair(1), all: pair(2) } })
    }
}

/// The values of either set.
fn merged(a: Domain, b: Domain) -> Option<Domain> {
    if Arc::ptr_eq(&a, &b) || a == b {
        return Some(a);
    }
    let few = a.len().saturating_mul(b.len()) <= MAX_COMPARISONS;
    few.then(|| a.iter().chain(b.iter().filter(|value| !a.contains(value))).cloned().collect())
}
