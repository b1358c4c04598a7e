//! Several quantiles of a group's values, or those of many groups, from a tree of noisy counts: one price for all, and intervals.
//!
//! The range of the values, between their bounds, is cut into equal parts, each of these into parts again, and so on down to leaves. A
//! value is counted in one node of each level. With at most m values of a unit in each of k groups, and h levels, a unit that comes or goes moves
//! the counts by at most h k m in L1; in L2 by at most sqrt(h k) m, because on each level its values move counts by at most m together. Each count
//! has noise of its own for that, as if the whole tree were drawn: what no quantile looks at need not be. All else is post-processing.
//!
//! *A quantile.* With n the sum of the first level's noisy counts, the quantile q is at rank t = q (n - 1) + 1/2, as in
//! [`choice`](super::choice). The estimated rank of a node's end is the sum of the noisy counts before it on the levels down to its own. From the
//! root on, the first child whose end has at least the rank t is the next node; or, from the other side, the last child whose start has
//! at most the rank t. The answer is midway between the leaves that the two come to.
//!
//! *Its interval.* The lower end is the start of the leaf to which the first way comes for t - w, the upper end the end of that to which the
//! second comes for t + w. Let x be the exact quantile of the bounded values. If the lower end is above x, then on some level the node that
//! holds x was passed by: its end has an estimated rank below t - w, while its exact one is above q (n - 1) for the exact n. Which nodes
//! these are does not depend on noise, so that for each of the h levels the probability is that of a sum of independent noises being off by
//! w - 1/2: the counts of the first level weigh at most max(q, 1 - q), because t has q of each; those of the others weigh 1. The upper end is
//! the mirror image. By the union bound over levels and ends each gets alpha / 2h.
//!
//! Sources: hierarchical histograms of Hay, Rastogi, Miklau and Suciu 2010 (PVLDB 3), whose best branching is near 16 (Qardaji, Yang and Li
//! 2013, PVLDB 6); tails by Chernoff's bound, see [`sum_half_width`].

use super::Noise;
use super::noise::Counted;
use super::release::LEVELS;
use super::sums::sum_half_width;
use crate::algebra::Fraction;
use rand::CryptoRng;
use std::collections::BTreeMap;

/// A rank's unit: twice a fraction's, so that halves are whole.
const UNIT: i128 = 2 * Fraction::ONE as i128;

/// How a quantile is read, and what its tree is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The measure whose tree it is, the first of those that share it.
    pub first: usize,
    at: Fraction,
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
    /// With at most `leaves` leaves: of all heights the one with the least error, whose variance grows with height^3 times
    /// branching under Laplace noise.
    pub fn new((low, high): (i64, i64), leaves: u64) -> Shape {
        let points = high.abs_diff(low) as u128 + 1;
        let wanted = points.min(u128::from(leaves)) as u64;
        let cost = |height: &u32| u64::from(*height).pow(3).saturating_mul(branching(wanted, *height));
        let height = (1..=8).min_by_key(cost).unwrap_or(1);
        let branching = branching(wanted, height);
        Shape { low, high: high.max(low), branching, height, leaf: points.div_ceil(u128::from(branching).pow(height)) }
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
    pub fn new(first: usize, at: Fraction, shape: Shape, noise: Noise) -> Option<Tree> {
        let leaves = shape.branching.saturating_pow(shape.height);
        Some(Tree { first, at, shape, counted: Counted::new(leaves, noise)? })
    }

    /// Of one count.
    pub fn noise(&self) -> Noise {
        self.counted.noise()
    }

    /// Counts that may be looked at for one quantile: on two ways for itself and for each of its intervals.
    pub fn draws(&self) -> u64 {
        2 * (LEVELS as u64 + 1) * u64::from(self.shape.height) * self.shape.branching
    }

    /// w: ranks by which both ends of an interval are moved outwards.
    pub fn half_width(&self, alpha: f64) -> f64 {
        let Shape { branching, height, .. } = self.shape;
        let (children, levels) = (branching as f64, f64::from(height));
        let most = f64::from(self.at.millionths().max(Fraction::ONE - self.at.millionths())) / f64::from(Fraction::ONE);
        let below = if height > 1 { (levels - 2.0) * (children - 1.0) + children } else { 0.0 };
        let sum = sum_half_width(&self.noise(), &[(most, children), (1.0, below)], alpha / (2.0 * levels));
        (sum + 0.5).ceil()
    }

    /// The quantile, and intervals that are wider by these numbers of ranks.
    pub fn read<const N: usize>(&self, counts: &mut Counts, widths: [f64; N], rng: &mut impl CryptoRng) -> Reading<N> {
        let n: i128 = counts.of_children(1, 0, rng).iter().sum();
        let rank = (2 * i128::from(self.at.millionths())).saturating_mul(n.saturating_sub(1)) + UNIT / 2;
        let Shape { low, high, height, .. } = self.shape;
        let from = |leaf: u64| self.shape.start(height, leaf).min(high);
        let to = |leaf: u64| self.shape.start(height, leaf + 1);
        let first = from(counts.first_leaf(rank, rng));
        let last = (to(counts.last_leaf(rank, rng)) - 1).clamp(low, high);
        let (first, last) = (first.min(last), first.max(last));
        let value = first + (last.abs_diff(first) / 2) as i64;
        let ends = widths.map(|width| {
            let moved = (width as i128).saturating_mul(UNIT);
            let lower = from(counts.first_leaf(rank.saturating_sub(moved), rng));
            let upper = to(counts.last_leaf(rank.saturating_add(moved), rng)).min(high);
            (lower.min(value), upper.max(value))
        });
        Reading { value, ends }
    }
}

/// What a quantile is, in lattice steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading<const N: usize> {
    pub value: i64,
    pub ends: [(i64, i64); N],
}

/// The tree of one group, with those of its noisy counts that have been looked at.
pub struct Counts {
    shape: Shape,
    noise: Noise,
    values: Vec<i64>,
    noisy: BTreeMap<(u32, u64), i128>,
}

impl Counts {
    pub fn new(tree: &Tree, mut values: Vec<i64>) -> Counts {
        values.iter_mut().for_each(|value| *value = (*value).clamp(tree.shape.low, tree.shape.high));
        values.sort_unstable();
        Counts { shape: tree.shape, noise: tree.noise(), values, noisy: BTreeMap::new() }
    }

    fn exact(&self, level: u32, node: u64) -> i128 {
        let before = |point: i64| self.values.partition_point(|value| *value < point) as i128;
        before(self.shape.start(level, node + 1)) - before(self.shape.start(level, node))
    }

    /// The noisy counts of a node's children, which are on this level.
    fn of_children(&mut self, level: u32, node: u64, rng: &mut impl CryptoRng) -> Vec<i128> {
        let first = node * self.shape.branching;
        (first..first + self.shape.branching).map(|child| self.noisy(level, child, rng)).collect()
    }

    fn noisy(&mut self, level: u32, node: u64, rng: &mut impl CryptoRng) -> i128 {
        if let Some(known) = self.noisy.get(&(level, node)) {
            return *known;
        }
        let drawn = self.exact(level, node).saturating_add(self.noise.draw(rng));
        self.noisy.insert((level, node), drawn);
        drawn
    }

    fn first_leaf(&mut self, rank: i128, rng: &mut impl CryptoRng) -> u64 {
        self.leaf(rng, |ranks| {
            let ends = &ranks[1..];
            ends.iter().position(|end| end.saturating_mul(UNIT) >= rank).unwrap_or(ends.len() - 1)
        })
    }

    fn last_leaf(&mut self, rank: i128, rng: &mut impl CryptoRng) -> u64 {
        self.leaf(rng, |ranks| {
            let starts = &ranks[..ranks.len() - 1];
            starts.iter().rposition(|start| start.saturating_mul(UNIT) <= rank).unwrap_or(0)
        })
    }

    /// The leaf to which a choice among children leads, by the estimated ranks of their starts and of the last one's end.
    fn leaf(&mut self, rng: &mut impl CryptoRng, choose: impl Fn(&[i128]) -> usize) -> u64 {
        let (mut node, mut before) = (0, 0i128);
        for level in 1..=self.shape.height {
            let mut ranks = vec![before];
            for count in self.of_children(level, node, rng) {
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
    use ruint::aliases::U256;

    const LEAVES: u64 = 65_536;

    fn laplace(scale: u64, by: u64) -> Noise {
        Noise::Laplace { scale: Ratio::new(U256::from(scale), U256::from(by)).unwrap() }
    }

    fn tree(millionths: u32, bounds: (i64, i64), noise: Noise) -> Tree {
        Tree::new(0, Fraction::new(millionths).unwrap(), Shape::new(bounds, LEAVES), noise).unwrap()
    }

    #[test]
    fn shapes_cover_their_range() {
        for (high, height, branching) in
            [(0, 1, 1), (1, 1, 2), (20, 1, 21), (99, 2, 10), (65_535, 4, 16), (1 << 32, 4, 16)]
        {
            let shape = Shape::new((0, high), LEAVES);
            assert_eq!((shape.height, shape.branching), (height, branching), "{high}");
            let leaves = u128::from(branching).pow(height);
            assert!(leaves * shape.leaf > high as u128 && leaves <= u128::from(LEAVES).max(leaves));
            assert_eq!((shape.start(height, 0), shape.start(0, 1)), (0, high + 1));
        }
        let widest = Shape::new((i64::MIN / 2, i64::MAX / 2), u64::MAX);
        assert_eq!((widest.start(0, 0), widest.start(0, 1)), (i64::MIN / 2, i64::MAX / 2 + 1));
        assert_eq!(Shape::new((0, (1 << 32) - 1), 1 << 32).leaf, 1);
    }

    #[test]
    fn a_value_is_once_on_each_level() {
        let of = tree(500_000, (-1_000, 100_000), laplace(1, 1));
        let Shape { branching, height, .. } = of.shape;
        let mut rng = StdRng::seed_from_u64(1);
        for value in [-2_000, -1_000, 0, 77_777, 100_000, 200_000]
            .into_iter()
            .chain((0..20).map(|_| rng.random_range(0..99_999)))
        {
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
            let of = tree(millionths, (0, 1_000), none);
            let read = of.read(&mut Counts::new(&of, values.clone()), [of.half_width(0.05)], &mut rng);
            assert_eq!(read.value, value, "{values:?} {millionths}");
            let (lower, upper) = read.ends[0];
            assert!(lower <= value && value <= upper, "{read:?}");
        }
        // A tree of nothing but noise is still within the bounds.
        let of = tree(500_000, (10, 20), laplace(5, 1));
        for _ in 0..200 {
            let read = of.read(&mut Counts::new(&of, vec![]), [1.0, 50.0], &mut rng);
            assert!(
                (10..=20).contains(&read.value)
                    && read.ends.iter().all(|(a, b)| (10..=20).contains(a) && (a..=&20).contains(&b))
            );
        }
    }

    /// Counts are drawn once, so that quantiles of one tree are in order and their intervals nested.
    #[test]
    fn readings_of_one_tree_agree() {
        let mut rng = StdRng::seed_from_u64(3);
        for _ in 0..50 {
            let values: Vec<i64> = (0..500).map(|_| rng.random_range(0..50_000)).collect();
            let of = |millionths| tree(millionths, (0, 65_535), laplace(6, 1));
            let mut counts = Counts::new(&of(0), values);
            let first = of(300_000).read(&mut counts, [10.0, 40.0], &mut rng);
            assert_eq!(first, of(300_000).read(&mut counts, [10.0, 40.0], &mut rng));
            assert!(first.ends[1].0 <= first.ends[0].0 && first.ends[0].1 <= first.ends[1].1);
        }
    }

    /// The exact quantile is within the interval at least as often as is said, whatever the values, and it is not wide for nothing.
    #[test]
    fn intervals_hold() {
        let mut rng = StdRng::seed_from_u64(4);
        let gaussian = Noise::Gaussian { variance: Ratio::new(U256::from(90u64), U256::ONE).unwrap() };
        for noise in [laplace(6, 1), gaussian] {
            for millionths in [100_000, 500_000, 950_000] {
                for ties in [1i64, 900] {
                    let mut values: Vec<i64> = (0..3_000).map(|_| rng.random_range(0..40_000) / ties * ties).collect();
                    values.sort_unstable();
                    let rank = f64::from(millionths) / 1e6 * (values.len() - 1) as f64;
                    let (a, b) = (values[rank.floor() as usize] as f64, values[rank.ceil() as usize] as f64);
                    let exact = a + (b - a) * rank.fract();
                    let of = tree(millionths, (0, 65_535), noise);
                    let (width, mut held, mut ranks) = (of.half_width(0.2), 0, 0);
                    for _ in 0..60 {
                        let read = of.read(&mut Counts::new(&of, values.clone()), [width], &mut rng);
                        let (lower, upper) = read.ends[0];
                        held += u32::from((lower as f64..=upper as f64).contains(&exact));
                        ranks += values.iter().filter(|v| (lower..upper).contains(v)).count();
                    }
                    assert!(held >= 48, "{noise:?} {millionths} {ties}: {held} of 60");
                    assert!(ranks as f64 / 60.0 < 5.0 * width + 2.0 * 3_000.0 / 44.0, "{ranks} {width}");
                }
            }
        }
    }
}
