//! The fractions of quantiles.

/// From 0 to 1, in millionths: exact, so that ranks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fraction(u32);

impl Fraction {
    /// 1, in millionths.
    pub const ONE: u32 = 1_000_000;
    pub const HALF: Fraction = Fraction(Self::ONE / 2);
    pub const LEAST: Fraction = Fraction(0);
    pub const GREATEST: Fraction = Fraction(Self::ONE);

    /// None above 1.
    pub fn new(millionths: u32) -> Option<Fraction> {
        (millionths <= Self::ONE).then_some(Fraction(millionths))
    }

    /// A number from 0 to 1 with at most six decimal places.
    pub fn of(value: f64) -> Option<Fraction> {
        let millionths = (value * f64::from(Self::ONE)).round();
        let exact = (0.0..=f64::from(Self::ONE)).contains(&millionths) && millionths / f64::from(Self::ONE) == value;
        exact.then_some(Fraction(millionths as u32))
    }

    pub fn millionths(self) -> u32 {
        self.0
    }

    pub fn value(self) -> f64 {
        f64::from(self.0) / f64::from(Self::ONE)
    }

    /// The same from the other end.
    pub fn reversed(self) -> Fraction {
        Fraction(Self::ONE - self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_have_six_places() {
        for (value, millionths) in [(0.0, 0), (0.5, 500_000), (0.95, 950_000), (0.999_999, 999_999), (1.0, 1_000_000)] {
            assert_eq!(Fraction::of(value).map(Fraction::millionths), Some(millionths));
        }
        for value in [-0.1, 1.1, 0.123_456_7, f64::NAN, f64::INFINITY, 1.0 / 3.0] {
            assert_eq!(Fraction::of(value), None, "{value}");
        }
        assert_eq!(Fraction::of(0.9).unwrap().reversed(), Fraction::of(0.1).unwrap());
    }
}
