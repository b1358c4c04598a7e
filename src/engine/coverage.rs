//! Intervals hold the exact bounded answer as often as they say: in 10,000 releases of each aggregate.
//!
//! *Releases.* One release with 10,000 groups counts as so many: the noise of each group is drawn by itself, and is that of one unit in one
//! group. Groups differ in nothing but their noise.
//!
//! *An interval's own exact probability* is at least 95 %, and more where noise has few steps, or where several numbers must hold together:
//! then each has a part of the 5 %, and the interval is the hull of all that they can make. It is found by enumeration. Every combination
//! of noises is put into a group of a table of its own, and the probabilities of those whose intervals hold the exact answer are added up.
//! So nothing is known here of how intervals are made, and the probabilities of noise are those of its definition. What is left out has a
//! probability below [`LEFT_OUT`], and counts as missed. Noise on floats has about 2^40 steps: no step matters, and the probability is
//! 95 %.
//!
//! *How sure this is.* A right interval is farther than three standard errors off with probability 0.3 %, by the exact binomial
//! distribution, for each of these. Then it is drawn once more, and nothing fails unless that is off too. With 16 checks one run
//! in about 8,000 fails for no reason.
//!
//! *Quantiles.* Intervals from a tree follow from Chernoff's bound and a union bound, and their exact probability cannot be enumerated: they
//! must hold in no less than 95 %, and be narrow enough to say something.
//!
//! *Bias*, what is cut off where contributions are bounded, is in no interval: the exact answer here is that of bounded contributions.

use super::{Confidence, released_table};
use crate::accounting::Reservation;
use crate::algebra::{
    Bounds, Contribution, Expr, Family, Fraction, Key, Literal, Output, Quantity, Relation, Release, Statistic, Terms,
    Type,
};
use crate::mechanism::{Calibrated, Detail, Exact, ExactAggregates, Noise, Price, Released, calibrate, release};
use crate::num::Amount;
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};

const CELLS: usize = 10_000;

const ALPHA: f64 = 0.05;
const CONFIDENCE: Confidence = Confidence { own: ALPHA, row: ALPHA, all: ALPHA };

/// Combinations of noises that are less probable than this are not looked at, and how probable all of them may be together.
const LEAST: f64 = 1e-10;
const LEFT_OUT: f64 = 1e-5;

/// Columns of a table with one key and one output.
const VALUE: usize = 1;
const LOWER: usize = 2;
const UPPER: usize = 3;

const FAMILIES: [Family; 2] = [Family::Laplace, Family::Gaussian];

/// An aggregate, with the bounded integers that it has in every group.
#[derive(Debug)]
struct Asked {
    family: Family,
    quantities: Vec<Quantity>,
    output: Output,
    /// Rows that one unit has in a group.
    rows: u64,
    exact: Vec<i128>,
}

fn asked(family: Family) -> Vec<Asked> {
    let sum = |column, low, high, whole, centred| {
        let bounds = Bounds::new(low, high);
        Quantity::Sum { of: Expr::Column(column), bounds, whole, centred }
    };
    let count = || Quantity::NonNull(Expr::Column(1));
    let of =
        |quantities, output, rows, exact: &[i128]| Asked { family, quantities, output, rows, exact: exact.to_vec() };
    let (total, mean) = (|whole| Output::Sum { sum: 0, whole }, || Output::Mean { sum: 1, count: 0 });
    // The second sum is of squares.
    let moments = || vec![count(), sum(1, 0.0, 4.0, true, true), sum(2, 0.0, 4.0, true, true)];
    let statistic = |statistic| Output::Statistic { statistic, count: 0, sums: vec![1, 2], middles: (2.0, 0.0) };
    vec![
        of(vec![Quantity::Rows], Output::Count(0), 3, &[1_000]),
        of(vec![Quantity::Units], Output::Count(0), 1, &[1_000]),
        of(vec![sum(1, -2.0, 10.0, true, false)], total(true), 3, &[1_080]),
        of(vec![sum(1, 0.0, 1.0, false, false)], total(false), 1, &[1 << 48]),
        of(vec![count(), sum(1, 0.0, 20.0, true, true)], mean(), 1, &[40, 150]),
        // So few rows that noise may leave none.
        of(vec![count(), sum(1, 0.0, 20.0, true, true)], mean(), 1, &[2, 11]),
        of(moments(), statistic(Statistic::VarPop), 1, &[100, 5, 0]),
        of(moments(), statistic(Statistic::StddevSamp), 1, &[100, 5, 0]),
    ]
}

impl Asked {
    fn is_of_floats(&self) -> bool {
        matches!(self.output, Output::Sum { whole: false, .. })
    }

    /// For so many groups, at so many times its price. Several noises cost more, so that their combinations are not too many.
    fn made(&self, cells: usize, times: usize) -> Calibrated {
        let domain = (0..cells as i64).map(Literal::Int).collect();
        let release = Release {
            input: Relation::Protected { table: 0, columns: vec![0] },
            keys: vec![Key { expr: Expr::Column(1), ty: Type::Int, domain: Some(domain) }],
            measures: self.quantities.iter().cloned().map(Into::into).collect(),
            outputs: vec![self.output.clone()],
            contribution: Contribution { groups: 1, rows: self.rows, total: None },
            terms: Terms::default(),
        };
        let epsilon = (times * self.exact.len()).to_string().parse().unwrap();
        calibrate(release, Price::pure(epsilon, Amount::ZERO), self.family).unwrap()
    }

    /// What the integers make, by the definition of the aggregate.
    fn answer(&self, made: &Calibrated) -> f64 {
        let exact = |measure: usize| self.exact[measure] as f64;
        let step = |measure: usize| made.clamps[measure].lattice.step();
        let mean = |measure: usize| (made.clamps[measure].centre as f64 + exact(measure) / exact(0)) * step(measure);
        let variance = || mean(2) - (mean(1) - 2.0).powi(2);
        match self.output {
            Output::Count(_) | Output::Sum { .. } => exact(0) * step(0),
            Output::Mean { .. } => mean(1),
            Output::Statistic { statistic: Statistic::VarPop, .. } => variance(),
            Output::Statistic { statistic: Statistic::StddevSamp, .. } => {
                (variance() * exact(0) / (exact(0) - 1.0)).sqrt()
            }
            _ => panic!("{self:?}"),
        }
    }

    /// The exact probability that an interval holds.
    fn probability(&self, times: usize) -> f64 {
        if self.is_of_floats() {
            return 1.0 - ALPHA;
        }
        let combined = combinations(&self.made(1, times).noise);
        let all: f64 = combined.iter().map(|(_, mass)| mass).sum();
        assert!((1.0 - LEFT_OUT..1.0 + 1e-9).contains(&all), "{self:?}: {all}");
        let made = self.made(combined.len(), times);
        let column = |(measure, exact): (usize, &i128)| -> Vec<i128> {
            combined.iter().map(|(offsets, _)| exact + offsets[measure]).collect()
        };
        let columns: Vec<Vec<i128>> = self.exact.iter().enumerate().map(column).collect();
        let details = vec![Detail::Nothing; columns.len()];
        let released = Released { keys: vec![], columns, details, cells: combined.len() };
        let held = held(&made, &released, self.answer(&made));
        combined.iter().zip(held).filter(|(_, held)| *held).map(|((_, mass), _)| mass).sum()
    }

    /// How often intervals of `made` hold in a release with the noise of `drawn_by`.
    fn observed(&self, drawn_by: &Calibrated, made: &Calibrated) -> f64 {
        share(&held(made, &drawn(drawn_by, sums(&self.exact)), self.answer(made)))
    }
}

/// The same integers in every group.
fn sums(exact: &[i128]) -> Vec<Exact> {
    exact.iter().map(|steps| Exact::Sums(vec![*steps; CELLS])).collect()
}

fn drawn(made: &Calibrated, exact: Vec<Exact>) -> Released {
    let token = Reservation::mint(1).split().remove(0);
    release(ExactAggregates::new(exact), made, token, |_| CONFIDENCE.alphas()).unwrap()
}

fn numbers(table: &RecordBatch, column: usize) -> Vec<f64> {
    let floats = cast(table.column(column), &DataType::Float64).unwrap();
    floats.as_primitive::<Float64Type>().values().to_vec()
}

/// Of each group, whether its interval holds the answer.
fn held(made: &Calibrated, released: &Released, answer: f64) -> Vec<bool> {
    let table = released_table(made, released, CONFIDENCE).unwrap();
    let ends = numbers(&table, LOWER).into_iter().zip(numbers(&table, UPPER));
    ends.map(|(lower, upper)| (lower..=upper).contains(&answer)).collect()
}

fn share(held: &[bool]) -> f64 {
    held.iter().filter(|held| **held).count() as f64 / held.len() as f64
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

/// The standard error of a share of so many releases.
fn error(exact: f64) -> f64 {
    (exact * (1.0 - exact) / CELLS as f64).sqrt()
}

fn is_near(seen: f64, exact: f64) -> bool {
    (seen - exact).abs() <= 3.0 * error(exact)
}

/// Numbers that noise may be, with their probabilities.
fn masses(noise: &Noise) -> Vec<(i128, f64)> {
    let weight = |x: f64| match noise {
        Noise::Laplace { scale } => (-x.abs() / scale.to_f64()).exp(),
        Noise::Gaussian { variance } => (-x * x / (2.0 * variance.to_f64())).exp(),
        _ => panic!("{noise:?}"),
    };
    // The weight beyond is below 1e-13.
    let reach = (30.0 * noise.scale()).ceil() as i128;
    let weights: Vec<(i128, f64)> = (-reach..=reach).map(|x| (x, weight(x as f64))).collect();
    let all: f64 = weights.iter().map(|(_, weight)| weight).sum();
    weights.into_iter().map(|(x, weight)| (x, weight / all)).collect()
}

/// What independent noises may be together.
fn combinations(noises: &[Noise]) -> Vec<(Vec<i128>, f64)> {
    let mut found: Vec<(Vec<i128>, f64)> = vec![(vec![], 1.0)];
    for noise in noises {
        let masses = masses(noise);
        let mut longer = Vec::new();
        for (offsets, mass) in &found {
            for (offset, probability) in masses.iter().filter(|(_, probability)| mass * probability > LEAST) {
                longer.push(([offsets.as_slice(), &[*offset]].concat(), mass * probability));
            }
        }
        found = longer;
    }
    found
}

fn check(family: Family) {
    for asked in asked(family) {
        let (made, exact) = (asked.made(CELLS, 1), asked.probability(1));
        assert!(exact >= 1.0 - ALPHA - 1e-9, "{asked:?}: {exact}");
        let first = asked.observed(&made, &made);
        if !is_near(first, exact) {
            let second = asked.observed(&made, &made);
            assert!(is_near(second, exact), "{asked:?}: {first}, then {second}, not {exact}");
        }
    }
}

#[test]
fn intervals_hold_as_often_as_laplace_noise_says() {
    check(Family::Laplace);
}

#[test]
fn intervals_hold_as_often_as_gaussian_noise_says() {
    check(Family::Gaussian);
}

/// Intervals are those of half the noise. By enumeration elsewhere none of these holds in more than 92 %, and all say 95 % or more.
#[test]
fn intervals_that_are_too_narrow_are_caught() {
    // The lattice of floats follows the noise.
    for asked in FAMILIES.into_iter().flat_map(asked).filter(|asked| !asked.is_of_floats()) {
        let (made, wrong) = (asked.made(CELLS, 1), asked.made(CELLS, 2));
        assert_eq!(made.clamps, wrong.clamps);
        let (seen, claimed) = (asked.observed(&made, &wrong), asked.probability(2));
        assert!(claimed >= 1.0 - ALPHA - 1e-9 && seen < 1.0 - ALPHA, "{asked:?}: {seen} of {claimed}");
        assert!(!is_near(seen, claimed), "{asked:?}: {seen} of {claimed}");
    }
}

#[test]
fn intervals_of_a_median_hold_at_least_as_often_as_they_say() {
    const RANGE: f64 = 99.0;
    // Two levels of ten nodes each; values are denser below.
    let values: Vec<i64> = (0..200).map(|i| i * i / 404).collect();
    let median = (values[99] + values[100]) as f64 / 2.0;
    let ranks = Quantity::Ranks { of: Expr::Column(1), bounds: Bounds::new(0.0, RANGE).unwrap(), whole: true };
    let output = Output::Quantile { at: Fraction::HALF, value: 0, ranks: Some(0), ty: Type::Int };
    for family in FAMILIES {
        let (quantities, output) = (vec![ranks.clone()], output.clone());
        let made = Asked { family, quantities, output, rows: 1, exact: vec![0] }.made(CELLS, 2);
        let released = drawn(&made, vec![Exact::Values(vec![values.clone(); CELLS])]);
        let seen = share(&held(&made, &released, median));
        assert!(seen >= 1.0 - ALPHA - 3.0 * error(1.0 - ALPHA), "{family:?}: {seen}");
        let table = released_table(&made, &released, CONFIDENCE).unwrap();
        let width = mean(&numbers(&table, UPPER)) - mean(&numbers(&table, LOWER));
        assert!(width > 1.0 && width < RANGE / 2.0, "{family:?}: {width}");
    }
}

/// A third of the units have more than may count. Answers are off by just what was cut off, and intervals say nothing of it.
#[test]
fn bias_is_not_in_the_interval() {
    for asked in FAMILIES.into_iter().map(|family| asked(family).remove(2)) {
        let made = asked.made(CELLS, 1);
        let clamp = &made.clamps[0];
        let units = [vec![12i128; 40], vec![40; 20]].concat();
        let cut: i128 = units.iter().map(|sum| (*sum).clamp(clamp.unit_low, clamp.unit_high)).sum();
        let whole: i128 = units.iter().sum();
        assert_eq!(whole - cut, 200);
        let released = drawn(&made, sums(&[cut]));
        let around = |answer: i128| share(&held(&made, &released, answer as f64));
        // By enumeration at least 0.951 and at most 0.013.
        let (of_cut, of_whole) = (around(cut), around(whole));
        assert!(of_cut > 0.93 && of_whole < 0.05, "{asked:?}: {of_cut} {of_whole}");
        let values = numbers(&released_table(&made, &released, CONFIDENCE).unwrap(), VALUE);
        let deviation = (made.noise[0].variance() / CELLS as f64).sqrt();
        let off = mean(&values) - whole as f64;
        assert!((off - (cut - whole) as f64).abs() <= 6.0 * deviation, "{asked:?}: off by {off}");
    }
}
