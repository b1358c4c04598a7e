//! Window functions by name, with our types: a number of rows is a BIGINT like any other. Lowering gives them a meaning; they are never
//! executed.

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::functions_window::cume_dist::cume_dist_udwf;
use datafusion::functions_window::lead_lag::{lag_udwf, lead_udwf};
use datafusion::functions_window::nth_value::{first_value_udwf, last_value_udwf};
use datafusion::functions_window::ntile::ntile_udwf;
use datafusion::functions_window::rank::{dense_rank_udwf, percent_rank_udwf, rank_udwf};
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{LimitEffect, PartitionEvaluator, Signature, WindowUDF, WindowUDFImpl};
use datafusion::physical_plan::PhysicalExpr;
use std::sync::Arc;

pub fn windows() -> [Arc<WindowUDF>; 10] {
    let known = [
        row_number_udwf(),
        rank_udwf(),
        dense_rank_udwf(),
        percent_rank_udwf(),
        cume_dist_udwf(),
        ntile_udwf(),
        lag_udwf(),
        lead_udwf(),
        first_value_udwf(),
        last_value_udwf(),
    ];
    known.map(|function| Arc::new(WindowUDF::from(Named(function))))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Named(Arc<WindowUDF>);

impl WindowUDFImpl for Named {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let field = self.0.field(args)?;
        Ok(match field.data_type() {
            DataType::UInt64 => Arc::new(field.as_ref().clone().with_data_type(DataType::Int64)),
            _ => field,
        })
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.0.coerce_types(types)
    }

    fn partition_evaluator(&self, _: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        internal_err!("{} has no meaning before it is lowered", self.name())
    }

    fn limit_effect(&self, _: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        LimitEffect::Unknown
    }
}
