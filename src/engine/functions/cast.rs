//! Casts that cannot fail: what the type cannot hold is NULL.
//!
//! Arrow's safe cast does that for all pairs of types that we admit, but not between dates and timestamps: there it multiplies
//! without a check, or ends in an error. Those two are done here. Dates and timestamps are never cast to text below a release,
//! because formatting them can fail too; lowering refuses that.

use crate::algebra::Type;
use crate::catalog::arrow_type;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Date32Array, TimestampMicrosecondArray};
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
        Type::Date | Type::Timestamp => {
            let signature = Signature::any(1, Volatility::Immutable);
            ScalarUDF::from(Temporal { to: arrow_type(ty), signature }).call(vec![value])
        }
        Type::Int | Type::Float | Type::Text | Type::Bool => {
            Expr::TryCast(TryCast::new(Box::new(value), arrow_type(ty)))
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Temporal {
    to: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for Temporal {
    fn name(&self) -> &str {
        "temporal_cast"
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
            _ => cast_with_options(&values, &self.to, &CastOptions { safe: true, ..CastOptions::default() })?,
        };
        Ok(ColumnarValue::Array(result))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::Field;
    use datafusion::config::ConfigOptions;

    fn run(values: ArrayRef, ty: Type) -> ArrayRef {
        let to = arrow_type(ty);
        let function = Temporal { to: to.clone(), signature: Signature::any(1, Volatility::Immutable) };
        let args = ScalarFunctionArgs {
            number_rows: values.len(),
            arg_fields: vec![Arc::new(Field::new("v", values.data_type().clone(), true))],
            args: vec![ColumnarValue::Array(values)],
            return_field: Arc::new(Field::new("r", to, true)),
            config_options: Arc::new(ConfigOptions::new()),
        };
        function.invoke_with_args(args).unwrap().to_array(1).unwrap()
    }

    #[test]
    fn extremes_are_null_and_the_rest_is_exact() {
        let days: ArrayRef = Arc::new(Date32Array::from(vec![Some(0), Some(-1), Some(i32::MAX), Some(i32::MIN), None]));
        let stamps = run(days, Type::Timestamp);
        let wanted = TimestampMicrosecondArray::from(vec![Some(0), Some(-MICROS_PER_DAY), None, None, None]);
        assert_eq!(stamps.as_primitive::<TimestampMicrosecondType>(), &wanted);
        let micros: ArrayRef =
            Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), Some(0), Some(i64::MAX), Some(i64::MIN), None]));
        let days = run(micros, Type::Date);
        let last = |micros: i64| Some(micros.div_euclid(MICROS_PER_DAY) as i32);
        let wanted = Date32Array::from(vec![Some(-1), Some(0), last(i64::MAX), last(i64::MIN), None]);
        assert_eq!(days.as_primitive::<Date32Type>(), &wanted);
    }
}
