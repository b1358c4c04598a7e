//! Joins.
//!
//! *Public with private*: inner, or outer with the private side preserved; any condition. Each output row has one unit, and
//! a public row alone has none, so the public side is never preserved.
//! *Private with private*: only where `left.unit = right.unit` stands at the top level of the condition, on unit columns by lineage.
//! Each output row then is a function of one unit's rows. An unmatched row keeps the unit of its own side.
//!
//! A join may multiply rows. So that one unit can exhaust neither memory nor time, each private side whose rows could be
//! multiplied is first cut down to a per-unit number of rows, chosen by the unit's rows and the query's secret alone.

use super::Lowering;
use super::scope::{Lowered, Scope, Slot};
use crate::algebra::{Comparison, Domain, Expr, JoinKind, Literal, Relation};
use crate::error::Result;
use datafusion::common::{JoinType, NullEquality};
use datafusion::logical_expr::Expr as DfExpr;
use datafusion::logical_expr::logical_plan::Join;

impl Lowering<'_> {
    /// Lowers a join; `also` is a further condition of an inner join, over its output.
    pub fn join(&mut self, join: &Join, also: Option<&DfExpr>) -> Result<Lowered> {
        let Join { left, right, on, filter, join_type, join_constraint: _, schema, null_equality, null_aware, .. } =
            join;
        if *null_aware || *null_equality != NullEquality::NullEqualsNothing {
            return Err(self.unsupported("join", "joins in which NULL equals NULL are not supported"));
        }
        let (kind, swap) = match join_type {
            JoinType::Inner => (JoinKind::Inner, false),
            JoinType::Left => (JoinKind::Left, false),
            JoinType::Right => (JoinKind::Left, true),
            JoinType::Full => (JoinKind::Full, false),
            _ => {
                let message = "semi and anti joins are not supported: write an inner or left join";
                return Err(self.unsupported("join", message));
            }
        };
        let (a, b) = (self.relation(left)?, self.relation(right)?);
        let both = beside(&a.scope, &b.scope);
        let mut conditions = Vec::new();
        for (l, r) in on {
            let (l, r) = (self.expr(l, left.schema(), &a.scope)?, self.expr(r, right.schema(), &b.scope)?);
            let shifted = r.0.moved(&|i| i + a.scope.width);
            conditions.push(match l.1 == r.1 {
                true => Expr::compare(Comparison::Eq, l.0, shifted),
                false => {
                    return Err(
                        self.unsupported("join", "the two sides of a join condition have different types: add a CAST")
                    );
                }
            });
        }
        for condition in filter.iter().chain(also) {
            conditions.push(self.condition(condition, schema, &both)?);
        }
        let conjuncts = match Expr::and(conditions) {
            Expr::All(parts) => parts,
            // A condition that is just true.
            Expr::Literal(Literal::Bool(true)) => vec![],
            single => vec![single],
        };
        let condition = Condition::split(conjuncts, a.scope.width, b.scope.width);
        // From here on the side that keeps its unmatched rows is the first one, and of an inner join the private one.
        let swap = swap || (kind == JoinKind::Inner && b.scope.private && !a.scope.private);
        let (first, second, condition) = if swap { (b, a, condition.mirrored()) } else { (a, b, condition) };
        let split = first.scope.columns.len();
        let mut joined = match (first.scope.private, second.scope.private) {
            (false, false) => side_by_side(first, second, kind, condition),
            (true, false) if kind != JoinKind::Full => {
                let lookup = condition.on.iter().any(|(_, r)| match r {
                    Expr::Column(i) => second.scope.slot_at(*i).is_some_and(|slot| slot.unique),
                    _ => false,
                });
                let first = if lookup { first } else { self.capped(first) };
                side_by_side(first, second, kind, condition)
            }
            (true, true) => self.unit_join(first, second, kind, condition)?,
            (true, false) | (false, true) => {
                let message = "an outer join that keeps unmatched rows of a public table beside private ones has no private reading: use an inner join; all keys of a declared domain are returned anyway";
                return Err(self.unsupported("join", message));
            }
        };
        if swap {
            joined.scope.columns.rotate_left(split);
        }
        Ok(joined)
    }

    /// Both sides private: only on the unit.
    fn unit_join(&self, first: Lowered, second: Lowered, kind: JoinKind, condition: Condition) -> Result<Lowered> {
        let is_unit = |scope: &Scope, e: &Expr| match e {
            Expr::Column(i) => scope.slot_at(*i).is_some_and(|slot| slot.unit),
            _ => false,
        };
        if !condition.on.iter().any(|(l, r)| is_unit(&first.scope, l) && is_unit(&second.scope, r)) {
            let message = format!(
                "two protected tables can only be joined on the privacy unit ({}): add `ON a.<unit column> = b.<unit column>`",
                self.dataset.privacy_unit
            );
            return Err(self.unsupported("join", message).or_at(self.locator.find("from")));
        }
        let (left_width, right_width) = (first.scope.width, second.scope.width);
        let Lowered { relation, mut scope } = side_by_side(self.capped(first), self.capped(second), kind, condition);
        // The unit of the preserved side, or of whichever side has one; the other copy is dropped.
        let unit = match kind {
            JoinKind::Inner | JoinKind::Left => Expr::Column(0),
            JoinKind::Full => Expr::Case {
                branches: vec![(Expr::IsNull(Box::new(Expr::Column(0))), Expr::Column(left_width))],
                otherwise: Some(Box::new(Expr::Column(0))),
            },
        };
        let kept = (1..left_width).chain(left_width + 1..left_width + right_width);
        let relation = relation.project(std::iter::once(unit).chain(kept.map(Expr::Column)).collect());
        for slot in &mut scope.columns {
            *slot = slot.moved(&|i| if i > left_width { i - 1 } else { i });
        }
        scope.width -= 1;
        Ok(Lowered { relation, scope })
    }

    fn capped(&self, side: Lowered) -> Lowered {
        let rows = self.dataset.rules.max_rows_per_unit;
        Lowered { relation: Relation::Cap { input: Box::new(side.relation), rows }, scope: side.scope }
    }
}

/// Pairs of expressions over each side, and what is left over the output.
struct Condition {
    on: Vec<(Expr, Expr)>,
    rest: Vec<Expr>,
    left_width: usize,
    right_width: usize,
}

impl Condition {
    fn split(conjuncts: Vec<Expr>, left_width: usize, right_width: usize) -> Condition {
        let (mut on, mut rest) = (Vec::new(), Vec::new());
        let left_only = |e: &Expr| !e.columns().is_empty() && e.columns().iter().all(|i| *i < left_width);
        let right_only = |e: &Expr| !e.columns().is_empty() && e.columns().iter().all(|i| *i >= left_width);
        let shift = |e: &Expr| e.moved(&|i| i - left_width);
        for conjunct in conjuncts {
            match &conjunct {
                Expr::Compare(Comparison::Eq, l, r) if left_only(l) && right_only(r) => {
                    on.push((l.as_ref().clone(), shift(r)))
                }
                Expr::Compare(Comparison::Eq, l, r) if right_only(l) && left_only(r) => {
                    on.push((r.as_ref().clone(), shift(l)))
                }
                _ => rest.push(conjunct),
            }
        }
        Condition { on, rest, left_width, right_width }
    }

    /// The same condition for the sides exchanged.
    fn mirrored(self) -> Condition {
        let Condition { on, rest, left_width, right_width } = self;
        let moved = |e: &Expr| e.moved(&|i| if i < left_width { i + right_width } else { i - left_width });
        Condition {
            on: on.into_iter().map(|(l, r)| (r, l)).collect(),
            rest: rest.iter().map(moved).collect(),
            left_width: right_width,
            right_width: left_width,
        }
    }

    fn join(self, left: Relation, right: Relation, kind: JoinKind) -> Relation {
        let filter = (!self.rest.is_empty()).then(|| Expr::and(self.rest));
        Relation::Join { left: Box::new(left), right: Box::new(right), kind, on: self.on, filter }
    }
}

/// The join itself, with the first side's columns before the second's.
fn side_by_side(first: Lowered, second: Lowered, kind: JoinKind, condition: Condition) -> Lowered {
    let mut scope = beside(&first.scope, &second.scope);
    let split = first.scope.columns.len();
    for (at, slot) in scope.columns.iter_mut().enumerate() {
        let optional = kind == JoinKind::Full || (kind == JoinKind::Left && at >= split);
        // What is unique on its own side may be repeated by the other.
        *slot = Slot { unique: false, ..if optional { nullable(slot) } else { slot.clone() } };
    }
    Lowered { relation: condition.join(first.relation, second.relation, kind), scope }
}

/// The columns of two relations side by side.
fn beside(left: &Scope, right: &Scope) -> Scope {
    let moved = right.columns.iter().map(|slot| slot.moved(&|i| i + left.width));
    Scope {
        private: left.private || right.private,
        columns: left.columns.iter().cloned().chain(moved).collect(),
        width: left.width + right.width,
    }
}

/// A column of the side that an outer join may fill with NULL: no longer the unit, and NULL is one of its values.
fn nullable(slot: &Slot) -> Slot {
    let null = Literal::Null(slot.ty);
    let with_null = |domain: &Domain| match domain.contains(&null) {
        true => domain.clone(),
        false => domain.iter().cloned().chain([null.clone()]).collect(),
    };
    Slot { unit: false, unique: false, domain: slot.domain.as_ref().map(with_null), ..slot.clone() }
}
