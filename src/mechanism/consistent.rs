//! Totals that are the sums of their parts: noisy numbers of several groupings of the same rows, adjusted by least squares.
//!
//! *Estimate.* A table over some keys is the sum of its effects: for each set T of its keys a table over T whose sums along each key are 0 (the analysis of
//! variance). Every grouping whose keys hold T tells that effect of the finest table, by its own sums over the other keys; the noises of
//! these are independent, and the effects of one grouping are orthogonal. So the least-squares estimate is, effect by effect, the mean of what
//! the groupings tell, weighted by inverse variance. A grouping's table is put together again from the effects that it has.
//! (Hay, Rastogi, Miklau and Suciu 2010, PVLDB 3, have it for trees of ranges.)
//!
//! *Whole numbers.* Coarse groupings are rounded first; the parts of each of their groups are rounded down, and as many of them up as are missing, those with
//! the largest remainders first. So each is within a step of its estimate, where the groupings that hold others form chains.
//!
//! All of this is post-processing of what was released. It takes the groupings' exact numbers to be sums of each other: where limits on contributions cut off
//! more of totals than of parts, or rows have keys that are in no group, the difference is shared too.

use std::collections::BTreeSet;

/// A table of numbers over some keys, the last of them fastest.
#[derive(Clone, Debug)]
pub struct Table {
    /// Which keys it has, in ascending order, and how many values each has.
    pub keys: Vec<usize>,
    pub sizes: Vec<usize>,
    pub values: Vec<f64>,
    /// Of each number's noise.
    pub variance: f64,
}

/// Whether each grouping's coarser groupings hold one another, so that whole numbers can be consistent.
pub fn are_chains(groupings: &[Vec<usize>]) -> bool {
    let holds = |a: &Vec<usize>, b: &Vec<usize>| b.iter().all(|key| a.contains(key));
    groupings.iter().all(|of| {
        let coarser: Vec<_> = groupings.iter().filter(|other| holds(of, other) && *other != of).collect();
        coarser.iter().all(|a| coarser.iter().all(|b| holds(a, b) || holds(b, a)))
    })
}

/// The least-squares estimates of all tables, which are consistent.
pub fn adjusted(tables: &[Table]) -> Vec<Vec<f64>> {
    let sets: BTreeSet<Vec<usize>> = tables.iter().flat_map(|table| subsets(&table.keys)).collect();
    let mut estimates: Vec<Vec<f64>> = tables.iter().map(|table| vec![0.0; table.values.len()]).collect();
    for set in &sets {
        let has = |table: &&Table| set.iter().all(|key| table.keys.contains(key));
        let (mut effect, mut weights) = (Vec::new(), 0.0);
        for table in tables.iter().filter(has) {
            let own = effect_of(table, set);
            // No noise at all weighs as much as a very little.
            let weight = 1.0 / (table.variance.max(1e-30) * table.others(set));
            effect.resize(own.len(), 0.0);
            effect.iter_mut().zip(own).for_each(|(sum, own)| *sum += weight * own);
            weights += weight;
        }
        for (table, estimate) in tables.iter().zip(&mut estimates).filter(|(table, _)| has(table)) {
            let share = weights * table.others(set);
            let places = table.places(set);
            estimate.iter_mut().zip(places).for_each(|(sum, at)| *sum += effect[at] / share);
        }
    }
    estimates
}

/// Whole numbers near the estimates, for groupings that form chains.
pub fn rounded(tables: &[Table], estimates: &[Vec<f64>]) -> Vec<Vec<i128>> {
    let mut order: Vec<usize> = (0..tables.len()).collect();
    order.sort_by_key(|at| tables[*at].keys.len());
    let mut whole: Vec<Vec<i128>> = vec![vec![]; tables.len()];
    for (done, at) in order.iter().enumerate() {
        let table = &tables[*at];
        let holds = |coarse: &&usize| tables[**coarse].keys.iter().all(|key| table.keys.contains(key));
        whole[*at] = match order[..done].iter().rfind(holds) {
            None => estimates[*at].iter().map(|estimate| estimate.round() as i128).collect(),
            Some(coarse) => {
                let mut parts = vec![Vec::new(); whole[*coarse].len()];
                table.places(&tables[*coarse].keys).enumerate().for_each(|(cell, group)| parts[group].push(cell));
                let mut all = vec![0; table.values.len()];
                for (cells, total) in parts.iter().zip(&whole[*coarse]) {
                    let own: Vec<f64> = cells.iter().map(|cell| estimates[*at][*cell]).collect();
                    cells.iter().zip(apportioned(&own, *total)).for_each(|(cell, number)| all[*cell] = number);
                }
                all
            }
        };
    }
    whole
}

/// Whole numbers near these that add up to a total, by largest remainders.
fn apportioned(values: &[f64], total: i128) -> Vec<i128> {
    let mut whole: Vec<i128> = values.iter().map(|value| value.floor() as i128).collect();
    let count = whole.len().max(1) as i128;
    let missing = total - whole.iter().sum::<i128>();
    // More than one for each is missing only where doubles have no digits left.
    whole.iter_mut().for_each(|number| *number += missing.div_euclid(count));
    let mut largest: Vec<usize> = (0..values.len()).collect();
    largest.sort_by(|a, b| (values[*b] - values[*b].floor()).total_cmp(&(values[*a] - values[*a].floor())));
    largest.iter().take(missing.rem_euclid(count) as usize).for_each(|at| whole[*at] += 1);
    whole
}

impl Table {
    /// How many of its numbers there are for each number over `set`.
    fn others(&self, set: &[usize]) -> f64 {
        let is_other = |(key, _): &(&usize, &usize)| !set.contains(*key);
        self.keys.iter().zip(&self.sizes).filter(is_other).map(|(_, size)| *size as f64).product()
    }

    fn sizes_of(&self, set: &[usize]) -> Vec<usize> {
        self.keys.iter().zip(&self.sizes).filter(|(key, _)| set.contains(key)).map(|(_, size)| *size).collect()
    }

    /// The place of each of its numbers in a table over `set`, which are some of its keys.
    fn places(&self, set: &[usize]) -> impl Iterator<Item = usize> {
        let mut strides = vec![0; self.keys.len()];
        let mut stride = 1;
        for (at, (key, size)) in self.keys.iter().zip(&self.sizes).enumerate().rev() {
            if set.contains(key) {
                strides[at] = stride;
                stride *= size;
            }
        }
        (0..self.values.len()).map(move |cell| {
            let step = |(cell, place): (usize, usize), (size, stride): (&usize, &usize)| {
                (cell / size, place + cell % size * stride)
            };
            self.sizes.iter().zip(&strides).rev().fold((cell, 0), step).1
        })
    }
}

/// All sets of some of these keys.
fn subsets(keys: &[usize]) -> Vec<Vec<usize>> {
    let longer = |sets: Vec<Vec<usize>>, key: &usize| {
        let with = sets.iter().map(|set| [set.as_slice(), &[*key]].concat()).collect::<Vec<_>>();
        [sets, with].concat()
    };
    keys.iter().fold(vec![vec![]], longer)
}

/// A table's sums over the keys that are not in `set`, less their means along each key that is.
fn effect_of(table: &Table, set: &[usize]) -> Vec<f64> {
    let sizes = table.sizes_of(set);
    let mut sums = vec![0.0; sizes.iter().product()];
    table.places(set).zip(&table.values).for_each(|(place, value)| sums[place] += value);
    let mut stride = sums.len();
    for size in sizes {
        stride /= size;
        // Lines along this key begin where its own number is 0.
        for start in (0..sums.len()).filter(|at| at / stride % size == 0) {
            let line = || (0..size).map(|n| start + n * stride);
            let mean = line().map(|at| sums[at]).sum::<f64>() / size as f64;
            line().for_each(|at| sums[at] -= mean);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    const SIZES: [usize; 3] = [3, 4, 2];

    fn table(keys: &[usize], variance: f64, value: impl Fn(usize) -> f64) -> Table {
        let sizes: Vec<usize> = keys.iter().map(|key| SIZES[*key]).collect();
        let values = (0..sizes.iter().product()).map(value).collect();
        Table { keys: keys.to_vec(), sizes, values, variance }
    }

    /// The sums of a table over some of its keys.
    fn sums(table: &Table, of: &[f64], set: &[usize]) -> Vec<f64> {
        let mut sums = vec![0.0; table.sizes_of(set).iter().product()];
        table.places(set).zip(of).for_each(|(place, value)| sums[place] += value);
        sums
    }

    #[test]
    fn totals_are_the_sums_of_their_parts() {
        let mut rng = StdRng::seed_from_u64(3);
        let mut noisy = |keys: &[usize], variance| {
            let of = table(keys, variance, |_| 0.0);
            Table { values: of.values.iter().map(|_| rng.random_range(-50.0..50.0)).collect(), ..of }
        };
        let cube =
            [noisy(&[0, 1, 2], 1.0), noisy(&[0, 1], 2.0), noisy(&[1, 2], 0.5), noisy(&[0], 3.0), noisy(&[], 1.0)];
        let estimates = adjusted(&cube);
        for (coarse, total) in cube.iter().zip(&estimates) {
            for (of, got) in sums(&cube[0], &estimates[0], &coarse.keys).iter().zip(total) {
                assert!((of - got).abs() < 1e-9);
            }
        }
        // Nothing changes what is consistent.
        let again: Vec<Table> =
            cube.iter().zip(&estimates).map(|(of, values)| Table { values: values.clone(), ..of.clone() }).collect();
        for (once, twice) in estimates.iter().flatten().zip(adjusted(&again).iter().flatten()) {
            assert!((once - twice).abs() < 1e-9);
        }
    }

    /// The weighted squares of what is changed cannot be made less by any other consistent table.
    #[test]
    fn no_other_consistent_numbers_are_nearer() {
        let value = |at: usize| ((at * 37) % 11) as f64;
        let tables = [table(&[0, 1], 1.0, value), table(&[0], 4.0, |at| 20.0 - value(at)), table(&[], 0.25, |_| 90.0)];
        let estimates = adjusted(&tables);
        let distance = |finest: &[f64]| -> f64 {
            let of = |table: &Table| {
                let own = sums(&tables[0], finest, &table.keys);
                own.iter().zip(&table.values).map(|(a, b)| (a - b).powi(2) / table.variance).sum::<f64>()
            };
            tables.iter().map(of).sum()
        };
        let least = distance(&estimates[0]);
        for at in 0..estimates[0].len() {
            for off in [-0.01, 0.01] {
                let mut other = estimates[0].clone();
                other[at] += off;
                assert!(distance(&other) > least);
            }
        }
        // By hand: the total of two parts of one's variance each with a total of a half: (2 * 10 + 0.5 * 14) / 2.5.
        let two = Table { keys: vec![0], sizes: vec![2], values: vec![4.0, 6.0], variance: 1.0 };
        let all = Table { keys: vec![], sizes: vec![], values: vec![14.0], variance: 0.5 };
        let [parts, total] = adjusted(&[two, all]).try_into().unwrap();
        assert!((total[0] - 13.2).abs() < 1e-12 && (parts[0] - 5.6).abs() < 1e-12, "{parts:?} {total:?}");
    }

    #[test]
    fn whole_numbers_are_consistent_and_near() {
        let mut rng = StdRng::seed_from_u64(4);
        for _ in 0..50 {
            let mut noisy = |keys: &[usize]| {
                let of = table(keys, 1.0, |_| 0.0);
                Table { values: of.values.iter().map(|_| rng.random_range(-9.0f64..9.0).round()).collect(), ..of }
            };
            let tables = [noisy(&[0, 1, 2]), noisy(&[]), noisy(&[0, 1]), noisy(&[0])];
            let estimates = adjusted(&tables);
            let whole = rounded(&tables, &estimates);
            let finest: Vec<f64> = whole[0].iter().map(|number| *number as f64).collect();
            for (table, own) in tables.iter().zip(&whole) {
                let own: Vec<f64> = own.iter().map(|number| *number as f64).collect();
                assert_eq!(sums(&tables[0], &finest, &table.keys), own);
            }
            for (estimate, number) in estimates.iter().flatten().zip(whole.iter().flatten()) {
                assert!((estimate - *number as f64).abs() <= 1.0 + 1e-9, "{estimate} {number}");
            }
        }
    }

    #[test]
    fn chains_are_told_from_cubes() {
        let sets = |sets: &[&[usize]]| are_chains(&sets.iter().map(|set| set.to_vec()).collect::<Vec<_>>());
        assert!(sets(&[&[0, 1], &[0], &[]]) && sets(&[&[0], &[1], &[]]) && sets(&[&[0, 1], &[1, 2], &[1], &[]]));
        assert!(!sets(&[&[0, 1], &[0], &[1]]) && !sets(&[&[0, 1], &[0], &[1], &[]]));
    }
}
