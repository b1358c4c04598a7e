//! The one error type that leaves the engine: a stable code, one sentence with cause and remedy, and the
//! place in the SQL text where there is one. Messages never hold a value from data.

use std::fmt;

/// Stable names of everything that can go wrong, as clients see them in `undertone-code`.
///
/// Errors: this is what errors are made of. A code never changes its meaning; new ones may be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The text is not SQL.
    Syntax,
    /// The text has more tokens or bytes than the limit.
    SqlTooLong,
    /// The text nests deeper than the limit.
    SqlTooDeep,
    /// Valid SQL for which the private algebra has no rule.
    UnsupportedSql,
    /// The answer would hold rows of single units.
    PrivateRows,
    /// No such table in the dataset.
    UnknownTable,
    /// No such column, or one that was not declared.
    UnknownColumn,
    /// A SUM or AVG over something without public bounds.
    MissingBounds,
    /// A GROUP BY key whose public values are not known.
    PrivateKeys,
    /// Epsilon is not a positive finite number.
    InvalidEpsilon,
    /// Epsilon is above the dataset's maximum for one question.
    EpsilonAboveMaximum,
    /// Another field of the request is out of range.
    InvalidRequest,
    /// No such dataset, or none that the caller may know of.
    UnknownDataset,
    /// The caller has no grant for this dataset and purpose.
    NoGrant,
    /// The account or the dataset's pool cannot pay.
    BudgetExhausted,
    /// The policy changed while this was on its way; nothing was charged.
    PolicyChanged,
    /// The caller's roles, or the policy's rules for columns and purposes, do not allow it.
    NotPermitted,
    /// The answer was paid for and is not kept any more.
    AnswerExpired,
    /// A charged question of the principal failed, and nobody has looked into it yet.
    AccountFrozen,
    /// The query id was used for another question.
    QueryIdReused,
    /// No paid answer under this query id.
    UnknownQueryId,
    /// No or wrong credential.
    Unauthenticated,
    /// The answer would be larger than the limit. Charged where the question has a release.
    AnswerTooLarge,
    /// All places are taken; nothing was charged.
    ServerBusy,
    /// The question was charged and could not be answered.
    ExecutionFailed,
    /// A file under a table changed since it was verified.
    DataChanged,
    /// A configuration or dataset file is wrong.
    Configuration,
    /// The ledger cannot be read or written; nothing is answered.
    LedgerUnavailable,
    /// No server answers; said by clients.
    Unreachable,
    /// A defect of the engine.
    Internal,
}

impl Code {
    /// Every code.
    pub const ALL: [Code; 30] = [
        Code::Syntax,
        Code::SqlTooLong,
        Code::SqlTooDeep,
        Code::UnsupportedSql,
        Code::PrivateRows,
        Code::UnknownTable,
        Code::UnknownColumn,
        Code::MissingBounds,
        Code::PrivateKeys,
        Code::InvalidEpsilon,
        Code::EpsilonAboveMaximum,
        Code::InvalidRequest,
        Code::UnknownDataset,
        Code::NoGrant,
        Code::BudgetExhausted,
        Code::PolicyChanged,
        Code::NotPermitted,
        Code::AnswerExpired,
        Code::AccountFrozen,
        Code::QueryIdReused,
        Code::UnknownQueryId,
        Code::Unauthenticated,
        Code::AnswerTooLarge,
        Code::ServerBusy,
        Code::ExecutionFailed,
        Code::DataChanged,
        Code::Configuration,
        Code::LedgerUnavailable,
        Code::Unreachable,
        Code::Internal,
    ];

    /// The code as it is sent, for example `BUDGET_EXHAUSTED`.
    pub fn name(self) -> &'static str {
        match self {
            Code::Syntax => "SYNTAX",
            Code::SqlTooLong => "SQL_TOO_LONG",
            Code::SqlTooDeep => "SQL_TOO_DEEP",
            Code::UnsupportedSql => "UNSUPPORTED_SQL",
            Code::PrivateRows => "PRIVATE_ROWS",
            Code::UnknownTable => "UNKNOWN_TABLE",
            Code::UnknownColumn => "UNKNOWN_COLUMN",
            Code::MissingBounds => "MISSING_BOUNDS",
            Code::PrivateKeys => "PRIVATE_KEYS",
            Code::InvalidEpsilon => "INVALID_EPSILON",
            Code::EpsilonAboveMaximum => "EPSILON_ABOVE_MAXIMUM",
            Code::InvalidRequest => "INVALID_REQUEST",
            Code::UnknownDataset => "UNKNOWN_DATASET",
            Code::NoGrant => "NO_GRANT",
            Code::BudgetExhausted => "BUDGET_EXHAUSTED",
            Code::PolicyChanged => "POLICY_CHANGED",
            Code::NotPermitted => "NOT_PERMITTED",
            Code::AnswerExpired => "ANSWER_EXPIRED",
            Code::AccountFrozen => "ACCOUNT_FROZEN",
            Code::QueryIdReused => "QUERY_ID_REUSED",
            Code::UnknownQueryId => "UNKNOWN_QUERY_ID",
            Code::Unauthenticated => "UNAUTHENTICATED",
            Code::AnswerTooLarge => "ANSWER_TOO_LARGE",
            Code::ServerBusy => "SERVER_BUSY",
            Code::ExecutionFailed => "EXECUTION_FAILED",
            Code::DataChanged => "DATA_CHANGED",
            Code::Configuration => "CONFIGURATION",
            Code::LedgerUnavailable => "LEDGER_UNAVAILABLE",
            Code::Unreachable => "UNREACHABLE",
            Code::Internal => "INTERNAL",
        }
    }
}

/// A place in the SQL text; line and column count characters from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub line: u64,
    pub column: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// What went wrong, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub code: Code,
    pub message: String,
    pub at: Option<Position>,
}

impl Error {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Error { code, message: message.into(), at: None }
    }

    /// The same error with its place in the text, unless it already has one.
    pub fn or_at(mut self, at: Option<Position>) -> Self {
        self.at = self.at.or(at);
        self
    }

    pub fn configuration(message: impl Into<String>) -> Self {
        Error::new(Code::Configuration, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Error::new(Code::Internal, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)?;
        match self.at {
            Some(at) => write!(f, " (line {}, column {})", at.line, at.column),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

pub type Result<T, E = Error> = std::result::Result<T, E>;
