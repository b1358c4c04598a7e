//! One part of the units at a time: what each adds to each group, which groups it keeps, and the sums over units.

use crate::algebra::Clamp;
use crate::engine::functions::{Secret, weighed};
use datafusion::common::resources_err;
use datafusion::error::Result;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

/// What is made of a measure's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// How many have a value.
    Count,
    /// The sum of values.
    Sum,
    /// The sum of values with the weight of at most so many rows.
    Mean,
}

/// How units are bounded: what the plan of DataFusion's operators does too, in one pass.
pub struct Spec {
    pub measures: Vec<(Kind, Clamp)>,
    /// Most groups of a unit; None where there are no more than that.
    pub groups: Option<u64>,
    /// Most rows of a unit in a group.
    pub rows: u64,
    pub secret: Secret,
}

impl Spec {
    /// The measures that have sums, in their order: the place of each among the values of a row.
    pub fn sums(&self) -> impl Iterator<Item = usize> {
        self.measures.iter().enumerate().filter(|(_, (kind, _))| *kind != Kind::Count).map(|(at, _)| at)
    }
}

/// Rows, column by column, until there are enough of them to be taken at once: private values, so they cannot be printed.
#[derive(Default)]
pub struct Rows {
    units: Vec<i64>,
    cells: Vec<u32>,
    /// A bit for each measure that has a value.
    present: Vec<u32>,
    /// The steps of each measure with a sum, row by row; 0 where there are none.
    steps: Vec<i64>,
}

impl Rows {
    pub fn push(&mut self, unit: i64, cell: u32, present: u32, steps: impl IntoIterator<Item = i64>) {
        self.units.push(unit);
        self.cells.push(cell);
        self.present.push(present);
        self.steps.extend(steps);
    }

    pub fn len(&self) -> usize {
        self.units.len()
    }

    fn clear(&mut self) {
        self.units.clear();
        self.cells.clear();
        self.present.clear();
        self.steps.clear();
    }
}

/// Integers by cell.
pub struct Cells {
    measures: usize,
    sums: Vec<i128>,
}

impl Cells {
    pub fn new(measures: usize, cells: usize) -> Cells {
        Cells { measures, sums: vec![0; measures * cells] }
    }

    /// Bytes of so many.
    pub fn bytes(measures: usize, cells: usize) -> usize {
        size_of::<i128>() * measures * cells
    }

    /// Sums of both. Each is of clamped integers, and far from the ends of 128 bits.
    pub fn add(&mut self, other: &Cells) {
        self.sums.iter_mut().zip(&other.sums).for_each(|(sum, more)| *sum += more);
    }

    /// A column for each measure.
    pub fn into_columns(self) -> Vec<Vec<i128>> {
        let column = |measure: usize| self.sums.iter().skip(measure).step_by(self.measures.max(1)).copied().collect();
        (0..self.measures).map(column).collect()
    }
}

/// No more.
const END: u32 = u32::MAX;

/// A unit in a group.
struct Entry {
    unit: i64,
    cell: u32,
    /// Another entry of the same unit.
    next: u32,
}

/// What each unit of a part has in each group.
#[derive(Default)]
pub struct Table {
    entries: Vec<Entry>,
    /// Values of each measure, and steps of each sum, entry by entry.
    counts: Vec<u64>,
    sums: Vec<i128>,
    /// The entries, by unit and cell.
    places: HashTable<u32>,
    /// The newest entry of each unit, which leads to its others.
    heads: Vec<u32>,
    /// Places among these, by unit.
    units: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Table {
    /// Adds rows to what there is, and empties them.
    pub fn take(&mut self, rows: &mut Rows, spec: &Spec) -> Result<()> {
        let (measures, summed) = (spec.measures.len(), spec.sums().count());
        for row in 0..rows.len() {
            let at = self.entry(rows.units[row], rows.cells[row], measures, summed)?;
            let present = rows.present[row];
            for (measure, count) in self.counts[at * measures..][..measures].iter_mut().enumerate() {
                *count += u64::from(present >> measure & 1);
            }
            let steps = &rows.steps[row * summed..][..summed];
            let sums = &mut self.sums[at * summed..][..summed];
            sums.iter_mut().zip(steps).for_each(|(sum, steps)| *sum += i128::from(*steps));
        }
        rows.clear();
        Ok(())
    }

    /// Adds what another one has.
    pub fn add(&mut self, other: &Table, spec: &Spec) -> Result<()> {
        let (measures, summed) = (spec.measures.len(), spec.sums().count());
        for (from, Entry { unit, cell, .. }) in other.entries.iter().enumerate() {
            let at = self.entry(*unit, *cell, measures, summed)?;
            let counts = self.counts[at * measures..][..measures].iter_mut();
            counts.zip(&other.counts[from * measures..]).for_each(|(count, more)| *count += more);
            let sums = self.sums[at * summed..][..summed].iter_mut();
            sums.zip(&other.sums[from * summed..]).for_each(|(sum, more)| *sum += more);
        }
        Ok(())
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        size_of::<Entry>() * self.entries.capacity()
            + size_of::<u64>() * self.counts.capacity()
            + size_of::<i128>() * self.sums.capacity()
            + size_of::<u32>() * self.heads.capacity()
            + self.places.allocation_size()
            + self.units.allocation_size()
    }

    /// The place of a unit in a cell: a new one where it has none.
    fn entry(&mut self, unit: i64, cell: u32, measures: usize, summed: usize) -> Result<usize> {
        let Table { entries, places, heads, units, hasher, .. } = self;
        let hash = hasher.hash_one((unit, cell));
        let is_it = |at: &u32| {
            let entry = &entries[*at as usize];
            entry.unit == unit && entry.cell == cell
        };
        if let Some(at) = places.find(hash, is_it) {
            return Ok(*at as usize);
        }
        let Some(at) = u32::try_from(entries.len()).ok().filter(|at| *at != END) else {
            return resources_err!("more groups of units than can be counted");
        };
        let unit_hash = hasher.hash_one(unit);
        let known = units.find(unit_hash, |head| entries[heads[*head as usize] as usize].unit == unit).copied();
        let next = known.map_or(END, |head| std::mem::replace(&mut heads[head as usize], at));
        entries.push(Entry { unit, cell, next });
        if known.is_none() {
            heads.push(at);
            let of_head = |head: &u32| hasher.hash_one(entries[heads[*head as usize] as usize].unit);
            units.insert_unique(unit_hash, heads.len() as u32 - 1, of_head);
        }
        places.insert_unique(hash, at, |at| {
            let Entry { unit, cell, .. } = entries[*at as usize];
            hasher.hash_one((unit, cell))
        });
        self.counts.resize(self.counts.len() + measures, 0);
        self.sums.resize(self.sums.len() + summed, 0);
        Ok(at as usize)
    }

    /// Adds what its units add to each cell, within their limits. No other table may have rows of theirs.
    pub fn add_bounded(&self, spec: &Spec, into: &mut Cells) {
        let most = spec.groups.map_or(usize::MAX, |groups| usize::try_from(groups).unwrap_or(usize::MAX));
        let mut of_unit: Vec<(u64, u32)> = Vec::new();
        for head in &self.heads {
            of_unit.clear();
            let mut at = *head;
            while at != END {
                of_unit.push((0, at));
                at = self.entries[at as usize].next;
            }
            if of_unit.len() > most {
                // A uniform sample of its groups, the same whatever order its rows came in; what ties is told apart by the groups themselves.
                for (rank, at) in &mut of_unit {
                    let Entry { unit, cell, .. } = self.entries[*at as usize];
                    *rank = spec.secret.rank_in_cell(unit, cell.into());
                }
                of_unit.sort_unstable_by_key(|(rank, at)| (*rank, self.entries[*at as usize].cell));
                of_unit.truncate(most);
            }
            for (_, at) in &of_unit {
                self.add_entry(*at as usize, spec, into);
            }
        }
    }

    /// What an entry adds to its cell.
    fn add_entry(&self, at: usize, spec: &Spec, into: &mut Cells) {
        let (measures, summed) = (spec.measures.len(), self.sums.len() / self.entries.len());
        let cell = self.entries[at].cell as usize;
        let (counts, mut sums) = (&self.counts[at * measures..], self.sums[at * summed..].iter());
        for (measure, (kind, clamp)) in spec.measures.iter().enumerate() {
            let count = i128::from(counts[measure]);
            let mut sum = || sums.next().copied().unwrap_or_default();
            let total = match kind {
                Kind::Count => count,
                Kind::Sum => sum(),
                Kind::Mean => weighed(sum(), count, spec.rows.into(), clamp.mean),
            };
            into.sums[cell * measures + measure] += total.clamp(clamp.unit_low, clamp.unit_high);
        }
    }
}
