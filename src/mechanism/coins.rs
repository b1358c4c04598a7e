//! Random bits, taken from a generator a word at a time: most coins need a few of its 64 bits.

use rand::CryptoRng;

pub struct Coins<'a, R> {
    rng: &'a mut R,
    word: u64,
    /// Bits of the word that nobody has seen.
    left: u32,
}

impl<'a, R: CryptoRng> Coins<'a, R> {
    pub fn new(rng: &'a mut R) -> Self {
        Coins { rng, word: 0, left: 0 }
    }

    /// So many independent fair bits, at most 64, as a number.
    pub fn bits(&mut self, count: u32) -> u64 {
        if count == 0 {
            return 0;
        }
        let mut found = self.word;
        if self.left < count {
            // Above the ones that are left, so that none is used twice.
            let fresh = self.rng.next_u64();
            found |= if self.left == 0 { fresh } else { fresh << self.left };
            let used = count - self.left;
            self.word = if used == 64 { 0 } else { fresh >> used };
            self.left = 64 - used;
        } else {
            self.word = if count == 64 { 0 } else { self.word >> count };
            self.left -= count;
        }
        found & (u64::MAX >> (64 - count))
    }

    pub fn is_heads(&mut self) -> bool {
        self.bits(1) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    #[test]
    fn every_bit_is_used_once_and_in_order() {
        let mut words = StdRng::seed_from_u64(7);
        let stream: Vec<bool> = (0..200)
            .flat_map(|_| {
                let word = words.next_u64();
                (0..64).map(move |bit| word >> bit & 1 == 1)
            })
            .collect();
        let mut rng = StdRng::seed_from_u64(7);
        let (mut coins, mut at) = (Coins::new(&mut rng), 0);
        for count in (0..=64).chain([64, 1, 63, 64, 33, 31, 2, 62, 64]).chain((1..64).rev()) {
            let found = coins.bits(count);
            for bit in 0..count {
                assert_eq!(found >> bit & 1 == 1, stream[at], "{count}");
                at += 1;
            }
            assert!(count == 64 || found >> count == 0);
        }
        assert!(coins.is_heads() == stream[at]);
    }
}
