//! A public table on the preserved side of an outer join: it gives *keys*, not rows.
//!
//! `hospitals LEFT JOIN visits`: which hospitals have no visit is private, so the public rows that match nothing cannot be rows of a private
//! relation: they have no unit. The join becomes inner, and its public columns keep their public values, all of which a GROUP BY returns.
//! That is what the text means as long as an unmatched row would add nothing but its key: keys are of the public side, and every
//! aggregate skips NULL and has an argument that is NULL where the private side is. What would see an unmatched row otherwise
//! (COUNT(*), IS NULL, COALESCE) is refused.

use super::Lowering;
use super::aggregate::Call;
use super::join::Condition;
use super::scope::{Lowered, Scope};
use crate::algebra::{Comparison, Expr, FoldKind, JoinKind, Type};
use crate::error::{Error, Result};
use std::collections::BTreeSet;

impl Lowering<'_> {
    /// The public side, preserved, with a private one.
    pub fn preserved_join(&mut self, public: Lowered, private: Lowered, condition: Condition) -> Result<Lowered> {
        let of_private = private.scope.columns.len();
        let mut joined = self.public_join(private, public, JoinKind::Inner, condition.mirrored())?;
        let optional = joined.scope.columns[..of_private].iter().map(|slot| slot.index).collect();
        joined.scope.columns.rotate_left(of_private);
        joined.scope.optional = Some(optional);
        Ok(joined)
    }

    /// What a projection's columns are over such a join: its optional ones, by new position.
    pub fn optional_columns(&self, scope: &Scope, exprs: &[Expr]) -> Result<Option<BTreeSet<usize>>> {
        let Some(optional) = &scope.optional else { return Ok(None) };
        let mut found = BTreeSet::new();
        for (at, expr) in exprs.iter().enumerate() {
            if is_strict(expr, optional) {
                found.insert(at);
            } else if reads(expr, optional) {
                return Err(self.sees_unmatched());
            }
        }
        Ok(Some(found))
    }

    /// The optional columns behind a filter: none where the condition is never true of an unmatched row.
    pub fn optional_behind(&self, scope: &Scope, condition: &Expr) -> Result<Option<BTreeSet<usize>>> {
        let Some(optional) = &scope.optional else { return Ok(None) };
        let parts = match condition {
            Expr::All(parts) => parts.as_slice(),
            single => std::slice::from_ref(single),
        };
        let drops = |part: &Expr| match part {
            Expr::Compare(_, l, r) => is_strict(l, optional) || is_strict(r, optional),
            Expr::Not(inner) => matches!(inner.as_ref(), Expr::IsNull(e) if is_strict(e, optional)),
            _ => false,
        };
        if parts.iter().any(drops) {
            return Ok(None);
        }
        if reads(condition, optional) {
            return Err(self.sees_unmatched());
        }
        Ok(Some(optional.clone()))
    }

    /// Whether an aggregate is the same with and without unmatched rows, but for their keys.
    pub fn check_over_optional(&self, scope: &Scope, keys: &[(Expr, Type)], calls: &[Call]) -> Result<()> {
        let Some(optional) = &scope.optional else { return Ok(()) };
        let skips = |call: &Call| call.kind != FoldKind::Rows && is_strict(&call.of, optional);
        match keys.iter().any(|(key, _)| reads(key, optional)) || !calls.iter().all(skips) {
            true => Err(self.sees_unmatched()),
            false => Ok(()),
        }
    }

    fn sees_unmatched(&self) -> Error {
        let message = "which public rows match nothing is private: after an outer join that keeps them, group by public columns and count, sum or average columns of the private side, not COUNT(*), IS NULL or COALESCE";
        self.unsupported("join", message)
    }
}

/// Whether an expression is NULL wherever the optional columns are.
fn is_strict(expr: &Expr, optional: &BTreeSet<usize>) -> bool {
    match expr {
        Expr::Column(i) => optional.contains(i),
        Expr::Cast(e, _) | Expr::Apply(_, e) => is_strict(e, optional),
        Expr::Call(_, args) => args.iter().any(|e| is_strict(e, optional)),
        Expr::Arithmetic(_, l, r) | Expr::Compare(Comparison::Eq, l, r) => {
            is_strict(l, optional) || is_strict(r, optional)
        }
        _ => false,
    }
}

fn reads(expr: &Expr, optional: &BTreeSet<usize>) -> bool {
    expr.columns().iter().any(|i| optional.contains(i))
}
