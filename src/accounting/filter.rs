//! The privacy filter of one account.
//!
//! *Pure ledger*: the sum of epsilon stays within E and no delta or infinite epsilon was ever spent.
//! *zCDP ledger*: the sum of delta stays within D_key and the sum of rho within rho_max(E, D_conv)
//! (Whitehouse, Ramdas, Rogers and Wu 2023, arXiv:2203.05481: a filter for adaptively chosen charges).
//! A charge is accepted if *either* holds after it.
//!
//! Why the union costs nothing: all sums only grow, so the transcripts can be split by which ledger holds
//! at the end. On the first part the pure filter was never exceeded; on the rest the zCDP filter was
//! never exceeded; so P(S) <= e^E Q(S) + 0 + (D_key + D_conv) for every set S of transcripts. D_key and D_conv
//! are fixed when the grant is made: trading one for the other as charges come in would not be sound.

use super::{Charge, zcdp_limit};
use crate::num::Amount;

/// What an account may spend in all: everything learned through it is (epsilon, delta_key + delta_conversion)-DP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    pub epsilon: Amount,
    /// For private keys.
    pub delta_key: Amount,
    /// For the conversion of zCDP.
    pub delta_conversion: Amount,
    /// Largest sum of rho, derived from epsilon and delta_conversion when the grant is made.
    pub rho_limit: Amount,
}

impl Grant {
    /// A grant of (epsilon, delta): half of delta is for private keys, half for the conversion.
    pub fn new(epsilon: Amount, delta: Amount) -> Grant {
        let delta_key = delta.share(2);
        let delta_conversion = delta.minus(delta_key);
        Grant { epsilon, delta_key, delta_conversion, rho_limit: zcdp_limit(epsilon, delta_conversion) }
    }

    /// The part of this grant that a charge takes, by the ledger that it takes less of: where it is 1 / n, n equal ones are accepted.
    /// Infinite where neither ledger takes it.
    pub fn part(&self, charge: Charge) -> f64 {
        let part = |charge: Amount, whole: Amount| match (charge.is_zero(), whole.is_zero()) {
            (true, _) => 0.0,
            (false, true) => f64::INFINITY,
            (false, false) => charge.to_f64() / whole.to_f64(),
        };
        let of_pure =
            charge.epsilon.filter(|_| charge.delta.is_zero()).map_or(f64::INFINITY, |e| part(e, self.epsilon));
        let of_zcdp = part(charge.rho, self.rho_limit).max(part(charge.delta, self.delta_key));
        of_pure.min(of_zcdp)
    }

    /// The delta of the promise.
    pub fn delta(&self) -> Amount {
        self.delta_key.plus(self.delta_conversion)
    }
}

/// What was charged to an account so far. `None` in epsilon: the pure ledger is over for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    pub total: Charge,
    pub charges: u64,
    /// What is kept for others: in each ledger by itself it is not there to be spent. Its epsilon is finite.
    pub kept: Charge,
}

impl Spent {
    pub const NOTHING: Spent = Spent { total: Charge::NOTHING, charges: 0, kept: Charge::NOTHING };

    pub fn plus(self, charge: Charge) -> Spent {
        Spent { total: self.total.plus(charge), charges: self.charges + 1, ..self }
    }

    /// Whether `grant` still holds after `charge`.
    pub fn accepts(&self, grant: &Grant, charge: Charge) -> bool {
        let (after, kept) = (self.total.plus(charge), self.kept);
        let with_kept = after.plus(kept);
        let pure = after.delta.is_zero() && with_kept.epsilon.is_some_and(|epsilon| epsilon <= grant.epsilon);
        let zcdp = with_kept.delta <= grant.delta_key && with_kept.rho <= grant.rho_limit;
        pure || zcdp
    }

    /// The largest epsilon of one pure charge that `grant` still accepts, by bisection to the last unit.
    pub fn largest_epsilon(&self, grant: &Grant) -> Amount {
        let fits = |units| self.accepts(grant, Charge::pure(Amount::from_atto(units)));
        let (mut low, mut high) =
            (0, grant.epsilon.atto().max(grant.rho_limit.atto()).saturating_mul(2).saturating_add(1));
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if fits(middle) { low = middle } else { high = middle }
        }
        Amount::from_atto(low)
    }

    /// The largest epsilon of one more question that `grant` still accepts, whichever noise it takes: Gaussian noise costs at most epsilon / E
    /// of the zCDP ledger.
    pub fn remaining(&self, grant: &Grant) -> Amount {
        let of_zcdp = grant
            .epsilon
            .part(grant.rho_limit.minus(self.total.rho.plus(self.kept.rho)).atto(), grant.rho_limit.atto());
        self.largest_epsilon(grant).max(of_zcdp)
    }

    /// How many times `charge` would still be accepted, up to `most`.
    pub fn affordable(&self, grant: &Grant, charge: Charge, most: u64) -> u64 {
        let mut spent = *self;
        (0..most)
            .take_while(|_| {
                spent.accepts(grant, charge) && {
                    spent = spent.plus(charge);
                    true
                }
            })
            .count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Amount {
        text.parse().unwrap()
    }

    fn fits(epsilon: &str, delta: &str, each: &str) -> u64 {
        let grant = Grant {
            epsilon: amount(epsilon),
            delta_key: Amount::ZERO,
            delta_conversion: amount(delta),
            rho_limit: zcdp_limit(amount(epsilon), amount(delta)),
        };
        Spent::NOTHING.affordable(&grant, Charge::pure(amount(each)), 1_000_000)
    }

    #[test]
    fn each_ledger_wins_where_it_should() {
        // At (1, 1e-6): 10 questions of 0.1 by the pure ledger, 487 of 0.01 by the zCDP ledger.
        assert_eq!(fits("1", "1e-6", "0.1"), 10);
        assert_eq!(fits("1", "1e-6", "0.01"), 487);
        assert_eq!(fits("1", "0", "0.01"), 100);
    }

    #[test]
    fn the_last_affordable_question_is_not_refused_by_rounding() {
        for parts in [3u128, 7, 10, 1000] {
            let each = Amount::from_atto(amount("1").atto() / parts);
            let grant = Grant::new(amount("1"), Amount::ZERO);
            assert_eq!(Spent::NOTHING.affordable(&grant, Charge::pure(each), 10_000), parts as u64);
        }
    }

    #[test]
    fn an_infinite_epsilon_ends_the_pure_ledger() {
        let grant = Grant::new(amount("10"), amount("1e-6"));
        let spent = Spent::NOTHING.plus(Charge::zcdp(amount("0.000001")));
        assert!(spent.accepts(&grant, Charge::pure(amount("0.1"))));
        assert!(!spent.accepts(&grant, Charge::pure(amount("10"))));
        assert!(Spent::NOTHING.accepts(&grant, Charge::pure(amount("10"))));
        let pure_only = Grant::new(amount("10"), Amount::ZERO);
        assert!(!Spent::NOTHING.accepts(&pure_only, Charge::zcdp(Amount::from_atto(1))));
    }

    #[test]
    fn the_largest_epsilon_fits_and_no_larger_one() {
        let grant = Grant::new(amount("1"), amount("1e-6"));
        for spent in [Spent::NOTHING, Spent::NOTHING.plus(Charge::pure(amount("0.75")))] {
            let most = spent.largest_epsilon(&grant);
            assert!(spent.accepts(&grant, Charge::pure(most)));
            assert!(!spent.accepts(&grant, Charge::pure(Amount::from_atto(most.atto() + 1))));
        }
        assert_eq!(Spent::NOTHING.plus(Charge::pure(amount("0.75"))).largest_epsilon(&grant), amount("0.25"));
        assert_eq!(Spent::NOTHING.plus(Charge::pure(amount("1"))).largest_epsilon(&grant), Amount::ZERO);
    }

    #[test]
    fn what_remains_is_what_some_noise_can_still_cost() {
        let grant = Grant::new(amount("1"), amount("1e-6"));
        assert_eq!(Spent::NOTHING.remaining(&grant), amount("1"));
        // The pure ledger is over, and half of the other.
        let spent = Spent::NOTHING.plus(Charge::zcdp(grant.rho_limit.share(2)));
        let left = spent.remaining(&grant);
        assert!(left <= amount("0.500000000000001") && left >= amount("0.499999999999999"), "{left}");
        assert!(spent.accepts(&grant, Charge::zcdp(grant.rho_limit.part(left.atto(), grant.epsilon.atto()))));
        assert!(left > spent.largest_epsilon(&grant));
        assert_eq!(
            Spent::NOTHING.plus(Charge::pure(amount("0.75"))).remaining(&Grant::new(amount("1"), Amount::ZERO)),
            amount("0.25")
        );
    }

    #[test]
    fn delta_spent_beyond_its_share_is_refused() {
        let grant = Grant::new(amount("1"), amount("1e-6"));
        let charge = |delta| Charge { epsilon: None, rho: Amount::ZERO, delta: amount(delta) };
        assert!(Spent::NOTHING.accepts(&grant, charge("5e-7")));
        assert!(!Spent::NOTHING.accepts(&grant, charge("5.1e-7")));
    }

    #[test]
    fn a_part_of_a_grant_is_bought_as_often_as_it_says() {
        let grant = Grant::new(amount("1"), amount("1e-6"));
        for charge in [
            Charge::pure(amount("0.1")),
            Charge::pure(amount("0.013")),
            Charge::zcdp(amount("0.0007")),
            Charge { delta: amount("1.1e-7"), ..Charge::zcdp(amount("0.0001")) },
        ] {
            let times = (1.0 / grant.part(charge) + 1e-9) as u64;
            assert_eq!(Spent::NOTHING.affordable(&grant, charge, 1_000_000), times, "{charge:?}");
        }
        assert_eq!(grant.part(Charge::NOTHING), 0.0);
        assert_eq!(Grant::new(amount("1"), Amount::ZERO).part(Charge::zcdp(amount("0.1"))), f64::INFINITY);
    }

    #[test]
    fn sums_that_do_not_fit_are_above_every_grant() {
        let grant = Grant::new(amount("1e10"), amount("0.5"));
        let spent = Spent { total: Charge::pure(Amount::from_atto(u128::MAX)), ..Spent::NOTHING };
        assert!(!spent.accepts(&grant, Charge::pure(Amount::from_atto(u128::MAX))));
    }
}
