//! Queries over tables that are their reader's own to see. No private row is within reach: a session of its own holds these tables and nothing else.
//!
//! Nobody pays for them, so their work is small whatever they ask: of two tables at most, by functions none of which makes a value larger than those that it is given.

use crate::catalog::{ReaderOptions, arrow_type, canonical, environment};
use crate::error::{Code, Error, Result};
use crate::sql::{OWN_SCHEMA, OwnQuery};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{Field, Schema};
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::MemTable;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::functions::core::{coalesce, nullif};
use datafusion::functions::math::{abs, round};
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::functions_aggregate::planner::AggregateFunctionPlanner;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use std::sync::Arc;

/// By their names.
pub type OwnTables = Vec<(&'static str, RecordBatch)>;

/// Memory of one query, and its largest answer.
const MEMORY: usize = 64 << 20;
const MOST_BYTES: usize = 16 << 20;

/// Answers a query over these tables. All columns of the answer are of the types that answers have, and may be NULL.
///
/// Errors: `UNSUPPORTED_SQL` where it cannot be planned or fails, `ANSWER_TOO_LARGE`.
pub async fn select(OwnQuery { query, .. }: OwnQuery, tables: OwnTables) -> Result<RecordBatch> {
    let refuse = |e: DataFusionError| Error::new(Code::UnsupportedSql, sentence(&e));
    let state = session(tables).map_err(refuse)?;
    let statement = Statement::Statement(Box::new(ast::Statement::Query(query)));
    let plan = state.statement_to_plan(statement).await.map_err(refuse)?;
    let mut answer = DataFrame::new(state, plan).execute_stream().await.map_err(refuse)?;
    let schema = answer.schema();
    let (mut batches, mut bytes) = (Vec::new(), 0);
    while let Some(batch) = answer.next().await.transpose().map_err(refuse)? {
        bytes += batch.get_array_memory_size();
        if bytes > MOST_BYTES {
            return Err(Error::new(Code::AnswerTooLarge, "the answer is too large: add a condition, or a LIMIT"));
        }
        batches.push(batch);
    }
    let whole = concat_batches(&schema, &batches).map_err(|e| refuse(e.into()))?;
    plain(&whole)
}

/// With columns of plain types.
fn plain(batch: &RecordBatch) -> Result<RecordBatch> {
    let internal = |e: arrow::error::ArrowError| Error::internal(e.to_string());
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, values)| {
        let ty = canonical(field.data_type()).map(arrow_type).ok_or_else(|| {
            Error::new(Code::UnsupportedSql, format!("column '{}' has no type that an answer can have", field.name()))
        })?;
        let values = cast(values, &ty).map_err(internal)?;
        Ok((Field::new(field.name(), ty, true), values))
    });
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.collect::<Result<Vec<_>>>()?.into_iter().unzip();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options).map_err(internal)
}

fn session(tables: OwnTables) -> DfResult<SessionState> {
    let memory = ReaderOptions { partitions: 1, memory_bytes: MEMORY, spill: None, ..ReaderOptions::default() };
    let schema = MemorySchemaProvider::new();
    for (name, table) in tables {
        let table = MemTable::try_new(table.schema(), vec![vec![table]])?;
        schema.register_table(name.to_owned(), Arc::new(table))?;
    }
    let scalars: Vec<Arc<ScalarUDF>> = vec![coalesce(), nullif(), abs(), round()];
    let aggregates: Vec<Arc<AggregateUDF>> = vec![count_udaf(), sum_udaf(), avg_udaf(), min_udaf(), max_udaf()];
    let state = SessionStateBuilder::new()
        .with_expr_planners(vec![Arc::new(AggregateFunctionPlanner)])
        .with_scalar_functions(scalars)
        .with_aggregate_functions(aggregates)
        .with_window_functions(vec![row_number_udwf()])
        .with_config(SessionConfig::new().with_target_partitions(1))
        .with_runtime_env(environment(&memory, &RuntimeEnv::default())?)
        .build();
    let catalog = state.catalog_list().catalog(&state.config_options().catalog.default_catalog);
    let catalog = catalog.ok_or_else(|| DataFusionError::Internal("a session without a catalog".into()))?;
    catalog.register_schema(OWN_SCHEMA, Arc::new(schema))?;
    Ok(state)
}

/// DataFusion's own words, which quote names and no values of anybody else's.
fn sentence(e: &DataFusionError) -> String {
    let text = e.strip_backtrace();
    let (_, words) = text.rsplit_once("Error during planning: ").unwrap_or(("", &text));
    let first = words.lines().next().unwrap_or_default().trim_end_matches('.').replace("datafusion.public.", "");
    let first = first.replace("datafusion.", "");
    format!("a question about the schema {OWN_SCHEMA}, which can be read by itself alone, was not understood: {first}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql;
    use arrow::array::{Float64Array, StringArray};
    use arrow::datatypes::DataType;

    async fn ask(text: &str) -> Result<RecordBatch> {
        let receipts = RecordBatch::try_from_iter([
            ("dataset", Arc::new(StringArray::from(vec!["shop", "shop", "clinic"])) as ArrayRef),
            ("epsilon", Arc::new(Float64Array::from(vec![0.5, 0.25, 1.0]))),
        ]);
        let query = sql::own(text, &[]).unwrap().expect("a question of one's own");
        select(query, vec![("receipts", receipts.unwrap())]).await
    }

    #[tokio::test]
    async fn ones_own_tables_are_read_as_anywhere() {
        let text = "SELECT dataset, sum(epsilon) AS spent, count(*) AS n FROM undertone.receipts GROUP BY dataset ORDER BY 1 DESC LIMIT 1";
        let answer = ask(text).await.unwrap();
        let types: Vec<DataType> = answer.schema().fields().iter().map(|field| field.data_type().clone()).collect();
        assert_eq!(types, [DataType::Utf8, DataType::Float64, DataType::Int64]);
        let spent: ArrayRef = Arc::new(Float64Array::from(vec![0.75]));
        assert_eq!((answer.num_rows(), answer.column(1)), (1, &spent));
        assert_eq!(ask("SELECT * FROM undertone.receipts WHERE false").await.unwrap().num_rows(), 0);
    }

    #[tokio::test]
    async fn nothing_else_is_within_reach() {
        for (text, words) in [
            ("SELECT * FROM undertone.receipts, main.orders", "main.orders"),
            ("SELECT * FROM undertone.secrets", "undertone.secrets"),
            ("SELECT * FROM undertone.receipts r, information_schema.tables t", "information_schema.tables"),
            ("SELECT nothing FROM undertone.receipts", "nothing"),
        ] {
            let e = ask(text).await.unwrap_err();
            assert!(e.code == Code::UnsupportedSql && e.message.contains(words), "{text}: {e}");
        }
        // Nothing that makes values large.
        for text in [
            "SELECT repeat('a', 2000000000) FROM undertone.receipts",
            "SELECT lpad('a', 2000000000, 'b') FROM undertone.receipts",
            "SELECT concat(dataset, dataset) FROM undertone.receipts",
        ] {
            assert_eq!(ask(text).await.unwrap_err().code, Code::UnsupportedSql, "{text}");
        }
    }
}
