//! The one place where exact aggregates become public.

use super::coins::Coins;
use super::selection::is_kept;
use super::tree::{Counts, Reading};
use super::{Calibrated, MAX_KEYS, Noise, Selection};
use crate::accounting::Token;
use crate::algebra::Fraction;
use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::error::ArrowError;
use arrow::row::{Row, RowConverter, SortField};
use rand::{SeedableRng, rngs::StdRng, rngs::SysRng};
use std::collections::{BTreeMap, HashMap};

/// What one measure is of in each cell, in lattice steps.
pub enum Exact {
    Sums(Vec<i128>),
    /// The bounded values among which a quantile is chosen, in any order.
    Values(Vec<Vec<i64>>),
}

impl Exact {
    fn cells(&self) -> usize {
        match self {
            Exact::Sums(cells) => cells.len(),
            Exact::Values(cells) => cells.len(),
        }
    }

    /// Those at these places; where there is none, nothing.
    fn at(mut self, places: &[Option<usize>]) -> Exact {
        match &mut self {
            Exact::Sums(cells) => Exact::Sums(places.iter().map(|at| at.map_or(0, |at| cells[at])).collect()),
            Exact::Values(cells) => {
                Exact::Values(places.iter().map(|at| at.map_or(vec![], |at| std::mem::take(&mut cells[at]))).collect())
            }
        }
    }

    /// Those of these cells, in their order.
    fn of_cells(self, kept: &[u32]) -> Exact {
        match self {
            Exact::Sums(cells) => Exact::Sums(kept.iter().map(|cell| cells[*cell as usize]).collect()),
            Exact::Values(mut cells) => {
                Exact::Values(kept.iter().map(|cell| std::mem::take(&mut cells[*cell as usize])).collect())
            }
        }
    }
}

/// Bounded, exact aggregates of one release, by measure. Holds private values, so it cannot be printed or compared, and [`release`] is the
/// only way out.
pub struct ExactAggregates {
    /// Where keys are private: one array per key, with one value per cell.
    keys: Vec<ArrayRef>,
    columns: Vec<Exact>,
}

impl ExactAggregates {
    /// Shape: one column per measure, each of one value per cell, for all combinations of public keys.
    pub(crate) fn new(columns: Vec<Exact>) -> Self {
        ExactAggregates { keys: vec![], columns }
    }

    /// The same for the private keys that units have, in an order that follows from the keys alone.
    pub(crate) fn with_keys(keys: Vec<ArrayRef>, columns: Vec<Exact>) -> Self {
        ExactAggregates { keys, columns }
    }

    /// Private keys and exact integers, for the tests of the engine and of sensitivity: `columns[measure][cell]`.
    #[cfg(test)]
    pub(crate) fn into_parts(self) -> (Vec<ArrayRef>, Vec<Exact>) {
        (self.keys, self.columns)
    }
}

/// Noisy integers, public: `columns[measure][cell]`, in lattice steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Released {
    /// Where keys were private: those that are shown.
    pub keys: Vec<ArrayRef>,
    pub columns: Vec<Vec<i128>>,
    /// What measures have beside their integers.
    pub details: Vec<Detail>,
    /// Number of groups that are shown.
    pub cells: usize,
}

/// What a measure has in each group beside one integer.
#[derive(Clone, Debug, PartialEq)]
pub enum Detail {
    Nothing,
    /// The quantiles that are read from ranks, with intervals for each of the probabilities that were asked for.
    Quantiles(Vec<BTreeMap<Fraction, Reading>>),
    /// The noisy counts of a histogram.
    Counts(Vec<Vec<i128>>),
}

/// Most draws for groups of private keys, of which nobody knows beforehand how many there are.
const MAX_DRAWS: u64 = 10_000_000;

/// How many intervals a value has.
pub const LEVELS: usize = 3;

/// Why nothing was released.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    #[error("the operating system gives no randomness")]
    Randomness(#[from] rand::rngs::SysError),
    #[error("private keys without a number of units")]
    NoUnits,
    #[error("keys cannot be taken out")]
    Keys(#[from] ArrowError),
}

/// Adds noise, one independent draw per measure and cell, picks the private keys that may be shown, and consumes the proof of
/// payment. Without randomness it fails before anything is drawn. `alphas` are the probabilities that intervals may miss, by the number of
/// groups.
pub fn release(
    exact: ExactAggregates,
    made: &Calibrated,
    token: Token,
    alphas: impl Fn(usize) -> [f64; LEVELS],
) -> Result<Released, ReleaseError> {
    let Token { .. } = token;
    let mut rng = StdRng::try_from_rng(&mut SysRng)?;
    let ExactAggregates { keys, columns } = exact;
    if let Selection::KeysOnly { keep } = &made.selection {
        let units = columns.into_iter().flat_map(|exact| if let Exact::Sums(units) = exact { units } else { vec![] });
        let kept = (0u32..).zip(units).filter(|(_, n)| is_kept(keep, *n, &mut rng)).map(|(cell, _)| cell);
        let kept: Vec<u32> = kept.take(MAX_KEYS).collect();
        return Ok(Released { keys: taken(&keys, &kept)?, columns: vec![], details: vec![], cells: kept.len() });
    }
    let (keys, columns) = match &made.selection {
        Selection::Shown { keys: shown } => (shown.clone(), of_keys(&keys, shown, columns)?),
        _ => (keys, columns),
    };
    let cells = columns.first().map_or(0, Exact::cells);
    // Which private keys are shown is drawn first: nothing else of those that are not is ever looked at.
    let selected = match made.selection {
        Selection::Threshold { measure, threshold } => Some((measure, threshold)),
        Selection::Weighted { threshold } => Some((0, threshold)),
        Selection::Public | Selection::Shown { .. } | Selection::KeysOnly { .. } => None,
    };
    let shown = match selected {
        None => None,
        Some((measure, threshold)) => {
            let Some(Exact::Sums(exact)) = columns.get(measure) else { return Err(ReleaseError::NoUnits) };
            let noisy = added(exact, &made.noise[measure], &mut rng);
            let kept = kept_cells(&noisy, threshold, made.draws_per_group());
            let units: Vec<i128> = kept.iter().map(|cell| noisy[*cell as usize]).collect();
            Some((measure, kept, units))
        }
    };
    let (keys, cells, columns) = match &shown {
        None => (keys, cells, columns),
        Some((_, kept, _)) => {
            let columns = columns.into_iter().map(|exact| exact.of_cells(kept)).collect();
            (taken(&keys, kept)?, kept.len(), columns)
        }
    };
    let drawn = columns.into_iter().enumerate().map(|(at, exact)| match &shown {
        Some((measure, _, units)) if *measure == at => (units.clone(), Detail::Nothing),
        _ => drawn(exact, at, made, &alphas, &mut rng),
    });
    let (columns, details) = drawn.unzip();
    Ok(Released { keys, columns, details, cells })
}

/// The cells whose noisy number of units reaches the threshold; the largest ones, where there are more than can be shown.
fn kept_cells(units: &[i128], threshold: i128, draws_per_group: u64) -> Vec<u32> {
    let mut kept: Vec<u32> = (0u32..).zip(units).filter(|(_, n)| **n >= threshold).map(|(cell, _)| cell).collect();
    let most = MAX_KEYS.min((MAX_DRAWS / draws_per_group.max(1)).max(1) as usize);
    if kept.len() > most {
        kept.sort_by_key(|cell| std::cmp::Reverse(units[*cell as usize]));
        kept.truncate(most);
        kept.sort_unstable();
    }
    kept
}

fn added(exact: &[i128], noise: &Noise, rng: &mut StdRng) -> Vec<i128> {
    let (sampler, mut coins) = (noise.sampler(), Coins::new(rng));
    exact.iter().map(|cell| cell.saturating_add(sampler.draw(&mut coins))).collect()
}

/// One measure in all cells.
fn drawn(
    exact: Exact,
    measure: usize,
    made: &Calibrated,
    alphas: impl Fn(usize) -> [f64; LEVELS],
    rng: &mut StdRng,
) -> (Vec<i128>, Detail) {
    match (exact, &made.noise[measure]) {
        (Exact::Sums(cells), noise) => (added(&cells, noise, rng), Detail::Nothing),
        (Exact::Values(cells), Noise::Exponential(choice)) => {
            let draw = |mut values: Vec<i64>| i128::from(choice.draw(&mut values, rng));
            (cells.into_iter().map(draw).collect(), Detail::Nothing)
        }
        (Exact::Values(cells), Noise::Tree(tree)) => {
            let count = cells.len();
            let widths = alphas(count).map(|alpha| tree.half_width(alpha));
            let (fractions, mut coins) = (made.fractions(measure), Coins::new(rng));
            let read = |values| {
                let mut counts = Counts::new(tree, values);
                fractions.iter().map(|q| (*q, tree.read(*q, &mut counts, widths, &mut coins))).collect()
            };
            (vec![0; count], Detail::Quantiles(cells.into_iter().map(read).collect()))
        }
        (Exact::Values(cells), Noise::Histogram { values: count, counted }) => {
            let (sampler, mut coins) = (counted.noise().sampler(), Coins::new(rng));
            let mut noisy = |values: &Vec<i64>| {
                let mut counts = vec![0i128; *count as usize];
                for value in values {
                    if let Some(count) = usize::try_from(*value).ok().and_then(|at| counts.get_mut(at)) {
                        *count += 1;
                    }
                }
                counts.into_iter().map(|exact| exact.saturating_add(sampler.draw(&mut coins))).collect()
            };
            (vec![0; cells.len()], Detail::Counts(cells.iter().map(&mut noisy).collect()))
        }
        // Values without a choice say nothing.
        (Exact::Values(cells), _) => (vec![0; cells.len()], Detail::Nothing),
    }
}

/// The numbers of these keys: of those that no unit has, nothing.
fn of_keys(keys: &[ArrayRef], shown: &[ArrayRef], columns: Vec<Exact>) -> Result<Vec<Exact>, ArrowError> {
    let types = shown.iter().map(|key| SortField::new(key.data_type().clone())).collect();
    let converter = RowConverter::new(types)?;
    // There may be many more keys than are shown.
    let shown = converter.convert_columns(shown)?;
    let wanted: HashMap<Row, usize> = shown.iter().zip(0..).collect();
    let mut places = vec![None; wanted.len()];
    for (at, row) in converter.convert_columns(keys)?.iter().enumerate() {
        if let Some(place) = wanted.get(&row) {
            places[*place] = Some(at);
        }
    }
    Ok(columns.into_iter().map(|exact| exact.at(&places)).collect())
}

fn taken(keys: &[ArrayRef], cells: &[u32]) -> Result<Vec<ArrayRef>, ArrowError> {
    let cells = UInt32Array::from_iter_values(cells.iter().copied());
    keys.iter().map(|key| take(key, &cells, None)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounting::Reservation;
    use crate::algebra::{Contribution, Family, Key, Output, Quantity, Relation, Release, Terms, Type};
    use crate::mechanism::{Price, Tail, calibrate};
    use crate::num::Amount;
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use std::sync::Arc;

    fn token() -> Token {
        Reservation::mint(1).split().remove(0)
    }

    fn made(private: bool, outputs: Vec<Output>, groups: u64) -> Calibrated {
        let expr = crate::algebra::Expr::Column(1);
        let keys = if private { vec![Key { expr, ty: Type::Int, domain: None }] } else { vec![] };
        let release = Release {
            input: Relation::Protected { table: 0, columns: vec![0] },
            keys,
            measures: vec![Quantity::Units.into()],
            outputs,
            contribution: Contribution { groups, rows: 1, total: None },
            terms: Terms::default(),
        };
        let price = Price::pure("1".parse().unwrap(), "1e-3".parse().unwrap());
        calibrate(release, price, Family::Laplace).unwrap()
    }

    #[test]
    fn every_cell_gets_its_own_noise() {
        let exact = ExactAggregates::new(vec![Exact::Sums(vec![1000; 200])]);
        let released = release(exact, &made(false, vec![Output::Count(0)], 1), token(), |_| [0.05; LEVELS]).unwrap();
        let distinct: std::collections::BTreeSet<_> = released.columns[0].iter().collect();
        assert!(distinct.len() > 5 && released.cells == 200);
    }

    #[test]
    fn a_further_draw_is_for_the_keys_that_were_shown() {
        let first = made(true, vec![Output::Count(0)], 1);
        // Without the keys, it is for none.
        let again =
            calibrate(first.again(), Price::pure("1e9".parse().unwrap(), Amount::ZERO), Family::Laplace).unwrap();
        assert_eq!((again.charge.delta, again.charge.epsilon), (Amount::ZERO, "1e9".parse().ok()));
        let numbers = |made: &Calibrated, keys: [i64; 3]| {
            let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(keys));
            let exact = ExactAggregates::with_keys(vec![keys], vec![Exact::Sums(vec![10, 20, 30])]);
            let released = release(exact, made, token(), |_| [0.05; LEVELS]).unwrap();
            (
                released.keys[0].as_primitive::<Int64Type>().values().to_vec(),
                released.columns[0].clone(),
                released.cells,
            )
        };
        let shown: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), None, Some(2)]));
        let none = again.clone().at_keys(vec![shown.slice(0, 0)]);
        assert_eq!(numbers(&none, [1, 2, 5]), (vec![], vec![], 0));
        // No other key has a number, and one that no unit has any more has 0.
        let at = again.at_keys(vec![shown]);
        assert_eq!(numbers(&at, [1, 2, 5]).1, [30, 0, 20]);
        assert_eq!(numbers(&at, [7, 8, 9]).1, [0, 0, 0]);
    }

    /// 100,000 keys of `units` units each: the share of them that a release shows.
    fn shown(made: &Calibrated, units: i128) -> f64 {
        const KEYS: usize = 100_000;
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(0..KEYS as i64));
        let released = release(
            ExactAggregates::with_keys(vec![keys], vec![Exact::Sums(vec![units; KEYS])]),
            made,
            token(),
            |_| [0.05; LEVELS],
        )
        .unwrap();
        let keys = released.keys[0].as_primitive::<Int64Type>().values();
        assert!(keys.len() == released.cells && keys.is_sorted());
        released.cells as f64 / KEYS as f64
    }

    /// Within six standard deviations of a share of 100,000.
    fn close(got: f64, wanted: f64) -> bool {
        (got - wanted).abs() <= 6.0 * (wanted * (1.0 - wanted) / 1e5).sqrt() + 1e-5
    }

    #[test]
    fn keys_are_shown_as_often_as_the_rules_say() {
        for groups in [1, 4] {
            let made = made(true, vec![Output::Count(0)], groups);
            let Selection::Threshold { threshold, .. } = made.selection else { panic!("{:?}", made.selection) };
            let tail = Tail::of(&made.noise[0]);
            for units in [1, threshold / 2, threshold - 2, threshold, threshold + 5] {
                let (got, wanted) = (shown(&made, units), tail.at_least((threshold - units) as f64));
                assert!(close(got, wanted), "{groups} groups, {units} units: {got} {wanted}");
            }
        }
        // With many keys per unit, weights: a key of n units that have 100 keys each.
        let weighted = made(true, vec![], 100);
        let Selection::Weighted { threshold } = weighted.selection else { panic!("{:?}", weighted.selection) };
        let tail = Tail::of(&weighted.noise[0]);
        for units in [1, 20, 40, 60] {
            let total = units * i128::from(crate::mechanism::weight(100));
            let (got, wanted) = (shown(&weighted, total), tail.at_least((threshold - total) as f64));
            assert!(close(got, wanted), "{units} units: {got} {wanted}");
        }
        // pi(n) of the optimal rule, computed to 50 digits elsewhere for epsilon 1, delta 1e-3 and one group.
        let keep = super::super::selection::keys_only("1".parse().unwrap(), "1e-3".parse().unwrap(), 1).unwrap();
        let made = Calibrated { selection: Selection::KeysOnly { keep }, noise: vec![], ..made(true, vec![], 1) };
        let (mut p, e, d) = (0.0f64, std::f64::consts::E, 1e-3);
        for n in 1..=16 {
            p = (e * p + d).min(1.0 - (1.0 - p - d) / e).min(1.0);
            let got = shown(&made, n);
            assert!(close(got, p), "{n} units: {got} {p}");
        }
        assert_eq!((shown(&made, 0), shown(&made, 1000)), (0.0, 1.0));
    }
}
