//! How much one privacy unit can move what a release adds noise to.
//!
//! Neighbours differ in all rows of one unit. After bounding, a unit takes part in at most k groups, and in
//! each its contribution to a measure is an integer within [low, high]; an absent unit contributes 0. So
//! the vector over groups moves by at most C = max(|low|, |high|) in each of at most k *different*
//! coordinates: L1 = k C and L2 = sqrt(k) C.

use super::Measure;
use crate::num::Lattice;
use ruint::aliases::U256;

/// Limits on what one unit contributes to one release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contribution {
    /// Groups, k.
    pub groups: u64,
    /// Rows per group, m.
    pub rows: u64,
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
}

impl Clamp {
    /// The clamp of a count with at most `most` per unit and group.
    fn count(most: u64) -> Clamp {
        Clamp { lattice: Lattice::UNIT, row_low: 0, row_high: 1, centre: 0, unit_low: 0, unit_high: i128::from(most) }
    }

    /// The limits of `measure` under `contribution`, with its values on a lattice fit for noise of about
    /// `noise_per_bound` times the largest contribution. Bounds are rounded to the lattice before anything else, so the
    /// sensitivity below is exact.
    pub fn of(measure: &Measure, contribution: Contribution, noise_per_bound: f64) -> Clamp {
        match measure {
            Measure::Rows | Measure::NonNull(_) => Clamp::count(contribution.rows),
            Measure::Units => Clamp::count(1),
            Measure::Sum { bounds, whole, centred, .. } => {
                let rows = contribution.rows as f64;
                let (low, high) = (bounds.low, bounds.high);
                let reach = if *centred { (high - low) / 2.0 } else { low.abs().max(high.abs()) };
                let lattice = Lattice::for_noise(reach * rows * noise_per_bound, low.abs().max(high.abs()), *whole);
                let (row_low, row_high) = (lattice.quantise(low), lattice.quantise(high));
                let centre = if *centred { row_low + (row_high - row_low) / 2 } else { 0 };
                let rows = i128::from(contribution.rows);
                Clamp {
                    lattice,
                    row_low,
                    row_high,
                    centre,
                    unit_low: (i128::from(row_low - centre) * rows).min(0),
                    unit_high: (i128::from(row_high - centre) * rows).max(0),
                }
            }
        }
    }

    /// C: the largest magnitude that one unit contributes to one group, at least one step.
    pub fn per_group(&self) -> u128 {
        self.unit_low.unsigned_abs().max(self.unit_high.unsigned_abs()).max(1)
    }
}

/// Sensitivity of one measure over all groups, in lattice steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sensitivity {
    pub l1: u128,
    pub l2_squared: U256,
}

impl Sensitivity {
    /// For a unit that takes part in at most `groups` groups.
    pub fn new(clamp: &Clamp, groups: u64) -> Sensitivity {
        let (k, c) = (groups.max(1), clamp.per_group());
        Sensitivity { l1: c.saturating_mul(u128::from(k)), l2_squared: U256::from(c) * U256::from(c) * U256::from(k) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::{Bounds, Expr};

    fn sum(low: f64, high: f64, whole: bool, centred: bool) -> Measure {
        Measure::Sum { of: Expr::Column(1), bounds: Bounds::new(low, high).unwrap(), whole, centred }
    }

    const TWO_OF_THREE: Contribution = Contribution { groups: 2, rows: 3 };

    #[test]
    fn counts_move_by_rows_times_groups() {
        let clamp = Clamp::of(&Measure::Rows, TWO_OF_THREE, 1.0);
        assert_eq!((clamp.unit_low, clamp.unit_high), (0, 3));
        assert_eq!(Sensitivity::new(&clamp, 2), Sensitivity { l1: 6, l2_squared: U256::from(18) });
        assert_eq!(Clamp::of(&Measure::Units, TWO_OF_THREE, 1.0).per_group(), 1);
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
}
