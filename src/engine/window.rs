//! Window functions, by DataFusion's own.

use super::build::{column, folded, project, result, scalar, sort_key};
use super::functions::cast;
use crate::algebra::{Expr, FrameEnd, FrameUnits, WindowCall, WindowFunction};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result;
use datafusion::functions_window::cume_dist::cume_dist;
use datafusion::functions_window::lead_lag::{lag, lead};
use datafusion::functions_window::nth_value::{first_value, last_value};
use datafusion::functions_window::ntile::ntile;
use datafusion::functions_window::rank::{dense_rank, percent_rank, rank};
use datafusion::functions_window::row_number::row_number;
use datafusion::logical_expr::expr::WindowFunction as DfWindow;
use datafusion::logical_expr::{
    Expr as DfExpr, ExprFunctionExt, LogicalPlanBuilder, WindowFrame, WindowFrameBound, WindowFrameUnits, lit,
};

/// The plan with a window function's value as one more column, and that column.
pub fn with_window(plan: LogicalPlanBuilder, function: DfExpr) -> Result<(LogicalPlanBuilder, DfExpr)> {
    let plan = LogicalPlanBuilder::from(LogicalPlanBuilder::window_plan(plan.build()?, vec![function])?);
    let value = plan.schema().columns().pop().map_or_else(|| internal_err!("a window without its column"), Ok)?;
    Ok((plan, DfExpr::Column(value)))
}

/// The plan's columns, then the call's values.
pub fn window(plan: LogicalPlanBuilder, call: &WindowCall) -> Result<LogicalPlanBuilder> {
    let width = plan.schema().fields().len();
    let of = || match &call.of {
        Some(of) => Ok(scalar(of, &column)),
        None => internal_err!("a window function without its argument"),
    };
    let function = match call.function {
        WindowFunction::RowNumber => row_number(),
        WindowFunction::Rank => rank(),
        WindowFunction::DenseRank => dense_rank(),
        WindowFunction::PercentRank => percent_rank(),
        WindowFunction::CumeDist => cume_dist(),
        WindowFunction::Ntile(parts) => ntile(lit(i64::try_from(parts).unwrap_or(i64::MAX))),
        WindowFunction::Lag(rows) => lag(of()?, Some(i64::try_from(rows).unwrap_or(i64::MAX)), None),
        WindowFunction::Lead(rows) => lead(of()?, Some(i64::try_from(rows).unwrap_or(i64::MAX)), None),
        WindowFunction::First => first_value(of()?),
        WindowFunction::Last => last_value(of()?),
        WindowFunction::Fold(kind) => match folded(kind, call.ty, of()?, None) {
            DfExpr::AggregateFunction(fold) => DfExpr::from(DfWindow::new(fold.func, fold.params.args)),
            _ => return internal_err!("an aggregate is none"),
        },
    };
    let expr = |e: &Expr| scalar(e, &column);
    let built = function
        .partition_by(call.partition.iter().map(expr).collect())
        .order_by(call.order.iter().map(sort_key).collect())
        .window_frame(frame(call))
        .build()?;
    let (plan, value) = with_window(plan, built)?;
    let value = match call.function {
        WindowFunction::Fold(kind) => result(kind, call.ty, value),
        _ => cast(value, call.ty),
    };
    project(plan, (0..width).map(column).chain([value]))
}

fn frame(call: &WindowCall) -> WindowFrame {
    // Nothing counts rows, but for the frames that say so.
    let distance = |rows: Option<u64>| ScalarValue::UInt64(rows);
    let end = |end: FrameEnd| match end {
        FrameEnd::Before(rows) => WindowFrameBound::Preceding(distance(rows)),
        FrameEnd::Current => WindowFrameBound::CurrentRow,
        FrameEnd::After(rows) => WindowFrameBound::Following(distance(rows)),
    };
    let units = match call.frame.units {
        FrameUnits::Rows => WindowFrameUnits::Rows,
        FrameUnits::Range => WindowFrameUnits::Range,
        FrameUnits::Groups => WindowFrameUnits::Groups,
    };
    WindowFrame::new_bounds(units, end(call.frame.start), end(call.frame.end))
}
