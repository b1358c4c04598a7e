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
    /// Counts a statement that takes `part` of a grant of which `left` is left, unless it is one too many.
    ///
    /// Errors: `INVALID_REQUEST`, which says how to go on.
    pub fn admit(&self, account: &Account, part: f64, left: f64, allowed: bool) -> Result<()> {
        self.admit_at(Instant::now(), account, part, left, allowed)
    }

    fn admit_at(&self, now: Instant, account: &Account, part: f64, left: f64, allowed: bool) -> Result<()> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = |at: &Instant| now.duration_since(*at) >= WINDOW;
        all.retain(|_, lately| {
            lately.retain(|(at, _)| !is_old(at));
            !lately.is_empty()
        });
        let lately = all.entry(account.clone()).or_default();
        let before: f64 = lately.iter().map(|(_, part)| part).sum();
        let (taken, whole) = (before + part, left + before);
        if !allowed && lately.len() >= FEW && taken > LARGE * whole {
            let message = format!(
                "this is statement {} of {account} within a minute, and together they would take {:.0} % of what was left: a tool may be asking by itself. This one costs {:.1} % of the grant, and was not charged: if it is meant, set the session option allow_bursts to true, or the header undertone-allow-bursts, and execute it again",
                lately.len() + 1,
                100.0 * (taken / whole).min(1.0),
                100.0 * part,
            );
            return Err(Error::new(Code::InvalidRequest, message));
        }
        lately.push_back((now, part));
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
        for n in 0..FEW as u64 {
            bursts.admit_at(at(n), &ana, 0.2, left, false).unwrap();
            left -= 0.2;
        }
        for _ in 0..2 {
            let e = bursts.admit_at(at(5), &ana, 0.05, left, false).unwrap_err();
            assert!(e.message.contains("statement 4") && e.message.contains("65 %"), "{e}");
        }
        bursts.admit_at(at(6), &ana, 0.05, left, true).unwrap();
        // Nobody else is meant, and a minute later it is over.
        bursts.admit_at(at(6), &ben, 0.5, 1.0, false).unwrap();
        bursts.admit_at(at(70), &ana, 0.05, left, false).unwrap();
        // Many that cost little are no burst.
        for n in 0..50 {
            bursts.admit_at(at(200 + n / 10), &ana, 0.001, 0.9, false).unwrap();
        }
    }
}
