//! Errors as gRPC statuses: a message that stands alone, the stable code and the place as trailers.

use crate::error::{Code, Error};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code as Grpc, Status};

/// Trailer with the stable code, for example `BUDGET_EXHAUSTED`.
pub const CODE_KEY: &str = "undertone-code";
/// Trailer with the place in the SQL text, "line:column".
pub const POSITION_KEY: &str = "undertone-position";

/// Most characters of a message.
const MAX_MESSAGE: usize = 1000;

pub fn status(e: &Error) -> Status {
    let mut trailers = MetadataMap::new();
    trailers.insert(CODE_KEY, MetadataValue::from_static(e.code.name()));
    if let Some(at) = e.at
        && let Ok(place) = at.to_string().parse()
    {
        trailers.insert(POSITION_KEY, place);
    }
    // Messages may quote the text, and travel in headers of limited size.
    let mut text: String = e.message.chars().take(MAX_MESSAGE).collect();
    if text.len() < e.message.len() {
        text.push_str(" ...");
    }
    let message = match e.at {
        Some(at) => format!("{text} (line {}, column {})", at.line, at.column),
        None => text,
    };
    Status::with_metadata(grpc_code(e.code), message, trailers)
}

/// Budget and refusal use codes that common clients show with their message; see the code list of each client.
pub(crate) fn grpc_code(code: Code) -> Grpc {
    match code {
        Code::Syntax
        | Code::SqlTooLong
        | Code::SqlTooDeep
        | Code::UnsupportedSql
        | Code::PrivateRows
        | Code::UnknownTable
        | Code::UnknownColumn
        | Code::MissingBounds
        | Code::PrivateKeys
        | Code::InvalidEpsilon
        | Code::EpsilonAboveMaximum
        | Code::InvalidRequest
        | Code::AnswerTooLarge
        | Code::QueryIdReused => Grpc::InvalidArgument,
        Code::NoGrant | Code::BudgetExhausted | Code::AccountFrozen | Code::NotPermitted => Grpc::PermissionDenied,
        Code::UnknownDataset | Code::UnknownQueryId | Code::AnswerExpired => Grpc::NotFound,
        Code::Unauthenticated => Grpc::Unauthenticated,
        Code::DataChanged | Code::Configuration => Grpc::FailedPrecondition,
        Code::LedgerUnavailable | Code::Unreachable | Code::ServerBusy => Grpc::Unavailable,
        Code::PolicyChanged => Grpc::Aborted,
        Code::ExecutionFailed | Code::Internal => Grpc::Internal,
    }
}

/// Gives refusals of the transport itself (a body over the limit, an unknown method) their stable code.
pub fn with_code<B>(mut response: http::Response<B>) -> http::Response<B> {
    let headers = response.headers_mut();
    if let Some(code) = headers.get("grpc-status").filter(|_| !headers.contains_key(CODE_KEY)) {
        let name = match code.as_bytes() {
            b"0" => return response,
            b"11" => "REQUEST_TOO_LARGE",
            b"12" => "UNKNOWN_METHOD",
            _ => "INVALID_REQUEST",
        };
        headers.insert(CODE_KEY, http::HeaderValue::from_static(name));
    }
    response
}
