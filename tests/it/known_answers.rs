//! Reference numbers computed with other tools, and attacks on private SQL engines, where a file of them is at hand:
//! `UNDERTONE_CHECKS` names the directory that holds `known_answers.json` and `attacks.jsonl`.

use crate::world::{ANA, Caller, Recipe, World, batch, code};
use arrow::array::RecordBatch;
use serde_json::Value;
use std::path::PathBuf;
use undertone::accounting::{Charge, Grant, Spent, zcdp_delta, zcdp_epsilon, zcdp_limit};
use undertone::mechanism::Noise;
use undertone::num::Amount;

fn checks(name: &str) -> Option<String> {
    let Some(dir) = std::env::var_os("UNDERTONE_CHECKS") else {
        println!("SKIPPED: UNDERTONE_CHECKS names no directory with {name}");
        return None;
    };
    Some(std::fs::read_to_string(PathBuf::from(dir).join(name)).unwrap())
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
    let Some(text) = checks("known_answers.json") else { return };
    let known: Value = serde_json::from_str(&text).unwrap();
    let values = |section: &str| known[section]["values"].as_array().unwrap().clone();
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
    let Some(text) = checks("known_answers.json") else { return };
    let known: Value = serde_json::from_str(&text).unwrap();
    for v in known["accuracy_opendp"]["values"].as_array().unwrap() {
        let alpha = number(v, "alpha");
        let scale = number(v, "scale");
        let laplace = Noise::laplace(scale as u128, "1".parse().unwrap()).unwrap().half_width(alpha);
        // Theirs solves P[|X| >= a] = alpha for a real a; ours is the least whole a with P[|X| > a] <= alpha.
        assert_eq!(laplace, number(v, "discrete_laplace").ceil() - 1.0, "{v}");
        let squared = ruint::aliases::U256::from((scale * scale) as u64);
        let gaussian = Noise::gaussian(squared, "0.5".parse().unwrap()).unwrap().half_width(alpha);
        assert_eq!(gaussian, number(v, "discrete_gaussian") - 1.0, "{v}");
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
