//! Scalar functions of plans that read private rows. Each has a result for every input: none errors, panics or
//! allocates by value.

mod apply;
mod arithmetic;
mod call;
mod cast;
mod cell;
mod lattice;
mod rank;
mod weight;

pub use apply::apply;
pub use arithmetic::arithmetic;
pub use call::call;
pub use cast::cast;
pub use cell::cell;
pub use lattice::{clamp, quantise, value, weigh, weighed};
pub use rank::{Secret, rank};
pub use weight::spread;

use datafusion::arrow::datatypes::DataType;

/// The integers in which contributions are summed: 128 bits.
pub const STEPS: DataType = DataType::Decimal128(38, 0);

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
    use datafusion::arrow::datatypes::{Field, Schema};
    use datafusion::common::DFSchema;
    use datafusion::error::Result;
    use datafusion::execution::context::ExecutionProps;
    use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
    use datafusion::logical_expr::{Expr, col};
    use datafusion::physical_expr::create_physical_expr;
    use std::sync::Arc;

    /// An expression over columns, as a plan would have it.
    pub fn evaluated(expr: impl Fn(Vec<Expr>) -> Expr, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let name = |at: usize| format!("c{at}");
        let fields = columns.iter().enumerate().map(|(at, c)| Field::new(name(at), c.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(schema.clone(), columns.to_vec(), &options)?;
        let planned = DFSchema::try_from(schema)?;
        let expr = expr((0..columns.len()).map(|at| col(name(at))).collect());
        create_physical_expr(&expr, &planned, &ExecutionProps::new(), &PhysicalPlanningContext::default())?
            .evaluate(&batch)?
            .into_array(rows)
    }
}
