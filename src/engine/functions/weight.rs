//! What a unit adds to each of its keys where only keys are asked: see [`crate::mechanism::weight`].

use super::STEPS;
use crate::mechanism::weight;
use datafusion::arrow::array::{ArrayRef, Decimal128Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::cast::as_int64_array;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// The weight of a unit with this many keys on each of them, in steps.
pub fn spread(keys: Expr) -> Expr {
    ScalarUDF::from(Spread { signature: Signature::any(1, Volatility::Immutable) }).call(vec![keys])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Spread {
    signature: Signature,
}

impl ScalarUDFImpl for Spread {
    fn name(&self) -> &str {
        "spread"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(STEPS)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let keys = args.args[0].to_array(args.number_rows)?;
        let weights = as_int64_array(&keys)?.iter().map(|keys| Some(i128::from(weight(keys?.unsigned_abs()))));
        let weights = weights.collect::<Decimal128Array>().with_data_type(STEPS);
        Ok(ColumnarValue::Array(Arc::new(weights) as ArrayRef))
    }
}
