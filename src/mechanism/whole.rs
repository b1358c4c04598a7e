//! Unsigned integers of a few widths, for samplers: of all that hold a number the narrowest is by far the fastest.

use super::coins::Coins;
use rand::CryptoRng;
use ruint::aliases::U256;

pub trait Whole: Copy + PartialOrd {
    fn from_u64(value: u64) -> Self;

    /// Uniform on 0..bound, by rejection; `bound` > 0.
    fn below(coins: &mut Coins<impl CryptoRng>, bound: Self) -> Self;

    /// Quotient and rest; `by` > 0.
    fn div_rem(self, by: Self) -> (Self, Self);

    /// (self + step times) / by, rounded down, in 128 bits. Saturates.
    fn stepped(self, step: Self, times: u64, by: Self) -> u128;
}

impl Whole for u64 {
    fn from_u64(value: u64) -> u64 {
        value
    }

    fn below(coins: &mut Coins<impl CryptoRng>, bound: u64) -> u64 {
        let bits = u64::BITS - (bound - 1).leading_zeros();
        loop {
            let candidate = coins.bits(bits);
            if candidate < bound {
                return candidate;
            }
        }
    }

    fn div_rem(self, by: u64) -> (u64, u64) {
        (self / by, self % by)
    }

    fn stepped(self, step: u64, times: u64, by: u64) -> u128 {
        let sum = u128::from(self) + u128::from(step) * u128::from(times);
        if by == 1 { sum } else { sum / u128::from(by) }
    }
}

impl Whole for u128 {
    fn from_u64(value: u64) -> u128 {
        value.into()
    }

    fn below(coins: &mut Coins<impl CryptoRng>, bound: u128) -> u128 {
        let bits = u128::BITS - (bound - 1).leading_zeros();
        loop {
            let low = coins.bits(bits.min(64));
            let candidate = u128::from(low) | u128::from(coins.bits(bits.saturating_sub(64))) << 64;
            if candidate < bound {
                return candidate;
            }
        }
    }

    fn div_rem(self, by: u128) -> (u128, u128) {
        (self / by, self % by)
    }

    fn stepped(self, step: u128, times: u64, by: u128) -> u128 {
        self.saturating_add(step.saturating_mul(times.into())) / by
    }
}

impl Whole for U256 {
    fn from_u64(value: u64) -> U256 {
        U256::from(value)
    }

    fn below(coins: &mut Coins<impl CryptoRng>, bound: U256) -> U256 {
        let bits = (bound - U256::ONE).bit_len() as u32;
        loop {
            let limbs = [0, 64, 128, 192].map(|before| coins.bits(bits.saturating_sub(before).min(64)));
            let candidate = U256::from_limbs(limbs);
            if candidate < bound {
                return candidate;
            }
        }
    }

    fn div_rem(self, by: U256) -> (U256, U256) {
        U256::div_rem(self, by)
    }

    fn stepped(self, step: U256, times: u64, by: U256) -> u128 {
        let sum = self.saturating_add(step.saturating_mul(U256::from(times)));
        u128::try_from(sum / by).unwrap_or(u128::MAX)
    }
}
