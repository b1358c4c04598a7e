//! What a command's exit code means, for scripts.

use crate::error::Code;
use std::process::ExitCode;

pub const HELP: &str = "Exit codes: 0 done; 1 a defect, or the question was charged and failed; 2 wrong arguments; \
3 the question was refused; 4 the budget or a grant does not allow it; 5 no valid token; 6 no server or ledger can be reached; \
7 a file or its configuration is wrong. After 2 to 5 and 7 nothing was charged, but for an answer that is too large; after 1 and 6 `undertone answer QUERY_ID` tells.";

pub fn code(code: Code) -> ExitCode {
    ExitCode::from(match code {
        Code::ExecutionFailed | Code::Internal => 1,
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
        | Code::UnknownDataset
        | Code::QueryIdReused
        | Code::UnknownQueryId => 3,
        Code::NoGrant | Code::BudgetExhausted | Code::AccountFrozen => 4,
        Code::Unauthenticated => 5,
        Code::LedgerUnavailable | Code::Unreachable | Code::ServerBusy => 6,
        Code::DataChanged | Code::Configuration => 7,
    })
}
