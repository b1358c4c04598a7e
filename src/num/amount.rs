//! Privacy loss as an integer in units of 1e-18.
//!
//! One unit serves epsilon, rho and delta. 128 bits hold an epsilon of 1e9 with room for 10^11 of them,
//! and a rho of 5e-11 (that is epsilon = 1e-5) to eight digits. Amounts are rounded up where they are
//! charged and down where they are granted; no float is ever compared with a budget.

use ruint::aliases::U256;
use std::fmt;
use std::str::FromStr;

const DIGITS: usize = 18;
const ONE: u128 = 10u128.pow(DIGITS as u32);
/// The largest amount that text may name. Sums of 10^8 such amounts still fit.
const MAX: u128 = 1_000_000_000_000 * ONE;

/// A non-negative amount of epsilon, rho or delta, in units of 1e-18.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(u128);

/// Why a text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseAmountError {
    #[error("is not a decimal number such as 0.1 or 1e-6")]
    NotANumber,
    #[error("is negative")]
    Negative,
    #[error("is above 1e12")]
    TooLarge,
    #[error("has digits below 1e-18")]
    TooFine,
}

impl Amount {
    pub const ZERO: Amount = Amount(0);
    pub const ONE: Amount = Amount(ONE);

    /// From a count of 1e-18 units.
    pub const fn from_atto(units: u128) -> Self {
        Amount(units)
    }

    /// The count of 1e-18 units.
    pub const fn atto(self) -> u128 {
        self.0
    }

    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The least amount that is not below `value`. `value` is finite, not negative, and may carry a
    /// relative error of 1e-15 (one rounding), which is added first: the result is an upper bound.
    pub fn charge(value: f64) -> Self {
        Amount((value * (1.0 + 1e-14) * ONE as f64).ceil() as u128)
    }

    /// The largest amount that is not above `value`, whose relative error may be 1e-12: a lower bound.
    pub fn grant(value: f64) -> Self {
        Amount((value * (1.0 - 2e-12) * ONE as f64).floor() as u128)
    }

    /// The nearest double, for display and for formulas that round against the asker afterwards.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / ONE as f64
    }

    /// Sum; saturates, so that a sum that does not fit is above every grant.
    pub fn plus(self, other: Amount) -> Amount {
        Amount(self.0.saturating_add(other.0))
    }

    /// What is left of `self` after `other`; zero where nothing is.
    pub fn minus(self, other: Amount) -> Amount {
        Amount(self.0.saturating_sub(other.0))
    }

    /// Sum, where it is one that text may name.
    pub fn checked_plus(self, other: Amount) -> Option<Amount> {
        self.0.checked_add(other.0).filter(|sum| *sum <= MAX).map(Amount)
    }

    /// Difference, where there is as much.
    pub fn checked_minus(self, other: Amount) -> Option<Amount> {
        self.0.checked_sub(other.0).map(Amount)
    }

    /// One of `parts` equal shares, rounded down, so that the shares never exceed the whole.
    pub fn share(self, parts: usize) -> Amount {
        Amount(self.0 / parts.max(1) as u128)
    }

    /// numerator / denominator of it, rounded down; nothing of nothing, and never more than the whole.
    pub fn part(self, numerator: u128, denominator: u128) -> Amount {
        let part = U256::from(self.0) * U256::from(numerator.min(denominator)) / U256::from(denominator.max(1));
        Amount(u128::try_from(part).unwrap_or(self.0))
    }
}

impl Amount {
    /// What `Display` writes, however large: sums may be above what a request can name.
    pub fn written(text: &str) -> Option<Amount> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let is_number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || fraction.len() > DIGITS || !is_number(whole) || !is_number(fraction) {
            return None;
        }
        format!("{whole}{fraction:0<DIGITS$}").parse().ok().map(Amount)
    }
}

/// Plain decimal text without trailing zeros, which [`FromStr`] reads back exactly.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:0DIGITS$}", self.0 % ONE);
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{}", self.0 / ONE),
            digits => write!(f, "{}.{digits}", self.0 / ONE),
        }
    }
}

impl FromStr for Amount {
    type Err = ParseAmountError;

    fn from_str(text: &str) -> Result<Self, ParseAmountError> {
        use ParseAmountError::*;
        let text = text.trim();
        if let Some(rest) = text.strip_prefix('-') {
            return rest.parse::<Amount>().and(Err(Negative));
        }
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((m, e)) => (m, e.parse::<i32>().map_err(|_| NotANumber)?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NotANumber);
        }
        let significant = digits.trim_start_matches('0').trim_end_matches('0');
        if significant.is_empty() {
            return Ok(Amount::ZERO);
        }
        let trailing = digits.len() - digits.trim_end_matches('0').len();
        // value = significant * 10^(power - DIGITS) in units of one
        let power = i64::from(exponent) - fraction.len() as i64 + trailing as i64 + DIGITS as i64;
        if power < 0 {
            return Err(TooFine);
        }
        if power > 30 || significant.len() > 30 {
            return Err(TooLarge);
        }
        let units =
            significant.parse::<u128>().ok().and_then(|n| n.checked_mul(10u128.pow(power as u32))).ok_or(TooLarge)?;
        if units > MAX { Err(TooLarge) } else { Ok(Amount(units)) }
    }
}

/// From text, or from a number as configuration files write it.
impl<'de> serde::Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Whole(i64),
            Number(f64),
        }
        let text = match serde::Deserialize::deserialize(deserializer)? {
            Written::Text(text) => text,
            Written::Whole(number) => number.to_string(),
            Written::Number(number) => number.to_string(),
        };
        text.parse().map_err(|e| serde::de::Error::custom(format!("'{text}' {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_exactly_and_written_back() {
        for (text, atto, shown) in [
            ("0.1", 100_000_000_000_000_000, "0.1"),
            ("1e-6", 1_000_000_000_000, "0.000001"),
            ("1E9", 1_000_000_000 * ONE, "1000000000"),
            (" 2.50 ", 2_500_000_000_000_000_000, "2.5"),
            ("1e-18", 1, "0.000000000000000001"),
            ("0", 0, "0"),
            ("0e999", 0, "0"),
            ("12345678.000000000000000001", 12_345_678 * ONE + 1, "12345678.000000000000000001"),
        ] {
            let amount: Amount = text.parse().unwrap();
            assert_eq!((amount.atto(), amount.to_string().as_str()), (atto, shown), "{text}");
        }
    }

    #[test]
    fn text_that_is_no_amount_is_refused() {
        use ParseAmountError::*;
        for (text, why) in [
            ("", NotANumber),
            ("NaN", NotANumber),
            ("inf", NotANumber),
            ("-inf", NotANumber),
            ("-1", Negative),
            ("1.2.3", NotANumber),
            ("0x1", NotANumber),
            ("1e-19", TooFine),
            ("1e13", TooLarge),
            ("1e400", TooLarge),
            ("99999999999999999999999999999999999999999", TooLarge),
        ] {
            assert_eq!(text.parse::<Amount>(), Err(why), "{text}");
        }
    }

    #[test]
    fn rounding_goes_against_the_asker() {
        for value in [0.1, 0.3, 1e-5, 5e-11, 3.3333333, 1e9] {
            assert!(Amount::charge(value).to_f64() >= value);
            assert!(Amount::grant(value).to_f64() <= value);
            assert!((Amount::charge(value).to_f64() - value) / value < 1e-7);
        }
        let whole: Amount = "1".parse().unwrap();
        assert!(whole.share(3).atto() * 3 <= whole.atto());
    }
}
