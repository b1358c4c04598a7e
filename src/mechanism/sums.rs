//! Tails of sums of noise.

use super::Noise;

/// A number that the sum of so many independent noises, each times a weight from 0 to 1, exceeds with at most this probability. The noises
/// are symmetric, so it holds of the other side as well.
///
/// Chernoff: P[S >= w] <= exp(-s w) E[exp(s S)] for every s > 0, so w = (ln(1 / p) + ln E[exp(s S)]) / s will do, and the best s is searched for.
/// E[exp(s X)] grows with a weight, so that all of 1 are the worst.
pub fn sum_half_width(noise: &Noise, count: u64, probability: f64) -> f64 {
    let width = |s: f64| ((1.0 / probability).ln() + count as f64 * log_moment(noise, s)) / s;
    // The logarithm of s; the width falls, then rises.
    let most = if let Noise::Laplace { .. } = noise { 1.0 } else { 1e3 };
    let (mut low, mut high) = ((1e-6 / noise.scale()).ln(), (most / noise.scale()).ln());
    for _ in 0..200 {
        let third = (high - low) / 3.0;
        let (a, b) = (low + third, high - third);
        if width(a.exp()) <= width(b.exp()) { high = b } else { low = a }
    }
    let found = width(low.exp());
    if found.is_nan() { f64::INFINITY } else { found }
}

/// ln E[exp(s X)]. Discrete Laplace with a = 1 / scale, for |s| < a: (cosh a - 1) / (cosh a - cosh s), by its own geometric series. A
/// discrete Gaussian is subgaussian: at most s^2 variance / 2 (Canonne, Kamath and Steinke 2020, arXiv:2004.00010).
fn log_moment(noise: &Noise, s: f64) -> f64 {
    match noise {
        Noise::Laplace { scale } => {
            let a = 1.0 / scale.to_f64();
            let half = |x: f64| (x / 2.0).sinh();
            match s < a {
                // sinh would overflow, where the noise is next to nothing.
                true if a > 600.0 => -(-(s - a).exp()).ln_1p(),
                true => 2.0 * half(a).ln() - half(a + s).ln() - half(a - s).ln(),
                false => f64::INFINITY,
            }
        }
        Noise::Gaussian { variance } => s * s * variance.to_f64() / 2.0,
        Noise::Exponential(_) | Noise::Tree(_) | Noise::Histogram { .. } | Noise::Mean(_) => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::super::coins::Coins;
    use super::*;
    use crate::num::Ratio;
    use rand::{SeedableRng, rngs::StdRng};

    #[test]
    fn moments_are_those_of_the_distribution() {
        for scale in [0.5, 2.0, 7.5] {
            let noise = Noise::Laplace { scale: Ratio::of((scale * 2.0) as u128, 2) };
            let (ratio, s) = ((-1.0f64 / scale).exp(), 0.6 / scale);
            let sum: f64 = (-2_000..2_000).map(f64::from).map(|x| (s * x - x.abs() / scale).exp()).sum();
            let exact = (sum * (1.0 - ratio) / (1.0 + ratio)).ln();
            assert!((log_moment(&noise, s) - exact).abs() < 1e-9, "{scale}");
        }
    }

    #[test]
    fn widths_of_gaussian_sums_are_known() {
        let noise = Noise::Gaussian { variance: Ratio::of(25, 1) };
        // sqrt(2 V ln(1 / p)) for the variance V of the sum.
        let width = sum_half_width(&noise, 46, 0.01);
        assert!((width / (2.0f64 * 25.0 * 46.0 * 100f64.ln()).sqrt() - 1.0).abs() < 1e-9, "{width}");
    }

    #[test]
    fn sums_exceed_their_width_as_rarely_as_is_said() {
        let mut rng = StdRng::seed_from_u64(1);
        for noise in [Noise::Laplace { scale: Ratio::of(4, 1) }, Noise::Gaussian { variance: Ratio::of(9, 1) }] {
            for (count, probability) in [(1, 0.1), (20, 0.1), (20, 0.01)] {
                let width = sum_half_width(&noise, count, probability);
                let (sampler, mut coins) = (noise.sampler(), Coins::new(&mut rng));
                let draw = |_| (0..count).map(|_| sampler.draw(&mut coins)).sum::<i128>() as f64 > width;
                let exceeded = (0..4_000).map(draw).filter(|e| *e).count() as f64 / 4_000.0;
                assert!(exceeded <= probability, "{noise:?} {count}: {exceeded}");
                // Nor is it far too wide.
                assert!(count == 1 || exceeded > probability / 30.0, "{noise:?} {count}: {exceeded}");
            }
        }
        // From next to no noise to more than any number of rows.
        for by in [1 << 40, 1 << 12, 100, 1] {
            for count in 1..70 {
                let widths = [Ratio::of(1, by), Ratio::of(by, 1)]
                    .map(|scale| sum_half_width(&Noise::Laplace { scale }, count, 1e-6));
                assert!(widths.iter().all(|width| width.is_finite() && *width > 0.0), "{by} {count}: {widths:?}");
            }
        }
    }
}
