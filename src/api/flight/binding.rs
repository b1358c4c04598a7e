//! Values that a driver binds to a prepared statement: one row of Arrow data.

use crate::error::{Code, Error, Result};
use crate::sql::Parameter;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};

fn invalid(message: String) -> Error {
    Error::new(Code::InvalidRequest, message)
}

/// The values of a row, in the order of their columns.
///
/// Errors: `INVALID_REQUEST` where there is not one row, or a value is of a type that no parameter has.
pub fn parameters(batches: &[RecordBatch]) -> Result<Vec<Parameter>> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    match (rows, batches.iter().find(|batch| batch.num_rows() == 1)) {
        (1, Some(row)) => row.columns().iter().enumerate().map(|(at, value)| parameter(at + 1, value)).collect(),
        _ => {
            Err(invalid(format!("one row of parameters was expected, and {rows} came: execute the statement for each")))
        }
    }
}

fn parameter(number: usize, value: &ArrayRef) -> Result<Parameter> {
    let of_type = || {
        invalid(format!(
            "parameter {number} is {}, which no parameter can be: bind a whole number, a number, a text, a boolean, a date or a timestamp without a time zone",
            value.data_type()
        ))
    };
    // What does not fit is an error here, and no NULL.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let cast = |to: &DataType| {
        cast_with_options(value, to, &options)
            .map_err(|_| invalid(format!("the value of parameter {number} is out of range")))
    };
    let text = |value: ArrayRef| value.as_string::<i32>().value(0).to_owned();
    if value.is_null(0) {
        return Ok(Parameter::Null);
    }
    Ok(match value.data_type() {
        DataType::Null => Parameter::Null,
        DataType::Boolean => Parameter::Bool(value.as_boolean().value(0)),
        ty if ty.is_integer() => Parameter::Int(cast(&DataType::Int64)?.as_primitive::<Int64Type>().value(0)),
        ty if ty.is_floating() => Parameter::Float(cast(&DataType::Float64)?.as_primitive::<Float64Type>().value(0)),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Parameter::Text(text(cast(&DataType::Utf8)?)),
        DataType::Date32 | DataType::Date64 => {
            let day = cast_with_options(&cast(&DataType::Date32)?, &DataType::Utf8, &options).map_err(|_| of_type())?;
            Parameter::Date(text(day))
        }
        DataType::Timestamp(_, None) => {
            let micros = cast(&DataType::Timestamp(TimeUnit::Microsecond, None))?;
            Parameter::Timestamp(text(cast_with_options(&micros, &DataType::Utf8, &options).map_err(|_| of_type())?))
        }
        _ => return Err(of_type()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        BinaryArray, BooleanArray, Date32Array, Float32Array, Int16Array, NullArray, StringViewArray,
        TimestampMillisecondArray, UInt64Array,
    };
    use std::sync::Arc;

    fn row(values: Vec<ArrayRef>) -> RecordBatch {
        RecordBatch::try_from_iter(values.into_iter().enumerate().map(|(at, value)| (format!("{at}"), value))).unwrap()
    }

    #[test]
    fn a_row_is_its_values() {
        let batch = row(vec![
            Arc::new(Int16Array::from(vec![7])),
            Arc::new(UInt64Array::from(vec![9])),
            Arc::new(Float32Array::from(vec![0.5])),
            Arc::new(StringViewArray::from(vec!["north"])),
            Arc::new(BooleanArray::from(vec![true])),
            Arc::new(Date32Array::from(vec![20_000])),
            Arc::new(TimestampMillisecondArray::from(vec![1_500])),
            Arc::new(NullArray::new(1)),
        ]);
        let wanted = [
            Parameter::Int(7),
            Parameter::Int(9),
            Parameter::Float(0.5),
            Parameter::Text("north".into()),
            Parameter::Bool(true),
            Parameter::Date("2024-10-04".into()),
            Parameter::Timestamp("1970-01-01T00:00:01.500".into()),
            Parameter::Null,
        ];
        assert_eq!(parameters(&[batch]).unwrap(), wanted);
    }

    #[test]
    fn what_no_parameter_can_be_is_refused() {
        let one = |value: ArrayRef| parameters(&[row(vec![value])]).unwrap_err().message;
        assert!(one(Arc::new(BinaryArray::from(vec![&b"x"[..]]))).contains("parameter 1 is Binary"));
        assert!(one(Arc::new(UInt64Array::from(vec![u64::MAX]))).contains("out of range"));
        assert!(one(Arc::new(Int16Array::from(vec![1, 2]))).contains("2 came"));
        assert!(parameters(&[]).unwrap_err().message.contains("0 came"));
    }
}
