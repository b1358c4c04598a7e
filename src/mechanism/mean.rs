//! Several independent draws of one number, taken together as their mean with weights of inverse variance: of all weights, those leave
//! the least variance, 1 / (1 / v_1 + 1 / v_2 + ...).
//!
//! *Its interval* is that of the weighted sum S of the noises, not of a normal distribution that is like it. P[S >= t] is the sum over the values
//! of all noises but one, of the last one's exact tail. The others are added up in blocks, each value moved up to the end of
//! its block, so that the result is never too small; a block is a 32nd of the standard deviation. The mean is rounded to a whole step, and the
//! half step is in the tail.

use super::Noise;
use super::noise::Counted;
use super::tail::Tail;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Two draws or more.
#[derive(Clone, Debug, PartialEq)]
pub struct Mean {
    draws: Arc<[Counted]>,
    /// One over each variance.
    precisions: Arc<[f64]>,
}

/// Blocks of a standard deviation.
const BLOCKS: f64 = 32.0;
/// Most blocks from the least to the largest value that is looked at, where noises differ much.
const MOST_BLOCKS: f64 = 4000.0;
/// What is left of a noise beyond the values that are looked at; it counts as beyond all of them.
const LEFT: f64 = 1e-14;

impl Mean {
    /// None where there are no draws, or one of them is not of additive noise.
    pub fn new(draws: &[Noise]) -> Option<Mean> {
        let draws = draws.iter().map(|noise| Counted::new(noise.clone())).collect::<Option<Arc<[Counted]>>>()?;
        // No noise at all weighs as much as a very little.
        let precisions = draws.iter().map(|counted| 1.0 / counted.noise().variance().max(1e-30)).collect();
        (!draws.is_empty()).then_some(Mean { draws, precisions })
    }

    pub fn draws(&self) -> impl Iterator<Item = Noise> {
        self.draws.iter().map(Counted::noise)
    }

    pub fn variance(&self) -> f64 {
        1.0 / self.precisions.iter().sum::<f64>()
    }

    /// The mean of one number's draws, to the nearest step.
    pub fn of(&self, numbers: impl Iterator<Item = i128>) -> i128 {
        let numbers: Vec<i128> = numbers.collect();
        let Some(first) = numbers.first() else { return 0 };
        let precisions = &self.precisions;
        // Around the first, so that large numbers lose no digits.
        let off = |(number, weight): (&i128, &f64)| number.saturating_sub(*first) as f64 * weight;
        let sum: f64 = numbers.iter().zip(precisions.iter()).map(off).sum();
        first.saturating_add((sum / precisions.iter().sum::<f64>()).round() as i128)
    }

    /// The weighted mean of the draws' own half-widths, each for its share of `alpha`: S is off by more with a lower probability.
    pub(super) fn apart(&self, alpha: f64) -> f64 {
        let (precisions, share) = (&self.precisions, alpha / self.draws.len() as f64);
        let widths = self.draws().zip(precisions.iter()).map(|(noise, precision)| noise.half_width(share) * precision);
        (widths.sum::<f64>() / precisions.iter().sum::<f64>() + 0.5).floor()
    }

    /// The tail of the rounded mean.
    pub(super) fn tail(&self) -> MeanTail {
        let precisions = &self.precisions;
        let (all, deviation) = (precisions.iter().sum::<f64>(), self.variance().sqrt());
        let mut parts: Vec<Part> =
            self.draws().zip(precisions.iter()).map(|(noise, of)| Part::new(&noise, of / all)).collect();
        let reach: f64 = parts.iter().map(|part| part.reach).sum();
        let block = (deviation / BLOCKS).max(2.0 * reach / MOST_BLOCKS);
        let last = parts.pop();
        let start = Blocks { first: 0, masses: vec![1.0], beyond: 0.0 };
        let others = parts.iter().fold(start, |sum, part| sum.plus(&part.blocks(block)));
        MeanTail { block, others, last, known: Mutex::default() }
    }
}

/// P[S >= x - 1/2].
pub(super) struct MeanTail {
    block: f64,
    others: Blocks,
    last: Option<Part>,
    /// Of many groups the same is asked again and again.
    known: Mutex<HashMap<u64, f64>>,
}

impl MeanTail {
    /// Of a whole number of steps from 1 on, of which half a step is for the mean's rounding; never too small.
    pub fn at_least(&self, x: f64) -> f64 {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(x.to_bits()).or_insert_with(|| {
            let Some(last) = &self.last else { return 1.0 };
            let Blocks { first, masses, beyond } = &self.others;
            // What is this unlikely is taken for likely to be above x, whatever it is.
            let of = |(at, mass): (i64, &f64)| match mass {
                mass if *mass < LEFT / MOST_BLOCKS => *mass,
                mass => mass * last.at_least(x - 0.5 - at as f64 * self.block),
            };
            (*first..).zip(masses).map(of).sum::<f64>() + beyond
        })
    }
}

/// One draw's noise times its weight.
struct Part {
    weight: f64,
    tail: Tail,
    /// It is beyond this with a probability of at most [`LEFT`] on either side.
    reach: f64,
}

impl Part {
    fn new(noise: &Noise, weight: f64) -> Part {
        let tail = Tail::of(noise);
        let reach = tail.least(LEFT).unwrap_or_else(|| 40.0 * noise.scale()) * weight;
        Part { weight, tail, reach }
    }

    fn at_least(&self, t: f64) -> f64 {
        // The largest double below a whole number is meant to be it.
        self.tail.at_least((t / self.weight - 1e-9).ceil())
    }

    /// Its probabilities of being in each block, which ends at a multiple of `block`.
    fn blocks(&self, block: f64) -> Blocks {
        let count = (self.reach / block).ceil() as i64;
        let whole = |end: i64| (end as f64 * block / self.weight + 1e-9).floor();
        let mass = |end: i64| match end {
            // P[X <= y] is P[X >= -y]: of the two the smaller one has the more digits.
            end if end <= 0 => self.tail.at_least(-whole(end)) - self.tail.at_least(-whole(end - 1)),
            end => self.tail.at_least(whole(end - 1) + 1.0) - self.tail.at_least(whole(end) + 1.0),
        };
        let mut masses: Vec<f64> = (-count..=count).map(|end| mass(end).max(0.0)).collect();
        masses[0] = self.tail.at_least(-whole(-count));
        Blocks { first: -count, masses, beyond: self.tail.at_least(whole(count) + 1.0) }
    }
}

/// Probabilities of the multiples of a block from the `first` on, and of all that is beyond.
struct Blocks {
    first: i64,
    masses: Vec<f64>,
    beyond: f64,
}

impl Blocks {
    fn plus(&self, other: &Blocks) -> Blocks {
        let mut masses = vec![0.0; self.masses.len() + other.masses.len() - 1];
        for (at, mine) in self.masses.iter().enumerate() {
            for (place, theirs) in masses[at..].iter_mut().zip(&other.masses) {
                *place += mine * theirs;
            }
        }
        Blocks { first: self.first + other.first, masses, beyond: self.beyond + other.beyond }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mechanism::Coins;
    use crate::num::Ratio;
    use rand::{SeedableRng, rngs::StdRng};

    fn laplace(scale: u128) -> Noise {
        Noise::Laplace { scale: Ratio::of(scale, 4) }
    }

    fn gaussian(variance: u128) -> Noise {
        Noise::Gaussian { variance: Ratio::of(variance, 4) }
    }

    fn mean(draws: &[Noise]) -> Mean {
        Mean::new(draws).unwrap()
    }

    #[test]
    fn precise_draws_weigh_more_and_large_numbers_lose_nothing() {
        let two = mean(&[gaussian(4 * 100), gaussian(4 * 300)]);
        assert_eq!(two.of([1000, 1004].into_iter()), 1001);
        let large = 1i128 << 100;
        assert_eq!(two.of([large, large + 4].into_iter()), large + 1);
        assert!((two.variance() - 75.0).abs() < 1e-9);
        assert_eq!(mean(&[laplace(1), gaussian(1)]).of([-7, -7].into_iter()), -7);
        // What has no noise is the number, whatever else was drawn.
        assert_eq!(mean(&[Noise::Laplace { scale: Ratio::of(1, 1 << 40) }, gaussian(400)]).of([5, 60].into_iter()), 5);
        assert_eq!(Mean::new(&[]), None);
    }

    /// P[|round(S)| = a] for a = 0, 1, ... by adding up all pairs of noises.
    fn law(draws: &[Noise; 2]) -> Vec<f64> {
        const REACH: i128 = 250;
        let two = mean(draws);
        let weight = |noise: &Noise, x: i128| match noise {
            Noise::Laplace { scale } => (-(x.abs() as f64) / scale.to_f64()).exp(),
            Noise::Gaussian { variance } => (-(x * x) as f64 / (2.0 * variance.to_f64())).exp(),
            _ => panic!(),
        };
        let weights = draws.each_ref().map(|noise| (-REACH..=REACH).map(|x| weight(noise, x)).collect::<Vec<_>>());
        let all: f64 = weights[0].iter().sum::<f64>() * weights[1].iter().sum::<f64>();
        let mut law = vec![0.0; REACH as usize + 1];
        for (x, of_x) in (-REACH..).zip(&weights[0]) {
            for (y, of_y) in (-REACH..).zip(&weights[1]) {
                law[two.of([x, y].into_iter()).unsigned_abs() as usize] += of_x * of_y / all;
            }
        }
        law
    }

    #[test]
    fn half_widths_hold_and_are_hardly_wider_than_they_must_be() {
        for draws in [
            [laplace(40), laplace(40)],
            [laplace(20), laplace(48)],
            [gaussian(4 * 144), gaussian(4 * 50)],
            [laplace(48), gaussian(4 * 100)],
            [gaussian(40), laplace(2)],
        ] {
            let (noise, law) = (Noise::Mean(mean(&draws)), law(&draws));
            let missed = |a: f64| law.iter().skip(a as usize + 1).sum::<f64>();
            for alpha in [0.05, 1e-3, 1e-6] {
                let width = noise.half_width(alpha);
                assert!(missed(width) <= alpha, "{draws:?} {alpha} {width}");
                let narrower = (width * 0.96 - 1.0).floor();
                assert!(narrower < 0.0 || missed(narrower) > alpha, "{draws:?} {alpha} {width}");
            }
        }
    }

    #[test]
    fn three_draws_hold_as_often_as_they_say() {
        const DRAWS: usize = 40_000;
        let draws = [laplace(400), gaussian(40_000), laplace(800)];
        let three = mean(&draws);
        let (width, samplers) =
            (Noise::Mean(three.clone()).half_width(0.05), draws.each_ref().map(|noise| noise.sampler()));
        let mut rng = StdRng::seed_from_u64(5);
        let mut coins = Coins::new(&mut rng);
        let mut outside = 0;
        for _ in 0..DRAWS {
            let numbers = samplers.each_ref().map(|sampler| sampler.draw(&mut coins));
            outside += usize::from(three.of(numbers.into_iter()).unsigned_abs() as f64 > width);
        }
        let observed = outside as f64 / DRAWS as f64;
        // The seed is fixed. A block for each of two draws is about 2 % of a deviation, and of what is beyond about a tenth.
        assert!((0.043..0.0533).contains(&observed), "{observed}");
    }

    #[test]
    fn very_different_noises_and_very_little_noise_have_intervals() {
        for draws in [
            [laplace(4), laplace(1 << 60)],
            [gaussian(1 << 70), laplace(4)],
            [laplace(1 << 60), laplace(1 << 61)],
            [Noise::Laplace { scale: Ratio::of(1, 1 << 40) }, laplace(4)],
        ] {
            let noise = Noise::Mean(mean(&draws));
            let (width, least) = (noise.half_width(0.05), draws[0].half_width(0.05).min(draws[1].half_width(0.05)));
            assert!(
                width.is_finite() && width >= 0.5 * least && width <= 1.6 * least + 1.0,
                "{draws:?} {width} {least}"
            );
        }
    }
}
