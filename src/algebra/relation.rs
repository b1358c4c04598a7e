//! Relations, releases and whole questions.

use super::{Bounds, Contribution, Domain, Expr, Fraction, Literal, Statistic, Type};
use crate::num::{Amount, Lattice};
use std::collections::BTreeSet;

/// Position of a table in the dataset's catalog.
pub type TableId = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    Inner,
    /// Unmatched rows of the left side survive, with NULLs.
    Left,
    /// Unmatched rows of both sides survive, with NULLs.
    Full,
    /// The left side's rows that have a match, each once. The output has the left side's columns alone.
    Semi,
    /// The left side's rows that have none.
    Anti,
}

impl JoinKind {
    /// Whether the output has the left side's columns alone.
    pub fn keeps_left_alone(self) -> bool {
        matches!(self, JoinKind::Semi | JoinKind::Anti)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Ascending,
    Descending,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SortKey {
    pub expr: Expr,
    pub direction: Direction,
    pub nulls_first: bool,
}

/// An ordinary aggregate, over released rows or per unit. All are independent of row order below a release:
/// integers are summed in 128 bits; floats are summed as they are over public rows only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoldKind {
    Rows,
    NonNull,
    Distinct,
    Sum,
    /// Of floats, each rounded to this lattice first and saturating at 2^62 steps: the same in every order.
    FixedSum(Lattice),
    Mean,
    Min,
    Max,
    /// Whether a condition is true in all rows in which it is not NULL.
    All,
    /// Whether it is in any.
    Any,
    /// Over public rows only.
    Statistic(Statistic),
    /// Across units only.
    Mode,
    /// Across units only: how often each of public values is there; where there is a number, of so many of the most frequent ones.
    Histogram(Option<u64>),
    /// Over public rows only: between the two nearest values.
    Quantile(Fraction),
}

impl FoldKind {
    /// The function's name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            FoldKind::Rows | FoldKind::NonNull | FoldKind::Distinct => "count",
            FoldKind::Sum | FoldKind::FixedSum(_) => "sum",
            FoldKind::Mean => "avg",
            FoldKind::Min => "min",
            FoldKind::Max => "max",
            FoldKind::Mode => "mode",
            FoldKind::Histogram(None) => "histogram",
            FoldKind::Histogram(Some(_)) => "approx_top_k",
            FoldKind::All => "bool_and",
            FoldKind::Any => "bool_or",
            FoldKind::Statistic(statistic) => statistic.name(),
            FoldKind::Quantile(_) => "percentile_cont",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Fold {
    pub kind: FoldKind,
    /// The argument; a literal for `Rows`.
    pub of: Expr,
    /// The independent variable of a statistic of two.
    pub on: Option<Expr>,
    /// Type of the result.
    pub ty: Type,
}

/// A value for each row from the rows of its partition.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowCall {
    pub function: WindowFunction,
    /// The argument of a function that has one.
    pub of: Option<Expr>,
    pub partition: Vec<Expr>,
    pub order: Vec<SortKey>,
    pub frame: Frame,
    /// Type of the result.
    pub ty: Type,
}

impl WindowCall {
    /// The expressions in it.
    pub fn parts(&self) -> impl Iterator<Item = &Expr> {
        self.of.iter().chain(&self.partition).chain(self.order.iter().map(|key| &key.expr))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowFunction {
    RowNumber,
    Rank,
    DenseRank,
    PercentRank,
    CumeDist,
    /// Numbers of so many parts of the partition.
    Ntile(u64),
    /// The value so many rows before; NULL where there are none.
    Lag(u64),
    Lead(u64),
    First,
    Last,
    /// Of the frame's rows.
    Fold(FoldKind),
}

impl WindowFunction {
    /// Whether it tells rows apart that the order takes for equal, whatever the frame.
    pub fn sees_order_of_equals(self) -> bool {
        match self {
            WindowFunction::RowNumber
            | WindowFunction::Ntile(_)
            | WindowFunction::Lag(_)
            | WindowFunction::Lead(_)
            | WindowFunction::First
            | WindowFunction::Last => true,
            WindowFunction::Rank
            | WindowFunction::DenseRank
            | WindowFunction::PercentRank
            | WindowFunction::CumeDist
            | WindowFunction::Fold(_) => false,
        }
    }
}

/// The rows of the partition that a fold, `First` or `Last` looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    pub units: FrameUnits,
    pub start: FrameEnd,
    pub end: FrameEnd,
}

/// What a frame counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameUnits {
    Rows,
    /// Nothing: its ends hold all rows that are equal in the order.
    Range,
    /// Rows that are equal in the order count as one.
    Groups,
}

/// One end of a frame; None is as far as the partition goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameEnd {
    Before(Option<u64>),
    Current,
    After(Option<u64>),
}

impl FrameEnd {
    pub fn is_counted(&self) -> bool {
        matches!(self, FrameEnd::Before(Some(_)) | FrameEnd::After(Some(_)))
    }
}

/// Relational operators; positions of a join's output are the left side's, then (but for `Semi` and `Anti`) the right side's.
#[derive(Clone, Debug, PartialEq)]
pub enum Relation {
    /// A public table's columns.
    Public {
        table: TableId,
        columns: Vec<usize>,
    },
    /// A protected table: its unit in column 0, then `columns`. Rows whose unit is NULL are dropped.
    Protected {
        table: TableId,
        columns: Vec<usize>,
    },
    /// The table that an earlier release of the same question made: its keys, then its outputs, then for each
    /// output the ends of its intervals: lower and upper for itself, for its row and for all.
    Released(usize),
    /// The rows of `Query::fixed` at this position.
    Fixed(usize),
    /// Constant rows.
    Rows {
        types: Vec<Type>,
        rows: Vec<Vec<Expr>>,
    },
    Filter {
        input: Box<Relation>,
        predicate: Expr,
    },
    Project {
        input: Box<Relation>,
        exprs: Vec<Expr>,
    },
    /// `on` pairs expressions over the left with expressions over the right; NULL matches nothing. `filter` is
    /// over the positions of both sides, the left side's first.
    Join {
        left: Box<Relation>,
        right: Box<Relation>,
        kind: JoinKind,
        on: Vec<(Expr, Expr)>,
        filter: Option<Expr>,
    },
    /// Keys, then folds. No keys: one row.
    Aggregate {
        input: Box<Relation>,
        keys: Vec<Expr>,
        folds: Vec<Fold>,
    },
    /// The input's columns, then the call's value for each row.
    Window {
        input: Box<Relation>,
        call: WindowCall,
    },
    /// At most `rows` rows of each unit (column 0), a sample by a keyed hash of the whole row.
    Cap {
        input: Box<Relation>,
        rows: u64,
    },
    Sort {
        input: Box<Relation>,
        keys: Vec<SortKey>,
    },
    Limit {
        input: Box<Relation>,
        skip: usize,
        fetch: Option<usize>,
    },
    /// All rows of all inputs, which have the same types.
    Union(Vec<Relation>),
}

impl Relation {
    /// The relations that this one is made of.
    pub fn inputs(&self) -> Vec<&Relation> {
        match self {
            Relation::Public { .. }
            | Relation::Protected { .. }
            | Relation::Released(_)
            | Relation::Fixed(_)
            | Relation::Rows { .. } => vec![],
            Relation::Filter { input, .. }
            | Relation::Project { input, .. }
            | Relation::Aggregate { input, .. }
            | Relation::Window { input, .. }
            | Relation::Cap { input, .. }
            | Relation::Sort { input, .. }
            | Relation::Limit { input, .. } => vec![input],
            Relation::Join { left, right, .. } => vec![left, right],
            Relation::Union(inputs) => inputs.iter().collect(),
        }
    }

    /// The positions in `Query::fixed` that this relation reads, each once.
    pub fn fixed(&self) -> BTreeSet<usize> {
        match self {
            Relation::Fixed(id) => BTreeSet::from([*id]),
            other => other.inputs().into_iter().flat_map(Relation::fixed).collect(),
        }
    }

    /// Whether each row is made of one row of one table, so that no order of rows matters.
    pub fn is_row_wise(&self) -> bool {
        match self {
            Relation::Filter { input, .. } | Relation::Project { input, .. } => input.is_row_wise(),
            other => other.inputs().is_empty(),
        }
    }

    pub fn filter(self, predicate: Expr) -> Relation {
        Relation::Filter { input: Box::new(self), predicate }
    }

    pub fn project(self, exprs: Vec<Expr>) -> Relation {
        Relation::Project { input: Box::new(self), exprs }
    }

    /// The rows from `skip` on, at most `fetch`. Goes below projections, so that it stands on the sort that gives it a meaning.
    pub fn limit(self, skip: usize, fetch: Option<usize>) -> Relation {
        match self {
            Relation::Project { input, exprs } => input.limit(skip, fetch).project(exprs),
            other => Relation::Limit { input: Box::new(other), skip, fetch },
        }
    }
}

/// A key of a release with its public values; without them it is private. Rows whose key is outside its values are dropped.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub expr: Expr,
    pub ty: Type,
    pub domain: Option<Domain>,
}

/// One integer per group to which noise is added.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    pub of: Quantity,
    /// Limits on what one unit that is in a group adds to it, where the text gives them, in the quantity's unit: of its count or sum, or
    /// of its own mean where the quantity is centred.
    pub per_group: Option<Bounds>,
    /// Its own part of epsilon, where the text gives one.
    pub epsilon: Option<Amount>,
    /// Where it was drawn before: what its sum is counted in. Else that follows from its noise.
    pub lattice: Option<Lattice>,
}

/// What a measure adds up.
#[derive(Clone, Debug, PartialEq)]
pub enum Quantity {
    /// Rows.
    Rows,
    /// Rows in which the expression is not NULL.
    NonNull(Expr),
    /// Distinct privacy units.
    Units,
    /// Distinct values that are not NULL, of which one unit has at most as many in a group as it may have rows.
    Distinct(Expr),
    /// Sum of a numeric expression, clamped row by row to `bounds`; where there are none, the measure has `per_group`. `whole`: the
    /// expression is an integer. `centred`: the middle of the bounds is subtracted from each row that is not NULL.
    Sum { of: Expr, bounds: Option<Bounds>, whole: bool, centred: bool },
    /// Not a sum but a choice: a quantile of a numeric expression within `bounds`, of values that are not NULL, of which one unit has at
    /// most as many in a group as it may have rows. `whole`: the expression is an integer.
    Quantile { of: Expr, bounds: Bounds, whole: bool, at: Fraction },
    /// The ranks of the same values: all quantiles and their intervals can be read from it.
    Ranks { of: Expr, bounds: Bounds, whole: bool },
    /// A choice too: the most frequent of public values. Bounded like a quantile's.
    Mode { of: Expr, values: Domain },
    /// How often each of public values is there. Bounded like a quantile's.
    Histogram { of: Expr, values: Domain },
}

impl Quantity {
    /// Whether it is not one sum, but a list of values: to choose among, or to count them.
    pub fn is_list(&self) -> bool {
        self.listed().is_some_and(|listed| listed.take != Take::Distinct)
    }

    /// The values that are listed, where it is no sum over units.
    pub fn listed(&self) -> Option<Listed<'_>> {
        let (of, bounds, take) = match self {
            Quantity::Distinct(of) => (of, None, Take::Distinct),
            Quantity::Quantile { of, bounds, at, .. } => match *at {
                Fraction::LEAST => (of, Some(*bounds), Take::Least),
                Fraction::GREATEST => (of, Some(*bounds), Take::Greatest),
                _ => (of, Some(*bounds), Take::Rows),
            },
            Quantity::Ranks { of, bounds, .. } => (of, Some(*bounds), Take::Rows),
            Quantity::Mode { of, .. } | Quantity::Histogram { of, .. } => (of, None, Take::Rows),
            Quantity::Rows | Quantity::NonNull(_) | Quantity::Units | Quantity::Sum { .. } => return None,
        };
        Some(Listed { of, bounds, take })
    }

    /// Values that a unit which may have so many rows in a group has there to choose among.
    pub fn most_values(&self, rows: u64) -> u64 {
        match self.listed().map(|listed| listed.take) {
            // Its own: those of all units are the least and the greatest of all rows.
            Some(Take::Least | Take::Greatest) => 1,
            _ => rows,
        }
    }
}

/// Values of a group; the same ones serve all measures that need them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Listed<'a> {
    pub of: &'a Expr,
    pub bounds: Option<Bounds>,
    pub take: Take,
}

/// The lists that measures need, each with the first measure that does.
pub fn lists(measures: &[Measure]) -> Vec<(usize, Listed<'_>)> {
    let mut found: Vec<(usize, Listed)> = Vec::new();
    for (at, measure) in measures.iter().enumerate() {
        if let Some(listed) = measure.of.listed()
            && !found.iter().any(|(_, known)| *known == listed)
        {
            found.push((at, listed));
        }
    }
    found
}

/// Which of a unit's values in a group are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Each different one.
    Distinct,
    /// That of each row.
    Rows,
    Least,
    Greatest,
}

impl From<Quantity> for Measure {
    /// With the limits and the part of epsilon that all have.
    fn from(of: Quantity) -> Measure {
        Measure { of, per_group: None, epsilon: None, lattice: None }
    }
}

/// A column of the released table, computed from noisy measures alone; numbers are positions of measures.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A whole number.
    Count(usize),
    /// `whole`: a whole number.
    Sum { sum: usize, whole: bool },
    /// middle + sum / max(1, count), within the bounds: a sum over rows divided by a number of rows.
    Mean { sum: usize, count: usize },
    /// From a count and centred sums, one for each of the statistic's moments; with the middles of the bounds of x and y.
    Statistic { statistic: Statistic, count: usize, sums: Vec<usize>, middles: (f64, f64) },
    /// Of a number of rows that would make it otherwise: whether there are none, for `all`, or any. Noise decides where there are few.
    Logical { count: usize, all: bool },
    /// One of these values, chosen by its number.
    Mode { choice: usize, values: Domain },
    /// These values with their numbers, as a text; where there is a number, so many of the most frequent ones.
    Histogram { counts: usize, values: Domain, most: Option<u64> },
    /// A value that is chosen, or read from ranks as its interval is, where it has one. Of this type: a number, or a date or timestamp,
    /// which the measures have as days or microseconds.
    Quantile { at: Fraction, value: usize, ranks: Option<usize>, ty: Type },
}

impl Output {
    pub fn ty(&self) -> Type {
        match self {
            Output::Count(_) | Output::Sum { whole: true, .. } => Type::Int,
            Output::Sum { whole: false, .. } | Output::Mean { .. } | Output::Statistic { .. } => Type::Float,
            Output::Logical { .. } => Type::Bool,
            Output::Histogram { .. } => Type::Text,
            Output::Mode { values, .. } => values.first().map_or(Type::Text, Literal::ty),
            Output::Quantile { ty, .. } => *ty,
        }
    }
}

impl Output {
    /// The measures that it is computed from.
    fn measures(&self) -> Vec<usize> {
        match self {
            Output::Count(measure)
            | Output::Sum { sum: measure, .. }
            | Output::Logical { count: measure, .. }
            | Output::Mode { choice: measure, .. }
            | Output::Histogram { counts: measure, .. } => vec![*measure],
            Output::Mean { sum, count } => vec![*sum, *count],
            Output::Statistic { count, sums, .. } => sums.iter().chain([count]).copied().collect(),
            Output::Quantile { value, ranks, .. } => ranks.iter().chain([value]).copied().collect(),
        }
    }

    /// The same from measures that stand elsewhere.
    fn renumbered(&self, to: impl Fn(usize) -> usize) -> Output {
        match self.clone() {
            Output::Count(count) => Output::Count(to(count)),
            Output::Sum { sum, whole } => Output::Sum { sum: to(sum), whole },
            Output::Mean { sum, count } => Output::Mean { sum: to(sum), count: to(count) },
            Output::Statistic { statistic, count, sums, middles } => {
                let sums = sums.into_iter().map(&to).collect();
                Output::Statistic { statistic, count: to(count), sums, middles }
            }
            Output::Logical { count, all } => Output::Logical { count: to(count), all },
            Output::Mode { choice, values } => Output::Mode { choice: to(choice), values },
            Output::Histogram { counts, values, most } => Output::Histogram { counts: to(counts), values, most },
            Output::Quantile { at, value, ranks, ty } => {
                Output::Quantile { at, value: to(value), ranks: ranks.map(to), ty }
            }
        }
    }
}

/// The number of a group: keys counted through in the order of their domains, the last one fastest.
pub type Cell = u64;

/// A private relation becomes a public table here, and nowhere else.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    /// Private, with the unit in column 0.
    pub input: Relation,
    pub keys: Vec<Key>,
    pub measures: Vec<Measure>,
    pub outputs: Vec<Output>,
    pub contribution: Contribution,
    pub terms: Terms,
}

/// What the text asks of one release; the rest is the request's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Terms {
    pub epsilon: Option<Amount>,
    /// For private keys.
    pub delta: Option<Amount>,
    /// Groups that one unit takes part in at most.
    pub groups: Option<u64>,
    /// Rows that one unit has at most in all groups together; the input holds no more.
    pub total: Option<u64>,
    pub family: Option<Family>,
    /// In the place of a price: what its counts and sums may be off by.
    pub accuracy: Option<Accuracy>,
    /// Whether numbers that cannot be negative are shown as 0 where noise makes them so.
    pub non_negative: bool,
    /// Whether totals of several groupings are to be the sums of their parts.
    pub consistent: bool,
    /// Private keys of fewer units are to be shown with probability delta at most; up to 1 asks for nothing.
    pub min_units: u64,
    /// Whether an earlier draw showed its private keys, so that none are to be selected.
    pub keys_are_shown: bool,
}

/// How narrow the intervals of counts and sums are to be.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Accuracy {
    pub error: Tolerance,
    /// The probability that one of them holds the exact value.
    #[serde(with = "crate::num::bits")]
    pub confidence: f64,
}

/// Half of an interval's width.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Tolerance {
    /// In the unit of the count or sum.
    Absolute(#[serde(with = "crate::num::bits")] f64),
    /// As a share of this magnitude.
    Relative(#[serde(with = "crate::num::bits")] f64, #[serde(with = "crate::num::bits")] f64),
}

impl Tolerance {
    pub fn absolute(self) -> f64 {
        match self {
            Tolerance::Absolute(error) => error,
            Tolerance::Relative(share, magnitude) => share * magnitude,
        }
    }
}

impl Accuracy {
    /// That of answers, unless a question says otherwise.
    pub const CONFIDENCE: f64 = 0.95;

    /// From an error, or a relative one with its magnitude; None where nothing of it is asked for.
    ///
    /// Errors: what is wrong with it, in words.
    pub fn new(
        error: Option<f64>,
        relative: Option<f64>,
        magnitude: Option<f64>,
        confidence: Option<f64>,
    ) -> Result<Option<Accuracy>, String> {
        let positive = |name: &str, value: f64| match value > 0.0 && value.is_finite() {
            true => Ok(value),
            false => Err(format!("{name} must be a number above 0")),
        };
        let error = match (error, relative, magnitude) {
            (None, None, None) if confidence.is_some() => {
                return Err("confidence says how sure an error is: give an error with it".into());
            }
            (None, None, None) => return Ok(None),
            (Some(error), None, None) => Tolerance::Absolute(positive("error", error)?),
            (None, Some(relative), Some(magnitude)) => {
                Tolerance::Relative(positive("relative_error", relative)?, positive("magnitude", magnitude)?)
            }
            (None, Some(_), None) => {
                return Err("a relative_error needs the magnitude that it is a share of, which must not come from the data unpaid: say about how large the counts and sums are, magnitude = 1000, as public knowledge or an earlier answer tells".into());
            }
            (None, None, Some(_)) => return Err("magnitude is for relative_error: give both".into()),
            (Some(_), _, _) => {
                return Err("error and relative_error are two ways to say one thing: give one of them".into());
            }
        };
        let confidence = confidence.unwrap_or(Accuracy::CONFIDENCE);
        match (0.5..=0.999_999_999).contains(&confidence) {
            true => Ok(Some(Accuracy { error, confidence })),
            false => Err("confidence must be from 0.5 to 0.999999999, as 0.95".into()),
        }
    }
}

impl Terms {
    /// What is still to be done once its price and its noise are known.
    pub fn remaining(&self) -> Terms {
        Terms { non_negative: self.non_negative, consistent: self.consistent, ..Terms::default() }
    }

    /// What one unit contributes where it may contribute `most`.
    pub fn limits(&self, most: Contribution) -> Contribution {
        let total = self.total.unwrap_or(u64::MAX);
        let groups = self.groups.unwrap_or(most.groups).min(total);
        Contribution { groups, rows: most.rows.min(total), total: self.total }
    }
}

/// The distributions of additive noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Laplace,
    Gaussian,
}

/// What is asked of the noise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mechanism {
    /// Whichever distribution has the least error at the price.
    #[default]
    Automatic,
    Laplace,
    Gaussian,
}

impl Mechanism {
    /// The one distribution, where it is not to be chosen.
    pub fn family(self) -> Option<Family> {
        match self {
            Mechanism::Automatic => None,
            Mechanism::Laplace => Some(Family::Laplace),
            Mechanism::Gaussian => Some(Family::Gaussian),
        }
    }
}

impl Release {
    /// The same with each number once, where a unit has at most `rows` rows in a group: if that is one, its rows are as many as it itself
    /// is, so that COUNT(*), COUNT(DISTINCT unit) and the selection of private keys need one noisy number, and not several.
    pub fn with_shared_counts(self, rows: u64) -> Release {
        let mut measures: Vec<Measure> = Vec::new();
        let mut place = Vec::new();
        for measure in self.measures {
            let is_of_units = rows == 1 && measure.of == Quantity::Rows && measure.per_group.is_none();
            let of = if is_of_units { Quantity::Units } else { measure.of };
            let measure = Measure { of, ..measure };
            place.push(measures.iter().position(|known| *known == measure).unwrap_or(measures.len()));
            if place.last() == Some(&measures.len()) {
                measures.push(measure);
            }
        }
        let outputs = self.outputs.iter().map(|output| output.renumbered(|at| place[at])).collect();
        Release { measures, outputs, ..self }
    }

    /// The measures that outputs are computed from: not that by which keys are selected alone.
    pub fn read_measures(&self) -> BTreeSet<usize> {
        self.outputs.iter().flat_map(Output::measures).collect()
    }

    /// Whether an output of a group is the sum of those of its parts: a count of rows, or a sum.
    pub fn adds_up(&self, output: usize) -> bool {
        match self.outputs.get(output) {
            Some(Output::Count(measure)) => {
                let Measure { of, per_group, .. } = &self.measures[*measure];
                // Distinct units under a condition are counted as rows within limits.
                matches!(of, Quantity::Rows | Quantity::NonNull(_)) && per_group.is_none()
            }
            Some(Output::Sum { .. }) => true,
            _ => false,
        }
    }

    /// Whether anything depends on how many rows a unit may have in a group.
    pub fn is_of_rows(&self) -> bool {
        self.measures.iter().any(|measure| match &measure.of {
            Quantity::Units => false,
            Quantity::Sum { centred: false, bounds, .. } => bounds.is_some() && measure.per_group.is_none(),
            Quantity::Rows | Quantity::NonNull(_) | Quantity::Distinct(_) => measure.per_group.is_none(),
            Quantity::Sum { .. } | Quantity::Ranks { .. } | Quantity::Mode { .. } | Quantity::Histogram { .. } => true,
            Quantity::Quantile { at, .. } => *at != Fraction::LEAST && *at != Fraction::GREATEST,
        })
    }

    /// Whether private keys are to be selected, which costs delta.
    pub fn selects_keys(&self) -> bool {
        self.cells().is_none() && !self.terms.keys_are_shown
    }

    /// Number of groups, all combinations of the keys' public values. None where a key is private: then all are, and the measures
    /// hold [`Quantity::Units`], by which keys are selected.
    pub fn cells(&self) -> Option<u64> {
        self.keys.iter().try_fold(1u64, |n, key| n.checked_mul(key.domain.as_ref()?.len() as u64))
    }
}

/// Releases of the same rows by several groupings of keys, each once.
#[derive(Clone, Debug, PartialEq)]
pub struct Hierarchy {
    pub releases: Vec<usize>,
    /// Which of all keys each has, in ascending order.
    pub keys: Vec<Vec<usize>>,
}

/// A question: its releases in an order in which each may read only earlier ones, and what is made of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub releases: Vec<Release>,
    /// The groupings of each GROUP BY that has several.
    pub hierarchies: Vec<Hierarchy>,
    /// Public relations that releases read beside private rows. Each is computed once, by one thread, so that it has the same rows
    /// whatever the number of partitions: a LIMIT without an order, or a sum of floats, would not.
    pub fixed: Vec<Relation>,
    /// Public.
    pub post: Relation,
}
