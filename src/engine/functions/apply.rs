//! Functions of one value: see [`crate::algebra::Function`] for their meaning.

use super::call::collected;
use crate::algebra::{Function, Pattern};
use crate::catalog::arrow_type;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::compute::kernels::comparison::{ilike, like};
use datafusion::arrow::datatypes::{DataType, Float64Type, TimestampMicrosecondType};
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

pub fn apply(function: Function, to: Expr) -> Expr {
    let signature = Signature::any(1, Volatility::Immutable);
    ScalarUDF::from(Apply { function, signature }).call(vec![to])
}

/// Whether each text is like the pattern, by Arrow's kernel, whose time is linear in the text. Whether it takes the pattern does not
/// depend on the texts.
fn like_pattern(texts: &dyn Array, Pattern { text, ignore_case }: &Pattern) -> Result<ArrayRef> {
    let pattern = StringArray::new_scalar(text);
    let found = match ignore_case {
        true => ilike(&texts, &pattern)?,
        false => like(&texts, &pattern)?,
    };
    Ok(Arc::new(found))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Apply {
    function: Function,
    signature: Signature,
}

impl ScalarUDFImpl for Apply {
    fn name(&self) -> &str {
        match self.function {
            Function::Part(_) => "calendar_part",
            Function::Start(_) => "calendar_start",
            Function::Bucket(_) => "bucket",
            Function::Like(_) => "like",
            Function::Search(_) => "regular",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(arrow_type(self.function.result()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = args.args[0].to_array(args.number_rows)?;
        let (micros, floats) =
            (values.as_primitive_opt::<TimestampMicrosecondType>(), values.as_primitive_opt::<Float64Type>());
        let texts = values.as_string_opt::<i32>();
        let result: ArrayRef = match (&self.function, micros, floats) {
            (Function::Part(part), Some(micros), _) => {
                Arc::new(micros.iter().map(|m| Some(part.of(m?))).collect::<Int64Array>())
            }
            (Function::Start(unit), Some(micros), _) => {
                Arc::new(micros.iter().map(|m| unit.start(m?)).collect::<TimestampMicrosecondArray>())
            }
            (Function::Bucket(buckets), _, Some(floats)) => {
                Arc::new(floats.iter().map(|v| Some(buckets.of(v?))).collect::<Int64Array>())
            }
            (Function::Like(pattern), ..) if texts.is_some() => like_pattern(&values, pattern)?,
            (Function::Search(search), ..) if texts.is_some() => {
                let found = texts.into_iter().flatten().map(|text| search.of(text?));
                collected(found, search.result())
            }
            _ => return internal_err!("a function is asked about a value of another type"),
        };
        Ok(ColumnarValue::Array(result))
    }
}
