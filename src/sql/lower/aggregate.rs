//! Aggregates: over public rows, per unit, and across units. The last is a release, the only way out of privacy.

use super::super::aggregates::QUANTILES;
use super::super::marks::{MAX_BOUND, Mark};
use super::Lowering;
use super::expr::not;
use super::quantile::{Read, is_ordered, named_quantile};
use super::relation::withheld;
use super::scope::{Ends, Lowered, Noise, Scope, Slot, UNREAD};
use super::statistic::named_statistic;
use crate::algebra::{
    Arithmetic, Bounds, Domain, Expr, Fold, FoldKind, Fraction, Key, Literal, Measure, Output, Quantity, Relation,
    Release, Type, bounds,
};
use crate::error::{Code, Error, Result};
use crate::mechanism::MAX_KEYS;
use crate::num::{Amount, Lattice};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::logical_plan::Aggregate;
use datafusion::logical_expr::logical_plan::builder::add_group_by_exprs_from_dependencies;
use datafusion::logical_expr::{Expr as DfExpr, LogicalPlan};

/// Most groups of one release.
const MAX_CELLS: usize = 1_000_000;

/// Most lists of values that are made for one release: planning it takes time for each pair of them.
const MAX_LISTS: usize = 12;

/// Most measures behind one output.
const MAX_PARTS: usize = 6;

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
        let mut lists = Vec::new();
        for listed in measures.iter().filter_map(|measure| measure.of.listed()) {
            if !lists.contains(&listed) {
                lists.push(listed);
            }
        }
        if lists.len() > MAX_LISTS {
            let message = format!(
                "one SELECT has COUNT(DISTINCT), MIN, MAX, MODE and quantiles of at most {MAX_LISTS} different expressions: ask for some of them in another question"
            );
            return Err(self.unsupported("select", message));
        }
        // Each has the input for itself.
        self.spend(nodes.saturating_mul(lists.len()))?;
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
        let own = |of: Quantity, per_group| Measure { of, per_group, epsilon: epsilon(1) };
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
                let part = |of: Quantity| Measure { of, per_group: None, epsilon: epsilon(parts) };
                self.statistic(statistic, (of, on), scope, mark.as_ref(), &mut |of| measure(measures, part(of)))
            }
            // Per unit alone.
            FoldKind::FixedSum(_) => Err(Error::internal("a fixed sum across units")),
            FoldKind::Sum => {
                let bounds = self.row_bounds(&of, scope, "sum", mark.as_ref())?;
                self.check_sum(per_group, bounds)?;
                let whole = ty == Type::Int;
                let sum = own(Quantity::Sum { of, bounds, whole, centred: false }, per_group);
                Ok(Output::Sum { sum: measure(measures, sum), whole })
            }
            FoldKind::Mean => {
                let bounds = self.row_bounds(&of, scope, "avg", mark.as_ref())?;
                self.check_mean(per_group, bounds)?;
                let half = |of: Quantity, per_group| Measure { of, per_group, epsilon: epsilon(2) };
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
                let part = |of, parts| Measure { of, per_group: None, epsilon: epsilon(parts) };
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

/// A quantile of numbers lies between them.
fn quantile_type(of: Type) -> Type {
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
