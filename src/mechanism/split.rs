//! How the measures of a release share its price.
//!
//! The error of a release is the sum of its outputs' variances, each in squares of what one unit can move the output by, so that counts and
//! sums of all magnitudes weigh alike. To first order it is sum w_i v_i over the measures, where v_i is the variance of a measure's noise in
//! squares of its own bound C_i, and w_i says how many outputs it moves, and how much. Noise for a part p_i of the price has
//! v_i proportional to p_i^-e, with e = 2 for parts of epsilon (Laplace) and e = 1 for parts of rho (Gaussian), so that the least
//! error, by Lagrange's multiplier, is at p_i proportional to w_i^(1 / (e + 1)).
//!
//! *Weights.* A count, a sum, a quantile and a choice: 1. A mean is middle + S / N, with an error of dS - (mean - middle) dN over N: the sum
//! weighs 1, and the count the square of what is expected of mean - middle in half-widths of the bounds. Nothing is known of that but the
//! bounds, so that it is taken to lie anywhere in them alike: 1/3. A variance is mean(d^2) - mean(d)^2: the mean of squares weighs 1, that
//! of d its squared derivative 4 mean(d)^2 = 4/3, and the count (2 mean(d)^2 - mean(d^2))^2, at most 1/9 there. Covariances and what is
//! made of them alike.

use crate::algebra::{Family, Moment, Output, Release};

/// Of one half-width, squared: the expected square of how far a mean is from the middle of its bounds.
const OFF_THE_MIDDLE: f64 = 1.0 / 3.0;

/// The weight of what nobody reads.
const NEXT_TO_NOTHING: f64 = 1e-9;

/// What the noise of each measure adds to the error of the release.
pub fn weights(release: &Release) -> Vec<f64> {
    let mut weights = vec![0.0; release.measures.len()];
    for output in &release.outputs {
        match output {
            Output::Count(measure)
            | Output::Sum { sum: measure, .. }
            | Output::Logical { count: measure, .. }
            | Output::Mode { choice: measure, .. }
            | Output::Histogram { counts: measure, .. } => weights[*measure] += 1.0,
            Output::Quantile { value, ranks, .. } => {
                weights[*value] += 1.0;
                if let Some(ranks) = ranks.filter(|ranks| ranks != value) {
                    weights[ranks] += 1.0;
                }
            }
            Output::Mean { sum, count } => {
                weights[*sum] += 1.0;
                weights[*count] += OFF_THE_MIDDLE;
            }
            Output::Statistic { statistic, count, sums, .. } => {
                weights[*count] += OFF_THE_MIDDLE * OFF_THE_MIDDLE;
                for (moment, sum) in statistic.moments().iter().zip(sums) {
                    weights[*sum] += match moment {
                        Moment::XX | Moment::YY | Moment::XY => 1.0,
                        Moment::X | Moment::Y => 4.0 * OFF_THE_MIDDLE,
                    };
                }
            }
        }
    }
    // What keys are selected by is in no output, and weighs like a count; or next to nothing, where none are selected any more.
    let unread = if release.terms.keys_are_shown { NEXT_TO_NOTHING } else { 1.0 };
    weights.into_iter().map(|weight| if weight > 0.0 { weight } else { unread }).collect()
}

/// Parts of the price for measures of these weights, in whole numbers that stand to each other as the parts do.
pub fn parts(weights: &[f64], family: Family) -> Vec<u128> {
    let power = match family {
        Family::Laplace => 1.0 / 3.0,
        Family::Gaussian => 1.0 / 2.0,
    };
    weights.iter().map(|weight| (weight.powf(power) * 2f64.powi(40)).round() as u128).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// sum of w / p^e.
    fn error(weights: &[f64], parts: &[f64], family: Family) -> f64 {
        let power = if family == Family::Laplace { 2 } else { 1 };
        weights.iter().zip(parts).map(|(weight, part)| weight / part.powi(power)).sum()
    }

    #[test]
    fn no_other_split_has_less_error() {
        for weights in [[1.0, 1.0], [1.0, 1.0 / 3.0], [2.0, 4.0 / 3.0], [1.0, 1.0 / 9.0], [5.0, 1.0]] {
            for family in [Family::Laplace, Family::Gaussian] {
                let whole = parts(&weights, family);
                let sum = whole.iter().sum::<u128>() as f64;
                let got = error(&weights, &[whole[0] as f64 / sum, whole[1] as f64 / sum], family);
                let least = (1..10_000)
                    .map(|i| f64::from(i) / 1e4)
                    .map(|p| error(&weights, &[p, 1.0 - p], family))
                    .fold(f64::INFINITY, f64::min);
                assert!(got <= least * (1.0 + 1e-9), "{weights:?} {family:?}: {got} {least}");
            }
        }
    }
}
