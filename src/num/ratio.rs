//! Exact non-negative fractions in 256-bit integers: noise scales and variances.

use ruint::aliases::U256;

/// `numerator / denominator`; the denominator is never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    pub numerator: U256,
    pub denominator: U256,
}

/// Bits of resolution of a rounded ratio below one unit of the last place that matters.
const RESOLUTION: usize = 32;

impl Ratio {
    pub fn new(numerator: U256, denominator: U256) -> Option<Self> {
        (!denominator.is_zero()).then_some(Ratio { numerator, denominator })
    }

    /// The least ratio with a small denominator that is not below `self`, at most 2^-32 relative above
    /// it where it is 1 or more, and 2^-32 absolute where it is less. Larger noise is never less private.
    pub fn round_up(self) -> Self {
        let shift = RESOLUTION.saturating_sub((self.numerator / self.denominator).bit_len());
        // The quotient has at most 256 - RESOLUTION bits wherever a shift is taken, see `new` callers.
        let scaled = self.numerator << shift;
        let up = scaled.div_ceil(self.denominator).max(U256::ONE);
        Ratio { numerator: up, denominator: U256::ONE << shift }
    }

    /// The nearest double, for display and intervals.
    pub fn to_f64(self) -> f64 {
        to_f64(self.numerator) / to_f64(self.denominator)
    }
}

/// As "numerator/denominator".
impl serde::Serialize for Ratio {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}/{}", self.numerator, self.denominator))
    }
}

impl<'de> serde::Deserialize<'de> for Ratio {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: String = serde::Deserialize::deserialize(deserializer)?;
        let read = || {
            let (numerator, denominator) = text.split_once('/')?;
            Ratio::new(numerator.parse().ok()?, denominator.parse().ok()?)
        };
        read().ok_or_else(|| serde::de::Error::custom("a ratio that cannot be read"))
    }
}

#[cfg(test)]
impl Ratio {
    /// For tests.
    pub fn of(n: u128, d: u128) -> Ratio {
        Ratio::new(U256::from(n), U256::from(d)).unwrap()
    }
}

/// The double nearest to `n`, to within one rounding per limb.
fn to_f64(n: U256) -> f64 {
    n.as_limbs().iter().rev().fold(0.0, |sum, &limb| sum * 2f64.powi(64) + limb as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_up_is_tight_and_never_below() {
        for (n, d) in [(1, 3), (2, 3), (10, 3), (1 << 90, 3), (1, 1_000_000_000_000), (7, 1), (123_456_789, 1000)] {
            let (exact, up) = (Ratio::of(n, d), Ratio::of(n, d).round_up());
            assert!(up.numerator * exact.denominator >= exact.numerator * up.denominator, "{n}/{d}");
            assert!(up.to_f64() - exact.to_f64() <= exact.to_f64().max(1.0) * 2f64.powi(-31), "{n}/{d}");
        }
    }

    #[test]
    fn no_ratio_over_zero() {
        assert_eq!(Ratio::new(U256::ONE, U256::ZERO), None);
    }
}
