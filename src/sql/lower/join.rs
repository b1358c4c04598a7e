//! Joins.
//!
//! *Public with private*: inner, or outer with the private side preserved; any condition. Each output row has one unit, and
//! a public row alone has none, so a preserved public side gives keys, not rows: see [`super::preserved`].
//! *Private with private*: only where `left.unit = right.unit` stands at the top level of the condition, on unit columns by lineage, or
//! an equality that implies it: of columns that refer to one declared parent key, or are it. A parent key is unique (verified), so
//! equal keys mean one parent row and one unit; the plan compares the units all the same. Each output row then is a function of one
//! unit's rows. An unmatched row keeps the unit of its own side.
//!
//! *Semi and anti joins* (IN, EXISTS, INTERSECT, EXCEPT and their negations) keep a row of the first side, or not, by the second side's rows. A private first
//! side with a public second one is row by row; two private sides go by the unit as above, so that a row's fate is its own unit's
//! affair. A public row that stays or goes on account of private rows would tell of them: refused. NOT IN is `NOT EXISTS` a row
//! that is equal, or NULL: where that row could be private and of another unit, this is refused too.
//!
//! Where IN or EXISTS is a part of a condition, the rows with a match and those without are put together again, each with its mark.
//!
//! A join may multiply rows. So that one unit can exhaust neither memory nor time, each private side whose rows could be
//! multiplied is first cut down to a per-unit number of rows, chosen by the unit's rows and the query's secret alone: at most
//! `max_rows_per_unit`, and beside public rows so few that the join gives one unit at most the square of it. How many public rows one
//! private row can meet is a public number, found when the dataset was opened.
//!
//! Public joins are limited by the number of rows that they could have.

use super::Lowering;
use super::scope::{Lowered, Scope, Slot};
use crate::algebra::{Comparison, Domain, Expr, JoinKind, Literal, Relation, TableId, Type};
use crate::catalog::Protection;
use crate::error::{Code, Error, Result};
use datafusion::common::{JoinConstraint, JoinType, NullEquality};
use datafusion::logical_expr::Expr as DfExpr;
use datafusion::logical_expr::logical_plan::Join;
use datafusion::logical_expr::utils::split_conjunction;

impl Lowering<'_> {
    /// Lowers a join; `also` is a further condition of an inner join, over its output.
    pub fn join(&mut self, join: &Join, also: Option<&DfExpr>) -> Result<Lowered> {
        let Join { left, right, on, filter, join_type, join_constraint, schema, null_equality, null_aware, .. } = join;
        if *join_constraint == JoinConstraint::Using && !matches!(join_type, JoinType::Inner | JoinType::Left) {
            let message = "USING and NATURAL are supported in inner and left joins: write ON, and name the side whose column you mean";
            return Err(self.unsupported("using", message).or_at(self.locator.find("natural")));
        }
        let (kind, swap) = match join_type {
            JoinType::Inner => (JoinKind::Inner, false),
            JoinType::Left => (JoinKind::Left, false),
            JoinType::Right => (JoinKind::Left, true),
            JoinType::Full => (JoinKind::Full, false),
            JoinType::LeftSemi => (JoinKind::Semi, false),
            JoinType::LeftAnti => (JoinKind::Anti, false),
            // IN and EXISTS that are not conditions of their own.
            JoinType::LeftMark => (JoinKind::Semi, false),
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
                return Err(self.unsupported("join", "RIGHT SEMI and RIGHT ANTI are not supported: exchange the sides"));
            }
        };
        let nodes_before = self.nodes_left.get();
        let (a, b) = (self.relation(left)?, self.relation(right)?);
        if a.scope.optional.is_some() || b.scope.optional.is_some() {
            let message = "after an outer join that keeps unmatched rows of a public table comes its GROUP BY: do other joins before it";
            return Err(self.unsupported("join", message));
        }
        let both = beside(&a.scope, &b.scope);
        let mut conditions = Vec::new();
        if *null_aware && !on.is_empty() {
            return Err(self.unsupported("in", "this form of NOT IN is not supported: write NOT EXISTS"));
        }
        for (l, r) in on {
            let (l, r) = (self.expr(l, left.schema(), &a.scope)?, self.expr(r, right.schema(), &b.scope)?);
            let shifted = r.0.moved(&|i| i + a.scope.width);
            if l.1 != r.1 {
                return Err(
                    self.unsupported("join", "the two sides of a join condition have different types: add a CAST")
                );
            }
            let never_null = |e: &Expr| a.scope.slot_of(e).is_some_and(|slot| slot.unit);
            if *null_equality == NullEquality::NullEqualsNothing || never_null(&l.0) {
                conditions.push(Expr::compare(Comparison::Eq, l.0, shifted));
            } else {
                self.spend(3 * (l.0.size() + shifted.size()))?;
                conditions.extend(equal_or_both_null(l.0, shifted, l.1));
            }
        }
        let both_schema = match kind {
            JoinKind::Semi | JoinKind::Anti => {
                &left.schema().join(right.schema()).map_err(|e| Error::internal(e.strip_backtrace()))?
            }
            JoinKind::Inner | JoinKind::Left | JoinKind::Full => schema.as_ref(),
        };
        let parts = filter.iter().chain(also).flat_map(|condition| split_conjunction(condition));
        for (at, part) in parts.enumerate() {
            let condition = self.condition(part, both_schema, &both)?;
            // The first conjunct is the one that NOT IN stands for.
            let stands_for_not_in = *null_aware && at == 0;
            conditions.push(if stands_for_not_in { self.null_aware(condition, b.scope.private)? } else { condition });
        }
        let conjuncts = match Expr::and(conditions).canonical() {
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
            _ if *join_type == JoinType::LeftMark => {
                // Both sides stand twice.
                self.spend(nodes_before - self.nodes_left.get())?;
                self.mark_join(first, second, condition)?
            }
            _ if matches!(kind, JoinKind::Semi | JoinKind::Anti) => self.semi_join(first, second, kind, condition)?,
            (false, false) => side_by_side(first, second, kind, condition),
            (true, false) if kind != JoinKind::Full => self.public_join(first, second, kind, condition)?,
            (true, true) => self.unit_join(first, second, kind, condition)?,
            (false, true) if kind == JoinKind::Left => self.preserved_join(first, second, condition)?,
            (true, false) | (false, true) => {
                let message = "a full join of a public table with private rows has no private reading: keep the unmatched rows of one side only";
                return Err(self.unsupported("join", message));
            }
        };
        if !joined.scope.private && joined.scope.rows > MAX_PUBLIC_ROWS {
            let message =
                format!("this join of public rows could have more than {MAX_PUBLIC_ROWS} rows: add a condition");
            return Err(self.unsupported("join", message).or_at(self.locator.find("from")));
        }
        if swap {
            joined.scope.columns.rotate_left(split);
        }
        Ok(joined)
    }

    /// A private side, kept, with a public one.
    pub fn public_join(
        &mut self,
        first: Lowered,
        second: Lowered,
        kind: JoinKind,
        condition: Condition,
    ) -> Result<Lowered> {
        let first = self.few_pairs(first, &second.scope, &condition)?;
        Ok(side_by_side(first, self.settled(second), kind, condition))
    }

    /// A private side with so few rows per unit that they meet only so many public ones.
    fn few_pairs(&mut self, first: Lowered, second: &Scope, condition: &Condition) -> Result<Lowered> {
        let (fan_out, rows) = (condition.fan_out(second), self.dataset.rules.max_rows_per_unit);
        let most = rows.saturating_mul(rows);
        if fan_out > most {
            let message = format!(
                "one private row could meet {fan_out} public rows here, more than {most}: join on a column that has fewer rows with one value"
            );
            return Err(self.unsupported("join", message).or_at(self.locator.find("from")));
        }
        if fan_out > 1 { self.capped(first, rows.min(most / fan_out)) } else { Ok(first) }
    }

    /// A public side of a private join, computed beforehand where its rows could depend on how many threads compute it.
    fn settled(&mut self, side: Lowered) -> Lowered {
        if side.relation.is_row_wise() {
            return side;
        }
        let id = match self.fixed.iter().position(|known| *known == side.relation) {
            Some(id) => id,
            None => {
                self.fixed.push(side.relation);
                self.fixed.len() - 1
            }
        };
        Lowered { relation: Relation::Fixed(id), ..side }
    }

    /// Rows of the first side by whether the second has a match.
    fn semi_join(&mut self, first: Lowered, second: Lowered, kind: JoinKind, condition: Condition) -> Result<Lowered> {
        // Equalities alone are looked up; anything else compares each pair of rows.
        let pairs = !condition.rest.is_empty();
        let (first, second, condition) = match (first.scope.private, second.scope.private) {
            (false, true) => {
                let message = "which rows of a public table have a match among private rows is private: aggregate the private rows, and compare the results";
                let at = self.locator.find("exists").or(self.locator.find("in")).or(self.locator.find("join"));
                return Err(Error::new(Code::UnsupportedSql, message).or_at(at));
            }
            (true, true) => {
                let condition = self.on_the_unit(&first, &second, condition)?;
                let rows = self.dataset.rules.max_rows_per_unit;
                match pairs {
                    true => (self.capped(first, rows)?, self.capped(second, rows)?, condition),
                    false => (first, second, condition),
                }
            }
            (true, false) if pairs => {
                (self.few_pairs(first, &second.scope, &condition)?, self.settled(second), condition)
            }
            (true, false) => (first, self.settled(second), condition),
            (false, false) => (first, second, condition),
        };
        let (scope, split) = (first.scope.clone(), first.scope.columns.len());
        let joined = side_by_side(first, second, kind, condition);
        let columns = joined.scope.columns[..split].iter().zip(&scope.columns);
        // No row is repeated.
        let columns = columns.map(|(slot, before)| Slot { repeats: before.repeats, ..slot.clone() }).collect();
        Ok(Lowered {
            relation: joined.relation,
            scope: Scope { columns, width: scope.width, rows: scope.rows, ..joined.scope },
        })
    }

    /// The first side's rows with one more column: whether the second has a match. They are those that have one and those that have none,
    /// and each row is among one of them, by the same rules.
    fn mark_join(&mut self, first: Lowered, second: Lowered, condition: Condition) -> Result<Lowered> {
        self.marks += 1;
        if self.marks > MAX_MARKS {
            let message = format!("more than {MAX_MARKS} IN (SELECT ...) or EXISTS below OR: split the question");
            return Err(self.refuse(Code::SqlTooLong, "or", message));
        }
        let with = self.semi_join(first.clone(), second.clone(), JoinKind::Semi, condition.clone())?;
        let without = self.semi_join(first, second, JoinKind::Anti, condition)?;
        let Scope { width, chosen, .. } = with.scope;
        let marked = |relation: Relation, mark| {
            let columns = (0..width).map(Expr::Column);
            relation.project(columns.chain([Expr::Literal(Literal::Bool(mark))]).collect())
        };
        let relation = Relation::Union(vec![marked(with.relation, true), marked(without.relation, false)]);
        let mut scope = Scope { width: width + 1, chosen: chosen || without.scope.chosen, ..with.scope };
        scope.columns.push(Slot::plain(width, "mark", Type::Bool));
        Ok(Lowered { relation, scope })
    }

    /// `x NOT IN (SELECT s ...)`: no s is equal to x, and neither is any NULL.
    fn null_aware(&self, equal: Expr, private: bool) -> Result<Expr> {
        if private {
            let message = "NOT IN over private rows is not supported: write NOT EXISTS (SELECT 1 FROM ... WHERE a.<unit column> = b.<unit column> AND ...)";
            return Err(self.unsupported("in", message));
        }
        match equal {
            Expr::Compare(Comparison::Eq, l, r) => {
                let equal = Expr::Compare(Comparison::Eq, l.clone(), r.clone());
                Ok(Expr::or(vec![equal, Expr::IsNull(l), Expr::IsNull(r)]))
            }
            _ => Err(self.unsupported("in", "this form of NOT IN is not supported: write NOT EXISTS")),
        }
    }

    /// Both sides private: only on the unit.
    fn unit_join(&mut self, first: Lowered, second: Lowered, kind: JoinKind, condition: Condition) -> Result<Lowered> {
        let condition = self.on_the_unit(&first, &second, condition)?;
        let rows = self.dataset.rules.max_rows_per_unit;
        let (left_width, right_width) = (first.scope.width, second.scope.width);
        let Lowered { relation, mut scope } =
            side_by_side(self.capped(first, rows)?, self.capped(second, rows)?, kind, condition);
        // The unit of the preserved side, or of whichever side has one; the other copy is dropped.
        let unit = match kind {
            JoinKind::Full => Expr::Case {
                branches: vec![(Expr::IsNull(Box::new(Expr::Column(0))), Expr::Column(left_width))],
                otherwise: Some(Box::new(Expr::Column(0))),
            },
            _ => Expr::Column(0),
        };
        let kept = (1..left_width).chain(left_width + 1..left_width + right_width);
        let relation = relation.project(std::iter::once(unit).chain(kept.map(Expr::Column)).collect());
        for slot in &mut scope.columns {
            *slot = slot.moved(&|i| if i > left_width { i - 1 } else { i });
        }
        scope.width -= 1;
        Ok(Lowered { relation, scope })
    }

    /// The condition with an equality of units in it, where it has one or implies it.
    fn on_the_unit(&self, first: &Lowered, second: &Lowered, mut condition: Condition) -> Result<Condition> {
        let units = |(l, r): &(Expr, Expr)| {
            let slots = first.scope.slot_of(l).zip(second.scope.slot_of(r));
            slots.map_or((false, false), |(l, r)| (l.unit && r.unit, self.same_parent(l, r)))
        };
        let (named, implied) = condition.on.iter().map(units).fold((false, false), |a, b| (a.0 | b.0, a.1 | b.1));
        if !named && !implied {
            let message = format!(
                "two protected tables can only be joined on the privacy unit ({}), or on a declared foreign key: add `ON a.<unit column> = b.<unit column>`",
                self.dataset.privacy_unit
            );
            return Err(self.unsupported("join", message).or_at(self.locator.find("from")));
        }
        if !named {
            condition.on.push((Expr::Column(0), Expr::Column(0)));
        }
        Ok(condition)
    }

    pub fn capped(&mut self, side: Lowered, rows: u64) -> Result<Lowered> {
        self.caps += 1;
        if self.caps > MAX_CAPS {
            let message = format!(
                "the question has more than {} joins that could multiply private rows: split it, or aggregate per unit first",
                MAX_CAPS / 2
            );
            return Err(self.refuse(Code::SqlTooLong, "join", message));
        }
        Ok(Lowered { relation: Relation::Cap { input: Box::new(side.relation), rows }, scope: side.scope })
    }

    /// Whether equal values of two columns mean one row of one parent table, and so one unit.
    fn same_parent(&self, left: &Slot, right: &Slot) -> bool {
        let keys = self.parent_key(left).zip(self.parent_key(right));
        keys.is_some_and(|(left, right)| left == right)
    }

    /// The key of a parent table that this column is, or refers to: each of its values belongs to one unit.
    pub fn parent_key(&self, slot: &Slot) -> Option<(TableId, usize)> {
        let tables = &self.dataset.tables;
        let (table, column) = slot.origin?;
        let key = match tables[table].protection {
            Protection::Parent { column: link, parent, parent_key } if link == column => (parent, parent_key),
            _ => (table, column),
        };
        let refers = |p: &Protection| matches!(p, Protection::Parent { parent, parent_key, .. } if (*parent, *parent_key) == key);
        tables.iter().any(|t| refers(&t.protection)).then_some(key)
    }
}

/// INTERSECT and EXCEPT take NULL for a value: two equalities that are never NULL.
fn equal_or_both_null(left: Expr, right: Expr, ty: Type) -> [Expr; 2] {
    let some = match ty {
        Type::Int => Literal::Int(0),
        Type::Float => Literal::float(0.0),
        Type::Text => Literal::Text(String::new()),
        Type::Bool => Literal::Bool(false),
        Type::Date => Literal::Date(0),
        Type::Timestamp => Literal::Timestamp(0),
    };
    let is_null = |e: &Expr| Expr::IsNull(Box::new(e.clone()));
    let filled = |e: &Expr| Expr::Case {
        branches: vec![(is_null(e), Expr::Literal(some.clone()))],
        otherwise: Some(Box::new(e.clone())),
    };
    [
        Expr::compare(Comparison::Eq, is_null(&left), is_null(&right)),
        Expr::compare(Comparison::Eq, filled(&left), filled(&right)),
    ]
}

/// Most IN and EXISTS below OR: each has its input twice.
const MAX_MARKS: usize = 4;
/// Most sides of joins that are cut down per unit: each is sorted.
const MAX_CAPS: usize = 24;
/// Most rows that a join of public tables may have by its public numbers.
const MAX_PUBLIC_ROWS: u64 = 10_000_000;

/// Pairs of expressions over each side, and what is left over the output.
#[derive(Clone)]
pub struct Condition {
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
    pub fn mirrored(self) -> Condition {
        let Condition { on, rest, left_width, right_width } = self;
        let moved = |e: &Expr| e.moved(&|i| if i < left_width { i + right_width } else { i - left_width });
        Condition {
            on: on.into_iter().map(|(l, r)| (r, l)).collect(),
            rest: rest.iter().map(moved).collect(),
            left_width: right_width,
            right_width: left_width,
        }
    }

    /// Most rows of `right` that one row of the left side can meet.
    fn fan_out(&self, right: &Scope) -> u64 {
        let repeats = self.on.iter().filter_map(|(_, r)| right.slot_of(r)).map(|slot| slot.repeats);
        repeats.fold(right.rows, u64::min)
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
    let into_second = condition.fan_out(&second.scope);
    let into_first = condition.on.iter().filter_map(|(l, _)| first.scope.slot_of(l)).map(|slot| slot.repeats);
    let into_first = into_first.fold(first.scope.rows, u64::min);
    for (at, slot) in scope.columns.iter_mut().enumerate() {
        let optional = kind == JoinKind::Full || (kind == JoinKind::Left && at >= split);
        // What stands once on its own side may be repeated by the other; an unmatched row stands once.
        let times = if at < split { into_second } else { into_first };
        let repeats = slot.repeats.saturating_mul(times.max(1));
        *slot = Slot { repeats, ..if optional { nullable(slot) } else { slot.clone() } };
    }
    let (left, right) = (first.scope.rows, second.scope.rows);
    let matched = left.saturating_mul(into_second).min(right.saturating_mul(into_first));
    scope.rows = match kind {
        JoinKind::Inner => matched,
        JoinKind::Left => matched.saturating_add(left),
        JoinKind::Full => matched.saturating_add(left).saturating_add(right),
        JoinKind::Semi | JoinKind::Anti => left,
    };
    let on = condition.on.iter().any(|(l, r)| first.scope.is_noisy(l) || second.scope.is_noisy(r));
    let shared = first.scope.releases.iter().any(|id| second.scope.releases.contains(id));
    scope.chosen |= on || shared || condition.rest.iter().any(|e| scope.is_noisy(e));
    Lowered { relation: condition.join(first.relation, second.relation, kind), scope }
}

/// The columns of two relations side by side.
fn beside(left: &Scope, right: &Scope) -> Scope {
    let moved = right.columns.iter().map(|slot| slot.moved(&|i| i + left.width));
    Scope {
        private: left.private || right.private,
        columns: left.columns.iter().cloned().chain(moved).collect(),
        width: left.width + right.width,
        rows: left.rows.saturating_mul(right.rows),
        releases: left.releases.iter().chain(&right.releases).copied().collect(),
        chosen: left.chosen || right.chosen,
        noisy_order: left.noisy_order || right.noisy_order,
        optional: None,
    }
}

/// A column of the side that an outer join may fill with NULL: no longer the unit, and NULL is one of its values.
fn nullable(slot: &Slot) -> Slot {
    let null = Literal::Null(slot.ty);
    let with_null = |domain: &Domain| match domain.contains(&null) {
        true => domain.clone(),
        false => domain.iter().cloned().chain([null.clone()]).collect(),
    };
    Slot { unit: false, origin: None, domain: slot.domain.as_ref().map(with_null), ..slot.clone() }
}
