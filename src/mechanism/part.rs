//! From one measure and its part of a price to its clamp, its noise and its charge.

use super::Noise;
use super::choice::{Choice, Wanted};
use super::interval::normal_quantile;
use super::noise::Counted;
use super::sampler::floor_sqrt;
use super::tree::{Shape, Tree};
use crate::accounting::Charge;
use crate::algebra::{Clamp, Contribution, Family, Measure, Quantity, Sensitivity};
use crate::num::Amount;
use ruint::aliases::U256;

/// One measure's part of a release's price, in what its noise costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Of epsilon.
    Laplace(Amount),
    /// Of rho.
    Gaussian(Amount),
}

/// A measure with its noise.
pub struct Noisy {
    pub clamp: Clamp,
    pub noise: Noise,
    pub charge: Charge,
}

impl Part {
    pub fn new(family: Family, amount: Amount) -> Part {
        match family {
            Family::Laplace => Part::Laplace(amount),
            Family::Gaussian => Part::Gaussian(amount),
        }
    }

    pub fn amount(self) -> Amount {
        match self {
            Part::Laplace(epsilon) => epsilon,
            Part::Gaussian(rho) => rho,
        }
    }

    /// The measure with the noise that this part pays for. None where there would be too much noise for exact sampling.
    pub fn noisy(self, measure: &Measure, contribution: Contribution) -> Option<Noisy> {
        // Rows in all groups together are spread as over so many groups.
        let spread = contribution.total.map_or(f64::INFINITY, |total| total as f64 / contribution.rows.max(1) as f64);
        let groups = (contribution.groups as f64).min(spread);
        let noise_per_bound = match self {
            Part::Laplace(epsilon) => groups / epsilon.to_f64(),
            Part::Gaussian(rho) => (groups / (2.0 * rho.to_f64())).sqrt(),
        };
        let clamp = Clamp::of(measure, contribution, noise_per_bound);
        let sensitivity = Sensitivity::new(&clamp, contribution);
        let chosen = |wanted| {
            let epsilon = self.of_each_group(contribution.groups);
            Choice::new(wanted, measure.of.most_values(contribution.rows), epsilon).map(Noise::Exponential)
        };
        let noise = match &measure.of {
            Quantity::Ranks { .. } => {
                let shape = Shape::new((clamp.row_low, clamp.row_high));
                let height = shape.height();
                let l1 = sensitivity.l1.checked_mul(height.into())?;
                let l2_squared = sensitivity.l2_squared.checked_mul(U256::from(height))?;
                Noise::Tree(Tree::new(shape, self.added(l1, l2_squared)?)?)
            }
            Quantity::Quantile { at, .. } => {
                chosen(Wanted::Quantile { at: *at, low: clamp.row_low, high: clamp.row_high })?
            }
            Quantity::Histogram { values, .. } => {
                let counted = Counted::new(self.added(sensitivity.l1, sensitivity.l2_squared)?)?;
                Noise::Histogram { values: values.len() as u64, counted }
            }
            Quantity::Mode { values, .. } => chosen(Wanted::Mode { values: values.len() as i64 })?,
            Quantity::Rows | Quantity::NonNull(_) | Quantity::Units | Quantity::Distinct(_) | Quantity::Sum { .. } => {
                self.added(sensitivity.l1, sensitivity.l2_squared)?
            }
        };
        let charge = self.charge(&noise, &sensitivity, contribution.groups);
        Some(Noisy { clamp, noise, charge })
    }

    fn added(self, l1: u128, l2_squared: U256) -> Option<Noise> {
        match self {
            Part::Laplace(epsilon) => Noise::laplace(l1, epsilon),
            Part::Gaussian(rho) => Noise::gaussian(l2_squared, rho),
        }
    }

    fn charge(self, noise: &Noise, sensitivity: &Sensitivity, groups: u64) -> Charge {
        match (self, noise) {
            (Part::Gaussian(rho), _) => Charge::zcdp(rho),
            // Choices of bounded range: k times (epsilon / k)^2 / 8.
            (Part::Laplace(epsilon), Noise::Exponential(_)) => {
                let (pure, of_all) = (Charge::pure(epsilon), epsilon.to_f64());
                Charge { rho: Amount::charge(of_all * of_all / (8.0 * groups.max(1) as f64)).min(pure.rho), ..pure }
            }
            // On each level of a tree.
            (Part::Laplace(epsilon), Noise::Tree(tree)) => {
                let moved = sensitivity.worst().map(|(count, shift)| (count * u128::from(tree.height()), shift));
                Charge::laplace(epsilon, noise.scale(), moved)
            }
            (Part::Laplace(epsilon), _) => Charge::laplace(epsilon, noise.scale(), sensitivity.worst()),
        }
    }

    /// The epsilon of a choice in each of the groups that a unit is in: they add up to the part's epsilon, or their epsilon^2 / 8 to its
    /// rho.
    fn of_each_group(self, groups: u64) -> Amount {
        let groups = U256::from(groups.max(1));
        let atto = match self {
            Part::Laplace(epsilon) => U256::from(epsilon.atto()) / groups,
            // In units of 1e-18: epsilon^2 = 8 rho / k.
            Part::Gaussian(rho) => {
                let squared = U256::from(rho.atto()) * U256::from(8_000_000_000_000_000_000u64);
                floor_sqrt(squared / groups)
            }
        };
        Amount::from_atto(u128::try_from(atto).unwrap_or(u128::MAX))
    }
}

/// The least part with which the half-width of a count's or a sum's interval at `alpha` is at most `error`, in the measure's unit, together
/// with `earlier` draws; by bisection to a millionth, or with those to a two-hundredth. None where no part is enough.
pub fn least_part(
    measure: &Measure,
    contribution: Contribution,
    family: Family,
    (error, alpha): (f64, f64),
    earlier: &[Noise],
) -> Option<Part> {
    let noisy = |atto: u128| Part::new(family, Amount::from_atto(atto)).noisy(measure, contribution);
    let fits = |atto: u128| {
        noisy(atto).is_some_and(|Noisy { noise, clamp, .. }| {
            let all = Noise::together(&[earlier, &[noise]].concat());
            all.is_some_and(|noise| noise.half_width(alpha) * clamp.lattice.step() <= error)
        })
    };
    // The exact interval of a mean takes a while: so the part is looked for near that with which it would be right if noise were normal.
    let known: f64 = earlier.iter().map(|noise| 1.0 / noise.variance().max(1e-30)).sum();
    let is_normal = |atto: u128| {
        noisy(atto).is_some_and(|made| {
            let width = error / made.clamp.lattice.step() / normal_quantile(alpha);
            1.0 / made.noise.variance().max(1e-30) + known >= 1.0 / (width * width)
        })
    };
    let (from, precision) = match earlier {
        [] => (1, 1_000_000),
        _ => (least(1, 1_000, is_normal)?, 200),
    };
    least(from, precision, fits).map(|atto| Part::new(family, Amount::from_atto(atto)))
}

/// The least number that fits, to one part in `precision`, looked for from `from` on, upwards or downwards. None where none does.
fn least(from: u128, precision: u128, fits: impl Fn(u128) -> bool) -> Option<u128> {
    let (mut low, mut high) = (from, from);
    if fits(from) {
        while low > 1 && fits(low) {
            (low, high) = (low / 2, low);
        }
    } else {
        while !fits(high) {
            (low, high) = (high, high.checked_mul(2).filter(|high| *high < MOST)?);
        }
    }
    while high - low > 1 + low / precision {
        let middle = low + (high - low) / 2;
        if fits(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

/// Far beyond what leaves no noise at all: an epsilon of 1e12.
const MOST: u128 = 1 << 100;
