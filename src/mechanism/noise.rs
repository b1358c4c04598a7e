//! The noise of one column of a release, calibrated on its lattice.

use super::choice::Choice;
use super::coins::Coins;
use super::mean::Mean;
use super::sampler::{DiscreteGaussian, DiscreteLaplace};
use super::tree::Tree;
use crate::num::{Amount, Ratio};
use rand::CryptoRng;
use ruint::aliases::U256;

/// Units of an [`Amount`] in 1.
const ATTO: u128 = 1_000_000_000_000_000_000;

/// How a number becomes noisy: by additive noise on the integers, in lattice steps, or because it is chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum Noise {
    /// P[X = x] proportional to exp(-|x| / scale).
    Laplace { scale: Ratio },
    /// P[X = x] proportional to exp(-x^2 / (2 variance)).
    Gaussian { variance: Ratio },
    /// The exponential mechanism, over the points of the lattice.
    Exponential(Choice),
    /// It is read from a tree of counts, each of which has additive noise.
    Tree(Tree),
    /// Counts of so many values, each of which has additive noise.
    Histogram { values: u64, counted: Counted },
    /// Several draws of additive noise are taken together.
    Mean(Mean),
}

/// Exact draws of additive noise; what they have in common is computed once.
pub enum Sampler {
    Laplace(DiscreteLaplace),
    Gaussian(Box<DiscreteGaussian>),
    Nothing,
}

impl Sampler {
    pub fn draw(&self, coins: &mut Coins<impl CryptoRng>) -> i128 {
        match self {
            Sampler::Laplace(laplace) => laplace.draw(coins),
            Sampler::Gaussian(gaussian) => gaussian.draw(coins),
            Sampler::Nothing => 0,
        }
    }
}

/// Additive noise, as that of each of several counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counted {
    gaussian: bool,
    /// The scale of a count's noise, or its variance.
    parameter: Ratio,
}

impl Counted {
    /// None where `noise` is not additive.
    pub fn new(noise: Noise) -> Option<Counted> {
        let (gaussian, parameter) = match noise {
            Noise::Laplace { scale } => (false, scale),
            Noise::Gaussian { variance } => (true, variance),
            Noise::Exponential(_) | Noise::Tree(_) | Noise::Histogram { .. } | Noise::Mean(_) => return None,
        };
        Some(Counted { gaussian, parameter })
    }

    /// Of one count.
    pub fn noise(&self) -> Noise {
        match self.gaussian {
            true => Noise::Gaussian { variance: self.parameter },
            false => Noise::Laplace { scale: self.parameter },
        }
    }
}

impl Noise {
    /// The name of the mechanism by which numbers are chosen.
    pub const EXPONENTIAL: &str = "exponential mechanism";
    /// The name of several draws that are taken together.
    pub const MEAN: &str = "mean of several discrete draws";
    /// The names of trees, by the noise of their counts.
    pub const TREES: [&str; 2] = ["tree of discrete Laplace counts", "tree of discrete Gaussian counts"];

    /// Noise that makes a vector of L1 sensitivity `l1` (steps) `epsilon`-DP: scale l1 / epsilon, rounded up.
    /// None where epsilon is zero.
    pub fn laplace(l1: u128, epsilon: Amount) -> Option<Noise> {
        let scale = Ratio::new(U256::from(l1) * U256::from(ATTO), U256::from(epsilon.atto()))?;
        Some(Noise::Laplace { scale: scale.round_up() })
    }

    /// Noise that makes a vector of squared L2 sensitivity `l2_squared` (steps squared) `rho`-zCDP: variance
    /// l2^2 / (2 rho), rounded up (Canonne, Kamath and Steinke 2020, Theorem 14). None where rho is zero or the
    /// standard deviation would pass 2^57 steps, which the exact sampler does not take.
    pub fn gaussian(l2_squared: U256, rho: Amount) -> Option<Noise> {
        let numerator = l2_squared.checked_mul(U256::from(ATTO))?;
        let variance = Ratio::new(numerator, U256::from(rho.atto()).checked_mul(U256::from(2))?)?;
        let fits = variance.numerator / variance.denominator < U256::ONE << 114;
        fits.then(|| Noise::Gaussian { variance: variance.round_up() })
    }

    /// That of several draws of one number together, or of the one draw. None where there are none, or several that are not all additive.
    pub fn together(draws: &[Noise]) -> Option<Noise> {
        match draws {
            [one] => Some(one.clone()),
            several => Mean::new(several).map(Noise::Mean),
        }
    }

    /// Draws what is added. Nothing is, where the number is chosen or read, or made of what was drawn.
    pub fn sampler(&self) -> Sampler {
        match self {
            Noise::Laplace { scale } => Sampler::Laplace(DiscreteLaplace::new(*scale)),
            Noise::Gaussian { variance } => Sampler::Gaussian(Box::new(DiscreteGaussian::new(*variance))),
            Noise::Exponential(_) | Noise::Tree(_) | Noise::Histogram { .. } | Noise::Mean(_) => Sampler::Nothing,
        }
    }

    /// Scale b of Laplace or standard deviation of Gaussian noise, in steps; of a choice the ranks by which its probability falls e-fold, of a
    /// tree that of each count, of a mean the standard deviation.
    pub fn scale(&self) -> f64 {
        match self {
            Noise::Laplace { scale } => scale.to_f64(),
            Noise::Gaussian { variance } => variance.to_f64().sqrt(),
            Noise::Exponential(choice) => choice.scale(),
            Noise::Tree(tree) => tree.noise().scale(),
            Noise::Histogram { counted, .. } => counted.noise().scale(),
            Noise::Mean(mean) => mean.variance().sqrt(),
        }
    }

    /// In squares of steps: that of discrete Laplace noise is 2 r / (1 - r)^2 with r = exp(-1 / b); that of discrete Gaussian noise is its
    /// parameter, unless that is small. Of what is chosen, that of the rank, of which the probability falls like Laplace noise's; of a tree, that of
    /// a number of its last level.
    pub fn variance(&self) -> f64 {
        match self {
            Noise::Laplace { scale } => {
                let a = 1.0 / scale.to_f64();
                // 2 r / (1 - r)^2 = 1 / (2 sinh^2(a / 2)); and where sinh is infinite, nothing.
                0.5 / (a / 2.0).sinh().powi(2)
            }
            Noise::Gaussian { variance } => gaussian_variance(variance.to_f64()),
            Noise::Exponential(choice) => 2.0 * choice.scale() * choice.scale(),
            Noise::Tree(tree) => tree.noise().variance(),
            Noise::Histogram { counted, .. } => counted.noise().variance(),
            Noise::Mean(mean) => mean.variance(),
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Noise::Laplace { .. } => "discrete Laplace",
            Noise::Gaussian { .. } => "discrete Gaussian",
            Noise::Exponential(_) => Noise::EXPONENTIAL,
            Noise::Histogram { counted, .. } => counted.noise().name(),
            Noise::Mean(_) => Noise::MEAN,
            Noise::Tree(tree) => Noise::TREES[usize::from(matches!(tree.noise(), Noise::Gaussian { .. }))],
        }
    }
}

/// sum x^2 w(x) / sum w(x) with w(x) = exp(-x^2 / 2 parameter); from 16 on it is the parameter to 1e-100.
fn gaussian_variance(parameter: f64) -> f64 {
    if parameter >= 16.0 {
        return parameter;
    }
    let weights = (1..160).map(|x| f64::from(x * x)).map(|squared| (squared, (-squared / (2.0 * parameter)).exp()));
    let (above, all) =
        weights.fold((0.0, 0.5), |(above, all), (squared, weight)| (above + squared * weight, all + weight));
    above / all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Amount {
        text.parse().unwrap()
    }

    #[test]
    fn scales_are_calibrated_and_rounded_up() {
        let scale = |l1, epsilon| Noise::laplace(l1, amount(epsilon)).unwrap().scale();
        assert_eq!(scale(1, "1"), 1.0);
        assert_eq!(scale(10, "0.5"), 20.0);
        assert!(scale(1, "3") >= 1.0 / 3.0 && scale(1, "3") < 1.0 / 3.0 + 1e-9);
        let sigma = |l2: u64, rho| Noise::gaussian(U256::from(l2), amount(rho)).unwrap().scale();
        assert_eq!(sigma(1, "0.5"), 1.0);
        assert_eq!(sigma(400, "0.5"), 20.0);
    }

    #[test]
    fn what_cannot_be_calibrated_is_none() {
        assert_eq!(Noise::laplace(1, Amount::ZERO), None);
        assert_eq!(Noise::gaussian(U256::ONE, Amount::ZERO), None);
        assert_eq!(Noise::gaussian(U256::ONE << 120, amount("0.000001")), None);
        assert_eq!(Noise::gaussian(U256::MAX, amount("1")), None);
    }
}
