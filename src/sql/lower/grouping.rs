//! GROUPING SETS, ROLLUP and CUBE: one grouping after the other, and their rows together. Across units each is a release of its own,
//! and is paid for; a key that is not in a grouping is NULL in its rows.

use super::Lowering;
use super::aggregate::Grouping;
use super::scope::{Lowered, Scope, Slot, UNREAD};
use crate::algebra::{Expr, Hierarchy, Literal, Relation, Type};
use crate::error::{Error, Result};
use datafusion::logical_expr::logical_plan::Aggregate;
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{Expr as DfExpr, GroupingSet};

/// Most groupings of one GROUP BY.
const MAX_GROUPINGS: usize = 64;

impl Lowering<'_> {
    pub fn grouping_sets(&mut self, aggregate: &Aggregate, set: &GroupingSet) -> Result<Lowered> {
        let Aggregate { input, group_expr, aggr_expr, schema, .. } = aggregate;
        let sets = groupings(set).ok_or_else(|| {
            self.unsupported("group", format!("GROUP BY has more than {MAX_GROUPINGS} groupings: name fewer keys"))
        })?;
        let internal = |e: datafusion::error::DataFusionError| Error::internal(e.strip_backtrace());
        let all: Vec<&DfExpr> = grouping_set_to_exprlist(group_expr).map_err(internal)?;
        let before = self.nodes_left.get();
        let Lowered { relation, scope } = self.relation(input)?;
        let nodes = before - self.nodes_left.get();
        // Each grouping has the input for itself.
        self.spend(nodes.saturating_mul(sets.len() - 1))?;
        let keys = all.iter().map(|e| self.expr(e, input.schema(), &scope)).collect::<Result<Vec<_>>>()?;
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        // After the keys comes DataFusion's number of the grouping, which nothing here reads.
        let (key_names, rest) = names.split_at(keys.len());
        let output_names = &rest[1..];
        let keys_of = |set: &[&DfExpr]| {
            (0..all.len()).filter(|at| set.contains(&all[*at])).map(|at| keys[at].clone()).collect::<Vec<_>>()
        };
        let across = |set: &Vec<&DfExpr>| self.is_released(&scope, &keys_of(set));
        if sets.iter().any(across) && !sets.iter().all(across) {
            let message = format!(
                "the privacy unit ({}) is in some groupings of this GROUP BY and not in others: ask for them apart",
                self.dataset.privacy_unit
            );
            return Err(self.unsupported("group", message));
        }
        let mut parts = Vec::new();
        let mut hierarchy = Hierarchy { releases: vec![], keys: vec![] };
        for set in &sets {
            // GROUPING() is a constant of its grouping; everything else is an aggregate.
            let levels = aggr_expr.iter().map(|e| self.level(e, &all, set)).collect::<Result<Vec<_>>>()?;
            let is_call = |at: &usize| levels[*at].is_none();
            let calls = (0..aggr_expr.len()).filter(is_call);
            let calls =
                calls.map(|at| self.call(&aggr_expr[at], input.schema(), &scope)).collect::<Result<Vec<_>>>()?;
            let call_names: Vec<&str> = (0..aggr_expr.len()).filter(is_call).map(|at| output_names[at]).collect();
            let output_names = call_names.as_slice();
            let within: Vec<usize> = (0..all.len()).filter(|at| set.contains(&all[*at])).collect();
            let own_keys = within.iter().map(|at| keys[*at].clone()).collect();
            let own_names: Vec<&str> = within.iter().map(|at| key_names[*at]).collect();
            let part = {
                let (key_names, of) = (own_names.as_slice(), sets.len());
                let grouping = Grouping { keys: own_keys, calls, key_names, output_names, of, nodes };
                self.grouped(relation.clone(), &scope, grouping)?
            };
            if let Some(id) = released_in(&part.relation)
                && self.releases[id].keys.len() == within.len()
                && !hierarchy.releases.contains(&id)
            {
                hierarchy.releases.push(id);
                hierarchy.keys.push(within.clone());
            }
            parts.push(with_levels(with_absent_keys(part, &within, &keys), keys.len(), &levels));
        }
        if hierarchy.releases.len() > 1 {
            self.hierarchies.push(hierarchy);
        }
        let names: Vec<&str> = key_names.iter().chain(output_names).copied().collect();
        let mut united = self.unite(parts, &names)?;
        united.scope.columns.insert(keys.len(), Slot::plain(UNREAD, rest[0], Type::Int));
        Ok(united)
    }
}

impl Lowering<'_> {
    /// The value of GROUPING(...) in a grouping: one bit for each of its keys, the last one lowest, which is set where the key is absent.
    fn level(&self, expr: &DfExpr, all: &[&DfExpr], set: &[&DfExpr]) -> Result<Option<i64>> {
        let expr = match expr {
            DfExpr::Alias(alias) => alias.expr.as_ref(),
            other => other,
        };
        let DfExpr::AggregateFunction(function) = expr else { return Ok(None) };
        if function.func.name() != "grouping" {
            return Ok(None);
        }
        let args = &function.params.args;
        if args.is_empty() || args.len() > 30 || !args.iter().all(|arg| all.contains(&arg)) {
            return Err(self.unsupported("grouping", "GROUPING takes keys of this GROUP BY"));
        }
        Ok(Some(args.iter().fold(0, |bits, arg| bits << 1 | i64::from(!set.contains(&arg)))))
    }
}

/// The part with the constants of GROUPING() among its outputs, which come after the keys.
fn with_levels(part: Lowered, keys: usize, levels: &[Option<i64>]) -> Lowered {
    if levels.iter().all(Option::is_none) {
        return part;
    }
    let Lowered { relation, scope } = part;
    let mut exprs: Vec<Expr> = (0..scope.width).map(Expr::Column).collect();
    let mut columns = scope.columns[..keys].to_vec();
    let mut outputs = scope.columns[keys..].iter();
    for level in levels {
        match level {
            None => columns.extend(outputs.next().cloned()),
            Some(level) => {
                let value = Literal::Int(*level);
                exprs.push(Expr::Literal(value.clone()));
                columns.push(Slot { domain: Some([value].into()), ..Slot::plain(exprs.len() - 1, "", Type::Int) });
            }
        }
    }
    let width = exprs.len();
    Lowered { relation: relation.project(exprs), scope: Scope { columns, width, ..scope } }
}

/// The release whose table this is made of.
fn released_in(relation: &Relation) -> Option<usize> {
    match relation {
        Relation::Released(id) => Some(*id),
        other => other.inputs().into_iter().find_map(released_in),
    }
}

/// The keys of each grouping.
fn groupings(set: &GroupingSet) -> Option<Vec<Vec<&DfExpr>>> {
    let sets: Vec<Vec<&DfExpr>> = match set {
        GroupingSet::GroupingSets(sets) => sets.iter().map(|set| set.iter().collect()).collect(),
        GroupingSet::Rollup(keys) => (0..=keys.len()).rev().map(|n| keys[..n].iter().collect()).collect(),
        GroupingSet::Cube(keys) if keys.len() < usize::BITS as usize && 1 << keys.len() <= MAX_GROUPINGS => {
            let subset =
                |bits: usize| keys.iter().enumerate().filter(move |(at, _)| bits >> at & 1 == 0).map(|(_, key)| key);
            (0..1usize << keys.len()).map(|bits| subset(bits).collect()).collect()
        }
        GroupingSet::Cube(_) => return None,
    };
    (sets.len() <= MAX_GROUPINGS && !sets.is_empty()).then_some(sets)
}

/// The part with NULL for each key that its grouping lacks, in the order of all keys.
fn with_absent_keys(part: Lowered, within: &[usize], keys: &[(Expr, Type)]) -> Lowered {
    let Lowered { relation, scope } = part;
    let mut exprs: Vec<Expr> = (0..scope.width).map(Expr::Column).collect();
    let mut columns = Vec::new();
    for (at, (_, ty)) in keys.iter().enumerate() {
        columns.push(match within.iter().position(|key| *key == at) {
            Some(own) => scope.columns[own].clone(),
            None => {
                exprs.push(Expr::Literal(Literal::Null(*ty)));
                let domain = Some([Literal::Null(*ty)].into());
                Slot { domain, ..Slot::plain(exprs.len() - 1, "", *ty) }
            }
        });
    }
    columns.extend(scope.columns[within.len()..].iter().cloned());
    let width = exprs.len();
    Lowered { relation: relation.project(exprs), scope: Scope { columns, width, ..scope } }
}
