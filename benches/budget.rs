//! How many equal COUNT questions one grant of (1, 1e-6) buys at a stated error: by the filter that accounts use, with the noise that
//! is chosen for it, and by basic composition of Laplace noise, which is what adding up epsilon comes to.
//!
//! `cargo bench --bench budget` (with `--profile dev` it shares the build of the tests).

use undertone::accounting::{Charge, Grant, Spent};
use undertone::algebra::{
    Accuracy, Contribution, Domain, Expr, Family, Key, Literal, Output, Quantity, Relation, Release, Terms, Tolerance,
    Type,
};
use undertone::mechanism::calibrate_to;
use undertone::num::Amount;

/// Most questions that are counted.
const MOST: u64 = 10_000_000;

/// COUNT(*) of one row per unit and group, where a unit is in up to so many of a thousand groups.
fn count(groups: u64) -> Release {
    let domain: Domain = (0..1000).map(Literal::Int).collect();
    Release {
        input: Relation::Protected { table: 0, columns: vec![0] },
        keys: vec![Key { expr: Expr::Column(1), ty: Type::Int, domain: Some(domain) }],
        measures: vec![Quantity::Rows.into()],
        outputs: vec![Output::Count(0)],
        contribution: Contribution { groups, rows: 1, total: None },
        terms: Terms::default(),
    }
}

fn main() {
    let grant = Grant::new("1".parse().unwrap(), "1e-6".parse().unwrap());
    let basic = Grant::new(grant.epsilon, Amount::ZERO);
    println!("COUNT questions that a grant of (1, 1e-6) buys, each within the error 95 % of the time");
    println!(
        "{:>7} {:>7} {:>10} {:>10} {:>10} {:>10} {:>8}",
        "groups", "error", "basic", "Laplace", "Gaussian", "chosen", "ratio"
    );
    for groups in [1, 4, 16, 64] {
        for error in [20.0, 50.0, 100.0, 500.0] {
            let accuracy = Accuracy { error: Tolerance::Absolute(error), confidence: Accuracy::CONFIDENCE };
            let charge =
                |family| calibrate_to(count(groups), accuracy, Amount::ZERO, family, &[]).map(|made| made.charge);
            let bought = |grant: &Grant, charge: Charge| Spent::NOTHING.affordable(grant, charge, MOST);
            let (Ok(laplace), Ok(gaussian)) = (charge(Family::Laplace), charge(Family::Gaussian)) else { continue };
            let [by_sum, with_laplace, with_gaussian] =
                [bought(&basic, laplace), bought(&grant, laplace), bought(&grant, gaussian)];
            let chosen = if grant.part(gaussian) < grant.part(laplace) { with_gaussian } else { with_laplace };
            let ratio = chosen as f64 / by_sum.max(1) as f64;
            println!(
                "{groups:>7} {error:>7} {by_sum:>10} {with_laplace:>10} {with_gaussian:>10} {chosen:>10} {ratio:>8.1}"
            );
        }
    }
}
