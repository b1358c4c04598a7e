//! What one question, or one release of it, costs in both ledgers.

use crate::num::Amount;

/// A price in both ledgers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Pure epsilon; `None` is infinite: Gaussian noise and anything with a delta.
    pub epsilon: Option<Amount>,
    /// zCDP.
    pub rho: Amount,
    /// Probability of failure beyond rho, spent by private keys.
    pub delta: Amount,
}

impl Charge {
    pub const NOTHING: Charge = Charge { epsilon: Some(Amount::ZERO), rho: Amount::ZERO, delta: Amount::ZERO };

    /// A mechanism that is `epsilon`-DP and nothing better is known of.
    pub fn pure(epsilon: Amount) -> Charge {
        Charge { epsilon: Some(epsilon), rho: rho_of_pure(epsilon), delta: Amount::ZERO }
    }

    /// A mechanism that is `rho`-zCDP and has no pure epsilon.
    pub fn zcdp(rho: Amount) -> Charge {
        Charge { epsilon: None, rho, delta: Amount::ZERO }
    }

    /// Both, one after the other: each ledger adds.
    pub fn plus(self, other: Charge) -> Charge {
        Charge {
            epsilon: self.epsilon.zip(other.epsilon).map(|(a, b)| a.plus(b)),
            rho: self.rho.plus(other.rho),
            delta: self.delta.plus(other.delta),
        }
    }
}

/// rho of any `epsilon`-DP mechanism: epsilon tanh(epsilon / 2), rounded up.
///
/// Source: Harrison and Manurangsi, Exact zCDP Characterizations (arXiv:2510.25746); it is the Kullback-Leibler divergence of
/// randomised response, and discrete Laplace noise at integer sensitivity 1 reaches it.
pub fn rho_of_pure(epsilon: Amount) -> Amount {
    let e = epsilon.to_f64();
    Amount::charge(e * (e / 2.0).tanh())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Amount {
        text.parse().unwrap()
    }

    #[test]
    fn rho_of_pure_is_tight_for_small_and_large_epsilon() {
        for epsilon in ["0.00001", "0.01", "0.1", "1", "3", "40"] {
            let (e, rho) = (amount(epsilon).to_f64(), rho_of_pure(amount(epsilon)).to_f64());
            let exact = e * (e / 2.0).tanh();
            assert!(rho >= exact && rho <= exact * 1.001, "{epsilon}: {rho} against {exact}");
            assert!(rho <= e * e / 2.0 * (1.0 + 1e-9));
        }
    }

    #[test]
    fn an_infinite_part_makes_the_sum_infinite() {
        let sum = Charge::pure(amount("0.5")).plus(Charge::zcdp(amount("0.1")));
        assert_eq!(sum.epsilon, None);
        assert!(sum.rho > amount("0.1"));
        assert_eq!(Charge::NOTHING.plus(Charge::pure(amount("1"))), Charge::pure(amount("1")));
    }
}
