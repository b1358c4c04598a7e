//! Unsigned integers of a few widths, for samplers: of all that hold a number the narrowest is by far the fastest.

use super::coins::Coins;
use rand::CryptoRng;
use ruint::aliases::U256;

pub trait Whole: Copy + PartialOrd {
    fn from_u64(value: u64) -> Self;

    /// Bits of the largest number below this one, which is above 0.
    fn bits_below(self) -> u32;

    /// So many fair bits.
    fn random(coins: &mut Coins<impl CryptoRng>, bits: u32) -> Self;

    /// Uniform on 0..bound, by rejection; `bound` > 0.
    fn below(coins: &mut Coins<impl CryptoRng>, bound: Self) -> Self {
        let bits = bound.bits_below();
        loop {
            let candidate = Self::random(coins, bits);
            if candidate < bound {
                return candidate;
            }
        }
    }

    /// Quotient and rest; `by` > 0.
    fn div_rem(self, by: Self) -> (Self, Self);

    /// (self + step times) / by, rounded down, in 128 bits. Saturates.
    fn stepped(self, step: Self, times: u64, by: Self) -> u128;
}

impl Whole for u64 {
    fn from_u64(value: u64) -> u64 {
        value
    }

    fn bits_below(self) -> u32 {
        u64::BITS - (self - 1).leading_zeros()
    }

    fn random(coins: &mut Coins<impl CryptoRng>, bits: u32) -> u64 {
        coins.bits(bits)
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

    fn bits_below(self) -> u32 {
        u128::BITS - (self - 1).leading_zeros()
    }

    fn random(coins: &mut Coins<impl CryptoRng>, bits: u32) -> u128 {
        let low = coins.bits(bits.min(64));
        u128::from(low) | u128::from(coins.bits(bits.saturating_sub(64))) << 64
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

    fn bits_below(self) -> u32 {
        (self - U256::ONE).bit_len() as u32
    }

    fn random(coins: &mut Coins<impl CryptoRng>, bits: u32) -> U256 {
        U256::from_limbs([0, 64, 128, 192].map(|before| coins.bits(bits.saturating_sub(before).min(64))))
    }

    fn div_rem(self, by: U256) -> (U256, U256) {
        U256::div_rem(self, by)
    }

    fn stepped(self, step: U256, times: u64, by: U256) -> u128 {
        let sum = self.saturating_add(step.saturating_mul(U256::from(times)));
        u128::try_from(sum / by).unwrap_or(u128::MAX)
    }
}
