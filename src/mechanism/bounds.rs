//! Bounds that are chosen by what was released, and not guessed: the groups that a unit takes part in, its rows in each, and the limits of its sums and
//! means.
//!
//! [`Probe`]s give the noisy number of units for each number of groups and of rows, and for each power of two that totals reach. Of all numbers,
//! and of all limits, those are taken that have the least expected squared error in a typical group: *noise*, which grows with the bound, and
//! *bias*, what the bound cuts off, which shrinks. Everything here is post-processing of what was released and paid for; so is the estimate of
//! what is cut off, which receipts show beside the noise.
//!
//! A mean has little such bias by groups and rows: its sum and its count leave out the same ones. But units with many of them weigh less than they would,
//! so that the mean moves where these have other values. Nobody knows by how much; where nothing but means is asked, it is taken for [`SHIFT`] of what is left
//! out, in half-widths of the limits, and noise is that of the rows which are left. So with little noise all of them count.
//!
//! A typical group has its part of all contributions, where keys are public. Where they are private nobody knows how many groups there are: then a
//! unit may take part in so many that at most a twentieth of all contributions is cut off, and a typical group has twice as many units as
//! its threshold.
//!
//! Sources: clamps by a noisy histogram of totals in powers of two are those of Wilson et al. 2020, 5.1.1 (arXiv:1909.01917).

use super::{Calibrated, Noise, Price, Selection, Uncalibrated, calibrate};
use crate::algebra::{
    Bounds, Contribution, Family, MOST_GROUPS, Measure, Output, Probe, Quantity, Release, group_edges, total_edges,
};
use std::ops::Range;

/// What a probe released, as it is kept.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Found {
    /// Noisy numbers of units, by bucket.
    counts: Vec<i64>,
    /// Noise alone is hardly ever above this in any bucket.
    #[serde(with = "crate::num::bits")]
    width: f64,
    /// The standard deviation of the noise in one bucket.
    #[serde(with = "crate::num::bits")]
    deviation: f64,
}

/// A bound that was chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chosen {
    pub of: Probe,
    pub bounds: Bounds,
    /// The share of all contributions, or of all totals, that it cuts off, by the same noisy numbers.
    pub cut_off: f64,
}

/// The part of a release's price that a probe takes, as a fraction: of epsilon, or of rho, of which as good an answer needs a smaller part.
pub fn part(probe: Probe, family: Family) -> (u128, u128) {
    match (probe, family) {
        (Probe::Groups | Probe::Rows, Family::Laplace) => (5, 100),
        (Probe::Totals(_), Family::Laplace) => (10, 100),
        (Probe::Groups | Probe::Rows, Family::Gaussian) => (2, 100),
        (Probe::Totals(_), Family::Gaussian) => (5, 100),
    }
}

/// The probability that noise alone makes any bucket count.
const ALPHA: f64 = 0.02;
/// Most neighbours that are looked at together, and how many standard deviations their sum must be above 0: several hundred sums
/// of noise alone are that hardly ever.
const WINDOW: usize = 8;
const DEVIATIONS: f64 = 4.5;
/// The same beside buckets that have units: each of a few sums is that high by noise in about one of two hundred questions.
const NEAR: usize = 3;
const NEAR_DEVIATIONS: f64 = 3.0;
/// Where keys are private: the share of contributions that may be cut off.
const CUT_OFF: f64 = 0.05;
/// How far the mean of what is left out of a mean is taken to be from the others, in half-widths of its limits: some part of the values' own deviation.
const SHIFT: f64 = 0.03;
/// What one unit typically contributes, as a share of the most that it may.
const TYPICAL: f64 = 0.25;

impl Found {
    pub fn new(counts: &[i128], noise: &Noise) -> Found {
        let within = |count: &i128| (*count).clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        let width = noise.half_width(ALPHA / counts.len().max(1) as f64);
        Found { counts: counts.iter().map(within).collect(), width, deviation: noise.variance().sqrt() }
    }

    /// What units have thins out and seldom has gaps. So beside buckets that have units, fewer are enough: to take noise for them there moves a bound
    /// by little.
    fn extend(&self, seen: &mut [bool], ends: &[f64]) {
        let beside = |seen: &[bool], window: &Range<usize>| {
            let is_seen = |at: usize| at < seen.len() && seen[at] && ends[at].signum() == ends[window.start].signum();
            window.start.checked_sub(1).is_some_and(is_seen) || is_seen(window.end)
        };
        let more = |seen: &[bool]| {
            let mut all = (1..=NEAR).flat_map(|length| windows(seen.len(), length));
            let is_more = |window: &Range<usize>| {
                let least = NEAR_DEVIATIONS * self.deviation * (window.len() as f64).sqrt();
                beside(seen, window) && self.is_above(least, window, seen, ends)
            };
            all.find(is_more)
        };
        while let Some(window) = more(seen) {
            seen[window].fill(true);
        }
    }

    /// Whether buckets of one sign, none of which was seen before, have more units together than this.
    fn is_above(&self, least: f64, window: &Range<usize>, seen: &[bool], ends: &[f64]) -> bool {
        let sum: f64 = self.counts[window.clone()].iter().map(|count| *count as f64).sum();
        let is_new = !seen[window.clone()].contains(&true);
        is_new && ends[window.start].signum() == ends[window.end - 1].signum() && sum > least
    }

    /// The numbers of units that are no mere noise: those of buckets which, alone or with neighbours that are not there alone, have more than noise
    /// would make. What is there alone makes up for no neighbour: else noise beside many units would be taken for units. The ends of the
    /// buckets tell neighbours: those of one sign.
    fn units(&self, ends: &[f64]) -> Vec<f64> {
        let mut seen = vec![false; self.counts.len()];
        for length in 1..=WINDOW {
            let least = if length == 1 { self.width } else { DEVIATIONS * self.deviation * (length as f64).sqrt() };
            for window in windows(seen.len(), length) {
                if self.is_above(least, &window, &seen, ends) {
                    seen[window].fill(true);
                }
            }
        }
        self.extend(&mut seen, ends);
        self.counts.iter().zip(seen).map(|(count, seen)| if seen { (*count as f64).max(0.0) } else { 0.0 }).collect()
    }
}

/// All runs of so many among `count`.
fn windows(count: usize, length: usize) -> impl Iterator<Item = Range<usize>> {
    (0..(count + 1).saturating_sub(length)).map(move |first| first..first + length)
}

/// `release` with the bounds that it lacks, by what was found, and calibrated at this price.
pub fn settle(
    release: Release,
    price: Price,
    family: Family,
    found: &[(Probe, Found)],
) -> Result<(Calibrated, Vec<Chosen>), Uncalibrated> {
    let (mut release, mut chosen) = (provisional(release, found.iter().map(|(probe, _)| *probe)), vec![]);
    let mut units_of_groups = None;
    for (probe, found) in found.iter().filter(|(probe, _)| *probe == Probe::Groups) {
        let (groups, cut_off, contributions) = choose_groups(&release, price, family, found)?;
        units_of_groups = Some(contributions).filter(|contributions| *contributions > 0.0);
        release.contribution.groups = groups;
        chosen.push(Chosen { of: *probe, bounds: Bounds { low: 0.0, high: groups as f64 }, cut_off });
    }
    let mut rows_of_unit = None;
    for (probe, found) in found.iter().filter(|(probe, _)| *probe == Probe::Rows) {
        let (rows, cut_off, kept) = choose_rows(&release, price, family, found, units_of_groups)?;
        rows_of_unit = Some(kept).filter(|kept| *kept > 0.0);
        release.contribution.rows = rows;
        chosen.push(Chosen { of: *probe, bounds: Bounds { low: 0.0, high: rows as f64 }, cut_off });
    }
    let made = calibrate(release.clone(), price, family)?;
    // Without a number of rows a unit is taken to have some of those that it may have.
    let rows = rows_of_unit.unwrap_or((release.contribution.rows as f64 * TYPICAL).max(1.0));
    for (probe, found) in found {
        let Probe::Totals(measure) = *probe else { continue };
        let (bounds, cut_off) = choose_limits(&made, &release, measure, found, (units_of_groups, rows));
        release.measures[measure].per_group = Some(bounds);
        chosen.push(Chosen { of: *probe, bounds, cut_off });
    }
    Ok((calibrate(release, price, family)?, chosen))
}

/// The same with small bounds in the place of those that are to be chosen.
pub fn provisional(release: Release, probes: impl Iterator<Item = Probe>) -> Release {
    let mut release = release;
    for probe in probes {
        match probe {
            Probe::Groups => release.contribution.groups = 1,
            // With one, a count of rows would be one of units.
            Probe::Rows => release.contribution.rows = 2,
            Probe::Totals(measure) => release.measures[measure].per_group = Some(Bounds { low: 0.0, high: 1.0 }),
        }
    }
    release
}

/// Checks that no choice can fail: with the largest bounds of all there is the most noise.
pub fn check(release: Release, price: Price, family: Family, probes: &[Probe]) -> Result<(), Uncalibrated> {
    let mut largest = release;
    for probe in probes {
        match probe {
            Probe::Groups => largest.contribution.groups = MOST_GROUPS.unsigned_abs(),
            Probe::Rows => largest.contribution.rows = MOST_GROUPS.unsigned_abs(),
            Probe::Totals(measure) => {
                let most = total_edges().into_iter().fold(0.0, f64::max);
                largest.measures[*measure].per_group = Some(Bounds { low: -most, high: most });
            }
        }
    }
    calibrate(largest, price, family).map(|_| ())
}

/// The number of groups, what it cuts off, and how many contributions there are with it.
fn choose_groups(
    release: &Release,
    price: Price,
    family: Family,
    found: &Found,
) -> Result<(u64, f64, f64), Uncalibrated> {
    let edges = group_edges();
    let ends: Vec<f64> = edges.iter().map(|edge| *edge as f64).collect();
    // Keys that are in no group make groups too: of those that count there are no more than the public values.
    let most_of_all = release.cells().map_or(f64::INFINITY, |cells| cells as f64);
    let units: Vec<(f64, f64)> = ends.iter().map(|edge| edge.min(most_of_all)).zip(found.units(&ends)).collect();
    let kept = |groups: f64| units.iter().map(|(edge, units)| units * edge.min(groups)).sum::<f64>();
    let all = kept(f64::INFINITY);
    // Where nothing was found, all may be cut off.
    let cut_off = |groups: f64| if all > 0.0 { 1.0 - kept(groups) / all } else { 1.0 };
    let most = release.cells().unwrap_or(u64::MAX);
    let candidates =
        edges.iter().map(|edge| edge.unsigned_abs()).filter(|groups| *groups < most).chain(release.cells());
    let mut best: Option<(f64, u64)> = None;
    for groups in candidates {
        let cut = cut_off(groups as f64);
        let error = match release.cells() {
            Some(cells) => {
                let contribution = Contribution { groups, ..release.contribution };
                let made = calibrate(Release { contribution, ..release.clone() }, price, family)?;
                let of_group = |all: f64| (all / cells as f64).max(1.0) * TYPICAL;
                let noise = noise_of(&made, &release.measures[0]);
                match is_biased(release) {
                    true => cut.powi(2) + (noise / of_group(all)).powi(2),
                    false => (SHIFT * cut).powi(2) + (noise / of_group(kept(groups as f64))).powi(2),
                }
            }
            None => f64::from(u8::from(cut > CUT_OFF)),
        };
        if best.is_none_or(|(least, _)| error < least) {
            best = Some((error, groups));
        }
        // No larger number cuts off less.
        if cut <= 0.0 {
            break;
        }
    }
    let groups = best.map_or(1, |(_, groups)| groups);
    Ok((groups, cut_off(groups as f64), kept(groups as f64)))
}

/// Whether what a bound leaves out is missing in what is asked, as it is in counts and sums.
fn is_biased(release: &Release) -> bool {
    !release.outputs.iter().all(|output| matches!(output, Output::Mean { .. } | Output::Statistic { .. }))
}

/// The number of rows in a group, the share of all rows that it cuts off, and how many of them a unit has with it.
fn choose_rows(
    release: &Release,
    price: Price,
    family: Family,
    found: &Found,
    contributions: Option<f64>,
) -> Result<(u64, f64, f64), Uncalibrated> {
    let edges = group_edges();
    let ends: Vec<f64> = edges.iter().map(|edge| *edge as f64).collect();
    // The middle of a bucket, which begins above the end of the one before.
    let sizes = ends.iter().scan(0.0, |before, end| Some((std::mem::replace(before, *end) + 1.0 + end) / 2.0));
    let units: Vec<(f64, f64)> = sizes.zip(found.units(&ends)).collect();
    let all: f64 = units.iter().map(|(_, units)| units).sum();
    if all <= 0.0 {
        return Ok((1, 1.0, 0.0));
    }
    let kept = |rows: f64| units.iter().map(|(size, units)| units * size.min(rows)).sum::<f64>() / all;
    let cut_off = |rows: f64| 1.0 - kept(rows) / kept(f64::INFINITY);
    // What one row adds has the same noise whatever the number of rows, in what a unit may contribute at most.
    let noise = noise_of(&calibrate(release.clone(), price, family)?, &release.measures[0]);
    let mut best: Option<(f64, u64)> = None;
    for rows in edges.iter().map(|edge| edge.unsigned_abs()) {
        let (most, cut) = (rows as f64, cut_off(rows as f64));
        let error = match release.cells() {
            Some(cells) => {
                let units = contributions.unwrap_or(all) / cells as f64;
                let off = |rows: f64| noise * most / (units * rows).max(1.0);
                match is_biased(release) {
                    true => cut.powi(2) + off(kept(f64::INFINITY)).powi(2),
                    false => (SHIFT * cut).powi(2) + off(kept(most)).powi(2),
                }
            }
            None => f64::from(u8::from(cut > CUT_OFF)),
        };
        if best.is_none_or(|(least, _)| error < least) {
            best = Some((error, rows));
        }
        if cut <= 0.0 {
            break;
        }
    }
    let rows = best.map_or(1, |(_, rows)| rows);
    Ok((rows, cut_off(rows as f64), kept(rows as f64)))
}

/// Limits of one unit's sum or mean in a group, and the share of all totals that they cut off; by the number of contributions with the groups that
/// were chosen, where it is known, and a unit's rows in a group.
fn choose_limits(
    made: &Calibrated,
    release: &Release,
    measure: usize,
    found: &Found,
    (contributions, rows): (Option<f64>, f64),
) -> (Bounds, f64) {
    let ends = total_edges();
    let found = ends.iter().copied().zip(found.units(&ends));
    let totals: Vec<(f64, f64)> = found.filter(|(_, units)| *units > 0.0).collect();
    let all: f64 = totals.iter().map(|(_, units)| units).sum();
    let limits = |most: f64| {
        let has = |sign: f64| totals.iter().any(|(edge, _)| edge * sign > 0.0);
        Bounds { low: if has(-1.0) { -most } else { 0.0 }, high: if has(1.0) || !has(-1.0) { most } else { 0.0 } }
    };
    // What is in a bucket is anywhere between half of its end and its end.
    let size = |edge: f64| 0.75 * edge.abs();
    let excess = |edge: f64, most: f64| match most {
        most if most <= edge / 2.0 => 0.75 * edge - most,
        most => (edge - most).max(0.0).powi(2) / edge,
    };
    let beyond = |most: f64| totals.iter().map(|(edge, units)| units * excess(edge.abs(), most)).sum::<f64>();
    let of_group = match (release.cells(), &made.selection) {
        (Some(cells), _) => contributions.unwrap_or(all) / cells as f64,
        (None, Selection::Threshold { threshold, .. }) => 2.0 * *threshold as f64,
        (None, _) => all,
    };
    // A mean is multiplied by its unit's rows, which are as many as they may be for the noise alone, and is off its centre by half of its limits.
    let (weight, largest) = match release.measures[measure].of {
        // The noise of its count matters about as much.
        Quantity::Sum { centred: true, .. } => (rows, release.contribution.rows as f64 / 2f64.sqrt()),
        _ => (1.0, 1.0),
    };
    let noise = noise_of(made, &release.measures[measure]) * largest;
    let error = |most: f64| {
        let bias = if all > 0.0 { weight * of_group * beyond(most) / all } else { 0.0 };
        bias.powi(2) + (noise * most).powi(2)
    };
    let candidates = ends.iter().flat_map(|edge| [0.75 * edge, *edge]).filter(|edge| *edge > 0.0 && !totals.is_empty());
    let best = candidates.min_by(|a, b| error(*a).total_cmp(&error(*b))).unwrap_or(1.0);
    let sum: f64 = totals.iter().map(|(edge, units)| units * size(*edge)).sum();
    (limits(best), if sum > 0.0 { beyond(best) / sum } else { 1.0 })
}

/// The standard deviation of a measure's noise, in what one unit may contribute at most.
fn noise_of(made: &Calibrated, measure: &Measure) -> f64 {
    // Its place may be another one, where two numbers became one.
    let at = made.release.measures.iter().position(|known| known == measure).unwrap_or(0);
    match (made.noise.get(at), made.clamps.get(at)) {
        (Some(noise), Some(clamp)) => noise.variance().sqrt() / clamp.per_group() as f64,
        _ => 0.0,
    }
}

/// Whether a sum's limits are still to be chosen.
pub fn open_totals(release: &Release) -> impl Iterator<Item = Probe> {
    let is_open = |(at, measure): (usize, &Measure)| crate::algebra::is_open(measure).then_some(Probe::Totals(at));
    release.measures.iter().enumerate().filter_map(is_open)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::{Domain, Expr, Key, Literal, Output, Quantity, Relation, Terms, Type};
    use crate::num::Amount;

    fn release(cells: Option<i64>) -> Release {
        let domain = cells.map(|cells| (0..cells).map(Literal::Int).collect::<Domain>());
        let sum = Quantity::Sum { of: Expr::Column(2), bounds: None, whole: false, centred: false };
        Release {
            input: Relation::Protected { table: 0, columns: vec![0, 1] },
            keys: vec![Key { expr: Expr::Column(1), ty: Type::Int, domain }],
            measures: vec![Quantity::Rows.into(), sum.into(), Quantity::Units.into()],
            outputs: vec![Output::Count(0), Output::Sum { sum: 1, whole: false }],
            contribution: Contribution { groups: 1 << 20, rows: 1, total: None },
            terms: Terms::default(),
        }
    }

    fn price(epsilon: &str) -> Price {
        Price::pure(epsilon.parse().unwrap(), "1e-6".parse().unwrap())
    }

    /// What a probe finds where so many units end at these edges, with the noise of this part of the price.
    fn found(of: Probe, units: &[(f64, i128)], part: &str) -> Found {
        let made = calibrate(of.release(&release(Some(100))), price(part), Family::Gaussian).unwrap();
        let edges: Vec<f64> = match of {
            Probe::Groups | Probe::Rows => group_edges().into_iter().map(|edge| edge as f64).collect(),
            Probe::Totals(_) => total_edges(),
        };
        let count = |edge: &f64| units.iter().find(|(at, _)| at == edge).map_or(0, |(_, count)| *count);
        Found::new(&edges.iter().map(count).collect::<Vec<_>>(), &made.noise[0])
    }

    #[test]
    fn one_unit_moves_one_number_of_a_probe_by_one() {
        for probe in [Probe::Groups, Probe::Rows, Probe::Totals(1)] {
            for cells in [Some(100), None] {
                let made = calibrate(probe.release(&release(cells)), price("1"), Family::Laplace).unwrap();
                assert_eq!((made.noise[0].scale(), made.contribution.groups, made.contribution.rows), (1.0, 1, 1));
                assert_eq!(made.noise.len(), 1);
            }
        }
    }

    #[test]
    fn groups_are_as_many_as_noise_and_what_is_cut_off_weigh_up() {
        let chosen = |units: &[(f64, i128)], cells, epsilon| {
            let found = [
                (Probe::Groups, found(Probe::Groups, units, "0.05")),
                (Probe::Totals(1), found(Probe::Totals(1), &[(2.0, 9000)], "0.1")),
            ];
            let (made, chosen) = settle(release(cells), price(epsilon), Family::Gaussian, &found).unwrap();
            assert_eq!(made.contribution.groups as f64, chosen[0].bounds.high);
            chosen[0]
        };
        // Most units have few groups, some have many: with little noise all count, with much those of most.
        let units = [(1.0, 5_000), (2.0, 3_000), (4.0, 2_000), (32.0, 1_000)];
        let (little, much) = (chosen(&units, Some(50), "10"), chosen(&units, Some(50), "0.01"));
        assert_eq!((little.bounds.high, little.cut_off), (32.0, 0.0));
        assert!(much.bounds.high < 8.0 && much.cut_off > 0.3, "{much:?}");
        // Never more than there are, and where nobody knows how many there are, so many that a twentieth is cut off.
        assert_eq!(chosen(&units, Some(10), "10").bounds.high, 10.0);
        let private = chosen(&units, None, "1");
        assert!(private.cut_off <= 0.05 && private.bounds.high == 32.0, "{private:?}");
        // Noise alone is no number of units.
        assert_eq!(chosen(&[(1.0, 9_000), (1024.0, 60)], None, "1").bounds.high, 1.0);
    }

    #[test]
    fn rows_are_as_many_as_noise_and_what_is_cut_off_weigh_up() {
        let chosen = |release: Release, units: &[(f64, i128)], epsilon| {
            let found = [
                (Probe::Rows, found(Probe::Rows, units, "0.05")),
                (Probe::Totals(1), found(Probe::Totals(1), &[(2.0, 9000)], "0.1")),
            ];
            let (made, chosen) = settle(release, price(epsilon), Family::Gaussian, &found).unwrap();
            assert_eq!(made.contribution.rows as f64, chosen[0].bounds.high);
            (chosen[0].bounds.high, (chosen[0].cut_off * 1000.0).round())
        };
        let one =
            |cells| Release { contribution: Contribution { groups: 1, rows: 1 << 20, total: None }, ..release(cells) };
        let units = [(1.0, 50_000), (2.0, 9_000), (16.0, 1_000)];
        assert_eq!(chosen(one(Some(1)), &units, "10"), (16.0, 0.0));
        // Of 82,500 rows.
        let much = chosen(one(Some(50)), &units, "0.02");
        assert!(much.0 < 8.0 && much.1 >= 70.0, "{much:?}");
        // Where nobody knows how many groups there are, a twentieth may be cut off.
        assert_eq!(chosen(one(None), &[(1.0, 50_000), (2.0, 9_000), (16.0, 100)], "1").0, 2.0);
        // A mean has little bias by rows that are left out: where there is some noise, few are best, and where there is none, all.
        let mean = Release {
            measures: vec![
                Quantity::NonNull(Expr::Column(2)).into(),
                Quantity::Sum { of: Expr::Column(2), bounds: None, whole: false, centred: true }.into(),
            ],
            outputs: vec![Output::Mean { sum: 1, count: 0 }],
            ..one(Some(1))
        };
        assert_eq!(chosen(mean.clone(), &units, "0.001").0, 1.0);
        assert_eq!(chosen(mean, &units, "100000").0, 16.0);
    }

    #[test]
    fn limits_hold_what_is_there() {
        let limits = |units: &[(f64, i128)], epsilon| {
            let found = [(Probe::Totals(1), found(Probe::Totals(1), units, "0.1"))];
            let one = Release { contribution: Contribution { groups: 1, rows: 1, total: None }, ..release(Some(1)) };
            let (made, chosen) = settle(one, price(epsilon), Family::Gaussian, &found).unwrap();
            assert_eq!(made.release.measures[1].per_group, Some(chosen[0].bounds));
            (chosen[0].bounds.low, chosen[0].bounds.high, chosen[0].cut_off)
        };
        assert_eq!(limits(&[(64.0, 5_000), (128.0, 4_000)], "1"), (0.0, 128.0, 0.0));
        assert_eq!(limits(&[(-64.0, 5_000), (-128.0, 4_000)], "1"), (-128.0, 0.0, 0.0));
        assert_eq!(limits(&[(-64.0, 5_000), (128.0, 4_000)], "1"), (-128.0, 128.0, 0.0));
        // A few giants are cut off where their noise would drown the rest, and the receipt says how much that is.
        let (_, high, cut_off) = limits(&[(64.0, 90_000), (2f64.powi(30), 300)], "0.001");
        assert!(high < 2f64.powi(30) && cut_off > 0.9, "{high} {cut_off}");
        let (_, high, cut_off) = limits(&[(64.0, 90_000), (2f64.powi(30), 300)], "1");
        assert_eq!((high, cut_off), (2f64.powi(30), 0.0));
        // Noise beside many units is not taken for units.
        assert_eq!(limits(&[(64.0, 50_000), (4096.0, 30), (8192.0, -40)], "1"), (0.0, 64.0, 0.0));
        // Beside many units fewer are enough, where their number falls off; and the noise of one bucket is not.
        assert_eq!(limits(&[(64.0, 50_000), (128.0, 33), (256.0, 33)], "1").1, 256.0);
        assert_eq!(limits(&[(64.0, 50_000), (1024.0, 33)], "1").1, 64.0);
        // Neighbours make up for each other's few units; of none at all nothing is known.
        let few: Vec<(f64, i128)> = (0..6).map(|power| (2f64.powi(power), 40)).collect();
        assert_eq!(limits(&few, "1").1, 32.0);
        assert_eq!(limits(&[], "1"), (0.0, 1.0, 1.0));
    }

    #[test]
    fn every_choice_can_be_calibrated_or_none_is_begun() {
        let probes = [Probe::Groups, Probe::Totals(1)];
        assert!(check(release(Some(100)), price("0.0001"), Family::Gaussian, &probes).is_ok());
        let nothing = Price { rho: Amount::from_atto(1), ..price("1e-18") };
        assert!(check(release(Some(100)), nothing, Family::Laplace, &probes).is_err());
    }
}
