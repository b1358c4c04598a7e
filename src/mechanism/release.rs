//! The one place where exact aggregates become public.

use super::Noise;
use crate::accounting::Token;
use rand::{SeedableRng, rngs::StdRng, rngs::SysRng};

/// Bounded, exact integer aggregates of one release: `columns[measure][cell]`, in lattice steps. Holds
/// private values, so it cannot be printed or compared, and [`release`] is the only way out.
pub struct ExactAggregates {
    columns: Vec<Vec<i128>>,
}

impl ExactAggregates {
    /// Shape: one column per measure, each of one value per cell.
    pub(crate) fn new(columns: Vec<Vec<i128>>) -> Self {
        ExactAggregates { columns }
    }

    /// The exact integers, for the tests of the engine and of sensitivity: `columns[measure][cell]`.
    #[cfg(test)]
    pub(crate) fn into_columns(self) -> Vec<Vec<i128>> {
        self.columns
    }
}

/// Noisy integers, public: `columns[measure][cell]`, in lattice steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    pub columns: Vec<Vec<i128>>,
}

/// Adds noise, one independent draw per cell, and consumes the proof of payment. `noise` has one entry per
/// measure. Fails only if the operating system gives no randomness, before anything is drawn.
pub fn release(exact: ExactAggregates, noise: &[Noise], token: Token) -> Result<Released, rand::rngs::SysError> {
    let Token { .. } = token;
    let mut rng = StdRng::try_from_rng(&mut SysRng)?;
    let columns = exact
        .columns
        .into_iter()
        .zip(noise)
        .map(|(cells, noise)| cells.into_iter().map(|cell| cell.saturating_add(noise.draw(&mut rng))).collect())
        .collect();
    Ok(Released { columns })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounting::Reservation;

    #[test]
    fn every_cell_gets_its_own_noise() {
        let exact = ExactAggregates::new(vec![vec![1000; 200], vec![-5; 200]]);
        let noise =
            [Noise::laplace(10, "1".parse().unwrap()).unwrap(), Noise::laplace(1, "1000".parse().unwrap()).unwrap()];
        let token = Reservation::mint(1).split().remove(0);
        let released = release(exact, &noise, token).unwrap();
        let distinct: std::collections::BTreeSet<_> = released.columns[0].iter().collect();
        assert!(distinct.len() > 20);
        assert_eq!(released.columns[1], vec![-5; 200]);
    }
}
