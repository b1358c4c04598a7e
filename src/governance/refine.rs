//! What it costs to make an answer more accurate: another draw for each number that it is made of, paid for by itself.
//!
//! *The same numbers.* The other draw is of the very integers that the first one was of: the same samples of rows and groups (their key is kept
//! with the answer), the same bounds, lattices and groups. So their mean, weighted by inverse variance, is an estimate of these integers,
//! and what was paid before is not paid again.
//!
//! *Why it is sound.* A sample's key is drawn without any look at the data, and what is released is differentially private for each
//! key: so for one that both draws have. The two compose like any two answers, and the second is chosen, like any question, with the first one known.
//! Keys that the first draw showed are public from then on: no others get a number, and none costs delta.

use super::accuracy::{described, in_epsilon};
use super::choice::{Asked, choose};
use super::pricing::{Ask, Priced, epsilon, unmade};
use super::{ALPHA, Why};
use crate::accounting::{Charge, Grant};
use crate::algebra::{Accuracy, Clamp, Mechanism, Output};
use crate::catalog::Rules;
use crate::error::{Code, Error, Result};
use crate::mechanism::{Calibrated, Drawn, Noise};
use crate::num::Amount;

/// What is asked for, beside which answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Refinement {
    /// What the other draw is to cost: decimal text; empty is the dataset's default.
    pub epsilon: String,
    /// In the place of epsilon: how narrow the intervals of counts and sums are to be with both draws.
    pub error: Option<f64>,
    /// The same as a share of `magnitude`.
    pub relative_error: Option<f64>,
    /// Left out, the median of the values that are known.
    pub magnitude: Option<f64>,
    pub confidence: Option<f64>,
    /// None is the dataset's.
    pub mechanism: Option<Mechanism>,
}

/// An answer with one more draw, priced.
pub struct Refined {
    /// What is to be drawn.
    pub draws: Vec<Calibrated>,
    /// The answer that is made of all draws, and what the one more costs.
    pub priced: Priced,
}

/// Prices another draw for each release of `first`, of which there are the draws `drawn`. What the question's own text or request asked for is spent: an
/// epsilon is shared equally by its releases.
///
/// Errors: `INVALID_EPSILON`, `EPSILON_ABOVE_MAXIMUM`, `INVALID_REQUEST`.
pub fn refine(
    first: &Priced,
    drawn: &[Drawn],
    refinement: &Refinement,
    rules: &Rules,
    (grant, pure_is_over): (&Grant, bool),
) -> Result<Refined> {
    let invalid = |message: String| Error::new(Code::InvalidRequest, message);
    let Refinement { error, relative_error, magnitude, confidence, mechanism, .. } = refinement;
    let is_for_error = error.or(*relative_error).or(*magnitude).or(*confidence).is_some();
    if drawn.iter().all(|drawn| drawn.cells == 0) {
        return Err(invalid(
            "the answer shows no groups, of which nothing can be more accurate: ask the question anew".into(),
        ));
    }
    if is_for_error && !refinement.epsilon.is_empty() {
        return Err(invalid("epsilon is a price, and an error is what a price is found for: give one of them".into()));
    }
    let whole = epsilon(&Ask { epsilon: refinement.epsilon.clone(), ..Ask::default() }, rules)?;
    let of_each = whole.share(first.releases.len());
    let asked = |(made, drawn): (&Calibrated, &Drawn)| {
        let known = magnitude.or_else(|| relative_error.and_then(|_| typical(made, drawn)));
        let accuracy = Accuracy::new(*error, *relative_error, known, *confidence).map_err(invalid)?;
        Ok(Asked {
            release: made.again(),
            epsilon: of_each,
            delta: Amount::ZERO,
            accuracy,
            family: mechanism.unwrap_or(rules.mechanism).family(),
            earlier: drawn.noises(),
        })
    };
    let asked = first.releases.iter().zip(drawn).map(asked).collect::<Result<Vec<_>>>()?;
    let has_it = |(asked, made): (&Asked, &Calibrated)| asked.accuracy.filter(|wanted| has(made, wanted));
    let all: Vec<Option<Accuracy>> = asked.iter().zip(&first.releases).map(has_it).collect();
    if let Some(Some(wanted)) = all.first().filter(|_| all.iter().all(Option::is_some)) {
        let wanted = described(wanted, 1.0);
        return Err(invalid(format!("the answer has {wanted} already: ask for a smaller error, or read the answer")));
    }
    let made = choose(asked, grant, pure_is_over).map_err(|(_, e)| unmade(e, of_each))?;
    let (draws, reasons): (Vec<Calibrated>, Vec<Why>) = made.into_iter().unzip();
    let at_keys = |(made, drawn): (Calibrated, &Drawn)| made.at_keys(drawn.keys.clone());
    let draws: Vec<Calibrated> = draws.into_iter().zip(drawn).map(at_keys).collect();
    let sum = draws.iter().fold(Charge::NOTHING, |sum, made| sum.plus(made.charge));
    let charge = match is_for_error {
        true => sum,
        // Equal shares are rounded down; what is charged is what was asked for.
        false => Charge { epsilon: sum.epsilon.map(|_| whole), ..sum },
    };
    let needed = in_epsilon(&charge, grant);
    if is_for_error && needed > rules.max_epsilon {
        let message = format!(
            "that error costs epsilon {:.3} more, which is above the maximum of {} for one question: ask for a wider one",
            needed.to_f64(),
            rules.max_epsilon
        );
        return Err(Error::new(Code::EpsilonAboveMaximum, message));
    }
    let releases = together(&first.releases, drawn, &draws)?;
    let priced =
        Priced { releases, reasons, charge, pool_charge: charge, grant: *grant, pure_is_over, ..first.clone() };
    Ok(Refined { draws, priced })
}

/// Whether all counts and sums are as narrow already.
fn has(made: &Calibrated, wanted: &Accuracy) -> bool {
    let alpha = 1.0 - wanted.confidence;
    let is_narrow =
        |(noise, clamp): (&Noise, &Clamp)| noise.half_width(alpha) * clamp.lattice.step() <= wanted.error.absolute();
    let read = made.release.read_measures();
    made.noise.iter().zip(&made.clamps).enumerate().filter(|(at, _)| read.contains(at)).all(|(_, pair)| is_narrow(pair))
}

/// The median magnitude of a release's counts and sums, as they are known; at least what they may be off by.
fn typical(made: &Calibrated, drawn: &Drawn) -> Option<f64> {
    let together = drawn.together();
    let of = |output: &Output| match output {
        Output::Count(measure) | Output::Sum { sum: measure, .. } => Some(*measure),
        _ => None,
    };
    let values = |measure: usize| {
        let (step, off) = (made.clamps[measure].lattice.step(), made.noise[measure].half_width(ALPHA));
        together.columns[measure].iter().map(move |number| (*number as f64).abs().max(off) * step).collect::<Vec<_>>()
    };
    let mut all: Vec<f64> = made.release.outputs.iter().filter_map(of).flat_map(values).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied()
}

/// The releases as they are with another draw: their keys and thresholds are the first one's.
fn together(first: &[Calibrated], drawn: &[Drawn], draws: &[Calibrated]) -> Result<Vec<Calibrated>> {
    let of = |((first, drawn), draw): ((&Calibrated, &Drawn), &Calibrated)| {
        let same = first.clamps == draw.clamps && first.contribution == draw.contribution;
        let all =
            |(before, more): (&Vec<Noise>, &Noise)| Noise::together(&[before, std::slice::from_ref(more)].concat());
        let noise = drawn.noises().iter().zip(&draw.noise).map(all).collect::<Option<Vec<_>>>();
        let noise = noise.filter(|_| same).ok_or_else(|| Error::internal("a second draw of other numbers"))?;
        Ok(Calibrated { noise, charge: draw.charge, shares: draw.shares.clone(), ..first.clone() })
    };
    first.iter().zip(drawn).zip(draws).map(of).collect()
}
