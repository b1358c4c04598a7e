//! What is known of each column of a relation while it is lowered.

use crate::algebra::{Bounds, Domain, Expr, Relation, Type};

/// A relation and its columns. `scope.columns` follows the plan's schema one by one.
pub struct Lowered {
    pub relation: Relation,
    pub scope: Scope,
}

/// The position of a column that the question does not mention, and that is not read.
pub const UNREAD: usize = usize::MAX;

#[derive(Clone)]
pub struct Scope {
    /// Whether rows depend on private data; then the relation's column 0 is the unit.
    pub private: bool,
    pub columns: Vec<Slot>,
    /// Columns of the relation, hidden ones included.
    pub width: usize,
}

#[derive(Clone)]
pub struct Slot {
    /// Position in the relation.
    pub index: usize,
    pub name: String,
    pub ty: Type,
    /// By lineage: this column is the unit of its row.
    pub unit: bool,
    /// By lineage: this is a public table's column that has no value twice.
    pub unique: bool,
    pub bounds: Option<Bounds>,
    pub domain: Option<Domain>,
    pub noise: Noise,
}

/// The error bars of a public column.
#[derive(Clone, Debug, PartialEq)]
pub enum Noise {
    /// The value is exact.
    Exact,
    /// Positions of the lower and upper ends: `own` at the answer's confidence for this column alone, `joint`
    /// at the confidence at which all noisy outputs of the question hold together. `output` names the release's
    /// output where the column is one unchanged.
    Known { output: Option<(usize, usize)>, own: (usize, usize), joint: (usize, usize) },
    /// The value is noisy and no interval is known.
    Withheld,
}

impl Scope {
    /// The first position of the columns that can be seen by name.
    pub fn slot_at(&self, index: usize) -> Option<&Slot> {
        self.columns.iter().find(|slot| slot.index == index)
    }

    /// The bounds of a position, for interval arithmetic.
    pub fn bounds_at(&self, index: usize) -> Option<Bounds> {
        self.slot_at(index).and_then(|slot| slot.bounds)
    }

    /// The public values of a position.
    pub fn domain_at(&self, index: usize) -> Option<Domain> {
        self.slot_at(index).and_then(|slot| slot.domain.clone())
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
            unique: false,
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
        let pair = |(a, b): (usize, usize)| (to(a), to(b));
        let noise = match &self.noise {
            Noise::Known { output, own, joint } => {
                Noise::Known { output: *output, own: pair(*own), joint: pair(*joint) }
            }
            other => other.clone(),
        };
        let index = if self.index == UNREAD { UNREAD } else { to(self.index) };
        Slot { index, noise, ..self.clone() }
    }
}
