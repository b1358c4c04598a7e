//! Verified files as a table of DataFusion.

use super::pinned::Pinned;
use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::scalar::ScalarValue;
use std::sync::Arc;

/// Files with one schema, and after its columns those whose values are in the files' paths.
#[derive(Debug)]
pub(super) struct Scan {
    store: Arc<Pinned>,
    format: Arc<dyn FileFormat>,
    schema: TableSchema,
    /// For each file the values from its path.
    path_values: Vec<Vec<Option<String>>>,
}

impl Scan {
    pub fn new(
        store: Arc<Pinned>,
        format: Arc<dyn FileFormat>,
        file_schema: SchemaRef,
        path_columns: &[String],
        path_values: Vec<Vec<Option<String>>>,
    ) -> Scan {
        let columns: Vec<_> =
            path_columns.iter().map(|name| Arc::new(Field::new(name, DataType::Utf8, true))).collect();
        let schema = TableSchema::builder(file_schema).with_table_partition_cols(columns).build();
        Scan { store, format, schema, path_values }
    }
}

#[async_trait]
impl TableProvider for Scan {
    fn schema(&self) -> SchemaRef {
        self.schema.table_schema().clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let url = self.store.url()?;
        state.runtime_env().register_object_store(url.as_ref(), self.store.clone());
        let files = self.store.files().into_iter().zip(&self.path_values).map(|(file, values)| {
            let values = values.iter().cloned().map(ScalarValue::Utf8).collect();
            PartitionedFile::new_from_meta(file).with_partition_values(values)
        });
        let groups = FileGroup::new(files.collect()).split_files(state.config().target_partitions());
        let config = FileScanConfigBuilder::new(url, self.format.file_source(self.schema.clone()))
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        self.format.create_physical_plan(state, config).await
    }
}
