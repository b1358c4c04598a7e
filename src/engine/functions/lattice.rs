//! From values to bounded integers.

use super::STEPS;
use crate::algebra::Clamp;
use crate::num::Lattice;
use datafusion::arrow::array::{ArrayRef, Decimal128Array, Float64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::cast::{as_decimal128_array, as_float64_array, as_int64_array};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// A row's value in lattice steps: rounded, clamped to the row bounds, less the centre. NaN counts as 0 before it is
/// clamped; NULL stays NULL and adds nothing.
pub fn quantise(clamp: &Clamp, value: Expr) -> Expr {
    let function = Quantise {
        exponent: clamp.lattice.exponent(),
        clamp: HashedClamp(*clamp),
        signature: Signature::any(1, Volatility::Immutable),
    };
    ScalarUDF::from(function).call(vec![value])
}

/// A unit's centred `total` over `count` rows with the weight of at most `rows` of them: total * rows / count, towards zero, where
/// there are more. The unit's own mean is kept, so that a limit on rows does not move an average towards the middle of its
/// bounds; and that mean is clamped to the limits of means, so that it adds at most its weight times those.
pub fn weigh(clamp: &Clamp, rows: u64, total: Expr, count: Expr) -> Expr {
    let function =
        Weigh { rows: i128::from(rows), mean: clamp.mean, signature: Signature::any(2, Volatility::Immutable) };
    ScalarUDF::from(function).call(vec![total, count])
}

/// The value of a number of steps, exact up to a double's rounding.
pub fn value(lattice: Lattice, steps: Expr) -> Expr {
    let function = Value { exponent: lattice.exponent(), signature: Signature::any(1, Volatility::Immutable) };
    ScalarUDF::from(function).call(vec![steps])
}

/// What one unit adds to one group, within its limits; nothing (NULL) is 0.
pub fn clamp(clamp: &Clamp, total: Expr) -> Expr {
    let function =
        Limit { low: clamp.unit_low, high: clamp.unit_high, signature: Signature::any(1, Volatility::Immutable) };
    ScalarUDF::from(function).call(vec![total])
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HashedClamp(Clamp);

impl std::hash::Hash for HashedClamp {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.0.row_low, self.0.row_high, self.0.centre).hash(state);
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Quantise {
    exponent: i32,
    clamp: HashedClamp,
    signature: Signature,
}

impl Quantise {
    fn steps(&self, quantised: i64) -> i128 {
        let Clamp { row_low, row_high, centre, .. } = self.clamp.0;
        i128::from(quantised.clamp(row_low, row_high)) - i128::from(centre)
    }
}

fn steps_array(steps: impl Iterator<Item = Option<i128>>) -> Result<ColumnarValue> {
    let array = steps.collect::<Decimal128Array>().with_data_type(STEPS);
    Ok(ColumnarValue::Array(Arc::new(array) as ArrayRef))
}

impl ScalarUDFImpl for Quantise {
    fn name(&self) -> &str {
        "quantise"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(STEPS)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = args.args[0].to_array(args.number_rows)?;
        let lattice = self.clamp.0.lattice;
        match values.data_type() {
            // Integers on the unit lattice are themselves, beyond what a double holds too.
            DataType::Int64 if self.exponent == 0 => {
                steps_array(as_int64_array(&values)?.iter().map(|v| Some(self.steps(v?))))
            }
            DataType::Int64 => {
                steps_array(as_int64_array(&values)?.iter().map(|v| Some(self.steps(lattice.quantise(v? as f64)))))
            }
            _ => steps_array(as_float64_array(&values)?.iter().map(|v| Some(self.steps(lattice.quantise(v?))))),
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Weigh {
    rows: i128,
    mean: (i64, i64),
    signature: Signature,
}

/// A unit's centred total over `count` rows with the weight of at most `rows`: see [`weigh`].
pub fn weighed(total: i128, count: i128, rows: i128, (low, high): (i64, i64)) -> i128 {
    // Within 2^52 steps a row and 2^30 rows of weight, the product of a real total fits in 128 bits.
    let weighed = if count > rows { total.saturating_mul(rows) / count } else { total };
    let weight = count.min(rows);
    weighed.clamp(i128::from(low) * weight, i128::from(high) * weight)
}

impl ScalarUDFImpl for Weigh {
    fn name(&self) -> &str {
        "weigh"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(STEPS)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (totals, counts) = (args.args[0].to_array(args.number_rows)?, args.args[1].to_array(args.number_rows)?);
        let of_unit =
            |total: Option<i128>, count: Option<i64>| Some(weighed(total?, count?.into(), self.rows, self.mean));
        steps_array(as_decimal128_array(&totals)?.iter().zip(as_int64_array(&counts)?).map(|(t, c)| of_unit(t, c)))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Value {
    exponent: i32,
    signature: Signature,
}

impl ScalarUDFImpl for Value {
    fn name(&self) -> &str {
        "value"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let steps = args.args[0].to_array(args.number_rows)?;
        let values = as_decimal128_array(&steps)?.iter().map(|steps| Some(steps? as f64 * 2f64.powi(self.exponent)));
        Ok(ColumnarValue::Array(Arc::new(values.collect::<Float64Array>()) as ArrayRef))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Limit {
    low: i128,
    high: i128,
    signature: Signature,
}

impl ScalarUDFImpl for Limit {
    fn name(&self) -> &str {
        "clamp"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(STEPS)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let totals = args.args[0].to_array(args.number_rows)?;
        let limited = |v: Option<i128>| Some(v.unwrap_or(0).clamp(self.low, self.high));
        match totals.data_type() {
            DataType::Int64 => steps_array(as_int64_array(&totals)?.iter().map(|v| limited(v.map(i128::from)))),
            _ => steps_array(as_decimal128_array(&totals)?.iter().map(limited)),
        }
    }
}
