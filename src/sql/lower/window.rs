//! Window functions.
//!
//! *Over public rows*: post-processing. *Over private rows*: where the unit is among the partition's keys, so that each row's value is a
//! function of its unit's rows. Their order must not matter beyond what ORDER BY says: what depends on the order of equal rows goes on to
//! order by the whole row, and what still is equal then is the same row. No sum or mean of floats, as in any aggregate per unit.

use super::super::aggregates::QUANTILES;
use super::Lowering;
use super::aggregate::fold_type;
use super::scope::{Lowered, Noise, Scope, Slot};
use crate::algebra::{
    Direction, Expr, FoldKind, Frame, FrameEnd, FrameUnits, Literal, Relation, SortKey, Type, WindowCall,
    WindowFunction, bounds,
};
use crate::error::Result;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{Sort, WindowFunctionParams};
use datafusion::logical_expr::logical_plan::Window;
use datafusion::logical_expr::{
    Expr as DfExpr, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
};

/// Largest number of rows that a frame, LAG, LEAD or NTILE names.
const MAX_ROWS: u64 = 1_000_000;

impl Lowering<'_> {
    pub fn window(&mut self, window: &Window) -> Result<Lowered> {
        let Window { input, window_expr, schema } = window;
        let Lowered { mut relation, mut scope } = self.relation(input)?;
        if scope.optional.is_some() {
            let message = "after an outer join that keeps unmatched rows of a public table comes its GROUP BY";
            return Err(self.unsupported("over", message));
        }
        let first = scope.columns.len();
        let mut slots = Vec::new();
        for (at, expr) in window_expr.iter().enumerate() {
            let call = self.window_call(expr, input.schema(), &scope)?;
            self.spend(1 + call.parts().map(Expr::size).sum::<usize>())?;
            // The values of these are among their argument's.
            let kept = match call.function {
                WindowFunction::Lag(_) | WindowFunction::Lead(_) | WindowFunction::First | WindowFunction::Last => true,
                WindowFunction::Fold(kind) => matches!(kind, FoldKind::Min | FoldKind::Max),
                _ => false,
            };
            let of = call.of.as_ref().filter(|_| kept).and_then(|of| bounds(of, &|i| scope.bounds_at(i)));
            let noise = if !scope.private && scope.has_noise() { Noise::Withheld } else { Noise::Exact };
            slots.push(Slot {
                bounds: of,
                noise,
                ..Slot::plain(scope.width + at, schema.field(first + at).name(), call.ty)
            });
            relation = Relation::Window { input: Box::new(relation), call };
        }
        scope.width += slots.len();
        scope.columns.extend(slots);
        Ok(Lowered { relation, scope })
    }

    fn window_call(&self, expr: &DfExpr, schema: &DFSchema, scope: &Scope) -> Result<WindowCall> {
        let expr = match expr {
            DfExpr::Alias(alias) => alias.expr.as_ref(),
            other => other,
        };
        let DfExpr::WindowFunction(window) = expr else {
            return Err(self.unsupported("over", "only window functions can stand with OVER"));
        };
        let WindowFunctionParams { args, partition_by, order_by, window_frame, filter, null_treatment, distinct } =
            &window.params;
        let name = window.fun.name();
        if filter.is_some() || null_treatment.is_some() || *distinct {
            let message = format!("{name} with OVER takes no FILTER, DISTINCT or IGNORE NULLS: use CASE");
            return Err(self.unsupported(name, message));
        }
        let argument = |arg: &DfExpr| match arg {
            // COUNT(*) counts rows, as COUNT(1) does.
            #[expect(deprecated, reason = "the planner still makes it")]
            DfExpr::Wildcard { .. } if name == "count" => Ok((Expr::Literal(Literal::Int(1)), Type::Int)),
            arg => self.expr(arg, schema, scope),
        };
        let typed = args.iter().map(argument).collect::<Result<Vec<_>>>()?;
        let mut partition =
            partition_by.iter().map(|e| Ok(self.expr(e, schema, scope)?.0)).collect::<Result<Vec<_>>>()?;
        let mut order = order_by.iter().map(|key| self.sort_key(key, schema, scope)).collect::<Result<Vec<_>>>()?;
        let mut of = typed.first().cloned();
        let (function, ty) = match &window.fun {
            WindowFunctionDefinition::AggregateUDF(_) => {
                if QUANTILES.contains(&name) {
                    return Err(
                        self.unsupported(name, format!("{name} with OVER is not supported: aggregate with GROUP BY"))
                    );
                }
                let call = self.fold_call(name, false, typed)?;
                if let FoldKind::Statistic(statistic) = call.kind {
                    let message = format!(
                        "{} with OVER is not supported: it follows from SUM(x), SUM(x * x) and COUNT(x)",
                        statistic.name()
                    );
                    return Err(self.unsupported(name, message));
                }
                let call = if scope.private { self.per_unit(call, scope)? } else { call };
                of = Some((call.of.clone(), call.ty));
                (WindowFunction::Fold(call.kind), fold_type(&call))
            }
            WindowFunctionDefinition::WindowUDF(_) => self.window_function(name, &typed)?,
        };
        let frame = self.frame(window_frame)?;
        if scope.private {
            self.check_private(&function, &partition, scope)?;
            if !partition.iter().any(|e| scope.slot_of(e).is_some_and(|slot| slot.unit)) {
                // A parent's key is there in its place.
                partition.insert(0, Expr::Column(0));
            }
            // Rows that are equal in the order have one first and one last value together, which is that of no row by itself.
            let by_peers = match function {
                // The order gets more keys below, and what counts groups of equal rows would see others.
                WindowFunction::First | WindowFunction::Last if frame.units == FrameUnits::Groups => true,
                WindowFunction::First => frame.start == FrameEnd::Current,
                WindowFunction::Last => frame.end == FrameEnd::Current,
                _ => false,
            };
            if by_peers && frame.units != FrameUnits::Rows {
                let message = format!(
                    "{name} up to the current row looks at rows that are equal in the order: write ROWS BETWEEN ... AND ..., or UNBOUNDED"
                );
                return Err(self.unsupported(name, message));
            }
            if function.sees_order_of_equals() || frame.units == FrameUnits::Rows {
                let whole = (0..scope.width).map(Expr::Column);
                order.extend(whole.map(|expr| SortKey { expr, direction: Direction::Ascending, nulls_first: true }));
            }
        }
        Ok(WindowCall { function, of: of.map(|(e, _)| e), partition, order, frame, ty })
    }

    fn check_private(&self, function: &WindowFunction, partition: &[Expr], scope: &Scope) -> Result<()> {
        if !partition.iter().any(|e| scope.slot_of(e).is_some_and(|slot| self.is_within_unit(slot))) {
            let message = format!(
                "over private rows a window stays within one privacy unit ({}): add its column to PARTITION BY, or aggregate first",
                self.dataset.privacy_unit
            );
            return Err(self.unsupported("over", message));
        }
        match function {
            WindowFunction::Fold(FoldKind::Mean) => {
                Err(self.unsupported("over", "a per-unit AVG with OVER is not supported: divide a SUM by a COUNT"))
            }
            _ => Ok(()),
        }
    }

    fn sort_key(&self, key: &Sort, schema: &DFSchema, scope: &Scope) -> Result<SortKey> {
        let direction = if key.asc { Direction::Ascending } else { Direction::Descending };
        Ok(SortKey { expr: self.expr(&key.expr, schema, scope)?.0, direction, nulls_first: key.nulls_first })
    }

    fn window_function(&self, name: &str, args: &[(Expr, Type)]) -> Result<(WindowFunction, Type)> {
        let rows = |at: usize, least: u64| match args.get(at).map(|(e, _)| e) {
            Some(Expr::Literal(Literal::Int(rows))) => {
                u64::try_from(*rows).ok().filter(|rows| (least..=MAX_ROWS).contains(rows))
            }
            _ => None,
        };
        let ty = args.first().map_or(Type::Int, |(_, ty)| *ty);
        let found = match (name, args.len()) {
            ("row_number", 0) => Some((WindowFunction::RowNumber, Type::Int)),
            ("rank", 0) => Some((WindowFunction::Rank, Type::Int)),
            ("dense_rank", 0) => Some((WindowFunction::DenseRank, Type::Int)),
            ("percent_rank", 0) => Some((WindowFunction::PercentRank, Type::Float)),
            ("cume_dist", 0) => Some((WindowFunction::CumeDist, Type::Float)),
            ("ntile", 1) => rows(0, 1).map(|rows| (WindowFunction::Ntile(rows), Type::Int)),
            ("lag", 1) => Some((WindowFunction::Lag(1), ty)),
            ("lag", 2) => rows(1, 0).map(|rows| (WindowFunction::Lag(rows), ty)),
            ("lead", 1) => Some((WindowFunction::Lead(1), ty)),
            ("lead", 2) => rows(1, 0).map(|rows| (WindowFunction::Lead(rows), ty)),
            ("first_value", 1) => Some((WindowFunction::First, ty)),
            ("last_value", 1) => Some((WindowFunction::Last, ty)),
            _ => None,
        };
        found.ok_or_else(|| {
            let message = format!("{name} takes an expression and, where it counts rows, a literal from 1 to {MAX_ROWS}; use COALESCE for a default");
            self.unsupported(name, message)
        })
    }

    fn frame(&self, frame: &WindowFrame) -> Result<Frame> {
        let end = |bound: &WindowFrameBound| match bound {
            WindowFrameBound::CurrentRow => Some(FrameEnd::Current),
            WindowFrameBound::Preceding(rows) => distance(rows).map(FrameEnd::Before),
            WindowFrameBound::Following(rows) => distance(rows).map(FrameEnd::After),
        };
        let units = match frame.units {
            WindowFrameUnits::Rows => FrameUnits::Rows,
            WindowFrameUnits::Range => FrameUnits::Range,
            WindowFrameUnits::Groups => FrameUnits::Groups,
        };
        let ends = end(&frame.start_bound).zip(end(&frame.end_bound));
        let counted = units != FrameUnits::Range;
        match ends.filter(|(start, end)| counted || [start, end].iter().all(|end| !end.is_counted())) {
            Some((start, end)) => Ok(Frame { units, start, end }),
            _ => {
                let message =
                    "a frame goes from and to UNBOUNDED, CURRENT ROW or, with ROWS or GROUPS, a number of them";
                Err(self.unsupported("between", message))
            }
        }
    }
}

/// A number of rows; None within is all of them.
fn distance(rows: &ScalarValue) -> Option<Option<u64>> {
    match rows {
        rows if rows.is_null() => Some(None),
        ScalarValue::UInt64(Some(rows)) if *rows <= MAX_ROWS => Some(Some(*rows)),
        _ => None,
    }
}
