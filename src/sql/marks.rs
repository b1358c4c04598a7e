//! Which aggregate asks for what, by its clause and its named arguments.
//!
//! Each aggregate of a SELECT with a clause, and each one with named arguments, gets a name like `sum#3`, which no text can call and whose
//! number leads to what was asked. Aggregates that ask for the same have the same number, so that those of HAVING and ORDER BY are found
//! again in the SELECT list, and two that differ in their bounds alone are never taken for one. The clause's privacy unit becomes
//! one more argument, which is resolved like any other column and then held to the dataset's unit by lineage.

use super::clause::{Clause, Written, epsilon};
use super::constant::{Constant, constant};
use super::functions::AGGREGATES;
use super::locate::position;
use super::lower::named_quantile;
use super::parameters::Parameters;
use crate::algebra::Bounds;
use crate::error::{Code, Error, Position, Result};
use crate::num::Amount;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArguments, Ident, ObjectName, Query,
    Select, SelectItem, SetExpr, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Location;
use std::ops::ControlFlow;

/// What one aggregate asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Position of its SELECT's clause, if that has one.
    pub clause: Option<usize>,
    pub per_group: Option<Bounds>,
    pub per_row: Option<Bounds>,
    pub epsilon: Option<Amount>,
    /// Whether a quantile is to have an interval, which costs as much again.
    pub error_bars: Option<bool>,
    /// Whether its last argument is what the clause takes for the privacy unit.
    pub names_unit: bool,
}

/// All that a text asks for in clauses and named arguments.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub clauses: Vec<Clause>,
    marks: Vec<Mark>,
}

impl Asked {
    /// The aggregate behind a name, and what it asks for.
    pub fn mark<'a>(&self, name: &'a str) -> (&'a str, Option<&Mark>) {
        match split(name) {
            Some((function, number)) => (function, self.marks.get(number)),
            None => (name, None),
        }
    }
}

/// An aggregate's own name and the number of its mark.
pub fn split(name: &str) -> Option<(&str, usize)> {
    let (function, number) = name.split_once('#')?;
    Some((function, number.parse().ok()?))
}

/// Gives the aggregates of a query their marks.
pub fn mark(query: &mut Query, written: Vec<Written>, parameters: &Parameters) -> Result<Asked> {
    let (places, clauses) =
        written.into_iter().map(|w| Clause::read(w, parameters)).collect::<Result<Vec<_>>>()?.into_iter().unzip();
    let asked = Asked { clauses, marks: vec![] };
    let mut marking = Marking { places, asked, open: vec![], seen: vec![], used: vec![] };
    if let ControlFlow::Break(e) = query.visit(&mut marking) {
        return Err(e);
    }
    let Marking { asked, seen, used, .. } = marking;
    for (number, clause) in asked.clauses.iter().enumerate() {
        let wrong = match (seen.contains(&number), used.contains(&number)) {
            (true, true) => continue,
            (true, false) => {
                "SELECT WITH DIFFERENTIAL_PRIVACY needs an aggregate, such as COUNT(*): leave the clause out to ask for keys alone"
            }
            (false, _) => "WITH DIFFERENTIAL_PRIVACY comes right after the SELECT that it is about",
        };
        return Err(Error::new(Code::UnsupportedSql, wrong).or_at(clause.at));
    }
    Ok(asked)
}

struct Marking {
    /// Where the SELECTs of the clauses are.
    places: Vec<Location>,
    asked: Asked,
    /// The clauses of open SELECTs and queries.
    open: Vec<Option<usize>>,
    /// Clauses whose SELECT was found.
    seen: Vec<usize>,
    /// Clauses whose SELECT has an aggregate, or an ORDER BY with one.
    used: Vec<usize>,
}

impl Marking {
    fn clause_of(&self, select: &Select) -> Option<usize> {
        self.places.iter().position(|place| *place == select.select_token.0.span.start)
    }

    /// ORDER BY stands outside of the SELECT whose aggregates it names.
    fn clause_of_body(&self, body: &SetExpr) -> Option<usize> {
        match body {
            SetExpr::Select(select) => self.clause_of(select),
            SetExpr::Query(query) => self.clause_of_body(&query.body),
            _ => None,
        }
    }

    fn function(&mut self, function: &mut Function) -> Result<()> {
        let name = function.name.to_string().to_lowercase();
        let named = take_named(function);
        let clause = self.open.last().copied().flatten();
        if !AGGREGATES.contains(&name.as_str()) || function.over.is_some() {
            return match named.first() {
                Some((argument, _)) => Err(Error::new(
                    Code::UnsupportedSql,
                    format!("{name} takes no named arguments here: {} is for aggregates without OVER", argument.value),
                )
                .or_at(position(argument.span.start))),
                None => Ok(()),
            };
        }
        self.used.extend(clause);
        if clause.is_none() && named.is_empty() {
            return Ok(());
        }
        let unit = clause.and_then(|clause| self.asked.clauses[clause].unit.clone());
        let mut mark = Mark {
            clause,
            per_group: None,
            per_row: None,
            epsilon: None,
            error_bars: None,
            names_unit: unit.is_some(),
        };
        for (argument, value) in &named {
            read_argument(&mut mark, &name, argument, value)?;
        }
        let FunctionArguments::List(list) = &mut function.args else {
            return Err(Error::new(Code::UnsupportedSql, format!("{name} takes its argument in brackets")));
        };
        if list.duplicate_treatment.is_some() && (mark.per_group.is_some() || mark.per_row.is_some()) {
            let message = format!("{name}(DISTINCT ...) takes no contribution bounds: each unit counts once per group");
            return Err(Error::new(Code::InvalidRequest, message).or_at(position(named[0].0.span.start)));
        }
        for argument in &mut list.args {
            if matches!(argument, FunctionArg::Unnamed(FunctionArgExpr::Wildcard)) {
                let one = Expr::value(Value::Number("1".into(), false));
                *argument = FunctionArg::Unnamed(FunctionArgExpr::Expr(one));
            }
        }
        list.args.extend(unit.map(|unit| FunctionArg::Unnamed(FunctionArgExpr::Expr(unit))));
        let known = self.asked.marks.iter().position(|known| *known == mark);
        let number = known.unwrap_or_else(|| {
            self.asked.marks.push(mark);
            self.asked.marks.len() - 1
        });
        function.name = ObjectName::from(vec![Ident::with_quote('"', format!("{name}#{number}"))]);
        Ok(())
    }
}

/// Takes the named arguments out of a call.
fn take_named(function: &mut Function) -> Vec<(Ident, FunctionArg)> {
    let FunctionArguments::List(list) = &mut function.args else { return vec![] };
    let mut named = Vec::new();
    for argument in std::mem::take(&mut list.args) {
        match &argument {
            FunctionArg::Unnamed(_) => list.args.push(argument),
            FunctionArg::Named { name, .. } => named.push((name.clone(), argument)),
            FunctionArg::ExprNamed { name, .. } => {
                let name = match name {
                    Expr::Identifier(name) => name.clone(),
                    other => Ident::new(other.to_string()),
                };
                named.push((name, argument));
            }
        }
    }
    named
}

fn read_argument(mark: &mut Mark, function: &str, name: &Ident, argument: &FunctionArg) -> Result<()> {
    let at = position(name.span.start);
    let invalid = |message: String| Error::new(Code::InvalidRequest, message).or_at(at);
    let value = match argument {
        FunctionArg::Named { arg: FunctionArgExpr::Expr(value), operator: FunctionArgOperator::RightArrow, .. }
        | FunctionArg::ExprNamed {
            arg: FunctionArgExpr::Expr(value), operator: FunctionArgOperator::RightArrow, ..
        } => value,
        _ => return Err(invalid(format!("named arguments are written {} => value", name.value))),
    };
    let argument = name.value.to_lowercase();
    let (given_twice, takes) = match argument.as_str() {
        "epsilon" => (mark.epsilon.is_some(), true),
        "error_bars" => (mark.error_bars.is_some(), named_quantile(function).is_some()),
        "contribution_bounds_per_group" => (mark.per_group.is_some(), ["count", "sum", "avg"].contains(&function)),
        "contribution_bounds_per_row" => (
            mark.per_row.is_some(),
            named_quantile(function).is_some()
                || ["sum", "avg", "min", "max"].contains(&function)
                || function.starts_with("var")
                || function.starts_with("stddev"),
        ),
        "report_format" => {
            return Err(invalid("every answer comes with its intervals and a receipt: leave report_format out".into()));
        }
        _ => {
            let message = format!(
                "there is no argument {argument}; known are contribution_bounds_per_group, contribution_bounds_per_row, epsilon and error_bars"
            );
            return Err(invalid(message));
        }
    };
    if given_twice {
        return Err(invalid(format!("the argument {argument} is given twice")));
    }
    if !takes {
        return Err(invalid(format!("{function} takes no {argument}")));
    }
    match argument.as_str() {
        "epsilon" => mark.epsilon = Some(epsilon(constant(value), &format!("epsilon of {function}"), at)?),
        "error_bars" => match value {
            Expr::Value(value) if matches!(value.value, Value::Boolean(_)) => {
                mark.error_bars = Some(value.value == Value::Boolean(true));
            }
            _ => return Err(invalid("error_bars takes true or false".into())),
        },
        "contribution_bounds_per_group" => mark.per_group = Some(pair(value, &argument, at)?),
        _ => mark.per_row = Some(pair(value, &argument, at)?),
    }
    Ok(())
}

/// Largest magnitude of a bound: a double holds all whole numbers up to here.
pub const MAX_BOUND: f64 = 1e15;

fn pair(value: &Expr, argument: &str, at: Option<Position>) -> Result<Bounds> {
    let invalid = |message: String| Error::new(Code::InvalidRequest, message).or_at(at);
    let number = |e: &Expr| match constant(e) {
        Some(Constant::Number(text)) => text.parse::<f64>().ok(),
        _ => None,
    };
    let ends = match value {
        Expr::Tuple(ends) => ends.as_slice(),
        _ => &[],
    };
    let [Some(low), Some(high)] = *ends.iter().map(number).collect::<Vec<_>>() else {
        return Err(invalid(format!("{argument} takes a pair of numbers: {argument} => (0, 100)")));
    };
    if !(low.abs() <= MAX_BOUND && high.abs() <= MAX_BOUND) {
        return Err(invalid(format!("the bounds of {argument} must be finite, and within 1e15 of zero")));
    }
    Bounds::new(low, high).ok_or_else(|| {
        invalid(format!("the lower bound of {argument} must not be above its upper bound, but {low} is above {high}"))
    })
}

impl VisitorMut for Marking {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        self.open.push(self.clause_of_body(&query.body));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.open.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        let clause = self.clause_of(select);
        self.open.push(clause);
        self.seen.extend(clause);
        let mut names: Vec<String> = Vec::new();
        for item in &mut select.projection {
            // The column keeps the name that its text gives it.
            if let SelectItem::UnnamedExpr(expr) = item {
                let mut plain = Plain { calls: false, named: false };
                let mut text = expr.clone();
                let _ = text.visit(&mut plain);
                if plain.calls && (clause.is_some() || plain.named) {
                    let short = text.to_string().to_lowercase();
                    // Two that differ in named arguments alone need them in their names.
                    let name = if names.contains(&short) { expr.to_string().to_lowercase() } else { short };
                    names.push(name.clone());
                    let alias = Ident::with_quote('"', name);
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &mut Select) -> ControlFlow<Error> {
        self.open.pop();
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match expr {
            Expr::Function(function) => match self.function(function) {
                Ok(()) => ControlFlow::Continue(()),
                Err(e) => ControlFlow::Break(e),
            },
            _ => ControlFlow::Continue(()),
        }
    }
}

/// An expression's text without named arguments.
struct Plain {
    /// Whether it calls an aggregate.
    calls: bool,
    /// Whether there were named arguments.
    named: bool,
}

impl VisitorMut for Plain {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr {
            self.calls |= AGGREGATES.contains(&function.name.to_string().to_lowercase().as_str());
            self.named |= !take_named(function).is_empty();
        }
        ControlFlow::Continue(())
    }
}
