//! Exact samplers of Canonne, Kamath and Steinke 2020 (arXiv:2004.00010), Algorithms 1 to 3, on integers.
//!
//! Every number is an integer of at most 256 bits, and of 64 or 128 where those hold it. The one departure from the mathematical algorithm:
//! a Gaussian proposal so far out that its exponent does not fit in 256 bits is rejected outright. Within
//! the limits that [`Noise`](super::Noise) keeps, such a proposal lies more than 2^13 scales out, where its
//! acceptance probability is below exp(-2^26).

use super::coins::Coins;
use super::whole::Whole;
use crate::num::Ratio;
use rand::CryptoRng;
use ruint::aliases::U256;

/// Uniform on 0..bound; `bound` > 0.
pub(super) fn uniform_below(rng: &mut impl CryptoRng, bound: U256) -> U256 {
    Whole::below(&mut Coins::new(rng), bound)
}

/// True with probability n/d, for n <= d and d > 0.
fn bernoulli<N: Whole>(coins: &mut Coins<impl CryptoRng>, n: N, d: N) -> bool {
    N::below(coins, d) < n
}

/// True with probability 1/k.
fn one_in(coins: &mut Coins<impl CryptoRng>, k: u64) -> bool {
    u64::below(coins, k) == 0
}

/// True with probability exp(-n/d) for n <= d (Algorithm 1, first case). The series' Bernoulli(n / (d k)) is
/// drawn as two independent ones, so that no product can overflow.
fn bernoulli_exp_unit<N: Whole>(coins: &mut Coins<impl CryptoRng>, n: N, d: N) -> bool {
    let mut k = 1u64;
    while bernoulli(coins, n, d) && one_in(coins, k) {
        k += 1;
    }
    k % 2 == 1
}

/// True with probability exp(-1): the same, where all first coins are sure, and so is one in one.
fn bernoulli_exp_one(coins: &mut Coins<impl CryptoRng>) -> bool {
    let mut k = 2u64;
    while one_in(coins, k) {
        k += 1;
    }
    k % 2 == 1
}

/// True with probability exp(-n/d) (Algorithm 1).
fn bernoulli_exp<N: Whole>(coins: &mut Coins<impl CryptoRng>, n: N, d: N) -> bool {
    let (whole, rest) = n.div_rem(d);
    let mut passed = 0u64;
    while N::from_u64(passed) < whole {
        if !bernoulli_exp_one(coins) {
            return false;
        }
        passed += 1;
    }
    bernoulli_exp_unit(coins, rest, d)
}

/// True with probability ln 2, the sum of 1 / (k 2^k): k with probability 2^-k, then one in k.
fn bernoulli_ln_2(coins: &mut Coins<impl CryptoRng>) -> bool {
    let mut k = 1u64;
    while coins.is_heads() {
        k += 1;
    }
    one_in(coins, k)
}

/// True with probability 2^-(n/d) for n < d: the series of exp(-x) (Algorithm 1) at x = (n/d) ln 2, whose factor is a coin of its own.
pub(super) fn bernoulli_half_power(rng: &mut impl CryptoRng, n: U256, d: U256) -> bool {
    let (mut k, coins) = (1u64, &mut Coins::new(rng));
    while bernoulli(coins, n, d) && one_in(coins, k) && bernoulli_ln_2(coins) {
        k += 1;
    }
    k % 2 == 1
}

/// The magnitude and sign of one discrete Laplace draw of scale t/s (Algorithm 2).
fn laplace_parts<N: Whole>(coins: &mut Coins<impl CryptoRng>, t: N, s: N) -> (u128, bool) {
    loop {
        let u = N::below(coins, t);
        if !bernoulli_exp_unit(coins, u, t) {
            continue;
        }
        let mut v = 0u64;
        while bernoulli_exp_one(coins) {
            v += 1;
        }
        let magnitude = u.stepped(t, v, s);
        let negative = coins.is_heads();
        if !(negative && magnitude == 0) {
            return (magnitude, negative);
        }
    }
}

/// floor(sqrt(n)), by Newton's method from above.
pub(super) fn floor_sqrt(n: U256) -> U256 {
    if n.is_zero() {
        return n;
    }
    let mut root = U256::ONE << n.bit_len().div_ceil(2);
    loop {
        let next = (root + n / root) >> 1;
        if next >= root {
            return root;
        }
        root = next;
    }
}

fn signed(magnitude: u128, negative: bool) -> i128 {
    let magnitude = i128::try_from(magnitude).unwrap_or(i128::MAX);
    if negative { -magnitude } else { magnitude }
}

/// Discrete Laplace noise: P[X = x] proportional to exp(-|x| / scale), on the integers; scale > 0.
pub struct DiscreteLaplace {
    scale: Ratio,
    narrow: Option<(u64, u64)>,
}

impl DiscreteLaplace {
    pub fn new(scale: Ratio) -> Self {
        let narrow = u64::try_from(scale.numerator).ok().zip(u64::try_from(scale.denominator).ok());
        DiscreteLaplace { scale, narrow }
    }

    pub fn draw(&self, coins: &mut Coins<impl CryptoRng>) -> i128 {
        let (magnitude, negative) = match self.narrow {
            Some((t, s)) => laplace_parts(coins, t, s),
            None => laplace_parts(coins, self.scale.numerator, self.scale.denominator),
        };
        signed(magnitude, negative)
    }
}

/// Discrete Gaussian noise: P[X = x] proportional to exp(-x^2 / (2 variance)), on the integers (Algorithm 3); variance p/q > 0, below
/// 2^114. With t = floor(sigma) + 1, a draw y of discrete Laplace noise of scale t is taken with probability
/// exp(-(|y| - variance/t)^2 / (2 variance)) = exp(-(|y| q t - p)^2 / (2 p q t^2)).
pub struct DiscreteGaussian {
    p: U256,
    qt: U256,
    denominator: U256,
    proposal: DiscreteLaplace,
    /// The same, where they fit.
    narrow: Option<(u64, u64, u128)>,
}

impl DiscreteGaussian {
    pub fn new(variance: Ratio) -> Self {
        let (p, q) = (variance.numerator, variance.denominator);
        let t = floor_sqrt(p / q) + U256::ONE;
        let (qt, denominator) = (q * t, U256::from(2) * p * q * t * t);
        let narrow = u64::try_from(p).ok().zip(u64::try_from(qt).ok()).zip(u128::try_from(denominator).ok());
        DiscreteGaussian {
            p,
            qt,
            denominator,
            proposal: DiscreteLaplace::new(Ratio { numerator: t, denominator: U256::ONE }),
            narrow: narrow.map(|((p, qt), denominator)| (p, qt, denominator)),
        }
    }

    pub fn draw(&self, coins: &mut Coins<impl CryptoRng>) -> i128 {
        loop {
            let drawn = self.proposal.draw(coins);
            if self.is_taken(drawn.unsigned_abs(), coins) {
                return drawn;
            }
        }
    }

    fn is_taken(&self, magnitude: u128, coins: &mut Coins<impl CryptoRng>) -> bool {
        let narrow = self.narrow.and_then(|(p, qt, denominator)| {
            let distance = magnitude.checked_mul(qt.into())?.abs_diff(p.into());
            Some((distance.checked_mul(distance)?, denominator))
        });
        if let Some((numerator, denominator)) = narrow {
            return bernoulli_exp(coins, numerator, denominator);
        }
        let distance = U256::from(magnitude).checked_mul(self.qt).map(|m| m.abs_diff(self.p));
        match distance.and_then(|distance| distance.checked_mul(distance)) {
            Some(numerator) => bernoulli_exp(coins, numerator, self.denominator),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};
    use std::collections::BTreeMap;

    fn laplace(rng: &mut StdRng, scale: Ratio) -> impl Iterator<Item = i128> {
        let (laplace, mut coins) = (DiscreteLaplace::new(scale), Coins::new(rng));
        std::iter::repeat_with(move || laplace.draw(&mut coins))
    }

    fn gaussian(rng: &mut StdRng, variance: Ratio) -> impl Iterator<Item = i128> {
        let (gaussian, mut coins) = (DiscreteGaussian::new(variance), Coins::new(rng));
        std::iter::repeat_with(move || gaussian.draw(&mut coins))
    }

    /// Pearson's statistic of `draws` against P[x] = `pmf`, cells of less than 20 expected pooled, as
    /// standard deviations above its mean.
    fn chi_square(draws: impl Iterator<Item = i128>, count: usize, reach: i128, pmf: impl Fn(i128) -> f64) -> f64 {
        let mut seen: BTreeMap<i128, u64> = BTreeMap::new();
        for draw in draws.take(count) {
            *seen.entry(draw.clamp(-reach, reach)).or_default() += 1;
        }
        let inner: f64 = (1 - reach..reach).map(&pmf).sum();
        let (mut statistic, mut cells, mut pooled) = (0.0, 0usize, (0.0, 0.0));
        for x in -reach..=reach {
            let p = if x.abs() == reach { (1.0 - inner) / 2.0 } else { pmf(x) };
            pooled = (pooled.0 + p * count as f64, pooled.1 + *seen.get(&x).unwrap_or(&0) as f64);
            if pooled.0 >= 20.0 || x == reach {
                statistic += (pooled.1 - pooled.0).powi(2) / pooled.0.max(1e-9);
                cells += 1;
                pooled = (0.0, 0.0);
            }
        }
        let freedom = (cells - 1) as f64;
        (statistic - freedom) / (2.0 * freedom).sqrt()
    }

    fn laplace_pmf(scale: f64) -> impl Fn(i128) -> f64 {
        let r = (-1.0 / scale).exp();
        move |x| (1.0 - r) / (1.0 + r) * r.powi(x.unsigned_abs() as i32)
    }

    fn gaussian_pmf(variance: f64) -> impl Fn(i128) -> f64 {
        let weight = move |x: i128| (-(x as f64).powi(2) / (2.0 * variance)).exp();
        let total: f64 = (-400..=400).map(weight).sum();
        move |x| weight(x) / total
    }

    #[test]
    fn laplace_matches_exact_probabilities() {
        let mut rng = StdRng::seed_from_u64(1);
        for (n, d, reach) in [(1, 2, 4), (5, 2, 16), (10, 1, 60), (1, 1, 8), (1 << 20, 1 << 20, 8)] {
            let scale = Ratio::of(n, d);
            let draws = laplace(&mut rng, scale);
            let z = chi_square(draws, 100_000, reach, laplace_pmf(scale.to_f64()));
            assert!(z < 5.0, "scale {n}/{d}: {z}");
        }
    }

    #[test]
    fn gaussian_matches_exact_probabilities() {
        let mut rng = StdRng::seed_from_u64(2);
        for (n, d, reach) in [(1, 4, 3), (4, 1, 9), (100, 1, 45), (7, 3, 7)] {
            let variance = Ratio::of(n, d);
            let draws = gaussian(&mut rng, variance);
            let z = chi_square(draws, 50_000, reach, gaussian_pmf(variance.to_f64()));
            assert!(z < 5.0, "variance {n}/{d}: {z}");
        }
    }

    #[test]
    fn the_test_itself_catches_a_half_scale_mutant() {
        let mut rng = StdRng::seed_from_u64(3);
        let draws = laplace(&mut rng, Ratio::of(5, 4));
        assert!(chi_square(draws, 20_000, 16, laplace_pmf(2.5)) > 50.0);
    }

    #[test]
    fn reference_probabilities_are_those_of_the_tests() {
        // pmf of discrete Laplace at scale 2.5 and of discrete Gaussian at variance 4, to 15 digits.
        assert!((laplace_pmf(2.5)(0) - 0.197375320224904).abs() < 1e-14);
        assert!((laplace_pmf(2.5)(10) - 0.00361505509078761).abs() < 1e-14);
        assert!((gaussian_pmf(4.0)(2) - 0.120985362259572).abs() < 1e-13);
    }

    #[test]
    fn powers_of_a_half_are_exact_coins() {
        let mut rng = StdRng::seed_from_u64(5);
        for (n, d) in [(0u64, 1u64), (1, 3), (1, 2), (9, 10)] {
            let heads = (0..100_000).filter(|_| bernoulli_half_power(&mut rng, U256::from(n), U256::from(d))).count();
            let p = (-(n as f64) / d as f64).exp2();
            let z = (heads as f64 - 1e5 * p) / (1e5 * p * (1.0 - p)).sqrt().max(1e-9);
            assert!(z.abs() < 5.0, "{n}/{d}: {z}");
        }
    }

    #[test]
    fn square_roots_are_floors() {
        for n in (0u64..2000).chain([u64::MAX - 1, u64::MAX, (1 << 32) - 1, 1 << 62]) {
            let root = floor_sqrt(U256::from(n));
            assert!(root * root <= U256::from(n) && (root + U256::ONE) * (root + U256::ONE) > U256::from(n), "{n}");
        }
    }

    #[test]
    fn wide_scales_stay_exact_and_finite() {
        let mut rng = StdRng::seed_from_u64(4);
        let sigma2 = Ratio::new(U256::from(1u128 << 112), U256::ONE).unwrap();
        let widest = gaussian(&mut rng, sigma2).take(1000).map(i128::unsigned_abs).max().unwrap();
        assert!(widest > 1 << 56 && widest < 6 << 56);
        let scale = Ratio::new(U256::from(1u128 << 100), U256::ONE).unwrap();
        assert!(laplace(&mut rng, scale).take(100).any(|x| x.unsigned_abs() > 1 << 100));
    }
}
