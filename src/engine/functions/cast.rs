//! Casts that cannot fail: what the type cannot hold is NULL.
//!
//! Arrow's safe cast does that for all pairs of types that we admit, but not between dates and timestamps: there it multiplies
//! without a check, or ends in an error. Those two are done here. Dates and timestamps are never cast to text below a release,
//! because formatting them can fail too; lowering refuses that. Those outside the years 1 to 9999 are NULL. Text longer than [`MAX_TEXT_BYTES`] is NULL.

use crate::algebra::Type;
use crate::catalog::{MAX_TEXT_BYTES, arrow_type};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Date32Array, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TryCast, Volatility,
};
use std::sync::Arc;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// `value` as `ty`.
pub fn cast(value: Expr, ty: Type) -> Expr {
    match ty {
        Type::Date | Type::Timestamp | Type::Text => {
            let signature = Signature::any(1, Volatility::Immutable);
            ScalarUDF::from(Total { to: arrow_type(ty), signature }).call(vec![value])
        }
        Type::Int | Type::Float | Type::Bool => Expr::TryCast(TryCast::new(Box::new(value), arrow_type(ty))),
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Total {
    to: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for Total {
    fn name(&self) -> &str {
        "total_cast"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = args.args[0].to_array(args.number_rows)?;
        let result: ArrayRef = match (values.data_type(), &self.to) {
            (DataType::Date32, DataType::Timestamp(..)) => {
                let days = values.as_primitive::<Date32Type>().iter();
                let micros = days.map(|d| i64::from(d?).checked_mul(MICROS_PER_DAY));
                Arc::new(micros.collect::<TimestampMicrosecondArray>())
            }
            (DataType::Timestamp(TimeUnit::Microsecond, None), DataType::Date32) => {
                let micros = values.as_primitive::<TimestampMicrosecondType>().iter();
                Arc::new(micros.map(|m| i32::try_from(m?.div_euclid(MICROS_PER_DAY)).ok()).collect::<Date32Array>())
            }
            _ => short(cast_with_options(&values, &self.to, &CastOptions { safe: true, ..CastOptions::default() })?),
        };
        Ok(ColumnarValue::Array(nameable(result)))
    }
}

/// The first and last day that SQL can name, 0001-01-01 and 9999-12-31, in days since 1970-01-01.
const DAYS: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;

/// Dates and timestamps that SQL can name; other arrays as they are.
fn nameable(values: ArrayRef) -> ArrayRef {
    if let Some(days) = values.as_primitive_opt::<Date32Type>() {
        let known = days.iter().map(|day| day.filter(|day| DAYS.contains(&i64::from(*day))));
        return Arc::new(known.collect::<Date32Array>());
    }
    if let Some(micros) = values.as_primitive_opt::<TimestampMicrosecondType>() {
        let known = micros.iter().map(|m| m.filter(|m| DAYS.contains(&m.div_euclid(MICROS_PER_DAY))));
        return Arc::new(known.collect::<TimestampMicrosecondArray>());
    }
    values
}

/// Texts that are not too long; other arrays as they are.
fn short(values: ArrayRef) -> ArrayRef {
    match values.as_string_opt::<i32>() {
        Some(texts) if texts.iter().flatten().any(|text| text.len() > MAX_TEXT_BYTES) => {
            let short = texts.iter().map(|text| text.filter(|text| text.len() <= MAX_TEXT_BYTES));
            Arc::new(short.collect::<StringArray>())
        }
        _ => values,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::evaluated;
    use super::*;
    use crate::catalog::canonical;
    use datafusion::arrow::array::{BooleanArray, Float64Array, Int64Array, TimestampNanosecondArray, UInt64Array};
    use datafusion::arrow::compute::{can_cast_types, cast as plain_cast};

    fn run(values: &ArrayRef, ty: Type) -> Result<ArrayRef> {
        evaluated(|args| cast(args[0].clone(), ty), std::slice::from_ref(values), values.len())
    }

    /// Values at the edges of what each type of a file can hold.
    fn extremes() -> Vec<ArrayRef> {
        let whole: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), Some(-1), Some(i64::MAX), Some(i64::MIN), None]));
        let unsigned: ArrayRef = Arc::new(UInt64Array::from(vec![0, u64::MAX, 1 << 63]));
        let floats =
            vec![0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, 1e-320, 1e300, 9.3e18];
        let floats: ArrayRef = Arc::new(Float64Array::from(floats));
        let words = [
            "",
            "x",
            "1",
            "-1e400",
            "9999999999999999999999",
            "NaN",
            "true",
            "2026-02-30",
            "+262143-01-01",
            "-262144-01-01T00:00:00",
            "9999-12-31T23:59:60",
            "\u{1f600}",
        ];
        let words: ArrayRef = Arc::new(StringArray::from_iter_values(words));
        let days: ArrayRef = Arc::new(Date32Array::from(vec![Some(0), Some(i32::MAX), Some(i32::MIN), None]));
        let micros: ArrayRef =
            Arc::new(TimestampMicrosecondArray::from(vec![Some(0), Some(-1), Some(i64::MAX), Some(i64::MIN), None]));
        let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![i64::MAX, i64::MIN, -1]));
        let narrowed = |of: &ArrayRef, to: &[DataType]| -> Vec<ArrayRef> {
            to.iter().map(|ty| plain_cast(of, ty).unwrap()).collect()
        };
        use DataType::{
            Date64, Decimal128, Decimal256, Dictionary, Float16, Float32, Int8, Int16, Int32, LargeUtf8, UInt8, UInt16,
            UInt32, Utf8, Utf8View,
        };
        let dictionary = Dictionary(Box::new(Int32), Box::new(Utf8));
        let raw = |ty: DataType| plain_cast(&whole, &ty).unwrap();
        [
            whole.clone(),
            unsigned,
            floats.clone(),
            words.clone(),
            days,
            micros,
            nanos,
            Arc::new(BooleanArray::from(vec![Some(true), None])),
        ]
        .into_iter()
        .chain(narrowed(
            &whole,
            &[Int8, Int16, Int32, UInt8, UInt16, UInt32, Decimal128(38, 0), Decimal256(76, 10), Date64],
        ))
        .chain([TimeUnit::Second, TimeUnit::Millisecond].map(|unit| raw(DataType::Timestamp(unit, None))))
        .chain(narrowed(&floats, &[Float16, Float32]))
        .chain(narrowed(&words, &[LargeUtf8, Utf8View, dictionary]))
        .collect()
    }

    /// Every cast that lowering or a declaration lets through has a result for every value.
    #[test]
    fn no_cast_fails() {
        for values in extremes() {
            let from = canonical(values.data_type()).unwrap();
            for to in [Type::Int, Type::Float, Type::Text, Type::Bool, Type::Date, Type::Timestamp] {
                // Of a file's own types, declarations read these; lowering casts between ours, where Arrow can, and refuses
                // to format dates and timestamps, which can fail.
                let ours = arrow_type(from) == *values.data_type();
                let formats = to == Type::Text && matches!(from, Type::Date | Type::Timestamp);
                let declared = from == to || from == Type::Text || (from, to) == (Type::Int, Type::Float);
                let admitted = declared || (ours && can_cast_types(values.data_type(), &arrow_type(to)));
                if formats || !admitted {
                    continue;
                }
                let result = run(&values, to).unwrap_or_else(|e| panic!("{} to {to:?}: {e}", values.data_type()));
                assert_eq!((result.len(), result.data_type()), (values.len(), &arrow_type(to)));
            }
        }
    }

    #[test]
    fn long_texts_are_null() {
        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some(&long[1..]), Some(&long), None, Some("a")]));
        let kept = run(&texts, Type::Text).unwrap();
        assert_eq!(kept.as_string::<i32>(), &StringArray::from(vec![Some(&long[1..]), None, None, Some("a")]));
    }

    #[test]
    fn extremes_are_null_and_the_rest_is_exact() {
        let days: ArrayRef = Arc::new(Date32Array::from(vec![Some(0), Some(-1), Some(i32::MAX), Some(i32::MIN), None]));
        let stamps = run(&days, Type::Timestamp).unwrap();
        let wanted = TimestampMicrosecondArray::from(vec![Some(0), Some(-MICROS_PER_DAY), None, None, None]);
        assert_eq!(stamps.as_primitive::<TimestampMicrosecondType>(), &wanted);
        let micros: ArrayRef =
            Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), Some(0), Some(i64::MAX), Some(i64::MIN), None]));
        let days = run(&micros, Type::Date).unwrap();
        let wanted = Date32Array::from(vec![Some(-1), Some(0), None, None, None]);
        assert_eq!(days.as_primitive::<Date32Type>(), &wanted);
    }
}
