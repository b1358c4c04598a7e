//! Fields and starts of timestamps: see [`crate::algebra::calendar`] for their meaning.

use crate::algebra::{DatePart, DateUnit, Type};
use crate::catalog::arrow_type;
use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// A field of a timestamp, as Int64.
pub fn date_part(part: DatePart, of: Expr) -> Expr {
    call(Function::Part(part), of)
}

/// The start of the unit that holds a timestamp; NULL where it is before every timestamp.
pub fn date_trunc(unit: DateUnit, of: Expr) -> Expr {
    call(Function::Start(unit), of)
}

fn call(function: Function, of: Expr) -> Expr {
    let signature = Signature::any(1, Volatility::Immutable);
    ScalarUDF::from(Calendar { function, signature }).call(vec![of])
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Function {
    Part(DatePart),
    Start(DateUnit),
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Calendar {
    function: Function,
    signature: Signature,
}

impl ScalarUDFImpl for Calendar {
    fn name(&self) -> &str {
        match self.function {
            Function::Part(_) => "calendar_part",
            Function::Start(_) => "calendar_start",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(arrow_type(match self.function {
            Function::Part(_) => Type::Int,
            Function::Start(_) => Type::Timestamp,
        }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = args.args[0].to_array(args.number_rows)?;
        let Some(micros) = values.as_primitive_opt::<TimestampMicrosecondType>() else {
            return internal_err!("the calendar is asked about something that is no timestamp");
        };
        let result: ArrayRef = match self.function {
            Function::Part(part) => Arc::new(micros.iter().map(|m| Some(part.of(m?))).collect::<Int64Array>()),
            Function::Start(unit) => {
                Arc::new(micros.iter().map(|m| unit.start(m?)).collect::<TimestampMicrosecondArray>())
            }
        };
        Ok(ColumnarValue::Array(result))
    }
}
