//! How much one privacy unit can move what a release adds noise to.
//!
//! Neighbours differ in all rows of one unit. After bounding, a unit takes part in at most k groups, and in
//! each its contribution to a measure is an integer within [low, high]; an absent unit contributes 0. So
//! the vector over groups moves by at most C = max(|low|, |high|) in each of at most k *different*
//! coordinates: L1 = k C and L2 = sqrt(k) C.
//!
//! A count of distinct values is not a sum over units, but the same holds of it: a unit that comes or goes moves the size of the union of
//! what each has in a group by at most what it has there itself.
//!
//! A quantile is a choice among a group's values: what moves is their multiset, by at most as many values as a count would count.
//!
//! Where a unit has at most R rows in all groups together, and n rows add at most n c to a group, it moves the vector by at most x_1, x_2,
//! ... with each x within C and all of them within R c together. The sum of squares is convex, so its maximum fills one group after the
//! other: L1 = min(R c, k C), and L2 = sqrt(q C^2 + r^2) with q full groups and r left over. Where a single row may add C, k is at most R.

use super::{Bounds, Measure, Quantity};
use crate::num::Lattice;
use ruint::aliases::U256;

/// Limits on what one unit contributes to one release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contribution {
    /// Groups, k.
    pub groups: u64,
    /// Rows per group, m.
    pub rows: u64,
    /// Rows in all groups together, R; None is no limit but k m.
    pub total: Option<u64>,
}

/// Integer limits of one measure, in lattice steps. `row_*` bound one row's value, `unit_*` what one unit
/// contributes to one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clamp {
    pub lattice: Lattice,
    pub row_low: i64,
    pub row_high: i64,
    /// Subtracted from each row's value before it is summed.
    pub centre: i64,
    pub unit_low: i128,
    pub unit_high: i128,
    /// Of a centred sum: limits of one row's part in the unit's mean, less the centre.
    pub mean: (i64, i64),
    /// Largest magnitude that one row adds, where n rows add at most n times that.
    pub per_row: Option<u64>,
}

/// The least and the largest that a row's value is rounded to where it has no bounds: what [`Lattice::quantise`] gives.
const UNBOUNDED: (i64, i64) = (-(1 << 62), 1 << 62);

impl Clamp {
    /// The clamp of a count with at most `most` per unit and group.
    fn count(most: u64) -> Clamp {
        Clamp {
            lattice: Lattice::UNIT,
            row_low: 0,
            row_high: 1,
            centre: 0,
            unit_low: 0,
            unit_high: i128::from(most),
            mean: (0, 1),
            per_row: Some(1),
        }
    }

    /// That of a sum to which nothing is added: each row on the lattice, within what it can hold.
    pub fn unbounded(lattice: Lattice) -> Clamp {
        let (row_low, row_high) = UNBOUNDED;
        Clamp { lattice, row_low, row_high, mean: UNBOUNDED, per_row: None, ..Clamp::count(0) }
    }

    /// The limits of `measure` under `contribution`, with its values on a lattice fit for noise of about
    /// `noise_per_bound` times the largest contribution. Bounds are rounded to the lattice before anything else, so the
    /// sensitivity below is exact.
    pub fn of(measure: &Measure, contribution: Contribution, noise_per_bound: f64) -> Clamp {
        match (&measure.of, measure.per_group) {
            (Quantity::Units, _) => Clamp { per_row: None, ..Clamp::count(1) },
            (Quantity::Rows | Quantity::NonNull(_) | Quantity::Distinct(_), None) => Clamp::count(contribution.rows),
            (Quantity::Mode { values, .. } | Quantity::Histogram { values, .. }, _) => Clamp {
                row_high: (values.len() as i64 - 1).max(0),
                per_row: Some(1),
                ..Clamp::count(contribution.rows)
            },
            (Quantity::Quantile { bounds, whole, .. } | Quantity::Ranks { bounds, whole, .. }, _) => {
                let lattice =
                    Lattice::for_points(bounds.high - bounds.low, bounds.low.abs().max(bounds.high.abs()), *whole);
                let (row_low, row_high) = row_limits(Some(*bounds), lattice);
                let most = measure.of.most_values(contribution.rows);
                Clamp { lattice, row_low, row_high, per_row: Some(1), ..Clamp::count(most) }
            }
            (Quantity::Rows | Quantity::NonNull(_) | Quantity::Distinct(_), Some(Bounds { low, high })) => {
                let per_row = if low > 0.0 { None } else { Some(1) };
                Clamp { unit_low: low as i128, unit_high: high as i128, per_row, ..Clamp::count(0) }
            }
            (Quantity::Sum { bounds, whole, centred: true, .. }, per_group) => {
                // A mean is within the bounds of its values, so either bounds both.
                let Bounds { low, high } = per_group.or(*bounds).unwrap_or(Bounds { low: 0.0, high: 0.0 });
                let rows = contribution.rows as f64;
                let scale = (high - low) / 2.0 * rows * noise_per_bound;
                let lattice =
                    measure.lattice.unwrap_or_else(|| Lattice::for_noise(scale, low.abs().max(high.abs()), *whole));
                let (mean_low, mean_high) = (lattice.quantise(low), lattice.quantise(high));
                let centre = mean_low + (mean_high - mean_low) / 2;
                let mean = (mean_low - centre, mean_high - centre);
                let (row_low, row_high) = row_limits(*bounds, lattice);
                let rows = i128::from(contribution.rows);
                Clamp {
                    lattice,
                    row_low,
                    row_high,
                    centre,
                    unit_low: i128::from(mean.0) * rows,
                    unit_high: i128::from(mean.1) * rows,
                    mean,
                    per_row: Some(mean.0.unsigned_abs().max(mean.1.unsigned_abs())),
                }
            }
            (Quantity::Sum { bounds: Some(bounds), whole, .. }, None) => {
                let magnitude = bounds.low.abs().max(bounds.high.abs());
                let scale = magnitude * contribution.rows as f64 * noise_per_bound;
                let lattice = measure.lattice.unwrap_or_else(|| Lattice::for_noise(scale, magnitude, *whole));
                let (row_low, row_high) = row_limits(Some(*bounds), lattice);
                let rows = i128::from(contribution.rows);
                Clamp {
                    lattice,
                    row_low,
                    row_high,
                    centre: 0,
                    unit_low: (i128::from(row_low) * rows).min(0),
                    unit_high: (i128::from(row_high) * rows).max(0),
                    mean: (row_low, row_high),
                    per_row: Some(row_low.unsigned_abs().max(row_high.unsigned_abs())),
                }
            }
            (Quantity::Sum { bounds, whole, .. }, per_group) => {
                let Bounds { low, high } = per_group.unwrap_or(Bounds { low: 0.0, high: 0.0 });
                let magnitude = low.abs().max(high.abs());
                let lattice = measure
                    .lattice
                    .unwrap_or_else(|| Lattice::for_noise(magnitude * noise_per_bound, magnitude, *whole));
                let (row_low, row_high) = row_limits(*bounds, lattice);
                Clamp {
                    lattice,
                    row_low,
                    row_high,
                    centre: 0,
                    unit_low: i128::from(lattice.quantise(low)),
                    unit_high: i128::from(lattice.quantise(high)),
                    mean: (row_low, row_high),
                    per_row: None,
                }
            }
        }
    }

    /// C: the largest magnitude that one unit contributes to one group, at least one step.
    pub fn per_group(&self) -> u128 {
        self.unit_low.unsigned_abs().max(self.unit_high.unsigned_abs()).max(1)
    }
}

/// A row's limits in steps.
fn row_limits(bounds: Option<Bounds>, lattice: Lattice) -> (i64, i64) {
    bounds.map_or(UNBOUNDED, |Bounds { low, high }| (lattice.quantise(low), lattice.quantise(high)))
}

/// Sensitivity of one measure over all groups, in lattice steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sensitivity {
    pub l1: u128,
    pub l2_squared: U256,
    /// C: of one group.
    pub per_group: u128,
}

impl Sensitivity {
    /// For a unit that contributes at most this.
    pub fn new(clamp: &Clamp, contribution: Contribution) -> Sensitivity {
        let squared = |n: u128| U256::from(n) * U256::from(n);
        let (most, total) = (clamp.per_group(), u128::from(contribution.total.unwrap_or(u64::MAX)).max(1));
        let groups = u128::from(contribution.groups.max(1)).min(total);
        let whole = groups.saturating_mul(most);
        let by_rows = clamp.per_row.map_or(u128::MAX, |row| total.saturating_mul(u128::from(row.max(1))));
        let l1 = whole.min(by_rows);
        let (full, left) = (l1 / most, l1 % most);
        Sensitivity { l1, l2_squared: squared(most) * U256::from(full) + squared(left), per_group: most }
    }

    /// What costs most of what a unit may do: so many groups that it moves by so much.
    pub fn worst(&self) -> [(u128, u128); 2] {
        [(self.l1 / self.per_group, self.per_group), (1, self.l1 % self.per_group)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::Expr;

    fn sum(low: f64, high: f64, whole: bool, centred: bool) -> Measure {
        Quantity::Sum { of: Expr::Column(1), bounds: Bounds::new(low, high), whole, centred }.into()
    }

    const TWO_OF_THREE: Contribution = Contribution { groups: 2, rows: 3, total: None };

    #[test]
    fn counts_move_by_rows_times_groups() {
        let clamp = Clamp::of(&Quantity::Rows.into(), TWO_OF_THREE, 1.0);
        assert_eq!((clamp.unit_low, clamp.unit_high), (0, 3));
        assert_eq!(
            Sensitivity::new(&clamp, TWO_OF_THREE),
            Sensitivity { l1: 6, l2_squared: U256::from(18), per_group: 3 }
        );
        assert_eq!(Clamp::of(&Quantity::Units.into(), TWO_OF_THREE, 1.0).per_group(), 1);
    }

    #[test]
    fn sums_are_clamped_per_unit_and_group() {
        let clamp = Clamp::of(&sum(-2.0, 5.0, true, false), TWO_OF_THREE, 1.0);
        assert_eq!((clamp.lattice, clamp.row_low, clamp.row_high), (Lattice::UNIT, -2, 5));
        assert_eq!((clamp.unit_low, clamp.unit_high, clamp.per_group()), (-6, 15, 15));
        // An absent unit contributes 0, so bounds above zero still start at zero.
        let clamp = Clamp::of(&sum(10.0, 20.0, true, false), TWO_OF_THREE, 1.0);
        assert_eq!((clamp.unit_low, clamp.unit_high), (0, 60));
    }

    #[test]
    fn centring_halves_the_sensitivity() {
        let clamp = Clamp::of(&sum(0.0, 100.0, true, true), TWO_OF_THREE, 1.0);
        assert_eq!((clamp.centre, clamp.unit_low, clamp.unit_high), (50, -150, 150));
        let odd = Clamp::of(&sum(0.0, 5.0, true, true), TWO_OF_THREE, 1.0);
        assert_eq!((odd.centre, odd.unit_low, odd.unit_high), (2, -6, 9));
    }

    #[test]
    fn bounds_are_on_the_lattice_before_the_sensitivity() {
        let clamp = Clamp::of(&sum(0.0, 0.1, false, false), TWO_OF_THREE, 2.0);
        assert!(clamp.lattice.exponent() < -30);
        assert_eq!(clamp.unit_high, i128::from(clamp.row_high) * 3);
        let nothing = Clamp::of(&sum(0.0, 0.0, false, false), TWO_OF_THREE, 2.0);
        assert_eq!(nothing.per_group(), 1);
    }

    #[test]
    fn limits_of_a_group_are_what_a_unit_adds() {
        let limited = |of: Quantity, low, high| Measure { per_group: Bounds::new(low, high), ..of.into() };
        let count = Clamp::of(&limited(Quantity::Rows, 0.0, 2.0), TWO_OF_THREE, 1.0);
        assert_eq!((count.unit_low, count.unit_high, count.per_row), (0, 2, Some(1)));
        // A unit of one row counts as two here, so rows alone do not bound it.
        assert_eq!(Clamp::of(&limited(Quantity::Rows, 2.0, 3.0), TWO_OF_THREE, 1.0).per_row, None);
        let free = Quantity::Sum { of: Expr::Column(1), bounds: None, whole: true, centred: false };
        let clamp = Clamp::of(&limited(free, -5.0, 40.0), TWO_OF_THREE, 1.0);
        assert_eq!((clamp.row_low, clamp.row_high), UNBOUNDED);
        assert_eq!((clamp.unit_low, clamp.unit_high, clamp.per_group()), (-5, 40, 40));
        assert_eq!(Sensitivity::new(&clamp, TWO_OF_THREE).l1, 80);
        let mean = Quantity::Sum { of: Expr::Column(1), bounds: Bounds::new(0.0, 9.0), whole: true, centred: true };
        let clamp = Clamp::of(&limited(mean, 2.0, 6.0), TWO_OF_THREE, 1.0);
        assert_eq!((clamp.row_low, clamp.row_high, clamp.centre, clamp.mean), (0, 9, 4, (-2, 2)));
        assert_eq!((clamp.unit_low, clamp.unit_high), (-6, 6));
    }

    /// The worst of all ways to spread a unit's rows over groups, found by trying them: (L1, squared L2).
    fn worst(left: u64, groups: u64, adds: &impl Fn(u64) -> u128) -> (u128, u128) {
        match groups {
            0 => (0, 0),
            _ => (0..=left).fold((0, 0), |(l1, l2), here| {
                let (a, b) = worst(left - here, groups - 1, adds);
                let added = if here > 0 { adds(here) } else { 0 };
                (l1.max(a + added), l2.max(b + added * added))
            }),
        }
    }

    #[test]
    fn rows_in_all_groups_together_bound_the_sensitivity() {
        for total in 1..=9 {
            for rows in 1..=4 {
                for groups in 1..=3 {
                    let contribution = Contribution { groups, rows, total: Some(total) };
                    let check = |measure: Measure, adds: &dyn Fn(u64) -> u128| {
                        let clamp = Clamp::of(&measure, contribution, 1.0);
                        let (l1, l2) = worst(total, groups, &adds);
                        let per_group = clamp.per_group();
                        let expected = Sensitivity { l1, l2_squared: U256::from(l2), per_group };
                        assert_eq!(Sensitivity::new(&clamp, contribution), expected, "{contribution:?} {measure:?}");
                    };
                    check(Quantity::Rows.into(), &|n| u128::from(n.min(rows)));
                    check(Quantity::Units.into(), &|_| 1);
                    for high in 1..=6u64 {
                        let limited = Measure { per_group: Bounds::new(0.0, high as f64), ..Quantity::Rows.into() };
                        check(limited.clone(), &|n| u128::from(n.min(high)));
                        let at_least =
                            Measure { per_group: Bounds::new(1.0f64.min(high as f64), high as f64), ..limited };
                        check(at_least, &|_| u128::from(high));
                    }
                    let sum = Quantity::Sum {
                        of: Expr::Column(1),
                        bounds: Bounds::new(-3.0, 2.0),
                        whole: true,
                        centred: false,
                    };
                    check(sum.into(), &|n| 3 * u128::from(n.min(rows)));
                }
            }
        }
    }
}
