//! The released table: every cell's keys, its outputs computed from noisy integers, and the ends of their intervals.
//! Whatever is here follows from released integers and public numbers; nothing is NULL for want of data.

use crate::algebra::{Clamp, Literal, Moment, Moments, Output, Range, Release, Scalar, Type};
use crate::catalog::{arrow_type, literal_value};
use crate::mechanism::{Calibrated, Detail, LEVELS, Noise, Released, Selection, Tail};
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    new_empty_array, new_null_array,
};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::error::Result;
use datafusion::scalar::ScalarValue;
use std::sync::Arc;

/// At which confidence intervals are given: each number is the probability that one interval misses the exact value.
#[derive(Clone, Copy, Debug)]
pub struct Confidence {
    /// For a value by itself.
    pub own: f64,
    /// For intervals that must hold for one value of each noisy output of the question together.
    pub row: f64,
    /// For intervals that must hold for all noisy values of the question together.
    pub all: f64,
}

impl Confidence {
    /// 1 - `alpha` for each value of the release `of`, which shows `cells` groups, and by the union bound for those that must hold
    /// together: each release has an equal share of alpha, because how many groups others show may not be known yet.
    pub fn new(alpha: f64, releases: &[Calibrated], of: &Calibrated, cells: u64) -> Confidence {
        let outputs: f64 = releases.iter().map(|made| made.release.outputs.len() as f64).sum();
        let values = releases.len() as f64 * of.release.outputs.len() as f64 * cells as f64;
        Confidence { own: alpha, row: alpha / outputs.max(1.0), all: alpha / values.max(1.0) }
    }

    pub fn alphas(&self) -> [f64; LEVELS] {
        [self.own, self.row, self.all]
    }
}

/// Keys, outputs, and six interval ends per output: lower and upper for itself, for its row and for all.
pub fn released_schema(release: &Release) -> SchemaRef {
    let outputs = || release.outputs.iter().map(Output::ty);
    let types = release.keys.iter().map(|k| k.ty).chain(outputs()).chain(outputs().flat_map(|ty| [ty; 6]));
    let fields = types.enumerate().map(|(i, ty)| Field::new(super::build::name(i), arrow_type(ty), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The table of a release, one row per cell in the order of cells.
pub fn released_table(made: &Calibrated, released: &Released, confidence: Confidence) -> Result<RecordBatch> {
    let mut arrays = if made.cells.is_some() { key_columns(made, released.cells)? } else { released.keys.clone() };
    let estimates = |output: &Output, level: usize, alpha: f64| -> Vec<Estimate> {
        let widths = Widths { level, ..Widths::of(output, made, alpha) };
        (0..released.cells).map(|cell| estimate(output, made, released, cell, &widths)).collect()
    };
    let mut ends = Vec::new();
    for output in &made.release.outputs {
        if let Output::Histogram { counts, values, most } = output {
            let texts = histograms(&released.details[*counts], values, *most);
            arrays.push(texts.clone());
            // No numbers are around a text.
            ends.extend(vec![new_null_array(texts.data_type(), texts.len()); 6]);
            continue;
        }
        let column = |numbers: &mut dyn Iterator<Item = Number>| match output {
            Output::Mode { values, .. } => chosen(values, numbers),
            _ => Ok(column(output.ty(), numbers)),
        };
        for (at, alpha) in confidence.alphas().into_iter().enumerate() {
            let estimates = estimates(output, at, alpha);
            if at == 0 {
                arrays.push(column(&mut estimates.iter().map(|e| e.value))?);
            }
            ends.push(column(&mut estimates.iter().map(|e| e.lower))?);
            ends.push(column(&mut estimates.iter().map(|e| e.upper))?);
        }
    }
    arrays.extend(ends);
    Ok(RecordBatch::try_new(released_schema(&made.release), arrays)?)
}

/// Public keys, counted through, the last one fastest.
fn key_columns(made: &Calibrated, cells: usize) -> Result<Vec<ArrayRef>> {
    let mut repeat = cells;
    let mut columns = Vec::new();
    for domain in made.release.keys.iter().filter_map(|key| key.domain.as_ref()) {
        repeat /= domain.len();
        let value = |cell: usize| -> &Literal { &domain[cell / repeat % domain.len()] };
        columns.push(ScalarValue::iter_to_array((0..cells).map(|cell| literal_value(value(cell))))?);
    }
    Ok(columns)
}

/// A value with its interval, as numbers that fit their column.
struct Estimate {
    value: Number,
    lower: Number,
    upper: Number,
}

#[derive(Clone, Copy)]
enum Number {
    Whole(i128),
    Float(f64),
}

/// Values by their numbers.
fn chosen(values: &[Literal], numbers: &mut dyn Iterator<Item = Number>) -> Result<ArrayRef> {
    let value = |number| {
        let at = match number {
            Number::Whole(at) => usize::try_from(at).ok(),
            Number::Float(_) => None,
        };
        let none = || literal_value(&Literal::Null(values.first().map_or(Type::Text, Literal::ty)));
        at.and_then(|at| values.get(at)).map_or_else(none, literal_value)
    };
    let mut found = numbers.map(value).peekable();
    match found.peek() {
        Some(_) => ScalarValue::iter_to_array(found),
        None => Ok(new_empty_array(&arrow_type(values.first().map_or(Type::Text, Literal::ty)))),
    }
}

/// Each group's values with their numbers, as a JSON array of pairs: all in their order, or so many from the most frequent on.
fn histograms(counts: &Detail, values: &[Literal], most: Option<u64>) -> ArrayRef {
    let text = |counts: &Vec<i128>| {
        let mut pairs: Vec<(&Literal, i128)> = values.iter().zip(counts.iter().copied()).collect();
        if let Some(most) = most {
            pairs.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            pairs.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        }
        let pair = |(value, count): &(&Literal, i128)| {
            serde_json::json!([json(value), (*count).clamp(i64::MIN.into(), i64::MAX.into()) as i64])
        };
        serde_json::Value::from(pairs.iter().map(pair).collect::<Vec<_>>()).to_string()
    };
    let texts = if let Detail::Counts(cells) = counts { cells.iter().map(text).collect() } else { vec![] };
    Arc::new(StringArray::from(texts))
}

/// Moments are as in CAST to VARCHAR.
fn json(value: &Literal) -> serde_json::Value {
    match value {
        Literal::Null(_) => serde_json::Value::Null,
        Literal::Int(v) => (*v).into(),
        Literal::Float(v) => (*v).into(),
        Literal::Bool(v) => (*v).into(),
        Literal::Text(v) => v.as_str().into(),
        moment @ (Literal::Date(_) | Literal::Timestamp(_)) => {
            let name = if moment.ty() == Type::Date { "date_text" } else { "timestamp_text" };
            let call = Scalar::find(name).and_then(|scalar| scalar.overload(&[Some(moment.ty())]));
            call.map_or(serde_json::Value::Null, |call| json(&call.of_literals(&[moment])))
        }
    }
}

fn column(ty: Type, numbers: impl Iterator<Item = Number>) -> ArrayRef {
    match ty {
        Type::Int => Arc::new(Int64Array::from_iter_values(numbers.map(|n| match n {
            Number::Whole(v) => v.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64,
            Number::Float(v) => v as i64,
        }))),
        Type::Bool => {
            let truth = |n| matches!(n, Number::Whole(1));
            Arc::new(BooleanArray::from_iter(numbers.map(|n| Some(truth(n)))))
        }
        Type::Date => Arc::new(Date32Array::from_iter(numbers.map(|n| match n {
            Number::Whole(days) => i32::try_from(days).ok(),
            Number::Float(_) => None,
        }))),
        Type::Timestamp => Arc::new(TimestampMicrosecondArray::from_iter(numbers.map(|n| match n {
            Number::Whole(micros) => i64::try_from(micros).ok(),
            Number::Float(_) => None,
        }))),
        _ => Arc::new(Float64Array::from_iter_values(numbers.map(|n| match n {
            Number::Whole(v) => v as f64,
            Number::Float(v) => v,
        }))),
    }
}

/// How far from the noisy values behind an output the exact ones can be.
#[derive(Default)]
struct Widths {
    /// Which of the three confidences they are for.
    level: usize,
    /// Half-width, in steps, of the first measure.
    first: f64,
    /// That of a mean's count: a mean needs its sum and its count to hold together.
    second: f64,
    /// Those of a statistic's other sums, which need to hold together as well.
    others: Vec<f64>,
    /// Where the output is the number of units that its own key was selected by.
    selected: Option<Selected>,
}

impl Widths {
    fn of(output: &Output, made: &Calibrated, alpha: f64) -> Widths {
        let half_width = |measure: &usize, alpha| made.noise[*measure].half_width(alpha);
        match output {
            Output::Count(m) | Output::Sum { sum: m, .. } => {
                Widths { first: half_width(m, alpha), selected: Selected::of(*m, made, alpha), ..Widths::default() }
            }
            Output::Mean { sum, count } => Widths {
                first: half_width(sum, alpha / 2.0),
                second: half_width(count, alpha / 2.0),
                ..Widths::default()
            },
            // A tree has intervals of its own. What is off of a choice is its rank, and which values have which rank is not known: the
            // interval is all that it can be.
            Output::Logical { .. } | Output::Quantile { .. } | Output::Mode { .. } | Output::Histogram { .. } => {
                Widths::default()
            }
            Output::Statistic { count, sums, .. } => {
                let alpha = alpha / (sums.len() + 1) as f64;
                Widths {
                    second: half_width(count, alpha),
                    others: sums.iter().map(|sum| half_width(sum, alpha)).collect(),
                    ..Widths::default()
                }
            }
        }
    }
}

/// The lower end of a count that is shown only because it reached a threshold: high noise is then likelier than it was, so a value
/// near the threshold may have little behind it. The end is the least exact number of units, from 1 on, under which a value as high as
/// this one has a conditional probability above alpha / 2; the probability grows with that number.
///
/// Of several draws the first one reached the threshold. P[all as high as they are, given that it did] is at most P[all are] / P[it did], which is taken
/// in its place. For noises of one kind that ratio grows with the exact number, but where it is above 1 already; for others it may fall where it is far
/// below what counts, and is so loose there that the end which is found holds more often than it says.
struct Selected {
    tail: Tail,
    /// That of the draw by which it was selected.
    first: Tail,
    threshold: f64,
    alpha: f64,
}

impl Selected {
    fn of(measure: usize, made: &Calibrated, alpha: f64) -> Option<Selected> {
        match made.selection {
            Selection::Threshold { measure: by, threshold } if by == measure => {
                let noise = &made.noise[measure];
                let first = match noise {
                    Noise::Mean(mean) => mean.draws().next(),
                    _ => None,
                };
                let [tail, first] = [noise, first.as_ref().unwrap_or(noise)].map(Tail::of);
                Some(Selected { tail, first, threshold: threshold as f64, alpha })
            }
            _ => None,
        }
    }

    /// Whether so many units may not have reached the threshold.
    fn matters(&self, units: i128) -> bool {
        self.first.at_least(self.threshold - units as f64) < 1.0 - 1e-9
    }

    fn lower(&self, value: i128) -> i128 {
        let likely = |exact: i128| {
            let exact_units = exact as f64;
            let reached = self.first.at_least(self.threshold - exact_units);
            self.tail.at_least(value as f64 - exact_units) > self.alpha / 2.0 * reached
        };
        let (mut low, mut high) = (0, value);
        // Not likely at `low`, likely at `high`.
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if likely(middle) { high = middle } else { low = middle }
        }
        high
    }
}

fn around(value: f64, half_width: f64) -> Range {
    Range { low: value - half_width, high: value + half_width }
}

/// The mean behind a centred sum over a number of rows, within its bounds.
fn mean(clamp: &Clamp, total: f64, rows: f64) -> f64 {
    let steps = clamp.centre as f64 + total / rows.max(1.0);
    let (low, high) = ((clamp.centre + clamp.mean.0) as f64, (clamp.centre + clamp.mean.1) as f64);
    steps.clamp(low, high) * clamp.lattice.step()
}

/// All means of a sum and a number of rows within these.
fn means(clamp: &Clamp, total: Range, rows: Range) -> Range {
    let of = |total, rows| mean(clamp, total, rows);
    let corners =
        [of(total.low, rows.low), of(total.low, rows.high), of(total.high, rows.low), of(total.high, rows.high)];
    Range {
        low: corners.iter().copied().fold(f64::INFINITY, f64::min),
        high: corners.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    }
}

fn estimate(output: &Output, made: &Calibrated, released: &Released, cell: usize, widths: &Widths) -> Estimate {
    match output {
        Output::Count(measure) | Output::Sum { sum: measure, .. } => {
            let steps = released.columns[*measure][cell];
            let lattice = made.clamps[*measure].lattice;
            let whole = output.ty() == Type::Int;
            let number = |steps: i128| match whole {
                true => Number::Whole(lattice.whole(steps)),
                false => Number::Float(lattice.value(steps)),
            };
            let half = widths.first as i128;
            let lower = steps.saturating_sub(half);
            let conditional = widths.selected.as_ref().filter(|selected| selected.matters(lower));
            let lower = conditional.map_or(lower, |selected| selected.lower(steps).min(lower));
            // What is exact is not below this, so an interval that ends here holds as often.
            let least = match made.release.terms.non_negative && made.clamps[*measure].unit_low >= 0 {
                true => 0,
                false => i128::MIN,
            };
            let [value, lower, upper] = [steps, lower, steps.saturating_add(half)].map(|end| number(end.max(least)));
            Estimate { value, lower, upper }
        }
        Output::Logical { count, all } => {
            let any = released.columns[*count][cell] > 0;
            let value = Number::Whole(i128::from(any != *all));
            Estimate { value, lower: Number::Whole(0), upper: Number::Whole(1) }
        }
        // It is made of more than one number.
        Output::Histogram { .. } => {
            let none = Number::Whole(0);
            Estimate { value: none, lower: none, upper: none }
        }
        // By its number; all others are its interval.
        Output::Mode { choice, values } => Estimate {
            value: Number::Whole(released.columns[*choice][cell]),
            lower: Number::Whole(0),
            upper: Number::Whole(values.len() as i128 - 1),
        },
        Output::Quantile { at, value, ranks, ty } => {
            // That of the ranks is the same, of the same bounds.
            let clamp = &made.clamps[*value];
            let number = |steps: i64| match ty {
                Type::Float => Number::Float(clamp.lattice.value(steps.into())),
                _ => Number::Whole(clamp.lattice.whole(steps.into())),
            };
            let read = match ranks.map(|ranks| &released.details[ranks]) {
                Some(Detail::Quantiles(cells)) => cells[cell].get(at),
                _ => None,
            };
            let value = match read {
                Some(read) if *ranks == Some(*value) => read.value,
                _ => released.columns[*value][cell] as i64,
            };
            let (lower, upper) = read.map_or((clamp.row_low, clamp.row_high), |read| read.ends[widths.level]);
            // What is rounded to the lattice may have been a little less.
            let lower = if clamp.lattice.step() == 1.0 { lower } else { lower.saturating_sub(1).max(clamp.row_low) };
            Estimate { value: number(value), lower: number(lower.min(value)), upper: number(upper.max(value)) }
        }
        Output::Mean { sum, count } => {
            let clamp = &made.clamps[*sum];
            let (total, rows) = (released.columns[*sum][cell] as f64, released.columns[*count][cell] as f64);
            let Range { low, high } = means(clamp, around(total, widths.first), around(rows, widths.second));
            Estimate {
                value: Number::Float(mean(clamp, total, rows)),
                lower: Number::Float(low),
                upper: Number::Float(high),
            }
        }
        Output::Statistic { statistic, count, sums, middles } => {
            let rows = released.columns[*count][cell] as f64;
            let of = |rows: Range, wide: bool| Moments {
                count: rows,
                mean: move |moment: Moment| {
                    let found =
                        statistic.moments().iter().zip(sums).zip(&widths.others).find(|((m, _), _)| **m == moment);
                    let Some(((_, sum), width)) = found else { return Range::point(0.0) };
                    let total = around(released.columns[*sum][cell] as f64, if wide { *width } else { 0.0 });
                    let middle = match moment {
                        Moment::X => middles.0,
                        Moment::Y => middles.1,
                        Moment::XX | Moment::YY | Moment::XY => 0.0,
                    };
                    means(&made.clamps[*sum], total, rows).plus(-middle)
                },
                middles: *middles,
            };
            let Range { low, high } = statistic.range(&of(around(rows, widths.second), true));
            Estimate {
                value: Number::Float(statistic.value(&of(Range::point(rows), false))),
                lower: Number::Float(low),
                upper: Number::Float(high),
            }
        }
    }
}
