//! Released tables of one GROUP BY with several groupings, whose totals are made the sums of their parts.
//!
//! Counts of rows and sums are adjusted, and nothing else: distinct units of several groups do not add up. Intervals stay those of the numbers before,
//! which hold the exact ones as often as they say whatever is shown beside them; where the adjusted number is outside, they
//! are extended to it, and hold more often.

use crate::algebra::{Hierarchy, Output, Query, Type};
use crate::mechanism::{Calibrated, consistent};
use datafusion::arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, RecordBatch};
use datafusion::arrow::datatypes::{Float64Type, Int64Type};
use datafusion::error::Result;
use std::ops::Range;
use std::sync::Arc;

/// Adjusts the tables of all releases that are to be consistent.
pub fn make_consistent(tables: &mut [RecordBatch], query: &Query, releases: &[Calibrated]) -> Result<()> {
    for hierarchy in query.hierarchies.iter().filter(|of| releases[of.releases[0]].release.terms.consistent) {
        for output in 0..query.releases[hierarchy.releases[0]].outputs.len() {
            if hierarchy.releases.iter().all(|id| query.releases[*id].adds_up(output)) {
                adjust(tables, hierarchy, output, releases)?;
            }
        }
    }
    Ok(())
}

fn adjust(tables: &mut [RecordBatch], hierarchy: &Hierarchy, output: usize, releases: &[Calibrated]) -> Result<()> {
    let of = |(id, keys): (&usize, &Vec<usize>)| {
        let made = &releases[*id];
        let sizes = made.release.keys.iter().map(|key| key.domain.as_ref().map_or(0, |domain| domain.len()));
        let variance = match made.release.outputs[output] {
            Output::Count(measure) | Output::Sum { sum: measure, .. } => {
                made.noise[measure].variance() * made.clamps[measure].lattice.step().powi(2)
            }
            _ => 0.0,
        };
        let values = numbers(tables[*id].column(keys.len() + output));
        consistent::Table { keys: keys.clone(), sizes: sizes.collect(), values, variance }
    };
    let all: Vec<consistent::Table> = hierarchy.releases.iter().zip(&hierarchy.keys).map(of).collect();
    let estimates = consistent::adjusted(&all);
    let is_whole = releases[hierarchy.releases[0]].release.outputs[output].ty() == Type::Int;
    let whole = if is_whole { consistent::rounded(&all, &estimates) } else { vec![] };
    for (at, id) in hierarchy.releases.iter().enumerate() {
        let (keys, table) = (hierarchy.keys[at].len(), &tables[*id]);
        let outputs = releases[*id].release.outputs.len();
        let mut columns = table.columns().to_vec();
        let ends = keys + outputs + 6 * output..keys + outputs + 6 * output + 6;
        if is_whole {
            let clamped = |number: &i128| (*number).clamp(i64::MIN.into(), i64::MAX.into()) as i64;
            replace::<Int64Type>(&mut columns, keys + output, ends, whole[at].iter().map(clamped).collect());
        } else {
            replace::<Float64Type>(&mut columns, keys + output, ends, estimates[at].clone());
        }
        tables[*id] = RecordBatch::try_new(table.schema(), columns)?;
    }
    Ok(())
}

/// Puts other values in a column's place, and extends the ends of their intervals, lower and upper by turns, to them.
fn replace<T: ArrowPrimitiveType>(columns: &mut [ArrayRef], at: usize, ends: Range<usize>, values: Vec<T::Native>) {
    for (n, end) in ends.enumerate() {
        let before = columns[end].as_primitive::<T>().values().iter();
        let extended = before.zip(&values).map(|(before, value)| match n % 2 {
            0 if value < before => *value,
            1 if value > before => *value,
            _ => *before,
        });
        columns[end] = Arc::new(PrimitiveArray::<T>::from_iter_values(extended));
    }
    columns[at] = Arc::new(PrimitiveArray::<T>::from_iter_values(values));
}

fn numbers(column: &ArrayRef) -> Vec<f64> {
    match column.as_primitive_opt::<Int64Type>() {
        Some(whole) => whole.values().iter().map(|number| *number as f64).collect(),
        None => column.as_primitive::<Float64Type>().values().to_vec(),
    }
}
