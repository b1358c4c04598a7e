//! From algebra to a DataFusion plan that means the same, over a catalog of real files and released tables.
//!
//! Every relation's columns are named c0, c1, ... by position, so no name of a user or a file can be confused with
//! another. Casts and arithmetic are the total ones.

use super::functions::{STEPS, Secret, apply, arithmetic, call, cast, quantise, rank, value};
use super::quantile::quantile;
use super::window::{window, with_window};
use crate::algebra::{
    Clamp, Comparison, Direction, Expr, Fold, FoldKind, JoinKind, Relation, SortKey, Statistic, TableId, Type,
};
use crate::catalog::{Dataset, Protection, arrow_type, literal_value};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, JoinConstraint, JoinType, NullEquality, internal_err};
use datafusion::datasource::{TableProvider, provider_as_source};
use datafusion::error::Result;
use datafusion::functions::math::expr_fn::floor;
use datafusion::functions_aggregate::bool_and_or::{bool_and, bool_or};
use datafusion::functions_aggregate::correlation::corr_udaf;
use datafusion::functions_aggregate::covariance::{covar_pop_udaf, covar_samp_udaf};
use datafusion::functions_aggregate::expr_fn::{avg, count, count_distinct, max, min, sum};
use datafusion::functions_aggregate::regr::{
    regr_intercept_udaf, regr_r2_udaf, regr_slope_udaf, regr_sxx_udaf, regr_sxy_udaf,
};
use datafusion::functions_aggregate::stddev::{stddev_pop_udaf, stddev_udaf};
use datafusion::functions_aggregate::variance::{var_pop_udaf, var_samp_udaf};
use datafusion::functions_window::row_number::row_number;
use datafusion::logical_expr::expr::{Case, Sort as DfSort};
use datafusion::logical_expr::logical_plan::{Join, Sort};
use datafusion::logical_expr::{
    AggregateUDF, EmptyRelation, Expr as DfExpr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, Operator, TryCast,
    binary_expr, lit,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What plans read: the dataset's files, and the tables that earlier releases made.
pub struct Sources<'a> {
    pub dataset: &'a Dataset,
    pub released: &'a [Arc<dyn TableProvider>],
    /// What was computed of `Query::fixed`, by position.
    pub fixed: &'a BTreeMap<usize, Arc<dyn TableProvider>>,
    pub secret: Secret,
}

/// The name of a column by position.
pub fn name(i: usize) -> String {
    format!("c{i}")
}

/// A column of the relation under a plan node.
pub fn column(i: usize) -> DfExpr {
    named(&name(i))
}

pub fn named(name: &str) -> DfExpr {
    DfExpr::Column(Column::new_unqualified(name))
}

fn try_cast(expr: DfExpr, ty: DataType) -> DfExpr {
    DfExpr::TryCast(TryCast::new(Box::new(expr), ty))
}

/// `exprs` as the columns c0, c1, ... of a new relation.
pub fn project(plan: LogicalPlanBuilder, exprs: impl IntoIterator<Item = DfExpr>) -> Result<LogicalPlanBuilder> {
    plan.project(exprs.into_iter().enumerate().map(|(i, e)| e.alias(name(i))).collect::<Vec<_>>())
}

impl Sources<'_> {
    pub fn plan(&self, relation: &Relation) -> Result<LogicalPlanBuilder> {
        match relation {
            Relation::Public { table, columns } => {
                let (plan, exprs) = self.scan(*table, columns)?;
                project(plan, exprs)
            }
            Relation::Protected { table, columns } => self.protected(*table, columns),
            Relation::Released(id) => whole(format!("released{id}"), self.released.get(*id)),
            Relation::Fixed(id) => whole(format!("fixed{id}"), self.fixed.get(id)),
            Relation::Rows { types, rows } if types.is_empty() => {
                let empty = EmptyRelation { produce_one_row: !rows.is_empty(), schema: Arc::new(DFSchema::empty()) };
                Ok(LogicalPlanBuilder::new(LogicalPlan::EmptyRelation(empty)))
            }
            Relation::Rows { types, rows } => {
                let plan = LogicalPlanBuilder::values(
                    rows.iter().map(|row| row.iter().map(|e| scalar(e, &column)).collect()).collect(),
                )?;
                let columns = plan.schema().columns();
                project(plan, columns.into_iter().zip(types).map(|(c, ty)| cast(DfExpr::Column(c), *ty)))
            }
            Relation::Filter { input, predicate } => self.plan(input)?.filter(scalar(predicate, &column)),
            Relation::Project { input, exprs } => project(self.plan(input)?, exprs.iter().map(|e| scalar(e, &column))),
            Relation::Join { left, right, kind, on, filter } => self.join(left, right, *kind, on, filter.as_ref()),
            Relation::Aggregate { input, keys, folds } => aggregate(self.plan(input)?, keys, folds),
            Relation::Window { input, call } => window(self.plan(input)?, call),
            Relation::Cap { input, rows } => self.cap(input, *rows),
            Relation::Sort { input, keys } => sort(self.plan(input)?, keys, None),
            Relation::Limit { input, skip, fetch } => match (input.as_ref(), fetch) {
                // One operator: the physical rules may move a sort across a limit, but not one that has its own.
                (Relation::Sort { input, keys }, Some(fetch)) => {
                    sort(self.plan(input)?, keys, Some(skip.saturating_add(*fetch)))?.limit(*skip, Some(*fetch))
                }
                _ => self.plan(input)?.limit(*skip, *fetch),
            },
            Relation::Union(inputs) => {
                let mut plans = inputs.iter().map(|input| self.plan(input));
                let first = plans.next().unwrap_or_else(|| internal_err!("a union of nothing"))?;
                plans.try_fold(first, |all, next| all.union(next?.build()?))
            }
        }
    }

    /// A table's files, and an expression for each wanted column in its canonical type.
    fn scan(&self, table: TableId, columns: &[usize]) -> Result<(LogicalPlanBuilder, Vec<DfExpr>)> {
        let table = &self.dataset.tables[table];
        let schema = table.source.schema();
        let wanted = || columns.iter().map(|c| &table.columns[*c]);
        let mut read: Vec<usize> = wanted().map(|c| c.source_index).collect();
        read.sort_unstable();
        read.dedup();
        let plan =
            LogicalPlanBuilder::scan(table.name.as_str(), provider_as_source(table.source.provider()), Some(read))?;
        let cast = |c: &crate::catalog::Column| {
            let file = Column::new(Some(table.name.as_str()), schema.field(c.source_index).name());
            cast(DfExpr::Column(file), c.ty)
        };
        Ok((plan, wanted().map(cast).collect()))
    }

    /// The unit in column 0, then the wanted columns; rows without a unit are gone.
    fn protected(&self, table: TableId, columns: &[usize]) -> Result<LogicalPlanBuilder> {
        let plan = match self.dataset.tables[table].protection {
            Protection::Public => return internal_err!("a public table was read as a protected one"),
            Protection::Unit { column } => {
                let all: Vec<usize> = std::iter::once(column).chain(columns.iter().copied()).collect();
                let (plan, exprs) = self.scan(table, &all)?;
                project(plan, exprs)?
            }
            Protection::Parent { column: link, parent, parent_key } => {
                // Each parent key is unique in these files (verified when they were opened), so a row meets one parent.
                let all: Vec<usize> = std::iter::once(link).chain(columns.iter().copied()).collect();
                let (child, exprs) = self.scan(table, &all)?;
                let child = side(project(child, exprs)?, "l")?;
                let parents = side(self.protected(parent, &[parent_key])?, "r")?;
                let joined = join(child, parents, JoinType::Inner, vec![(named("l0"), named("r1"))], None)?;
                project(
                    joined,
                    std::iter::once(named("r0")).chain((0..columns.len()).map(|i| named(&format!("l{}", i + 1)))),
                )?
            }
        };
        plan.filter(column(0).is_not_null())
    }

    fn join(
        &self,
        left: &Relation,
        right: &Relation,
        kind: JoinKind,
        on: &[(Expr, Expr)],
        filter: Option<&Expr>,
    ) -> Result<LogicalPlanBuilder> {
        let (left, right) = (side(self.plan(left)?, "l")?, side(self.plan(right)?, "r")?);
        let left_width = left.schema().fields().len();
        let of_left = |i: usize| named(&format!("l{i}"));
        let of_right = |i: usize| named(&format!("r{i}"));
        let of_both = |i: usize| if i < left_width { of_left(i) } else { of_right(i - left_width) };
        let on = on.iter().map(|(l, r)| (scalar(l, &of_left), scalar(r, &of_right))).collect();
        let kind = match kind {
            JoinKind::Inner => JoinType::Inner,
            JoinKind::Left => JoinType::Left,
            JoinKind::Full => JoinType::Full,
            JoinKind::Semi => JoinType::LeftSemi,
            JoinKind::Anti => JoinType::LeftAnti,
        };
        let joined = join(left, right, kind, on, filter.map(|e| scalar(e, &of_both)))?;
        let width = joined.schema().fields().len();
        project(joined, (0..width).map(of_both))
    }

    fn cap(&self, input: &Relation, rows: u64) -> Result<LogicalPlanBuilder> {
        let plan = self.plan(input)?;
        let width = plan.schema().fields().len();
        let all = || (0..width).map(column);
        keep_first(plan, rank(self.secret, all().collect()), all().collect(), rows)
    }
}

/// All of a table that the question made before.
fn whole(name: String, table: Option<&Arc<dyn TableProvider>>) -> Result<LogicalPlanBuilder> {
    let Some(table) = table else { return internal_err!("a table is read before it is made") };
    let plan = LogicalPlanBuilder::scan(name, provider_as_source(table.clone()), None)?;
    let columns = plan.schema().columns();
    project(plan, columns.into_iter().map(DfExpr::Column))
}

/// At most `most` rows per unit (c0): those of the least `rank`, ties in the order of `columns`, all of which are kept.
pub fn keep_first(
    plan: LogicalPlanBuilder,
    rank: DfExpr,
    columns: Vec<DfExpr>,
    most: u64,
) -> Result<LogicalPlanBuilder> {
    let kept = columns.clone();
    let ranked = plan.project(columns.iter().cloned().chain([rank.alias("rank")]))?;
    let order = std::iter::once(named("rank")).chain(columns).map(|e| e.sort(true, true)).collect();
    let number = row_number().partition_by(vec![column(0)]).order_by(order).build()?;
    let (numbered, place) = with_window(ranked, number)?;
    numbered.filter(place.lt_eq(lit(most)))?.project(kept)
}

/// The relation with its columns renamed to `prefix`0, `prefix`1, ...
fn side(plan: LogicalPlanBuilder, prefix: &str) -> Result<LogicalPlanBuilder> {
    let width = plan.schema().fields().len();
    plan.project((0..width).map(|i| column(i).alias(format!("{prefix}{i}"))))
}

fn join(
    left: LogicalPlanBuilder,
    right: LogicalPlanBuilder,
    kind: JoinType,
    on: Vec<(DfExpr, DfExpr)>,
    filter: Option<DfExpr>,
) -> Result<LogicalPlanBuilder> {
    let (left, right) = (Arc::new(left.build()?), Arc::new(right.build()?));
    let nulls = NullEquality::NullEqualsNothing;
    let join = Join::try_new(left, right, on, filter, kind, JoinConstraint::On, nulls, false)?;
    Ok(LogicalPlanBuilder::new(LogicalPlan::Join(join)))
}

fn aggregate(plan: LogicalPlanBuilder, keys: &[Expr], folds: &[Fold]) -> Result<LogicalPlanBuilder> {
    let key_name = |i: usize| format!("k{i}");
    let argument = |i: usize| format!("a{i}");
    let other = |i: usize| format!("b{i}");
    let keyed = keys.iter().enumerate().map(|(i, e)| scalar(e, &column).alias(key_name(i)));
    let arguments = folds.iter().enumerate().map(|(i, f)| scalar(&f.of, &column).alias(argument(i)));
    let others = folds.iter().enumerate().filter_map(|(i, f)| Some(scalar(f.on.as_ref()?, &column).alias(other(i))));
    let plan = plan.project(keyed.chain(arguments).chain(others).collect::<Vec<_>>())?;
    let fold = |(i, f): (usize, &Fold)| {
        let on = f.on.as_ref().map(|_| named(&other(i)));
        folded(f.kind, f.ty, named(&argument(i)), on).alias(format!("f{i}"))
    };
    let plan = plan.aggregate(
        (0..keys.len()).map(|i| named(&key_name(i))),
        folds.iter().enumerate().map(fold).collect::<Vec<_>>(),
    )?;
    let results = folds.iter().enumerate().map(|(i, f)| result(f.kind, f.ty, named(&format!("f{i}"))));
    project(plan, (0..keys.len()).map(|i| named(&key_name(i))).chain(results).collect::<Vec<_>>())
}

/// An aggregate whose result is what [`result`] makes of it: sums of whole numbers and of lattice steps are of 128 bits.
pub fn folded(kind: FoldKind, ty: Type, value: DfExpr, on: Option<DfExpr>) -> DfExpr {
    match kind {
        FoldKind::Rows | FoldKind::NonNull => count(value),
        FoldKind::Distinct => count_distinct(value),
        FoldKind::Sum if ty == Type::Int => sum(try_cast(value, STEPS)),
        FoldKind::Sum => sum(value),
        FoldKind::FixedSum(lattice) => sum(quantise(&Clamp::unbounded(lattice), value)),
        FoldKind::Mean => avg(try_cast(value, DataType::Float64)),
        FoldKind::Min => min(value),
        FoldKind::Max => max(value),
        // Lowering gives it to releases alone.
        FoldKind::Mode | FoldKind::Histogram(_) => max(value),
        FoldKind::All => bool_and(value),
        FoldKind::Any => bool_or(value),
        FoldKind::Quantile(fraction) => {
            let number = if ty == Type::Float { value } else { try_cast(value, DataType::Int64) };
            quantile(fraction, try_cast(number, DataType::Float64))
        }
        FoldKind::Statistic(statistic) => {
            let arguments = match statistic {
                Statistic::SumOfSquares => vec![value.clone(), value],
                _ => std::iter::once(value).chain(on).collect(),
            };
            statistic_of_rows(statistic).call(arguments)
        }
    }
}

/// DataFusion's own, of doubles.
fn statistic_of_rows(statistic: Statistic) -> Arc<AggregateUDF> {
    match statistic {
        Statistic::VarPop => var_pop_udaf(),
        Statistic::VarSamp => var_samp_udaf(),
        Statistic::StddevPop => stddev_pop_udaf(),
        Statistic::StddevSamp => stddev_udaf(),
        Statistic::CovarPop => covar_pop_udaf(),
        Statistic::CovarSamp => covar_samp_udaf(),
        Statistic::Corr => corr_udaf(),
        Statistic::Slope => regr_slope_udaf(),
        Statistic::Intercept => regr_intercept_udaf(),
        Statistic::R2 => regr_r2_udaf(),
        Statistic::SumOfProducts => regr_sxy_udaf(),
        // Of each value beside itself.
        Statistic::SumOfSquares => regr_sxx_udaf(),
    }
}

/// An aggregate's value in its own type.
pub fn result(kind: FoldKind, ty: Type, folded: DfExpr) -> DfExpr {
    match kind {
        FoldKind::FixedSum(lattice) => value(lattice, folded),
        // The day or microsecond in which it falls.
        FoldKind::Quantile(_) if ty != Type::Float => {
            let whole = try_cast(floor(folded), if ty == Type::Date { DataType::Int32 } else { DataType::Int64 });
            try_cast(whole, arrow_type(ty))
        }
        _ => cast(folded, ty),
    }
}

/// The node itself: the builder would look for the keys among the expressions below, where a name means another column.
fn sort(plan: LogicalPlanBuilder, keys: &[SortKey], fetch: Option<usize>) -> Result<LogicalPlanBuilder> {
    let (expr, input) = (keys.iter().map(sort_key).collect(), Arc::new(plan.build()?));
    Ok(LogicalPlanBuilder::new(LogicalPlan::Sort(Sort { expr, input, fetch })))
}

pub fn sort_key(key: &SortKey) -> DfSort {
    scalar(&key.expr, &column).sort(key.direction == Direction::Ascending, key.nulls_first)
}

/// A scalar expression; `position` names the columns that it reads.
pub fn scalar(expr: &Expr, position: &impl Fn(usize) -> DfExpr) -> DfExpr {
    let boxed = |e: &Expr| Box::new(scalar(e, position));
    match expr {
        Expr::Column(i) => position(*i),
        Expr::Literal(l) => DfExpr::Literal(literal_value(l), None),
        Expr::All(parts) => balanced(parts, Operator::And, true, position),
        Expr::Any(parts) => balanced(parts, Operator::Or, false, position),
        Expr::Not(e) => DfExpr::Not(boxed(e)),
        Expr::IsNull(e) => DfExpr::IsNull(boxed(e)),
        Expr::Compare(op, l, r) => {
            let op = match op {
                Comparison::Eq => Operator::Eq,
                Comparison::NotEq => Operator::NotEq,
                Comparison::Less => Operator::Lt,
                Comparison::LessEq => Operator::LtEq,
                Comparison::Greater => Operator::Gt,
                Comparison::GreaterEq => Operator::GtEq,
            };
            binary_expr(scalar(l, position), op, scalar(r, position))
        }
        Expr::Arithmetic(op, l, r) => arithmetic(*op, scalar(l, position), scalar(r, position)),
        Expr::Case { branches, otherwise } => DfExpr::Case(Case::new(
            None,
            branches.iter().map(|(when, then)| (boxed(when), boxed(then))).collect(),
            otherwise.as_ref().map(|e| boxed(e)),
        )),
        Expr::Cast(e, ty) => cast(scalar(e, position), *ty),
        Expr::Apply(function, e) => apply(function.clone(), scalar(e, position)),
        Expr::Call(function, args) => call(*function, args.iter().map(|e| scalar(e, position)).collect()),
    }
}

/// A tree of logarithmic depth, so that a long list cannot exhaust a stack; `empty` is the value of no operands.
fn balanced(parts: &[Expr], op: Operator, empty: bool, position: &impl Fn(usize) -> DfExpr) -> DfExpr {
    match parts {
        [] => lit(empty),
        [only] => scalar(only, position),
        many => {
            let (left, right) = many.split_at(many.len() / 2);
            binary_expr(balanced(left, op, empty, position), op, balanced(right, op, empty, position))
        }
    }
}
