//! Scalar expressions: each DataFusion node that has a total meaning here, and a refusal for each other one.

use super::Lowering;
use super::scope::{Scope, UNREAD};
use crate::algebra::{Arithmetic, Comparison, Expr, Literal, Type};
use crate::catalog::{MAX_TEXT_BYTES, arrow_type, canonical};
use crate::error::{Code, Error, Result};
use datafusion::arrow::compute::can_cast_types;
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit};
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

/// The expressions of one operator.
pub struct Scalars<'a> {
    pub lowering: &'a Lowering<'a>,
    schema: &'a DFSchema,
    scope: &'a Scope,
}

impl Scalars<'_> {
    pub fn unsupported(&self, word: &str, message: impl Into<String>) -> Error {
        self.lowering.unsupported(word, message)
    }

    /// Lowers an expression that stands so deep in another one.
    pub fn expr(&self, expr: &DfExpr, depth: usize) -> Result<Typed> {
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
            DfExpr::BinaryExpr(BinaryExpr { left, op, right })
                if interval(left).is_some() || interval(right).is_some() =>
            {
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
                let wild = |c| matches!(c, '%' | '_' | '\\');
                let pattern = self.with_backslashes(deeper(pattern)?, *escape_char, wild)?;
                let like = self.like(deeper(expr)?, pattern, *case_insensitive)?;
                Ok((if *negated { not(like) } else { like }, Type::Bool))
            }
            DfExpr::SimilarTo(Like { negated, expr, pattern, escape_char, case_insensitive: _ }) => {
                let special = |c: char| !c.is_alphanumeric();
                let pattern = self.with_backslashes(deeper(pattern)?, *escape_char, special)?;
                let similar = self.matches("similar", deeper(expr)?, pattern)?;
                Ok((if *negated { not(similar) } else { similar }, Type::Bool))
            }
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
    pub fn copies(&self, operand: &Expr, more: usize) -> Result<()> {
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

    pub fn binary(&self, left: Typed, op: Operator, right: Typed) -> Result<Typed> {
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
        let function = match op {
            Operator::BitwiseAnd => Some("bitwise_and"),
            Operator::BitwiseOr => Some("bitwise_or"),
            Operator::BitwiseShiftLeft => Some("shift_left"),
            Operator::BitwiseShiftRight => Some("shift_right"),
            _ => None,
        };
        if let Some(function) = function {
            return self.called(function, vec![left, right]);
        }
        match op {
            // A power in PostgreSQL, and this in MySQL.
            Operator::BitwiseXor => {
                return Err(
                    self.unsupported("^", "operator ^ has two meanings: write power(a, b) or bitwise_xor(a, b)")
                );
            }
            Operator::StringConcat => return self.called("text_concat", vec![self.text(left)?, self.text(right)?]),
            Operator::RegexMatch | Operator::RegexIMatch => {
                return Ok((self.matches(&op.to_string(), left, right)?, Type::Bool));
            }
            Operator::RegexNotMatch | Operator::RegexNotIMatch => {
                return Ok((not(self.matches(&op.to_string(), left, right)?), Type::Bool));
            }
            _ => {}
        }
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

    pub fn case(&self, branches: Vec<(Expr, Typed)>, otherwise: Option<Typed>) -> Result<Typed> {
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
        let ty = canonical(to).ok_or_else(|| {
            let message = format!(
                "CAST to {to} is not supported; use BIGINT, DOUBLE, DECIMAL, VARCHAR, BOOLEAN, DATE or TIMESTAMP"
            );
            self.unsupported("cast", message)
        })?;
        let plain = self.plain_cast(inner, ty, depth)?;
        match *to {
            DataType::Decimal32(digits, scale)
            | DataType::Decimal64(digits, scale)
            | DataType::Decimal128(digits, scale)
            | DataType::Decimal256(digits, scale) => self.decimal(plain, digits, scale),
            DataType::Int8 => self.within(plain, i8::MIN.into(), i8::MAX.into()),
            DataType::Int16 => self.within(plain, i16::MIN.into(), i16::MAX.into()),
            DataType::Int32 => self.within(plain, i32::MIN.into(), i32::MAX.into()),
            DataType::UInt8 => self.within(plain, 0, u8::MAX.into()),
            DataType::UInt16 => self.within(plain, 0, u16::MAX.into()),
            DataType::UInt32 => self.within(plain, 0, u32::MAX.into()),
            DataType::UInt64 => self.within(plain, 0, i64::MAX),
            _ => Ok(plain),
        }
    }

    /// A DECIMAL is a DOUBLE rounded to its scale; NULL where it has more digits.
    fn decimal(&self, value: Typed, digits: u8, scale: i8) -> Result<Typed> {
        let whole = |n: i64| (Expr::Literal(Literal::Int(n)), Type::Int);
        let rounded = self.called("round", vec![value, whole(scale.into())])?;
        self.copies(&rounded.0, 1)?;
        let most = Expr::Literal(Literal::float(10f64.powi(i32::from(digits) - i32::from(scale))));
        let size = self.called("abs", vec![rounded.clone()])?;
        let fits = self.binary(size, Operator::Lt, (most, Type::Float))?.0;
        self.case(vec![(fits, rounded)], None)
    }

    /// NULL outside of a type's whole numbers.
    fn within(&self, value: Typed, low: i64, high: i64) -> Result<Typed> {
        self.copies(&value.0, 2)?;
        let end = |n: i64| (Expr::Literal(Literal::Int(n)), Type::Int);
        let above = self.binary(value.clone(), Operator::GtEq, end(low))?.0;
        let below = self.binary(value.clone(), Operator::LtEq, end(high))?.0;
        match value {
            (Expr::Literal(Literal::Int(n)), _) if (low..=high).contains(&n) => {
                Ok((Expr::Literal(Literal::Int(n)), Type::Int))
            }
            (Expr::Literal(l), ty) if l.is_null() => Ok((Expr::Literal(l), ty)),
            (Expr::Literal(_), _) => Err(self.unsupported("cast", "this literal is outside of the type's numbers")),
            value => self.case(vec![(Expr::and(vec![above, below]), value)], None),
        }
    }

    fn plain_cast(&self, inner: &DfExpr, ty: Type, depth: usize) -> Result<Typed> {
        let temporal = |ty| matches!(ty, Type::Date | Type::Timestamp);
        match self.expr(inner, depth + 1)? {
            (_, from) if (temporal(from) && ty.is_numeric()) || (from.is_numeric() && temporal(ty)) => {
                let message = "dates and numbers do not go together: write a literal such as DATE '2026-01-01'";
                Err(self.unsupported("cast", message))
            }
            (Expr::Literal(l), _) if l.is_null() => Ok((Expr::Literal(Literal::Null(ty)), ty)),
            (expr, from @ (Type::Date | Type::Timestamp)) if ty == Type::Text => self.text((expr, from)),
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
            (_, from) if !can_cast_types(&arrow_type(from), &arrow_type(ty)) => {
                Err(self.unsupported("cast", format!("{} cannot be CAST to {}", from.sql(), ty.sql())))
            }
            (expr, _) => Ok((expr.cast(ty), ty)),
        }
    }

    pub fn literal(&self, value: &ScalarValue) -> Result<Typed> {
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

pub fn not(expr: Expr) -> Expr {
    match expr {
        Expr::Not(inner) => *inner,
        other => Expr::Not(Box::new(other)),
    }
}

/// A constant interval, also one that a text is cast to.
pub fn interval(expr: &DfExpr) -> Option<IntervalMonthDayNano> {
    let value = match expr {
        DfExpr::Literal(value, _) if matches!(value.data_type(), DataType::Interval(_)) => value,
        DfExpr::Cast(Cast { expr, field }) if matches!(field.data_type(), DataType::Interval(_)) => {
            if let DfExpr::Literal(value, _) = expr.as_ref() {
                value
            } else {
                return None;
            }
        }
        _ => return None,
    };
    match value.cast_to(&DataType::Interval(IntervalUnit::MonthDayNano)).ok()? {
        ScalarValue::IntervalMonthDayNano(interval) => interval,
        _ => None,
    }
}

pub fn is_null(expr: Expr) -> Expr {
    Expr::IsNull(Box::new(expr))
}
