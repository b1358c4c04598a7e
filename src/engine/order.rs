//! Partitions one after the other.
//!
//! DataFusion reads the partitions of a plan side by side and takes rows as they come. For public tables that would make LIMIT without
//! an order, ties, and sums of floats differ from run to run; so wherever partitions meet, they are read in their order here.

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::internal_err;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::{StreamExt, TryStreamExt};
use std::fmt;
use std::sync::Arc;

/// The plan with one partition, in which partitions meet in their order.
pub fn in_order(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let ordered = plan.transform_up(|node| match node.downcast_ref::<CoalescePartitionsExec>() {
        Some(coalesce) if coalesce.fetch().is_none() => Ok(Transformed::yes(InOrder::over(coalesce.input().clone()))),
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(InOrder::over(ordered.data))
}

#[derive(Debug)]
struct InOrder {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl InOrder {
    fn over(input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        let of = input.properties();
        if of.output_partitioning().partition_count() == 1 {
            return input;
        }
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(1),
            of.emission_type,
            of.boundedness,
        );
        Arc::new(InOrder { properties: Arc::new(properties), input })
    }

    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}

impl DisplayAs for InOrder {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "InOrder")
    }
}

impl ExecutionPlan for InOrder {
    fn name(&self) -> &str {
        "InOrder"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match <[_; 1]>::try_from(children) {
            Ok([input]) => Ok(InOrder::over(input)),
            Err(_) => internal_err!("partitions are put in order over one input"),
        }
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (input, count) = (self.input.clone(), self.input.properties().output_partitioning().partition_count());
        let streams = futures::stream::iter(0..count).map(move |partition| input.execute(partition, context.clone()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), streams.try_flatten())))
    }
}
