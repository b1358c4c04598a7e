//! The restricted DataFusion session in which every plan of ours runs, and the one mapping between its
//! types and values and ours.

use super::spill::EncryptedFiles;
use crate::algebra::{Literal, Type};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, GreedyMemoryPool, MemoryPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::combine_partial_final_agg::CombinePartialFinalAggregate;
use datafusion::physical_optimizer::ensure_coop::EnsureCooperative;
use datafusion::physical_optimizer::ensure_requirements::EnsureRequirements;
use datafusion::physical_optimizer::join_selection::JoinSelection;
use datafusion::physical_optimizer::output_requirements::OutputRequirements;
use datafusion::physical_optimizer::sanity_checker::SanityCheckPlan;
use datafusion::prelude::SessionConfig;
use datafusion::scalar::ScalarValue;
use std::path::PathBuf;
use std::sync::Arc;

/// How much of the machine one question may use.
#[derive(Clone, Debug)]
pub struct ReaderOptions {
    /// Threads that it spreads over.
    pub partitions: usize,
    /// Rows per batch.
    pub batch_size: usize,
    /// Bytes that its operators may hold together; it fails where it needs more and may not spill.
    pub memory_bytes: usize,
    /// Where operators that can put rows aside do so.
    pub spill: Option<SpillOptions>,
}

/// Encrypted files for rows that do not fit into memory.
#[derive(Clone, Debug)]
pub struct SpillOptions {
    pub directory: PathBuf,
    /// Of one question.
    pub bytes: u64,
}

impl Default for ReaderOptions {
    fn default() -> Self {
        let partitions = std::thread::available_parallelism().map_or(2, usize::from);
        ReaderOptions { partitions, batch_size: 8192, memory_bytes: 2 << 30, spill: None }
    }
}

/// A session without stock functions, table functions, information schema or logical optimiser rules.
///
/// Of the physical rules it keeps those that make a plan executable. None is trusted with privacy: a plan computes bounded
/// integers, whatever its shape. The rules that answer COUNT, MIN and MAX from file statistics and those that push filters into
/// scans are left out, because they would turn values into time and bytes read.
///
/// Each question runs in an [`environment`] of its own; the session's own one is for files that are opened.
pub fn session(options: &ReaderOptions) -> datafusion::error::Result<SessionState> {
    session_in(options, environment(options, &RuntimeEnv::default())?)
}

/// A session that shares stores, and what is known of files, with others.
pub fn session_in(options: &ReaderOptions, environment: Arc<RuntimeEnv>) -> datafusion::error::Result<SessionState> {
    let mut config = SessionConfig::new()
        .with_target_partitions(options.partitions)
        .with_batch_size(options.batch_size)
        .with_collect_statistics(false);
    config.options_mut().execution.parquet.pruning = false;
    config.options_mut().execution.parquet.enable_page_index = false;
    config.options_mut().execution.parquet.bloom_filter_on_read = false;
    config.options_mut().execution.parquet.schema_force_view_types = false;
    config.options_mut().optimizer.enable_dynamic_filter_pushdown = false;
    // Joins are partitioned whatever sizes files report.
    config.options_mut().optimizer.hash_join_single_partition_threshold = 0;
    config.options_mut().optimizer.hash_join_single_partition_threshold_rows = 0;
    let rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> = vec![
        Arc::new(OutputRequirements::new_add_mode()),
        Arc::new(JoinSelection::new()),
        Arc::new(EnsureRequirements::new()),
        Arc::new(CombinePartialFinalAggregate::new()),
        Arc::new(OutputRequirements::new_remove_mode()),
        Arc::new(EnsureCooperative::new()),
        Arc::new(SanityCheckPlan::new()),
    ];
    Ok(SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(environment)
        .with_analyzer_rules(vec![])
        .with_optimizer_rules(vec![])
        .with_physical_optimizer_rules(rules)
        .build())
}

/// Memory and disk for one question. Stores and what is known of files are shared with `base`.
///
/// A question has its memory for itself, so that none fails because of another one.
pub fn environment(options: &ReaderOptions, base: &RuntimeEnv) -> datafusion::error::Result<Arc<RuntimeEnv>> {
    let builder = RuntimeEnvBuilder::from_runtime_env(base);
    let (pool, disk): (Arc<dyn MemoryPool>, _) = match &options.spill {
        // Who can spill leaves memory to who cannot.
        Some(spill) => (
            Arc::new(FairSpillPool::new(options.memory_bytes)),
            DiskManagerBuilder::default().with_temp_file_factory(Arc::new(EncryptedFiles::new(spill))),
        ),
        None => (
            Arc::new(GreedyMemoryPool::new(options.memory_bytes)),
            DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
        ),
    };
    builder.with_memory_pool(pool).with_disk_manager_builder(disk).build_arc()
}

/// The Arrow type of each of our types.
pub fn arrow_type(ty: Type) -> DataType {
    match ty {
        Type::Int => DataType::Int64,
        Type::Float => DataType::Float64,
        Type::Text => DataType::Utf8,
        Type::Bool => DataType::Boolean,
        Type::Date => DataType::Date32,
        Type::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
    }
}

/// The type as which a file's column is read; None for types that cannot be queried.
pub fn canonical(ty: &DataType) -> Option<Type> {
    use DataType::*;
    Some(match ty {
        Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 => Type::Int,
        Float16 | Float32 | Float64 | Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => Type::Float,
        Utf8 | LargeUtf8 | Utf8View => Type::Text,
        Dictionary(_, values) => return canonical(values),
        Boolean => Type::Bool,
        Date32 | Date64 => Type::Date,
        Timestamp(_, None) => Type::Timestamp,
        _ => return None,
    })
}

/// The DataFusion value of a literal.
pub fn literal_value(literal: &Literal) -> ScalarValue {
    match literal {
        Literal::Null(Type::Int) => ScalarValue::Int64(None),
        Literal::Null(Type::Float) => ScalarValue::Float64(None),
        Literal::Null(Type::Text) => ScalarValue::Utf8(None),
        Literal::Null(Type::Bool) => ScalarValue::Boolean(None),
        Literal::Null(Type::Date) => ScalarValue::Date32(None),
        Literal::Null(Type::Timestamp) => ScalarValue::TimestampMicrosecond(None, None),
        Literal::Int(v) => ScalarValue::Int64(Some(*v)),
        Literal::Float(v) => ScalarValue::Float64(Some(*v)),
        Literal::Text(v) => ScalarValue::Utf8(Some(v.clone())),
        Literal::Bool(v) => ScalarValue::Boolean(Some(*v)),
        Literal::Date(v) => ScalarValue::Date32(Some(*v)),
        Literal::Timestamp(v) => ScalarValue::TimestampMicrosecond(Some(*v), None),
    }
}
