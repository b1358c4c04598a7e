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

    /// Discrete Laplace noise of `scale` steps, which makes what it is added to `epsilon`-DP: a vector of which one unit moves at most `count`
    /// numbers by at most `shift` steps each, for each (count, shift) of `moved`.
    ///
    /// Noises are independent, so that each number has a rho of its own and these add up. They are convex in the shift: to move few numbers by
    /// much costs most, and in k groups with a k-th of epsilon each the sum is about epsilon^2 / 2k.
    pub fn laplace(epsilon: Amount, scale: f64, moved: [(u128, u128); 2]) -> Charge {
        let pure = Charge::pure(epsilon);
        let rho: f64 = moved.iter().map(|(count, shift)| *count as f64 * rho_of_laplace(*shift as f64, scale)).sum();
        Charge { rho: Amount::charge(rho).min(pure.rho), ..pure }
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

/// The largest epsilon of which any mechanism costs at most this rho, by bisection to the last unit.
pub fn pure_of_rho(rho: Amount) -> Amount {
    // epsilon tanh(epsilon / 2) is above epsilon - 1, and above 2/5 epsilon^2 up to 1.
    let (mut low, mut high) = (0, rho.atto().saturating_add(2 * Amount::charge(rho.to_f64().sqrt() + 1.0).atto()));
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if rho_of_pure(Amount::from_atto(middle)) <= rho { low = middle } else { high = middle }
    }
    Amount::from_atto(low)
}

/// rho of discrete Laplace noise of this scale, on a number that moves by at most `shift` steps: with a = 1 / scale and e = a shift it is
/// e - (1 - exp(-e)) a / sinh a, the Kullback-Leibler divergence, from above.
///
/// Source: Harrison and Manurangsi (arXiv:2510.25746), by whom no Renyi divergence asks for more. At a shift of 1 it is e tanh(e / 2), on fine
/// lattices it comes to e + exp(-e) - 1.
pub fn rho_of_laplace(shift: f64, scale: f64) -> f64 {
    let a = 1.0 / scale;
    let e = shift * a;
    // Where the difference would lose its digits, and where sinh is infinite, these are as good.
    if e < 1e-6 {
        return e * e / 2.0;
    }
    if a > 600.0 {
        return e;
    }
    (e + (-e).exp_m1() * a / a.sinh()) * (1.0 + 1e-9)
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
    fn the_epsilon_of_a_rho_is_the_largest() {
        for epsilon in ["0.00001", "0.01", "1", "3", "1000000000"] {
            let rho = rho_of_pure(amount(epsilon));
            let found = pure_of_rho(rho);
            assert!(rho_of_pure(found) <= rho && rho_of_pure(Amount::from_atto(found.atto() + 1)) > rho, "{epsilon}");
            assert!((found.to_f64() / amount(epsilon).to_f64() - 1.0).abs() < 1e-6, "{epsilon} {found}");
        }
        assert_eq!(pure_of_rho(Amount::ZERO), Amount::ZERO);
    }

    #[test]
    fn rho_of_laplace_matches_reference_numbers() {
        // Evaluated to 50 digits elsewhere.
        for (shift, epsilon, wanted) in [
            (1.0, 1.0, 0.46211715726001),
            (5.0, 1.0, 0.372073994863847),
            (1024.0, 1.0, 0.367879541644288),
            (1024.0, 0.1, 0.00483741818721642),
        ] {
            let got = rho_of_laplace(shift, shift / epsilon);
            assert!(got >= wanted && got < wanted * (1.0 + 1e-8), "{shift} {epsilon}: {got}");
        }
        // It grows with the shift, is convex, and no more than that of any mechanism; where the formulas change it has no step.
        for scale in [1e-4, 1.0 / 600.0, 0.1, 1.0, 30.0, 1e9] {
            let of = |shift: i32| rho_of_laplace(f64::from(shift), scale);
            assert_eq!(of(0), 0.0);
            for shift in 1..50 {
                let e = f64::from(shift) / scale;
                assert!(
                    of(shift) > of(shift - 1) && of(shift) <= e * (e / 2.0).tanh() * (1.0 + 2e-9),
                    "{shift} {scale}"
                );
                assert!(of(shift + 1) - of(shift) >= (of(shift) - of(shift - 1)) * (1.0 - 1e-6), "{shift} {scale}");
            }
        }
        let (below, above) = (rho_of_laplace(10.0, 1.000_001e7), rho_of_laplace(10.0, 0.999_999e7));
        assert!(below < above && below > above * 0.999_99, "{below} {above}");
    }

    #[test]
    fn laplace_noise_in_several_groups_costs_less() {
        let epsilon = amount("0.8");
        // Scale L1 / epsilon of four groups with 1,000 steps each.
        let in_four = Charge::laplace(epsilon, 4_000.0 / 0.8, [(4, 1_000), (1, 0)]);
        let in_one = Charge::laplace(epsilon, 1_000.0 / 0.8, [(1, 1_000), (1, 0)]);
        assert_eq!((in_four.epsilon, in_one.epsilon), (Some(epsilon), Some(epsilon)));
        assert!(in_one.rho < Charge::pure(epsilon).rho);
        assert!((in_four.rho.to_f64() / (0.8f64 * 0.8 / 8.0) - 1.0).abs() < 0.07, "{}", in_four.rho);
        assert_eq!(Charge::laplace(epsilon, 1.0 / 0.8, [(1, 1), (0, 0)]).rho, Charge::pure(epsilon).rho);
    }

    #[test]
    fn an_infinite_part_makes_the_sum_infinite() {
        let sum = Charge::pure(amount("0.5")).plus(Charge::zcdp(amount("0.1")));
        assert_eq!(sum.epsilon, None);
        assert!(sum.rho > amount("0.1"));
        assert_eq!(Charge::NOTHING.plus(Charge::pure(amount("1"))), Charge::pure(amount("1")));
    }
}
