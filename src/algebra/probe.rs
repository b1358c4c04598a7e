//! Releases that ask how much units contribute, so that bounds can be chosen by the answer and not guessed.
//!
//! *Groups of a unit*: each unit once, in the bucket of its number of groups. *Rows of a unit in a group*: of each unit one of its groups, a
//! random one, in the bucket of its number of rows there. *Totals of a unit in a group*: the same with its sum there, or its mean. Either way a unit moves one number by one: the least sensitivity that there
//! is, whatever number of groups units turn out to have.
//!
//! Both are ordinary releases with public keys, over features of one unit's rows: nothing that an analyst could not ask in SQL.

use super::{
    Arithmetic, Comparison, Contribution, Domain, Expr, Fold, FoldKind, Key, Literal, Measure, Output, Quantity,
    Relation, Release, Terms, Type,
};
use crate::num::Lattice;
use std::collections::BTreeSet;

/// What a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// How many groups units have.
    Groups,
    /// How many rows a unit has in a group.
    Rows,
    /// How large a unit's sum or mean, behind this measure, is in a group.
    Totals(usize),
}

/// The most groups of a unit, or rows of one in a group, that a bucket ends at: where nobody declares a limit, none is above it.
pub const MOST_GROUPS: i64 = 1 << 20;
/// Powers of two at which the buckets of totals end, of either sign.
const LEAST_POWER: i32 = -10;
const MOST_POWER: i32 = 40;

/// The numbers of groups, and of rows, at which buckets end: two to each power of two.
pub fn group_edges() -> Vec<i64> {
    let doubled =
        |first: i64| std::iter::successors(Some(first), |edge| Some(edge * 2)).take_while(|edge| *edge <= MOST_GROUPS);
    let mut edges: Vec<i64> = doubled(1).chain(doubled(3)).collect();
    edges.sort_unstable();
    edges
}

/// The ends of the buckets of totals that are furthest from zero: first that of the smallest ones, then upwards, then downwards.
pub fn total_edges() -> Vec<f64> {
    let powers = || (LEAST_POWER..=MOST_POWER).map(|power| 2f64.powi(power));
    powers().chain(powers().skip(1).map(|edge| -edge)).collect()
}

/// The limits of a sum without declared bounds that is neither given any.
pub fn is_open(measure: &Measure) -> bool {
    matches!(measure.of, Quantity::Sum { bounds: None, .. }) && measure.per_group.is_none()
}

impl Probe {
    /// The probe's release for a release without these bounds; its one measure counts units, one cell for each bucket.
    pub fn release(self, of: &Release) -> Release {
        let of = &without_others(of, self);
        let keys =
            || std::iter::once(Expr::Column(0)).chain(of.keys.iter().map(|key| key.expr.clone())).collect::<Vec<_>>();
        let (input, bucket, buckets) = match self {
            Probe::Groups => {
                let groups = aggregate(of.input.clone(), keys(), vec![]);
                let edges = group_edges();
                (aggregate(groups, vec![Expr::Column(0)], vec![rows()]), count_bucket(&edges), edges.len())
            }
            Probe::Rows => {
                let edges = group_edges();
                let counted = one_group(of, aggregate(of.input.clone(), keys(), vec![rows()]));
                (counted, count_bucket(&edges), edges.len())
            }
            Probe::Totals(measure) => {
                let (at, input) = (of.keys.len() + 1, of.input.clone());
                let totals = match &of.measures[measure].of {
                    Quantity::Sum { of: value, whole, centred, .. } => {
                        let sum = sum(value.clone(), *whole);
                        let count = Fold { kind: FoldKind::NonNull, of: value.clone(), on: None, ty: Type::Int };
                        let float = |at| Expr::Column(at).cast(Type::Float);
                        match centred {
                            false => aggregate(input, keys(), vec![sum]).project(all(at).chain([float(at)]).collect()),
                            true => {
                                let mean = Expr::arithmetic(Arithmetic::Divide, float(at), float(at + 1));
                                aggregate(input, keys(), vec![sum, count]).project(all(at).chain([mean]).collect())
                            }
                        }
                    }
                    _ => input,
                };
                let edges = total_edges();
                (one_group(of, totals), total_bucket(&edges), edges.len())
            }
        };
        let domain: Domain = (0..buckets as i64).map(Literal::Int).collect();
        Release {
            input,
            keys: vec![Key { expr: bucket, ty: Type::Int, domain: Some(domain) }],
            measures: vec![Quantity::Units.into()],
            outputs: vec![Output::Count(0)],
            contribution: Contribution { groups: 1, rows: 1, total: None },
            terms: Terms::default(),
        }
    }
}

/// Of each unit one of its groups, a random one: the unit, and the number behind the keys.
fn one_group(of: &Release, groups: Relation) -> Relation {
    let one = match of.keys.is_empty() {
        true => groups,
        false => Relation::Cap { input: Box::new(groups), rows: 1 },
    };
    one.project(vec![Expr::Column(0), Expr::Column(of.keys.len() + 1)])
}

fn rows() -> Fold {
    Fold { kind: FoldKind::Rows, of: Expr::Literal(Literal::Int(1)), on: None, ty: Type::Int }
}

/// The same over the columns that this probe reads alone, so that all questions over the same groups of the same rows ask for the same.
fn without_others(of: &Release, probe: Probe) -> Release {
    let value = match probe {
        Probe::Groups | Probe::Rows => None,
        Probe::Totals(measure) => match &of.measures[measure].of {
            Quantity::Sum { of, .. } => Some(of),
            _ => None,
        },
    };
    let wanted = of.keys.iter().map(|key| &key.expr).chain(value).flat_map(Expr::columns).collect();
    let Some((input, kept)) = narrowed(&of.input, &wanted) else { return of.clone() };
    let mut narrow = Release { input, ..of.clone() };
    let to = |at: usize| place(&kept, at);
    for key in &mut narrow.keys {
        key.expr = key.expr.moved(&to);
    }
    for measure in &mut narrow.measures {
        if let Quantity::Sum { of, .. } = &mut measure.of
            && of.columns().iter().all(|at| kept.contains(at))
        {
            *of = of.moved(&to);
        }
    }
    narrow
}

fn place(kept: &[usize], at: usize) -> usize {
    kept.iter().position(|kept| *kept == at).unwrap_or(0)
}

/// A private relation with its unit and, of its other columns, no more than these and what it is filtered by: positions of those that are kept,
/// in their new order. None where it has all it had.
fn narrowed(relation: &Relation, wanted: &BTreeSet<usize>) -> Option<(Relation, Vec<usize>)> {
    match relation {
        Relation::Protected { table, columns } => {
            let mut kept: Vec<usize> = wanted.iter().copied().filter(|at| *at > 0).collect();
            kept.sort_by_key(|at| columns[*at - 1]);
            let columns = kept.iter().map(|at| columns[*at - 1]).collect();
            kept.insert(0, 0);
            Some((Relation::Protected { table: *table, columns }, kept))
        }
        Relation::Filter { input, predicate } => {
            let all = wanted.iter().copied().chain(predicate.columns()).collect();
            let (input, kept) = narrowed(input, &all)?;
            let predicate = predicate.moved(&|at| place(&kept, at));
            Some((input.filter(predicate), kept))
        }
        Relation::Project { input, exprs } => {
            let kept: Vec<usize> = std::iter::once(0).chain(wanted.iter().copied().filter(|at| *at > 0)).collect();
            let below = kept.iter().flat_map(|at| exprs[*at].columns()).collect();
            let (input, inner) = narrowed(input, &below)?;
            let exprs = kept.iter().map(|at| exprs[*at].moved(&|at| place(&inner, at))).collect();
            Some((input.project(exprs), kept))
        }
        _ => None,
    }
}

fn aggregate(input: Relation, keys: Vec<Expr>, folds: Vec<Fold>) -> Relation {
    Relation::Aggregate { input: Box::new(input), keys, folds }
}

/// The first so many columns.
fn all(count: usize) -> impl Iterator<Item = Expr> {
    (0..count).map(Expr::Column)
}

/// Fractions on a fixed lattice, so that the sum is the same in every order of rows: steps of a millionth, up to 4e12.
fn sum(of: Expr, whole: bool) -> Fold {
    match whole {
        true => Fold { kind: FoldKind::Sum, of, on: None, ty: Type::Int },
        false => Fold { kind: FoldKind::FixedSum(Lattice::for_values(2f64.powi(32))), of, on: None, ty: Type::Float },
    }
}

fn numbered(branches: impl Iterator<Item = (Expr, usize)>, otherwise: usize) -> Expr {
    let number = |at: usize| Expr::Literal(Literal::Int(at as i64));
    let branches = branches.map(|(condition, at)| (condition, number(at))).collect();
    Expr::Case { branches, otherwise: Some(Box::new(number(otherwise))) }
}

/// The bucket of a number in column 1.
fn count_bucket(edges: &[i64]) -> Expr {
    let within = |edge: &i64| Expr::compare(Comparison::LessEq, Expr::Column(1), Expr::Literal(Literal::Int(*edge)));
    numbered(edges.iter().map(within).zip(0..), edges.len() - 1)
}

/// The bucket of a float in column 1. NULL is in none.
fn total_bucket(edges: &[f64]) -> Expr {
    let is = |op, edge: f64| Expr::compare(op, Expr::Column(1), Expr::Literal(Literal::float(edge)));
    let up = edges.iter().take_while(|edge| **edge > 0.0).count();
    let least = edges[0];
    let (smallest, none) = (
        vec![is(Comparison::GreaterEq, -least), is(Comparison::LessEq, least)],
        Expr::IsNull(Box::new(Expr::Column(1))),
    );
    let nowhere = Expr::Literal(Literal::Null(Type::Int));
    let upwards =
        (1..up).map(|at| (Expr::and(vec![is(Comparison::Greater, 0.0), is(Comparison::LessEq, edges[at])]), at));
    let downwards = (up..edges.len())
        .map(|at| (Expr::and(vec![is(Comparison::Less, 0.0), is(Comparison::GreaterEq, edges[at])]), at));
    // Beyond the last edges.
    let beyond = [(is(Comparison::Less, 0.0), edges.len() - 1)];
    let all = std::iter::once((Expr::and(smallest), 0)).chain(upwards).chain(downwards).chain(beyond);
    let Expr::Case { mut branches, otherwise } = numbered(all, up - 1) else { return nowhere };
    branches.insert(0, (none, nowhere));
    Expr::Case { branches, otherwise }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_two_to_each_power() {
        let edges = group_edges();
        assert_eq!(edges[..9], [1, 2, 3, 4, 6, 8, 12, 16, 24]);
        assert_eq!(edges.last(), Some(&MOST_GROUPS));
        let edges = total_edges();
        assert_eq!(
            (edges.len(), edges[0], edges[50], edges[51]),
            (101, 2f64.powi(-10), 2f64.powi(40), -(2f64.powi(-9)))
        );
    }
}
