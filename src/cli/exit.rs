//! What a command's exit code means, for scripts.

use crate::api::grpc_code;
use crate::error::Code;
use std::process::ExitCode;
use tonic::Code as Grpc;

pub const HELP: &str = "Exit codes: 0 done; 1 a defect, or the question was charged and failed; 2 wrong arguments; \
3 the question was refused; 4 the budget or a grant does not allow it; 5 no valid token; 6 no server or ledger can be reached; \
7 a file or its configuration is wrong. After 2 to 5 and 7 nothing was charged, but for an answer that is too large; after 1 and 6 `undertone answer QUERY_ID` tells.";

/// One exit code for each kind of status that the wire has for these errors.
pub fn code(code: Code) -> ExitCode {
    ExitCode::from(match grpc_code(code) {
        Grpc::InvalidArgument | Grpc::NotFound | Grpc::Aborted => 3,
        Grpc::PermissionDenied => 4,
        Grpc::Unauthenticated => 5,
        Grpc::Unavailable => 6,
        Grpc::FailedPrecondition => 7,
        _ => 1,
    })
}
