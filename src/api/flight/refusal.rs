//! Errors as SQL tools show them: ADBC, JDBC and ODBC drivers raise what a gRPC status says, some without its trailers, and show codes that mean a broken server as such.
//! So a message stands alone, says that nothing was charged where that is so, and has a code that is the asker's, or the operator's, but none of a defect.

use super::super::status::{grpc_code, status};
use crate::error::{Code, Error};
use tonic::{Code as Grpc, Status};

/// Said of what was refused before anything was charged.
const FREE: &str = "this cost nothing";

/// The status of an error.
pub fn refused(e: &Error) -> Status {
    let says_so =
        ["othing was charged", "was not charged", "cost nothing"].iter().any(|words| e.message.contains(words));
    let message = match is_free(e.code) && !says_so {
        true => format!("{}; {FREE}", e.message.trim_end_matches('.')),
        false => e.message.clone(),
    };
    let plain = status(&Error { message, ..e.clone() });
    let code = match plain.code() {
        // Drivers call these a defect of theirs or of the server's; the trailer has the code itself.
        Grpc::Internal | Grpc::FailedPrecondition => Grpc::Unavailable,
        code => code,
    };
    Status::with_metadata(code, plain.message(), plain.metadata().clone())
}

/// Whether an error is told before anything is charged, whatever was asked. Those that are left out say themselves what was paid.
fn is_free(code: Code) -> bool {
    let is_refusal = matches!(grpc_code(code), Grpc::InvalidArgument | Grpc::PermissionDenied | Grpc::Aborted);
    let is_refusal = is_refusal || code == Code::UnknownDataset;
    is_refusal && !matches!(code, Code::AnswerTooLarge | Code::QueryIdReused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_is_shown_as_a_defect() {
        for code in Code::ALL {
            let shown = refused(&Error::new(code, "why"));
            assert!(
                matches!(
                    shown.code(),
                    Grpc::InvalidArgument
                        | Grpc::PermissionDenied
                        | Grpc::NotFound
                        | Grpc::Unauthenticated
                        | Grpc::Unavailable
                        | Grpc::Aborted
                ),
                "{}: {}",
                code.name(),
                shown.code()
            );
            assert_eq!(shown.metadata().get("undertone-code").unwrap(), code.name());
        }
    }

    #[test]
    fn what_costs_nothing_says_so_once() {
        let message = |code, text: &str| refused(&Error::new(code, text)).message().to_owned();
        assert_eq!(message(Code::UnknownColumn, "no column 'x'."), "no column 'x'; this cost nothing");
        assert_eq!(message(Code::ServerBusy, "later; nothing was charged"), "later; nothing was charged");
        assert_eq!(message(Code::ExecutionFailed, "failed"), "failed");
    }
}
