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
//! *Private keys* have no cells: rows are grouped by the keys themselves, those of a key with public values only where they are
//! among them, and the canonical bytes of the keys are hashed. Step 3 is always done. Where keys are selected by weight, a unit adds
//! 1/sqrt(j) to each of the j keys that it keeps in the place of step 4's count.

use super::build::{Sources, column, keep_first, named, scalar};
use super::functions::{STEPS, cell, clamp, quantise, rank, spread, weigh};
use super::window::with_window;
use crate::algebra::{Measure, Quantity};
use crate::mechanism::{Calibrated, Selection};
use datafusion::error::Result;
use datafusion::functions_aggregate::count::count_all_window;
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, TryCast, lit, when};

/// A plan with columns `cell` (or k0, k1, ... where keys are private) and m0, m1, ...: one row per group that has any unit.
pub fn bounded(calibrated: &Calibrated, sources: &Sources) -> Result<LogicalPlan> {
    let release = &calibrated.release;
    let measures = || release.measures.iter().enumerate();
    let value = |i: usize| format!("v{i}");
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
    let mut row = vec![column(0).alias("c0"), number.alias("cell")];
    let group: Vec<String> = match release.cells() {
        Some(_) => vec!["cell".into()],
        None => (0..release.keys.len()).map(|i| format!("k{i}")).collect(),
    };
    if release.cells().is_none() {
        row.extend(group.iter().enumerate().map(|(i, name)| key(i).alias(name)));
    }
    let group = || group.iter().map(|name| named(name));
    let unit_and_group = || std::iter::once(column(0)).chain(group());
    for (i, measure) in measures() {
        row.push(match &measure.of {
            Quantity::Rows | Quantity::Units => lit(1i64).alias(value(i)),
            // Not the value itself: a batch would hold all of them.
            Quantity::NonNull(of) => when(scalar(of, &column).is_not_null(), lit(1i64)).end()?.alias(value(i)),
            Quantity::Sum { of, .. } => quantise(&calibrated.clamps[i], scalar(of, &column)).alias(value(i)),
        });
    }
    let rows = input.project(row)?.filter(named("cell").is_not_null())?;

    let totals = measures().map(|(i, measure)| {
        let value = named(&value(i));
        let total = match measure.of {
            Quantity::Rows | Quantity::Units | Quantity::NonNull(_) => count(value),
            Quantity::Sum { .. } => sum(value),
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

    let kept = if calibrated.cells.is_none_or(|cells| calibrated.contribution.groups < cells) {
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
        Selection::Public | Selection::Threshold { .. } | Selection::KeysOnly { .. } => kept,
    };

    let clamped = measures().map(|(i, _)| clamp(&calibrated.clamps[i], named(&format!("t{i}"))).alias(format!("b{i}")));
    let bounded = kept.project(group().chain(clamped).collect::<Vec<_>>())?;
    let sums = measures().map(|(i, _)| sum(named(&format!("b{i}"))).alias(format!("m{i}"))).collect::<Vec<_>>();
    let steps = |i: usize| {
        let sum = named(&format!("m{i}"));
        Expr::TryCast(TryCast::new(Box::new(sum), STEPS)).alias(format!("m{i}"))
    };
    bounded
        .aggregate(group().collect::<Vec<_>>(), sums)?
        .project(group().chain(measures().map(|(i, _)| steps(i))).collect::<Vec<_>>())?
        .build()
}
