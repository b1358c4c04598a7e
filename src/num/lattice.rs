//! The public grid of spacing 2^g on which every value is rounded before it is added to anything.
//!
//! Sums of integers are exact and do not depend on order, so the sensitivity that is claimed is the
//! sensitivity that is had. This closes the floating-point attacks of Mironov 2012
//! (doi 10.1145/2382196.2382264), Haney et al. 2022 (arXiv:2207.13793) and Casacuberta et al. 2022
//! (arXiv:2207.10635).

/// A grid of spacing 2^`exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lattice {
    exponent: i32,
}

/// Grid steps per unit of noise: the rounding error is 2^-40 of the noise.
const STEPS_PER_SCALE: i32 = 40;
/// The largest value is at most 2^52 steps: exact in a double, and 2^75 of them fit in an i128.
const STEPS_PER_BOUND: i32 = 52;
/// Points among which a value is chosen.
const LOG_POINTS: i32 = 32;
/// Powers of two beyond this are not needed for any declared bound and would leave the doubles.
const LIMIT: i32 = 900;

impl Lattice {
    /// The grid of counts: spacing 1.
    pub const UNIT: Lattice = Lattice { exponent: 0 };

    /// The grid for values of at most `bound` in magnitude under noise of about `scale`, both finite and
    /// in the values' unit. `whole` keeps the spacing at 1 or more, for integer columns. A function of
    /// public numbers alone.
    pub fn for_noise(scale: f64, bound: f64, whole: bool) -> Lattice {
        let exponent = (ceil_log2(scale) - STEPS_PER_SCALE).max(ceil_log2(bound) - STEPS_PER_BOUND);
        Lattice { exponent: if whole { exponent.max(0) } else { exponent } }
    }

    /// A grid with at most 2^32 points on a range of this width, whose values are at most `bound` in magnitude.
    pub fn for_points(width: f64, bound: f64, whole: bool) -> Lattice {
        let exponent = (ceil_log2(width) - LOG_POINTS).max(ceil_log2(bound) - STEPS_PER_BOUND);
        Lattice { exponent: if whole { exponent.max(0) } else { exponent } }
    }

    /// The finest grid on which values of at most `bound` in magnitude are exact in a double.
    pub fn for_values(bound: f64) -> Lattice {
        Lattice { exponent: ceil_log2(bound) - STEPS_PER_BOUND }
    }

    pub fn exponent(self) -> i32 {
        self.exponent
    }

    /// The spacing, an exact power of two.
    pub fn step(self) -> f64 {
        2f64.powi(self.exponent)
    }

    /// The nearest grid point of `value` in steps, ties to even, saturating at +-2^62. NaN is 0.
    pub fn quantise(self, value: f64) -> i64 {
        const EDGE: f64 = (1u64 << 62) as f64;
        (value / self.step()).round_ties_even().clamp(-EDGE, EDGE) as i64
    }

    /// The whole number of `steps` grid steps of a lattice whose spacing is 1 or more.
    pub fn whole(self, steps: i128) -> i128 {
        steps.saturating_mul(1i128 << self.exponent.clamp(0, 64))
    }

    /// The value of `steps` grid steps: exact up to the double's own rounding of a large integer.
    pub fn value(self, steps: i128) -> f64 {
        steps as f64 * self.step()
    }
}

/// ceil(log2(x)), kept within +-LIMIT; zero counts as the least.
fn ceil_log2(x: f64) -> i32 {
    (x.log2().ceil()).clamp(f64::from(-LIMIT), f64::from(LIMIT)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spacing_follows_noise_and_bound() {
        assert_eq!(Lattice::for_noise(1.0, 1.0, false).exponent(), -40);
        assert_eq!(Lattice::for_noise(1000.0, 100.0, false).exponent(), -30);
        // A huge epsilon must not overflow the steps.
        assert_eq!(Lattice::for_noise(1e-9, 1024.0, false).exponent(), -42);
        assert_eq!(Lattice::for_noise(1e-9, 1024.0, true), Lattice::UNIT);
        assert_eq!(Lattice::for_noise(1e15, 1e6, true).exponent(), 10);
    }

    #[test]
    fn quantising_is_total() {
        let lattice = Lattice::for_noise(1.0, 1.0, false);
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, f64::MAX, f64::MIN_POSITIVE] {
            let steps = lattice.quantise(value);
            assert!(steps.unsigned_abs() <= 1 << 62);
        }
        assert_eq!(lattice.quantise(f64::NAN), 0);
        assert_eq!(Lattice::UNIT.quantise(2.5), 2);
        assert_eq!(Lattice::UNIT.quantise(-3.5), -4);
        assert_eq!(lattice.value(i128::from(lattice.quantise(0.25))), 0.25);
    }
}
