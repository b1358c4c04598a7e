//! From a release and its share of epsilon to clamps, noise and price. Public numbers in, public numbers out.

use super::part::{Noisy, Part, least_part};
use super::selection::{UNIT_WEIGHT, beyond, keys_alone, threshold};
use super::split;
use super::{Noise, Selection};
use crate::accounting::{Charge, rho_of_pure};
use crate::algebra::{
    Accuracy, Clamp, Contribution, Family, Fraction, Literal, Measure, Output, Quantity, Release, Terms,
};
use crate::num::Amount;
use arrow::array::ArrayRef;
use std::collections::BTreeSet;

/// A release with everything that its draw needs, one entry of `clamps` and `noise` per measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibrated {
    pub release: Release,
    /// The contribution that sensitivity was computed for: no more groups than there are.
    pub contribution: Contribution,
    /// Number of groups, where keys are public.
    pub cells: Option<u64>,
    pub selection: Selection,
    pub clamps: Vec<Clamp>,
    pub noise: Vec<Noise>,
    /// Each measure's share of the price.
    pub shares: Vec<f64>,
    pub charge: Charge,
}

/// What a release may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    pub epsilon: Amount,
    /// What it may cost in zCDP where its noise is Gaussian, or where nothing but keys is asked for.
    pub rho: Amount,
    /// For private keys.
    pub delta: Amount,
}

impl Price {
    /// With the rho of any epsilon-DP mechanism.
    pub fn pure(epsilon: Amount, delta: Amount) -> Price {
        Price { epsilon, rho: rho_of_pure(epsilon), delta }
    }

    /// The rho of a part of epsilon: it is to the price's as the rho of any mechanism of that part is to that of one of the whole.
    fn rho_of(&self, part: Amount) -> Amount {
        self.rho.part(rho_of_pure(part).atto(), rho_of_pure(self.epsilon).atto())
    }
}

/// Bytes of a histogram's values that take about as long as a draw.
const BYTES_PER_DRAW: u64 = 16;

impl Calibrated {
    /// The quantiles that are read from a measure's ranks.
    pub fn fractions(&self, measure: usize) -> BTreeSet<Fraction> {
        let at = |output: &Output| match output {
            Output::Quantile { at, ranks: Some(ranks), .. } if *ranks == measure => Some(*at),
            _ => None,
        };
        self.release.outputs.iter().filter_map(at).collect()
    }

    /// Draws for one group, at most; the text of a histogram, which is made of each of its values, counts as some more.
    pub fn draws_per_group(&self) -> u64 {
        let of = |(at, noise): (usize, &Noise)| match noise {
            Noise::Laplace { .. } | Noise::Gaussian { .. } | Noise::Exponential(_) => 1,
            Noise::Tree(tree) => tree.draws().saturating_mul(self.fractions(at).len() as u64),
            Noise::Histogram { values, .. } => *values,
            // They are drawn already.
            Noise::Mean(_) => 0,
        };
        let written = |output: &Output| match output {
            Output::Histogram { values, .. } => {
                let bytes = |value: &Literal| if let Literal::Text(text) = value { text.len() } else { 0 };
                values.iter().map(bytes).sum::<usize>() as u64 / BYTES_PER_DRAW
            }
            _ => 0,
        };
        let draws = self.noise.iter().enumerate().map(of).fold(0, u64::saturating_add);
        self.release.outputs.iter().map(written).fold(draws, u64::saturating_add)
    }

    /// The error that a choice of noise and shares is judged by ([`split`]): the outputs' variances, in squares of what a unit moves them by.
    pub fn error(&self) -> f64 {
        let of = |((weight, noise), clamp): ((f64, &Noise), &Clamp)| {
            let bound = clamp.per_group() as f64;
            weight * noise.variance() / (bound * bound)
        };
        split::weights(&self.release).into_iter().zip(&self.noise).zip(&self.clamps).map(of).sum()
    }

    /// The same at the keys that an earlier draw showed, where it was calibrated for them.
    pub fn at_keys(self, shown: Vec<ArrayRef>) -> Calibrated {
        match self.selection {
            Selection::Shown { .. } => Calibrated { selection: Selection::Shown { keys: shown }, ..self },
            _ => self,
        }
    }

    /// What is released for another draw of the same bounded numbers: with the lattices that they were counted in, and the keys that were shown.
    pub fn again(&self) -> Release {
        let Contribution { groups, total, .. } = self.contribution;
        let measure = |(measure, clamp): (&Measure, &Clamp)| Measure {
            lattice: Some(clamp.lattice),
            epsilon: None,
            ..measure.clone()
        };
        Release {
            measures: self.release.measures.iter().zip(&self.clamps).map(measure).collect(),
            contribution: self.contribution,
            terms: Terms { groups: Some(groups), total, keys_are_shown: true, ..self.release.terms },
            ..self.release.clone()
        }
    }

    /// Draws for all groups of public keys, at most.
    pub fn draws(&self) -> u64 {
        self.cells.unwrap_or(0).saturating_mul(self.draws_per_group())
    }
}

/// Why a release cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncalibrated {
    /// The scale of its noise would leave the range of the exact sampler.
    TooNoisy,
    /// Its keys are private and delta is zero.
    NoDelta,
    /// Its measures have parts of epsilon of their own that leave nothing for the others, or exceed it.
    Exceeded,
    /// It has outputs whose error is not known beforehand.
    NoError,
    /// An error is asked for, and measures have parts of epsilon of their own.
    TwoPrices,
    /// It has more sums and means without bounds than are looked for.
    TooManyBounds,
    /// No noise is as small as it has to be.
    TooExact,
}

/// Gives each measure of `release` its own part of the price, where it has one, splits the rest over the others for the least error
/// ([`split`]), and calibrates their noise.
///
/// Laplace: each measure's vector of groups gets its share of epsilon at its L1 sensitivity; the shares add up
/// (basic composition), and so do their rho, which are about a k-th of what any epsilon-DP mechanism costs. Gaussian: each gets its share of
/// the price's rho at its L2 sensitivity.
///
/// A quantile or a most frequent value is chosen by the exponential mechanism in each group, whatever the family: its price is of the family's kind.
/// Ranks are read from a tree of counts with the family's noise.
///
/// Private keys cost delta as well, and what has a delta has no pure epsilon. Keys alone are selected by whichever of two rules
/// shows more, at one price in rho and delta.
pub fn calibrate(release: Release, price: Price, family: Family) -> Result<Calibrated, Uncalibrated> {
    let Price { rho, delta, .. } = price;
    let (release, contribution) = bounded(release);
    let cells = release.cells();
    if release.selects_keys() && delta.is_zero() {
        return Err(Uncalibrated::NoDelta);
    }
    if release.selects_keys()
        && release.outputs.is_empty()
        && let Some((selection, noise)) = keys_alone(rho, delta, contribution.groups, release.terms.min_units)
    {
        let limit = match selection {
            Selection::Weighted { .. } => i128::from(UNIT_WEIGHT),
            _ => 1,
        };
        let clamp = |measure| Clamp { unit_high: limit, ..Clamp::of(measure, contribution, 1.0) };
        let clamps = release.measures.iter().map(clamp).collect();
        let charge = Charge { delta, ..Charge::zcdp(rho) };
        let shares = vec![1.0; noise.len()];
        return Ok(Calibrated { release, contribution, cells, selection, clamps, noise, shares, charge });
    }
    let (parts, whole) = parts(&release, price, family)?;
    made(release, contribution, &parts, whole, delta)
}

/// Gives each measure of `release` the least price at which its intervals are as narrow as `accuracy` says, together with those of its draws that
/// there are: `earlier` has them for each measure, or is empty.
///
/// A mean, a statistic, a quantile or a choice has no error that is known before its group is.
pub fn calibrate_to(
    release: Release,
    accuracy: Accuracy,
    delta: Amount,
    family: Family,
    earlier: &[Vec<Noise>],
) -> Result<Calibrated, Uncalibrated> {
    let (release, contribution) = bounded(release);
    let is_additive = |output: &Output| matches!(output, Output::Count(_) | Output::Sum { .. });
    if release.outputs.is_empty() || !release.outputs.iter().all(is_additive) {
        return Err(Uncalibrated::NoError);
    }
    if release.measures.iter().any(|measure| measure.epsilon.is_some()) {
        return Err(Uncalibrated::TwoPrices);
    }
    if release.selects_keys() && delta.is_zero() {
        return Err(Uncalibrated::NoDelta);
    }
    let goal = (accuracy.error.absolute(), 1.0 - accuracy.confidence);
    let read = release.read_measures();
    let part = |(at, measure): (usize, &Measure)| {
        let drawn = earlier.get(at).map_or(&[][..], Vec::as_slice);
        match release.terms.keys_are_shown && !read.contains(&at) {
            true => Some(None),
            false => least_part(measure, contribution, family, goal, drawn).map(Some),
        }
    };
    let parts = release.measures.iter().enumerate().map(part);
    let parts = parts.collect::<Option<Vec<_>>>().ok_or(Uncalibrated::TooExact)?;
    // What nobody reads any more needs some noise all the same.
    let least = parts.iter().flatten().map(|part| part.amount()).min().unwrap_or(Amount::ZERO);
    let next_to_nothing = Part::new(family, least.part(1, 1000).max(Amount::from_atto(1)));
    let parts: Vec<Part> = parts.into_iter().map(|part| part.unwrap_or(next_to_nothing)).collect();
    let whole = parts.iter().map(|part| part.amount()).fold(Amount::ZERO, Amount::plus);
    made(release, contribution, &parts, whole, delta)
}

/// A release and what one unit contributes to it, with each number once.
fn bounded(release: Release) -> (Release, Contribution) {
    let limits = release.terms.limits(release.contribution);
    let contribution = Contribution { groups: limits.groups.min(release.cells().unwrap_or(u64::MAX)).max(1), ..limits };
    // What is drawn again has the numbers that it had.
    match release.measures.iter().any(|measure| measure.lattice.is_some()) {
        true => (release, contribution),
        false => (release.with_shared_counts(contribution.rows), contribution),
    }
}

/// `whole` is the epsilon that Laplace noise is charged for: parts are rounded down.
fn made(
    release: Release,
    contribution: Contribution,
    parts: &[Part],
    whole: Amount,
    delta: Amount,
) -> Result<Calibrated, Uncalibrated> {
    let cells = release.cells();
    let noisy = release.measures.iter().zip(parts).map(|(measure, part)| part.noisy(measure, contribution));
    let noisy = noisy.collect::<Option<Vec<Noisy>>>().ok_or(Uncalibrated::TooNoisy)?;
    let sum = noisy.iter().fold(Charge::NOTHING, |sum, made| sum.plus(made.charge));
    let charge = Charge { epsilon: sum.epsilon.map(|_| whole), ..sum };
    let units = release.measures.iter().position(|measure| measure.of == Quantity::Units);
    let (selection, charge) = match (cells, units) {
        (Some(_), _) => (Selection::Public, charge),
        (None, _) if !release.selects_keys() => (Selection::Shown { keys: vec![] }, charge),
        (None, None) => return Err(Uncalibrated::NoDelta),
        (None, Some(measure)) => {
            let threshold = threshold(&noisy[measure].noise, delta, contribution.groups);
            let threshold = threshold.ok_or(Uncalibrated::TooNoisy)? + beyond(release.terms.min_units);
            (Selection::Threshold { measure, threshold }, Charge { epsilon: None, delta, ..charge })
        }
    };
    let all: f64 = parts.iter().map(|part| part.amount().to_f64()).sum();
    let shares = parts.iter().map(|part| part.amount().to_f64() / all).collect();
    let (clamps, noise) = noisy.into_iter().map(|made| (made.clamp, made.noise)).unzip();
    Ok(Calibrated { release, contribution, cells, selection, clamps, noise, shares, charge })
}

/// Each measure's own part of the price, or a share of what is left, and the epsilon that they are parts of: where all have their own,
/// nothing else is asked for.
fn parts(release: &Release, price: Price, family: Family) -> Result<(Vec<Part>, Amount), Uncalibrated> {
    let measures = &release.measures;
    let own = measures.iter().filter_map(|measure| measure.epsilon).fold(Amount::ZERO, Amount::plus);
    let rest = price.epsilon.minus(own);
    let weights = split::parts(&split::weights(release), family);
    let others = || measures.iter().zip(&weights).filter(|(measure, _)| measure.epsilon.is_none());
    let all: u128 = others().map(|(_, weight)| weight).sum();
    if own > price.epsilon || (all > 0 && rest.is_zero()) {
        return Err(Uncalibrated::Exceeded);
    }
    let amount = |epsilon: Amount| match family {
        Family::Laplace => epsilon,
        Family::Gaussian => price.rho_of(epsilon),
    };
    let part = |(measure, weight): (&Measure, &u128)| {
        let part = measure.epsilon.map_or_else(|| amount(rest).part(*weight, all), amount);
        Part::new(family, part)
    };
    let each = measures.iter().zip(&weights).map(part).collect();
    Ok((each, if all > 0 { price.epsilon } else { own }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::{Bounds, Expr, Key, Relation, Terms, Type};

    /// Without private keys.
    fn pure(epsilon: &str) -> Price {
        Price::pure(epsilon.parse().unwrap(), Amount::ZERO)
    }

    fn release(groups: u64, keys: usize) -> Release {
        let domain = (0..10).map(Literal::Int).collect();
        let sum = Quantity::Sum { of: Expr::Column(1), bounds: Bounds::new(0.0, 10.0), whole: true, centred: false };
        Release {
            input: Relation::Protected { table: 0, columns: vec![0] },
            keys: vec![Key { expr: Expr::Column(1), ty: Type::Int, domain: Some(domain) }; keys],
            measures: vec![Quantity::Rows.into(), sum.into()],
            outputs: vec![Output::Count(0), Output::Sum { sum: 1, whole: true }],
            contribution: Contribution { groups, rows: 3, total: None },
            terms: Terms::default(),
        }
    }

    #[test]
    fn laplace_splits_epsilon_and_scales_by_groups_and_rows() {
        let made = calibrate(release(4, 1), pure("1"), Family::Laplace).unwrap();
        assert_eq!(made.noise.iter().map(Noise::scale).collect::<Vec<_>>(), vec![4.0 * 3.0 / 0.5, 4.0 * 30.0 / 0.5]);
        assert_eq!(made.charge.epsilon.unwrap().to_string(), "1");
        assert_eq!(made.cells, Some(10));
    }

    #[test]
    fn one_group_needs_noise_for_one_group() {
        let made = calibrate(release(4, 0), pure("1"), Family::Laplace).unwrap();
        assert_eq!((made.cells, made.contribution.groups, made.noise[0].scale()), (Some(1), 1, 6.0));
    }

    #[test]
    fn gaussian_costs_rho_and_has_no_pure_epsilon() {
        let epsilon: Amount = "0.5".parse().unwrap();
        let (laplace, gaussian) = (
            calibrate(release(9, 1), Price::pure(epsilon, Amount::ZERO), Family::Laplace).unwrap(),
            calibrate(release(9, 1), Price::pure(epsilon, Amount::ZERO), Family::Gaussian).unwrap(),
        );
        assert_eq!(gaussian.charge.epsilon, None);
        assert!(gaussian.charge.rho <= Charge::pure(epsilon).rho);
        assert!(laplace.charge.rho <= gaussian.charge.rho);
        let rho = Charge::pure(epsilon).rho.to_f64() / 2.0;
        let sigma = (9.0f64 * 9.0 / (2.0 * rho)).sqrt();
        assert!((gaussian.noise[0].scale() - sigma).abs() / sigma < 1e-6);
    }

    #[test]
    fn measures_have_their_own_parts_of_epsilon() {
        let amount = |text: &str| text.parse::<Amount>().unwrap();
        let made = |first: Option<&str>, second: Option<&str>, family| {
            let mut release = release(4, 1);
            release.measures[0].epsilon = first.map(amount);
            release.measures[1].epsilon = second.map(amount);
            calibrate(release, pure("1"), family)
        };
        let scales = |made: Calibrated| made.noise.iter().map(Noise::scale).collect::<Vec<_>>();
        let laplace = made(Some("0.75"), None, Family::Laplace).unwrap();
        assert_eq!(laplace.charge.epsilon.unwrap().to_string(), "1");
        assert_eq!(scales(laplace), vec![12.0 / 0.75, 120.0 / 0.25]);
        // What nobody asks for is not charged.
        let both = made(Some("0.5"), Some("0.25"), Family::Laplace).unwrap();
        assert_eq!(both.charge.epsilon.unwrap().to_string(), "0.75");
        let gaussian = made(Some("0.5"), None, Family::Gaussian).unwrap();
        assert!(gaussian.charge.rho <= Charge::pure(amount("1")).rho);
        for (first, second) in [(Some("1"), None), (Some("0.6"), Some("0.5")), (Some("2"), None)] {
            assert_eq!(made(first, second, Family::Laplace).err(), Some(Uncalibrated::Exceeded));
        }
    }

    #[test]
    fn ranks_have_noise_for_each_level() {
        let (of, bounds) = (Expr::Column(1), Bounds::new(0.0, 65_535.0).unwrap());
        let made = |family| {
            let measures = vec![Quantity::Rows.into(), Quantity::Ranks { of: of.clone(), bounds, whole: true }.into()];
            let quantile = |millionths| {
                let at = Fraction::new(millionths).unwrap();
                Output::Quantile { at, value: 1, ranks: Some(1), ty: Type::Int }
            };
            let outputs = [10, 500_000, 10].map(quantile).to_vec();
            calibrate(Release { measures, outputs, ..release(4, 1) }, pure("1"), family).unwrap()
        };
        let laplace = made(Family::Laplace);
        // Three outputs are of the ranks, and none of the count, which weighs one: of epsilon, four groups, three rows in each, four levels.
        let part = |root: f64| root / (1.0 + root);
        let scale = 4.0 * 3.0 * 4.0 / part(3f64.cbrt());
        assert!((laplace.noise[1].scale() / scale - 1.0).abs() < 1e-9);
        assert_eq!(laplace.charge.epsilon.unwrap().to_string(), "1");
        assert_eq!(laplace.fractions(1).len(), 2);
        // Two quantiles, each with eight ways down four levels of sixteen; and the count.
        assert_eq!(laplace.draws(), 10 * (2 * 8 * 4 * 16 + 1));
        let rho = Charge::pure("1".parse().unwrap()).rho.to_f64() * part(3f64.sqrt());
        let sigma = (4.0 * 9.0 * 4.0 / (2.0 * rho)).sqrt();
        assert!((made(Family::Gaussian).noise[1].scale() / sigma - 1.0).abs() < 1e-6);
    }

    #[test]
    fn rows_in_all_groups_together_need_less_noise() {
        let limited = |family| {
            let mut release = release(4, 1);
            release.terms.total = Some(4);
            calibrate(release, pure("1"), family).unwrap().noise[0].scale()
        };
        assert_eq!(limited(Family::Laplace), 4.0 / 0.5);
        // A full group of three rows and one row more.
        let rho = Charge::pure("1".parse().unwrap()).rho.to_f64() / 2.0;
        let sigma = (10.0f64 / (2.0 * rho)).sqrt();
        assert!((limited(Family::Gaussian) - sigma).abs() / sigma < 1e-6);
    }
}
