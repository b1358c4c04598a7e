//! Messages of `Flight.proto` and `FlightSql.proto` (Apache Arrow) that the Arrow crate does not have yet.

use prost::Message;
use std::collections::HashMap;

/// Of `SessionOptionValue`.
#[derive(Clone, PartialEq, Message)]
pub struct StringList {
    #[prost(string, repeated, tag = "1")]
    pub values: Vec<String>,
}

/// Of `SessionOptionValue`.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum OptionValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Flag(bool),
    #[prost(sfixed64, tag = "3")]
    Whole(i64),
    #[prost(double, tag = "4")]
    Number(f64),
    #[prost(message, tag = "5")]
    List(StringList),
}

/// Without a value it takes the option back.
#[derive(Clone, PartialEq, Message)]
pub struct SessionOptionValue {
    #[prost(oneof = "OptionValue", tags = "1, 2, 3, 4, 5")]
    pub value: Option<OptionValue>,
}

/// `SetSessionOptionsRequest` and `GetSessionOptionsResult`; without entries, a `SetSessionOptionsResult` without errors.
#[derive(Clone, PartialEq, Message)]
pub struct SessionOptions {
    #[prost(map = "string, message", tag = "1")]
    pub options: HashMap<String, SessionOptionValue>,
}

/// Closed is 1.
#[derive(Clone, PartialEq, Message)]
pub struct CloseSessionResult {
    #[prost(int32, tag = "1")]
    pub status: i32,
}

/// `ActionCreatePreparedStatementResult` with `is_update`, by which drivers tell statements that have rows from those that have none.
#[derive(Clone, PartialEq, Message)]
pub struct PreparedResult {
    #[prost(bytes = "bytes", tag = "1")]
    pub handle: bytes::Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub dataset_schema: bytes::Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub parameter_schema: bytes::Bytes,
    #[prost(bool, optional, tag = "4")]
    pub is_update: Option<bool>,
}
