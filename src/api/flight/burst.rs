//! Bursts: a click in a notebook or a browser of tables may fire a dozen statements, each of which is paid for. So a statement that follows many others within
//! a minute, and with which they would take a large part of what is left of the account, is not charged until somebody has said that it is meant.
//!
//! This saves budgets from tools, not from people: it is this process's memory, and the ledger decides what can be paid.

use crate::error::{Code, Error, Result};
use crate::ledger::Account;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(60);
/// Statements of a window that are charged whatever they cost.
const FEW: usize = 3;
/// The part of what was left when the window began.
const LARGE: f64 = 0.1;

/// What was charged lately: when, and which part of the grant it took.
#[derive(Default)]
pub struct Bursts(Mutex<HashMap<Account, VecDeque<(Instant, f64)>>>);

impl Bursts {
    /// Whether a statement that takes `part` of a grant, of which `left` is left, is not one too many.
    ///
    /// Errors: `INVALID_REQUEST`, which says how to go on.
    pub fn admit(&self, account: &Account, part: f64, left: f64) -> Result<()> {
        self.admit_at(Instant::now(), account, part, left)
    }

    /// Counts one that was charged.
    pub fn count(&self, account: &Account, part: f64) {
        self.count_at(Instant::now(), account, part);
    }

    fn count_at(&self, now: Instant, account: &Account, part: f64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(account.clone()).or_default().push_back((now, part));
    }

    fn admit_at(&self, now: Instant, account: &Account, part: f64, left: f64) -> Result<()> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = |at: &Instant| now.duration_since(*at) >= WINDOW;
        all.retain(|_, lately| {
            lately.retain(|(at, _)| !is_old(at));
            !lately.is_empty()
        });
        let Some(lately) = all.get(account) else { return Ok(()) };
        let before: f64 = lately.iter().map(|(_, part)| part).sum();
        let (taken, whole) = (before + part, left + before);
        if lately.len() >= FEW && taken > LARGE * whole {
            let message = format!(
                "{} statements of {account} were charged within a minute, and with this one they would take {:.0} % of what was left: a tool may be asking by itself. This one costs {:.2} % of the grant, and was not charged: if it is meant, set the session option allow_bursts to true, or the header undertone-allow-bursts, and execute it again",
                lately.len(),
                100.0 * (taken / whole).min(1.0),
                100.0 * part,
            );
            return Err(Error::new(Code::InvalidRequest, message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_statements_at_once_are_asked_about() {
        let bursts = Bursts::default();
        let of = |who: &str| Account { dataset: "shop".into(), principal: who.into(), purpose: "p".into() };
        let (ana, ben, start) = (of("ana"), of("ben"), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        // Few, however dear; then each is asked about until it is meant, and what was not charged does not count.
        let mut left = 1.0;
        let charged = |seconds, who, part, left| {
            bursts.admit_at(at(seconds), who, part, left).unwrap();
            bursts.count_at(at(seconds), who, part);
        };
        for n in 0..FEW as u64 {
            charged(n, &ana, 0.2, left);
            left -= 0.2;
        }
        for _ in 0..2 {
            let e = bursts.admit_at(at(5), &ana, 0.05, left).unwrap_err();
            assert!(e.message.starts_with("3 statements") && e.message.contains("65 %"), "{e}");
        }
        // Nobody else is meant, and a minute later it is over.
        charged(6, &ben, 0.5, 1.0);
        charged(70, &ana, 0.05, left);
        // Many that cost little are no burst.
        for n in 0..50 {
            charged(200 + n / 10, &ana, 0.001, 0.9);
        }
    }
}
