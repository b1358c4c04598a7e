//! Reference numbers computed with other tools, and attacks on private SQL engines, where a file of them is at hand:
//! `UNDERTONE_CHECKS` names the directory that holds `known_answers.json` and `attacks.jsonl`.

use crate::world::{ANA, Caller, Recipe, World, batch, code};
use arrow::array::RecordBatch;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use ruint::aliases::U256;
use serde_json::Value;
use std::path::PathBuf;
use undertone::accounting::{Charge, Grant, Spent, rho_of_pure, zcdp_delta, zcdp_epsilon, zcdp_limit};
use undertone::algebra::{Bounds, Contribution, Expr, Family, Measure, Output, Quantity, Relation, Release, Terms};
use undertone::mechanism::{Noise, Price, Tail, calibrate, keys_only, threshold};
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

#[test]
fn accounting_agrees_with_other_tools() {
    let Some(known) = known_answers() else { return };
    let values = |section: &str| values(&known, section);
    for v in values("zcdp_to_eps") {
        let (got, wanted) = (zcdp_epsilon(number(&v, "rho"), number(&v, "delta")), number(&v, "eps"));
        assert!(got >= wanted - 1e-9 && got <= wanted * (1.0 + 1e-6), "{v}: {got}");
    }
    for v in values("zcdp_to_delta") {
        let (got, wanted) = (zcdp_delta(number(&v, "rho"), number(&v, "eps")), number(&v, "delta"));
        assert!((got - wanted).abs() <= wanted * 1e-6, "{v}: {got}");
    }
    for v in values("budget_to_ledger_capacity") {
        let (got, wanted) = (zcdp_limit(amount(&v, "eps"), amount(&v, "delta")).to_f64(), number(&v, "rho_max_tight"));
        assert!(got <= wanted * (1.0 + 1e-9) && got >= wanted * (1.0 - 1e-8), "{v}: {got}");
    }
    for v in values("filter_capacity_queries") {
        let (epsilon, delta) = (amount(&v, "budget_eps"), amount(&v, "delta"));
        let grant =
            Grant { epsilon, delta_key: Amount::ZERO, delta_conversion: delta, rho_limit: zcdp_limit(epsilon, delta) };
        let charge = Charge::pure(amount(&v, "per_query_eps"));
        let got = Spent::NOTHING.affordable(&grant, charge, 1_000_000) as f64;
        let zcdp = number(&v, "zcdp_count_discrete_laplace").max(number(&v, "pure_sum"));
        assert!(got >= zcdp - 1.0 && got <= number(&v, "best_of"), "{v}: {got}");
    }
    // The two-round example that path-wise composition of privacy losses lets through: the filter refuses its second round.
    let example = &known["adaptive_filter_counterexample"];
    let grant = Grant::new("1".parse().unwrap(), "1e-6".parse().unwrap());
    let spent = Spent::NOTHING.plus(Charge::pure(amount(example, "round1_eps")));
    let second = Amount::charge(number(example, "eA"));
    assert!(second > "0.5".parse().unwrap() && !spent.accepts(&grant, Charge::pure(second)));
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

fn close(got: f64, wanted: f64, relative: f64) -> bool {
    (got - wanted).abs() <= relative * wanted.abs()
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
        let laplace = |steps: u128| Charge::laplace(epsilon, steps as f64 / epsilon.to_f64(), [(1, steps), (0, 0)]).rho;
        assert!(is_charge_of(laplace(1), number(&v, "discrete_laplace_sens1")), "{v}: {}", laplace(1));
        assert!(is_charge_of(laplace(1 << 40), number(&v, "laplace")), "{v}: {}", laplace(1 << 40));
    }
    for v in values(&known, "zcdp_discrete_laplace_lattice") {
        let (epsilon, steps) = (amount(&v, "eps"), number(&v, "lattice_sensitivity"));
        let got = Charge::laplace(epsilon, steps / epsilon.to_f64(), [(1, steps as u128), (0, 0)]).rho;
        assert!(is_charge_of(got, number(&v, "rho")), "{v}: {got}");
    }
    // What Gaussian noise is charged bounds what it is, by its exact privacy profile.
    for v in values(&known, "discrete_gaussian_delta") {
        let rho = number(&v, "sensitivity").powi(2) / (2.0 * number(&v, "sigma2"));
        assert!(zcdp_delta(rho, number(&v, "eps")) >= number(&v, "delta"), "{v}");
    }
    let mixed = &known["mixed_workload"];
    let each: [(u32, Charge); 3] = [
        // On a fine lattice.
        (50, Charge::laplace("0.05".parse().unwrap(), 20.0 * 2f64.powi(40), [(1, 1 << 40), (0, 0)])),
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
    }
}

#[test]
fn means_are_calibrated_as_elsewhere() {
    let Some(known) = known_answers() else { return };
    for v in values(&known, "average_calibration") {
        let (low, high) = (number(&v, "lower"), number(&v, "upper"));
        let of = Expr::Column(1);
        let sum = Quantity::Sum { of: of.clone(), bounds: Bounds::new(low, high), whole: false, centred: true };
        let part = |of: Quantity, epsilon: &str| Measure { of, per_group: None, epsilon: Some(amount(&v, epsilon)) };
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
            let holds = |charges: &[Charge]| {
                let epsilons: Option<Vec<u128>> = charges.iter().map(|c| c.epsilon.map(Amount::atto)).collect();
                let [rho, delta]: [u128; 2] =
                    [charges.iter().map(|c| c.rho.atto()).sum(), charges.iter().map(|c| c.delta.atto()).sum()];
                let pure = epsilons.is_some_and(|all| all.iter().sum::<u128>() <= grant.epsilon.atto()) && delta == 0;
                pure || (rho <= grant.rho_limit.atto() && delta <= grant.delta_key.atto())
            };
            assert_eq!(spent.accepts(&grant, charge), holds(&after));
            // Greedy after a success, humble after a refusal.
            match spent.accepts(&grant, charge) {
                true => {
                    (spent, accepted) = (spent.plus(charge), after);
                    appetite *= 1.1;
                }
                false => appetite *= 0.5,
            }
        }
        // In any order they come to the same.
        let backwards = accepted.iter().rev().fold(Spent::NOTHING, |spent, charge| spent.plus(*charge));
        assert_eq!(backwards, spent);
    }
}

#[test]
fn rounding_loses_less_than_a_thousandth_and_never_the_last_question() {
    for step in 0..=600 {
        let epsilon = 10f64.powf(-5.0 + f64::from(step) / 100.0);
        let charged = rho_of_pure(Amount::charge(epsilon)).to_f64();
        let exact = epsilon * (epsilon / 2.0).tanh();
        assert!(charged >= exact * (1.0 - 1e-12) && charged <= exact * 1.001, "{epsilon}: {charged} {exact}");
    }
    let whole: Amount = "1".parse().unwrap();
    for parts in 1..=2_000usize {
        let pure = Grant::new(whole, Amount::ZERO);
        let bought = Spent::NOTHING.affordable(&pure, Charge::pure(whole.share(parts)), 5_000);
        assert_eq!(bought, parts as u64);
        let grant = Grant::new(whole, "1e-6".parse().unwrap());
        let bought = Spent::NOTHING.affordable(&grant, Charge::zcdp(grant.rho_limit.share(parts)), 5_000);
        assert_eq!(bought, parts as u64);
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
