//! What operators see of a running server: counters, and the steps of calls.
//!
//! None of it depends on private rows beyond what the caller of each question is told anyway. Counters count calls by text, policy and
//! budget: that a *charged* question failed may depend on data, so it counts as any other charged question, and those that a frozen
//! account is refused count as those of an exhausted one; the log alone has it. There are no durations of work, no numbers of rows or
//! bytes and no memory in use. Spans are as long as the caller waits: a charged question answers at few moments, and one that fails at its
//! deadline. The work on rows within has no spans of its own.

mod metrics;
mod traces;

pub use metrics::Metrics;
pub use traces::{Exporter, call, exporter, finish, step};

use crate::error::{Code, Error, Result};

/// The outcome of a call as it may be counted: that a charged question failed may depend on data.
fn outcome<T>(result: &Result<T>) -> &'static str {
    match result.as_ref().map_err(|e: &Error| e.code) {
        Ok(_) | Err(Code::ExecutionFailed) => "OK",
        // It is frozen because one failed.
        Err(Code::AccountFrozen) => Code::BudgetExhausted.name(),
        Err(code) => code.name(),
    }
}
