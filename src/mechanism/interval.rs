//! Central intervals of the noise, from its exact distribution.

use super::Noise;
use super::mean::Mean;
use super::tail::Tail;

impl Noise {
    /// The least whole number a of steps with P[|X| > a] <= alpha, for 0 < alpha < 1: the exact value lies
    /// within a of the noisy one with probability at least 1 - alpha. Of a choice and of a tree it is of ranks.
    pub fn half_width(&self, alpha: f64) -> f64 {
        match self {
            Noise::Laplace { scale } => laplace_half_width(scale.to_f64(), alpha),
            Noise::Gaussian { variance } => gaussian_half_width(self, variance.to_f64().sqrt(), alpha),
            Noise::Exponential(choice) => choice.half_width(alpha),
            Noise::Tree(tree) => tree.half_width(alpha),
            Noise::Histogram { counted, .. } => counted.noise().half_width(alpha),
            Noise::Mean(mean) => mean_half_width(self, mean, alpha),
        }
    }
}

/// P[|X| > a] = 2 r^(a+1) / (1 + r) with r = exp(-1/b): solved for the least integer a.
fn laplace_half_width(b: f64, alpha: f64) -> f64 {
    let r = (-1.0 / b).exp();
    let solved = b * (2.0 / (alpha * (1.0 + r))).ln() - 1.0;
    // One unit in the last place above the exact solution must not cost a whole step.
    (solved - 1e-9 * solved.abs().max(1e-3)).ceil().max(0.0)
}

/// P[|X| > a] is twice the upper tail from a + 1 on. Where that is too far out for the tail, the integral bounds it just as well.
fn gaussian_half_width(noise: &Noise, sigma: f64, alpha: f64) -> f64 {
    let least = Tail::of(noise).least(alpha / 2.0);
    least.map_or_else(|| (sigma * normal_quantile(alpha)).ceil(), |from| from - 1.0)
}

/// As for Gaussian noise. Where that is too far out for the tail, each draw is off by less than its own half-width, but for its share of
/// alpha, and the mean by less than the mean of these.
fn mean_half_width(noise: &Noise, mean: &Mean, alpha: f64) -> f64 {
    let least = Tail::of(noise).least(alpha / 2.0);
    least.map_or_else(|| mean.apart(alpha), |from| from - 1.0)
}

/// z with P[|Z| > z] = alpha for a standard normal Z, by bisection on the complementary error function.
pub(super) fn normal_quantile(alpha: f64) -> f64 {
    let (mut low, mut high) = (0.0, 40.0);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if two_sided_tail(middle) > alpha { low = middle } else { high = middle }
    }
    high
}

/// P[|Z| > z], by the series of the distribution function up to z = 3 and Laplace's continued fraction beyond.
/// Source: Abramowitz and Stegun, 26.2.11 and 26.2.14.
pub(super) fn two_sided_tail(z: f64) -> f64 {
    let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if z < 3.0 {
        let (mut term, mut sum, mut n) = (z, z, 1.0);
        while term > 1e-18 * sum {
            n += 2.0;
            term *= z * z / n;
            sum += term;
        }
        (1.0 - 2.0 * density * sum).max(0.0)
    } else {
        let fraction = (1..=200).rev().fold(z, |below, k| z + f64::from(k) / below);
        2.0 * density / fraction
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num::Ratio;
    use ruint::aliases::U256;

    fn laplace_tail(b: f64, a: f64) -> f64 {
        let r = (-1.0 / b).exp();
        2.0 * r.powf(a + 1.0) / (1.0 + r)
    }

    #[test]
    fn laplace_widths_are_least() {
        for b in [0.3, 1.0, 2.5, 20.0, 1e6] {
            for alpha in [0.5, 0.05, 0.01, 1e-6] {
                let a = laplace_half_width(b, alpha);
                assert!(laplace_tail(b, a) <= alpha * (1.0 + 1e-6), "{b} {alpha}: {a}");
                assert!(a == 0.0 || laplace_tail(b, a - 1.0) > alpha * (1.0 - 1e-6), "{b} {alpha}: {a} is not least");
            }
        }
    }

    #[test]
    fn gaussian_widths_match_reference_numbers() {
        // sigma 1, 5, 20 at alpha 0.05: P[|X| >= a] <= alpha first at 3, 11, 40, so P[|X| > a] at one less.
        for (sigma, a) in [(1u64, 2.0), (5, 10.0), (20, 39.0)] {
            let variance = Ratio::new(U256::from(sigma * sigma), U256::ONE).unwrap();
            assert_eq!(Noise::Gaussian { variance }.half_width(0.05), a, "sigma {sigma}");
        }
        assert!((normal_quantile(0.05) - 1.959963984540054).abs() < 1e-12);
        assert!((normal_quantile(1e-9) - 6.109410204869).abs() < 1e-9);
    }

    #[test]
    fn the_ways_of_gaussian_widths_meet() {
        let width = |sigma: u128, by: u128| {
            let variance = Ratio::new(U256::from(sigma * sigma), U256::from(by * by)).unwrap();
            Noise::Gaussian { variance }.half_width(0.05)
        };
        // Summed and integrated; integrated and too far out.
        assert!((width(2999, 10) - width(3001, 10)).abs() <= 2.0);
        let far = 1u128 << 52;
        assert!((width(far, 1) / (2.0 * width(far >> 1, 1)) - 1.0).abs() < 1e-9);
    }
}
