//! From a release and its share of epsilon to clamps, noise and price. Public numbers in, public numbers out.

use super::selection::{UNIT_WEIGHT, keys_alone, threshold};
use super::{Noise, Selection};
use crate::accounting::Charge;
use crate::algebra::{Clamp, Contribution, Measure, Release, Sensitivity};
use crate::num::Amount;

/// The noise distributions that a question can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    Laplace,
    Gaussian,
}

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

/// Why a release cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncalibrated {
    /// The scale of its noise would leave the range of the exact sampler.
    TooNoisy,
    /// Its keys are private and delta is zero.
    NoDelta,
}

/// Splits `epsilon` evenly over the measures of `release` and calibrates their noise.
///
/// Laplace: each measure's vector of groups gets its share of epsilon at its L1 sensitivity; the shares add up
/// (basic composition), and so do their rho. Gaussian: each gets its share of rho(epsilon) at its L2 sensitivity, so that at the
/// same epsilon either costs the zCDP ledger about the same.
///
/// Private keys cost `delta` as well, and what has a delta has no pure epsilon. Keys alone are selected by whichever of two rules
/// shows more, at one price: the rho of any epsilon-DP mechanism, and delta.
pub fn calibrate(release: Release, epsilon: Amount, delta: Amount, family: Family) -> Result<Calibrated, Uncalibrated> {
    let cells = release.cells();
    let groups = release.contribution.groups.min(cells.unwrap_or(u64::MAX)).max(1);
    let contribution = Contribution { groups, ..release.contribution };
    if cells.is_none() && delta.is_zero() {
        return Err(Uncalibrated::NoDelta);
    }
    if cells.is_none()
        && release.outputs.is_empty()
        && let Some((selection, noise)) = keys_alone(epsilon, delta, groups)
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
    let measures = release.measures.len();
    let share = epsilon.share(measures);
    let rho = Charge::pure(epsilon).rho.share(measures);
    let groups = contribution.groups as f64;
    let noise_per_bound = match family {
        Family::Laplace => groups / share.to_f64(),
        Family::Gaussian => (groups / (2.0 * rho.to_f64())).sqrt(),
    };
    let clamp = |measure: &Measure| Clamp::of(measure, contribution, noise_per_bound);
    let clamps: Vec<Clamp> = release.measures.iter().map(clamp).collect();
    let noise = |clamp: &Clamp| {
        let sensitivity = Sensitivity::new(clamp, contribution.groups);
        match family {
            Family::Laplace => Noise::laplace(sensitivity.l1, share),
            Family::Gaussian => Noise::gaussian(sensitivity.l2_squared, rho),
        }
    };
    let noise = clamps.iter().map(noise).collect::<Option<Vec<_>>>().ok_or(Uncalibrated::TooNoisy)?;
    let each = match family {
        Family::Laplace => Charge::pure(share),
        Family::Gaussian => Charge::zcdp(rho),
    };
    let sum = (0..measures).fold(Charge::NOTHING, |sum, _| sum.plus(each));
    // Shares are rounded down; what is charged is what was asked for.
    let charge = Charge { epsilon: sum.epsilon.map(|_| epsilon), ..sum };
    let units = release.measures.iter().position(|measure| *measure == Measure::Units);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::{Bounds, Expr, Output, Relation};

    fn release(groups: u64, keys: usize) -> Release {
        use crate::algebra::{Key, Literal, Type};
        let domain = (0..10).map(Literal::Int).collect();
        let sum =
            Measure::Sum { of: Expr::Column(1), bounds: Bounds::new(0.0, 10.0).unwrap(), whole: true, centred: false };
        Release {
            input: Relation::Protected { table: 0, columns: vec![0] },
            keys: vec![Key { expr: Expr::Column(1), ty: Type::Int, domain: Some(domain) }; keys],
            measures: vec![Measure::Rows, sum],
            outputs: vec![Output::Count(0), Output::Sum { sum: 1, whole: true }],
            contribution: Contribution { groups, rows: 3 },
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
}
