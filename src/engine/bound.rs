//! The bounding of contributions: from a private relation to one bounded integer per measure and group.
//!
//! 1. each row gets its cell (the number of its group; rows outside the public keys are dropped) and its values in lattice steps;
//! 2. rows are added up per (unit, cell); the sum behind a mean is weighed down to m rows where there are more, so that it and
//!    the count below it, which is clamped to m, keep the unit's own mean;
//! 3. a unit keeps at most k cells, the least of a keyed hash: a uniform sample that depends on its own rows alone;
//! 4. what it adds to each kept cell is clamped;
//! 5. cells are added up over units.
//!
//! All sums are of integers in 128 bits and cannot overflow, so the result is the same whatever the order of rows, the
//! number of partitions and the batch size. After step 4 a unit moves at most k cells, each by at most C: the sensitivity that
//! `algebra::Sensitivity` claims, whatever the input's multiplicity was.
//!
//! The cell, not the key's own bytes, is hashed in step 3: it is a function of the key and of public key sets alone.
//!
//! *Distinct values* are counted beside that, from rows of their own: each (unit, cell, value) once, of them the cells of step 3 and at
//! most m values per unit and cell, again the least of a keyed hash; then each (cell, value) once. What a unit that comes or goes adds
//! to or takes from the union of a cell's values is among its own, so k cells move, each by at most m.
//!
//! *Values among which a quantile is chosen* are bounded in the same way, but for equal ones: each of a unit's rows is one, so that m of
//! them are a uniform sample of its rows, and a group has a list of values. The least and the greatest are those of each unit's own,
//! of which it has one.
//!
//! *Private keys* have no cells: rows are grouped by the keys themselves, those of a key with public values only where they are
//! among them, and the canonical bytes of the keys are hashed. Step 3 is always done. Where keys are selected by weight, a unit adds
//! 1/sqrt(j) to each of the j keys that it keeps in the place of step 4's count.

use super::build::{Sources, column, keep_first, named, scalar};
use super::functions::{STEPS, cell, clamp, quantise, rank, spread, weigh};
use super::window::with_window;
use crate::algebra::{Domain, Expr as BoundExpr, Key, Literal, Measure, Quantity, Take, Type, lists};
use crate::mechanism::{Calibrated, Selection};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{JoinConstraint, JoinType, NullEquality};
use datafusion::error::Result;
use datafusion::functions_aggregate::count::count_all_window;
use datafusion::functions_aggregate::expr_fn::{array_agg, count, max, min, sum};
use datafusion::functions_window::rank::dense_rank;
use datafusion::functions_window::row_number::row_number;
use datafusion::logical_expr::logical_plan::Join;
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, TryCast, lit, when};
use std::sync::Arc;

/// The rows of a release: the unit, the cell, the keys where these are private, and a value for each measure.
pub struct Rows {
    pub plan: LogicalPlanBuilder,
    /// All but the values, as they are made.
    named_row: Vec<Expr>,
    /// The columns by which rows are grouped.
    group_names: Vec<String>,
}

/// Step 1 of the bounding.
pub fn rows(calibrated: &Calibrated, sources: &Sources) -> Result<Rows> {
    let release = &calibrated.release;
    let measures = || release.measures.iter().enumerate();
    let input = sources.plan(&release.input)?;

    let key = |i: usize| scalar(&release.keys[i].expr, &column);
    let public: Vec<usize> = (0..release.keys.len()).filter(|i| release.keys[*i].domain.is_some()).collect();
    // The number of the row's group among those of the public values; NULL where it is outside them.
    let number = match public.as_slice() {
        [] => lit(0u64),
        some => cell(
            &some.iter().map(|i| release.keys[*i].clone()).collect::<Vec<_>>(),
            some.iter().map(|i| key(*i)).collect(),
        )?,
    };
    let mut named_row = vec![column(0).alias("c0"), number.alias("cell")];
    let group_names: Vec<String> = match release.cells() {
        Some(_) => vec!["cell".into()],
        None => (0..release.keys.len()).map(|i| format!("k{i}")).collect(),
    };
    if release.cells().is_none() {
        named_row.extend(group_names.iter().enumerate().map(|(i, name)| key(i).alias(name)));
    }
    let mut row = named_row.clone();
    for (i, measure) in measures() {
        row.push(match &measure.of {
            Quantity::Rows
            | Quantity::Units
            | Quantity::Distinct(_)
            | Quantity::Quantile { .. }
            | Quantity::Ranks { .. }
            | Quantity::Mode { .. }
            | Quantity::Histogram { .. } => lit(1i64).alias(value(i)),
            // Not the value itself: a batch would hold all of them.
            Quantity::NonNull(of) => when(scalar(of, &column).is_not_null(), lit(1i64)).end()?.alias(value(i)),
            Quantity::Sum { of, .. } => quantise(&calibrated.clamps[i], scalar(of, &column)).alias(value(i)),
        });
    }
    let plan = input.project(row)?.filter(named("cell").is_not_null())?;
    Ok(Rows { plan, named_row, group_names })
}

/// The value of a measure in a row.
fn value(i: usize) -> String {
    format!("v{i}")
}

/// A plan with columns `cell` (or k0, k1, ... where keys are private) and m0, m1, ...: one row per group that has any unit.
pub fn bounded(calibrated: &Calibrated, sources: &Sources) -> Result<LogicalPlan> {
    let release = &calibrated.release;
    let measures = || release.measures.iter().enumerate();
    let Rows { plan: rows, named_row, group_names } = rows(calibrated, sources)?;
    let group = || group_names.iter().map(|name| named(name));
    let unit_and_group = || std::iter::once(column(0)).chain(group());
    let totals = measures().map(|(i, measure)| {
        let value = named(&value(i));
        let total = match measure.of {
            Quantity::Sum { .. } => sum(value),
            _ => count(value),
        };
        total.alias(format!("t{i}"))
    });
    // The rows behind each centred sum, for its weight.
    let is_centred = |measure: &Measure| matches!(measure.of, Quantity::Sum { centred: true, .. });
    let counts = measures().filter(|(_, m)| is_centred(m)).map(|(i, _)| count(named(&value(i))).alias(format!("n{i}")));
    let summed = rows.aggregate(unit_and_group().collect::<Vec<_>>(), totals.chain(counts).collect::<Vec<_>>())?;
    let weighed = measures().map(|(i, measure)| {
        let total = named(&format!("t{i}"));
        match is_centred(measure) {
            true => {
                let count = named(&format!("n{i}"));
                weigh(&calibrated.clamps[i], calibrated.contribution.rows, total, count).alias(format!("t{i}"))
            }
            false => total,
        }
    });
    let per_unit = summed.project(unit_and_group().chain(weighed).collect::<Vec<_>>())?;

    let kept = if is_sampled(calibrated) {
        // Two totals of one unit differ in their group, so the order is total without the values.
        let columns = unit_and_group().chain(measures().map(|(i, _)| named(&format!("t{i}"))));
        let rank = rank(sources.secret, unit_and_group().collect());
        keep_first(per_unit, rank, columns.collect(), calibrated.contribution.groups)?
    } else {
        per_unit
    };

    let kept = match calibrated.selection {
        // How many keys the unit has kept.
        Selection::Weighted { .. } => {
            let number = count_all_window().partition_by(vec![column(0)]).build()?;
            let (counted, keys) = with_window(kept, number)?;
            counted.project(group().chain([spread(keys).alias("t0")]).collect::<Vec<_>>())?
        }
        Selection::Public | Selection::Threshold { .. } | Selection::Shown { .. } | Selection::KeysOnly { .. } => kept,
    };

    let clamped = measures().map(|(i, _)| clamp(&calibrated.clamps[i], named(&format!("t{i}"))).alias(format!("b{i}")));
    let bounded = kept.project(group().chain(clamped).collect::<Vec<_>>())?;
    let sums = measures().map(|(i, _)| sum(named(&format!("b{i}"))).alias(format!("m{i}"))).collect::<Vec<_>>();
    let steps = |i: usize| {
        let sum = named(&format!("m{i}"));
        Expr::TryCast(TryCast::new(Box::new(sum), STEPS)).alias(format!("m{i}"))
    };
    let mut summed = bounded
        .aggregate(group().collect::<Vec<_>>(), sums)?
        .project(group().chain(measures().map(|(i, _)| steps(i))).collect::<Vec<_>>())?;
    for (first, listed) in lists(&release.measures) {
        let measure = &release.measures[first];
        let of = match &measure.of {
            Quantity::Mode { of, values } | Quantity::Histogram { of, values } => number_among(of, values)?,
            _ => scalar(listed.of, &column),
        };
        let values = match measure.of.is_list() {
            true => {
                let of = quantise(&calibrated.clamps[first], of);
                let most = measure.of.most_values(calibrated.contribution.rows);
                let values = Values { of, take: listed.take, most };
                let kept = kept_values(calibrated, sources, named_row.clone(), &group_names, values)?;
                kept.aggregate(group().collect::<Vec<_>>(), vec![array_agg(named("x")).alias("d")])?
            }
            false => {
                let values = Values { of, take: listed.take, most: calibrated.contribution.rows };
                let kept = kept_values(calibrated, sources, named_row.clone(), &group_names, values)?;
                let union = kept.aggregate(group().chain([named("x")]).collect::<Vec<_>>(), Vec::<Expr>::new())?;
                union.aggregate(group().collect::<Vec<_>>(), vec![count(named("x")).alias("d")])?
            }
        };
        let values =
            values.project(group().enumerate().map(|(at, e)| e.alias(format!("g{at}"))).chain([named("d")]))?;
        let on = group().zip((0..group_names.len()).map(|at| named(&format!("g{at}")))).collect();
        let (left, right) = (Arc::new(summed.build()?), Arc::new(values.build()?));
        let (left_join, by, nulls) = (JoinType::Left, JoinConstraint::On, NullEquality::NullEqualsNull);
        let joined = Join::try_new(left, right, on, None, left_join, by, nulls, false)?;
        let found = match measure.of.is_list() {
            true => named("d"),
            false => {
                let counted = when(named("d").is_null(), lit(0i64)).otherwise(named("d"))?;
                Expr::TryCast(TryCast::new(Box::new(counted), STEPS))
            }
        };
        let column = |j: usize| {
            let same = release.measures[j].of.listed() == Some(listed);
            let value = if same { found.clone() } else { named(&format!("m{j}")) };
            value.alias(format!("m{j}"))
        };
        summed = LogicalPlanBuilder::new(LogicalPlan::Join(joined))
            .project(group().chain((0..release.measures.len()).map(column)).collect::<Vec<_>>())?;
    }
    summed.build()
}

/// The number of a value among public ones; NULL where it is none of them.
fn number_among(of: &BoundExpr, values: &Domain) -> Result<Expr> {
    let ty = values.first().map_or(Type::Text, Literal::ty);
    let number = cell(&[Key { expr: of.clone(), ty, domain: Some(values.clone()) }], vec![scalar(of, &column)])?;
    Ok(Expr::TryCast(TryCast::new(Box::new(number), DataType::Int64)))
}

/// Whether a unit may be in more groups than are kept.
pub fn is_sampled(calibrated: &Calibrated) -> bool {
    calibrated.cells.is_none_or(|cells| calibrated.contribution.groups < cells)
}

/// An expression over a release's input.
struct Values {
    of: Expr,
    take: Take,
    /// Values of one unit in one group.
    most: u64,
}

/// The values `x` of each group that count: of a unit in the groups that it keeps, so many as it may have rows. `row` has the unit, the
/// cell and the group.
fn kept_values(
    calibrated: &Calibrated,
    sources: &Sources,
    row: Vec<Expr>,
    group: &[String],
    values: Values,
) -> Result<LogicalPlanBuilder> {
    let most_groups = calibrated.contribution.groups;
    let group = || group.iter().map(|name| named(name));
    let unit_and_group = || std::iter::once(column(0)).chain(group());
    // `o` tells equal values apart.
    let all = || unit_and_group().chain([named("x"), named("o")]);
    let of_one = || unit_and_group().chain([named("x")]).collect::<Vec<_>>();
    let ascending = |e: Expr| e.sort(true, true);
    let rows = sources.plan(&calibrated.release.input)?;
    let rows = rows.project(row.into_iter().chain([values.of.alias("x")]))?.filter(named("cell").is_not_null())?;
    let one = |value: Expr| [value.alias("x"), lit(0u64).alias("o")];
    let of_unit = |rows: LogicalPlanBuilder, value: Expr| {
        let reduced = rows.aggregate(unit_and_group().collect::<Vec<_>>(), vec![value.alias("e")])?;
        reduced.project(unit_and_group().chain(one(named("e"))))
    };
    let listed = match values.take {
        Take::Least => of_unit(rows, min(named("x")))?,
        Take::Greatest => of_unit(rows, max(named("x")))?,
        Take::Distinct => {
            rows.aggregate(of_one(), Vec::<Expr>::new())?.project(unit_and_group().chain(one(named("x"))))?
        }
        Take::Rows => {
            let place = row_number().partition_by(of_one()).order_by(vec![ascending(named("x"))]).build()?;
            let (numbered, place) = with_window(rows, place)?;
            numbered.project(unit_and_group().chain([named("x"), place.alias("o")]))?
        }
    };
    let ranked = listed.project(all().chain([
        rank(sources.secret, unit_and_group().collect()).alias("of_group"),
        rank(sources.secret, all().collect()).alias("of_value"),
    ]))?;
    let sampled = if is_sampled(calibrated) {
        let order = std::iter::once(named("of_group")).chain(group()).map(ascending).collect();
        let place = dense_rank().partition_by(vec![column(0)]).order_by(order).build()?;
        let (placed, place) = with_window(ranked, place)?;
        placed.filter(place.lt_eq(lit(most_groups)))?.project(all().chain([named("of_value")]))?
    } else {
        ranked
    };
    let order = ["of_value", "x", "o"].map(|name| ascending(named(name))).to_vec();
    let place = row_number().partition_by(unit_and_group().collect()).order_by(order).build()?;
    let (placed, place) = with_window(sampled.filter(named("x").is_not_null())?, place)?;
    placed.filter(place.lt_eq(lit(values.most)))?.project(group().chain([named("x")]))
}
