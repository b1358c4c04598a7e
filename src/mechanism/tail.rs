//! Upper tails of the noise.

use super::Noise;
use super::interval::two_sided_tail;
use super::mean::MeanTail;

/// P[X >= x] for whole x, as a function that is cheap to ask often.
pub struct Tail(Law);

enum Law {
    /// r = exp(-1/b), and its scale b.
    Laplace { ratio: f64, scale: f64 },
    /// `above[i]` is the sum of the weights of all integers from i on; the sum of all weights.
    Summed { above: Vec<f64>, total: f64 },
    /// Standard deviation of a discrete Gaussian too wide to add up.
    Wide { sigma: f64 },
    /// Of several draws.
    Mean(Box<MeanTail>),
}

/// Below this standard deviation the probabilities are added up one by one.
const SUMMED_BELOW: f64 = 300.0;

impl Tail {
    pub fn of(noise: &Noise) -> Tail {
        Tail(match noise {
            // Keys are not selected by what is chosen or read.
            Noise::Tree(tree) => return Tail::of(&tree.noise()),
            Noise::Histogram { counted, .. } => return Tail::of(&counted.noise()),
            Noise::Mean(mean) => Law::Mean(Box::new(mean.tail())),
            Noise::Exponential(choice) => {
                let scale = choice.scale();
                Law::Laplace { ratio: (-1.0 / scale).exp(), scale }
            }
            Noise::Laplace { scale } => {
                let scale = scale.to_f64();
                Law::Laplace { ratio: (-1.0 / scale).exp(), scale }
            }
            Noise::Gaussian { variance } => {
                let variance = variance.to_f64();
                let sigma = variance.sqrt();
                if sigma < SUMMED_BELOW {
                    // 40 deviations out the weight is below 1e-340.
                    let reach = (sigma * 40.0).ceil().max(2.0) as usize;
                    let mut above = vec![0.0; reach + 1];
                    for x in (1..reach).rev() {
                        let x2 = (x * x) as f64;
                        above[x] = above[x + 1] + (-x2 / (2.0 * variance)).exp();
                    }
                    let total = 1.0 + 2.0 * above[1];
                    above[0] = above[1] + 1.0;
                    Law::Summed { above, total }
                } else {
                    Law::Wide { sigma }
                }
            }
        })
    }

    /// P[X >= x], never too small but for rounding. Discrete Laplace: r^x / (1 + r) for x > 0. A wide discrete Gaussian: by
    /// the integral from x - 1, over a normaliser of at least sigma sqrt(2 pi) (Canonne, Kamath and Steinke 2020, Fact 19).
    pub fn at_least(&self, x: f64) -> f64 {
        if x <= 0.0 {
            return (1.0 - self.at_least_positive(1.0 - x)).clamp(0.0, 1.0);
        }
        self.at_least_positive(x)
    }

    fn at_least_positive(&self, x: f64) -> f64 {
        match &self.0 {
            Law::Laplace { ratio, scale } => (-x / scale).exp() / (1.0 + ratio),
            Law::Summed { above, total } => above.get(x as usize).map_or(0.0, |sum| sum / total),
            Law::Mean(tail) => tail.at_least(x),
            Law::Wide { sigma } => 0.5 * two_sided_tail((x - 1.0) / sigma),
        }
    }

    /// The least whole x >= 1 with P[X >= x] <= `probability`, for 0 < `probability` < 1/2. None where it is above 2^50: doubles
    /// that large are not all the whole numbers.
    pub fn least(&self, probability: f64) -> Option<f64> {
        // Rounding must not let a smaller one through.
        let fits = |x: f64| self.at_least(x) <= probability * (1.0 - 1e-9);
        let mut high = 1.0;
        while !fits(high) {
            high *= 2.0;
            if high > 2f64.powi(50) {
                return None;
            }
        }
        let mut low = (high / 2.0f64).floor();
        while high - low > 1.0 {
            let middle = ((low + high) / 2.0).floor();
            if fits(middle) { high = middle } else { low = middle }
        }
        Some(high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num::Ratio;
    use ruint::aliases::U256;

    #[test]
    fn tails_match_reference_numbers() {
        // P[X >= x], evaluated to 50 digits elsewhere.
        let laplace = |scale| Tail::of(&Noise::Laplace { scale });
        for (scale, x, wanted) in [
            (Ratio::of(1, 2), 1.0, 0.119202922022118),
            (Ratio::of(1, 2), 10.0, 1.81545808790741e-09),
            (Ratio::of(5, 2), 2.0, 0.269007706148091),
            (Ratio::of(5, 2), 20.0, 0.000200837335754129),
        ] {
            let got = laplace(scale).at_least(x);
            assert!((got - wanted).abs() < 1e-12 * wanted.max(1e-3), "{x}: {got} {wanted}");
        }
        let gaussian = Tail::of(&Noise::Gaussian { variance: Ratio::of(4, 1) });
        assert!((gaussian.at_least(14.0) / 4.69164371662002e-12 - 1.0).abs() < 1e-9, "{}", gaussian.at_least(14.0));
        for tail in [laplace(Ratio::of(3, 1)), Tail::of(&Noise::Gaussian { variance: Ratio::of(9, 1) })] {
            for x in -20..20 {
                let sum = tail.at_least(f64::from(x)) + tail.at_least(f64::from(1 - x));
                assert!((sum - 1.0).abs() < 1e-12, "{x}: {sum}");
            }
        }
    }

    #[test]
    fn the_two_ways_of_gaussian_tails_meet() {
        let (below, above) = (Ratio::of(299 * 299, 1), Ratio::of(301 * 301, 1));
        let (below, above) =
            (Tail::of(&Noise::Gaussian { variance: below }), Tail::of(&Noise::Gaussian { variance: above }));
        for x in [1.0, 300.0, 1000.0, 2000.0] {
            let (a, b) = (below.at_least(x), above.at_least(x * 301.0 / 299.0 - 0.01));
            assert!(b >= a * 0.999 && b < a * 1.05, "{x}: {a} {b}");
        }
    }

    #[test]
    fn tails_that_go_on_for_ever_have_no_least() {
        for noise in [
            Noise::Laplace { scale: Ratio::of(u64::MAX.into(), 4) },
            Noise::Gaussian { variance: Ratio::new(U256::ONE << 112, U256::ONE).unwrap() },
        ] {
            assert_eq!(Tail::of(&noise).least(1e-9), None);
        }
    }

    #[test]
    fn the_least_is_least() {
        for noise in [Noise::Laplace { scale: Ratio::of(7, 2) }, Noise::Gaussian { variance: Ratio::of(50, 1) }] {
            let tail = Tail::of(&noise);
            for probability in [0.4, 1e-3, 1e-9, 1e-15] {
                let x = tail.least(probability).unwrap();
                assert!(
                    tail.at_least(x) <= probability
                        && (x == 1.0 || tail.at_least(x - 1.0) > probability * (1.0 - 1e-8))
                );
            }
        }
    }
}
