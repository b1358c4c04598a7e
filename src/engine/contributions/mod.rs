//! The bounding of contributions in one pass over the rows: what [`super::bound`] makes of DataFusion's own operators, in half of the time (`benches/undertone.rs`, `bounding`).
//!
//! Rows are parted by a hash of their unit into so many parts that the units of one fit into a cache; then each part is added up by itself, and the sums of all parts are
//! added. All of it is of integers, so that neither the order of rows nor the number of threads shows. It is for groups with public keys, units that are
//! integers, and counts, sums and means; everything else is the other plan's, which is the reference in tests too.
//!
//! It holds what each unit has in each group, as the other plan does, within the memory of the question, and does not put any of it aside: where the operator of the
//! server has allowed that, the other plan runs.

mod table;

use self::table::{Cells, Kind, Rows, Spec, Table};
use super::bound::is_sampled;
use super::functions::Secret;
use crate::algebra::{Clamp, Quantity, lists};
use crate::mechanism::{Calibrated, Selection};
use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::cast::{as_decimal128_array, as_int64_array, as_uint64_array};
use datafusion::common::internal_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::TryStreamExt;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Parts of the units: of ten million rows each has a hundred and fifty thousand.
const PARTS: usize = 64;
/// A bit for each.
const MOST_MEASURES: usize = 32;

/// How one release is bounded here; None where it is for the other plan. `rows` is the plan of its rows: the unit, the cell, and a value for each measure.
///
/// A function of the question and the declarations alone: which plan runs says nothing about rows.
pub fn contributions(calibrated: &Calibrated, rows: &LogicalPlan, secret: Secret) -> Option<Bounded> {
    let measures = &calibrated.release.measures;
    let cells = usize::try_from(calibrated.cells?).ok().filter(|cells| u32::try_from(*cells).is_ok())?;
    let is_plain = calibrated.selection == Selection::Public && lists(measures).is_empty();
    let unit = rows.schema().field(0).data_type();
    if !is_plain || measures.len() > MOST_MEASURES || *unit != DataType::Int64 {
        return None;
    }
    let kind = |of: &Quantity| match of {
        Quantity::Rows | Quantity::Units | Quantity::NonNull(_) => Some(Kind::Count),
        Quantity::Sum { centred: false, .. } => Some(Kind::Sum),
        Quantity::Sum { centred: true, .. } => Some(Kind::Mean),
        Quantity::Distinct(_)
        | Quantity::Quantile { .. }
        | Quantity::Ranks { .. }
        | Quantity::Mode { .. }
        | Quantity::Histogram { .. } => None,
    };
    let measured = measures.iter().zip(&calibrated.clamps).map(|(measure, clamp)| Some((kind(&measure.of)?, *clamp)));
    let measures: Vec<(Kind, Clamp)> = measured.collect::<Option<_>>()?;
    // A row's steps are held in 64 bits.
    let fits = |clamp: &Clamp| {
        clamp.row_high.checked_sub(clamp.centre).is_some() && clamp.row_low.checked_sub(clamp.centre).is_some()
    };
    if !measures.iter().all(|(kind, clamp)| *kind == Kind::Count || fits(clamp)) {
        return None;
    }
    let groups = is_sampled(calibrated).then_some(calibrated.contribution.groups);
    let spec = Spec { measures, groups, rows: calibrated.contribution.rows, secret };
    Some(Bounded { spec: Arc::new(spec), cells })
}

/// One release's bounding.
pub struct Bounded {
    spec: Arc<Spec>,
    cells: usize,
}

impl Bounded {
    /// The bounded integers: a column for each measure, with an integer for each cell.
    pub async fn run(&self, rows: Arc<dyn ExecutionPlan>, task: Arc<TaskContext>) -> Result<Vec<Vec<i128>>> {
        let partitions = rows.output_partitioning().partition_count();
        let mut reading = JoinSet::new();
        for partition in 0..partitions {
            let (rows, task, spec, cells) = (rows.clone(), task.clone(), self.spec.clone(), self.cells);
            reading.spawn(async move { parted(rows, partition, task, &spec, cells).await });
        }
        let mut parts: Vec<Vec<Table>> = (0..PARTS).map(|_| Vec::new()).collect();
        // Of the readers, until all is added up.
        let mut memory = Vec::new();
        while let Some(done) = reading.join_next().await {
            let (tables, held) = done.map_err(ended)??;
            parts.iter_mut().zip(tables).for_each(|(part, table)| part.push(table));
            memory.push(held);
        }
        let mut shares: Vec<Vec<Vec<Table>>> = (0..partitions).map(|_| Vec::new()).collect();
        for (at, part) in parts.into_iter().enumerate() {
            shares[at % partitions].push(part);
        }
        let mut adding = JoinSet::new();
        for share in shares {
            let (spec, cells, memory) = (self.spec.clone(), self.cells, reservation(&task));
            adding.spawn(async move { added(share, &spec, cells, memory).await });
        }
        let mut all = Cells::new(self.spec.measures.len(), self.cells);
        while let Some(done) = adding.join_next().await {
            all.add(&done.map_err(ended)??);
        }
        Ok(all.into_columns())
    }
}

fn ended(e: tokio::task::JoinError) -> DataFusionError {
    DataFusionError::External(Box::new(e))
}

fn reservation(task: &TaskContext) -> MemoryReservation {
    MemoryConsumer::new("contributions").register(task.memory_pool())
}

/// Rows that a part takes at once, so that its table is in the cache while it does.
const AT_ONCE: usize = 4096;

/// Reads one partition of the rows: the tables of all parts, and the memory that they are held in.
async fn parted(
    rows: Arc<dyn ExecutionPlan>,
    partition: usize,
    task: Arc<TaskContext>,
    spec: &Spec,
    cells: usize,
) -> Result<(Vec<Table>, MemoryReservation)> {
    let memory = reservation(&task);
    let mut waiting: Vec<Rows> = (0..PARTS).map(|_| Rows::default()).collect();
    let mut tables: Vec<Table> = (0..PARTS).map(|_| Table::default()).collect();
    let mut batches = rows.execute(partition, task)?;
    while let Some(batch) = batches.try_next().await? {
        part(&batch, spec, cells, &mut waiting)?;
        for (rows, table) in waiting.iter_mut().zip(&mut tables).filter(|(rows, _)| rows.len() >= AT_ONCE) {
            let before = table.bytes();
            table.take(rows, spec)?;
            memory.try_grow(table.bytes() - before)?;
        }
    }
    for (rows, table) in waiting.iter_mut().zip(&mut tables) {
        table.take(rows, spec)?;
    }
    memory.try_resize(tables.iter().map(Table::bytes).sum())?;
    Ok((tables, memory))
}

/// The part of a unit: well spread whatever units are called (the finaliser of MurmurHash3, by Appleby).
fn part_of(unit: i64) -> usize {
    let mut hash = unit as u64;
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (hash >> 58) as usize % PARTS
}

/// Puts the rows of a batch into their parts.
fn part(batch: &RecordBatch, spec: &Spec, cells: usize, parts: &mut [Rows]) -> Result<()> {
    let (units, numbers) = (as_int64_array(batch.column(0))?, as_uint64_array(batch.column(1))?);
    let values = &batch.columns()[2..];
    if units.null_count() + numbers.null_count() > 0 || values.len() != spec.measures.len() {
        return internal_err!("rows without a unit or a cell");
    }
    let steps: Vec<&[i128]> =
        spec.sums().map(|at| Ok(as_decimal128_array(&values[at])?.values().as_ref())).collect::<Result<_>>()?;
    let summed: Vec<usize> = spec.sums().collect();
    for row in 0..batch.num_rows() {
        let cell = match u32::try_from(numbers.value(row)) {
            Ok(cell) if (cell as usize) < cells => cell,
            _ => return internal_err!("a cell that is not there"),
        };
        let bit = |(at, values): (usize, &Arc<dyn Array>)| u32::from(values.is_valid(row)) << at;
        let present = values.iter().enumerate().map(bit).fold(0, |bits, bit| bits | bit);
        // What is not there has whatever bytes: it adds nothing.
        let of_row = steps.iter().zip(&summed).map(|(steps, at)| match present >> at & 1 {
            1 => steps[row] as i64,
            _ => 0,
        });
        parts[part_of(units.value(row))].push(units.value(row), cell, present, of_row);
    }
    Ok(())
}

/// Adds up some of the parts.
async fn added(share: Vec<Vec<Table>>, spec: &Spec, cells: usize, memory: MemoryReservation) -> Result<Cells> {
    let measures = spec.measures.len();
    memory.try_resize(Cells::bytes(measures, cells))?;
    let mut all = Cells::new(measures, cells);
    for part in share {
        let mut tables = part.into_iter();
        let Some(mut whole) = tables.next() else { continue };
        let before = whole.bytes();
        for table in tables {
            whole.add(&table, spec)?;
        }
        let grown = whole.bytes() - before;
        memory.try_grow(grown)?;
        whole.add_bounded(spec, &mut all);
        drop(whole);
        memory.shrink(grown);
        // Here it can be cancelled.
        tokio::task::yield_now().await;
    }
    Ok(all)
}
