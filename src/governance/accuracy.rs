//! Where an error is asked for and not a price: what it costs, by how much that is too much, and which error can be had.

use super::open::Known;
use super::pricing::{Ask, made_for, released_accuracy};
use crate::accounting::{Charge, Grant, pure_of_rho};
use crate::algebra::{Accuracy, Tolerance};
use crate::catalog::Rules;
use crate::error::{Code, Error, Result};
use crate::num::Amount;
use crate::sql::Statement;

/// A question as it is priced.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    pub statement: &'a Statement,
    pub ask: &'a Ask,
    pub rules: &'a Rules,
    pub grant: &'a Grant,
    /// Whether the account's pure ledger is over, so that rho alone is paid.
    pub pure_is_over: bool,
    /// What the bounds of the dataset's tables belong to: its name and the version of its policy.
    pub scope: &'a str,
    /// What the account has found out of them.
    pub known: &'a Known,
}

impl Case<'_> {
    /// The first error that is asked for.
    fn wanted(&self) -> Option<Accuracy> {
        self.statement.query.releases.iter().find_map(|release| released_accuracy(release, self.ask))
    }

    /// Refuses a charge that one question may not have.
    ///
    /// Errors: `EPSILON_ABOVE_MAXIMUM`.
    pub fn check_maximum(&self, charge: &Charge) -> Result<()> {
        let (Some(wanted), most) = (self.wanted(), self.rules.max_epsilon) else { return Ok(()) };
        let needed = in_epsilon(charge, self.grant);
        if needed <= most {
            return Ok(());
        }
        let message = format!(
            "{} costs epsilon {:.3}, which is {:.3} above the maximum of {most} for one question; {}",
            described(&wanted, 1.0),
            needed.to_f64(),
            needed.minus(most).to_f64(),
            self.remedy(&wanted, |charge| in_epsilon(charge, self.grant) <= most)
        );
        Err(Error::new(Code::EpsilonAboveMaximum, message))
    }

    /// Where an error was asked for whose charge an account does not accept: by how much, and what could be had.
    pub fn advice(&self, charge: &Charge, left: Amount, accepts: impl Fn(&Charge) -> bool) -> Option<String> {
        let wanted = self.wanted().filter(|_| !accepts(charge))?;
        Some(format!(
            "{} costs epsilon {:.3} and epsilon {:.3} is left; {}, or ask governance for a larger grant",
            described(&wanted, 1.0),
            in_epsilon(charge, self.grant).to_f64(),
            left.to_f64(),
            self.remedy(&wanted, accepts)
        ))
    }

    fn remedy(&self, wanted: &Accuracy, accepts: impl Fn(&Charge) -> bool) -> String {
        let fits = |factor: f64| {
            let (statement, ask) = widened(self.statement, self.ask, factor);
            made_for(Case { statement: &statement, ask: &ask, ..*self }).is_ok_and(|made| accepts(&made.charge))
        };
        let coarser = "let one unit be in fewer groups (coarser groups, a smaller max_groups_contributed), or ask for fewer aggregates";
        match least(fits) {
            Some(factor) => format!("what can be paid is {}: ask for that, {coarser}", described(wanted, factor)),
            None => format!("no error can be paid: {coarser}"),
        }
    }
}

/// The epsilon of which a grant buys as many questions as of this charge.
pub(super) fn in_epsilon(charge: &Charge, grant: &Grant) -> Amount {
    let by_rho = || {
        let Grant { epsilon, rho_limit, .. } = grant;
        let of_grant = charge.rho.to_f64() / rho_limit.to_f64() * epsilon.to_f64();
        let of_grant = if rho_limit.is_zero() { Amount::ZERO } else { Amount::charge(of_grant.min(1e12)) };
        of_grant.max(pure_of_rho(charge.rho))
    };
    charge.epsilon.unwrap_or_else(by_rho)
}

/// The same question with wider errors.
fn widened(statement: &Statement, ask: &Ask, factor: f64) -> (Statement, Ask) {
    let widen = |accuracy: &mut Accuracy| {
        accuracy.error = match accuracy.error {
            Tolerance::Absolute(error) => Tolerance::Absolute(error * factor),
            Tolerance::Relative(share, magnitude) => Tolerance::Relative(share * factor, magnitude),
        };
    };
    let (mut statement, mut ask) = (statement.clone(), ask.clone());
    statement.query.releases.iter_mut().filter_map(|release| release.terms.accuracy.as_mut()).for_each(widen);
    ask.accuracy.iter_mut().for_each(widen);
    (statement, ask)
}

pub(super) fn described(accuracy: &Accuracy, factor: f64) -> String {
    let percent = format!("{}", (accuracy.confidence * 1e11).round() / 1e9);
    match accuracy.error {
        Tolerance::Absolute(error) => format!("an error of {} at {percent} %", rounded_up(error * factor)),
        Tolerance::Relative(share, magnitude) => {
            let (share, magnitude) = (rounded_up(share * factor * 100.0), rounded_up(magnitude));
            format!("an error of {share} % of {magnitude} at {percent} %")
        }
    }
}

/// To three digits.
fn rounded_up(value: f64) -> f64 {
    let unit = 10f64.powi(value.abs().log10().floor() as i32 - 2);
    let rounded = (value / unit - 1e-9).ceil() * unit;
    // The decimal nearest to it has no digits of rounding.
    format!("{rounded:.12e}").parse().unwrap_or(rounded)
}

/// The least factor from 1 on that fits, to about a hundredth; None where none does.
fn least(fits: impl Fn(f64) -> bool) -> Option<f64> {
    let mut high = 2.0;
    while !fits(high) {
        high *= 2.0;
        if high > 1e12 {
            return None;
        }
    }
    let mut low = high / 2.0;
    while high / low > 1.005 {
        let middle = (low * high).sqrt();
        if fits(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_in_three_digits_and_never_too_small() {
        for (value, told) in [(50.0, 50.0), (158.2, 159.0), (0.012_34, 0.0124), (123_456.0, 124_000.0), (1.0, 1.0)] {
            assert_eq!(rounded_up(value), told);
        }
    }

    #[test]
    fn the_least_factor_is_found() {
        let found = least(|factor| factor >= 7.3).unwrap();
        assert!((7.3..7.4).contains(&found), "{found}");
        assert_eq!(least(|_| false), None);
    }
}
