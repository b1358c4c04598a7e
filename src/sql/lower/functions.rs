//! Scalar functions, patterns and moments: their arguments are checked here, and what they mean is in [`crate::algebra::Function`].

use super::expr::{Scalars, Typed, is_interval, is_null, not};
use crate::algebra::calendar::DAY;
use crate::algebra::{Buckets, Change, DatePart, DateUnit, Expr, Function, Literal, Math, Pattern, Slice, Type};
use crate::error::{Error, Result};
use datafusion::arrow::array::StringArray;
use datafusion::arrow::compute::kernels::comparison;
use datafusion::logical_expr::{Expr as DfExpr, Operator};
use datafusion::scalar::ScalarValue;

impl Scalars<'_> {
    /// A function by its name.
    pub fn function(&self, name: &str, args: Vec<Typed>) -> Result<Typed> {
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
            ("greatest", 1..) => self.extreme(args, Operator::GtEq),
            ("least", 1..) => self.extreme(args, Operator::LtEq),
            ("nullif", 2) => {
                self.copies(&args[0].0, 2)?;
                let (value, ty) = args[0].clone();
                let equal = self.binary(args[0].clone(), Operator::Eq, args[1].clone())?.0;
                self.case(vec![(equal, (Expr::Literal(Literal::Null(ty)), ty))], Some((value, ty)))
            }
            ("substr", 2 | 3) => self.slice(args),
            (name, 1) if math(name).is_some() || change(name).is_some() || length(name) => {
                let (of, ty) =
                    args.into_iter().next().ok_or_else(|| Error::internal("a function without its argument"))?;
                self.of_one(name, of, ty)
            }
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

    /// The first argument that is not NULL and of which `beats` holds against each other one that is not; NULL where all are.
    fn extreme(&self, args: Vec<Typed>, beats: Operator) -> Result<Typed> {
        args.iter().try_for_each(|(arg, _)| self.copies(arg, 3 * args.len()))?;
        let wins = |(at, arg): (usize, &Typed)| {
            let mut condition = vec![not(is_null(arg.0.clone()))];
            for other in args.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, other)| other) {
                let beaten = self.binary(arg.clone(), beats, other.clone())?.0;
                condition.push(Expr::or(vec![is_null(other.0.clone()), beaten]));
            }
            Ok((Expr::and(condition), arg.clone()))
        };
        let branches = args.iter().enumerate().map(wins).collect::<Result<Vec<_>>>()?;
        self.case(branches, None)
    }

    /// A function of one number or one text.
    fn of_one(&self, name: &str, of: Expr, ty: Type) -> Result<Typed> {
        match (math(name), change(name)) {
            (Some(math), _) => match ty {
                Type::Float => Ok(applied(Function::Math(math, Type::Float), of)),
                // Whole already.
                Type::Int if matches!(math, Math::Floor | Math::Ceil | Math::Round | Math::Trunc) => Ok((of, ty)),
                Type::Int if matches!(math, Math::Abs | Math::Sign) => Ok(applied(Function::Math(math, Type::Int), of)),
                Type::Int => Ok(applied(Function::Math(math, Type::Float), of.cast(Type::Float))),
                _ => Err(self.unsupported(name, format!("{name} needs a number, not {}", ty.sql()))),
            },
            _ if ty != Type::Text => {
                Err(self.unsupported(name, format!("{name} needs a VARCHAR, not {}: add a CAST", ty.sql())))
            }
            (_, Some(change)) => Ok(applied(Function::Change(change), of)),
            (None, None) => Ok(applied(Function::Length, of)),
        }
    }

    /// A constant moment plus or minus an interval.
    pub fn shifted(&self, left: &DfExpr, op: Operator, right: &DfExpr, depth: usize) -> Result<Typed> {
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
    pub fn like(&self, text: Typed, pattern: Typed, ignore_case: bool) -> Result<Expr> {
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
    pub fn date_bin(&self, step: &DfExpr, rest: Vec<Typed>) -> Result<Typed> {
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
}

fn applied(function: Function, to: Expr) -> Typed {
    let ty = function.result();
    (Expr::Apply(function, Box::new(to)), ty)
}

fn math(name: &str) -> Option<Math> {
    Some(match name {
        "abs" => Math::Abs,
        "sign" | "signum" => Math::Sign,
        "floor" => Math::Floor,
        "ceil" | "ceiling" => Math::Ceil,
        "round" => Math::Round,
        "trunc" => Math::Trunc,
        "sqrt" => Math::Sqrt,
        "exp" => Math::Exp,
        "ln" => Math::Ln,
        "log10" => Math::Log10,
        "log2" => Math::Log2,
        _ => return None,
    })
}

fn change(name: &str) -> Option<Change> {
    Some(match name {
        "lower" => Change::Lower,
        "upper" => Change::Upper,
        "trim" | "btrim" => Change::Trim,
        "ltrim" => Change::TrimStart,
        "rtrim" => Change::TrimEnd,
        "reverse" => Change::Reverse,
        _ => return None,
    })
}

fn length(name: &str) -> bool {
    matches!(name, "length" | "char_length" | "character_length")
}
