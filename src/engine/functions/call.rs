//! Scalar functions by row: see [`crate::algebra::scalars`] for their meaning.

use crate::algebra::scalars::Value;
use crate::algebra::{ScalarCall, Type};
use crate::catalog::arrow_type;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::borrow::Cow;
use std::sync::Arc;

pub fn call(call: ScalarCall, args: Vec<Expr>) -> Expr {
    let signature = match args.len() {
        0 => Signature::nullary(Volatility::Immutable),
        some => Signature::any(some, Volatility::Immutable),
    };
    ScalarUDF::from(ByRow { call, signature }).call(args)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ByRow {
    call: ScalarCall,
    signature: Signature,
}

/// An argument: a value for each row, or one for all.
struct Argument {
    values: ArrayRef,
    ty: Type,
    same: bool,
}

impl Argument {
    fn new(of: &ColumnarValue, ty: Type, rows: usize) -> Result<Argument> {
        let same = matches!(of, ColumnarValue::Scalar(_));
        let values = of.to_array(if same { 1 } else { rows })?;
        if *values.data_type() != arrow_type(ty) {
            return internal_err!("a function is asked about a value of another type");
        }
        Ok(Argument { values, ty, same })
    }

    fn at(&self, row: usize) -> Option<Value<'_>> {
        let row = if self.same { 0 } else { row };
        if self.values.is_null(row) {
            return None;
        }
        Some(match self.ty {
            Type::Int => Value::Int(self.values.as_primitive::<Int64Type>().value(row)),
            Type::Float => Value::Float(self.values.as_primitive::<Float64Type>().value(row)),
            Type::Text => Value::Text(Cow::Borrowed(self.values.as_string::<i32>().value(row))),
            Type::Bool => Value::Bool(self.values.as_boolean().value(row)),
            Type::Date => Value::Date(self.values.as_primitive::<Date32Type>().value(row)),
            Type::Timestamp => Value::Timestamp(self.values.as_primitive::<TimestampMicrosecondType>().value(row)),
        })
    }
}

/// The array of results of this type.
pub fn collected(results: impl Iterator<Item = Option<Value<'static>>>, ty: Type) -> ArrayRef {
    macro_rules! array {
        ($variant:ident, $array:ty) => {
            Arc::new(results.map(|v| if let Some(Value::$variant(v)) = v { Some(v) } else { None }).collect::<$array>())
        };
    }
    match ty {
        Type::Int => array!(Int, Int64Array),
        Type::Float => array!(Float, Float64Array),
        Type::Text => array!(Text, StringArray),
        Type::Bool => array!(Bool, BooleanArray),
        Type::Date => array!(Date, Date32Array),
        Type::Timestamp => array!(Timestamp, TimestampMicrosecondArray),
    }
}

impl ScalarUDFImpl for ByRow {
    fn name(&self) -> &str {
        self.call.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(arrow_type(self.call.overload().gives))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let overload = self.call.overload();
        let pairs = args.args.iter().zip(overload.takes);
        let of = pairs.map(|(arg, ty)| Argument::new(arg, *ty, args.number_rows)).collect::<Result<Vec<_>>>()?;
        let results = (0..args.number_rows).map(|row| {
            let values = of.iter().map(|argument| argument.at(row)).collect::<Option<Vec<_>>>()?;
            (overload.of)(&values)
        });
        Ok(ColumnarValue::Array(collected(results, overload.gives)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::evaluated;
    use super::*;
    use crate::algebra::{Arithmetic, Bounds, Comparison, Expr as BoundExpr, Literal, MAX_TEXT_BYTES, Scalar};
    use crate::catalog::literal_value;
    use datafusion::arrow::array::UInt32Array;
    use datafusion::arrow::compute::take;
    use datafusion::scalar::ScalarValue;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    /// Values at the edges of a type, and NULL.
    fn extremes(ty: Type) -> Vec<Literal> {
        let text = |text: &str| Literal::Text(text.to_owned());
        let mut all = match ty {
            Type::Int => {
                let near = [0, 1, -1, 2, 3, 7, 12, 20, 21, 31, 63, 64, -20, 1 << 32, i64::MAX, i64::MIN, i64::MIN + 1];
                near.into_iter().map(Literal::Int).collect::<Vec<_>>()
            }
            Type::Float => {
                let finite = [0.0, 1.0, -1.0, 0.5, -2.5, 59.999_999_9, 1e15, 1e308, -1e308, 5e-324];
                let others = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
                // Signed zero is only in columns.
                let all = finite.into_iter().chain(others).map(Literal::Float);
                all.chain([Literal::Float(-0.0)]).collect()
            }
            Type::Text => vec![
                text(""),
                text(" "),
                text("a"),
                text("ab,c"),
                text("day"),
                text("%Y-%m-%d"),
                text("%"),
                text("2024-02-29"),
                text("stra\u{df}e \u{1f600}e\u{301}"),
                text(&"\u{1f600}".repeat(MAX_TEXT_BYTES / 4)),
                text(&"%F".repeat(MAX_TEXT_BYTES / 2)),
            ],
            Type::Bool => [true, false].map(Literal::Bool).to_vec(),
            Type::Date => [0, -1, 19_782, -719_162, 2_932_896, i32::MAX, i32::MIN].map(Literal::Date).to_vec(),
            Type::Timestamp => {
                let near = [0, -1, 1_709_251_199_999_999, -62_135_596_800_000_000, i64::MAX, i64::MIN];
                near.map(Literal::Timestamp).to_vec()
            }
        };
        all.push(Literal::Null(ty));
        all
    }

    /// Every combination of extremes, or as many drawn at random where there are too many.
    fn combinations(takes: &[Type], rng: &mut StdRng) -> Vec<Vec<Literal>> {
        let of: Vec<Vec<Literal>> = takes.iter().map(|ty| extremes(*ty)).collect();
        let count: usize = of.iter().map(Vec::len).product();
        let pick = |mut at: usize| {
            let place = |values: &Vec<Literal>| {
                let value = values[at % values.len()].clone();
                at /= values.len();
                value
            };
            of.iter().map(place).collect()
        };
        match count {
            0..=5_000 => (0..count).map(pick).collect(),
            _ => (0..5_000).map(|_| pick(rng.random_range(0..count))).collect(),
        }
    }

    /// The result on every row does not fail, is of the type that was said, is not too long, is NULL where an argument is, is within the bounds,
    /// and depends on its row alone: it is the same in another order, and by itself.
    #[test]
    fn every_function_is_total_and_looks_at_its_row_alone() {
        let mut rng = StdRng::seed_from_u64(5);
        for scalar in Scalar::all() {
            for overload in scalar.overloads {
                let types: Vec<_> = overload.takes.iter().map(|ty| Some(*ty)).collect();
                let Some(function) = scalar.overload(&types) else { panic!("{}", scalar.name) };
                assert_eq!(
                    function.overload().takes,
                    overload.takes,
                    "{} has an overload that is never used",
                    scalar.name
                );
                let rows = combinations(overload.takes, &mut rng);
                let array =
                    |at: usize| ScalarValue::iter_to_array(rows.iter().map(|row| literal_value(&row[at]))).unwrap();
                let columns: Vec<ArrayRef> = (0..overload.takes.len()).map(array).collect();
                let made = |columns: &[ArrayRef], rows| evaluated(|args| call(function, args), columns, rows).unwrap();
                let results = made(&columns, rows.len());
                assert_eq!((results.len(), results.data_type()), (rows.len(), &arrow_type(overload.gives)));
                if columns.is_empty() {
                    continue;
                }
                let backwards = UInt32Array::from_iter_values((0..rows.len() as u32).rev());
                let turned = |of: &ArrayRef| take(of, &backwards, None).unwrap();
                let columns_turned: Vec<_> = columns.iter().map(turned).collect();
                assert!(made(&columns_turned, rows.len()) == turned(&results), "{}: order matters", scalar.name);
                for at in (0..rows.len()).step_by(rows.len() / 25 + 1) {
                    let alone: Vec<_> = columns.iter().map(|column| column.slice(at, 1)).collect();
                    assert!(made(&alone, 1) == results.slice(at, 1), "{}: other rows matter", scalar.name);
                }
                for (at, row) in rows.iter().enumerate() {
                    let has_null = row.iter().any(Literal::is_null);
                    assert!(!has_null || results.is_null(at), "{} of NULL", scalar.name);
                    if let Some(texts) = results.as_string_opt::<i32>() {
                        assert!(texts.is_null(at) || texts.value(at).len() <= MAX_TEXT_BYTES, "{}", scalar.name);
                    }
                    let known: Vec<_> = row.iter().map(point).collect();
                    let (Some(bounds), Some(got)) = ((overload.bounds)(&known), measure(&results, at)) else {
                        continue;
                    };
                    let within = (bounds.low..=bounds.high).contains(&got) || got.is_nan();
                    assert!(within || known.contains(&None), "{} of {row:?} is {got}, not in {bounds:?}", scalar.name);
                }
            }
        }
    }

    /// The bounds of a constant.
    fn point(literal: &Literal) -> Option<Bounds> {
        let at = match literal {
            Literal::Int(v) | Literal::Timestamp(v) => *v as f64,
            Literal::Float(v) => *v,
            Literal::Date(days) => f64::from(*days) * 86_400_000_000.0,
            _ => return None,
        };
        Bounds::new(at, at)
    }

    fn measure(results: &ArrayRef, at: usize) -> Option<f64> {
        if results.is_null(at) {
            return None;
        }
        let whole = |v: Option<i64>| v.map(|v| v as f64);
        whole(results.as_primitive_opt::<Int64Type>().map(|v| v.value(at)))
            .or(whole(results.as_primitive_opt::<TimestampMicrosecondType>().map(|v| v.value(at))))
            .or(results.as_primitive_opt::<Date32Type>().map(|v| f64::from(v.value(at)) * 86_400_000_000.0))
            .or(results.as_primitive_opt::<Float64Type>().map(|v| v.value(at)))
    }

    #[test]
    fn constants_are_as_columns_of_them() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("ab"), None, Some("c")]));
        let lpad = Scalar::find("lpad").unwrap().overload(&[Some(Type::Text), Some(Type::Int)]).unwrap();
        let made = evaluated(
            |args| call(lpad, vec![args[0].clone(), Expr::Literal(ScalarValue::Int64(Some(3)), None)]),
            &[texts],
            3,
        );
        assert_eq!(made.unwrap().as_string::<i32>(), &StringArray::from(vec![Some(" ab"), None, Some("  c")]));
    }

    /// An expression of a type over the columns 0 to 3: two whole numbers, a fraction and a date.
    fn random_expr(ty: Type, depth: u32, rng: &mut StdRng) -> BoundExpr {
        let number = |rng: &mut StdRng| match ty {
            Type::Int => BoundExpr::Literal(Literal::Int(rng.random_range(-9..10))),
            Type::Float => BoundExpr::Literal(Literal::float(rng.random_range(-40..40) as f64 / 8.0)),
            _ => BoundExpr::Literal(Literal::Date(rng.random_range(0..20_000))),
        };
        let column = |rng: &mut StdRng| match ty {
            Type::Int => BoundExpr::Column(rng.random_range(0..2)),
            Type::Float => BoundExpr::Column(2),
            _ => BoundExpr::Column(3),
        };
        if depth == 0 {
            return if rng.random_bool(0.7) { column(rng) } else { number(rng) };
        }
        let numeric = ty.is_numeric();
        match rng.random_range(0..10) {
            0 => column(rng),
            1 | 2 => {
                let when = BoundExpr::compare(Comparison::Less, random_expr(ty, 0, rng), random_expr(ty, 0, rng));
                let otherwise = rng.random_bool(0.7).then(|| Box::new(random_expr(ty, depth - 1, rng)));
                BoundExpr::Case { branches: vec![(when, random_expr(ty, depth - 1, rng))], otherwise }
            }
            3 if ty == Type::Int => random_expr(Type::Float, depth - 1, rng).cast(Type::Int),
            3 if ty == Type::Float => random_expr(Type::Int, depth - 1, rng).cast(Type::Float),
            4..=6 if numeric => {
                let ops = match ty {
                    Type::Int => [
                        Arithmetic::Add,
                        Arithmetic::Subtract,
                        Arithmetic::Multiply,
                        Arithmetic::Quotient,
                        Arithmetic::Remainder,
                    ],
                    _ => [
                        Arithmetic::Add,
                        Arithmetic::Subtract,
                        Arithmetic::Multiply,
                        Arithmetic::Divide,
                        Arithmetic::Remainder,
                    ],
                };
                let op = ops[rng.random_range(0..ops.len())];
                BoundExpr::arithmetic(op, random_expr(ty, depth - 1, rng), random_expr(ty, depth - 1, rng))
            }
            _ => {
                let known = |ty: &Type| matches!(ty, Type::Int | Type::Float | Type::Date);
                let fit = |overload: &&crate::algebra::scalars::Overload| {
                    overload.gives == ty && overload.takes.iter().all(known)
                };
                let all: Vec<_> = Scalar::all()
                    .flat_map(|scalar| scalar.overloads.iter().filter(fit).map(move |overload| (scalar, overload)))
                    .collect();
                let (scalar, overload) = all[rng.random_range(0..all.len())];
                let types: Vec<_> = overload.takes.iter().map(|ty| Some(*ty)).collect();
                let args = overload.takes.iter().map(|ty| random_expr(*ty, depth - 1, rng)).collect();
                BoundExpr::Call(scalar.overload(&types).unwrap(), args)
            }
        }
    }

    /// The bounds that are worked out for an expression hold all of its values over columns within theirs.
    #[test]
    fn random_expressions_are_within_their_bounds() {
        const ROWS: usize = 400;
        const DAY: f64 = 86_400_000_000.0;
        let mut rng = StdRng::seed_from_u64(9);
        let declared = [(-5.0, 12.0), (1.0, 40.0), (-2.5, 7.25), (100.0 * DAY, 15_000.0 * DAY)];
        let ends = |(low, high): (f64, f64), rng: &mut StdRng| {
            // The ends themselves are there too.
            (0..ROWS)
                .map(|row| if row < 2 { [low, high][row] } else { rng.random_range(low..=high) })
                .collect::<Vec<_>>()
        };
        let whole = |values: Vec<f64>| Arc::new(values.iter().map(|v| Some(v.floor() as i64)).collect::<Int64Array>());
        let columns: Vec<ArrayRef> = vec![
            whole(ends(declared[0], &mut rng)),
            whole(ends(declared[1], &mut rng)),
            Arc::new(Float64Array::from(ends(declared[2], &mut rng))),
            Arc::new(ends(declared[3], &mut rng).iter().map(|v| Some((v / DAY) as i32)).collect::<Date32Array>()),
        ];
        let (mut bounded, mut made) = (0, 0);
        for _ in 0..1_500 {
            let ty = [Type::Int, Type::Float, Type::Date][rng.random_range(0..3)];
            let expr = random_expr(ty, 3, &mut rng);
            made += 1;
            let column = |i: usize| declared.get(i).and_then(|(low, high)| Bounds::new(*low, *high));
            let Some(Bounds { low, high }) = crate::algebra::bounds(&expr, &column) else { continue };
            bounded += 1;
            let planned = |args: Vec<Expr>| crate::engine::build::scalar(&expr, &|i| args[i].clone());
            let results = evaluated(planned, &columns, ROWS).unwrap();
            // Whole numbers beyond 2^53 are rounded where bounds are.
            let slack = low.abs().max(high.abs()) * 1e-12;
            for value in (0..ROWS).filter_map(|at| measure(&results, at)).filter(|value| !value.is_nan()) {
                assert!((low - slack..=high + slack).contains(&value), "{value} is not in [{low}, {high}]: {expr:?}");
            }
        }
        assert!(bounded > made / 3, "{bounded} of {made} have bounds");
    }
}
