//! Which distribution the noise of a question has, and why.
//!
//! *One price.* A question names an epsilon, and Laplace and Gaussian noise cost different things: the first epsilon, and some rho; the
//! second rho alone. They are compared at the same part of the asker's grant (E, D). Laplace noise of epsilon takes epsilon / E of the
//! pure ledger, and its rho / rho_max(E, D) of the zCDP ledger, and the account accepts while either holds: so the lesser of the two is
//! its part of the grant, and Gaussian noise gets that part of rho_max. An epsilon, then, buys at least E / epsilon questions, whichever noise
//! they have.
//!
//! *The least error.* Of the two at one price the one with the smaller [`Calibrated::error`] is taken. Where the zCDP ledger is the cheaper one
//! for Laplace noise, as for many groups per unit or small epsilon, Gaussian noise has half the variance or less; where the pure ledger is,
//! Laplace noise is better for few groups and aggregates (up to about nine of them together where one question takes all of the grant).
//!
//! *One question, one ledger.* What ends the pure ledger, a delta or any Gaussian noise, ends it for the whole question, and then rho alone
//! is paid: Gaussian noise has the least error for it up to an epsilon of about 2 in each group. All releases that leave the choice open
//! have the same distribution, that with the least error in the geometric mean over them.
//!
//! *An error for a price.* Where a release has an error to keep, the two are priced for that, and the cheaper one is taken: by parts of the
//! grant, as above.
//!
//! The choice is a function of the text, of policy, of the grant, and of whether the account's pure ledger is over: not of what else was spent.
//! What was answered while it was not over is the answer to the same question still.

use crate::accounting::{Charge, Grant, rho_of_pure};
use crate::algebra::{Accuracy, Family, Release};
use crate::mechanism::{Calibrated, Noise, Price, Uncalibrated, calibrate, calibrate_to};
use crate::num::Amount;

/// A release with what it may cost.
pub struct Asked {
    pub release: Release,
    pub epsilon: Amount,
    pub delta: Amount,
    /// In the place of epsilon.
    pub accuracy: Option<Accuracy>,
    /// None is to be chosen.
    pub family: Option<Family>,
    /// The noises of draws that there are already, by measure; or nothing.
    pub earlier: Vec<Vec<Noise>>,
}

/// Why a release has the noise that it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Why {
    /// It was asked for, by the question or by policy.
    Asked(Family),
    /// Laplace: the grant has no delta, which all other noise needs.
    NoDelta,
    /// Nothing but keys: whichever rule shows more.
    Keys,
    /// The one has the least error; the other's variance is so many times its own.
    Least(Family, f64),
    /// It is chosen before bounds are: Gaussian noise, which bears many groups, where the grant has a delta.
    Open(Family),
    /// The one is the cheapest for the error that is asked for; the other costs so many times as much of the grant.
    Cheapest(Family, f64),
}

impl Why {
    pub fn family(self) -> Family {
        match self {
            Why::Asked(family) | Why::Open(family) | Why::Least(family, _) | Why::Cheapest(family, _) => family,
            Why::NoDelta | Why::Keys => Family::Laplace,
        }
    }
}

/// Both ways to make a release.
struct Ways {
    laplace: Result<Calibrated, Uncalibrated>,
    gaussian: Result<Calibrated, Uncalibrated>,
    /// Whether both are for one error, and not for one price.
    for_error: bool,
    /// Whether it is nothing but keys, which need no numbers.
    keys_alone: bool,
}

/// Calibrates each release, with its reason; where one cannot be made, which, and why.
pub fn choose(
    asked: Vec<Asked>,
    grant: &Grant,
    pure_is_over: bool,
) -> Result<Vec<(Calibrated, Why)>, (usize, Uncalibrated)> {
    let families: Vec<Option<Family>> = asked.iter().map(|asked| asked.family).collect();
    let ends_pure = |asked: &Asked| asked.release.selects_keys() || asked.family == Some(Family::Gaussian);
    let pure_ends = pure_is_over || asked.iter().any(ends_pure);
    let ways: Vec<Ways> = asked.into_iter().map(|asked| ways(asked, grant)).collect();
    let is_open = |(ways, family): &(&Ways, &Option<Family>)| family.is_none() && !ways.keys_alone;
    let open = match grant.rho_limit.is_zero() {
        true => Why::NoDelta,
        false => least(ways.iter().zip(&families).filter(is_open).map(|(ways, _)| ways).collect(), grant, pure_ends),
    };
    let made = |(at, (ways, family)): (usize, (Ways, Option<Family>))| {
        let why = if ways.keys_alone { Why::Keys } else { family.map_or(open, Why::Asked) };
        let made = match why.family() {
            Family::Laplace => ways.laplace,
            Family::Gaussian => ways.gaussian,
        };
        made.map(|made| (made, why)).map_err(|e| (at, e))
    };
    ways.into_iter().zip(families).enumerate().map(made).collect()
}

fn ways(asked: Asked, grant: &Grant) -> Ways {
    let Asked { release, epsilon, delta, accuracy, earlier, .. } = asked;
    let keys_alone = release.outputs.is_empty();
    if let Some(accuracy) = accuracy {
        let made = |family| calibrate_to(release.clone(), accuracy, delta, family, &earlier);
        return Ways { laplace: made(Family::Laplace), gaussian: made(Family::Gaussian), for_error: true, keys_alone };
    }
    let price = Price { epsilon, rho: most_rho(epsilon, grant), delta };
    let laplace = calibrate(release.clone(), price, Family::Laplace);
    let rho = laplace.as_ref().map_or(price.rho, |made| made.charge.rho.min(price.rho));
    let gaussian = calibrate(release, Price { rho, ..price }, Family::Gaussian);
    Ways { laplace, gaussian, for_error: false, keys_alone }
}

/// The rho of which a grant buys as many as of this epsilon, and no more than any mechanism of that epsilon costs.
pub fn most_rho(epsilon: Amount, grant: &Grant) -> Amount {
    let pure = rho_of_pure(epsilon);
    match grant.rho_limit.is_zero() {
        // No account of the grant can pay it; it has a price all the same.
        true => pure,
        false => grant.rho_limit.part(epsilon.atto(), grant.epsilon.atto()).min(pure),
    }
}

/// The distribution with the least error, or the least price where the error is given; Laplace noise where they are alike, since it
/// keeps the pure ledger.
fn least(ways: Vec<&Ways>, grant: &Grant, pure_ends: bool) -> Why {
    let for_error = ways.iter().any(|ways| ways.for_error);
    let why = |family, ratio| if for_error { Why::Cheapest(family, ratio) } else { Why::Least(family, ratio) };
    let mut logs = 0.0;
    for Ways { laplace, gaussian, for_error, .. } in &ways {
        let (laplace, gaussian) = match (laplace, gaussian) {
            (Ok(laplace), Ok(gaussian)) => (laplace, gaussian),
            (Err(_), Ok(_)) => return why(Family::Gaussian, f64::INFINITY),
            (_, Err(_)) => return why(Family::Laplace, f64::INFINITY),
        };
        let worth = |made: &Calibrated| match (for_error, pure_ends) {
            // The delta is the same.
            (true, true) => grant.part(Charge::zcdp(made.charge.rho)),
            (true, false) => grant.part(made.charge),
            (false, false) => made.error(),
            // Laplace noise may cost more rho than that part of the grant: the error falls about as the price grows.
            (false, true) => made.error() * made.charge.rho.to_f64(),
        };
        // Next to no noise is none.
        logs += (worth(laplace).max(1e-30) / worth(gaussian).max(1e-30)).ln();
    }
    let ratio = (logs / ways.len().max(1) as f64).exp();
    match ratio > 1.005 {
        true => why(Family::Gaussian, ratio),
        false => why(Family::Laplace, 1.0 / ratio),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::{
        Bounds, Contribution, Domain, Expr, Key, Literal, Measure, Output, Quantity, Relation, Terms, Type,
    };

    fn amount(text: &str) -> Amount {
        text.parse().unwrap()
    }

    /// COUNT(*), SUM(x), AVG(x) and so many further sums, as many of them as asked for, of units in so many groups with so many rows.
    fn release(outputs: usize, groups: u64, rows: u64, private: bool) -> Release {
        let sum = |centred| {
            Measure::from(Quantity::Sum { of: Expr::Column(1), bounds: Bounds::new(0.0, 10.0), whole: true, centred })
        };
        let domain = (0..1000).map(Literal::Int).collect::<Domain>();
        let mut measures = vec![Quantity::Rows.into(), sum(false), sum(true), Quantity::Units.into()];
        let mut all = vec![Output::Count(0), Output::Sum { sum: 1, whole: true }, Output::Mean { sum: 2, count: 0 }];
        for at in 0..outputs.saturating_sub(3) {
            measures.push(Measure { epsilon: None, per_group: Bounds::new(0.0, at as f64 + 1.0), ..sum(false) });
            all.push(Output::Sum { sum: measures.len() - 1, whole: true });
        }
        all.truncate(outputs);
        let used = |at: usize| {
            all.iter().any(|output| match output {
                Output::Count(m) | Output::Sum { sum: m, .. } => *m == at,
                Output::Mean { sum, count } => *sum == at || *count == at,
                _ => false,
            })
        };
        // Those that nothing needs are not there.
        let kept: Vec<usize> = (0..measures.len()).filter(|at| used(*at) || (private && *at == 3)).collect();
        let place = |at: usize| kept.iter().position(|kept| *kept == at).unwrap();
        let outputs = all.iter().map(|output| match output {
            Output::Count(m) => Output::Count(place(*m)),
            Output::Sum { sum, whole } => Output::Sum { sum: place(*sum), whole: *whole },
            Output::Mean { sum, count } => Output::Mean { sum: place(*sum), count: place(*count) },
            other => other.clone(),
        });
        Release {
            input: Relation::Protected { table: 0, columns: vec![0] },
            keys: vec![Key { expr: Expr::Column(1), ty: Type::Int, domain: (!private).then_some(domain) }],
            outputs: outputs.collect(),
            measures: kept.iter().map(|at| measures[*at].clone()).collect(),
            contribution: Contribution { groups, rows, total: None },
            terms: Terms::default(),
        }
    }

    fn asked(release: Release, epsilon: &str, family: Option<Family>) -> Asked {
        Asked { release, epsilon: amount(epsilon), delta: amount("1e-7"), accuracy: None, family, earlier: vec![] }
    }

    /// The least error of all ways to make a release for this part of a grant: both distributions and all splits, on a grid.
    fn exhaustive(release: &Release, epsilon: f64, rho: f64, rows: u64) -> f64 {
        let release = release.clone().with_shared_counts(rows);
        let weights = crate::mechanism::weights(&release);
        let mut best = f64::INFINITY;
        let steps = match weights.len() {
            1 => 1,
            2 => 400,
            3 => 60,
            _ => 24,
        };
        let mut splits = vec![vec![]];
        for at in 0..weights.len() {
            splits = splits
                .into_iter()
                .flat_map(|split: Vec<usize>| {
                    let left = steps - split.iter().sum::<usize>();
                    let last = at + 1 == weights.len();
                    let range = if last { left..=left } else { 1..=left.saturating_sub(weights.len() - at - 1) };
                    range.map(move |part| [split.clone(), vec![part]].concat()).collect::<Vec<_>>()
                })
                .collect();
        }
        let (groups, private) = (release.contribution.groups as f64, release.cells().is_none());
        for split in splits.iter().filter(|split| split.iter().all(|part| *part > 0)) {
            let share = |at: usize| split[at] as f64 / steps as f64;
            // In squares of a unit's bound per group: 2 k^2 / epsilon^2 and k / (2 rho).
            let laplace: f64 =
                weights.iter().enumerate().map(|(at, w)| w * 2.0 * (groups / (epsilon * share(at))).powi(2)).sum();
            let gaussian: f64 = weights.iter().enumerate().map(|(at, w)| w * groups / (2.0 * rho * share(at))).sum();
            best = best.min(gaussian);
            if !private {
                best = best.min(laplace);
            }
        }
        best
    }

    #[test]
    fn no_other_noise_or_split_has_less_error_for_the_same_part_of_a_grant() {
        let mut cases = 0;
        for (e, d) in [("1", "1e-6"), ("10", "1e-5"), ("0.5", "1e-8")] {
            let grant = Grant::new(amount(e), amount(d));
            for epsilon in ["0.001", "0.05", "0.5"] {
                for groups in [1, 2, 5, 20, 64] {
                    for outputs in [1, 2, 3, 4] {
                        for private in [false, true] {
                            let release = release(outputs, groups, 3, private);
                            let mut made = choose(vec![asked(release.clone(), epsilon, None)], &grant, false).unwrap();
                            let (made, why) = made.remove(0);
                            let laplace =
                                choose(vec![asked(release.clone(), epsilon, Some(Family::Laplace))], &grant, false)
                                    .unwrap()
                                    .remove(0)
                                    .0;
                            let most = most_rho(amount(epsilon), &grant).to_f64().min(laplace.charge.rho.to_f64());
                            let least = exhaustive(&release, amount(epsilon).to_f64(), most, 3);
                            let got = made.error();
                            assert!(
                                got <= least * 1.01,
                                "{e} {d} {epsilon} {groups} {outputs} {private} {why:?}: {got} {least}"
                            );
                            // As many questions as epsilon says, or more.
                            let without_delta = Charge { delta: Amount::ZERO, ..made.charge };
                            assert!(
                                grant.part(without_delta)
                                    <= amount(epsilon).to_f64() / grant.epsilon.to_f64() * (1.0 + 1e-9)
                            );
                            cases += 1;
                        }
                    }
                }
            }
        }
        assert!(cases >= 200, "{cases}");
    }

    #[test]
    fn laplace_noise_is_for_few_groups_and_where_there_is_no_delta() {
        let grant = Grant::new(amount("1"), amount("1e-6"));
        let family = |groups, epsilon, grant: &Grant| {
            choose(vec![asked(release(1, groups, 1, false), epsilon, None)], grant, false).unwrap()[0].1.family()
        };
        assert_eq!(family(1, "0.1", &grant), Family::Laplace);
        assert_eq!(family(4, "0.1", &grant), Family::Gaussian);
        // All of the grant at once: up to about nine groups (to fourteen, with half of delta for the conversion of zCDP).
        assert_eq!(family(9, "1", &grant), Family::Laplace);
        assert_eq!(family(20, "1", &grant), Family::Gaussian);
        assert_eq!(family(20, "1", &Grant::new(amount("1"), Amount::ZERO)), Family::Laplace);
    }

    #[test]
    fn what_ends_the_pure_ledger_ends_it_for_the_whole_question() {
        let grant = Grant::new(amount("1"), amount("1e-6"));
        let public = || asked(release(1, 1, 1, false), "0.1", None);
        let both = choose(vec![public(), asked(release(1, 1, 1, true), "0.1", None)], &grant, false).unwrap();
        assert!(both.iter().all(|(_, why)| matches!(why, Why::Least(Family::Gaussian, _))), "{:?}", both[0].1);
        assert_eq!(choose(vec![public()], &grant, false).unwrap()[0].1.family(), Family::Laplace);
        // What is asked for is done.
        let fixed = Asked { family: Some(Family::Laplace), ..public() };
        let both = choose(vec![fixed, asked(release(1, 1, 1, true), "0.1", None)], &grant, false).unwrap();
        assert_eq!(both[0].1, Why::Asked(Family::Laplace));
    }

    #[test]
    fn an_error_is_had_for_the_least_part_of_the_grant() {
        let grant = Grant::new(amount("1"), amount("1e-6"));
        for (groups, error, wanted) in [(1, 500.0, Family::Laplace), (30, 5_000.0, Family::Gaussian)] {
            let accuracy = Accuracy { error: crate::algebra::Tolerance::Absolute(error), confidence: 0.95 };
            let asked =
                |family| Asked { accuracy: Some(accuracy), ..asked(release(2, groups, 3, false), "0.1", family) };
            let made = choose(vec![asked(None)], &grant, false).unwrap().remove(0);
            assert!(matches!(made.1, Why::Cheapest(family, _) if family == wanted), "{groups}: {:?}", made.1);
            for (noise, clamp) in made.0.noise.iter().zip(&made.0.clamps) {
                let half_width = noise.half_width(0.05) * clamp.lattice.step();
                assert!(half_width <= error && half_width > 0.99 * error, "{groups}: {half_width}");
            }
            for family in [Family::Laplace, Family::Gaussian] {
                let other = choose(vec![asked(Some(family))], &grant, false).unwrap().remove(0).0;
                assert!(grant.part(made.0.charge) <= grant.part(other.charge) * 1.006);
            }
        }
    }
}
