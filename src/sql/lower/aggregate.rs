//! Aggregates: over public rows and per unit; those across units are a [release](super::release).

use super::super::marks::{MAX_BOUND, Mark};
use super::Lowering;
use super::quantile::{is_ordered, named_quantile};
use super::relation::withheld;
use super::scope::{Lowered, Noise, Scope, Slot, UNREAD};
use super::statistic::named_statistic;
use crate::algebra::{Arithmetic, Expr, Fold, FoldKind, Literal, Relation, Type, bounds};
use crate::error::{Code, Error, Result};
use crate::num::Lattice;
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::logical_plan::Aggregate;
use datafusion::logical_expr::logical_plan::builder::add_group_by_exprs_from_dependencies;
use datafusion::logical_expr::{Expr as DfExpr, LogicalPlan};

/// An aggregate call whose parts are lowered.
pub struct Call {
    pub kind: FoldKind,
    pub of: Expr,
    pub ty: Type,
    /// The independent variable of a statistic of two.
    pub on: Option<Expr>,
    /// What its clause and named arguments ask for.
    pub mark: Option<Mark>,
}

/// One grouping: keys and the calls over each group, with their names.
pub struct Grouping<'a> {
    pub keys: Vec<(Expr, Type)>,
    pub calls: Vec<Call>,
    pub key_names: &'a [&'a str],
    pub output_names: &'a [&'a str],
    /// Number of groupings that share what the text asks for.
    pub of: usize,
    /// What making the input counted for.
    pub nodes: usize,
}

impl Lowering<'_> {
    pub fn aggregate(&mut self, aggregate: &Aggregate) -> Result<Lowered> {
        let Aggregate { input, group_expr, aggr_expr, schema, .. } = aggregate;
        if let [DfExpr::GroupingSet(set)] = group_expr.as_slice() {
            return self.grouping_sets(aggregate, set);
        }
        let before = self.nodes_left.get();
        let Lowered { relation, scope } = self.relation(input)?;
        let nodes = before - self.nodes_left.get();
        let keys = group_expr.iter().map(|e| self.expr(e, input.schema(), &scope)).collect::<Result<Vec<_>>>()?;
        let calls = aggr_expr.iter().map(|e| self.call(e, input.schema(), &scope)).collect::<Result<Vec<_>>>()?;
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let (key_names, output_names) = names.split_at(keys.len());
        if !self.is_released(&scope, &keys) {
            self.grouped(relation, &scope, Grouping { keys, calls, key_names, output_names, of: 1, nodes })
        } else {
            self.check_over_optional(&scope, &keys, &calls)?;
            let named = named_keys(group_expr, input.schema())?;
            let used = self.used_above(&LogicalPlan::Aggregate(aggregate.clone()))?;
            // A column that only follows from the named keys is one more key where the question uses it and its values are public.
            let is_key = |(at, (expr, ty)): (usize, &(Expr, Type))| {
                Ok(at < named || (used.contains(key_names[at]) && self.image(&scope, expr, *ty)?.is_some()))
            };
            let kept = keys.iter().enumerate().map(is_key).collect::<Result<Vec<bool>>>()?;
            let types: Vec<Type> = keys.iter().map(|(_, ty)| *ty).collect();
            let of_kept = |at: &usize| kept[*at];
            let kept_names: Vec<&str> = (0..keys.len()).filter(of_kept).map(|at| key_names[at]).collect();
            let kept_keys = keys.into_iter().zip(&kept).filter(|(_, kept)| **kept).map(|(key, _)| key).collect();
            let grouping = Grouping { keys: kept_keys, calls, key_names: &kept_names, output_names, of: 1, nodes };
            let mut released = self.release(relation, &scope, grouping)?;
            for at in (0..kept.len()).filter(|at| !kept[*at]) {
                released.scope.columns.insert(at, Slot::plain(UNREAD, key_names[at], types[at]));
            }
            Ok(released)
        }
    }

    /// The groups of these keys, by whichever of the three it is.
    pub fn grouped(&mut self, relation: Relation, scope: &Scope, grouping: Grouping) -> Result<Lowered> {
        self.check_over_optional(scope, &grouping.keys, &grouping.calls)?;
        if self.is_released(scope, &grouping.keys) {
            return self.release(relation, scope, grouping);
        }
        let Grouping { keys, calls, key_names, output_names, .. } = grouping;
        self.check_unmarked(scope, &calls)?;
        let is_of_units = |call: &&Call| matches!(call.kind, FoldKind::Mode | FoldKind::Histogram(_));
        if let Some(name) = calls.iter().find(is_of_units).map(|call| call.kind.name()).filter(|_| !scope.private) {
            let message =
                format!("{name} of public rows is not supported: write GROUP BY x ORDER BY count(*) DESC LIMIT k");
            return Err(self.unsupported(name, message));
        }
        let is_wrong =
            |call: &&Call| matches!(call.kind, FoldKind::Quantile(_)) && matches!(call.ty, Type::Text | Type::Bool);
        if let Some(call) = calls.iter().find(is_wrong) {
            let message = format!("a quantile is of numbers, dates and timestamps, not of {}", call.ty.sql());
            return Err(self.unsupported("select", message));
        }
        let names: Vec<&str> = key_names.iter().chain(output_names).copied().collect();
        match scope.private {
            true => self.unit_aggregate(relation, scope, keys, calls, &names),
            false => Ok(self.public_aggregate(relation, scope, keys, calls, &names)),
        }
    }

    /// Whether groups of these keys are across units, and not within one.
    pub fn is_released(&self, scope: &Scope, keys: &[(Expr, Type)]) -> bool {
        scope.private && !keys.iter().any(|(e, _)| scope.slot_of(e).is_some_and(|slot| self.is_within_unit(slot)))
    }

    /// Whether rows that share this column's value are of one unit: it is the unit, or an unchanged key of a parent table (unique,
    /// verified), whose values are no public keys. The plan groups by the unit all the same.
    pub fn is_within_unit(&self, slot: &Slot) -> bool {
        slot.unit || (slot.domain.is_none() && self.parent_key(slot).is_some())
    }

    pub fn call(&self, expr: &DfExpr, schema: &DFSchema, scope: &Scope) -> Result<Call> {
        let expr = match expr {
            DfExpr::Alias(alias) => alias.expr.as_ref(),
            other => other,
        };
        let DfExpr::AggregateFunction(AggregateFunction { func, params }) = expr else {
            return Err(self.unsupported("select", "only aggregate functions can stand beside GROUP BY keys"));
        };
        let AggregateFunctionParams { args, distinct, filter, order_by, null_treatment } = params;
        let (name, mark) = self.asked.mark(func.name());
        let descending = match order_by.as_slice() {
            [] => false,
            // WITHIN GROUP (ORDER BY x): x is the first argument as well.
            [only] if is_ordered(name) && args.first() == Some(&only.expr) => !only.asc,
            _ => return Err(self.unsupported(name, format!("{name} takes no ORDER BY here: use CASE"))),
        };
        if null_treatment.is_some() {
            return Err(self.unsupported(name, format!("{name} takes no IGNORE NULLS: NULL is in no aggregate")));
        }
        let mut typed = args.iter().map(|arg| self.expr(arg, schema, scope)).collect::<Result<Vec<_>>>()?;
        if let Some(mark) = mark.filter(|mark| mark.names_unit) {
            self.check_unit(mark, typed.pop(), scope)?;
        }
        let call = match named_quantile(name) {
            Some(known) => self.quantile_call(name, known, *distinct, typed, descending)?,
            None => self.fold_call(name, *distinct, typed)?,
        };
        let call = Call { mark: mark.cloned(), ..call };
        match filter {
            None => Ok(call),
            Some(filter) => Ok(filtered(call, self.condition(filter, schema, scope)?)),
        }
    }

    /// An aggregate by its name.
    pub fn fold_call(&self, name: &str, distinct: bool, args: Vec<(Expr, Type)>) -> Result<Call> {
        if let Some(parts) = named_statistic(name) {
            return self.statistic_call(name, parts, distinct, args);
        }
        if name == "approx_top_k" {
            return self.top_call(distinct, args);
        }
        let Ok([(of, ty)]) = <[_; 1]>::try_from(args) else {
            return Err(self.unsupported(name, format!("{name} takes one argument")));
        };
        let constant = matches!(&of, Expr::Literal(l) if !l.is_null());
        let kind = match (name, distinct) {
            ("count", false) if constant => FoldKind::Rows,
            ("count", false) => FoldKind::NonNull,
            ("count", true) => FoldKind::Distinct,
            ("sum", false) => FoldKind::Sum,
            ("avg", false) => FoldKind::Mean,
            ("mode", false) => FoldKind::Mode,
            ("histogram", false) => FoldKind::Histogram(None),
            ("bool_and", _) if ty == Type::Bool => FoldKind::All,
            ("bool_or", _) if ty == Type::Bool => FoldKind::Any,
            ("bool_and" | "bool_or", _) => {
                return Err(self.unsupported(name, format!("{name} needs a condition, not {}", ty.sql())));
            }
            ("min", _) => FoldKind::Min,
            ("max", _) => FoldKind::Max,
            ("grouping", _) => {
                return Err(self.unsupported(
                    name,
                    "GROUPING is for GROUPING SETS, ROLLUP and CUBE: elsewhere every key is in its group",
                ));
            }
            (_, true) => return Err(self.unsupported("distinct", format!("{name}(DISTINCT ...) is not supported"))),
            _ => return Err(self.unsupported(name, format!("aggregate {name} is not supported"))),
        };
        if matches!(kind, FoldKind::Sum | FoldKind::Mean) && !ty.is_numeric() {
            return Err(self.unsupported(name, format!("{name} needs numbers, not {}", ty.sql())));
        }
        Ok(Call { kind, of, ty, on: None, mark: None })
    }

    /// Post-processing: any rows that are public already.
    fn public_aggregate(
        &self,
        relation: Relation,
        scope: &Scope,
        keys: Vec<(Expr, Type)>,
        calls: Vec<Call>,
        names: &[&str],
    ) -> Lowered {
        let noise = |noisy| if noisy { Noise::Withheld } else { Noise::Exact };
        // A single key has each value once.
        let repeats = if keys.len() == 1 { 1 } else { u64::MAX };
        let mut slots = Vec::new();
        for (expr, ty) in &keys {
            let at = slots.len();
            let plain = || Slot { noise: noise(scope.is_noisy(expr)), ..Slot::plain(at, names[at], *ty) };
            let known = scope.slot_of(expr).map(|k| Slot { index: at, noise: withheld(&k.noise), ..k.clone() });
            slots.push(Slot { repeats, ..known.unwrap_or_else(plain) });
        }
        for call in &calls {
            let at = slots.len();
            slots.push(Slot { noise: noise(scope.has_noise()), ..Slot::plain(at, names[at], fold_type(call)) });
        }
        let width = slots.len();
        let rows = if keys.is_empty() { 1 } else { scope.rows };
        let keys = keys.into_iter().map(|(e, _)| e).collect();
        let folds = calls.into_iter().map(fold).collect();
        Lowered {
            relation: Relation::Aggregate { input: Box::new(relation), keys, folds },
            scope: Scope { columns: slots, width, rows, ..scope.clone() },
        }
    }

    /// The unit is among the keys, so each output row is a function of one unit's rows. Only aggregates whose result does not
    /// depend on the order of rows: no sum of floats.
    fn unit_aggregate(
        &self,
        relation: Relation,
        scope: &Scope,
        keys: Vec<(Expr, Type)>,
        calls: Vec<Call>,
        names: &[&str],
    ) -> Result<Lowered> {
        let calls = calls.into_iter().map(|call| self.per_unit(call, scope)).collect::<Result<Vec<_>>>()?;
        if let Some(at) = calls.iter().position(|call| call.kind == FoldKind::Mean) {
            return self.unit_mean(at, relation, scope, keys, calls, names);
        }
        let mut slots = Vec::new();
        for (expr, ty) in &keys {
            let plain = Slot {
                bounds: bounds(expr, &|i| scope.bounds_at(i)),
                domain: self.image(scope, expr, *ty)?,
                ..Slot::plain(0, names[slots.len()], *ty)
            };
            slots.push(Slot { index: slots.len() + 1, ..scope.slot_of(expr).cloned().unwrap_or(plain) });
        }
        for call in &calls {
            let at = slots.len();
            // The least, the greatest and quantiles are among the values of the argument; sums and counts have no declared bounds.
            let kept = match call.kind {
                FoldKind::Min | FoldKind::Max | FoldKind::Quantile(_) => bounds(&call.of, &|i| scope.bounds_at(i)),
                _ => None,
            };
            slots.push(Slot { bounds: kept, ..Slot::plain(at + 1, names[at], fold_type(call)) });
        }
        let width = slots.len() + 1;
        let keys = std::iter::once(Expr::Column(0)).chain(keys.into_iter().map(|(e, _)| e)).collect();
        let folds = calls.into_iter().map(fold).collect();
        Ok(Lowered {
            relation: Relation::Aggregate { input: Box::new(relation), keys, folds },
            scope: Scope::private(slots, width),
        })
    }

    /// An aggregate that is the same in every order of a unit's rows: sums of DOUBLE values are of multiples of a public power of two.
    pub fn per_unit(&self, call: Call, scope: &Scope) -> Result<Call> {
        match (call.kind, call.ty) {
            (FoldKind::Sum, Type::Float) => {
                let known = bounds(&call.of, &|i| scope.bounds_at(i)).map(|b| b.low.abs().max(b.high.abs()));
                let magnitude = known.filter(|most| *most <= MAX_BOUND).ok_or_else(|| {
                    let message = "a sum or mean of fractions per unit needs public bounds of its values: limit them with CASE over columns with declared bounds, or take whole numbers, CAST(x AS BIGINT)";
                    self.refuse(Code::MissingBounds, "group", message)
                })?;
                Ok(Call { kind: FoldKind::FixedSum(Lattice::for_values(magnitude)), ..call })
            }
            (FoldKind::Min | FoldKind::Max, Type::Float) => Err(self
                .unsupported("group", "a per-unit MIN or MAX of DOUBLE values is not supported: CAST to BIGINT first")),
            (kind @ (FoldKind::Mode | FoldKind::Histogram(_)), _) => {
                let name = kind.name();
                Err(self.unsupported(name, format!("{name} within one privacy unit is not supported")))
            }
            (FoldKind::Statistic(statistic), _) => {
                let message = format!(
                    "{} within one privacy unit is not supported: it follows from SUM(x), SUM(x * x) and COUNT(x) per unit",
                    statistic.name()
                );
                Err(self.unsupported("group", message))
            }
            _ => Ok(call),
        }
    }

    /// A mean per unit is a sum over a count.
    fn unit_mean(
        &self,
        at: usize,
        relation: Relation,
        scope: &Scope,
        keys: Vec<(Expr, Type)>,
        mut calls: Vec<Call>,
        names: &[&str],
    ) -> Result<Lowered> {
        let Call { of, ty, .. } = calls.remove(at);
        self.spend(of.size())?;
        // The planner turns whole numbers into fractions; their sum is exact without.
        let (of, ty) = match of {
            Expr::Cast(inner, Type::Float) if scope.slot_of(&inner).is_some_and(|slot| slot.ty == Type::Int) => {
                (*inner, Type::Int)
            }
            of => (of, ty),
        };
        let call = |kind| Call { kind, of: of.clone(), ty, on: None, mark: None };
        calls.splice(at..at, [call(FoldKind::Sum), call(FoldKind::NonNull)]);
        let at = keys.len() + at;
        let mut longer = names.to_vec();
        longer.insert(at, names[at]);
        let Lowered { relation, scope } = self.unit_aggregate(relation, scope, keys, calls, &longer)?;
        let mut columns = scope.columns;
        let count = columns.remove(at + 1);
        let (sum, first) = (columns[at].clone(), Expr::Column(0));
        let mean = Expr::arithmetic(Arithmetic::Divide, sum.expr().cast(Type::Float), count.expr().cast(Type::Float));
        let exprs = columns.iter().enumerate().map(|(i, slot)| if i == at { mean.clone() } else { slot.expr() });
        let exprs = std::iter::once(first).chain(exprs).collect();
        let slot = |(i, slot): (usize, Slot)| match i == at {
            true => Slot::plain(i + 1, slot.name, Type::Float),
            false => Slot { index: i + 1, ..slot },
        };
        let columns: Vec<Slot> = columns.into_iter().enumerate().map(slot).collect();
        let width = columns.len() + 1;
        Ok(Lowered { relation: relation.project(exprs), scope: Scope::private(columns, width) })
    }
}

/// Over the rows that fulfil the condition alone: all aggregates skip NULL, which the others' values become.
fn filtered(call: Call, condition: Expr) -> Call {
    let (kind, of, ty) = match call.kind {
        FoldKind::Rows => (FoldKind::NonNull, Expr::Literal(Literal::Int(1)), Type::Int),
        kind => (kind, call.of, call.ty),
    };
    Call { kind, of: only_where(condition, of), ty, ..call }
}

/// The value where the condition is true, else NULL.
pub fn only_where(condition: Expr, value: Expr) -> Expr {
    Expr::Case { branches: vec![(condition, value)], otherwise: None }
}

/// -0.0 + 0.0 is 0.0: equal numbers are one.
pub fn one_zero(expr: Expr, ty: Type) -> Expr {
    match ty {
        Type::Float => Expr::arithmetic(Arithmetic::Add, expr, Expr::Literal(Literal::float(0.0))),
        _ => expr,
    }
}

/// How many of the keys the text names. DataFusion adds columns that are constant in each group, because they follow from a named
/// one that has each of its values in one row only: without them the groups are the same.
fn named_keys(group_expr: &[DfExpr], schema: &DFSchemaRef) -> Result<usize> {
    for named in 0..group_expr.len() {
        let all = add_group_by_exprs_from_dependencies(group_expr[..named].to_vec(), schema);
        if all.map_err(|e| Error::internal(e.strip_backtrace()))? == group_expr {
            return Ok(named);
        }
    }
    Ok(group_expr.len())
}

/// A quantile of numbers lies between them.
pub fn quantile_type(of: Type) -> Type {
    if of.is_numeric() { Type::Float } else { of }
}

pub fn fold_type(call: &Call) -> Type {
    match call.kind {
        FoldKind::Rows | FoldKind::NonNull | FoldKind::Distinct => Type::Int,
        FoldKind::Mean | FoldKind::Statistic(_) => Type::Float,
        FoldKind::Quantile(_) => quantile_type(call.ty),
        FoldKind::All | FoldKind::Any => Type::Bool,
        FoldKind::Histogram(_) => Type::Text,
        FoldKind::Sum | FoldKind::FixedSum(_) | FoldKind::Min | FoldKind::Max | FoldKind::Mode => call.ty,
    }
}

fn fold(call: Call) -> Fold {
    let ty = fold_type(&call);
    let of = if call.kind == FoldKind::Rows { Expr::Literal(Literal::Int(1)) } else { call.of };
    Fold { kind: call.kind, of, on: call.on, ty }
}
