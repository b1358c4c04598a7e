//! Choices by the exponential mechanism, sampled exactly: of a quantile, and of the most frequent value.
//!
//! *A quantile.* The candidates are all points of the lattice between the bounds. With n values in a group, those below a point y and those up to it give
//! the ranks [L(y), U(y)] that y has among them. The quantile q is at rank t = q (n - 1) + 1/2, which is the middle of the value that
//! SQL's PERCENTILE_CONT would take where it takes one, so the score of y is -d(y), its distance from t:
//!
//! d(y) = max(0, L(y) - t, t - U(y)),  P[y] proportional to 2^-min(c d(y), [`MOST`]).
//!
//! A unit that comes or goes with at most m values moves t by q times their number and L and U by no more than it, so d moves by at most
//! m max(q, 1 - q); cutting it off moves it by no more. With c ln 2 = epsilon / (2 m max(q, 1 - q)) the choice is epsilon-DP for one group
//! (McSherry and Talwar 2007), of bounded range epsilon, hence epsilon^2 / 8-zCDP (Cesar and Rogers 2021, arXiv:2004.07223); k groups
//! compose. Values that are often the same are one point with a wide range of ranks, so ties and gaps need nothing of their own. Where all
//! points are equally far, as with no values, the choice is uniform. Source of the scores on intervals: Smith 2011 (STOC).
//!
//! *The most frequent value.* The candidates are public values, and d(v) is by how much v is rarer than the most frequent one. A unit that
//! comes or goes with at most m values moves each count and their maximum the same way by 0 to m, so d by at most m: c ln 2 = epsilon / (2 m).
//!
//! *Sampling.* c is rounded down to a ratio of integers. 2^-(i + f) is 2^-i, by which whole numbers weigh, times 2^-f, a coin:
//! a point is proposed by the weights 2^([`MOST`] - i), sums of which fit 128 bits, and kept with probability 2^-f >= 1/2, else all is done again.
//! No float takes part (Ilvento 2020, arXiv:1912.04222, has base 2).

use super::sampler::{bernoulli_half_power, uniform_below};
use crate::algebra::Fraction;
use crate::num::Amount;
use rand::CryptoRng;
use ruint::aliases::U256;

/// floor(2^64 / ln 2).
const PER_LN_2: u128 = 26_613_026_195_688_644_983;

/// Exponents of 2 are cut off here: what is farther has less than 2^-56 of all probability, and weights fit 128 bits.
const MOST: u32 = 90;

/// What is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A point from the first to the last, in lattice steps. Distances are in halves of a fraction's unit.
    Quantile { at: Fraction, low: i64, high: i64 },
    /// One of so many values, which are their numbers from 0 on. Distances are numbers of rows.
    Mode { values: i64 },
}

impl Wanted {
    fn ends(&self) -> (i64, i64) {
        match *self {
            Wanted::Quantile { low, high, .. } => (low, high.max(low)),
            Wanted::Mode { values } => (0, values.max(1) - 1),
        }
    }

    /// Twice the most that one row of a unit moves a distance.
    fn twice_moved(&self) -> u64 {
        match self {
            Wanted::Quantile { at, .. } => 4 * u64::from(at.millionths().max(Fraction::ONE - at.millionths())),
            Wanted::Mode { .. } => 2,
        }
    }

    /// Distances in 1 rank or row.
    fn units(&self) -> f64 {
        match self {
            Wanted::Quantile { .. } => 2.0 * f64::from(Fraction::ONE),
            Wanted::Mode { .. } => 1.0,
        }
    }
}

/// How one value is chosen in each group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    wanted: Wanted,
    /// c, for a distance's own unit.
    rate: (U256, U256),
    /// A distance from which the exponent is [`MOST`].
    far: u128,
}

/// Points that lie next to each other and have one distance.
struct Stretch {
    first: i64,
    points: u128,
    distance: u128,
}

impl Choice {
    /// Of a group in which a unit has at most `rows` values, for `epsilon` in each group. None where no integers hold the rate.
    pub fn new(wanted: Wanted, rows: u64, epsilon: Amount) -> Option<Choice> {
        let attos = U256::from(1_000_000_000_000_000_000u128) << 64usize;
        let numerator = U256::from(epsilon.atto()).checked_mul(U256::from(PER_LN_2))?;
        let moved = U256::from(wanted.twice_moved()).checked_mul(U256::from(rows.max(1)))?;
        let denominator = attos.checked_mul(moved)?;
        let far = (denominator.checked_mul(U256::from(MOST))?).div_ceil(numerator.max(U256::ONE));
        let far = u128::try_from(far).ok().filter(|_| !numerator.is_zero())?;
        Some(Choice { wanted, rate: (numerator, denominator), far })
    }

    /// One draw for a group with these values.
    pub fn draw(&self, values: &mut [i64], rng: &mut impl CryptoRng) -> i64 {
        let (low, high) = self.wanted.ends();
        for value in values.iter_mut() {
            *value = (*value).clamp(low, high);
        }
        values.sort_unstable();
        let weight = |stretch: &Stretch| stretch.points << (MOST - self.exponent(stretch.distance).0);
        let total: u128 = self.stretches(values).map(|stretch| weight(&stretch)).sum();
        loop {
            let mut at = u128::try_from(uniform_below(rng, U256::from(total))).unwrap_or(0);
            for stretch in self.stretches(values) {
                let weighs = weight(&stretch);
                if at >= weighs {
                    at -= weighs;
                    continue;
                }
                let (whole, rest) = self.exponent(stretch.distance);
                if bernoulli_half_power(rng, rest, self.rate.1) {
                    return stretch.first + (at >> (MOST - whole)) as i64;
                }
                break;
            }
        }
    }

    /// min(c d, MOST) as a whole number and the numerator of what is left over `rate`'s denominator.
    fn exponent(&self, distance: u128) -> (u32, U256) {
        if distance >= self.far {
            return (MOST, U256::ZERO);
        }
        let (numerator, denominator) = self.rate;
        let (whole, rest) = (U256::from(distance) * numerator).div_rem(denominator);
        // Below `far` it is below MOST.
        (u32::try_from(whole).unwrap_or(MOST), rest)
    }

    /// All candidates, in order. `values` are sorted, and candidates.
    fn stretches<'a>(&self, values: &'a [i64]) -> Box<dyn Iterator<Item = Stretch> + 'a> {
        match self.wanted {
            Wanted::Quantile { at, low, high } => Box::new(points(at, (low, high.max(low)), values)),
            Wanted::Mode { values: count } => {
                let mut groups = values.chunk_by(|a, b| a == b).peekable();
                let most = values.chunk_by(|a, b| a == b).map(<[i64]>::len).max().unwrap_or(0);
                Box::new((0..count.max(1)).map(move |first| {
                    let found = groups.next_if(|same| same[0] == first).map_or(0, <[i64]>::len);
                    Stretch { first, points: 1, distance: (most - found) as u128 }
                }))
            }
        }
    }

    /// Ranks, or rows, by which e-fold probability goes: 2 m max(q, 1 - q) / epsilon, or 2 m / epsilon.
    pub fn scale(&self) -> f64 {
        let exact = crate::num::Ratio { numerator: self.rate.1, denominator: self.rate.0 }.to_f64();
        // From base 2 to e.
        exact / std::f64::consts::LN_2 / self.wanted.units()
    }

    /// Ranks, or rows, that a draw is off at most, but for the probability `alpha`: scale ln(points / alpha), since there is a point at no
    /// distance.
    pub fn half_width(&self, alpha: f64) -> f64 {
        let (low, high) = self.wanted.ends();
        let points = (high - low) as f64 + 1.0;
        self.scale() * (points / alpha).ln()
    }
}

/// The points of a lattice between these ends, with their distances from the quantile of the values.
fn points(at: Fraction, (low, high): (i64, i64), values: &[i64]) -> impl Iterator<Item = Stretch> {
    let mut groups = values.chunk_by(|a, b| a == b);
    let (mut next, mut below, mut value) = (low, 0usize, groups.next());
    std::iter::from_fn(move || {
        if next > high {
            return None;
        }
        let first = next;
        let (last, ranks) = match value {
            Some(same) if same[0] == first => {
                let ranks = (below, below + same.len());
                below += same.len();
                value = groups.next();
                (first, ranks)
            }
            Some(same) => (same[0] - 1, (below, below)),
            None => (high, (below, below)),
        };
        next = last + 1;
        let points = (last - first) as u128 + 1;
        Some(Stretch { first, points, distance: distance(at, ranks, values.len()) })
    })
}

/// In halves of a fraction's unit.
fn distance(at: Fraction, (below, up_to): (usize, usize), count: usize) -> u128 {
    let unit = 2 * i128::from(Fraction::ONE);
    let rank = |values: usize| unit * values as i128;
    let wanted = 2 * i128::from(at.millionths()) * (count as i128 - 1) + i128::from(Fraction::ONE);
    (rank(below) - wanted).max(wanted - rank(up_to)).max(0) as u128
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    fn choice(millionths: u32, (low, high): (i64, i64), rows: u64, epsilon: &str) -> Choice {
        let at = Fraction::new(millionths).unwrap();
        Choice::new(Wanted::Quantile { at, low, high }, rows, epsilon.parse().unwrap()).unwrap()
    }

    /// The probability of each point by the definition, in floating point.
    fn exact(values: &[i64], q: f64, (low, high): (i64, i64), rows: f64, epsilon: f64) -> Vec<f64> {
        let wanted = q * (values.len() as f64 - 1.0) + 0.5;
        let rank = |of: &dyn Fn(&i64) -> bool| values.iter().filter(|v| of(v)).count() as f64;
        let weight = |y: i64| {
            let (below, up_to) = (rank(&|v| *v < y), rank(&|v| *v <= y));
            let distance = (below - wanted).max(wanted - up_to).max(0.0);
            (-epsilon * distance / (2.0 * rows * q.max(1.0 - q))).exp()
        };
        let weights: Vec<f64> = (low..=high).map(weight).collect();
        let total: f64 = weights.iter().sum();
        weights.into_iter().map(|w| w / total).collect()
    }

    #[test]
    fn draws_have_exact_probabilities() {
        let mut rng = StdRng::seed_from_u64(1);
        for (values, millionths, bounds, rows, epsilon) in [
            (vec![1, 2, 4, 7], 500_000, (0, 10), 1, "1"),
            (vec![3, 3, 3, 5, 9, 9], 500_000, (0, 20), 1, "2"),
            (vec![3, 3, 3, 5, 9, 9], 900_000, (-5, 12), 3, "4"),
            (vec![-4, 0, 0, 8], 0, (-6, 9), 1, "1.5"),
            (vec![-4, 0, 0, 8], 1_000_000, (-6, 9), 2, "3"),
            (vec![1, 5, 50], 333_333, (0, 9), 1, "0.7"),
            (vec![], 250_000, (0, 5), 1, "1"),
        ] {
            let q = f64::from(millionths) / 1e6;
            let clamped: Vec<i64> = values.iter().map(|v: &i64| (*v).clamp(bounds.0, bounds.1)).collect();
            let wanted = exact(&clamped, q, bounds, rows as f64, epsilon.parse().unwrap());
            let choice = choice(millionths, bounds, rows, epsilon);
            const DRAWS: usize = 60_000;
            let mut seen = vec![0u32; wanted.len()];
            for _ in 0..DRAWS {
                seen[(choice.draw(&mut values.clone(), &mut rng) - bounds.0) as usize] += 1;
            }
            let mut statistic = 0.0;
            for (seen, p) in seen.iter().zip(&wanted) {
                let expected = p * DRAWS as f64;
                statistic += (f64::from(*seen) - expected).powi(2) / expected;
            }
            let freedom = wanted.len() as f64 - 1.0;
            let z = (statistic - freedom) / (2.0 * freedom).sqrt();
            assert!(z < 5.0, "{values:?} {q} {epsilon}: {z}");
        }
    }

    /// Probabilities of whole stretches of a fine lattice, which are those of the intervals between values, computed elsewhere to 15 digits.
    #[test]
    fn stretches_have_the_probabilities_of_intervals() {
        const FINE: i64 = 1 << 24;
        for (values, epsilon, bound, wanted) in [
            (
                vec![1, 2, 4, 7],
                "1",
                10,
                vec![0.0337254029331724, 0.091675149950702, 0.498397788464503, 0.275025449852106, 0.101176208799517],
            ),
            (
                vec![3, 3, 3, 5, 9, 9],
                "2",
                20,
                vec![0.00288669661760593, 0.776384355746881, 0.210144393370958, 0.0105845542645551],
            ),
        ] {
            let values: Vec<i64> = values.into_iter().map(|v: i64| v * FINE).collect();
            let choice = choice(500_000, (0, bound * FINE), 1, epsilon);
            let weight = |stretch: &Stretch| {
                let (whole, rest) = choice.exponent(stretch.distance);
                let rest = crate::num::Ratio { numerator: rest, denominator: choice.rate.1 }.to_f64();
                stretch.points as f64 * (-f64::from(whole) - rest).exp2()
            };
            let stretches: Vec<Stretch> = choice.stretches(&values).collect();
            let total: f64 = stretches.iter().map(weight).sum();
            let wide: Vec<f64> = stretches.iter().filter(|s| s.points > 1).map(|s| weight(s) / total).collect();
            assert_eq!(wide.len(), wanted.len());
            for (got, wanted) in wide.iter().zip(&wanted) {
                assert!((got - wanted).abs() < 1e-6, "{got} {wanted}");
            }
        }
    }

    /// For all pairs of neighbours of small groups, no point's probability moves by more than e^epsilon.
    #[test]
    fn neighbours_have_like_probabilities() {
        let all = |most: usize| -> Vec<Vec<i64>> {
            let mut sets = vec![vec![]];
            for _ in 0..most {
                let longer = |set: &Vec<i64>| (0..4).map(|v| [set.as_slice(), &[v]].concat()).collect::<Vec<_>>();
                let more: Vec<_> = sets.iter().flat_map(longer).collect();
                sets.extend(more);
            }
            sets
        };
        for q in [0.0, 0.25, 0.5, 0.9, 1.0] {
            for (rows, unit) in [(1, all(1)), (2, all(2))] {
                for others in all(3) {
                    let without = exact(&others, q, (0, 3), rows as f64, 1.0);
                    for unit in &unit {
                        let with = exact(&[others.clone(), unit.clone()].concat(), q, (0, 3), rows as f64, 1.0);
                        for (a, b) in with.iter().zip(&without) {
                            assert!((a / b).ln().abs() <= 1.0 + 1e-9, "{others:?} and {unit:?}: {a} {b}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn frequent_values_have_exact_probabilities() {
        let mut rng = StdRng::seed_from_u64(3);
        for (values, count, rows, epsilon) in
            [(vec![0, 0, 0, 2, 2, 4], 5, 1, 1.5), (vec![1, 1, 1, 1, 1, 3, 0], 4, 2, 3.0), (vec![], 3, 1, 1.0)]
        {
            let rows_of = |v: i64| values.iter().filter(|x| **x == v).count() as f64;
            let weights: Vec<f64> =
                (0..count).map(|v| (epsilon * rows_of(v) / (2.0 * f64::from(rows))).exp()).collect();
            let total: f64 = weights.iter().sum();
            let attos = Amount::from_atto((epsilon * 1e18) as u128);
            let choice = Choice::new(Wanted::Mode { values: count }, rows as u64, attos).unwrap();
            const DRAWS: usize = 60_000;
            let mut seen = vec![0u32; weights.len()];
            for _ in 0..DRAWS {
                seen[choice.draw(&mut values.clone(), &mut rng) as usize] += 1;
            }
            for (seen, weight) in seen.iter().zip(&weights) {
                let (expected, p) = (weight / total * DRAWS as f64, weight / total);
                let z = (f64::from(*seen) - expected) / (expected * (1.0 - p)).sqrt();
                assert!(z.abs() < 5.0, "{values:?}: {z}");
            }
            assert!((choice.scale() - 2.0 * f64::from(rows) / epsilon).abs() < 1e-9);
        }
    }

    #[test]
    fn extremes_neither_overflow_nor_hang() {
        let mut rng = StdRng::seed_from_u64(2);
        for epsilon in ["0.000000000001", "0.01", "1", "1000000000"] {
            for bounds in [(0, 0), (-(1 << 31), 1 << 31), (i64::MIN / 4, i64::MIN / 4 + 7)] {
                let wanted = Wanted::Quantile { at: Fraction::HALF, low: bounds.0, high: bounds.1 };
                let Some(choice) = Choice::new(wanted, u64::from(u32::MAX), epsilon.parse().unwrap()) else {
                    continue;
                };
                let mut values: Vec<i64> = (0..1000).map(|i| i * 4_000_037).chain([i64::MIN, i64::MAX]).collect();
                let drawn = choice.draw(&mut values, &mut rng);
                assert!((bounds.0..=bounds.1).contains(&drawn));
                assert!(choice.half_width(0.05) >= 0.0);
            }
        }
        // At a huge epsilon it is the value itself.
        let median = choice(500_000, (0, 1 << 32), 1, "1000000000");
        assert_eq!(median.draw(&mut [9, 7, 1 << 30], &mut rng), 9);
        let (least, greatest) = (choice(0, (0, 100), 1, "1000000000"), choice(1_000_000, (0, 100), 1, "1000000000"));
        assert_eq!((least.draw(&mut [9, 7, 44], &mut rng), greatest.draw(&mut [9, 7, 44], &mut rng)), (7, 44));
        assert!(Choice::new(Wanted::Mode { values: 3 }, 1, Amount::ZERO).is_none());
        let ranks = choice(500_000, (0, 99), 3, "0.5");
        assert!((ranks.scale() - 2.0 * 3.0 * 0.5 / 0.5).abs() < 1e-9);
    }
}
