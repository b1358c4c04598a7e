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

use super::build::{Sources, column, keep_first, named, scalar};
use super::functions::{STEPS, cell, clamp, quantise, rank, weigh};
use crate::algebra::Measure;
use crate::mechanism::Calibrated;
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::logical_expr::{LogicalPlan, TryCast, lit};

/// A plan with columns `cell` and m0, m1, ...: one row per cell that has any unit.
pub fn bounded(calibrated: &Calibrated, sources: &Sources) -> Result<LogicalPlan> {
    let release = &calibrated.release;
    let measures = || release.measures.iter().enumerate();
    let value = |i: usize| format!("v{i}");
    let input = sources.plan(&release.input)?;

    let keys = release.keys.iter().map(|key| scalar(&key.expr, &column)).collect::<Vec<_>>();
    let number = if keys.is_empty() { lit(0u64) } else { cell(&release.keys, keys)? };
    let mut row = vec![column(0).alias("c0"), number.alias("cell")];
    for (i, measure) in measures() {
        row.push(match measure {
            Measure::Rows | Measure::Units => lit(1i64).alias(value(i)),
            Measure::NonNull(of) => scalar(of, &column).alias(value(i)),
            Measure::Sum { of, .. } => quantise(&calibrated.clamps[i], scalar(of, &column)).alias(value(i)),
        });
    }
    let rows = input.project(row)?.filter(named("cell").is_not_null())?;

    let totals = measures().map(|(i, measure)| {
        let value = named(&value(i));
        let total = match measure {
            Measure::Rows | Measure::Units | Measure::NonNull(_) => count(value),
            Measure::Sum { .. } => sum(value),
        };
        total.alias(format!("t{i}"))
    });
    // The rows behind each centred sum, for its weight.
    let is_centred = |measure: &Measure| matches!(measure, Measure::Sum { centred: true, .. });
    let counts = measures().filter(|(_, m)| is_centred(m)).map(|(i, _)| count(named(&value(i))).alias(format!("n{i}")));
    let summed = rows.aggregate(vec![column(0), named("cell")], totals.chain(counts).collect::<Vec<_>>())?;
    let weighed = measures().map(|(i, measure)| {
        let total = named(&format!("t{i}"));
        match is_centred(measure) {
            true => weigh(calibrated.contribution.rows, total, named(&format!("n{i}"))).alias(format!("t{i}")),
            false => total,
        }
    });
    let per_unit = summed.project([column(0), named("cell")].into_iter().chain(weighed).collect::<Vec<_>>())?;

    let kept = if calibrated.contribution.groups < calibrated.cells {
        // Two totals of one unit differ in their cell, so the order is total without the values.
        let columns = [column(0), named("cell")].into_iter().chain(measures().map(|(i, _)| named(&format!("t{i}"))));
        let rank = rank(sources.secret, vec![column(0), named("cell")]);
        keep_first(per_unit, rank, columns.collect(), calibrated.contribution.groups)?
    } else {
        per_unit
    };

    let clamped = measures().map(|(i, _)| clamp(&calibrated.clamps[i], named(&format!("t{i}"))).alias(format!("b{i}")));
    let bounded = kept.project(std::iter::once(named("cell")).chain(clamped).collect::<Vec<_>>())?;
    let sums = measures().map(|(i, _)| sum(named(&format!("b{i}"))).alias(format!("m{i}"))).collect::<Vec<_>>();
    let steps = |i: usize| {
        let sum = named(&format!("m{i}"));
        datafusion::logical_expr::Expr::TryCast(TryCast::new(Box::new(sum), STEPS)).alias(format!("m{i}"))
    };
    bounded
        .aggregate(vec![named("cell")], sums)?
        .project(std::iter::once(named("cell")).chain(measures().map(|(i, _)| steps(i))).collect::<Vec<_>>())?
        .build()
}
