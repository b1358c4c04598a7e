//! Planning, executing and collecting.

use super::bound::bounded;
use super::build::Sources;
use super::functions::Secret;
use super::order::in_order;
use super::table::released_schema;
use crate::algebra::{Query, Relation};
use crate::catalog::{Dataset, ReaderOptions, arrow_type, session};
use crate::error::{Code, Error, Result};
use crate::mechanism::{Calibrated, ExactAggregates};
use datafusion::arrow::array::{Array, AsArray, RecordBatch, new_empty_array};
use datafusion::arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take};
use datafusion::arrow::datatypes::{Decimal128Type, SchemaRef, UInt64Type};
use datafusion::datasource::{MemTable, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, collect, execute_stream};
use futures::TryStreamExt;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// Runs questions over one dataset.
pub struct Engine {
    dataset: Arc<Dataset>,
    private: SessionState,
    /// One partition, so that the order of public rows is a function of the rows.
    public: SessionState,
}

/// A question whose plans were built, so that no planning error is left for after the charge.
pub struct Prepared {
    secret: Secret,
}

impl Prepared {
    /// A fixed secret, so that a test can compare runs.
    #[cfg(test)]
    pub(super) fn fixed() -> Prepared {
        Prepared { secret: Secret::fixed() }
    }
}

impl Engine {
    pub fn new(dataset: Arc<Dataset>, options: ReaderOptions) -> Result<Engine> {
        let session = |partitions| {
            session(ReaderOptions { partitions, ..options }).map_err(|e| Error::internal(e.strip_backtrace()))
        };
        Ok(Engine { dataset, private: session(options.partitions)?, public: session(1)? })
    }

    pub fn dataset(&self) -> &Arc<Dataset> {
        &self.dataset
    }

    /// Builds every plan of the question, with empty tables in the place of those that it makes, and reads no data.
    ///
    /// Errors: `DATA_CHANGED`; `UNSUPPORTED_SQL` where a plan cannot be built. Both are functions of text, catalog and file
    /// identities, and nothing has been charged yet.
    pub async fn prepare(&self, query: &Query, releases: &[Calibrated]) -> Result<Prepared> {
        self.dataset.check_unchanged()?;
        let secret = Secret::draw().map_err(|_| Error::internal("the operating system gives no randomness"))?;
        let empty = |schema| table(RecordBatch::new_empty(schema));
        let released = releases.iter().map(|r| empty(released_schema(&r.release))).collect::<Result<Vec<_>>>()?;
        let mut fixed = BTreeMap::new();
        for (id, relation) in query.fixed.iter().enumerate() {
            let sources = Sources { dataset: &self.dataset, released: &released, fixed: &fixed, secret };
            let plan = sources.plan(relation).and_then(|b| b.build()).map_err(unplannable)?;
            physical(&self.public, &plan).await.map_err(unplannable)?;
            fixed.insert(id, empty(Arc::new(plan.schema().as_arrow().clone()))?);
        }
        let sources = Sources { dataset: &self.dataset, released: &released, fixed: &fixed, secret };
        for release in releases {
            let plan = bounded(release, &sources).map_err(unplannable)?;
            physical(&self.private, &plan).await.map_err(unplannable)?;
        }
        let post = sources.plan(&query.post).and_then(|b| b.build()).map_err(unplannable)?;
        physical(&self.public, &post).await.map_err(unplannable)?;
        Ok(Prepared { secret })
    }

    /// The bounded integers of one release. `released` holds the tables of earlier releases of the same question.
    ///
    /// Errors: one fixed failure, whatever happened: its cause may depend on data.
    pub async fn exact(
        &self,
        query: &Query,
        release: &Calibrated,
        prepared: &Prepared,
        released: &[RecordBatch],
        fixed: &mut Fixed,
    ) -> Result<ExactAggregates> {
        for id in release.release.input.fixed() {
            if let Entry::Vacant(place) = fixed.0.entry(id) {
                let relation = query.fixed.get(id).ok_or_else(|| failed("plan"))?;
                place.insert(table(self.public_table(relation, prepared, released).await?)?);
            }
        }
        let tables = released.iter().cloned().map(table).collect::<Result<Vec<_>>>()?;
        let sources = Sources { dataset: &self.dataset, released: &tables, fixed: &fixed.0, secret: prepared.secret };
        let run = async {
            let plan = bounded(release, &sources)?;
            collect(physical(&self.private, &plan).await?, self.private.task_ctx()).await
        };
        let batches = run.await.map_err(|e| failed(kind(&e)))?;
        self.dataset.check_unchanged().map_err(|_| failed("data changed"))?;
        exact_columns(&batches, release).ok_or_else(|| failed("shape"))
    }

    /// An ordinary plan over released and public tables, in one partition.
    ///
    /// Errors: `ANSWER_TOO_LARGE`, which follows from public and released rows alone; else one fixed failure.
    pub async fn public_table(
        &self,
        relation: &Relation,
        prepared: &Prepared,
        released: &[RecordBatch],
    ) -> Result<RecordBatch> {
        let tables = released.iter().cloned().map(table).collect::<Result<Vec<_>>>()?;
        let none = BTreeMap::new();
        let sources = Sources { dataset: &self.dataset, released: &tables, fixed: &none, secret: prepared.secret };
        let run = async {
            let plan = sources.plan(relation)?.build()?;
            let schema: SchemaRef = Arc::new(plan.schema().as_arrow().clone());
            let mut stream = execute_stream(in_order(physical(&self.public, &plan).await?)?, self.public.task_ctx())?;
            let (mut batches, mut bytes) = (Vec::new(), 0usize);
            while let Some(batch) = stream.try_next().await? {
                bytes = bytes.saturating_add(batch.get_array_memory_size());
                if bytes > MAX_TABLE_BYTES {
                    return Ok(None);
                }
                batches.push(batch);
            }
            Ok::<_, DataFusionError>(Some(concat_batches(&schema, &batches)?))
        };
        run.await.map_err(|e| failed(kind(&e)))?.ok_or_else(|| {
            let message =
                format!("the answer would have more than {} MiB: aggregate, or add a LIMIT", MAX_TABLE_BYTES >> 20);
            Error::new(Code::AnswerTooLarge, message)
        })
    }
}

/// Most bytes of an answer, or of a public table that a question makes.
const MAX_TABLE_BYTES: usize = 128 << 20;

/// What was computed of a question's `fixed` relations: each once, whatever number of releases read it.
#[derive(Default)]
pub struct Fixed(BTreeMap<usize, Arc<dyn TableProvider>>);

fn unplannable(e: DataFusionError) -> Error {
    let cause = e.strip_backtrace();
    let cause = cause.lines().next().unwrap_or_default();
    Error::new(Code::UnsupportedSql, format!("this question cannot be planned: {cause}"))
}

/// What an operator may know of a failure: its kind, never its text, which may quote data.
fn kind(e: &DataFusionError) -> &'static str {
    match e.find_root() {
        DataFusionError::ArrowError(..) => "arrow",
        DataFusionError::ParquetError(_) => "parquet",
        DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => "files",
        DataFusionError::ResourcesExhausted(_) => "memory",
        DataFusionError::Plan(_) | DataFusionError::SchemaError(..) | DataFusionError::NotImplemented(_) => "plan",
        _ => "execution",
    }
}

fn failed(kind: &'static str) -> Error {
    tracing::error!(kind, "a charged question failed while it ran");
    Error::new(
        Code::ExecutionFailed,
        "the question was charged and could not be answered; the operator's log names the query id",
    )
}

fn table(batch: RecordBatch) -> Result<Arc<dyn TableProvider>> {
    let table =
        MemTable::try_new(batch.schema(), vec![vec![batch]]).map_err(|e| Error::internal(e.strip_backtrace()))?;
    Ok(Arc::new(table))
}

async fn physical(state: &SessionState, plan: &LogicalPlan) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
    state.query_planner().create_physical_plan(plan, state).await
}

/// One integer per measure and group.
fn exact_columns(batches: &[RecordBatch], release: &Calibrated) -> Option<ExactAggregates> {
    match release.cells {
        Some(cells) => of_cells(batches, release, usize::try_from(cells).ok()?),
        None => of_keys(batches, release),
    }
}

/// Cells without any unit are 0.
fn of_cells(batches: &[RecordBatch], release: &Calibrated, cells: usize) -> Option<ExactAggregates> {
    let mut columns = vec![vec![0i128; cells]; release.clamps.len()];
    for batch in batches {
        let at = batch.column(0).as_primitive_opt::<UInt64Type>()?;
        for (i, column) in columns.iter_mut().enumerate() {
            let values = batch.column(i + 1).as_primitive_opt::<Decimal128Type>()?;
            if at.null_count() > 0 || values.null_count() > 0 {
                return None;
            }
            for (cell, value) in at.values().iter().zip(values.values()) {
                *column.get_mut(usize::try_from(*cell).ok()?)? = *value;
            }
        }
    }
    Some(ExactAggregates::new(columns))
}

/// The groups that units have, in the order of their keys, NULL first: whatever order they came in says nothing.
fn of_keys(batches: &[RecordBatch], release: &Calibrated) -> Option<ExactAggregates> {
    let count = release.release.keys.len();
    let Some(first) = batches.first() else {
        let none = release.release.keys.iter().map(|key| new_empty_array(&arrow_type(key.ty)));
        return Some(ExactAggregates::with_keys(none.collect(), vec![vec![]; release.clamps.len()]));
    };
    let all = concat_batches(&first.schema(), batches).ok()?;
    let by: Vec<SortColumn> =
        all.columns()[..count].iter().map(|key| SortColumn { values: key.clone(), options: None }).collect();
    let order = lexsort_to_indices(&by, None).ok()?;
    let keys = all.columns()[..count].iter().map(|key| take(key, &order, None).ok()).collect::<Option<Vec<_>>>()?;
    let mut columns = Vec::new();
    for column in &all.columns()[count..] {
        let values = column.as_primitive_opt::<Decimal128Type>().filter(|values| values.null_count() == 0)?;
        columns.push(order.values().iter().map(|at| values.value(*at as usize)).collect());
    }
    Some(ExactAggregates::with_keys(keys, columns))
}
