//! From a release and its share of epsilon to clamps, noise and price. Public numbers in, public numbers out.

use super::choice::{Choice, Wanted};
use super::noise::Counted;
use super::sampler::floor_sqrt;
use super::selection::{UNIT_WEIGHT, keys_alone, threshold};
use super::tree::{Shape, Tree};
use super::{Noise, Selection};
use crate::accounting::Charge;
use crate::algebra::{Clamp, Contribution, Family, Fraction, Literal, Measure, Output, Quantity, Release, Sensitivity};
use crate::num::Amount;
use ruint::aliases::U256;
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
    pub charge: Charge,
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
}

/// Gives each measure of `release` its own part of `epsilon`, where it has one, splits the rest evenly over the others, and calibrates
/// their noise.
///
/// Laplace: each measure's vector of groups gets its share of epsilon at its L1 sensitivity; the shares add up
/// (basic composition), and so do their rho, which are about a k-th of what any epsilon-DP mechanism costs. Gaussian: each gets its share of
/// that at its L2 sensitivity.
///
/// A quantile or a most frequent value is chosen by the exponential mechanism in each group, whatever the family: its price is of the family's kind.
/// Ranks are read from a tree of counts with the family's noise.
///
/// Private keys cost `delta` as well, and what has a delta has no pure epsilon. Keys alone are selected by whichever of two rules
/// shows more, at one price: the rho of any epsilon-DP mechanism, and delta.
pub fn calibrate(release: Release, epsilon: Amount, delta: Amount, family: Family) -> Result<Calibrated, Uncalibrated> {
    let cells = release.cells();
    let limits = release.terms.limits(release.contribution);
    let contribution = Contribution { groups: limits.groups.min(cells.unwrap_or(u64::MAX)).max(1), ..limits };
    if cells.is_none() && delta.is_zero() {
        return Err(Uncalibrated::NoDelta);
    }
    if cells.is_none()
        && release.outputs.is_empty()
        && let Some((selection, noise)) = keys_alone(epsilon, delta, contribution.groups)
    {
        let limit = match selection {
            Selection::Weighted { .. } => i128::from(UNIT_WEIGHT),
            _ => 1,
        };
        let clamp = |measure| Clamp { unit_high: limit, ..Clamp::of(measure, contribution, 1.0) };
        let clamps = release.measures.iter().map(clamp).collect();
        let charge = Charge { epsilon: None, delta, ..Charge::pure(epsilon) };
        return Ok(Calibrated { release, contribution, cells, selection, clamps, noise, charge });
    }
    let parts = parts(&release.measures, epsilon)?;
    // Rows in all groups together are spread as over so many groups.
    let spread = contribution.total.map_or(f64::INFINITY, |total| total as f64 / contribution.rows.max(1) as f64);
    let groups = (contribution.groups as f64).min(spread);
    let clamp = |(measure, part): (&Measure, &Part)| {
        let noise_per_bound = match family {
            Family::Laplace => groups / part.epsilon.to_f64(),
            Family::Gaussian => (groups / (2.0 * part.rho.to_f64())).sqrt(),
        };
        Clamp::of(measure, contribution, noise_per_bound)
    };
    let clamps: Vec<Clamp> = release.measures.iter().zip(&parts.each).map(clamp).collect();
    let chosen = |wanted, measure: &Measure, part: &Part| {
        let epsilon = part.of_each_group(family, contribution.groups);
        Choice::new(wanted, measure.of.most_values(contribution.rows), epsilon).map(Noise::Exponential)
    };
    let sensitivities: Vec<_> = clamps.iter().map(|clamp| Sensitivity::new(clamp, contribution)).collect();
    let added = |l1: u128, l2_squared: U256, part: &Part| match family {
        Family::Laplace => Noise::laplace(l1, part.epsilon),
        Family::Gaussian => Noise::gaussian(l2_squared, part.rho),
    };
    let noise = |(at, measure): (usize, &Measure)| {
        let (clamp, part, sensitivity) = (&clamps[at], &parts.each[at], &sensitivities[at]);
        match &measure.of {
            Quantity::Ranks { .. } => {
                let shape = Shape::new((clamp.row_low, clamp.row_high));
                let height = shape.height();
                let l1 = sensitivity.l1.checked_mul(height.into())?;
                let l2_squared = sensitivity.l2_squared.checked_mul(U256::from(height))?;
                Tree::new(shape, added(l1, l2_squared, part)?).map(Noise::Tree)
            }
            Quantity::Quantile { at, .. } => {
                chosen(Wanted::Quantile { at: *at, low: clamp.row_low, high: clamp.row_high }, measure, part)
            }
            Quantity::Histogram { values, .. } => {
                let counted = Counted::new(added(sensitivity.l1, sensitivity.l2_squared, part)?)?;
                Some(Noise::Histogram { values: values.len() as u64, counted })
            }
            Quantity::Mode { values, .. } => chosen(Wanted::Mode { values: values.len() as i64 }, measure, part),
            _ => added(sensitivity.l1, sensitivity.l2_squared, part),
        }
    };
    let noise =
        release.measures.iter().enumerate().map(noise).collect::<Option<Vec<_>>>().ok_or(Uncalibrated::TooNoisy)?;
    let price = |(at, noise): (usize, &Noise)| {
        let (part, moved) = (&parts.each[at], sensitivities[at].worst());
        match (noise, family) {
            (Noise::Exponential(_), Family::Laplace) => part.of_choices(contribution.groups),
            (_, Family::Gaussian) => Charge::zcdp(part.rho),
            // On each level of a tree.
            (Noise::Tree(tree), _) => {
                let moved = moved.map(|(count, shift)| (count * u128::from(tree.height()), shift));
                Charge::laplace(part.epsilon, noise.scale(), moved)
            }
            _ => Charge::laplace(part.epsilon, noise.scale(), moved),
        }
    };
    let sum = noise.iter().enumerate().map(price).fold(Charge::NOTHING, Charge::plus);
    // Shares are rounded down; what is charged is what was asked for.
    let charge = Charge { epsilon: sum.epsilon.map(|_| parts.whole), ..sum };
    let units = release.measures.iter().position(|measure| measure.of == Quantity::Units);
    let (selection, charge) = match (cells, units) {
        (Some(_), _) => (Selection::Public, charge),
        (None, None) => return Err(Uncalibrated::NoDelta),
        (None, Some(measure)) => {
            let threshold = threshold(&noise[measure], delta, contribution.groups).ok_or(Uncalibrated::TooNoisy)?;
            (Selection::Threshold { measure, threshold }, Charge { epsilon: None, delta, ..charge })
        }
    };
    Ok(Calibrated { release, contribution, cells, selection, clamps, noise, charge })
}

/// One measure's part of a release's price.
struct Part {
    epsilon: Amount,
    rho: Amount,
}

impl Part {
    /// The epsilon of a choice in each of the groups that a unit is in: they add up to the part's epsilon, or their epsilon^2 / 8 to its
    /// rho.
    fn of_each_group(&self, family: Family, groups: u64) -> Amount {
        let groups = U256::from(groups.max(1));
        let atto = match family {
            Family::Laplace => U256::from(self.epsilon.atto()) / groups,
            // In units of 1e-18: epsilon^2 = 8 rho / k.
            Family::Gaussian => {
                let squared = U256::from(self.rho.atto()) * U256::from(8_000_000_000_000_000_000u64);
                floor_sqrt(squared / groups)
            }
        };
        Amount::from_atto(u128::try_from(atto).unwrap_or(u128::MAX))
    }

    /// Choices of bounded range: k times (epsilon / k)^2 / 8.
    fn of_choices(&self, groups: u64) -> Charge {
        let epsilon = self.epsilon.to_f64();
        let pure = Charge::pure(self.epsilon);
        Charge { rho: Amount::charge(epsilon * epsilon / (8.0 * groups.max(1) as f64)).min(pure.rho), ..pure }
    }
}

struct Parts {
    each: Vec<Part>,
    /// What they are parts of.
    whole: Amount,
}

/// Each measure's own part of `epsilon`, or an equal share of what is left; where all have their own, nothing else is asked for.
fn parts(measures: &[Measure], epsilon: Amount) -> Result<Parts, Uncalibrated> {
    let own = measures.iter().filter_map(|measure| measure.epsilon).fold(Amount::ZERO, Amount::plus);
    let others = measures.iter().filter(|measure| measure.epsilon.is_none()).count();
    let rest = epsilon.minus(own);
    if own > epsilon || (others > 0 && rest.is_zero()) {
        return Err(Uncalibrated::Exceeded);
    }
    let (share, rho) = (rest.share(others), Charge::pure(rest).rho.share(others));
    let part = |measure: &Measure| match measure.epsilon {
        Some(epsilon) => Part { epsilon, rho: Charge::pure(epsilon).rho },
        None => Part { epsilon: share, rho },
    };
    let whole = if others > 0 { epsilon } else { own };
    Ok(Parts { each: measures.iter().map(part).collect(), whole })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::{Bounds, Expr, Key, Relation, Terms, Type};

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
        let made = calibrate(release(4, 1), "1".parse().unwrap(), Amount::ZERO, Family::Laplace).unwrap();
        assert_eq!(made.noise.iter().map(Noise::scale).collect::<Vec<_>>(), vec![4.0 * 3.0 / 0.5, 4.0 * 30.0 / 0.5]);
        assert_eq!(made.charge.epsilon.unwrap().to_string(), "1");
        assert_eq!(made.cells, Some(10));
    }

    #[test]
    fn one_group_needs_noise_for_one_group() {
        let made = calibrate(release(4, 0), "1".parse().unwrap(), Amount::ZERO, Family::Laplace).unwrap();
        assert_eq!((made.cells, made.contribution.groups, made.noise[0].scale()), (Some(1), 1, 6.0));
    }

    #[test]
    fn gaussian_costs_rho_and_has_no_pure_epsilon() {
        let epsilon: Amount = "0.5".parse().unwrap();
        let (laplace, gaussian) = (
            calibrate(release(9, 1), epsilon, Amount::ZERO, Family::Laplace).unwrap(),
            calibrate(release(9, 1), epsilon, Amount::ZERO, Family::Gaussian).unwrap(),
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
            calibrate(release, amount("1"), Amount::ZERO, family)
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
            calibrate(Release { measures, outputs, ..release(4, 1) }, "1".parse().unwrap(), Amount::ZERO, family)
                .unwrap()
        };
        let laplace = made(Family::Laplace);
        // Half of epsilon, four groups, three rows in each, four levels.
        assert_eq!(laplace.noise[1].scale(), 4.0 * 3.0 * 4.0 / 0.5);
        assert_eq!(laplace.charge.epsilon.unwrap().to_string(), "1");
        assert_eq!(laplace.fractions(1).len(), 2);
        // Two quantiles, each with eight ways down four levels of sixteen; and the count.
        assert_eq!(laplace.draws(), 10 * (2 * 8 * 4 * 16 + 1));
        let rho = Charge::pure("1".parse().unwrap()).rho.to_f64() / 2.0;
        let sigma = (4.0 * 9.0 * 4.0 / (2.0 * rho)).sqrt();
        assert!((made(Family::Gaussian).noise[1].scale() / sigma - 1.0).abs() < 1e-6);
    }

    #[test]
    fn rows_in_all_groups_together_need_less_noise() {
        let limited = |family| {
            let mut release = release(4, 1);
            release.terms.total = Some(4);
            calibrate(release, "1".parse().unwrap(), Amount::ZERO, family).unwrap().noise[0].scale()
        };
        assert_eq!(limited(Family::Laplace), 4.0 / 0.5);
        // A full group of three rows and one row more.
        let rho = Charge::pure("1".parse().unwrap()).rho.to_f64() / 2.0;
        let sigma = (10.0f64 / (2.0 * rho)).sqrt();
        assert!((limited(Family::Gaussian) - sigma).abs() / sigma < 1e-6);
    }
}
