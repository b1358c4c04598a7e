//! Reference numbers computed with other tools, and attacks on private SQL engines, where a file of them is at hand:
//! `UNDERTONE_CHECKS` names the directory that holds `known_answers.json` and `attacks.jsonl`.

use crate::world::{ANA, Caller, Recipe, World, batch, code};
use arrow::array::RecordBatch;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use ruint::aliases::U256;
use serde_json::Value;
use std::path::PathBuf;
use undertone::accounting::{Charge, Grant, Spent, rho_of_pure, zcdp_delta, zcdp_epsilon, zcdp_limit};
use undertone::algebra::{
    Bounds, Contribution, Domain, Expr, Family, Fraction, Literal, Measure, Output, Quantity, Relation, Release, Terms,
    Type,
};
use undertone::mechanism::{Calibrated, Noise, Price, Tail, calibrate, keys_only, threshold};
use undertone::num::{Amount, Ratio};

fn checks(name: &str) -> Option<String> {
    let Some(dir) = std::env::var_os("UNDERTONE_CHECKS") else {
        println!("SKIPPED: UNDERTONE_CHECKS names no directory with {name}");
        return None;
    };
    Some(std::fs::read_to_string(PathBuf::from(dir).join(name)).unwrap())
}

fn known_answers() -> Option<Value> {
    checks("known_answers.json").map(|text| serde_json::from_str(&text).unwrap())
}

fn values(known: &Value, section: &str) -> Vec<Value> {
    known[section]["values"].as_array().unwrap().clone()
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} in {value}"))
}

fn amount(value: &Value, key: &str) -> Amount {
    let text = value[key].to_string();
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn close(got: f64, wanted: f64, relative: f64) -> bool {
    (got - wanted).abs() <= relative * wanted.abs()
}

/// Steps of a lattice so fine that noise on it costs what continuous noise does.
const FINE: u128 = 1 << 40;

/// Discrete Laplace noise on one number that moves by so many steps.
fn laplace(epsilon: Amount, steps: u128) -> Charge {
    Charge::laplace(epsilon, steps as f64 / epsilon.to_f64(), [(1, steps), (0, 0)])
}

#[test]
fn accounting_agrees_with_other_tools() {
    let Some(known) = known_answers() else { return };
    let values = |section: &str| values(&known, section);
    for v in values("zcdp_to_eps") {
        let (got, wanted) = (zcdp_epsilon(number(&v, "rho"), number(&v, "delta")), number(&v, "eps"));
        assert!(got >= wanted - 1e-9 && got <= wanted * (1.0 + 1e-6), "{v}: {got}");
        assert!(close(got, number(&v, "eps_opendp"), 1e-9), "{v}: {got}");
        assert!(got >= number(&v, "eps_exact_if_gaussian") && got <= number(&v, "eps_bun_steinke_loose"), "{v}: {got}");
    }
    for v in values("zcdp_to_delta") {
        let (got, wanted) = (zcdp_delta(number(&v, "rho"), number(&v, "eps")), number(&v, "delta"));
        assert!((got - wanted).abs() <= wanted * 1e-6, "{v}: {got}");
    }
    for v in values("budget_to_ledger_capacity") {
        let (got, wanted) = (zcdp_limit(amount(&v, "eps"), amount(&v, "delta")).to_f64(), number(&v, "rho_max_tight"));
        assert!(got <= wanted * (1.0 + 1e-9) && got >= wanted * (1.0 - 1e-8), "{v}: {got}");
        assert!(got > number(&v, "rho_bun_steinke") && got < number(&v, "mu2_over_2"), "{v}: {got}");
    }
    for v in values("filter_capacity_queries") {
        let (epsilon, delta) = (amount(&v, "budget_eps"), amount(&v, "delta"));
        let grant =
            Grant { epsilon, delta_key: Amount::ZERO, delta_conversion: delta, rho_limit: zcdp_limit(epsilon, delta) };
        let bought = |charge: Charge| Spent::NOTHING.affordable(&grant, charge, 1_000_000) as f64;
        // No quotient of the zCDP ledger is within a twentieth of a whole number, so that rounding changes none.
        let each = amount(&v, "per_query_eps");
        let (discrete, fine) = (bought(laplace(each, 1)), bought(laplace(each, FINE)));
        assert_eq!(discrete, number(&v, "zcdp_count_discrete_laplace").max(number(&v, "pure_sum")), "{v}");
        assert_eq!(fine, number(&v, "best_of"), "{v}");
    }
}

/// Composing privacy losses along the path that was taken lets two rounds through that together spend more than the grant, because the first answer
/// decides what the second question is. The filter refuses enough of them.
#[test]
fn two_rounds_that_choose_their_path_stay_within_the_grant() {
    let Some(known) = known_answers() else { return };
    let example = &known["adaptive_filter_counterexample"];
    // The probability with which randomised response says what is so.
    let is_true = |key: &str| 1.0 / (1.0 + (-number(example, key)).exp());
    let (first, second) = (is_true("round1_eps"), is_true("eA"));
    // delta at epsilon 1 is lost where both answers say it, and where the second way, which begins with the other answer, gives it away.
    let by_answer = first * second - std::f64::consts::E * (1.0 - first) * (1.0 - second);
    let by_failure = (1.0 - first) * number(example, "path_B_delta");
    assert!(close(by_answer, number(example, "path_A_delta"), 1e-6), "{by_answer}");
    assert!(close(by_answer + by_failure, number(example, "true_adaptive_delta"), 1e-6), "{by_answer} {by_failure}");

    let (epsilon, delta): (Amount, Amount) = ("1".parse().unwrap(), "1e-6".parse().unwrap());
    let split = |delta_key: Amount| {
        let delta_conversion = delta.minus(delta_key);
        Grant { epsilon, delta_key, delta_conversion, rho_limit: zcdp_limit(epsilon, delta_conversion) }
    };
    for grant in [Grant::new(epsilon, delta), split(Amount::ZERO), split(delta)] {
        let round = Charge::pure(amount(example, "round1_eps"));
        assert!(Spent::NOTHING.accepts(&grant, round));
        let spent = Spent::NOTHING.plus(round);
        let answer = spent.accepts(&grant, Charge::pure(amount(example, "eA")));
        let failing = Charge { epsilon: None, delta: amount(example, "path_B_delta"), ..Charge::NOTHING };
        let failure = spent.accepts(&grant, failing);
        let accepted = [(answer, by_answer), (failure, by_failure)].into_iter().filter(|(is_accepted, _)| *is_accepted);
        let lost: f64 = accepted.map(|(_, lost)| lost).sum();
        assert!(!answer && lost <= delta.to_f64(), "{grant:?}: {lost}");
    }
}

#[test]
fn interval_widths_agree_with_other_tools() {
    let Some(known) = known_answers() else { return };
    for v in known["accuracy_opendp"]["values"].as_array().unwrap() {
        let alpha = number(v, "alpha");
        let scale = number(v, "scale");
        let laplace = Noise::laplace(scale as u128, "1".parse().unwrap()).unwrap().half_width(alpha);
        // Theirs solves P[|X| >= a] = alpha for a real a; ours is the least whole a with P[|X| > a] <= alpha.
        assert_eq!(laplace, number(v, "discrete_laplace").ceil() - 1.0, "{v}");
        let squared = U256::from((scale * scale) as u64);
        let gaussian = Noise::gaussian(squared, "0.5".parse().unwrap()).unwrap().half_width(alpha);
        assert_eq!(gaussian, number(v, "discrete_gaussian") - 1.0, "{v}");
    }
}

fn scaled(value: f64) -> Ratio {
    // All scales and variances of the file are whole multiples of a quarter.
    Ratio { numerator: U256::from((value * 4.0) as u64), denominator: U256::from(4u64) }
}

/// The entries of an object whose keys are whole numbers.
fn by_number(value: &Value) -> Vec<(f64, f64)> {
    let entries = value.as_object().unwrap();
    entries.iter().map(|(at, number)| (at.parse().unwrap(), number.as_f64().unwrap())).collect()
}

#[test]
fn distributions_of_noise_agree_with_other_tools() {
    let Some(known) = known_answers() else { return };
    for v in values(&known, "discrete_laplace") {
        let noise = Noise::Laplace { scale: scaled(number(&v, "scale")) };
        let tail = Tail::of(&noise);
        assert!(close(noise.variance(), number(&v, "variance"), 1e-12), "{v}: {}", noise.variance());
        for (at, wanted) in by_number(&v["sf_ge"]) {
            assert!(close(tail.at_least(at), wanted, 1e-11), "{v} {at}: {}", tail.at_least(at));
        }
        for (at, wanted) in by_number(&v["pmf"]) {
            let got = tail.at_least(at) - tail.at_least(at + 1.0);
            assert!((got - wanted).abs() <= 1e-12, "{v} {at}: {got}");
        }
    }
    for v in values(&known, "discrete_gaussian") {
        let noise = Noise::Gaussian { variance: scaled(number(&v, "sigma2")) };
        let tail = Tail::of(&noise);
        assert!(close(noise.variance(), number(&v, "variance"), 1e-11), "{v}: {}", noise.variance());
        for (at, wanted) in by_number(&v["pmf"]) {
            let got = tail.at_least(at) - tail.at_least(at + 1.0);
            assert!((got - wanted).abs() <= 1e-12, "{v} {at}: {got}");
        }
    }
}

#[test]
fn charges_agree_with_other_tools() {
    let Some(known) = known_answers() else { return };
    // From above, and by no more than a part in 1e8.
    let is_charge_of = |got: Amount, wanted: f64| {
        got.to_f64() >= wanted * (1.0 - 1e-12) && got.to_f64() <= wanted * (1.0 + 1e-8) + 1e-17
    };
    for v in values(&known, "zcdp_of_pure_mechanisms") {
        let epsilon = amount(&v, "eps");
        assert!(is_charge_of(rho_of_pure(epsilon), number(&v, "worst_case_pure_dp_eps_tanh")), "{v}");
        assert!(Charge::pure(epsilon).rho.to_f64() <= number(&v, "generic_pure_dp_eps2_over_2"), "{v}");
        let by_steps = [1, FINE].map(|steps| laplace(epsilon, steps).rho);
        assert!(is_charge_of(by_steps[0], number(&v, "discrete_laplace_sens1")), "{v}: {by_steps:?}");
        assert!(is_charge_of(by_steps[1], number(&v, "laplace")), "{v}: {by_steps:?}");
        let choice = mode(2, epsilon).charge.rho;
        assert!(is_charge_of(choice, number(&v, "bounded_range_eps2_over_8")), "{v}: {choice}");
        assert!(choice.to_f64() >= number(&v, "bounded_range_KL"), "{v}: {choice}");
    }
    for v in values(&known, "zcdp_discrete_laplace_lattice") {
        let got = laplace(amount(&v, "eps"), number(&v, "lattice_sensitivity") as u128).rho;
        assert!(is_charge_of(got, number(&v, "rho")), "{v}: {got}");
    }
    // What Gaussian noise is charged bounds what it is, by its exact privacy profile.
    for v in values(&known, "discrete_gaussian_delta") {
        let rho = number(&v, "sensitivity").powi(2) / (2.0 * number(&v, "sigma2"));
        assert!(zcdp_delta(rho, number(&v, "eps")) >= number(&v, "delta"), "{v}");
    }
    let mixed = &known["mixed_workload"];
    let each: [(u32, Charge); 3] = [
        (50, laplace("0.05".parse().unwrap(), FINE)),
        (20, Charge::zcdp(Amount::charge(1.0 / 1800.0))),
        (10, Charge { epsilon: None, delta: "1e-9".parse().unwrap(), ..Charge::pure("0.05".parse().unwrap()) }),
    ];
    let all = each.iter().flat_map(|(count, charge)| (0..*count).map(|_| *charge)).fold(Charge::NOTHING, Charge::plus);
    assert!(is_charge_of(all.rho, number(mixed, "ledger_rho_tight")), "{}", all.rho);
    assert_eq!((all.epsilon, all.delta.to_f64()), (None, number(mixed, "ledger_delta")));
    let epsilon = zcdp_epsilon(all.rho.to_f64(), number(mixed, "delta") - number(mixed, "ledger_delta"));
    assert!(close(epsilon, number(mixed, "eps_approx_zcdp_filter"), 1e-6), "{epsilon}");
    assert!(epsilon >= number(mixed, "eps_pld_lower"));
}

/// The exact numbers of the continuous Gaussian bound what any mechanism of its rho is said to be, from below; and it is nearly the worst of
/// them, so that the conversion must come near.
#[test]
fn conversions_are_above_exact_gaussian_noise_and_near_it() {
    let Some(known) = known_answers() else { return };
    let rho = |v: &Value| 1.0 / (2.0 * number(v, "sigma").powi(2));
    for v in values(&known, "analytic_gaussian_eps") {
        let (got, exact) = (zcdp_epsilon(rho(&v), number(&v, "delta")), number(&v, "eps"));
        assert!(got >= exact && got <= exact * 1.15, "{v}: {got}");
    }
    for v in values(&known, "analytic_gaussian_delta") {
        // A small difference of epsilon is a large one of delta, where that is small.
        let (got, exact) = (zcdp_delta(rho(&v), number(&v, "eps")), number(&v, "delta"));
        assert!(got >= exact && got <= exact * 6.0, "{v}: {got}");
    }
    for v in values(&known, "analytic_gaussian_sigma") {
        // The noise of one answer for all of a grant.
        let limit = zcdp_limit(amount(&v, "eps"), amount(&v, "delta"));
        let noise = Noise::gaussian(U256::from(FINE * FINE), limit).unwrap();
        let (got, exact) = (noise.scale() / FINE as f64, number(&v, "sigma"));
        assert!(got >= exact && got <= exact * 1.15, "{v}: {got}");
    }
}

/// Laplace noise has at each order no more Renyi divergence than rho or epsilon says, and at each nearly as much as one of them does.
#[test]
fn charges_bound_exact_divergences_of_laplace_noise() {
    let Some(known) = known_answers() else { return };
    for v in values(&known, "rdp_laplace") {
        let (epsilon, exact) = (amount(&v, "eps"), number(&v, "rdp"));
        let charged = (laplace(epsilon, FINE).rho.to_f64() * number(&v, "alpha")).min(epsilon.to_f64());
        assert!(charged >= exact && charged <= exact * 1.25, "{v}: {charged}");
    }
}

/// What so many equal charges come to: the sum of epsilon, and the epsilon of the sum of rho.
fn composed(charge: Charge, count: u64, delta: f64) -> (Option<f64>, f64) {
    let spent = (0..count).fold(Spent::NOTHING, |spent, _| spent.plus(charge)).total;
    (spent.epsilon.map(Amount::to_f64), zcdp_epsilon(spent.rho.to_f64(), delta))
}

#[test]
fn composition_agrees_with_other_tools() {
    let Some(known) = known_answers() else { return };
    // The table has 15 digits; rho of Laplace noise is rounded up by a part in 1e9.
    let agrees = |got: f64, wanted: f64| got >= wanted * (1.0 - 1e-11) && got <= wanted * (1.0 + 2e-9);
    for v in values(&known, "composition_eps_at_delta_1e-6") {
        let epsilon = || (1.0 / number(&v, "scale")).to_string().parse::<Amount>().unwrap();
        let (charge, column) = match v["mechanism"].as_str().unwrap() {
            "laplace" => (laplace(epsilon(), FINE), "eps_zcdp_tight_laplace"),
            "discrete_laplace" => (laplace(epsilon(), 1), "eps_zcdp"),
            _ => (Charge::zcdp(Amount::charge(1.0 / (2.0 * number(&v, "sigma").powi(2)))), "eps_zcdp"),
        };
        let (pure, zcdp) = composed(charge, number(&v, "k") as u64, 1e-6);
        assert_eq!(pure, v["eps_basic"].as_f64(), "{v}");
        assert!(agrees(zcdp, number(&v, column)), "{v}: {zcdp}");
        // Parameters may be chosen as answers come, so neither ledger may say less than is so where they are fixed.
        let exact = ["eps_exact_gdp", "eps_exact_binomial"].into_iter().filter_map(|column| v[column].as_f64());
        let least = exact.fold(number(&v, "eps_pld_lower"), f64::max);
        assert!(zcdp >= least && pure.is_none_or(|pure| pure >= least), "{v}: {pure:?} {zcdp}");
    }
    for v in values(&known, "pure_dp_composition_theorems") {
        let (pure, zcdp) = composed(Charge::pure(amount(&v, "eps0")), number(&v, "k") as u64, number(&v, "delta"));
        assert_eq!(pure, Some(number(&v, "basic")), "{v}");
        assert!(agrees(zcdp, number(&v, "zcdp_tanh_cks")), "{v}: {zcdp}");
        let least = number(&v, "kov_optimal_continuous");
        assert!(zcdp >= least && number(&v, "basic") >= least, "{v}: {zcdp}");
        assert!(zcdp <= number(&v, "whitehouse_filter") && zcdp <= number(&v, "drv_advanced"), "{v}: {zcdp}");
    }
}

/// P[n + X > threshold] for continuous noise is between the discrete tails a step to either side.
fn is_kept_as_in(v: &Value, noise: &str, discrete: &Noise) {
    let tail = Tail::of(discrete);
    for (units, wanted) in by_number(&v[format!("{noise}_keep")]) {
        let from = (number(v, &format!("{noise}_threshold")) - units).floor();
        let (least, most) = (tail.at_least(from + 2.0), tail.at_least(from));
        assert!(least - 1e-12 <= wanted && wanted <= most + 1e-12, "{v} {units}: {least} {most}");
    }
}

/// One measure for all rows together, of which a unit has one.
fn whole(of: Quantity, output: Output) -> Release {
    Release {
        input: Relation::Protected { table: 0, columns: vec![0] },
        keys: vec![],
        measures: vec![of.into()],
        outputs: vec![output],
        contribution: Contribution { groups: 1, rows: 1, total: None },
        terms: Terms::default(),
    }
}

/// The most frequent of so many values.
fn mode(values: usize, epsilon: Amount) -> Calibrated {
    let values: Domain = (0..values as i64).map(Literal::Int).collect();
    let release =
        whole(Quantity::Mode { of: Expr::Column(1), values: values.clone() }, Output::Mode { choice: 0, values });
    calibrate(release, Price::pure(epsilon, Amount::ZERO), Family::Laplace).unwrap()
}

/// A quantile of values within these bounds.
fn quantile(at: f64, bounds: &[f64], whole_numbers: bool, epsilon: Amount) -> Calibrated {
    let at = Fraction::of(at).unwrap();
    let bounds = Bounds::new(bounds[0], bounds[1]).unwrap();
    let release = whole(
        Quantity::Quantile { of: Expr::Column(1), bounds, whole: whole_numbers, at },
        Output::Quantile { at, value: 0, ranks: None, ty: Type::Float },
    );
    calibrate(release, Price::pure(epsilon, Amount::ZERO), Family::Laplace).unwrap()
}

const DRAWS: usize = 100_000;

/// Choices among these values, in lattice steps.
fn draws(made: &Calibrated, values: &[i64], seed: u64) -> Vec<i64> {
    let Noise::Exponential(choice) = made.noise[0] else { panic!("{:?} chooses nothing", made.noise) };
    let mut rng = StdRng::seed_from_u64(seed);
    (0..DRAWS).map(|_| choice.draw(&mut values.to_vec(), &mut rng)).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// Pearson's statistic of counts against probabilities that add up to 1, in standard deviations above its mean. It is above 8 by chance less than
/// once in 5,000 times, even for three counts.
fn chi_square(seen: &[u32], probabilities: &[f64]) -> f64 {
    assert_eq!(seen.len(), probabilities.len());
    let draws: f64 = seen.iter().map(|count| f64::from(*count)).sum();
    let of = |(seen, p): (&u32, &f64)| (f64::from(*seen) - p * draws).powi(2) / (p * draws);
    let statistic: f64 = seen.iter().zip(probabilities).map(of).sum();
    let freedom = probabilities.len() as f64 - 1.0;
    (statistic - freedom) / (2.0 * freedom).sqrt()
}

#[test]
fn choices_have_the_probabilities_of_other_tools() {
    let Some(known) = known_answers() else { return };
    for (seed, v) in (0..).zip(values(&known, "selection_probabilities")) {
        assert_eq!(number(&v, "sensitivity"), 1.0);
        // A score is the number of a value's rows, but for what all have alike.
        let scores = numbers(&v["scores"]);
        let least = scores.iter().copied().fold(f64::INFINITY, f64::min);
        let rows = |(value, score): (usize, &f64)| vec![value as i64; (score - least) as usize];
        let rows: Vec<i64> = scores.iter().enumerate().flat_map(rows).collect();
        let mut seen = vec![0u32; scores.len()];
        for value in draws(&mode(scores.len(), amount(&v, "eps")), &rows, seed) {
            seen[value as usize] += 1;
        }
        let z = |column: &str| chi_square(&seen, &numbers(&v[column]));
        assert!(z("exponential") < 8.0, "{v}: {seen:?}");
        // The other mechanism of the table is not had here, and the same statistic tells it apart.
        assert!(z("permute_and_flip") > 50.0, "{v}: {seen:?}");
    }
    for (seed, v) in (0..).zip(values(&known, "quantile_interval_em")) {
        // On this lattice a value's own point weighs next to nothing, as in the table.
        let made = quantile(number(&v, "q"), &numbers(&v["bounds"]), false, amount(&v, "eps"));
        let lattice = made.clamps[0].lattice;
        assert!(lattice.exponent() < -20);
        let values: Vec<i64> = numbers(&v["data"]).iter().map(|value| lattice.quantise(*value)).collect();
        let intervals: Vec<Vec<f64>> = v["intervals"].as_array().unwrap().iter().map(numbers).collect();
        let wide: Vec<&Vec<f64>> = intervals.iter().filter(|interval| interval[0] < interval[1]).collect();
        let mut seen = vec![0u32; wide.len()];
        for step in draws(&made, &values, seed) {
            let value = lattice.value(step.into());
            seen[wide.iter().position(|interval| value <= interval[1]).unwrap()] += 1;
        }
        let probabilities: Vec<f64> = wide.iter().map(|interval| interval[2]).collect();
        assert!(chi_square(&seen, &probabilities) < 8.0, "{v}: {seen:?}");
    }
}

/// Scores of whole candidates, as the probabilities of those that are no values have them: each falls e-fold with 2 / epsilon of its score.
#[test]
fn candidates_of_quantiles_have_the_scores_of_other_tools() {
    let Some(known) = known_answers() else { return };
    for (seed, v) in (0..).zip(values(&known, "quantile_candidate_scores_opendp")) {
        let (data, candidates, scores) = (numbers(&v["data"]), numbers(&v["candidates"]), numbers(&v["scores"]));
        let made =
            quantile(number(&v, "alpha"), &[candidates[0], *candidates.last().unwrap()], true, "1".parse().unwrap());
        let values: Vec<i64> = data.iter().map(|value| *value as i64).collect();
        let drawn = draws(&made, &values, seed);
        let seen = |candidate: f64| drawn.iter().filter(|step| **step as f64 == candidate).count() as u32;
        let weight = |score: f64| (-score / (2.0 * number(&v, "sensitivity_map_1"))).exp();
        let scored = || candidates.iter().copied().zip(scores.iter().copied());
        let (others, weights): (Vec<u32>, Vec<f64>) =
            scored().filter(|(at, _)| !data.contains(at)).map(|(at, score)| (seen(at), weight(score))).unzip();
        let all: f64 = weights.iter().sum();
        let probabilities: Vec<f64> = weights.iter().map(|weight| weight / all).collect();
        assert!(chi_square(&others, &probabilities) < 8.0, "{v}: {others:?}");
        // A value has all of its ranks here and their middle there, so that its point is chosen no less often. The best candidate scores 0.
        let best = scored().find(|(at, score)| *score == 0.0 && !data.contains(at)).unwrap().0;
        for (at, score) in scored().filter(|(at, _)| data.contains(at)) {
            assert!(f64::from(seen(at)) >= 0.9 * weight(score) * f64::from(seen(best)), "{v} {at}: {}", seen(at));
        }
    }
}

/// A value that is rounded to a lattice after it was summed moves by a step more. Here all are rounded before, so that the step is not charged.
#[test]
fn what_is_rounded_before_it_is_summed_costs_no_step() {
    let Some(known) = known_answers() else { return };
    for v in values(&known, "float_granularity_maps_opendp") {
        let (bound, scale) = (number(&v, "sensitivity"), number(&v, "scale"));
        let parsed = |value: f64| value.to_string().parse::<Amount>().unwrap();
        let (epsilon, rho) = (parsed(bound / scale), parsed((bound / scale).powi(2) / 2.0));
        let of = Quantity::Sum { of: Expr::Column(1), bounds: Bounds::new(0.0, bound), whole: false, centred: false };
        let step = 2f64.powi(v["k"].as_i64().unwrap() as i32) / scale;
        let theirs = [number(&v, "laplace_eps"), (2.0 * number(&v, "gaussian_rho")).sqrt()];
        for (family, theirs) in [Family::Laplace, Family::Gaussian].into_iter().zip(theirs) {
            let release = whole(of.clone(), Output::Sum { sum: 0, whole: false });
            let made = calibrate(release, Price { epsilon, rho, delta: Amount::ZERO }, family).unwrap();
            let noise = made.noise[0].scale();
            assert!(close(noise * made.clamps[0].lattice.step(), scale, 1e-12), "{v} {family:?}: {noise}");
            // By how much of the noise's scale a unit moves the sum: theirs without the step.
            let moved = made.clamps[0].per_group() as f64 / noise;
            assert!(moved <= theirs && close(moved, theirs - step, 1e-12), "{v} {family:?}: {moved}");
        }
    }
}

#[test]
fn selection_of_keys_agrees_with_other_tools() {
    let Some(known) = known_answers() else { return };
    for v in values(&known, "partition_selection_optimal") {
        let groups = number(&v, "max_partitions") as u64;
        let keep = keys_only(amount(&v, "eps"), amount(&v, "delta"), groups).unwrap();
        let kept = |n: f64| keep.get(n as usize - 1).map_or(1.0, |p| f64::from(*p) / 2f64.powi(128));
        for (n, wanted) in by_number(&v["keep"]) {
            assert!(close(kept(n), wanted, 1e-9), "{v} {n}: {}", kept(n));
        }
        let half = (1..).find(|n| kept(f64::from(*n)) >= 0.5).unwrap();
        assert_eq!(
            (f64::from(half), keep.len() as f64 + 1.0),
            (number(&v, "first_n_keep_ge_half"), number(&v, "first_n_keep_is_1"))
        );
    }
    for v in values(&known, "noise_threshold_delta_opendp") {
        let (scale, groups) = (number(&v, "scale"), number(&v, "l0") as u64);
        let noise = match v["noise"].as_str().unwrap() {
            "discrete_laplace" => Noise::Laplace { scale: scaled(scale) },
            _ => Noise::Gaussian { variance: scaled(scale * scale) },
        };
        let (tau, exact) = (number(&v, "threshold"), number(&v, "delta_exact_union"));
        let single = Tail::of(&noise).at_least(tau - 1.0);
        assert!(close(single, number(&v, "sf_single_ge_thr_minus_1"), 1e-9), "{v}: {single}");
        // The threshold is the least one that fails no more often than delta.
        let least = |delta: f64| threshold(&noise, Amount::charge(delta), groups).unwrap() as f64;
        assert_eq!((least(exact * (1.0 + 1e-6)), least(exact * (1.0 - 1e-6))), (tau, tau + 1.0), "{v}");
    }
    for v in values(&known, "partition_selection_thresholding") {
        let (epsilon, groups) = (amount(&v, "eps"), number(&v, "max_partitions") as u64);
        // The continuous formula is within two steps of the exact discrete one.
        let noise = Noise::laplace(groups.into(), epsilon).unwrap();
        let got = threshold(&noise, amount(&v, "delta"), groups).unwrap() as f64;
        assert!((got - number(&v, "laplace_threshold")).abs() <= 2.0, "{v}: {got}");
        let exact = Tail::of(&noise).at_least(got - 1.0);
        assert!(1.0 - (1.0 - exact).powi(groups as i32) <= number(&v, "delta"), "{v}: {exact}");
        is_kept_as_in(&v, "laplace", &noise);
        // Their deviation is for half of delta, whose other half is the threshold's.
        let variance = number(&v, "gaussian_sigma").powi(2) * FINE as f64;
        let variance = Ratio { numerator: U256::from(variance as u128), denominator: U256::from(FINE) };
        let noise = Noise::Gaussian { variance };
        let got = threshold(&noise, amount(&v, "delta").share(2), groups).unwrap() as f64;
        assert!((got - number(&v, "gaussian_threshold")).abs() <= 2.0, "{v}: {got}");
        is_kept_as_in(&v, "gaussian", &noise);
    }
}

#[test]
fn means_are_calibrated_as_elsewhere() {
    let Some(known) = known_answers() else { return };
    for v in values(&known, "average_calibration") {
        let (low, high) = (number(&v, "lower"), number(&v, "upper"));
        let of = Expr::Column(1);
        let sum = Quantity::Sum { of: of.clone(), bounds: Bounds::new(low, high), whole: false, centred: true };
        let part = |of: Quantity, epsilon: &str| Measure { epsilon: Some(amount(&v, epsilon)), ..of.into() };
        let release = Release {
            input: Relation::Protected { table: 0, columns: vec![0] },
            keys: vec![],
            measures: vec![part(Quantity::NonNull(of), "eps_count"), part(sum, "eps_sum")],
            outputs: vec![Output::Mean { sum: 1, count: 0 }],
            contribution: Contribution { groups: 1, rows: number(&v, "rows_per_user") as u64, total: None },
            terms: Terms::default(),
        };
        let price = Price::pure(amount(&v, "eps_sum").plus(amount(&v, "eps_count")), Amount::ZERO);
        let made = calibrate(release, price, Family::Laplace).unwrap();
        let step = made.clamps[1].lattice.step();
        assert!(close(made.clamps[1].centre as f64 * step, number(&v, "midpoint"), 1e-9), "{v}");
        assert!(close(made.clamps[1].per_group() as f64 * step, number(&v, "sum_sensitivity_midpoint"), 1e-9), "{v}");
        assert_eq!(made.clamps[0].per_group() as f64, number(&v, "count_sensitivity"), "{v}");
        assert!(close(made.noise[1].scale() * step, number(&v, "laplace_b_sum"), 1e-9), "{v}");
        assert!(close(made.noise[0].scale(), number(&v, "laplace_b_count"), 1e-9), "{v}");
    }
}

/// Whoever asks may choose each question after the last answer: whatever is accepted, one of the ledgers holds at the end, by sums that are made
/// anew, and what is refused would have broken both.
#[test]
fn filters_hold_over_adaptive_transcripts() {
    let mut rng = StdRng::seed_from_u64(6);
    let (mut by_pure, mut by_zcdp, mut refused) = (0, 0, 0);
    for _ in 0..2_000 {
        let epsilon = 10f64.powf(rng.random_range(-1.0..1.0));
        let delta = 10f64.powf(rng.random_range(-9.0..-5.0));
        let grant = Grant::new(Amount::grant(epsilon), Amount::grant(delta));
        let (mut spent, mut accepted, mut appetite) = (Spent::NOTHING, Vec::<Charge>::new(), 0.2f64);
        for _ in 0..60 {
            let size = grant.epsilon.to_f64() * appetite * rng.random_range(0.01..1.0);
            let pure = Charge::pure(Amount::charge(size));
            let charge = match rng.random_range(0..4) {
                0 | 1 => pure,
                2 => Charge::zcdp(pure.rho),
                _ => Charge { epsilon: None, delta: grant.delta_key.part(rng.random_range(1..40), 100), ..pure },
            };
            let after: Vec<Charge> = accepted.iter().copied().chain([charge]).collect();
            let epsilons: Option<Vec<u128>> = after.iter().map(|c| c.epsilon.map(Amount::atto)).collect();
            let [rho, delta]: [u128; 2] =
                [after.iter().map(|c| c.rho.atto()).sum(), after.iter().map(|c| c.delta.atto()).sum()];
            let pure = epsilons.is_some_and(|all| all.iter().sum::<u128>() <= grant.epsilon.atto()) && delta == 0;
            let zcdp = rho <= grant.rho_limit.atto() && delta <= grant.delta_key.atto();
            assert_eq!(spent.accepts(&grant, charge), pure || zcdp, "{grant:?} {after:?}");
            // Greedy after a success, humble after a refusal.
            if pure || zcdp {
                (spent, accepted) = (spent.plus(charge), after);
                appetite *= 1.1;
            } else {
                appetite *= 0.5;
            }
            by_pure += u32::from(pure && !zcdp);
            by_zcdp += u32::from(zcdp && !pure);
            refused += u32::from(!pure && !zcdp);
        }
        // In any order they come to the same, and none is refused on the way: what holds at the end held before.
        accepted.shuffle(&mut rng);
        let shuffled = accepted.iter().fold(Spent::NOTHING, |spent, charge| {
            assert!(spent.accepts(&grant, *charge), "{grant:?} {accepted:?}");
            spent.plus(*charge)
        });
        assert_eq!(shuffled, spent);
    }
    // Each of the ledgers decided often.
    assert!([by_pure, by_zcdp, refused].iter().all(|count| *count > 500), "{by_pure} {by_zcdp} {refused}");
}

#[test]
fn rounding_loses_less_than_a_thousandth_and_never_the_last_question() {
    for step in 0..=600 {
        let epsilon = 10f64.powf(-5.0 + f64::from(step) / 100.0);
        let charged = Charge::pure(Amount::charge(epsilon)).rho;
        assert_eq!(charged, rho_of_pure(Amount::charge(epsilon)));
        let (charged, exact) = (charged.to_f64(), epsilon * (epsilon / 2.0).tanh());
        assert!(charged >= exact * (1.0 - 1e-12) && charged <= exact * 1.001, "{epsilon}: {charged} {exact}");
    }
    let whole: Amount = "1".parse().unwrap();
    let pure = Grant::new(whole, Amount::ZERO);
    let grant = Grant::new(whole, "1e-6".parse().unwrap());
    for parts in 1..=2_000usize {
        let bought = |grant: &Grant, charge| Spent::NOTHING.affordable(grant, charge, parts as u64 + 1);
        assert_eq!(bought(&pure, Charge::pure(whole.share(parts))), parts as u64);
        assert_eq!(bought(&grant, Charge::zcdp(grant.rho_limit.share(parts))), parts as u64);
        // The zCDP ledger may hold more of these.
        assert!(bought(&grant, Charge::pure(whole.share(parts))) >= parts as u64);
    }
}

/// Attacks whose SQL has a total and private meaning here, where others must refuse it: padding to a length that is too long and
/// division by zero are NULL, BOOL_OR is a noisy count, quantiles are chosen with noise, and bounds follow from a constant.
const MEANT: [&str; 7] = ["ERR-26", "ERR-29", "ERR-31", "RAW-08", "RAW-10", "RAW-11", "SENS-24"];

/// Every SQL attack on two neighbours, with and without the target: refused alike for nothing, or answered with the same
/// schema and number of rows for the same charge.
#[tokio::test(flavor = "multi_thread")]
async fn attacks_look_the_same_with_and_without_the_target() {
    let Some(text) = checks("attacks.jsonl") else { return };
    let (with, without) = (World::new(&Recipe::default()), World::new(&Recipe { target: false, ..Recipe::default() }));
    let (a, b) = (with.serve().await, without.serve().await);
    let (d, d1) = (Caller::to(&a, ANA).await, Caller::to(&b, ANA).await);
    let (mut answered, mut refused) = (0, 0);
    for attack in text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let (id, mark) = (attack["id"].as_str().unwrap(), attack["mark"].as_str().unwrap());
        if mark == "OPERATIONAL" {
            continue;
        }
        for sql in attack["sql"].as_array().into_iter().flatten().map(|s| s.as_str().unwrap()) {
            let before = d.balance().await.0;
            let outcome = (d.ask(sql, "0.1").await, d1.ask(sql, "0.1").await);
            let after = (d.balance().await.0, d1.balance().await.0);
            assert_eq!(after.0, after.1, "{id}: {sql}: different charges");
            match outcome {
                (Err(x), Err(y)) => {
                    refused += 1;
                    assert_eq!((x.code(), x.message(), code(&x)), (y.code(), y.message(), code(&y)), "{id}: {sql}");
                    assert_ne!(code(&x), "EXECUTION_FAILED", "{id}: {sql}");
                    assert_eq!(before, after.0, "{id}: a refusal was charged");
                }
                (Ok(x), Ok(y)) => {
                    answered += 1;
                    let of_the_language = ["ERR", "SENS", "RAW"].iter().any(|class| id.starts_with(class));
                    let allowed = mark != "REJECT_PLAN" || !of_the_language || MEANT.contains(&id);
                    assert!(allowed, "{id} is answered: {sql}");
                    let (x, y) = (batch(&x.table), batch(&y.table));
                    // The metadata is the receipt, with its own query id and time.
                    let shape = |b: &RecordBatch| (b.schema().fields().clone(), b.num_rows());
                    assert_eq!(shape(&x), shape(&y), "{id}: {sql}");
                }
                (x, y) => panic!("{id}: {sql}: answered on one neighbour only: {:?} {:?}", x.is_ok(), y.is_ok()),
            }
        }
    }
    println!("{answered} answered, {refused} refused");
    assert!(answered >= 20 && refused >= 80);
    a.stop().await.unwrap();
    b.stop().await.unwrap();
}
