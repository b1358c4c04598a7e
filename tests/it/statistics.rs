//! 20,000 fresh answers of one running server against the exact probabilities of their noise.

use crate::world::{ANA, Caller, Recipe, World, batch, request};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use futures::StreamExt;
use rand::{SeedableRng, rngs::StdRng};
use std::collections::BTreeMap;
use undertone::mechanism::{Coins, Noise};
use undertone::num::Ratio;

const ANSWERS: usize = 20_000;
const SQL: &str = "SELECT count(*) AS n FROM visits";
/// At epsilon 1 and four rows per unit.
const SCALE: f64 = 4.0;

fn first(answer: &undertone::proto::Answer) -> i64 {
    batch(&answer.table).column(0).as_primitive::<Int64Type>().value(0)
}

/// P[X = x] of discrete Laplace noise.
fn probability(x: i64) -> f64 {
    let r = (-1.0 / SCALE).exp();
    (1.0 - r) / (1.0 + r) * r.powi(x.unsigned_abs() as i32)
}

/// Pearson's chi-square of the draws against the exact probabilities, tails pooled so that each cell expects at least 10,
/// in standard deviations above its mean.
fn chi_square(draws: &[i64]) -> f64 {
    let reach = 20i64;
    let mut seen: BTreeMap<i64, f64> = BTreeMap::new();
    for draw in draws {
        *seen.entry((*draw).clamp(-reach, reach)).or_default() += 1.0;
    }
    let n = draws.len() as f64;
    let beyond = (1.0 - (1 - reach..reach).map(probability).sum::<f64>()) / 2.0;
    let cells = (-reach..=reach)
        .map(|x| (n * if x.abs() == reach { beyond } else { probability(x) }, *seen.get(&x).unwrap_or(&0.0)));
    let cells: Vec<_> = cells.collect();
    assert!(cells.iter().all(|(expected, _)| *expected >= 10.0));
    let statistic: f64 = cells.iter().map(|(expected, got)| (got - expected).powi(2) / expected).sum();
    let freedom = (cells.len() - 1) as f64;
    (statistic - freedom) / (2.0 * freedom).sqrt()
}

#[tokio::test(flavor = "multi_thread")]
async fn fresh_answers_follow_the_exact_distribution() {
    let world = World::new(&Recipe { patients: 60, ..Recipe::default() });
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let exact = first(&ana.ask(SQL, "1e9").await.unwrap());
    let mut fresh = request(SQL, "1");
    fresh.fresh = true;
    let answers = futures::stream::iter(0..ANSWERS).map(|_| ana.execute(fresh.clone())).buffer_unordered(64);
    let draws: Vec<i64> = answers.map(|a| first(&a.unwrap()) - exact).collect().await;
    assert_eq!(draws.len(), ANSWERS);
    let z = chi_square(&draws);
    assert!(z < 5.0, "chi-square is {z} standard deviations above its mean");

    // The same test tells noise of half the scale apart.
    let mut rng = StdRng::seed_from_u64(1);
    let half = Ratio::new(ruint::aliases::U256::from(2), ruint::aliases::U256::from(1)).unwrap();
    let (sampler, mut coins) = (Noise::Laplace { scale: half }.sampler(), Coins::new(&mut rng));
    let mutant: Vec<i64> = (0..ANSWERS).map(|_| sampler.draw(&mut coins) as i64).collect();
    assert!(chi_square(&mutant) > 50.0);

    // Every one of them was paid for.
    let (account, pool) = ana.balance().await;
    let spent = (ANSWERS as u64 + 1_000_000_000).to_string();
    assert_eq!((account.spent_epsilon, pool.spent_epsilon), (spent.clone(), spent));
    assert_eq!(account.charges, ANSWERS as u64 + 1);
    running.stop().await.unwrap();
}
