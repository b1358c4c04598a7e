//! Ranks of a group's values by a tree of noisy counts: intervals of quantiles, and many quantiles at one price.
//!
//! The range of the values, between their bounds, is cut into equal parts, each of these into parts again, and so on down to leaves. A
//! value is counted in one node of each level. With at most m values of a unit in each of k groups, and h levels, a unit that comes or goes moves
//! the counts by at most h k m in L1; in L2 by at most sqrt(h k) m, because on each level its values move counts by at most m together. Each count
//! has noise of its own for that, as if the whole tree were drawn: what no quantile looks at need not be. All else is post-processing.
//!
//! *A quantile.* With n the sum of the first level's noisy counts, or 1 if that is less, the quantile q is at rank t = q (n - 1) + 1/2, as in
//! [`choice`](super::choice). The estimated rank of a node's end is the sum of the noisy counts before it on the levels down to its own. From the
//! root on, the first child whose end has at least the rank t is the next node; or, from the other side, the last child whose start has
//! at most the rank t. The answer is midway between the leaves that the two come to. It grows with q.
//!
//! *Its interval.* The lower end is the start of the leaf to which the first way comes for t - w, the upper end the end of that to which the
//! second comes for t + w. Let x be the exact quantile of the bounded values, of which there are n' >= 1. If the lower end is above x, then on
//! some level the node that holds x was passed by: its end has an estimated rank r below t - w, while its exact one, r', is above
//! q (n' - 1). So (r - r') - q (n - n') < 1/2 - w, or, where the 1 stands for n and is no more than n', r - r' < 1/2 - w. Which nodes
//! these are does not depend on noise; both are sums of independent noises with weights from -1 to 1, one for each child on the
//! way. The upper end is the mirror image, without the second case. By the union bound over h levels and these three each gets alpha / 3h.
//!
//! Sources: hierarchical histograms of Hay, Rastogi, Miklau and Suciu 2010 (PVLDB 3), whose best branching is near 16 (Qardaji, Yang and Li
//! 2013, PVLDB 6); tails by Chernoff's bound, see [`sum_half_width`].

use super::Noise;
use super::coins::Coins;
use super::noise::{Counted, Sampler};
use super::release::LEVELS;
use super::sums::sum_half_width;
use crate::algebra::Fraction;
use rand::CryptoRng;
use std::collections::BTreeMap;

/// A rank's unit: twice a fraction's, so that halves are whole.
const UNIT: i128 = 2 * Fraction::ONE as i128;

/// The leaves of a tree of branching 16 and height 4.
const LEAVES: u128 = 1 << 16;

/// A shape, and the noise of its counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tree {
    shape: Shape,
    counted: Counted,
}

/// Values from `low` to `high`, in lattice steps, in `branching`^`height` leaves of `leaf` steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    low: i64,
    high: i64,
    branching: u64,
    height: u32,
    leaf: u128,
}

impl Shape {
    /// Of all heights the one with the least error, whose variance grows with height^3 times branching under Laplace noise.
    pub fn new((low, high): (i64, i64)) -> Shape {
        let high = high.max(low);
        let points = u128::from(high.abs_diff(low)) + 1;
        let leaf = points.div_ceil(LEAVES);
        let leaves = points.div_ceil(leaf) as u64;
        let cost = |height: &u32| u64::from(*height).pow(3).saturating_mul(branching(leaves, *height));
        let height = (1..=8).min_by_key(cost).unwrap_or(1);
        Shape { low, high, branching: branching(leaves, height), height, leaf }
    }

    pub fn height(self) -> u32 {
        self.height
    }

    /// The first point of a node, or the one after the last where it is beyond.
    fn start(self, level: u32, node: u64) -> i64 {
        let leaves = u128::from(self.branching).pow(self.height - level) * u128::from(node);
        let at = i128::from(self.low).saturating_add_unsigned(leaves.saturating_mul(self.leaf));
        at.min(i128::from(self.high) + 1) as i64
    }
}

/// The least number whose power of this height is at least `leaves`.
fn branching(leaves: u64, height: u32) -> u64 {
    let near = (leaves as f64).powf(1.0 / f64::from(height)) as u64;
    (near.saturating_sub(1).max(1)..).find(|b| u128::from(*b).pow(height) >= u128::from(leaves)).unwrap_or(near)
}

impl Tree {
    /// `noise` is that of one count.
    pub fn new(shape: Shape, noise: Noise) -> Option<Tree> {
        Some(Tree { shape, counted: Counted::new(noise)? })
    }

    /// Of one count.
    pub fn noise(&self) -> Noise {
        self.counted.noise()
    }

    pub fn height(&self) -> u32 {
        self.shape.height
    }

    /// Counts that may be looked at for one quantile: on two ways for itself and for each of its intervals.
    pub fn draws(&self) -> u64 {
        2 * (LEVELS as u64 + 1) * u64::from(self.shape.height) * self.shape.branching
    }

    /// w: ranks by which both ends of an interval are moved outwards.
    pub fn half_width(&self, alpha: f64) -> f64 {
        let Shape { branching, height, .. } = self.shape;
        // All children of the root, whose sum is n; on the others those up to the way, and on the last that child.
        let counts = branching + u64::from(height - 1) * (branching - 1) + u64::from(height > 1);
        (sum_half_width(&self.noise(), counts, alpha / (3.0 * f64::from(height))) + 0.5).ceil()
    }

    /// The quantile, and intervals that are wider by these numbers of ranks.
    pub fn read(
        &self,
        at: Fraction,
        counts: &mut Counts,
        widths: [f64; LEVELS],
        coins: &mut Coins<impl CryptoRng>,
    ) -> Reading {
        let sum = counts.of_children(1, 0, coins).into_iter().fold(0, i128::saturating_add);
        // More rows than there can be; ranks in halves of millionths still fit.
        let n = sum.clamp(1, 1 << 100);
        let rank = 2 * i128::from(at.millionths()) * (n - 1) + UNIT / 2;
        let Shape { low, high, height, .. } = self.shape;
        let from = |leaf: u64| self.shape.start(height, leaf).min(high);
        let to = |leaf: u64| self.shape.start(height, leaf + 1);
        let first = from(counts.first_leaf(rank, coins));
        let last = (to(counts.last_leaf(rank, coins)) - 1).clamp(low, high);
        let (first, last) = (first.min(last), first.max(last));
        let value = first + (last.abs_diff(first) / 2) as i64;
        let ends = widths.map(|width| {
            let moved = (width as i128).saturating_mul(UNIT);
            let lower = from(counts.first_leaf(rank.saturating_sub(moved), coins));
            let upper = to(counts.last_leaf(rank.saturating_add(moved), coins)).min(high);
            (lower.min(value), upper.max(value))
        });
        Reading { value, ends }
    }
}

/// What a quantile is, in lattice steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    pub value: i64,
    pub ends: [(i64, i64); LEVELS],
}

/// The tree of one group, with those of its noisy counts that have been looked at.
pub struct Counts {
    shape: Shape,
    sampler: Sampler,
    values: Vec<i64>,
    noisy: BTreeMap<(u32, u64), i128>,
}

impl Counts {
    pub fn new(tree: &Tree, mut values: Vec<i64>) -> Counts {
        values.iter_mut().for_each(|value| *value = (*value).clamp(tree.shape.low, tree.shape.high));
        values.sort_unstable();
        Counts { shape: tree.shape, sampler: tree.noise().sampler(), values, noisy: BTreeMap::new() }
    }

    fn exact(&self, level: u32, node: u64) -> i128 {
        let before = |point: i64| self.values.partition_point(|value| *value < point) as i128;
        before(self.shape.start(level, node + 1)) - before(self.shape.start(level, node))
    }

    /// The noisy counts of a node's children, which are on this level.
    fn of_children(&mut self, level: u32, node: u64, coins: &mut Coins<impl CryptoRng>) -> Vec<i128> {
        let first = node * self.shape.branching;
        (first..first + self.shape.branching).map(|child| self.noisy(level, child, coins)).collect()
    }

    fn noisy(&mut self, level: u32, node: u64, coins: &mut Coins<impl CryptoRng>) -> i128 {
        if let Some(known) = self.noisy.get(&(level, node)) {
            return *known;
        }
        let drawn = self.exact(level, node).saturating_add(self.sampler.draw(coins));
        self.noisy.insert((level, node), drawn);
        drawn
    }

    fn first_leaf(&mut self, rank: i128, coins: &mut Coins<impl CryptoRng>) -> u64 {
        self.leaf(coins, |ranks| {
            let ends = &ranks[1..];
            ends.iter().position(|end| end.saturating_mul(UNIT) >= rank).unwrap_or(ends.len() - 1)
        })
    }

    fn last_leaf(&mut self, rank: i128, coins: &mut Coins<impl CryptoRng>) -> u64 {
        self.leaf(coins, |ranks| {
            let starts = &ranks[..ranks.len() - 1];
            starts.iter().rposition(|start| start.saturating_mul(UNIT) <= rank).unwrap_or(0)
        })
    }

    /// The leaf to which a choice among children leads, by the estimated ranks of their starts and of the last one's end.
    fn leaf(&mut self, coins: &mut Coins<impl CryptoRng>, choose: impl Fn(&[i128]) -> usize) -> u64 {
        let (mut node, mut before) = (0, 0i128);
        for level in 1..=self.shape.height {
            let mut ranks = vec![before];
            for count in self.of_children(level, node, coins) {
                before = before.saturating_add(count);
                ranks.push(before);
            }
            let child = choose(&ranks);
            before = ranks[child];
            node = node * self.shape.branching + child as u64;
        }
        node
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num::Ratio;
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    fn laplace(scale: u64, by: u64) -> Noise {
        Noise::Laplace { scale: Ratio::of(scale.into(), by.into()) }
    }

    fn tree(bounds: (i64, i64), noise: &Noise) -> Tree {
        Tree::new(Shape::new(bounds), noise.clone()).unwrap()
    }

    fn fraction(millionths: u32) -> Fraction {
        Fraction::new(millionths).unwrap()
    }

    #[test]
    fn shapes_cover_their_range() {
        let known = [(0, 1, 1), (1, 1, 2), (20, 1, 21), (99, 2, 10), (65_535, 4, 16), (1 << 32, 4, 16)];
        for (high, height, branching) in known {
            let shape = Shape::new((0, high));
            assert_eq!((shape.height, shape.branching), (height, branching), "{high}");
        }
        for high in (0..300).chain([65_534, 65_535, 65_536, 65_537, 100_000, 1 << 40]) {
            let shape = Shape::new((-7, high));
            let leaves = u128::from(shape.branching).pow(shape.height);
            let points = (high + 8) as u128;
            assert!(leaves * shape.leaf >= points && (leaves - 1) * shape.leaf < points * 2, "{high}: {shape:?}");
            assert_eq!((shape.start(shape.height, 0), shape.start(0, 1)), (-7, high + 1));
        }
        let widest = Shape::new((i64::MIN / 2, i64::MAX / 2));
        assert_eq!((widest.start(0, 0), widest.start(0, 1)), (i64::MIN / 2, i64::MAX / 2 + 1));
    }

    #[test]
    fn a_value_is_once_on_each_level() {
        let of = tree((-1_000, 100_000), &laplace(1, 1));
        let Shape { branching, height, .. } = of.shape;
        let mut rng = StdRng::seed_from_u64(1);
        let random: Vec<i64> = (0..20).map(|_| rng.random_range(0..99_999)).collect();
        for value in [-2_000, -1_000, 0, 77_777, 100_000, 200_000].into_iter().chain(random) {
            let counts = Counts::new(&of, vec![value]);
            for level in 1..=height {
                let nodes = 0..branching.pow(level);
                assert_eq!(nodes.map(|node| counts.exact(level, node)).filter(|c| *c != 0).collect::<Vec<_>>(), [1]);
            }
        }
    }

    #[test]
    fn without_noise_quantiles_are_exact() {
        let none = laplace(1, 1 << 40);
        let mut rng = StdRng::seed_from_u64(2);
        for (values, millionths, value) in [
            (vec![3, 7], 500_000, 5),
            (vec![3, 7, 9], 500_000, 7),
            (vec![3, 3, 3, 9], 900_000, 9),
            (vec![3, 3, 3, 9], 500_000, 3),
            ((0..1001).collect(), 250_000, 250),
            (vec![-5, 2_000], 1_000_000, 1_000),
        ] {
            let of = tree((0, 1_000), &none);
            let widths = [of.half_width(0.05); LEVELS];
            let read =
                of.read(fraction(millionths), &mut Counts::new(&of, values.clone()), widths, &mut Coins::new(&mut rng));
            assert_eq!(read.value, value, "{values:?} {millionths}");
            assert!(read.ends.iter().all(|(lower, upper)| *lower <= value && value <= *upper), "{read:?}");
        }
        // A tree of nothing but noise is still within the bounds.
        let of = tree((10, 20), &laplace(5, 1));
        for _ in 0..200 {
            let read =
                of.read(Fraction::HALF, &mut Counts::new(&of, vec![]), [1.0, 10.0, 50.0], &mut Coins::new(&mut rng));
            let within = |point| (10..=20).contains(&point);
            assert!(within(read.value) && read.ends.iter().all(|(a, b)| within(*a) && within(*b)), "{read:?}");
        }
    }

    /// Counts are drawn once, so that quantiles of one tree are in order and their intervals nested, whatever little there is.
    #[test]
    fn readings_of_one_tree_agree() {
        let mut rng = StdRng::seed_from_u64(3);
        for values in [0, 1, 3, 500] {
            for _ in 0..40 {
                let values: Vec<i64> = (0..values).map(|_| rng.random_range(0..50_000)).collect();
                let of = tree((0, 65_535), &laplace(6, 1));
                let mut counts = Counts::new(&of, values);
                let mut read = |millionths| {
                    of.read(fraction(millionths), &mut counts, [10.0, 20.0, 40.0], &mut Coins::new(&mut rng))
                };
                let all = [0, 100_000, 250_000, 500_000, 750_000, 1_000_000].map(&mut read);
                assert!(all.is_sorted_by_key(|reading| reading.value), "{all:?}");
                assert_eq!(all[2], read(250_000));
                for Reading { ends: [first, second, third], .. } in all {
                    assert!(third.0 <= second.0 && second.0 <= first.0 && first.1 <= second.1 && second.1 <= third.1);
                }
            }
        }
    }

    /// The exact quantile is within the interval at least as often as is said, whatever the values and the range are.
    #[test]
    fn intervals_hold() {
        let mut rng = StdRng::seed_from_u64(4);
        let gaussian = Noise::Gaussian { variance: Ratio::of(90, 1) };
        let spread = |rng: &mut StdRng, high: i64| (0..2_000).map(|_| rng.random_range(0..=high)).collect::<Vec<i64>>();
        for (high, noise) in [
            (65_535, laplace(6, 1)),
            (40_000, gaussian.clone()),
            (1, laplace(40, 1)),
            (9, laplace(9, 1)),
            (99, gaussian),
        ] {
            let of = tree((0, high), &noise);
            for values in
                [spread(&mut rng, high), vec![high; 300], vec![0; 3], [vec![0; 500], vec![high; 400]].concat()]
            {
                let mut sorted = values.clone();
                sorted.sort_unstable();
                for millionths in [1_000, 500_000, 950_000] {
                    let rank = f64::from(millionths) / 1e6 * (sorted.len() - 1) as f64;
                    let (a, b) = (sorted[rank.floor() as usize] as f64, sorted[rank.ceil() as usize] as f64);
                    let exact = a + (b - a) * rank.fract();
                    let widths = [of.half_width(0.2); LEVELS];
                    let held = (0..25).filter(|_| {
                        let read = of.read(
                            fraction(millionths),
                            &mut Counts::new(&of, values.clone()),
                            widths,
                            &mut Coins::new(&mut rng),
                        );
                        (read.ends[0].0 as f64..=read.ends[0].1 as f64).contains(&exact)
                    });
                    let held = held.count();
                    assert!(held >= 18, "{high} {millionths}: {held} of 25");
                }
            }
        }
    }

    #[test]
    fn widths_are_numbers() {
        for high in 0..50 {
            for noise in [laplace(1, 1 << 40), laplace(1, 3), laplace(100, 1), laplace(u64::MAX, 1)] {
                let widths = [0.5, 0.05, 1e-12].map(|alpha| tree((0, high), &noise).half_width(alpha));
                assert!(
                    widths[0] >= 1.0 && widths.is_sorted() && widths[2].is_finite(),
                    "{high} {noise:?}: {widths:?}"
                );
            }
        }
    }
}
