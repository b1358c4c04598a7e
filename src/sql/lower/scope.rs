//! What is known of each column of a relation while it is lowered.

use crate::algebra::{Bounds, Domain, Expr, Known, Relation, TableId, Type, Work};
use std::collections::BTreeSet;

/// A relation and its columns. `scope.columns` follows the plan's schema one by one.
#[derive(Clone)]
pub struct Lowered {
    pub relation: Relation,
    pub scope: Scope,
}

/// The position of a column that is not there: the question does not mention it, or it has no public value.
pub const UNREAD: usize = usize::MAX;

#[derive(Clone)]
pub struct Scope {
    /// Whether rows depend on private data; then the relation's column 0 is the unit.
    pub private: bool,
    pub columns: Vec<Slot>,
    /// Columns of the relation, hidden ones included.
    pub width: usize,
    /// Most rows that there can be, a public number; `u64::MAX` where the rows are private.
    pub rows: u64,
    /// Releases whose values the rows hold.
    pub releases: Vec<usize>,
    /// Whether intervals must hold for all noisy values of the question together: because which rows are here follows from noisy
    /// values, or because a row holds several values of one release.
    pub chosen: bool,
    /// Whether the order of rows follows from noisy values.
    pub noisy_order: bool,
    /// Where a public side was to keep its unmatched rows, which are not here: the columns that would be NULL in them.
    pub optional: Option<BTreeSet<usize>>,
}

#[derive(Clone)]
pub struct Slot {
    /// Position in the relation.
    pub index: usize,
    pub name: String,
    pub ty: Type,
    /// By lineage: this column is the unit of its row.
    pub unit: bool,
    /// By lineage: the protected table's column that this is, unchanged.
    pub origin: Option<(TableId, usize)>,
    /// Most rows that share one value, a public number; `u64::MAX` where nothing is known.
    pub repeats: u64,
    pub bounds: Option<Bounds>,
    pub domain: Option<Domain>,
    pub noise: Noise,
}

/// The error bars of a public column.
#[derive(Clone, Debug, PartialEq)]
pub enum Noise {
    /// The value is exact.
    Exact,
    /// Positions of lower and upper ends. `output` names the release's output where the column is one unchanged.
    Known { output: Option<(usize, usize)>, ends: Ends },
    /// The value is noisy and no interval is known.
    Withheld,
}

/// Positions of the lower and upper ends of one value's intervals, each at the answer's confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ends {
    /// For this value alone.
    pub own: (usize, usize),
    /// For one value of each noisy output of the question together.
    pub row: (usize, usize),
    /// For all noisy values of the question together.
    pub all: (usize, usize),
}

impl Ends {
    pub fn map(self, f: impl Fn((usize, usize)) -> (usize, usize)) -> Ends {
        Ends { own: f(self.own), row: f(self.row), all: f(self.all) }
    }

    pub fn contains(self, index: usize) -> bool {
        [self.own, self.row, self.all].iter().any(|(lower, upper)| *lower == index || *upper == index)
    }
}

impl Scope {
    /// A public relation with at most `rows` rows, which hold no noise.
    pub fn public(columns: Vec<Slot>, width: usize, rows: u64) -> Scope {
        Scope {
            private: false,
            columns,
            width,
            rows,
            releases: vec![],
            chosen: false,
            noisy_order: false,
            optional: None,
        }
    }

    /// A private relation.
    pub fn private(columns: Vec<Slot>, width: usize) -> Scope {
        Scope { private: true, ..Scope::public(columns, width, u64::MAX) }
    }

    /// Nothing to name.
    pub fn empty() -> Scope {
        Scope::public(vec![], 0, 1)
    }

    /// The first position of the columns that can be seen by name.
    pub fn slot_at(&self, index: usize) -> Option<&Slot> {
        self.columns.iter().find(|slot| slot.index == index)
    }

    /// The column that an expression is, unchanged.
    pub fn slot_of(&self, expr: &Expr) -> Option<&Slot> {
        match expr {
            Expr::Column(i) => self.slot_at(*i),
            _ => None,
        }
    }

    /// The bounds of a position, for interval arithmetic.
    pub fn bounds_at(&self, index: usize) -> Option<Bounds> {
        self.slot_at(index).and_then(|slot| slot.bounds)
    }

    /// The public values of a position.
    fn domain_at(&self, index: usize) -> Option<Domain> {
        self.slot_at(index).and_then(|slot| slot.domain.clone())
    }

    /// The finite set of public values that an expression can take, if there is one.
    pub fn image(&self, expr: &Expr, ty: Type, work: &Work) -> Option<Domain> {
        let known = Known { domain: &|i| self.domain_at(i), bounds: &|i| self.bounds_at(i), work };
        known.image(expr, ty)
    }

    /// Whether an expression reads a noisy value.
    pub fn is_noisy(&self, expr: &Expr) -> bool {
        expr.columns().iter().any(|i| self.slot_at(*i).is_some_and(|slot| slot.noise != Noise::Exact))
    }

    /// Whether anything here follows from noisy values: a value, or which rows there are.
    pub fn has_noise(&self) -> bool {
        self.chosen || self.columns.iter().any(|slot| slot.noise != Noise::Exact)
    }
}

impl Slot {
    /// A column of which nothing but its type is known.
    pub fn plain(index: usize, name: impl Into<String>, ty: Type) -> Slot {
        Slot {
            index,
            name: name.into(),
            ty,
            unit: false,
            origin: None,
            repeats: u64::MAX,
            bounds: None,
            domain: None,
            noise: Noise::Exact,
        }
    }

    pub fn expr(&self) -> Expr {
        Expr::Column(self.index)
    }

    /// The same column at another position, with its intervals moved as well.
    pub fn moved(&self, to: &impl Fn(usize) -> usize) -> Slot {
        let noise = match &self.noise {
            Noise::Known { output, ends } => {
                Noise::Known { output: *output, ends: ends.map(|(lower, upper)| (to(lower), to(upper))) }
            }
            other => other.clone(),
        };
        let index = if self.index == UNREAD { UNREAD } else { to(self.index) };
        Slot { index, noise, ..self.clone() }
    }
}
