//! Exact samplers of Canonne, Kamath and Steinke 2020 (arXiv:2004.00010), Algorithms 1 to 3, on integers.
//!
//! Every number is an integer of at most 256 bits. The one departure from the mathematical algorithm:
//! a Gaussian proposal so far out that its exponent does not fit in 256 bits is rejected outright. Within
//! the limits that [`Noise`](super::Noise) keeps, such a proposal lies more than 2^13 scales out, where its
//! acceptance probability is below exp(-2^26).

use crate::num::Ratio;
use rand::CryptoRng;
use ruint::aliases::U256;

/// Uniform on 0..bound, by rejection; `bound` > 0.
pub(super) fn uniform_below(rng: &mut impl CryptoRng, bound: U256) -> U256 {
    let bits = bound.bit_len();
    loop {
        let mut limbs = [0u64; 4];
        let used = bits.div_ceil(64);
        for limb in &mut limbs[..used] {
            *limb = rng.next_u64();
        }
        if !bits.is_multiple_of(64) {
            limbs[used - 1] &= (1u64 << (bits % 64)) - 1;
        }
        let candidate = U256::from_limbs(limbs);
        if candidate < bound {
            return candidate;
        }
    }
}

/// True with probability n/d, for n <= d and d > 0.
fn bernoulli(rng: &mut impl CryptoRng, n: U256, d: U256) -> bool {
    uniform_below(rng, d) < n
}

/// True with probability exp(-n/d) for n <= d (Algorithm 1, first case). The series' Bernoulli(n / (d k)) is
/// drawn as two independent ones, so that no product can overflow.
fn bernoulli_exp_unit(rng: &mut impl CryptoRng, n: U256, d: U256) -> bool {
    let mut k = 1u64;
    while bernoulli(rng, n, d) && bernoulli(rng, U256::ONE, U256::from(k)) {
        k += 1;
    }
    k % 2 == 1
}

/// True with probability exp(-n/d) (Algorithm 1).
fn bernoulli_exp(rng: &mut impl CryptoRng, n: U256, d: U256) -> bool {
    let (whole, rest) = n.div_rem(d);
    let mut passed = U256::ZERO;
    while passed < whole {
        if !bernoulli_exp_unit(rng, U256::ONE, U256::ONE) {
            return false;
        }
        passed += U256::ONE;
    }
    bernoulli_exp_unit(rng, rest, d)
}

/// True with probability ln 2, the sum of 1 / (k 2^k): k with probability 2^-k, then one in k.
fn bernoulli_ln_2(rng: &mut impl CryptoRng) -> bool {
    let mut k = 1u64;
    while rng.next_u32() & 1 == 1 {
        k += 1;
    }
    bernoulli(rng, U256::ONE, U256::from(k))
}

/// True with probability 2^-(n/d) for n < d: the series of exp(-x) (Algorithm 1) at x = (n/d) ln 2, whose factor is a coin of its own.
pub(super) fn bernoulli_half_power(rng: &mut impl CryptoRng, n: U256, d: U256) -> bool {
    let mut k = 1u64;
    while bernoulli(rng, n, d) && bernoulli(rng, U256::ONE, U256::from(k)) && bernoulli_ln_2(rng) {
        k += 1;
    }
    k % 2 == 1
}

/// The magnitude and sign of one discrete Laplace draw of scale t/s (Algorithm 2).
fn laplace_parts(rng: &mut impl CryptoRng, t: U256, s: U256) -> (U256, bool) {
    loop {
        let u = uniform_below(rng, t);
        if !bernoulli_exp_unit(rng, u, t) {
            continue;
        }
        let mut v = 0u64;
        while bernoulli_exp_unit(rng, U256::ONE, U256::ONE) {
            v += 1;
        }
        let magnitude = u.saturating_add(t.saturating_mul(U256::from(v))) / s;
        let negative = rng.next_u32() & 1 == 1;
        if !(negative && magnitude.is_zero()) {
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

fn signed(magnitude: U256, negative: bool) -> i128 {
    let magnitude = i128::try_from(magnitude).unwrap_or(i128::MAX);
    if negative { -magnitude } else { magnitude }
}

/// One draw with P[X = x] proportional to exp(-|x| / scale), on the integers; scale > 0.
pub fn discrete_laplace(rng: &mut impl CryptoRng, scale: Ratio) -> i128 {
    let (magnitude, negative) = laplace_parts(rng, scale.numerator, scale.denominator);
    signed(magnitude, negative)
}

/// One draw with P[X = x] proportional to exp(-x^2 / (2 variance)), on the integers (Algorithm 3); variance > 0.
pub fn discrete_gaussian(rng: &mut impl CryptoRng, variance: Ratio) -> i128 {
    let (p, q) = (variance.numerator, variance.denominator);
    // t = floor(sigma) + 1
    let t = floor_sqrt(p / q) + U256::ONE;
    let (qt, denominator) = (q * t, U256::from(2) * p * q * t * t);
    loop {
        let (magnitude, negative) = laplace_parts(rng, t, U256::ONE);
        // exp(-(|y| - variance/t)^2 / (2 variance)) = exp(-(|y| q t - p)^2 / (2 p q t^2))
        let Some(distance) = magnitude.checked_mul(qt).map(|m| m.abs_diff(p)) else { continue };
        let Some(numerator) = distance.checked_mul(distance) else { continue };
        if bernoulli_exp(rng, numerator, denominator) {
            return signed(magnitude, negative);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};
    use std::collections::BTreeMap;

    fn ratio(n: u64, d: u64) -> Ratio {
        Ratio::new(U256::from(n), U256::from(d)).unwrap()
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
            let scale = ratio(n, d);
            let draws = std::iter::repeat_with(|| discrete_laplace(&mut rng, scale));
            let z = chi_square(draws, 100_000, reach, laplace_pmf(scale.to_f64()));
            assert!(z < 5.0, "scale {n}/{d}: {z}");
        }
    }

    #[test]
    fn gaussian_matches_exact_probabilities() {
        let mut rng = StdRng::seed_from_u64(2);
        for (n, d, reach) in [(1, 4, 3), (4, 1, 9), (100, 1, 45), (7, 3, 7)] {
            let variance = ratio(n, d);
            let draws = std::iter::repeat_with(|| discrete_gaussian(&mut rng, variance));
            let z = chi_square(draws, 50_000, reach, gaussian_pmf(variance.to_f64()));
            assert!(z < 5.0, "variance {n}/{d}: {z}");
        }
    }

    #[test]
    fn the_test_itself_catches_a_half_scale_mutant() {
        let mut rng = StdRng::seed_from_u64(3);
        let draws = std::iter::repeat_with(|| discrete_laplace(&mut rng, ratio(5, 4)));
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
        let widest = (0..1000).map(|_| discrete_gaussian(&mut rng, sigma2).unsigned_abs()).max().unwrap();
        assert!(widest > 1 << 56 && widest < 6 << 56);
        let scale = Ratio::new(U256::from(1u128 << 100), U256::ONE).unwrap();
        assert!((0..100).any(|_| discrete_laplace(&mut rng, scale).unsigned_abs() > 1 << 100));
    }
}
