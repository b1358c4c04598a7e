//! Releases, audited from outside: many draws over two neighbouring inputs, and the largest epsilon that they prove. It must stay below what
//! is claimed, and must not for seeded mistakes.
//!
//! What is looked at are the noisy integers, all that a unit moves at once: outputs are computed from them, so no output tells more. The
//! statistic is the logarithm of the likelihood ratio under the claimed noise, which no other beats (Neyman and Pearson).
//!
//! *The bound.* An event is chosen by one half of the draws, and its two probabilities are bounded by the other half, each by Chernoff's
//! bound in terms of the Kullback-Leibler divergence, which holds for any number of draws. Then P[E] <= e^epsilon Q[E] gives
//! epsilon >= ln(P[E] / Q[E]) (Jagielski, Ullman and Oprea 2020, arXiv:2006.07709); and rho-zCDP bounds the Renyi divergence of order
//! alpha of whether E happened by alpha rho, like that of all that is seen.

use super::{Calibrated, Exact, ExactAggregates, LEVELS, Noise, Price, Selection, calibrate, release};
use crate::accounting::Reservation;
use crate::algebra::{
    Bounds, Contribution, Domain, Expr, Family, Fraction, Key, Literal, Measure, Output, Quantity, Relation, Release,
    Terms, Type,
};
use arrow::array::{ArrayRef, Int64Array};
use ruint::aliases::U256;
use std::sync::Arc;

/// Draws of one input.
const DRAWS: usize = 20_000;
/// ln of one over the probability that one bound does not hold.
const SURE: f64 = 18.0;

/// n KL(p || q) of binomial proportions.
fn divergence(p: f64, q: f64) -> f64 {
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    part(p, q) + part(1.0 - p, 1.0 - q)
}

/// The ends of the proportions that are not surely excluded by `found` of `n`.
fn ends((found, n): (usize, usize)) -> (f64, f64) {
    let p = found as f64 / n as f64;
    let end = |mut inside: f64, mut outside: f64| {
        for _ in 0..60 {
            let middle = 0.5 * (inside + outside);
            if n as f64 * divergence(p, middle) > SURE { outside = middle } else { inside = middle }
        }
        outside
    };
    (end(p, 0.0), end(p, 1.0))
}

/// What an event proves by its probability on one input, from below, and on the other, from above.
type Score = fn(f64, f64) -> f64;

/// The epsilon that an event of these probabilities proves.
fn epsilon(p: f64, q: f64) -> f64 {
    if p > q { (p / q).ln() } else { 0.0 }
}

/// The rho that it proves: the Renyi divergence of some order over that order.
fn rho(p: f64, q: f64) -> f64 {
    let of = |alpha: f64| {
        let power = |p: f64, q: f64| p.powf(alpha) * q.powf(1.0 - alpha);
        (power(p, q) + power(1.0 - p, 1.0 - q)).ln() / (alpha - 1.0) / alpha
    };
    if p > q { [1.01, 1.5, 2.0, 3.0, 5.0].map(of).into_iter().fold(0.0, f64::max) } else { 0.0 }
}

/// The most that these draws prove, by events "at least" and "at most".
fn proven(a: &[f64], b: &[f64], score: Score) -> f64 {
    // One half of the draws, in order.
    let half = |values: &[f64], first: usize, sign: f64| {
        let mut values: Vec<f64> = values.iter().skip(first).step_by(2).map(|value| value * sign).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let above =
        |values: &[f64], from: f64| (values.len() - values.partition_point(|value| *value < from), values.len());
    let one_way = |p: &[f64], q: &[f64], sign: f64| {
        let halves = [0, 1].map(|first| [half(p, first, sign), half(q, first, sign)]);
        let bound = |[p, q]: &[Vec<f64>; 2], from: f64| score(ends(above(p, from)).0, ends(above(q, from)).1);
        let choosing = &halves[0][0];
        let candidates = (1..60).map(|at| choosing[at * (choosing.len() - 1) / 60]);
        let best = candidates.max_by(|a, b| bound(&halves[0], *a).total_cmp(&bound(&halves[0], *b)));
        best.map_or(0.0, |from| bound(&halves[1], from))
    };
    [one_way(a, b, 1.0), one_way(a, b, -1.0), one_way(b, a, 1.0), one_way(b, a, -1.0)].into_iter().fold(0.0, f64::max)
}

fn drawn(exact: ExactAggregates, made: &Calibrated) -> super::Released {
    let token = Reservation::mint(1).split().remove(0);
    release(exact, made, token, |_| [0.05; LEVELS]).unwrap()
}

fn amount(text: &str) -> crate::num::Amount {
    text.parse().unwrap()
}

fn asked(measures: Vec<Quantity>, outputs: Vec<Output>, groups: u64, private: bool) -> Release {
    let domain = (!private).then(|| (0..100).map(Literal::Int).collect::<Domain>());
    Release {
        input: Relation::Protected { table: 0, columns: vec![0] },
        keys: vec![Key { expr: Expr::Column(1), ty: Type::Int, domain }],
        measures: measures.into_iter().map(Measure::from).collect(),
        outputs,
        contribution: Contribution { groups, rows: 2, total: None },
        terms: Terms::default(),
    }
}

/// ln of the likelihood ratio of a noisy integer, for an exact one of `more` against 0.
fn ratio(noise: &Noise, noisy: i128, more: f64) -> f64 {
    let (x, scale) = (noisy as f64, noise.scale());
    match noise {
        Noise::Laplace { .. } => (x.abs() - (x - more).abs()) / scale,
        _ => (x * x - (x - more) * (x - more)) / (2.0 * scale * scale),
    }
}

/// The statistic of each draw, where the unit is there and where it is not; one draw is of all groups that a unit is in.
fn statistics(made: &Calibrated, groups: usize, draws: usize) -> [Vec<f64>; 2] {
    let moved: Vec<i128> = made.clamps.iter().map(|clamp| clamp.per_group() as i128).collect();
    [0, 1].map(|there| {
        let exact = moved.iter().map(|most| Exact::Sums(vec![most * there; draws * groups])).collect();
        let released = drawn(ExactAggregates::new(exact), made);
        let of_cell = |cell: usize| -> f64 {
            let of = |(at, column): (usize, &Vec<i128>)| ratio(&made.noise[at], column[cell], moved[at] as f64);
            released.columns.iter().enumerate().map(of).sum()
        };
        (0..draws).map(|draw| (0..groups).map(|group| of_cell(draw * groups + group)).sum()).collect()
    })
}

/// What is claimed, each with what proves it: rho, and epsilon where there is one.
fn claims(made: &Calibrated) -> Vec<(f64, Score)> {
    let pure = made.charge.epsilon.map(|claimed| (claimed.to_f64(), epsilon as Score));
    std::iter::once((made.charge.rho.to_f64(), rho as Score)).chain(pure).collect()
}

/// Each kind of aggregate that adds noise: its measures and outputs.
fn kinds() -> Vec<(&'static str, Vec<Quantity>, Vec<Output>)> {
    let of = || Expr::Column(1);
    let sum = |centred| Quantity::Sum { of: of(), bounds: Bounds::new(0.0, 10.0), whole: false, centred };
    let statistic = Output::Statistic {
        statistic: crate::algebra::Statistic::VarPop,
        count: 0,
        sums: vec![1, 2],
        middles: (5.0, 0.0),
    };
    vec![
        ("rows", vec![Quantity::Rows], vec![Output::Count(0)]),
        ("values", vec![Quantity::NonNull(of())], vec![Output::Count(0)]),
        ("units", vec![Quantity::Units], vec![Output::Count(0)]),
        ("distinct", vec![Quantity::Distinct(of())], vec![Output::Count(0)]),
        ("sum", vec![sum(false)], vec![Output::Sum { sum: 0, whole: false }]),
        ("mean", vec![Quantity::NonNull(of()), sum(true)], vec![Output::Mean { sum: 1, count: 0 }]),
        ("variance", vec![Quantity::NonNull(of()), sum(true), sum(false)], vec![statistic]),
    ]
}

#[test]
fn releases_prove_no_more_than_they_claim_and_nearly_that() {
    for (name, measures, outputs) in kinds() {
        for (epsilon, groups) in [("1", 1), ("3", 2)] {
            for family in [Family::Laplace, Family::Gaussian] {
                let price = Price::pure(amount(epsilon), amount("0"));
                let made = calibrate(asked(measures.clone(), outputs.clone(), groups, false), price, family).unwrap();
                let [without, with] = statistics(&made, groups as usize, DRAWS);
                for (claimed, score) in claims(&made) {
                    let proven = proven(&with, &without, score);
                    assert!(proven <= claimed, "{name} {family:?}: {proven} above {claimed}");
                    // The audit is no formality: it finds a good part of what there is.
                    assert!(proven >= 0.25 * claimed, "{name} {family:?}: {proven} of {claimed}");
                }
            }
        }
    }
}

#[test]
fn half_of_the_noise_and_an_epsilon_that_is_not_split_are_found_out() {
    for family in [Family::Laplace, Family::Gaussian] {
        for (name, measures, outputs) in kinds() {
            let price = |epsilon| Price::pure(amount(epsilon), amount("0"));
            let release = || asked(measures.clone(), outputs.clone(), 1, false);
            let made = calibrate(release(), price("1"), family).unwrap();
            let found_out = |wrong: &Calibrated, draws| {
                let [without, with] = statistics(wrong, 1, draws);
                claims(&made).into_iter().all(|(claimed, score)| proven(&with, &without, score) > claimed)
            };
            let halved = |noise: &Noise| match *noise {
                Noise::Laplace { mut scale } => {
                    scale.denominator *= U256::from(2);
                    Noise::Laplace { scale }
                }
                Noise::Gaussian { mut variance } => {
                    variance.denominator *= U256::from(4);
                    Noise::Gaussian { variance }
                }
                other => other,
            };
            let half = Calibrated { noise: made.noise.iter().map(halved).collect(), ..made.clone() };
            assert!(found_out(&half, DRAWS), "{name} {family:?}: half of the noise");
            if measures.len() > 1 {
                let whole = |measure: &Measure| {
                    let alone =
                        Release { measures: vec![measure.clone()], outputs: vec![Output::Count(0)], ..release() };
                    calibrate(alone, price("1"), family).unwrap()
                };
                let each: Vec<Calibrated> = made.release.measures.iter().map(whole).collect();
                let unsplit = Calibrated {
                    noise: each.iter().map(|made| made.noise[0]).collect(),
                    clamps: each.iter().map(|made| made.clamps[0]).collect(),
                    ..made.clone()
                };
                assert!(found_out(&unsplit, 6 * DRAWS), "{name} {family:?}: an epsilon that is not split");
            }
        }
    }
}

#[test]
fn choices_prove_no_more_than_they_claim() {
    let (of, bounds) = (Expr::Column(1), Bounds::new(0.0, 100.0).unwrap());
    let median = Quantity::Quantile { of: of.clone(), bounds, whole: true, at: Fraction::new(500_000).unwrap() };
    let values: Domain = (0..5).map(Literal::Int).collect();
    let mode = Quantity::Mode { of, values: values.clone() };
    for (name, quantity, output, others, own) in [
        (
            "median",
            median,
            Output::Quantile { at: Fraction::new(500_000).unwrap(), value: 0, ranks: None, ty: Type::Int },
            vec![20, 30, 60, 70],
            90,
        ),
        ("mode", mode, Output::Mode { choice: 0, values }, vec![0, 0, 1, 1, 2], 4),
    ] {
        for epsilon in ["1", "3"] {
            let price = Price::pure(amount(epsilon), amount("0"));
            let made = calibrate(asked(vec![quantity.clone()], vec![output.clone()], 1, false), price, Family::Laplace)
                .unwrap();
            let [without, with] = [0, 2].map(|rows| {
                let values: Vec<i64> = others.iter().copied().chain(vec![own; rows]).collect();
                let released = drawn(ExactAggregates::new(vec![Exact::Values(vec![values; DRAWS])]), &made);
                released.columns[0].iter().map(|value| *value as f64).collect::<Vec<f64>>()
            });
            let proven = proven(&with, &without, self::epsilon);
            assert!(proven <= amount(epsilon).to_f64(), "{name} {epsilon}: {proven}");
            assert!(proven > 0.03 * amount(epsilon).to_f64(), "{name} {epsilon}: {proven}");
        }
    }
}

/// How often keys of which one unit alone has each are shown: the least that the draws prove.
fn shown(made: &Calibrated, weight: i128) -> f64 {
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(0..DRAWS as i64));
    let released = drawn(ExactAggregates::with_keys(vec![keys], vec![Exact::Sums(vec![weight; DRAWS])]), made);
    ends((released.cells, DRAWS)).0
}

#[test]
fn keys_of_one_unit_are_shown_no_more_often_than_delta_says() {
    for groups in [1, 3] {
        for family in [Family::Laplace, Family::Gaussian] {
            let price = Price::pure(amount("1"), amount("0.02"));
            let made =
                calibrate(asked(vec![Quantity::Units], vec![Output::Count(0)], groups, true), price, family).unwrap();
            let each = 1.0 - (1.0f64 - 0.02).powf(1.0 / groups as f64);
            assert!(shown(&made, 1) <= each, "{groups} {family:?}: {}", shown(&made, 1));
            let Selection::Threshold { measure, threshold } = made.selection else { panic!("no threshold") };
            let lower = threshold - made.noise[0].scale().ceil() as i128;
            let wrong = Calibrated { selection: Selection::Threshold { measure, threshold: lower }, ..made };
            assert!(shown(&wrong, 1) > each, "{groups} {family:?}: a threshold that is too low");
        }
    }
    // Keys alone, by either rule.
    for (epsilon, groups) in [("8", 1), ("1", 40)] {
        let price = Price::pure(amount(epsilon), amount("0.02"));
        let made = calibrate(asked(vec![Quantity::Units], vec![], groups, true), price, Family::Laplace).unwrap();
        let each = 1.0 - (1.0f64 - 0.02).powf(1.0 / groups as f64);
        let weight = match made.selection {
            Selection::Weighted { .. } => i128::from(super::weight(groups)),
            _ => 1,
        };
        assert!(shown(&made, weight) <= each, "{epsilon} {groups}: {}", shown(&made, weight));
    }
}
