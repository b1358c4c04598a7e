//! zCDP to (epsilon, delta) and back.
//!
//! rho-zCDP implies (epsilon, delta)-DP for
//! delta = inf over alpha > 1 of exp((alpha - 1)(alpha rho - epsilon)) / (alpha - 1) * (1 - 1/alpha)^alpha
//! (Canonne, Kamath and Steinke 2020, arXiv:2004.00010, Proposition 12). Every alpha is sound; the best one
//! solves (2 alpha - 1) rho - epsilon + ln(1 - 1/alpha) = 0, whose left side grows with alpha.

use crate::num::Amount;

/// ln(delta) at this alpha, where x = alpha - 1 > 0.
fn ln_delta(rho: f64, epsilon: f64, x: f64) -> f64 {
    let alpha = 1.0 + x;
    x * (alpha * rho - epsilon) - x.ln() - alpha * (1.0 / x).ln_1p()
}

/// The best alpha - 1, by bisection on a logarithmic scale.
fn best_order(rho: f64, epsilon: f64) -> f64 {
    let slope = |x: f64| (2.0 * x + 1.0) * rho - epsilon - (1.0 / x).ln_1p();
    let (mut low, mut high) = (1e-12f64, 1e18f64);
    for _ in 0..200 {
        let middle = (low * high).sqrt();
        if slope(middle) < 0.0 { low = middle } else { high = middle }
    }
    high
}

/// delta of rho-zCDP at this epsilon; at most 1.
pub fn zcdp_delta(rho: f64, epsilon: f64) -> f64 {
    if rho <= 0.0 {
        return 0.0;
    }
    ln_delta(rho, epsilon, best_order(rho, epsilon)).min(0.0).exp()
}

/// The least epsilon, to within 1e-12 relative, at which rho-zCDP gives `delta`, rounded up.
pub fn zcdp_epsilon(rho: f64, delta: f64) -> f64 {
    let (mut low, mut high) = (0.0, rho + 2.0 * (rho * (1.0 / delta).ln()).sqrt());
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if zcdp_delta(rho, middle) > delta { low = middle } else { high = middle }
    }
    high
}

/// The largest rho whose zCDP gives (epsilon, delta)-DP, rounded down: what a grant's zCDP ledger holds.
/// Zero where delta is zero.
pub fn zcdp_limit(epsilon: Amount, delta: Amount) -> Amount {
    if delta.is_zero() || epsilon.is_zero() {
        return Amount::ZERO;
    }
    let (epsilon, delta) = (epsilon.to_f64(), delta.to_f64().min(1.0));
    // rho >= epsilon leaves no order with a useful bound; below it delta falls with rho.
    let (mut low, mut high) = (0.0, epsilon);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if zcdp_delta(middle, epsilon) > delta { high = middle } else { low = middle }
    }
    Amount::grant(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversion_matches_reference_numbers() {
        // (rho, delta, epsilon): the optimum of Proposition 12 evaluated to 50 digits.
        for (rho, delta, epsilon) in [(0.001, 1e-5, 0.157335393161216), (0.001, 1e-9, 0.245119253871951)] {
            let got = zcdp_epsilon(rho, delta);
            assert!(got >= epsilon - 1e-9 && got <= epsilon * (1.0 + 1e-6), "{rho} {delta}: {got}");
        }
        for (rho, epsilon, delta) in [
            (0.01, 0.5, 3.50587806005239e-05),
            (0.05, 1.0, 0.000385709163744412),
            (0.5, 3.0, 0.00514318406386215),
            (0.5, 10.0, 9.25112319055654e-22),
        ] {
            let got = zcdp_delta(rho, epsilon);
            assert!((got - delta).abs() < 1e-9 * delta, "{rho} {epsilon}: {got}");
        }
    }

    #[test]
    fn limit_matches_reference_numbers_from_below() {
        for (epsilon, delta, limit) in [("0.1", "1e-5", 0.000432993729402), ("0.1", "1e-9", 0.000177138447185)] {
            let got = zcdp_limit(epsilon.parse().unwrap(), delta.parse().unwrap()).to_f64();
            assert!(got <= limit * (1.0 + 1e-9) && got > limit * (1.0 - 1e-9), "{epsilon} {delta}: {got}");
        }
    }

    #[test]
    fn limit_is_the_inverse_of_the_conversion() {
        for epsilon in ["0.01", "0.5", "1", "4", "20", "1000000000"] {
            for delta in ["1e-5", "1e-9", "1e-15"] {
                let limit = zcdp_limit(epsilon.parse().unwrap(), delta.parse().unwrap());
                assert!(!limit.is_zero());
                let back = zcdp_delta(limit.to_f64(), epsilon.parse::<Amount>().unwrap().to_f64());
                assert!(back <= delta.parse::<Amount>().unwrap().to_f64(), "{epsilon} {delta}: {back}");
            }
        }
        assert_eq!(zcdp_limit("1".parse().unwrap(), Amount::ZERO), Amount::ZERO);
    }
}
