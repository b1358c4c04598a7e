//! Planning, executing and collecting.

use super::bound::{bounded, rows};
use super::build::Sources;
use super::contributions::{Bounded, contributions};
use super::functions::Secret;
use super::order::in_order;
use super::table::released_schema;
use crate::algebra::{Query, Relation};
use crate::catalog::{Dataset, ReaderOptions, arrow_type, environment, session, session_in};
use crate::error::{Code, Error, Result};
use crate::mechanism::{Calibrated, Exact, ExactAggregates, Noise};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_empty_array};
use datafusion::arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take};
use datafusion::arrow::datatypes::{Decimal128Type, SchemaRef, UInt64Type};
use datafusion::datasource::{MemTable, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnv;
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
    period: u64,
    private: SessionState,
    /// One partition, so that the order of public rows is a function of the rows.
    public: SessionState,
    options: ReaderOptions,
}

/// How contributions are bounded.
pub enum Bounding {
    OnePass(Bounded, Arc<dyn ExecutionPlan>),
    Operators(Arc<dyn ExecutionPlan>),
}

/// A question whose plans were built, so that no planning error is left for after the charge.
pub struct Prepared {
    secret: Secret,
    /// Its own memory and disk.
    environment: Arc<RuntimeEnv>,
}

impl Prepared {
    /// By which samples are drawn: with it a later run has the same ones.
    pub fn key(&self) -> [u8; 16] {
        self.secret.key()
    }

    fn task(&self, state: &SessionState) -> Arc<TaskContext> {
        Arc::new(TaskContext::from(state).with_runtime(self.environment.clone()))
    }
}

impl Engine {
    /// `period` is the number of the schedule's period in which the dataset was opened: each has its own version, so that whether
    /// files changed does not show in which answers are reused.
    pub fn new(dataset: Arc<Dataset>, options: ReaderOptions, period: u64) -> Result<Engine> {
        let internal = |e: DataFusionError| Error::internal(e.strip_backtrace());
        let private = session(&options).map_err(internal)?;
        let one = ReaderOptions { partitions: 1, ..options.clone() };
        let public = session_in(&one, private.runtime_env().clone()).map_err(internal)?;
        Ok(Engine { dataset, period, private, public, options })
    }

    pub fn period(&self) -> u64 {
        self.period
    }

    /// The version of the data, as stored answers know it.
    pub fn version(&self) -> String {
        format!("{} {}", self.period, self.dataset.data_version)
    }

    pub fn dataset(&self) -> &Arc<Dataset> {
        &self.dataset
    }

    /// Builds every plan of the question and of what it asks to find bounds, with empty tables in the place of those that it makes, and reads no data.
    /// `again` is the key of an earlier run, whose samples this one is to have too.
    ///
    /// Errors: `DATA_CHANGED`; `UNSUPPORTED_SQL` where a plan cannot be built. Both are functions of text, catalog and file
    /// identities, and nothing has been charged yet.
    pub async fn prepare<'a>(
        &self,
        query: &Query,
        releases: &'a [Calibrated],
        probes: impl Iterator<Item = &'a Calibrated>,
        again: Option<[u8; 16]>,
    ) -> Result<Prepared> {
        self.dataset.check_unchanged().await?;
        let drawn = || Secret::draw().map_err(|_| Error::internal("the operating system gives no randomness"));
        let secret = again.map_or_else(drawn, |key| Ok(Secret::again(key)))?;
        let prepared = self.prepared(secret)?;
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
        for release in releases.iter().chain(probes) {
            self.bounding(release, &sources).await.map_err(unplannable)?;
        }
        let post = sources.plan(&query.post).and_then(|b| b.build()).map_err(unplannable)?;
        physical(&self.public, &post).await.map_err(unplannable)?;
        Ok(prepared)
    }

    pub(super) fn prepared(&self, secret: Secret) -> Result<Prepared> {
        let environment = environment(&self.options, self.private.runtime_env());
        Ok(Prepared { secret, environment: environment.map_err(|e| Error::internal(e.strip_backtrace()))? })
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
            let task = prepared.task(&self.private);
            match self.bounding(release, &sources).await? {
                Bounding::OnePass(bounded, rows) => {
                    let columns = bounded.run(rows, task).await?.into_iter().map(Exact::Sums).collect();
                    Ok(Some(ExactAggregates::new(columns)))
                }
                Bounding::Operators(plan) => Ok(exact_columns(&collect(plan, task).await?, release)),
            }
        };
        let exact = run.await.map_err(|e: DataFusionError| failed(kind(&e)))?;
        if self.dataset.was_written_to().await {
            return Err(failed("data changed"));
        }
        exact.ok_or_else(|| failed("shape"))
    }

    /// How contributions to a release are bounded: in one pass where it is for that, unless what units have in groups may be put aside, and need not fit into memory.
    pub(super) async fn bounding(
        &self,
        release: &Calibrated,
        sources: &Sources<'_>,
    ) -> datafusion::error::Result<Bounding> {
        let rows = rows(release, sources)?.plan.build()?;
        let one_pass = contributions(release, &rows, sources.secret).filter(|_| self.options.spill.is_none());
        Ok(match one_pass {
            Some(bounded) => Bounding::OnePass(bounded, physical(&self.private, &rows).await?),
            None => Bounding::Operators(physical(&self.private, &bounded(release, sources)?).await?),
        })
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
            let mut stream =
                execute_stream(in_order(physical(&self.public, &plan).await?)?, prepared.task(&self.public))?;
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
        let too_large = |what: String| {
            Error::new(Code::AnswerTooLarge, format!("{what}: aggregate, add a condition, or add a LIMIT"))
        };
        match run.await {
            Ok(Some(table)) => Ok(table),
            Ok(None) => Err(too_large(format!("the answer would have more than {} MiB", MAX_TABLE_BYTES >> 20))),
            Err(e) if kind(&e) == "memory" => Err(too_large("the question needs more memory than one may have".into())),
            Err(e) => Err(failed(kind(&e))),
        }
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

/// One integer, or one list of values, per measure and group.
fn exact_columns(batches: &[RecordBatch], release: &Calibrated) -> Option<ExactAggregates> {
    match release.cells {
        Some(cells) => of_cells(batches, release, usize::try_from(cells).ok()?),
        None => of_keys(batches, release),
    }
}

/// Cells without any unit are 0, or have no values.
fn of_cells(batches: &[RecordBatch], release: &Calibrated, cells: usize) -> Option<ExactAggregates> {
    let mut columns: Vec<Exact> = release.noise.iter().map(|noise| nothing(noise, cells)).collect();
    for batch in batches {
        let at = batch.column(0).as_primitive_opt::<UInt64Type>().filter(|at| at.null_count() == 0)?;
        let at = at.values().iter().map(|cell| usize::try_from(*cell).ok()).collect::<Option<Vec<_>>>()?;
        for (i, column) in columns.iter_mut().enumerate() {
            fill(column, batch.column(i + 1), at.iter().copied().enumerate())?;
        }
    }
    Some(ExactAggregates::new(columns))
}

fn nothing(noise: &Noise, cells: usize) -> Exact {
    match noise {
        Noise::Exponential(_) | Noise::Tree(_) | Noise::Histogram { .. } => Exact::Values(vec![vec![]; cells]),
        Noise::Laplace { .. } | Noise::Gaussian { .. } | Noise::Mean(_) => Exact::Sums(vec![0; cells]),
    }
}

/// Takes the values of rows for cells: pairs of the two.
fn fill(exact: &mut Exact, values: &ArrayRef, rows: impl Iterator<Item = (usize, usize)>) -> Option<()> {
    match exact {
        Exact::Sums(sums) => {
            let values = values.as_primitive_opt::<Decimal128Type>().filter(|values| values.null_count() == 0)?;
            for (row, cell) in rows {
                *sums.get_mut(cell)? = values.value(row);
            }
        }
        Exact::Values(lists) => {
            let values = values.as_list_opt::<i32>()?;
            for (row, cell) in rows.filter(|(row, _)| !values.is_null(*row)) {
                let list = values.value(row);
                let steps = list.as_primitive_opt::<Decimal128Type>()?.values().iter();
                *lists.get_mut(cell)? = steps.map(|step| i64::try_from(*step).ok()).collect::<Option<_>>()?;
            }
        }
    }
    Some(())
}

/// The groups that units have, in the order of their keys, NULL first: whatever order they came in says nothing.
fn of_keys(batches: &[RecordBatch], release: &Calibrated) -> Option<ExactAggregates> {
    let count = release.release.keys.len();
    // Where keys alone are asked for, there is noise for them or a rule in its place.
    let columns = |cells| {
        let of = |i: usize| release.noise.get(i).map_or(Exact::Sums(vec![0; cells]), |noise| nothing(noise, cells));
        (0..release.clamps.len()).map(of).collect::<Vec<_>>()
    };
    let Some(first) = batches.first() else {
        let none = release.release.keys.iter().map(|key| new_empty_array(&arrow_type(key.ty)));
        return Some(ExactAggregates::with_keys(none.collect(), columns(0)));
    };
    let all = concat_batches(&first.schema(), batches).ok()?;
    let by: Vec<SortColumn> =
        all.columns()[..count].iter().map(|key| SortColumn { values: key.clone(), options: None }).collect();
    let order = lexsort_to_indices(&by, None).ok()?;
    let keys = all.columns()[..count].iter().map(|key| take(key, &order, None).ok()).collect::<Option<Vec<_>>>()?;
    let mut columns = columns(all.num_rows());
    for (column, values) in columns.iter_mut().zip(&all.columns()[count..]) {
        fill(column, values, order.values().iter().map(|at| *at as usize).zip(0..))?;
    }
    Some(ExactAggregates::with_keys(keys, columns))
}
