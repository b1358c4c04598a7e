//! Values that a driver binds to a prepared statement: one row of Arrow data.

use crate::algebra::Type;
use crate::error::{Code, Error, Result};
use crate::sql::Parameter;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema, TimeUnit};
use arrow::ipc::{MessageHeader, root_as_message};
use arrow_flight::FlightData;
use arrow_flight::utils::flight_data_to_arrow_batch;
use std::collections::HashMap;
use std::sync::Arc;

fn invalid(message: String) -> Error {
    Error::new(Code::InvalidRequest, message)
}

/// Messages of one DoPut: a schema, a row, and what may come between.
pub const MOST_MESSAGES: usize = 16;

/// The values of the one row that a driver sends, in the order of their columns.
///
/// Whoever is let in may send anything. So the schema is looked at before any array is made, and only plain values are: types that refer to other places of their
/// buffers (views, dictionaries, runs, unions, lists) and compressed buffers, whose size is not known, are turned away at the door, and so is more than one row. What is
/// left is validated by the reader.
///
/// Errors: `INVALID_REQUEST` where it is no Arrow data, there is not one row, or a value is of a type that no parameter has.
pub fn parameters(messages: &[FlightData]) -> Result<Vec<Parameter>> {
    let malformed = || invalid("the parameters are no Arrow data".to_owned());
    let (first, rest) = messages.split_first().ok_or_else(malformed)?;
    let header = |message: &FlightData| root_as_message(&message.data_header).map(|m| m.header_type()).ok();
    if header(first) != Some(MessageHeader::Schema) {
        return Err(malformed());
    }
    let schema = Arc::new(Schema::try_from(first).map_err(|_| malformed())?);
    for (at, field) in schema.fields().iter().enumerate() {
        check_type(at + 1, field.data_type())?;
    }
    let mut batches = Vec::new();
    for message in rest.iter().filter(|message| !message.data_header.is_empty()) {
        let head = root_as_message(&message.data_header).map_err(|_| malformed())?;
        let batch = head.header_as_record_batch().ok_or_else(malformed)?;
        if batch.compression().is_some() {
            return Err(invalid("the parameters are compressed: send them as they are".to_owned()));
        }
        if batch.length() > 1 {
            return Err(not_one_row(batch.length()));
        }
        batches.push(flight_data_to_arrow_batch(message, schema.clone(), &HashMap::new()).map_err(|_| malformed())?);
    }
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    match (rows, batches.iter().find(|batch| batch.num_rows() == 1)) {
        (1, Some(row)) => row.columns().iter().enumerate().map(|(at, value)| parameter(at + 1, value)).collect(),
        _ => Err(not_one_row(rows as i64)),
    }
}

fn not_one_row(rows: i64) -> Error {
    invalid(format!("one row of parameters was expected, and {rows} came: execute the statement for each"))
}

/// Whether a parameter can be of a type.
fn check_type(number: usize, ty: &DataType) -> Result<()> {
    let is_plain = ty.is_integer() || ty.is_floating();
    match ty {
        DataType::Null | DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8 => Ok(()),
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, None) => Ok(()),
        _ if is_plain => Ok(()),
        _ => Err(invalid(format!(
            "parameter {number} is {}, which no parameter can be: bind a whole number, a number, a text, a boolean, a date or a timestamp without a time zone",
            name(ty)
        ))),
    }
}

/// A type's own name; those that hold others may be of any length.
fn name(ty: &DataType) -> String {
    let name = ty.to_string();
    name.split(['(', '<', ' ']).next().unwrap_or_default().to_owned()
}

/// Whether values are of the types that the text wants, as far as it tells. A number stands for any number, and a date or a moment may be written as a text.
///
/// Errors: `INVALID_REQUEST`, with the number of the first one that is not.
pub fn check(values: &[Parameter], types: &[Option<Type>]) -> Result<()> {
    for (at, (value, ty)) in values.iter().zip(types).enumerate() {
        let (given, fits) = match value {
            Parameter::Null => continue,
            Parameter::Bool(_) => ("a boolean", matches!(ty, None | Some(Type::Bool))),
            Parameter::Int(_) | Parameter::Float(_) => ("a number", matches!(ty, None | Some(Type::Int | Type::Float))),
            Parameter::Text(_) => ("a text", matches!(ty, None | Some(Type::Text | Type::Date | Type::Timestamp))),
            Parameter::Date(_) => ("a date", matches!(ty, None | Some(Type::Date | Type::Timestamp))),
            Parameter::Timestamp(_) => ("a timestamp", matches!(ty, None | Some(Type::Date | Type::Timestamp))),
        };
        if let (false, Some(ty)) = (fits, ty) {
            return Err(invalid(format!("parameter {} is {given}, and stands for a {}", at + 1, ty.sql())));
        }
    }
    Ok(())
}

/// A value of a type, in the place of one that is not known yet.
pub fn sample(ty: Option<Type>) -> Parameter {
    match ty {
        Some(Type::Int) => Parameter::Int(1),
        Some(Type::Float) => Parameter::Float(1.0),
        Some(Type::Bool) => Parameter::Bool(true),
        Some(Type::Date) => Parameter::Date("2000-01-01".into()),
        Some(Type::Timestamp) => Parameter::Timestamp("2000-01-01 00:00:00".into()),
        Some(Type::Text) | None => Parameter::Text("a".into()),
    }
}

fn parameter(number: usize, value: &ArrayRef) -> Result<Parameter> {
    // What does not fit is an error here, and no NULL.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let out_of_range = || invalid(format!("the value of parameter {number} is out of range"));
    let cast = |to: &DataType| cast_with_options(value, to, &options).map_err(|_| out_of_range());
    let text = |value: ArrayRef| value.as_string::<i32>().value(0).to_owned();
    if value.is_null(0) {
        return Ok(Parameter::Null);
    }
    Ok(match value.data_type() {
        DataType::Null => Parameter::Null,
        DataType::Boolean => Parameter::Bool(value.as_boolean().value(0)),
        ty if ty.is_integer() => Parameter::Int(cast(&DataType::Int64)?.as_primitive::<Int64Type>().value(0)),
        ty if ty.is_floating() => Parameter::Float(cast(&DataType::Float64)?.as_primitive::<Float64Type>().value(0)),
        DataType::Utf8 | DataType::LargeUtf8 => Parameter::Text(text(cast(&DataType::Utf8)?)),
        DataType::Date32 | DataType::Date64 => {
            let day = cast(&DataType::Date32)?;
            Parameter::Date(text(cast_with_options(&day, &DataType::Utf8, &options).map_err(|_| out_of_range())?))
        }
        DataType::Timestamp(_, None) => {
            let micros = cast(&DataType::Timestamp(TimeUnit::Microsecond, None))?;
            Parameter::Timestamp(text(
                cast_with_options(&micros, &DataType::Utf8, &options).map_err(|_| out_of_range())?,
            ))
        }
        ty => return Err(check_type(number, ty).err().unwrap_or_else(out_of_range)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        BinaryArray, BooleanArray, Date32Array, Decimal256Array, Float32Array, Int16Array, Int32Array, NullArray,
        RunArray, StringArray, StringViewArray, TimestampMillisecondArray, UInt64Array,
    };
    use arrow::datatypes::{Int32Type, i256};
    use arrow_flight::utils::batches_to_flight_data;

    fn messages(values: Vec<ArrayRef>) -> Vec<FlightData> {
        let columns = values.into_iter().enumerate().map(|(at, value)| (format!("{at}"), value));
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        batches_to_flight_data(&batch.schema(), vec![batch]).unwrap()
    }

    #[test]
    fn a_row_is_its_values() {
        let row = messages(vec![
            Arc::new(Int16Array::from(vec![7])),
            Arc::new(UInt64Array::from(vec![9])),
            Arc::new(Float32Array::from(vec![0.5])),
            Arc::new(StringArray::from(vec!["north"])),
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
        assert_eq!(parameters(&row).unwrap(), wanted);
    }

    #[test]
    fn what_no_parameter_can_be_is_refused() {
        let one = |value: ArrayRef| parameters(&messages(vec![value])).unwrap_err().message;
        let runs = RunArray::<Int32Type>::try_new(&Int32Array::from(vec![1]), &StringArray::from(vec!["x"])).unwrap();
        for (value, words) in [
            (Arc::new(BinaryArray::from(vec![&b"x"[..]])) as ArrayRef, "parameter 1 is Binary"),
            (Arc::new(StringViewArray::from(vec!["x"])), "parameter 1 is Utf8View"),
            (Arc::new(runs), "parameter 1 is RunEndEncoded"),
            (Arc::new(Decimal256Array::from(vec![i256::ONE])), "parameter 1 is Decimal256"),
            (Arc::new(UInt64Array::from(vec![u64::MAX])), "out of range"),
            (Arc::new(Int16Array::from(vec![1, 2])), "2 came"),
            (Arc::new(Int16Array::from(Vec::<i16>::new())), "0 came"),
        ] {
            let message = one(value);
            assert!(message.contains(words), "{message}");
        }
        let mut deep = DataType::Int64;
        for _ in 0..50 {
            deep = DataType::new_list(deep, true);
        }
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        for (ty, words) in [(deep, "parameter 1 is List,"), (dictionary, "parameter 1 is Dictionary,")] {
            assert!(check_type(1, &ty).unwrap_err().message.contains(words));
        }
        assert!(parameters(&[]).is_err());
        let row = messages(vec![Arc::new(Int16Array::from(vec![1]))]);
        assert!(parameters(&row[..1]).unwrap_err().message.contains("0 came"));
        assert!(parameters(&row[1..]).is_err(), "a batch without a schema");
        assert!(parameters(&[row.clone(), row[1..].to_vec()].concat()).unwrap_err().message.contains("2 came"));
    }

    #[test]
    fn values_are_of_the_types_that_the_text_wants() {
        let text = || Parameter::Text("4242".into());
        for (value, ty, fits) in [
            (text(), Some(Type::Int), false),
            (text(), Some(Type::Text), true),
            (text(), Some(Type::Date), true),
            (text(), None, true),
            (Parameter::Int(1), Some(Type::Float), true),
            (Parameter::Float(1.5), Some(Type::Int), true),
            (Parameter::Int(1), Some(Type::Text), false),
            (Parameter::Bool(true), Some(Type::Int), false),
            (Parameter::Date("2026-01-01".into()), Some(Type::Timestamp), true),
            (Parameter::Date("2026-01-01".into()), Some(Type::Float), false),
            (Parameter::Null, Some(Type::Int), true),
        ] {
            let said = check(&[Parameter::Null, value.clone()], &[None, ty]);
            assert_eq!(said.is_ok(), fits, "{value:?} for {ty:?}: {said:?}");
            assert!(said.is_ok() || said.unwrap_err().message.starts_with("parameter 2 is "));
        }
    }

    /// Each byte of headers and bodies, changed: a refusal or other values, and nothing worse.
    #[test]
    fn damaged_messages_are_refused() {
        let row = messages(vec![Arc::new(StringArray::from(vec!["north"])), Arc::new(Int16Array::from(vec![7]))]);
        for (at, message) in row.iter().enumerate() {
            for bit in [0x01, 0x80, 0xff] {
                for byte in 0..message.data_header.len() + message.data_body.len() {
                    let mut damaged = row.clone();
                    let mut header = message.data_header.to_vec();
                    let mut body = message.data_body.to_vec();
                    match byte.checked_sub(header.len()) {
                        None => header[byte] ^= bit,
                        Some(byte) => body[byte] ^= bit,
                    }
                    (damaged[at].data_header, damaged[at].data_body) = (header.into(), body.into());
                    let _ = std::panic::catch_unwind(|| parameters(&damaged));
                }
            }
        }
    }
}
