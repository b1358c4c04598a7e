//! Scalar expressions: each DataFusion node that has a total meaning here, and a refusal for each other one.

use super::Lowering;
use super::scope::{Scope, UNREAD};
use crate::algebra::calendar::DAY;
use crate::algebra::{
    Arithmetic, Buckets, Comparison, DatePart, DateUnit, Expr, Function, Literal, Pattern, Slice, Type,
};
use crate::catalog::{MAX_TEXT_BYTES, arrow_type, canonical};
use crate::error::{Code, Error, Result};
use datafusion::arrow::array::StringArray;
use datafusion::arrow::compute::can_cast_types;
use datafusion::arrow::compute::kernels::comparison;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::logical_expr::expr::{Alias, Between, Case, Cast, InList, Like, ScalarFunction, TryCast};
use datafusion::logical_expr::{BinaryExpr, Expr as DfExpr, Operator};
use datafusion::scalar::ScalarValue;

/// Deepest nesting of an expression after AND and OR are flat: keeps later recursion within any thread's stack.
const MAX_DEPTH: usize = 100;

/// An expression with its type.
pub type Typed = (Expr, Type);

impl Lowering<'_> {
    /// Lowers an expression over the columns of `scope`, which follow `schema` one by one.
    pub fn expr(&self, expr: &DfExpr, schema: &DFSchema, scope: &Scope) -> Result<Typed> {
        let (expr, ty) = Scalars { lowering: self, schema, scope }.expr(expr, 0)?;
        Ok((expr.canonical(), ty))
    }

    /// Lowers a condition.
    pub fn condition(&self, expr: &DfExpr, schema: &DFSchema, scope: &Scope) -> Result<Expr> {
        match self.expr(expr, schema, scope)? {
            (condition, Type::Bool) => Ok(condition),
            (_, other) => Err(self.unsupported("where", format!("a condition must be BOOLEAN, not {}", other.sql()))),
        }
    }
}

struct Scalars<'a> {
    lowering: &'a Lowering<'a>,
    schema: &'a DFSchema,
    scope: &'a Scope,
}

impl Scalars<'_> {
    fn unsupported(&self, word: &str, message: impl Into<String>) -> Error {
        self.lowering.unsupported(word, message)
    }

    fn expr(&self, expr: &DfExpr, depth: usize) -> Result<Typed> {
        if depth > MAX_DEPTH {
            return Err(Error::new(Code::SqlTooDeep, format!("an expression nests deeper than {MAX_DEPTH} levels")));
        }
        self.lowering.spend(1)?;
        let deeper = |e: &DfExpr| self.expr(e, depth + 1);
        match expr {
            DfExpr::Alias(Alias { expr, .. }) => self.expr(expr, depth),
            DfExpr::Column(column) => {
                let at = self.schema.index_of_column(column).map_err(|e| Error::internal(e.strip_backtrace()))?;
                let slot = &self.scope.columns[at];
                if slot.index == UNREAD {
                    let message = format!(
                        "'{}' is not a key with public values, so it cannot be used after this GROUP BY: join it to the result instead",
                        slot.name
                    );
                    return Err(self.lowering.refuse(Code::PrivateKeys, &slot.name, message));
                }
                Ok((slot.expr(), slot.ty))
            }
            DfExpr::Literal(value, _) => match self.literal(value)? {
                (Expr::Literal(Literal::Text(text)), _) if text.len() > MAX_TEXT_BYTES => Err(Error::new(
                    Code::SqlTooLong,
                    format!("a text literal has more than {MAX_TEXT_BYTES} bytes; longer values of columns are NULL"),
                )),
                literal => Ok(literal),
            },
            DfExpr::BinaryExpr(BinaryExpr { left: _, op: op @ (Operator::And | Operator::Or), right: _ }) => {
                let parts = operands(expr, *op).into_iter().map(|e| Ok(self.boolean(deeper(e)?)));
                let parts = parts.collect::<Result<Result<Vec<_>>>>()??;
                let joined = if *op == Operator::And { Expr::and(parts) } else { Expr::or(parts) };
                Ok((joined, Type::Bool))
            }
            DfExpr::BinaryExpr(BinaryExpr { left, op, right }) if is_interval(left) || is_interval(right) => {
                self.shifted(left, *op, right, depth)
            }
            DfExpr::BinaryExpr(BinaryExpr { left, op, right }) => self.binary(deeper(left)?, *op, deeper(right)?),
            DfExpr::Not(inner) => Ok((not(self.boolean(deeper(inner)?)?), Type::Bool)),
            DfExpr::IsNull(inner) => Ok((is_null(deeper(inner)?.0), Type::Bool)),
            DfExpr::IsNotNull(inner) => Ok((not(is_null(deeper(inner)?.0)), Type::Bool)),
            DfExpr::IsTrue(inner) => self.is(deeper(inner)?, true),
            DfExpr::IsFalse(inner) => self.is(deeper(inner)?, false),
            DfExpr::IsNotTrue(inner) => self.is(deeper(inner)?, true).map(|(e, ty)| (not(e), ty)),
            DfExpr::IsNotFalse(inner) => self.is(deeper(inner)?, false).map(|(e, ty)| (not(e), ty)),
            DfExpr::IsUnknown(inner) => Ok((is_null(self.boolean(deeper(inner)?)?), Type::Bool)),
            DfExpr::IsNotUnknown(inner) => Ok((not(is_null(self.boolean(deeper(inner)?)?)), Type::Bool)),
            DfExpr::Negative(inner) => self.negative(deeper(inner)?),
            DfExpr::Between(Between { expr, negated, low, high }) => {
                let (value, low, high) = (deeper(expr)?, deeper(low)?, deeper(high)?);
                self.copies(&value.0, 1)?;
                let above = self.binary(value.clone(), Operator::GtEq, low)?.0;
                let below = self.binary(value, Operator::LtEq, high)?.0;
                let within = Expr::and(vec![above, below]);
                Ok((if *negated { not(within) } else { within }, Type::Bool))
            }
            DfExpr::InList(InList { expr, list, negated }) => {
                let value = deeper(expr)?;
                self.copies(&value.0, list.len())?;
                let equal = |e| Ok(self.binary(value.clone(), Operator::Eq, deeper(e)?)?.0);
                let any = Expr::or(list.iter().map(equal).collect::<Result<_>>()?);
                Ok((if *negated { not(any) } else { any }, Type::Bool))
            }
            DfExpr::Case(Case { expr, when_then_expr, else_expr }) => {
                let subject = expr.as_ref().map(|e| deeper(e)).transpose()?;
                if let Some((subject, _)) = &subject {
                    self.copies(subject, when_then_expr.len())?;
                }
                let mut branches = Vec::new();
                for (when, then) in when_then_expr {
                    let condition = match &subject {
                        Some(subject) => self.binary(subject.clone(), Operator::Eq, deeper(when)?)?.0,
                        None => self.boolean(deeper(when)?)?,
                    };
                    branches.push((condition, deeper(then)?));
                }
                let otherwise = else_expr.as_ref().map(|e| deeper(e)).transpose()?;
                self.case(branches, otherwise)
            }
            DfExpr::Cast(Cast { expr, field }) | DfExpr::TryCast(TryCast { expr, field }) => {
                self.cast(expr, field.data_type(), depth)
            }
            DfExpr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "date_bin" => {
                let step = args.first().ok_or_else(|| Error::internal("date_bin without arguments"))?;
                let rest = args[1..].iter().map(deeper).collect::<Result<Vec<_>>>()?;
                self.date_bin(step, rest)
            }
            DfExpr::ScalarFunction(ScalarFunction { func, args }) => {
                let args = args.iter().map(deeper).collect::<Result<Vec<_>>>()?;
                self.function(func.name(), args)
            }
            DfExpr::Like(Like { negated, expr, pattern, escape_char, case_insensitive }) => {
                if escape_char.is_some() {
                    return Err(self.unsupported("escape", "ESCAPE is not supported: write a backslash before % and _"));
                }
                let like = self.like(deeper(expr)?, deeper(pattern)?, *case_insensitive)?;
                Ok((if *negated { not(like) } else { like }, Type::Bool))
            }
            DfExpr::SimilarTo(_) => Err(self.unsupported("similar", "SIMILAR TO is not supported: use LIKE")),
            DfExpr::WindowFunction(_) => {
                Err(self.unsupported("over", "a window function cannot stand here: put it into a subquery in FROM"))
            }
            DfExpr::GroupingSet(_) => {
                Err(self.unsupported("group", "GROUPING SETS, ROLLUP and CUBE cannot stand here"))
            }
            DfExpr::Placeholder(p) => {
                Err(self
                    .unsupported("select", format!("parameter {} has no value: write the value into the text", p.id)))
            }
            DfExpr::AggregateFunction(_) => Err(self.unsupported("select", "an aggregate cannot stand here")),
            DfExpr::Exists(_)
            | DfExpr::InSubquery(_)
            | DfExpr::SetComparison(_)
            | DfExpr::ScalarSubquery(_)
            | DfExpr::OuterReferenceColumn(..) => Err(self.unsupported(
                "select",
                "this subquery inside an expression has no join that means the same: put it into FROM and join it",
            )),
            DfExpr::ScalarVariable(..)
            | DfExpr::Unnest(_)
            | DfExpr::HigherOrderFunction(_)
            | DfExpr::Lambda(_)
            | DfExpr::LambdaVariable(_) => {
                Err(self.unsupported("select", "variables, lambdas and UNNEST are not supported"))
            }
            #[expect(deprecated, reason = "the match stays exhaustive")]
            DfExpr::Wildcard { .. } => Err(self.unsupported("*", "* cannot stand here: name the columns")),
        }
    }

    /// Pays for `more` copies of an operand that a meaning here names several times.
    fn copies(&self, operand: &Expr, more: usize) -> Result<()> {
        self.lowering.spend(operand.size().saturating_mul(more))
    }

    fn boolean(&self, (expr, ty): Typed) -> Result<Expr> {
        match (expr, ty) {
            (expr, Type::Bool) => Ok(expr),
            (Expr::Literal(l), _) if l.is_null() => Ok(Expr::Literal(Literal::Null(Type::Bool))),
            (_, other) => {
                Err(self.unsupported("where", format!("AND, OR, NOT and WHEN need BOOLEAN, not {}", other.sql())))
            }
        }
    }

    /// x IS TRUE and x IS FALSE are never NULL.
    fn is(&self, value: Typed, truth: bool) -> Result<Typed> {
        let value = self.boolean(value)?;
        let condition = if truth { value } else { not(value) };
        let otherwise = Some(Box::new(Expr::Literal(Literal::Bool(false))));
        Ok((Expr::Case { branches: vec![(condition, Expr::Literal(Literal::Bool(true)))], otherwise }, Type::Bool))
    }

    fn negative(&self, (value, ty): Typed) -> Result<Typed> {
        match (value, ty) {
            (Expr::Literal(Literal::Int(v)), _) => match v.checked_neg() {
                Some(v) => Ok((Expr::Literal(Literal::Int(v)), ty)),
                None => Ok((Expr::Literal(Literal::Null(ty)), ty)),
            },
            (Expr::Literal(Literal::Float(v)), _) => Ok((Expr::Literal(Literal::float(-v)), ty)),
            (value, Type::Int) => {
                Ok((Expr::arithmetic(Arithmetic::Subtract, Expr::Literal(Literal::Int(0)), value), ty))
            }
            (value, Type::Float) => {
                Ok((Expr::arithmetic(Arithmetic::Multiply, Expr::Literal(Literal::Float(-1.0)), value), ty))
            }
            (_, other) => Err(self.unsupported("-", format!("minus needs a number, not {}", other.sql()))),
        }
    }

    fn binary(&self, left: Typed, op: Operator, right: Typed) -> Result<Typed> {
        let comparison = match op {
            Operator::Eq => Some(Comparison::Eq),
            Operator::NotEq => Some(Comparison::NotEq),
            Operator::Lt => Some(Comparison::Less),
            Operator::LtEq => Some(Comparison::LessEq),
            Operator::Gt => Some(Comparison::Greater),
            Operator::GtEq => Some(Comparison::GreaterEq),
            _ => None,
        };
        let arithmetic = match op {
            Operator::Plus => Some(Arithmetic::Add),
            Operator::Minus => Some(Arithmetic::Subtract),
            Operator::Multiply => Some(Arithmetic::Multiply),
            Operator::Divide => Some(Arithmetic::Divide),
            Operator::Modulo => Some(Arithmetic::Remainder),
            _ => None,
        };
        let (left, right, ty) = self.same_type(left, right, &op.to_string())?;
        match (comparison, arithmetic) {
            (Some(op), _) => Ok((Expr::compare(op, left, right), Type::Bool)),
            (_, Some(Arithmetic::Divide)) if ty == Type::Int => {
                Ok((Expr::arithmetic(Arithmetic::Quotient, left, right), ty))
            }
            (_, Some(op)) if ty.is_numeric() => Ok((Expr::arithmetic(op, left, right), ty)),
            (_, Some(_)) => {
                Err(self.unsupported(&op.to_string(), format!("arithmetic with {op} needs numbers, not {}", ty.sql())))
            }
            (None, None) => match op {
                Operator::IsDistinctFrom | Operator::IsNotDistinctFrom => {
                    self.copies(&left, 1)?;
                    self.copies(&right, 1)?;
                    let both = Expr::and(vec![is_null(left.clone()), is_null(right.clone())]);
                    let equal = self.is((Expr::compare(Comparison::Eq, left, right), Type::Bool), true)?.0;
                    let same = Expr::or(vec![both, equal]);
                    Ok((if op == Operator::IsDistinctFrom { not(same) } else { same }, Type::Bool))
                }
                _ => Err(self.unsupported(&op.to_string(), format!("operator {op} is not supported"))),
            },
        }
    }

    /// Both sides in one type: a NULL takes the other side's, a whole number meets a fraction as a fraction.
    fn same_type(&self, (left, lt): Typed, (right, rt): Typed, op: &str) -> Result<(Expr, Expr, Type)> {
        let null = |e: &Expr| matches!(e, Expr::Literal(l) if l.is_null());
        match (lt, rt) {
            _ if lt == rt => Ok((left, right, lt)),
            _ if null(&left) => Ok((Expr::Literal(Literal::Null(rt)), right, rt)),
            _ if null(&right) => Ok((left, Expr::Literal(Literal::Null(lt)), lt)),
            (Type::Int, Type::Float) => Ok((left.cast(Type::Float), right, Type::Float)),
            (Type::Float, Type::Int) => Ok((left, right.cast(Type::Float), Type::Float)),
            (Type::Date, Type::Timestamp) => Ok((left.cast(Type::Timestamp), right, Type::Timestamp)),
            (Type::Timestamp, Type::Date) => Ok((left, right.cast(Type::Timestamp), Type::Timestamp)),
            _ => {
                Err(self
                    .unsupported(op, format!("{} and {} do not go together in {op}: add a CAST", lt.sql(), rt.sql())))
            }
        }
    }

    fn case(&self, branches: Vec<(Expr, Typed)>, otherwise: Option<Typed>) -> Result<Typed> {
        let results = branches.iter().map(|(_, t)| t).chain(otherwise.as_ref());
        let named = results.filter(|(e, _)| !matches!(e, Expr::Literal(l) if l.is_null())).map(|(_, ty)| *ty);
        let ty = match named.collect::<Vec<_>>()[..] {
            [] => branches.first().map_or(Type::Text, |(_, (_, ty))| *ty),
            [first, ref rest @ ..] if rest.iter().all(|t| *t == first) => first,
            ref mixed if mixed.iter().all(|t| t.is_numeric()) => Type::Float,
            _ => return Err(self.unsupported("case", "the results of CASE have different types: add a CAST")),
        };
        let fit = |(e, from): Typed| match e {
            Expr::Literal(l) if l.is_null() => Expr::Literal(Literal::Null(ty)),
            e if from == ty => e,
            e => e.cast(ty),
        };
        let branches = branches.into_iter().map(|(when, then)| (when, fit(then))).collect();
        Ok((Expr::Case { branches, otherwise: otherwise.map(|e| Box::new(fit(e))) }, ty))
    }

    fn cast(&self, inner: &DfExpr, to: &DataType, depth: usize) -> Result<Typed> {
        let exact = !matches!(
            to,
            DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..)
        );
        let ty = canonical(to).filter(|_| exact).ok_or_else(|| {
            self.unsupported(
                "cast",
                format!("CAST to {to} is not supported; use BIGINT, DOUBLE, VARCHAR, BOOLEAN, DATE or TIMESTAMP"),
            )
        })?;
        let temporal = |ty| matches!(ty, Type::Date | Type::Timestamp);
        match self.expr(inner, depth + 1)? {
            (_, from) if (temporal(from) && ty.is_numeric()) || (from.is_numeric() && temporal(ty)) => {
                let message = "dates and numbers do not go together: write a literal such as DATE '2026-01-01'";
                Err(self.unsupported("cast", message))
            }
            (Expr::Literal(l), _) if l.is_null() => Ok((Expr::Literal(Literal::Null(ty)), ty)),
            // A literal that does not fit is a mistake in the text, and is told now.
            (Expr::Literal(literal), from) if from != ty => {
                let cast = crate::catalog::literal_value(&literal).cast_to(&arrow_type(ty));
                match cast.ok().filter(|value| !value.is_null()) {
                    Some(value) => self.literal(&value),
                    None => {
                        let word = if let Literal::Text(text) = &literal { text.as_str() } else { "cast" };
                        Err(self.unsupported(word, format!("this literal is not a valid {}", ty.sql())))
                    }
                }
            }
            (expr, from) if from == ty => Ok((expr, ty)),
            (_, from @ (Type::Date | Type::Timestamp)) if ty == Type::Text => Err(self.unsupported(
                "cast",
                format!(
                    "CAST of {} to VARCHAR is not supported: compare with literals such as DATE '2026-01-01'",
                    from.sql()
                ),
            )),
            (_, from) if !can_cast_types(&arrow_type(from), &arrow_type(ty)) => {
                Err(self.unsupported("cast", format!("{} cannot be CAST to {}", from.sql(), ty.sql())))
            }
            (expr, _) => Ok((expr.cast(ty), ty)),
        }
    }

    fn function(&self, name: &str, args: Vec<Typed>) -> Result<Typed> {
        match (name, args.len()) {
            ("coalesce", 1..) => {
                let mut args = args;
                let last = args.pop();
                args.iter().try_for_each(|(arg, _)| self.copies(arg, 1))?;
                let branches = args.into_iter().map(|arg| (not(is_null(arg.0.clone())), arg)).collect::<Vec<_>>();
                match (branches.is_empty(), last) {
                    (true, Some(only)) => Ok(only),
                    (_, last) => self.case(branches, last),
                }
            }
            ("nullif", 2) => {
                self.copies(&args[0].0, 2)?;
                let (value, ty) = args[0].clone();
                let equal = self.binary(args[0].clone(), Operator::Eq, args[1].clone())?.0;
                self.case(vec![(equal, (Expr::Literal(Literal::Null(ty)), ty))], Some((value, ty)))
            }
            ("substr", 2 | 3) => self.slice(args),
            ("date_part", 2) => {
                let (part, of) = self.calendar(
                    name,
                    &args,
                    DatePart::parse,
                    "year, quarter, month, week, day, dow, doy, hour, minute or second",
                )?;
                Ok(applied(Function::Part(part), of))
            }
            ("date_trunc", 2) => {
                let (unit, of) = self.calendar(
                    name,
                    &args,
                    DateUnit::parse,
                    "year, quarter, month, week, day, hour, minute or second",
                )?;
                Ok(applied(Function::Start(unit), of))
            }
            ("width_bucket", 4) => {
                let number = |arg: &Typed| match &arg.0 {
                    Expr::Literal(Literal::Int(v)) => Some(*v as f64),
                    Expr::Literal(Literal::Float(v)) => Some(*v),
                    _ => None,
                };
                let count = match &args[3].0 {
                    Expr::Literal(Literal::Int(count)) => *count,
                    _ => 0,
                };
                let ends = number(&args[1]).zip(number(&args[2]));
                let buckets = ends.and_then(|(from, to)| Buckets::new(from, to, count)).ok_or_else(|| {
                    self.unsupported(name, "width_bucket(x, low, high, count) takes two different numbers and a whole number above 0, as literals")
                })?;
                match args.into_iter().next() {
                    Some((of, Type::Float)) => Ok(applied(Function::Bucket(buckets), of)),
                    Some((of, Type::Int)) => Ok(applied(Function::Bucket(buckets), of.cast(Type::Float))),
                    _ => Err(self.unsupported(name, "width_bucket needs a number")),
                }
            }
            _ => Err(self.unsupported(name, format!("function {name} is not supported"))),
        }
    }

    /// A constant moment plus or minus an interval.
    fn shifted(&self, left: &DfExpr, op: Operator, right: &DfExpr, depth: usize) -> Result<Typed> {
        let refuse = || {
            let message = "INTERVAL goes with a constant, as in DATE '2026-01-31' - INTERVAL '90 days': write what it comes to on the side of the constant";
            self.unsupported("interval", message)
        };
        let (moment, interval) = if is_interval(right) { (left, right) } else { (right, left) };
        let DfExpr::Literal(ScalarValue::IntervalMonthDayNano(Some(step)), _) = interval else { return Err(refuse()) };
        let in_range = step.months > i32::MIN && step.days > i32::MIN && step.nanoseconds > i64::MIN;
        let moment = match self.expr(moment, depth + 1)?.0 {
            _ if !in_range => return Err(self.unsupported("interval", "this INTERVAL is longer than all of time")),
            // With a time, a date is its first moment.
            Expr::Literal(Literal::Date(days)) if step.nanoseconds != 0 => Literal::Timestamp(i64::from(days) * DAY),
            Expr::Literal(moment @ (Literal::Date(_) | Literal::Timestamp(_))) => moment,
            _ => return Err(refuse()),
        };
        let moment = crate::catalog::literal_value(&moment);
        let moved = match op {
            Operator::Plus => moment.add(ScalarValue::IntervalMonthDayNano(Some(*step))),
            Operator::Minus if is_interval(right) => moment.sub(ScalarValue::IntervalMonthDayNano(Some(*step))),
            _ => return Err(refuse()),
        };
        let moved = moved.ok().filter(|value| !value.is_null());
        self.literal(&moved.ok_or_else(|| self.unsupported("interval", "this moment is outside of all dates"))?)
    }

    /// LIKE with a constant pattern.
    fn like(&self, text: Typed, pattern: Typed, ignore_case: bool) -> Result<Expr> {
        let word = if ignore_case { "ilike" } else { "like" };
        let (of, pattern) = match (text, pattern) {
            ((_, Type::Text), (Expr::Literal(pattern), _)) if pattern.is_null() => {
                return Ok(Expr::Literal(Literal::Null(Type::Bool)));
            }
            ((of, Type::Text), (Expr::Literal(Literal::Text(text)), _)) => (of, Pattern { text, ignore_case }),
            ((_, Type::Text), _) => return Err(self.unsupported(word, "the pattern of LIKE must be a literal")),
            ((_, other), _) => return Err(self.unsupported(word, format!("LIKE needs a VARCHAR, not {}", other.sql()))),
        };
        // What the kernel has against a pattern does not depend on texts.
        let (empty, scalar) = (StringArray::from_iter_values([""]), StringArray::new_scalar(&pattern.text));
        if comparison::ilike(&empty, &scalar).is_err() || comparison::like(&empty, &scalar).is_err() {
            return Err(self.unsupported(word, "this pattern of LIKE is not valid or too long"));
        }
        Ok(applied(Function::Like(pattern), of).0)
    }

    /// SUBSTRING(text FROM start FOR length), of a constant part.
    fn slice(&self, args: Vec<Typed>) -> Result<Typed> {
        let number = |arg: Option<&Typed>| match arg.map(|(e, _)| e) {
            Some(Expr::Literal(Literal::Int(n))) => Some(*n),
            _ => None,
        };
        let start = number(args.get(1));
        let length = match args.len() {
            3 => number(args.get(2)).and_then(|n| u64::try_from(n).ok()).map(Some),
            _ => Some(None),
        };
        let (start, length) = start.zip(length).ok_or_else(|| {
            self.unsupported(
                "substring",
                "SUBSTRING takes whole numbers as literals: where it starts, from 1, and a length that is not negative",
            )
        })?;
        match args.into_iter().next() {
            Some((of, Type::Text)) => Ok(applied(Function::Slice(Slice { start, length }), of)),
            _ => Err(self.unsupported("substring", "SUBSTRING needs a VARCHAR: add a CAST")),
        }
    }

    /// date_bin(INTERVAL '15 minutes', x [, origin]): the start of the step that holds x, counted from the origin (1970-01-01).
    fn date_bin(&self, step: &DfExpr, rest: Vec<Typed>) -> Result<Typed> {
        let length = match step {
            DfExpr::Literal(ScalarValue::IntervalMonthDayNano(Some(step)), _) if step.months == 0 => {
                let length = i128::from(step.days) * i128::from(DAY) + i128::from(step.nanoseconds) / 1000;
                i64::try_from(length).ok().filter(|length| *length > 0 && step.nanoseconds % 1000 == 0)
            }
            _ => None,
        };
        let length = length.ok_or_else(|| {
            self.unsupported("date_bin", "date_bin takes an INTERVAL of days and shorter parts as a literal, above 0: months differ in length, so use date_trunc for them")
        })?;
        let mut rest = rest.into_iter();
        let of = rest.next().ok_or_else(|| Error::internal("date_bin without a value"))?;
        let origin = match rest.next() {
            None => 0,
            Some((Expr::Literal(Literal::Timestamp(micros)), _)) => micros,
            Some((Expr::Literal(Literal::Date(days)), _)) => i64::from(days) * DAY,
            Some(_) => {
                return Err(self.unsupported(
                    "date_bin",
                    "the origin of date_bin must be a literal such as TIMESTAMP '2026-01-01 00:00:00'",
                ));
            }
        };
        let of = self.moment("date_bin", of)?;
        Ok(applied(Function::Start(DateUnit::Steps { length, origin }), of))
    }

    /// A date is the moment at which it begins.
    fn moment(&self, name: &str, value: Typed) -> Result<Expr> {
        match value {
            (of, Type::Timestamp) => Ok(of),
            (of, Type::Date) => Ok(of.cast(Type::Timestamp)),
            (_, other) => {
                Err(self.unsupported(name, format!("{name} needs a DATE or a TIMESTAMP, not {}", other.sql())))
            }
        }
    }

    /// The named field or unit, and the timestamp that it is asked of.
    fn calendar<T>(&self, name: &str, args: &[Typed], parse: fn(&str) -> Option<T>, known: &str) -> Result<(T, Expr)> {
        let named = match &args[0].0 {
            Expr::Literal(Literal::Text(text)) => parse(text),
            _ => None,
        };
        let named =
            named.ok_or_else(|| self.unsupported(name, format!("{name} takes one of {known}, as a literal")))?;
        Ok((named, self.moment(name, args[1].clone())?))
    }

    fn literal(&self, value: &ScalarValue) -> Result<Typed> {
        use ScalarValue as S;
        let literal = match value {
            S::Null => Literal::Null(Type::Text),
            S::Boolean(Some(v)) => Literal::Bool(*v),
            S::Int8(Some(v)) => Literal::Int(i64::from(*v)),
            S::Int16(Some(v)) => Literal::Int(i64::from(*v)),
            S::Int32(Some(v)) => Literal::Int(i64::from(*v)),
            S::Int64(Some(v)) => Literal::Int(*v),
            S::UInt8(Some(v)) => Literal::Int(i64::from(*v)),
            S::UInt16(Some(v)) => Literal::Int(i64::from(*v)),
            S::UInt32(Some(v)) => Literal::Int(i64::from(*v)),
            S::UInt64(Some(v)) => match i64::try_from(*v) {
                Ok(v) => Literal::Int(v),
                Err(_) => Literal::float(*v as f64),
            },
            S::Float32(Some(v)) => Literal::float(f64::from(*v)),
            S::Float64(Some(v)) => Literal::float(*v),
            S::Utf8(Some(v)) | S::LargeUtf8(Some(v)) | S::Utf8View(Some(v)) => Literal::Text(v.clone()),
            S::Date32(Some(v)) => Literal::Date(*v),
            S::TimestampSecond(Some(v), None) => Literal::Timestamp(v.saturating_mul(1_000_000)),
            S::TimestampMillisecond(Some(v), None) => Literal::Timestamp(v.saturating_mul(1000)),
            S::TimestampMicrosecond(Some(v), None) => Literal::Timestamp(*v),
            S::TimestampNanosecond(Some(v), None) => Literal::Timestamp(v.div_euclid(1000)),
            S::IntervalYearMonth(_) | S::IntervalDayTime(_) | S::IntervalMonthDayNano(_) => {
                let message =
                    "INTERVAL is for date_bin, and for constants such as DATE '2026-01-31' - INTERVAL '90 days'";
                return Err(self.unsupported("interval", message));
            }
            other => match canonical(&other.data_type()) {
                Some(ty) if other.is_null() => Literal::Null(ty),
                _ => {
                    return Err(
                        self.unsupported("select", format!("literals of type {} are not supported", other.data_type()))
                    );
                }
            },
        };
        let ty = literal.ty();
        Ok((Expr::Literal(literal), ty))
    }
}

/// The operands of a run of one operator, left to right, found without recursion into the run.
fn operands(expr: &DfExpr, op: Operator) -> Vec<&DfExpr> {
    let (mut found, mut open) = (Vec::new(), vec![expr]);
    while let Some(next) = open.pop() {
        match next {
            DfExpr::BinaryExpr(BinaryExpr { left, op: inner, right }) if *inner == op => {
                open.extend([right.as_ref(), left.as_ref()])
            }
            other => found.push(other),
        }
    }
    found
}

fn not(expr: Expr) -> Expr {
    match expr {
        Expr::Not(inner) => *inner,
        other => Expr::Not(Box::new(other)),
    }
}

fn applied(function: Function, to: Expr) -> Typed {
    let ty = function.result();
    (Expr::Apply(function, Box::new(to)), ty)
}

fn is_interval(expr: &DfExpr) -> bool {
    use ScalarValue as S;
    matches!(expr, DfExpr::Literal(S::IntervalYearMonth(_) | S::IntervalDayTime(_) | S::IntervalMonthDayNano(_), _))
}

fn is_null(expr: Expr) -> Expr {
    Expr::IsNull(Box::new(expr))
}
