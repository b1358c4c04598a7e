//! Arithmetic that cannot fail: see [`Arithmetic`] for the meaning at the edges.

use crate::algebra::Arithmetic;
use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::cast::{as_float64_array, as_int64_array};
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// `left op right`; both of type Int64, or both Float64.
pub fn arithmetic(op: Arithmetic, left: Expr, right: Expr) -> Expr {
    let name = match op {
        Arithmetic::Add => "total_add",
        Arithmetic::Subtract => "total_subtract",
        Arithmetic::Multiply => "total_multiply",
        Arithmetic::Divide | Arithmetic::Quotient => "total_divide",
        Arithmetic::Remainder => "total_remainder",
    };
    let signature = Signature::any(2, Volatility::Immutable);
    ScalarUDF::from(Total { op: op as u8, name, signature }).call(vec![left, right])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Total {
    op: u8,
    name: &'static str,
    signature: Signature,
}

const ADD: u8 = Arithmetic::Add as u8;
const SUBTRACT: u8 = Arithmetic::Subtract as u8;
const MULTIPLY: u8 = Arithmetic::Multiply as u8;
const DIVIDE: u8 = Arithmetic::Divide as u8;
const QUOTIENT: u8 = Arithmetic::Quotient as u8;

impl Total {
    fn whole(&self, a: i64, b: i64) -> Option<i64> {
        match self.op {
            ADD => a.checked_add(b),
            SUBTRACT => a.checked_sub(b),
            MULTIPLY => a.checked_mul(b),
            DIVIDE | QUOTIENT => a.checked_div(b),
            _ => a.checked_rem(b),
        }
    }

    fn float(&self, a: f64, b: f64) -> Option<f64> {
        match self.op {
            ADD => Some(a + b),
            SUBTRACT => Some(a - b),
            MULTIPLY => Some(a * b),
            _ if b == 0.0 => None,
            DIVIDE | QUOTIENT => Some(a / b),
            _ => Some(a % b),
        }
    }
}

impl ScalarUDFImpl for Total {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [left, right] = arrays.as_slice() else { return internal_err!("arithmetic takes two arguments") };
        let result: ArrayRef = match left.data_type() {
            DataType::Int64 => {
                let (l, r) = (as_int64_array(left)?, as_int64_array(right)?);
                Arc::new(l.iter().zip(r).map(|(a, b)| self.whole(a?, b?)).collect::<Int64Array>())
            }
            _ => {
                let (l, r) = (as_float64_array(left)?, as_float64_array(right)?);
                Arc::new(l.iter().zip(r).map(|(a, b)| self.float(a?, b?)).collect::<Float64Array>())
            }
        };
        Ok(ColumnarValue::Array(result))
    }
}
