//! Names and types, by DataFusion, over the declared catalog alone.

use super::DATA_SCHEMA;
use super::aggregates::aggregate;
use super::functions::{AGGREGATES, SPECIALS, scalar_names};
use super::locate::{Locator, position};
use super::windows::windows;
use crate::algebra::{Scalar, Type};
use crate::catalog::{Dataset, arrow_type, canonical};
use crate::error::{Code, Error, Result};
use datafusion::arrow::datatypes::{DataType, Field, IntervalMonthDayNano, Schema};
use datafusion::common::JoinType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, SchemaError, TableReference, internal_err, plan_err};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::functions::core::{coalesce, greatest, least, nullif};
use datafusion::functions_aggregate::planner::AggregateFunctionPlanner;
use datafusion::logical_expr::expr::InSubquery;
use datafusion::logical_expr::logical_plan::builder::LogicalTableSource;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::utils::{conjunction, split_conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    AggregateUDF, BinaryExpr, ColumnarValue, Expr, ExprSchemable, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder,
    Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TableSource, TypeSignature, Volatility,
    WindowUDF,
};
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion::optimizer::{Analyzer, Optimizer, OptimizerContext, OptimizerRule};
use datafusion::scalar::ScalarValue;
use datafusion::sql::planner::{ParserOptions, SqlToRel};
use datafusion::sql::sqlparser::ast::{BinaryOperator, Query, Statement};
use datafusion::sql::sqlparser::tokenizer::Location;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// The types of the parameters `$1`, `$2`, ... of a query, as far as what they stand beside tells.
pub fn parameter_types(query: Box<Query>, dataset: &Dataset, count: usize) -> Vec<Option<Type>> {
    let names = Names::new(dataset);
    let options = ParserOptions::new().with_map_string_types_to_utf8view(false);
    let plan = SqlToRel::new_with_options(&names, options).sql_statement_to_plan(Statement::Query(query));
    let known = plan.and_then(|plan| plan.get_parameter_types()).unwrap_or_default();
    (1..=count).map(|number| known.get(&format!("${number}"))?.as_ref().and_then(canonical)).collect()
}

/// A typed logical plan. It is judged by lowering and never executed.
///
/// Messages leave out what is `hidden`.
pub fn analyse(
    query: Box<Query>,
    (dataset, hidden): (&Dataset, &BTreeSet<String>),
    locator: &Locator,
) -> Result<LogicalPlan> {
    let names = Names::new(dataset);
    let explain = |e| explain(e, dataset, hidden, locator);
    let options = ParserOptions::new().with_map_string_types_to_utf8view(false).with_collect_spans(true);
    let plan =
        SqlToRel::new_with_options(&names, options).sql_statement_to_plan(Statement::Query(query)).map_err(explain)?;
    check_size(&plan)?;
    check_subqueries(&plan, locator)?;
    let typed = Analyzer::with_rules(vec![Arc::new(TypeCoercion::new())])
        .execute_and_check(plan, &names.options, |_, _| {})
        .map_err(explain)?;
    // Its errors name what it made, not what was written.
    joined(typed, &names.options).map_err(|_| {
        let message = "this correlated subquery has no join that means the same: put it into FROM and join it";
        Error::new(Code::UnsupportedSql, message).or_at(locator.find("exists").or(locator.find("(")))
    })
}

/// Tables with commas between them are joined by the equalities of WHERE, one after the other; subqueries in expressions become the
/// joins that they mean, and those that have none stay, and lowering refuses them.
fn joined(plan: LogicalPlan, options: &ConfigOptions) -> DfResult<LogicalPlan> {
    let mut options = options.clone();
    options.optimizer.enable_physical_uncorrelated_scalar_subquery = false;
    let context = OptimizerContext::new_with_config_options(Arc::new(options));
    let apply = |rules: Vec<Arc<dyn OptimizerRule + Send + Sync>>, plan| {
        Optimizer::with_rules(rules).optimize(plan, &context, |_, _| {})
    };
    let joins = || vec![Arc::new(EliminateCrossJoin::new()) as _];
    let plan = apply(joins(), conditions_of_joins(plan)?)?;
    let plan = apply(vec![Arc::new(DecorrelatePredicateSubquery::new()), Arc::new(ScalarSubqueryToJoin::new())], plan)?;
    // Those of correlated subqueries could not be seen before.
    apply(joins(), plan)
}

/// Most operators and expressions of a typed plan, those of a WITH query counted at each of its uses.
const MAX_PLAN_NODES: usize = 50_000;

/// Up to here a WITH query that is used twice is one plan with two names. What comes next writes it out at each use, so that a short
/// chain of them could become anything.
fn check_size(plan: &LogicalPlan) -> Result<()> {
    let mut nodes = 0;
    let counted = plan.apply_with_subqueries(|operator| {
        nodes += 1;
        operator.apply_expressions(|expr| {
            expr.apply(|_| {
                nodes += 1;
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(if nodes > MAX_PLAN_NODES { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    counted.map_err(|e| Error::internal(e.strip_backtrace()))?;
    if nodes <= MAX_PLAN_NODES {
        return Ok(());
    }
    let message = format!(
        "with every WITH query written out at each use the question has more than {MAX_PLAN_NODES} parts: split it"
    );
    Err(Error::new(Code::SqlTooLong, message))
}

/// Refuses subqueries in expressions that would not mean the same as joins.
///
/// One that stands for a value has one row by its form: whether it has more must not be found out from rows. A correlated one is turned
/// into a join by moving its condition up; past a window function, which would then see other rows, or out of an aggregate that has
/// a row even where nothing matches, it must not move.
fn check_subqueries(plan: &LogicalPlan, locator: &Locator) -> Result<()> {
    let mut wrong = None;
    let looked = plan.apply_with_subqueries(|operator| {
        if let LogicalPlan::Filter(filter) = operator {
            wrong = split_conjunction(&filter.predicate).into_iter().find_map(wrong_membership).or(wrong);
        }
        operator.apply_expressions(|expr| {
            expr.apply(|e| {
                let (subquery, is_value) = match e {
                    Expr::ScalarSubquery(subquery) => (subquery, true),
                    Expr::InSubquery(within) => (&within.subquery, false),
                    Expr::Exists(exists) => (&exists.subquery, false),
                    _ => return Ok(TreeNodeRecursion::Continue),
                };
                let correlated = !subquery.outer_ref_columns.is_empty();
                if is_value && subquery.subquery.max_rows().is_none_or(|rows| rows > 1) {
                    wrong = Some("a subquery that stands for a value must have one row: aggregate in it, without GROUP BY");
                } else if correlated && contains(&subquery.subquery, |p| matches!(p, LogicalPlan::Window(_)))? {
                    wrong = Some("a window function in a correlated subquery is not supported: put the subquery into FROM and join it");
                } else if correlated && !is_value && contains(&subquery.subquery, has_a_row_anyway)? {
                    wrong = Some("IN and EXISTS over an aggregate of a correlated subquery are not supported: compare its value, for example (SELECT count(*) FROM ...) = 0");
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    looked.map_err(|e| Error::internal(e.strip_backtrace()))?;
    wrong.map_or(Ok(()), |message| {
        let at = locator.find("exists").or(locator.find("in")).or(locator.find("("));
        Err(Error::new(Code::UnsupportedSql, message).or_at(at))
    })
}

/// What is wrong with `x IN (SELECT ...)` as a condition, or within one.
fn wrong_membership(part: &Expr) -> Option<&'static str> {
    match membership(part) {
        // Where the subquery's condition is `y = x` too, the planner takes it for NOT IN's own equality, which NULL fulfils.
        Some((within, true)) if !within.subquery.outer_ref_columns.is_empty() => {
            Some("NOT IN over a correlated subquery is not supported: write NOT EXISTS (SELECT 1 FROM ... WHERE ...)")
        }
        Some((within, _)) if !contains_in(&within.expr) => None,
        None if has_no_unknown_in(part) => None,
        _ => Some(
            "NOT IN (SELECT ...), or a comparison of IN (SELECT ...) with something, may be unknown here: write NOT EXISTS (SELECT 1 FROM ... WHERE ...)",
        ),
    }
}

/// The `x IN (SELECT ...)` that a condition is, and whether it is negated.
fn membership(part: &Expr) -> Option<(&InSubquery, bool)> {
    match part {
        Expr::Not(inner) => match inner.as_ref() {
            Expr::InSubquery(within) => Some((within, !within.negated)),
            _ => None,
        },
        Expr::InSubquery(within) => Some((within, within.negated)),
        _ => None,
    }
}

fn contains_in(expr: &Expr) -> bool {
    expr.exists(|e| Ok(matches!(e, Expr::InSubquery(_)))).unwrap_or(true)
}

/// Whether nothing in a condition can tell an unknown `x IN (SELECT ...)` from a false one: within a larger condition it becomes a
/// column that is true or false.
fn has_no_unknown_in(part: &Expr) -> bool {
    match part {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
            has_no_unknown_in(left) && has_no_unknown_in(right)
        }
        Expr::InSubquery(within) => !within.negated && !contains_in(&within.expr),
        other => !contains_in(other),
    }
}

fn contains(plan: &LogicalPlan, wanted: impl Fn(&LogicalPlan) -> bool) -> DfResult<bool> {
    plan.exists(|operator| Ok(wanted(operator)))
}

/// An aggregate that has a row where its input has none.
fn has_a_row_anyway(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Aggregate(a) if a.group_expr.is_empty() || matches!(a.group_expr[0], Expr::GroupingSet(_)))
}

/// `FROM a, b WHERE ...` with a subquery in the condition: what has none is by itself, right above the join, before the subquery becomes
/// another one.
fn conditions_of_joins(plan: LogicalPlan) -> DfResult<LogicalPlan> {
    let moved = plan.transform_up_with_subqueries(|operator| {
        let LogicalPlan::Filter(filter) = &operator else { return Ok(Transformed::no(operator)) };
        let LogicalPlan::Join(join) = filter.input.as_ref() else { return Ok(Transformed::no(operator)) };
        if join.join_type != JoinType::Inner || !join.on.is_empty() || join.filter.is_some() {
            return Ok(Transformed::no(operator));
        }
        let is_subquery = |e: &Expr| matches!(e, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_));
        let has_subquery = |e: &Expr| e.exists(|part| Ok(is_subquery(part)));
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for part in split_conjunction_owned(filter.predicate.clone()) {
            if has_subquery(&part)? { with.push(part) } else { without.push(part) }
        }
        match (conjunction(with), conjunction(without)) {
            (Some(with), Some(without)) => {
                let joined = LogicalPlanBuilder::from(LogicalPlan::Join(join.clone()));
                Ok(Transformed::yes(joined.filter(without)?.filter(with)?.build()?))
            }
            _ => Ok(Transformed::no(operator)),
        }
    });
    Ok(moved?.data)
}

/// The declared tables and the functions that have a rule; nothing else has a name.
struct Names {
    dataset: String,
    tables: HashMap<String, Arc<dyn TableSource>>,
    options: ConfigOptions,
    planners: Vec<Arc<dyn ExprPlanner>>,
}

impl Names {
    fn new(dataset: &Dataset) -> Self {
        let tables = dataset.tables.iter().map(|table| {
            let fields = table.columns.iter().map(|c| Field::new(&c.name, arrow_type(c.ty), true));
            let schema = Schema::new(fields.collect::<Vec<_>>());
            (table.name.clone(), Arc::new(LogicalTableSource::new(Arc::new(schema))) as Arc<dyn TableSource>)
        });
        Names {
            dataset: dataset.name.clone(),
            tables: tables.collect(),
            options: ConfigOptions::new(),
            planners: vec![Arc::new(AggregateFunctionPlanner), Arc::new(SyntaxPlanner)],
        }
    }
}

impl ContextProvider for Names {
    fn get_table_source(&self, name: TableReference) -> DfResult<Arc<dyn TableSource>> {
        // Some tools take the catalog for a schema.
        let is_here = match (name.catalog(), name.schema()) {
            (None, schema) => schema.is_none_or(|schema| schema == DATA_SCHEMA || schema == self.dataset),
            (Some(catalog), schema) => catalog == self.dataset && schema == Some(DATA_SCHEMA),
        };
        match self.tables.get(name.table()).filter(|_| is_here) {
            Some(source) => Ok(source.clone()),
            None => plan_err!("{UNKNOWN_TABLE}{name}"),
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        match name {
            "coalesce" | "ifnull" | "nvl" => Some(coalesce()),
            "nullif" => Some(nullif()),
            "greatest" => Some(greatest()),
            "least" => Some(least()),
            name => named(name),
        }
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        aggregate(name)
    }

    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        windows().into_iter().find(|function| function.name() == name)
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        scalar_names().map(str::to_owned).collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        vec![]
    }

    fn udaf_names(&self) -> Vec<String> {
        AGGREGATES.map(String::from).into()
    }

    fn udwf_names(&self) -> Vec<String> {
        windows().iter().map(|function| function.name().to_owned()).collect()
    }
}

/// Functions with a syntax of their own: EXTRACT(field FROM x) is date_part('field', x), SUBSTRING(x FROM a FOR b) is substr(x, a, b),
/// POSITION(a IN x) is strpos(x, a), the difference of two dates is a number of days, and a number that is added to a date is one.
#[derive(Debug)]
struct SyntaxPlanner;

impl ExprPlanner for SyntaxPlanner {
    fn plan_substring(&self, args: Vec<Expr>) -> DfResult<PlannerResult<Vec<Expr>>> {
        planned("substr", args)
    }

    fn plan_extract(&self, args: Vec<Expr>) -> DfResult<PlannerResult<Vec<Expr>>> {
        planned("date_part", args)
    }

    fn plan_position(&self, args: Vec<Expr>) -> DfResult<PlannerResult<Vec<Expr>>> {
        planned("strpos", args)
    }

    fn plan_overlay(&self, args: Vec<Expr>) -> DfResult<PlannerResult<Vec<Expr>>> {
        planned("overlay", args)
    }

    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> DfResult<PlannerResult<RawBinaryExpr>> {
        let types = (expr.left.get_type(schema), expr.right.get_type(schema));
        let (Ok(left), Ok(right)) = types else { return Ok(PlannerResult::Original(expr)) };
        let (left, right) = (canonical(&left), canonical(&right));
        use crate::algebra::Type::{Date, Int, Timestamp};
        if expr.op == BinaryOperator::Multiply
            && let Some(interval) = times(&expr.left, &expr.right).or_else(|| times(&expr.right, &expr.left))
        {
            return Ok(PlannerResult::Planned(interval));
        }
        let made = match (left, &expr.op, right) {
            (Some(Date), BinaryOperator::Minus, Some(Date)) => call("days_between", vec![expr.left, expr.right])?,
            (Some(Date), BinaryOperator::Plus, Some(Int)) => call("add_days", vec![expr.left, expr.right])?,
            (Some(Int), BinaryOperator::Plus, Some(Date)) => call("add_days", vec![expr.right, expr.left])?,
            (Some(Date), BinaryOperator::Minus, Some(Int)) => {
                call("add_days", vec![expr.left, Expr::Negative(Box::new(expr.right))])?
            }
            (Some(Date | Timestamp), BinaryOperator::Minus, Some(Date | Timestamp)) => {
                return plan_err!(
                    "the difference of timestamps is not a type here: write date_diff('second', earlier, later)"
                );
            }
            _ => return Ok(PlannerResult::Original(expr)),
        };
        Ok(PlannerResult::Planned(made))
    }
}

/// A constant interval a whole number of times.
fn times(interval: &Expr, by: &Expr) -> Option<Expr> {
    let (
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(one)), _),
        Expr::Literal(ScalarValue::Int64(Some(by)), _),
    ) = (interval, by)
    else {
        return None;
    };
    let small = |part: i32| i32::try_from(i64::from(part).checked_mul(*by)?).ok();
    let product = IntervalMonthDayNano::new(small(one.months)?, small(one.days)?, one.nanoseconds.checked_mul(*by)?);
    Some(Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(product)), None))
}

/// A call of a function with a syntax of its own.
fn call(name: &str, args: Vec<Expr>) -> DfResult<Expr> {
    match named(name) {
        Some(function) => Ok(function.call(args)),
        None => internal_err!("{name} has no rule"),
    }
}

fn planned(name: &str, args: Vec<Expr>) -> DfResult<PlannerResult<Vec<Expr>>> {
    Ok(PlannerResult::Planned(call(name, args)?))
}

/// A function that is known by name, number of arguments and type: lowering gives it a meaning, and it is never executed.
fn named(name: &str) -> Option<Arc<ScalarUDF>> {
    let (name, counts, returns) = match SPECIALS.iter().find(|(known, ..)| *known == name) {
        Some((name, counts, returns)) => (*name, counts.clone().collect(), Some(arrow_type(*returns))),
        None => {
            let scalar = Scalar::find(name)?;
            (scalar.name, scalar.overloads.iter().map(|overload| overload.takes.len()).collect::<BTreeSet<_>>(), None)
        }
    };
    let count = |n| if n == 0 { TypeSignature::Nullary } else { TypeSignature::Any(n) };
    let signature = Signature::one_of(counts.into_iter().map(count).collect(), Volatility::Immutable);
    Some(Arc::new(ScalarUDF::from(Named { name, returns, signature })))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Named {
    name: &'static str,
    /// None follows from the arguments'.
    returns: Option<DataType>,
    signature: Signature,
}

impl ScalarUDFImpl for Named {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, of: &[DataType]) -> DfResult<DataType> {
        if let Some(returns) = &self.returns {
            return Ok(returns.clone());
        }
        let Some(scalar) = Scalar::find(self.name) else { return internal_err!("{} has no rule", self.name) };
        match scalar.overload(&of.iter().map(canonical).collect::<Vec<_>>()) {
            Some(call) => Ok(arrow_type(call.overload().gives)),
            None => plan_err!("{}", wrong_arguments(scalar)),
        }
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        internal_err!("{} has no meaning before it is lowered", self.name)
    }
}

/// What to say where a function takes no arguments of these types.
pub fn wrong_arguments(scalar: &Scalar) -> String {
    let takes = scalar.overloads.iter().map(|overload| {
        let types: Vec<_> = overload.takes.iter().map(|ty| ty.sql()).collect();
        format!("({})", types.join(", "))
    });
    let takes = takes.collect::<Vec<_>>().join(" or ");
    let or = if scalar.name == "substr" { ", or write regexp_substr for a pattern" } else { "" };
    format!("{} is written {} and takes {takes}: add a CAST{or}", scalar.name, scalar.form)
}

const UNKNOWN_TABLE: &str = "unknown table ";

/// DataFusion's planning errors in our words. They are about text and catalog, never about data.
fn explain(e: DataFusionError, dataset: &Dataset, hidden: &BTreeSet<String>, locator: &Locator) -> Error {
    let shown = |name: &&str| !hidden.contains(*name);
    let at = e
        .diagnostic()
        .and_then(|d| d.span)
        .and_then(|span| position(Location { line: span.start.line, column: span.start.column }));
    let text = e.to_string();
    if let Some((before, _)) = text.split_once("' failed to match any signature")
        && let Some((_, function)) = before.rsplit_once('\'')
    {
        let message = match Scalar::find(function) {
            Some(scalar) => wrong_arguments(scalar),
            None => format!("{function} does not take arguments of these types, or so many"),
        };
        return Error::new(Code::UnsupportedSql, message).or_at(locator.find(function));
    }
    if let Some((_, call)) = text.split_once("Failed to coerce arguments to satisfy a call to '")
        && let Some((function, _)) = call.split_once('\'')
    {
        let message = match function {
            "bool_and" | "bool_or" => format!("{function} takes a condition"),
            name if name == "corr" || name.starts_with("covar") || name.starts_with("regr") => {
                format!("{name} takes two numbers, y and x")
            }
            name => format!("{name} does not take arguments of these types, or so many: add a CAST to a number"),
        };
        return Error::new(Code::UnsupportedSql, message).or_at(locator.find(function));
    }
    if text.contains("array literal") {
        let message = "arrays are not supported: for several quantiles write several calls";
        return Error::new(Code::UnsupportedSql, message).or_at(locator.find("array"));
    }
    let error = match e.find_root() {
        DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => {
                let names: Vec<_> = valid_fields.iter().map(|c| c.name.as_str()).filter(shown).collect();
                let known = match names.is_empty() {
                    true => String::new(),
                    false => format!("; here are {}", names.join(", ")),
                };
                Error::new(Code::UnknownColumn, format!("there is no column '{}'{known}", field.quoted_flat_name()))
            }
            SchemaError::AmbiguousReference { field } => {
                let name = &field.name;
                let message = format!("several tables here have a column '{name}': write whose it is, as in t.{name}");
                Error::new(Code::UnknownColumn, message)
            }
            other => Error::new(Code::UnknownColumn, plain(&other.to_string())),
        },
        DataFusionError::Plan(message) | DataFusionError::NotImplemented(message) => {
            match message.split_once(UNKNOWN_TABLE) {
                Some((_, name)) => {
                    let names: Vec<_> = dataset.tables.iter().map(|t| t.name.as_str()).filter(shown).collect();
                    let name = name.lines().next().unwrap_or_default();
                    let message = format!(
                        "there is no table '{name}' in dataset '{}'; there are {}",
                        dataset.name,
                        names.join(", ")
                    );
                    Error::new(Code::UnknownTable, message).or_at(locator.find(name))
                }
                None => {
                    let about = message.split(' ').next().filter(|word| Scalar::find(word).is_some());
                    let at = about.and_then(|word| locator.find(word));
                    Error::new(Code::UnsupportedSql, plain(message)).or_at(at)
                }
            }
        }
        DataFusionError::ArrowError(..) => {
            Error::new(Code::UnsupportedSql, "a literal of the text is not valid, or out of range")
        }
        other => Error::new(Code::UnsupportedSql, plain(&other.strip_backtrace())),
    };
    error.or_at(at)
}

/// The first line of a message, which says what is wrong.
fn plain(message: &str) -> String {
    message.lines().next().unwrap_or_default().trim_end_matches('.').to_owned()
}
